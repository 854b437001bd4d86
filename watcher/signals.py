"""Signals, heard by a thread of its own: even while the main thread hangs, and without interrupting anything."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def heard(hear: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call *hear* with each of `HEARD` that comes, while the block lasts. Only for the main thread.

    A handler in Python would run in the middle of whatever the main thread does, and not at all while that hangs. The
    interpreter's own handler writes the number of the signal into a pipe (signal.set_wakeup_fd) at once.
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writing, False)

    def listen() -> None:
        while said := os.read(reading, 1):
            if said[0] in HEARD:
                hear(signal.Signals(said[0]))

    thread = threading.Thread(target=listen, name="signals", daemon=True)
    before = {number: signal.signal(number, _nothing) for number in HEARD}
    # A lease that is broken sends SIGIO, whose default is to end the process.
    before[signal.SIGIO] = signal.signal(signal.SIGIO, signal.SIG_IGN)
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, action in before.items():
            signal.signal(number, action)
        os.close(writing)
        thread.join()
        os.close(reading)


def _nothing(*_: object) -> None:
    """Do nothing: the number is in the pipe."""
