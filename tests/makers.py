"""What many tests need: a clock that is turned by hand, small real pictures, and waiting for other threads."""

from __future__ import annotations

import io
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

from PIL import Image

from watcher.clocks import Clocks

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


class Hands:
    """The hands of a clock that only tests turn: *monotonic* in seconds, *wall* in seconds since the epoch."""

    def __init__(self, monotonic: float = 1000.0, wall: float = NOON.timestamp()) -> None:
        self.monotonic = monotonic
        self.wall = wall
        self.clocks = Clocks(lambda: self.monotonic, lambda: self.wall)

    def turn(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.monotonic += seconds
        self.wall += seconds


@cache
def jpeg(number: int = 0, size: tuple[int, int] = (32, 16)) -> bytes:
    """Return a real JPEG of *size* pixels; another *number* gives other bytes."""
    return _encoded("JPEG", number, size)


@cache
def png(number: int = 0, size: tuple[int, int] = (32, 16)) -> bytes:
    """Return a real PNG likewise."""
    return _encoded("PNG", number, size)


def _encoded(form: str, number: int, size: tuple[int, int]) -> bytes:
    noise = random.Random(number).randbytes(size[0] * size[1] * 3)  # noqa: S311 (the same picture in every run)
    memory = io.BytesIO()
    Image.frombytes("RGB", size, noise).save(memory, form)
    return memory.getvalue()


def eventually(holds: Callable[[], object], seconds: float = 10.0) -> bool:
    """Return whether *holds* becomes true within *seconds*; for what another thread or process does."""
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        if time.monotonic() > until:
            return False
        pause.wait(0.005)
    return True
