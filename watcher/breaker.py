"""Leave an engine alone while it cannot answer, so that no photo waits for it in vain.

One breaker stands before one engine, whichever thread asks. It opens for as long as the engine asks for, or for a
minute after five failures in a row; then one call is let through to try, and a success closes it. It also knows what
the engine had to tell the operator, which the engine of every reader, in a process of its own, would tell again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol

import structlog

from watcher.errors import EngineRefused, EngineUnavailable
from watcher.model import Reading, Request

FAILURES = 5
OPEN_SECONDS = 60.0
TRY_AGAIN_SECONDS = 5.0  # what the others are told while one call is out to try
MOST_NOTES = 100

log = structlog.get_logger()


class Seat(Protocol):
    """An engine, for the photo that lies before it."""

    @property
    def name(self) -> str:
        """Return the name of the engine."""

    def read(self, request: Request, /) -> Reading:
        """Return what it sees; raise EngineUnavailable or EngineRefused."""

    def probe(self) -> str:
        """Return a sentence about what would read; raise EngineUnavailable."""


@dataclass(frozen=True, slots=True)
class State:
    """How a breaker stands.

    Attributes:
        state: `closed` (asked as usual), `open` (left alone) or `probing` (one call is out to try).
        until: Until when it is left alone, by the clock that was handed in; none if it is not.
        failures: How many calls in a row have failed.
        reason: Of the last failure; empty if there is none.

    """

    state: Literal["closed", "open", "probing"] = "closed"
    until: float | None = None
    failures: int = 0
    reason: str = ""


class Breaker:
    """What all threads know of one engine; *clock* gives seconds that only grow."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State()
        self._error = EngineUnavailable("")
        self._notes: set[str] = set()

    @property
    def state(self) -> State:
        """Return how it stands at this moment."""
        with self._lock:
            return self._state

    def call(self, ask: Callable[[], Reading]) -> Reading:
        """Return what *ask* returns, unless the engine is to be left alone.

        Raises:
            EngineUnavailable: It is left alone, with the seconds that remain; or *ask* raised it.
            EngineRefused: *ask* raised it: the engine is well.

        """
        trying = self._admit()
        settle: Callable[[], None] = self._abandon if trying else _nothing
        try:
            reading = ask()
            settle = self._close
        except EngineRefused:
            settle = self._close
            raise
        except EngineUnavailable as error:
            settle = partial(self._fail, error, trying=trying)
            raise
        finally:
            settle()
        return reading

    def is_news(self, note: str) -> bool:
        """Say whether this *note* for the operator is new, and remember it; called from any thread."""
        with self._lock:
            known = note in self._notes
            if len(self._notes) >= MOST_NOTES:  # they come from a child, and there may be no end of them
                self._notes.clear()
            self._notes.add(note)
        return not known

    def forgive(self) -> None:
        """Let the next call through, since a person wants it tried; called from any thread.

        A call that is out to try goes on doing so.
        """
        with self._lock:
            if self._state.state == "open":
                self._state = State()

    def _admit(self) -> bool:
        """Say whether this call is the one that tries; raise EngineUnavailable if the engine is to be left alone."""
        with self._lock:
            if self._state.state == "closed":
                return False
            left = TRY_AGAIN_SECONDS if self._state.until is None else self._state.until - self._clock()
            if left > 0:
                raise EngineUnavailable(
                    f"{self.name} is left alone for {left:.0f} s: {self._error.reason}",
                    hint=self._error.hint,
                    code=self._error.code,
                    retry_after=left,
                )
            self._state = State("probing", None, self._state.failures, self._state.reason)
            return True

    def _close(self) -> None:
        """Note that the engine answered."""
        with self._lock:
            was, self._state = self._state.state, State()
        if was != "closed":
            log.info("breaker.closed", engine=self.name)

    def _fail(self, error: EngineUnavailable, *, trying: bool) -> None:
        """Note that the engine was not available, and open where it asks for that or has failed too often."""
        with self._lock:
            was, now = self._state, self._clock()
            failures = was.failures + 1
            worn_out = trying or (was.state == "closed" and failures >= FAILURES)
            pause = error.retry_after or (OPEN_SECONDS if worn_out else 0.0)
            self._state = replace(was, failures=failures, reason=error.reason)
            self._error = error
            if pause:
                self._state = State("open", max(now + pause, was.until or 0.0), failures, error.reason)
        if pause and was.state != "open":
            log.warning("breaker.opened", engine=self.name, code=error.code, reason=str(error), seconds=round(pause, 1))

    def _abandon(self) -> None:
        """Note that the call which was to try ended in a way that says nothing of the engine: the next one tries."""
        with self._lock:
            if self._state.state == "probing":
                self._state = replace(self._state, state="open", until=self._clock())


@dataclass(frozen=True, slots=True)
class Guarded:
    """A seat behind its breaker: the same port. A probe is always let through, since a person asks for it."""

    seat: Seat
    breaker: Breaker

    @property
    def name(self) -> str:
        """Return the name of the engine."""
        return self.seat.name

    def read(self, request: Request, /) -> Reading:
        """Return what the engine sees, its note only once; raise EngineUnavailable at once if it is left alone."""
        reading = self.breaker.call(lambda: self.seat.read(request))
        return reading if not reading.note or self.breaker.is_news(reading.note) else replace(reading, note="")

    def probe(self) -> str:
        """Return what the engine says of itself."""
        return self.seat.probe()


def guarded(seat: Seat, breaker: Breaker) -> Guarded:
    """Return *seat* behind *breaker*."""
    return Guarded(seat, breaker)


def _nothing() -> None:
    """Leave everything as it is."""
