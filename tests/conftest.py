"""Fixtures and options for all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.makers import Hands

# As in our children. Here the local reader is imported too, and onnxruntime would tell its maker of every test.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


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


@pytest.fixture
def commons() -> Iterator[Path]:
    """Give an empty folder that every user may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)
