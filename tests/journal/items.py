"""Facts for a journal, one like the other but for what a test is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from tests.makers import NOON
from watcher.journal import Admission, Done, Journal
from watcher.journal.connection import Connection
from watcher.model import Identity, Image, Reading, Task

NOW = NOON.timestamp()
DAY = 86_400.0

IMAGE = Image(
    name="",
    source=b"gate/cam.jpg",
    identity=Identity(1, 2, 3, 4),
    digest="0" * 64,
    temporary=".incoming-0",
    camera="gate",
    kind="plate",
    sidecar=None,
    arrived_at=NOON,
    captured_at=NOON,
    time_source="arrival",
)


def item(number: int = 0, *, seconds: float = 0.0, reason: str = "") -> Admission:
    """Return the admission of image *number*, which arrived so many *seconds* after noon."""
    moment = NOON + timedelta(seconds=seconds)
    image = replace(
        IMAGE,
        source=b"gate/%d.jpg" % number,
        digest=f"{number:064x}",
        temporary=f".incoming-{number}",
        arrived_at=moment,
        captured_at=moment,
    )
    return Admission(image, "jpg", reason, f"{number}.jpg" if reason else "")


def admit(journal: Journal, *items: Admission, now: float = NOW, window: float = DAY) -> list[Image]:
    """Admit *items* where no name is taken on the disk."""
    return journal.admit(items, now=now, window_seconds=window, taken=lambda _: False)


def done(journal: Journal, tasks: Sequence[Task], *owes: str) -> None:
    """Finish *tasks*, which lead to the acts *owes*."""
    journal.finish([Done(task, owes=owes) for task in tasks])


def registered(journal: Journal, *items: Admission, now: float = NOW) -> list[Image]:
    """Bring *items* to where they have their rows, with ids from the next one on; return the images."""
    images = admit(journal, *items, now=now)
    for act, owes in (("store", "read"), ("read", "register")):
        while tasks := journal.claim([act], now=now, limit=1000):
            reading = Reading("1234BCD", 0.9, "fake") if act == "read" else None
            journal.finish([Done(task, owes=(owes,), reading=reading) for task in tasks])
    first = 1
    while tasks := journal.claim(["register"], now=now, limit=1000):
        journal.finish([Done(task, record_id=first + at, recorded_at=NOON) for at, task in enumerate(tasks)])
        first += len(tasks)
    return images


def opened(folder: Path) -> Journal:
    """Return a journal of its own on the file in *folder*."""
    return Journal(Connection(folder))
