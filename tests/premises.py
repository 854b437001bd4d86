"""A whole line on real folders, put together by hand: its lanes work round by round, by a clock that tests turn."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.makers import Hands
from watcher.arrivals import Patience
from watcher.errors import WatcherError
from watcher.flow import KEEPER_ACTS, READ, REGISTER, Ask, Flow, Stations
from watcher.inbox import Inbox
from watcher.inbox.looks import look_at_image
from watcher.intake import Intake
from watcher.intake.quarantine import Quarantine
from watcher.journal import Journal
from watcher.journal.connection import Connection
from watcher.journal.questions import Questions
from watcher.keeper import Keeper
from watcher.lanes import Lane
from watcher.model import Arrival, Image, Reading, Record, Sidecar, Sighting, StoredImage, TimeSource
from watcher.register import Register
from watcher.sinks import Sink
from watcher.worker import Worker

DAY = 24 * 3600.0
LARGEST = 1 << 20


class LookBelow(Protocol):
    """A look at a file, given the last sighting of it if there was one."""

    def __call__(self, path: bytes, last: Sighting | None = None, /) -> Sighting | None:
        """Look at the file at *path*."""


def look_below(root: Path) -> LookBelow:
    """Return the look at a file below *root*."""

    def look(path: bytes, last: Sighting | None = None, /) -> Sighting | None:
        seen = look_at_image(os.fsencode(root), path, frozenset(), last)
        return seen if isinstance(seen, Sighting) else None

    return look


def seen(root: Path, path: str) -> Sighting:
    """Return the sighting of a file that is there."""
    sighting = look_below(root)(os.fsencode(path))
    assert sighting is not None
    return sighting


def drop(root: Path, path: str, data: bytes) -> Path:
    """Put a file below *root*, in one piece, as a camera that renames does."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    hidden = target.with_name("." + target.name)
    hidden.write_bytes(data)
    hidden.rename(target)
    return target


def sidecar_of(root: Path, path: str, **said: str) -> Sidecar:
    """Return the fact of the sidecar that lies at *path*."""
    return Sidecar(path=os.fsencode(path), identity=seen(root, path).identity, **said)  # type: ignore[arg-type]


class Recorder:
    """A sink that remembers what it was told, and raises what it is given first."""

    def __init__(self, *troubles: WatcherError, name: str = "office") -> None:
        self.name = name
        self.told: list[tuple[Record, str]] = []
        self._troubles = list(troubles)

    def send(self, record: Record, key: str) -> None:
        """Take *record*."""
        if self._troubles:
            raise self._troubles.pop(0)
        self.told.append((record, key))


def plate(stored: StoredImage) -> Reading:
    """Read a plate that is made of the photo's digest."""
    return Reading(stored.image.digest[:7].upper(), confidence=0.9, engine="fake", tried=("fake",))


class Premises:
    """The folders below *root*, the parts of a line on them, and what can be seen of them from outside."""

    def __init__(
        self,
        root: Path,
        hands: Hands,
        *,
        ask: Ask = plate,
        sinks: Sequence[Sink] = (),
        window: float = DAY,
        timestamps: Sequence[TimeSource] = ("sidecar", "arrival"),
        inbox: Path | None = None,
        quarantine: Path | None = None,
    ) -> None:
        self.hands = hands
        self.inbox, self.uploads, self.data = inbox or root / "inbox", root / "uploads", root / "data"
        for folder in self.inbox, self.uploads, self.data:
            folder.mkdir(parents=True, exist_ok=True)
        clocks = hands.clocks
        self.connection = Connection(self.data)
        self.journal, self.questions = Journal(self.connection), Questions(self.connection)
        self.bell = threading.Event()
        self.door = Inbox(
            self.inbox,
            mode="poll",
            patience=Patience(largest=LARGEST),
            ignore=(),
            clocks=clocks,
            bell=self.bell,
            latest_from=self.questions.latest_from,
        )
        self.intake = Intake(
            inbox=self.inbox.resolve(),
            uploads=self.uploads.resolve(),
            look=self.door.again,
            clocks=clocks,
            timestamps=timestamps,
            largest=LARGEST,
        )
        shelter = quarantine or self.data / "quarantine"
        self.quarantine = Quarantine(
            shelter, self.inbox.resolve(), look=look_below(shelter), clocks=clocks, days=30, megabytes=64
        )
        self.register = Register(self.data)
        self.ask = ask
        self.sinks: Mapping[str, Sink] = {sink.name: sink for sink in sinks}
        self.window = window
        self.assemble()

    def assemble(
        self,
        *,
        journal: Journal | None = None,
        intake: Intake | None = None,
        register: Register | None = None,
    ) -> None:
        """Put the parts together, with others in the place of ours where given."""
        clocks = self.hands.clocks
        used = journal or self.journal
        stations = Stations(intake or self.intake, self.quarantine, register or self.register, self.sinks)
        self.flow = Flow(used, self.questions, stations, clocks, self.window)
        self.keeper = Keeper(self.door, self.flow, self.quarantine, clocks, 64)
        lanes = (
            Lane("keeper", lambda: KEEPER_ACTS, self.flow.keep, lambda: 64, self.keeper, self.bell),
            Lane("reader-1", lambda: (READ,), partial(self.flow.read, ask=self.ask), lambda: 16),
            Lane("registrar", lambda: (REGISTER,), self.flow.register, lambda: 64),
            Lane("courier", self.flow.notify_acts, self.flow.notify),
        )
        self.workers = [Worker(lane, used, self.questions, clocks, self.bell.set) for lane in lanes]

    def open(self) -> None:
        """Do what is done once at start."""
        self.register.check()
        self.quarantine.prepare()
        self.journal.adopt()
        self.intake.sweep(self.questions.temporaries())

    def close(self) -> None:
        """Let go of everything."""
        self.door.close()
        self.connection.close()

    def work(self, turns: int = 8, *, seconds: float = 1.0) -> None:
        """Let every lane do *turns* rounds, with so many *seconds* between them."""
        for _ in range(turns):
            self.hands.turn(seconds)
            for worker in self.workers:
                worker.round()

    def drop(self, path: str, data: bytes) -> Path:
        """Put a file into the inbox."""
        return drop(self.inbox, path, data)

    def arrival(self, path: str, sidecar: Sidecar | None = None, rejection: str = "") -> Arrival:
        """Return the arrival of a file that lies in the inbox."""
        return Arrival(seen(self.inbox, path), sidecar, rejection)

    def admitted(self, path: str, sidecar: Sidecar | None = None) -> Image:
        """Admit a file that lies in the inbox, and return the image that the journal knows."""
        self.flow.admit([self.arrival(path, sidecar)])
        image = self.questions.latest_from([os.fsencode(path)])
        assert image is not None
        return image

    def rows(self) -> list[list[str]]:
        """Return the rows of the register."""
        path = self.data / "registros.csv"
        text = path.read_bytes().decode() if path.exists() else ""
        return list(csv.reader(text.splitlines()))[1:]

    def photos(self) -> dict[str, str]:
        """Return the digest of every file in `uploads/`, hidden ones included."""
        return digests(self.uploads)

    def waiting(self) -> list[str]:
        """Return what lies in the inbox, hidden files included."""
        return sorted(str(path.relative_to(self.inbox)) for path in self.inbox.rglob("*") if path.is_file())

    def quarantined(self) -> list[str]:
        """Return what lies in the quarantine, without the reasons."""
        return sorted(f"{item.reason}/{item.name}" for item in self.quarantine.items())

    def reason(self, item: str) -> dict[str, object]:
        """Return what the quarantine says about *item*."""
        facts: dict[str, object] = json.loads((self.quarantine.folder / (item + ".reason.json")).read_bytes())
        return facts

    def steps(self, act: str) -> list[tuple[str, int, int, int]]:
        """Return status, attempts, strikes and the suspicion of each task of *act*, as the journal holds them."""
        with self.connection.turn(writing=False) as db:
            rows = db.execute(
                "SELECT status, attempts, strikes, suspect FROM tasks WHERE act = ? ORDER BY id", (act,)
            ).fetchall()
        return [tuple(row) for row in rows]


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in *folder* by its name."""
    return {path.name: digest(path.read_bytes()) for path in folder.iterdir() if path.is_file()}


def digest(data: bytes) -> str:
    """Return the SHA-256 of *data* in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
