"""Fixtures for the tests of the inbox."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inbox.doors import Door
from tests.makers import Hands


@pytest.fixture(autouse=True)
def _deaf_to_leases() -> Iterator[None]:
    """Ignore the signal of a broken lease, as the daemon does; its default ends the process."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    """Give an empty inbox, as bytes."""
    (tmp_path / "inbox").mkdir()
    return os.fsencode(tmp_path / "inbox")


@pytest.fixture
def door(root: bytes, hands: Hands) -> Iterator[Door]:
    """Give an inbox that is looked at by a clock that the test turns, without file events."""
    opened = Door(root, hands)
    yield opened
    opened.inbox.close()
