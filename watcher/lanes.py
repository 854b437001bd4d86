"""What one thread works on: its acts, how they are done, where new work comes from, and its pauses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from watcher.model import Arrival, Task
from watcher.verdicts import Failure

_LONGEST_PAUSE = 30.0


class Feeder(Protocol):
    """Where arrivals come from; all three raise `Deferred` if they cannot work at the moment."""

    def look(self) -> list[Arrival]:
        """Return what has arrived."""

    def admit(self, arrivals: Sequence[Arrival]) -> None:
        """Write down what has arrived."""

    def pause(self) -> float:
        """Return the seconds until there may be more."""


@dataclass(slots=True)
class Lane:
    """What one thread works on.

    Attributes:
        name: `keeper`, `reader-1`, `registrar`, `courier`.
        acts: What it claims; a callable, since the sinks may change.
        perform: Does a batch of one kind of act and returns what failed.
        limit: The largest batch.
        feeder: The source of work that nobody owes yet: the keeper's.
        bell: Rung when there may be something to do.

    """

    name: str
    acts: Callable[[], Sequence[str]]
    perform: Callable[[Sequence[Task]], list[Failure]]
    limit: Callable[[], int] = lambda: 1
    feeder: Feeder | None = None
    bell: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Stall:
    """Growing pauses while something cannot be done at all: not before *until*, after so many *times* in a row."""

    until: float = float("-inf")
    times: int = 0

    def begin(self, now: float) -> float:
        """Begin another pause and return its seconds: 1, 2, 4, … up to a bound, and 1 again after that long without."""
        if now - self.until > _LONGEST_PAUSE:
            self.times = 0
        pause = min(float(1 << min(self.times, 10)), _LONGEST_PAUSE)
        self.until, self.times = now + pause, self.times + 1
        return pause
