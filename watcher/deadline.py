"""Bound a question whose answer may never come, as from a network share that is dead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")


def answer_within(seconds: float, ask: Callable[[], _Answer]) -> _Answer | None:
    """Return what *ask* returns, or none if it takes longer or raises OSError.

    A thread that hangs in the kernel cannot be ended; it is left behind and ends with the process.
    """
    answers: queue.Queue[_Answer | None] = queue.Queue()

    def put() -> None:
        try:
            answers.put(ask())
        except OSError:
            answers.put(None)

    threading.Thread(target=put, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return None
