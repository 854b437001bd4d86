"""Which act follows which, and what is remembered after each.

    admit ─▶ store ─▶ read ─▶ register ─▶ notify/<sink>
      │        └▶ release (a source that could not be removed)
      └▶ quarantine

Three beats: write down, act, remember. An act may raise; only this module remembers, and always last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from watcher import chronicle, notify, register
from watcher.clocks import Clocks
from watcher.errors import ChildLost, Deferred, Rejected, SinkUnavailable, StorageUnavailable
from watcher.inbox.listing import image_names
from watcher.intake import Intake, Stored
from watcher.intake.leftovers import fresh, is_leftover
from watcher.intake.quarantine import Quarantine
from watcher.journal import Admission, Done, Journal
from watcher.journal.questions import Questions
from watcher.model import Arrival, Image, Reading, Record, Row, StoredImage, Task
from watcher.register import Register
from watcher.sinks import Sink
from watcher.verdicts import MOST_STRIKES, Failure

KEEPER_ACTS = ("quarantine", "store", "release")
READ, REGISTER, NOTIFY = "read", "register", "notify/"

Ask = Callable[[StoredImage], Reading]


@dataclass(frozen=True, slots=True)
class Stations:
    """What the acts are done with."""

    intake: Intake
    quarantine: Quarantine
    register: Register
    sinks: Mapping[str, Sink]


class Flow:
    """The acts, each on a batch; what fails comes back, what succeeds is remembered before it returns."""

    def __init__(
        self, journal: Journal, questions: Questions, stations: Stations, clocks: Clocks, window_seconds: float
    ) -> None:
        self._journal = journal
        self._questions = questions
        self._stations = stations
        self._clocks = clocks
        self._window = window_seconds

    def adopt(self, sinks: Mapping[str, Sink], window_seconds: float) -> None:
        """Take new settings."""
        self._stations = Stations(self._stations.intake, self._stations.quarantine, self._stations.register, sinks)
        self._window = window_seconds

    def admit(self, arrivals: Sequence[Arrival]) -> int:
        """Write down *arrivals* and own a copy of each; return how many had changed and must be looked at again.

        Raises:
            StorageUnavailable: Some could not be copied, or the journal cannot be written; the others are written down.

        """
        intake = self._stations.intake
        unfinished = self._questions.unfinished([path for arrival in arrivals for path in _paths(arrival)])
        secured = intake.secure(list(fresh(arrivals, unfinished)))
        left = [item for item in secured.items if _is_leftover(item.image, unfinished)]
        intake.discard([item.image for item in left])
        self._write_down([item for item in secured.items if item not in left])
        if secured.error is not None:
            raise secured.error
        return secured.changed

    def _write_down(self, items: Sequence[Admission]) -> None:
        if not items:
            return
        intake = self._stations.intake
        try:
            images = self._journal.admit(items, now=self._clocks.wall(), window_seconds=self._window, taken=self._taken)
        except BaseException:
            # Should the journal know them all the same, `store` copies them once more.
            with suppress(StorageUnavailable):
                intake.discard([item.image for item in items])
            raise
        intake.discard([image for image in images if image.duplicate_of])
        for item, image in zip(items, images, strict=True):
            chronicle.admitted(item.reason, image)

    def keep(self, tasks: Sequence[Task]) -> list[Failure]:
        """Do an act of the keeper; *tasks* are all of one kind."""
        acts = {"quarantine": self._quarantine, "store": self._store, "release": self._release}
        return acts[tasks[0].act](tasks)

    def read(self, tasks: Sequence[Task], ask: Ask) -> list[Failure]:
        """Have each image read by *ask*; one whose attempts are used up gets an empty reading and its row."""
        done, failed = [], []
        for task in tasks:
            try:
                reading = _given_up(task) or ask(self._stations.intake.stored(task.image))
            except (Deferred, ChildLost) as error:
                failed.append(Failure(task, error))
            else:
                done.append(Done(task, owes=(REGISTER,), reading=_with_sidecar_error(reading, task.image)))
        self._journal.finish(done)
        for item in done:
            chronicle.read(item.task, item.reading)
        return failed

    def register(self, tasks: Sequence[Task]) -> list[Failure]:
        """Append the rows of *tasks*: all of them, or none."""
        rows = [_row(task, repeated=task.attempts > 1) for task in tasks]
        ids = self._stations.register.append(rows, highest_id=self._questions.highest_id(), owed=self._owed_rows)
        now = self._clocks.now()
        tell = self.notify_acts()
        done = [
            # A row that was there before is no news.
            Done(task, owes=() if task.record_id else tell, record_id=number, recorded_at=task.recorded_at or now)
            for task, number in zip(tasks, ids, strict=True)
        ]
        self._journal.finish(done)
        for task, number in zip(tasks, ids, strict=True):
            chronicle.registered(task, number, now)
        return []

    def notify_acts(self) -> tuple[str, ...]:
        """Return the acts of the sinks there are; those of a sink that is gone stay owed and are never claimed."""
        return tuple(NOTIFY + name for name in self._stations.sinks)

    def notify(self, tasks: Sequence[Task]) -> list[Failure]:
        """Tell each task's sink."""
        done, failed = [], []
        for task in tasks:
            try:
                notify.deliver(self._sink(task), record_of(task), notify.key_of(task.image, task.act))
            except (Deferred, Rejected) as error:
                failed.append(Failure(task, error))
            else:
                done.append(Done(task))
        self._journal.finish(done)
        return failed

    def _sink(self, task: Task) -> Sink:
        name = task.act.removeprefix(NOTIFY)
        sink = self._stations.sinks.get(name)
        if sink is None:
            raise SinkUnavailable(f"The sink {name} is not configured any more.", hint="Put it back into [[sinks]].")
        return sink

    def _store(self, tasks: Sequence[Task]) -> list[Failure]:
        results = self._stations.intake.store([task.image for task in tasks])
        pairs = list(zip(tasks, results, strict=True))
        done = [_stored(task, result) for task, result in pairs if isinstance(result, Stored)]
        self._journal.finish(done)
        chronicle.stored(done)
        return [Failure(task, result) for task, result in pairs if isinstance(result, Exception)]

    def _quarantine(self, tasks: Sequence[Task]) -> list[Failure]:
        done, failed = [], []
        for task in tasks:
            try:
                done.append(Done(task, gone=not self._stations.quarantine.put(task.image)))
            except Deferred as error:
                failed.append(Failure(task, error))
        self._journal.finish(done)
        chronicle.quarantined(done)
        return failed

    def _release(self, tasks: Sequence[Task]) -> list[Failure]:
        left = self._stations.intake.release([task.image for task in tasks])
        done = [Done(task) for task, behind in zip(tasks, left, strict=True) if not behind]
        self._journal.finish(done)
        chronicle.released(done)
        return [Failure(task, _not_removed(task.image)) for task, behind in zip(tasks, left, strict=True) if behind]

    def _owed_rows(self) -> list[Row]:
        return [_row(task, repeated=True) for task in self._questions.owed(REGISTER)]

    def _taken(self, name: str) -> bool:
        return self._stations.quarantine.taken(name) if "/" in name else self._stations.intake.taken(name)


def record_of(task: Task) -> Record:
    """Return the record that *task* is about.

    Raises:
        ValueError: Its row has not been appended yet.

    """
    if task.record_id is None or task.recorded_at is None:
        raise ValueError(f"{task.image.name} has no row yet")
    cell = _row(task, repeated=True).matricula
    return Record(task.record_id, cell, task.image, _reading(task), task.recorded_at)


def _is_leftover(image: Image, unfinished: Sequence[Image]) -> bool:
    return is_leftover(unfinished, image.source, image.identity, image.digest)


def _paths(arrival: Arrival) -> list[bytes]:
    """Return the paths of *arrival*, and those of all images that its sidecar may have gone with."""
    beside = arrival.sidecar
    return [arrival.image.path, *([] if beside is None else [beside.path, *image_names(beside.path)])]


def _row(task: Task, *, repeated: bool) -> Row:
    """Return the row of *task*; one that somebody removed keeps the id that it had."""
    return register.row(task.image, _reading(task), repeated=repeated, number=task.record_id)


def _reading(task: Task) -> Reading:
    return task.reading or Reading(None)


def _given_up(task: Task) -> Reading | None:
    """Return an empty reading if *task* ended without an explanation too often: every image gets its row."""
    return Reading(None, code="reader_crashed", review=True) if task.strikes > MOST_STRIKES else None


def _with_sidecar_error(reading: Reading, image: Image) -> Reading:
    bad = image.sidecar is not None and image.sidecar.error
    return replace(reading, code="sidecar_error") if bad and not reading.code else reading


def _stored(task: Task, result: Stored) -> Done:
    if result.stored is None:
        return Done(task, gone=True)
    return Done(task, owes=(READ, "release") if result.leftover else (READ,))


def _not_removed(image: Image) -> Deferred:
    return Deferred(
        f"The photo {image.source!r} is safe in uploads/ but cannot be removed from the inbox.",
        hint="Give the service write rights on its folder, and close the photo where it is open.",
        code="not_removed",
    )
