"""Signals are heard in time, by a thread of their own, and everything is as it was afterwards."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from tests.makers import eventually
from watcher.signals import HEARD, heard


@pytest.mark.parametrize("number", HEARD)
def test_a_signal_is_heard_by_another_thread(number: signal.Signals) -> None:
    """The main thread is neither interrupted nor needed: it waits while somebody else is told."""
    told: list[tuple[signal.Signals, bool]] = []
    came = threading.Event()

    def hear(what: signal.Signals) -> None:
        told.append((what, threading.current_thread() is threading.main_thread()))
        came.set()

    with heard(hear):
        os.kill(os.getpid(), number)
        assert came.wait(10)

    assert [(number, False)] == told


def test_signals_that_came_before_the_end_are_all_told() -> None:
    """Whoever leaves the block first hears what is still in the pipe, in order."""
    told: list[signal.Signals] = []
    go = threading.Event()

    def hear(what: signal.Signals) -> None:
        go.wait(10)
        told.append(what)

    with heard(hear):
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            signal.raise_signal(number)
        go.set()

    assert [signal.SIGHUP, signal.SIGTERM, signal.SIGHUP] == told


def test_a_broken_lease_does_not_end_the_process() -> None:
    """SIGIO, whose default is to kill, is ignored and told to nobody."""
    told: list[signal.Signals] = []

    with heard(told.append):
        signal.raise_signal(signal.SIGIO)
        signal.raise_signal(signal.SIGHUP)
        assert eventually(lambda: told)

    assert [signal.SIGHUP] == told


def test_a_signal_of_somebody_else_is_none_of_ours() -> None:
    """One that has another handler comes through the same pipe and is passed over."""
    told: list[signal.Signals] = []
    theirs: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: theirs.append(number))
    try:
        with heard(told.append):
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGTERM)
            assert eventually(lambda: told)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert ([signal.SIGTERM], [signal.SIGUSR1]) == (told, theirs)


def test_everything_is_as_it_was_afterwards() -> None:
    """Handlers, the wake-up descriptor and the thread are given back, even after an error."""

    def standing() -> tuple[object, ...]:
        listening = any(thread.name == "signals" for thread in threading.enumerate())
        return *(signal.getsignal(number) for number in (*HEARD, signal.SIGIO)), listening

    def failing() -> None:
        with heard(lambda _: None):
            within.append(standing())
            raise ZeroDivisionError

    within: list[tuple[object, ...]] = []
    before = standing()
    with pytest.raises(ZeroDivisionError):
        failing()

    assert [True] == [there != before and there[-1] for there in within]
    assert before == standing()
    assert -1 == signal.set_wakeup_fd(-1)
