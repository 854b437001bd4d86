"""Fixtures and options for all tests."""

from __future__ import annotations

import pytest

from tests.makers import Hands


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer `--long`: the same tests with more rounds, more kills and larger backlogs."""
    parser.addoption("--long", action="store_true", help="more rounds, more kills, larger backlogs")


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the tests may take their time."""
    return bool(request.config.getoption("--long"))


@pytest.fixture
def hands() -> Hands:
    """Give a clock that only the test turns."""
    return Hands()
