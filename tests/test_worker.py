"""The loop of a lane: what it claims, what it survives, what it tells the journal, and when it stops everything."""

from __future__ import annotations

import errno
import os
import resource
import tempfile
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, eventually
from tests.records import RECORD
from tests.refusals import refused
from watcher.errors import (
    ChildLost,
    DeliveryRefused,
    EngineUnavailable,
    JournalUnusable,
    LineBroken,
    StorageUnavailable,
)
from watcher.journal import Admission, Done, Journal
from watcher.journal.connection import Connection
from watcher.journal.questions import Questions
from watcher.lanes import Lane
from watcher.model import Arrival, Identity, Sighting, Task
from watcher.verdicts import Failure
from watcher.worker import Worker

MEMORY = "/dev/shm"  # noqa: S108 (a name of its own is made in it)

Perform = Callable[[Sequence[Task]], list[Failure]]


@dataclass
class Shop:
    """A worker over a real journal, with images that owe their `store`; what is performed is up to the test."""

    folder: Path
    hands: Hands
    limit: int = 1
    performed: list[list[str]] = field(default_factory=list)
    perform: Perform = lambda _: []
    feeder: Feeding | None = None
    rung: int = 0
    stops: bool = False

    def __post_init__(self) -> None:
        self.connection = Connection(self.folder)
        self.journal, self.questions = Journal(self.connection), Questions(self.connection)
        self.acts: Sequence[str] = ("store",)
        self.worker = self.hired()

    def hired(self) -> Worker:
        """Return a new worker, as after a restart."""
        lane = Lane("keeper", lambda: self.acts, self._perform, lambda: self.limit, self.feeder)
        return Worker(lane, self.journal, self.questions, self.hands.clocks, self._ring)

    def feed(self, feeder: Feeding) -> None:
        """Give the lane a source of work."""
        self.feeder = feeder
        self.worker = feeder.worker = self.hired()

    def owe(self, count: int, act: str = "store") -> list[str]:
        """Write down that many images that owe *act*, and return their names."""
        items = [
            Admission(replace(RECORD.image, name="", digest=os.urandom(8).hex(), sidecar=None), "jpg")
            for _ in range(count)
        ]
        images = self.journal.admit(items, now=self.hands.wall, window_seconds=0, taken=lambda _: False)
        if act != "store":
            tasks = self.journal.claim(["store"], now=self.hands.wall, limit=count)
            self.journal.finish([Done(task, owes=(act,)) for task in tasks])
        return [image.name for image in images]

    def rounds(self, count: int, *, seconds: float = 0.0) -> list[float]:
        """Do that many rounds, with so many *seconds* between them."""
        pauses = []
        for _ in range(count):
            pauses.append(self.worker.round())
            self.hands.turn(seconds)
        return pauses

    def steps(self) -> dict[str, tuple[str, int, int, int, int]]:
        """Return status, claim, attempts, strikes and suspicion of the open task of each image."""
        with self.connection.turn(writing=False) as db:
            rows = db.execute(
                "SELECT images.name, status, claimed <> 0, attempts, strikes, suspect FROM tasks"
                " JOIN images ON images.id = tasks.image WHERE tasks.act = ? ORDER BY images.id",
                (self.acts[-1],),
            ).fetchall()
        return {row[0]: tuple(row)[1:] for row in rows}

    def _perform(self, tasks: Sequence[Task]) -> list[Failure]:
        self.performed.append([task.image.name for task in tasks])
        failures = self.perform(tasks)
        failed = {failure.task.id for failure in failures}
        if done := [Done(task) for task in tasks if task.id not in failed]:
            self.journal.finish(done)
        return failures

    def _ring(self) -> None:
        self.rung += 1


class Feeding:
    """Where arrivals come from: those in *waiting*, each of which raises what is written for it in *troubles*."""

    def __init__(self, *waiting: str, troubles: dict[str, Exception] | None = None) -> None:
        self.waiting = list(waiting)
        self.troubles = troubles or {}
        self.admitted: list[list[str]] = []
        self.looks = 0
        self.worker: Worker | None = None
        self.seen_looking: list[bool] = []

    def look(self) -> list[Arrival]:
        """Return all that waits."""
        self.looks += 1
        self.seen_looking.append(self.worker is not None and self.worker.looking)
        self._trouble(["look"])
        return [
            Arrival(Sighting(name.encode(), Identity(1, 2, 3, 4), 0, 1, "none", "whole", "jpg"))
            for name in self.waiting
        ]

    def admit(self, arrivals: Sequence[Arrival]) -> None:
        """Take them in, all or none."""
        names = [arrival.image.path.decode() for arrival in arrivals]
        self._trouble(names)
        self.admitted.append(names)
        self.waiting = [name for name in self.waiting if name not in names]

    def pause(self) -> float:
        """Return how long to wait."""
        return 7.0

    def _trouble(self, names: Sequence[str]) -> None:
        for name in names:
            if name in self.troubles:
                raise self.troubles[name]


@pytest.fixture
def shop(hands: Hands) -> Iterator[Shop]:
    """Give a worker with nothing to do; in memory where that can be had, since no power will be cut."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        one = Shop(Path(folder), hands)
        yield one
        one.connection.close()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """Give what is logged."""
    with capture_logs() as lines:
        yield lines


class Disk:
    """The disk, which can be filled to the last byte."""

    def __init__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        """Let no file grow any more."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._limits[1]))

    def free(self) -> None:
        """Make room."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Give the disk of the journal."""
    one = Disk()
    yield one
    one.free()


def events(logs: list[MutableMapping[str, Any]], *, least: str = "info") -> list[str]:
    """Return the names of what was logged, without what is only for debugging."""
    return [line["event"] for line in logs if least == "debug" or line["log_level"] != "debug"]


def failing(*names: str, error: Exception) -> Perform:
    """Return an act that fails for these images, and otherwise succeeds."""

    def perform(tasks: Sequence[Task]) -> list[Failure]:
        return [Failure(task, error) for task in tasks if task.image.name in names]

    return perform


def crashing(*names: str, error: Exception | None = None) -> Perform:
    """Return an act that raises for a batch with one of these images in it."""

    def perform(tasks: Sequence[Task]) -> list[Failure]:
        if {task.image.name for task in tasks} & set(names):
            raise error or KeyError("a bug")
        return []

    return perform


# Working


def test_what_is_owed_is_done(shop: Shop) -> None:
    """Batch by batch, the oldest first; everybody is told that something happened, and then there is time."""
    names = shop.owe(5)
    shop.limit = 2
    pauses = shop.rounds(5)

    assert [names[:1], names[1:3], names[3:]] == shop.performed
    assert [0.0, 0.0, 0.0, 10.0, 10.0] == pauses
    assert 3 == shop.rung
    assert 5 == shop.worker.rounds
    assert {"done"} == {step[0] for step in shop.steps().values()}


def test_after_a_start_one_act_is_tried_alone(shop: Shop) -> None:
    """Lest whatever ended the last run ends this one in the same way, with a whole batch in its hands."""
    shop.owe(9)
    shop.limit = 4
    shop.rounds(2)
    shop.worker = shop.hired()
    shop.rounds(2)

    assert [1, 4, 1, 3] == [len(batch) for batch in shop.performed]


def test_no_kind_of_act_waits_for_another(shop: Shop) -> None:
    """Each round does one batch of each kind, in their order, and a batch holds one kind only."""
    released = shop.owe(3, act="release")
    stored = shop.owe(3)
    shop.acts = ("release", "store")
    shop.limit = 2
    shop.rounds(2)

    assert [released[:1], stored[:2], released[1:], stored[2:]] == shop.performed


def test_a_round_of_many_acts_does_not_look_stuck(shop: Shop) -> None:
    """Each receiver may take its time: what counts is when the last batch was begun, and idle is idle."""
    shop.owe(1, act="notify/one")
    shop.owe(1, act="notify/two")
    shop.acts = ("notify/one", "notify/two")
    since = []

    def perform(_: Sequence[Task]) -> list[Failure]:
        since.append(shop.worker.busy_since)
        shop.hands.turn(100)
        return []

    shop.perform = perform
    before = shop.hands.monotonic
    shop.rounds(1)

    assert [before, before + 100] == since
    assert shop.worker.busy_since is None


def test_a_lane_without_acts_idles(shop: Shop) -> None:
    """A courier without sinks has nothing to ask the journal for."""
    shop.owe(1)
    shop.acts = ()

    assert [10.0] == shop.rounds(1)
    assert [] == shop.performed


def test_it_sleeps_until_the_next_act_is_due(shop: Shop) -> None:
    """Not longer than ten seconds, and not at all if it is overdue."""
    [name] = shop.owe(1)
    shop.perform = failing(name, error=EngineUnavailable("Not now.", retry_after=25.0))
    shop.rounds(1)

    assert [10.0, 10.0, 5.0] == shop.rounds(3, seconds=10)
    shop.rounds(1)
    assert 2 == len(shop.performed)
    shop.hands.turn(24.5)
    assert [0.5] == shop.rounds(1)


# What goes wrong with acts


def test_what_cannot_be_done_now_is_tried_again_with_growing_pauses(shop: Shop) -> None:
    """Each attempt is counted, and an explained failure is no strike."""
    [name] = shop.owe(1)
    shop.perform = failing(name, error=EngineUnavailable("Not now."))
    shop.rounds(1)
    done_at = []
    for second in range(1, 70):
        shop.hands.turn(1)
        before = len(shop.performed)
        shop.rounds(1)
        if len(shop.performed) > before:
            done_at.append(second)

    assert [1, 3, 7, 15, 31, 63] == done_at
    assert {name: ("owed", 0, 7, 0, 0)} == shop.steps()


def test_a_pause_that_was_asked_for_is_kept(shop: Shop) -> None:
    """The receiver said when to come back."""
    [name] = shop.owe(1)
    shop.perform = failing(name, error=EngineUnavailable("Not now.", retry_after=100.0))
    shop.rounds(1)
    shop.hands.turn(99.9)
    shop.rounds(1)
    assert 1 == len(shop.performed)
    shop.hands.turn(0.2)
    shop.rounds(1)

    assert 2 == len(shop.performed)


def test_one_item_that_fails_does_not_hold_up_its_batch(shop: Shop) -> None:
    """The others are done; it is tried again later."""
    names = shop.owe(5)
    shop.limit = 9
    shop.perform = failing(names[2], error=StorageUnavailable("Full."))
    shop.rounds(2)

    assert {names[2]: "owed"} == {name: step[0] for name, step in shop.steps().items() if step[0] != "done"}


def test_what_is_refused_for_ever_is_parked(shop: Shop) -> None:
    """It waits for a person, with the reason, and is not claimed again."""
    [name] = shop.owe(1, act="notify/office")
    shop.acts = ("notify/office",)
    shop.perform = failing(name, error=DeliveryRefused("Never."))
    shop.rounds(3, seconds=3600)

    assert [[name]] == shop.performed
    assert {name: ("parked", 0, 1, 1, 0)} == shop.steps()


def test_a_batch_that_crashes_is_done_one_by_one(shop: Shop) -> None:
    """One of eight makes the batch crash: the others are done alone, and only that one is tried again and again."""
    names = shop.owe(9)
    shop.limit = 8
    shop.rounds(1)
    shop.perform = crashing(names[5])
    shop.rounds(20, seconds=1)

    assert names[1:] == shop.performed[1]
    assert all(len(batch) == 1 for batch in shop.performed[2:])
    assert {names[5]} == {name for name, step in shop.steps().items() if step[0] != "done"}


def test_what_always_crashes_alone_is_parked_after_five_strikes(shop: Shop) -> None:
    """Attempts in a batch do not count: it may have been the fault of another."""
    names = shop.owe(3, act="register")
    shop.acts = ("register",)
    shop.limit = 8
    shop.rounds(1)
    shop.perform = crashing(names[2])
    shop.rounds(60, seconds=30)

    assert ("parked", 0, 6, 5, 1) == shop.steps()[names[2]]
    assert "done" == shop.steps()[names[1]][0]
    assert 1 + 1 + 1 + 5 == len(shop.performed)


def test_a_store_that_always_crashes_is_never_given_up(shop: Shop) -> None:
    """Only acts that cost no image its row are parked."""
    [name] = shop.owe(1)
    shop.perform = crashing(name)
    shop.rounds(60, seconds=60)

    assert "owed" == shop.steps()[name][0]
    assert len(shop.performed) > 10


def test_an_explanation_wipes_strikes_out(shop: Shop) -> None:
    """What crashed four times and then only had to wait is not one strike from the end."""
    [name] = shop.owe(1, act="register")
    shop.acts = ("register",)
    shop.perform = crashing(name)
    shop.rounds(4, seconds=60)
    assert ("owed", 0, 4, 4, 1) == shop.steps()[name]
    shop.perform = failing(name, error=StorageUnavailable("Full."))
    shop.rounds(1, seconds=60)

    assert ("owed", 0, 5, 0, 0) == shop.steps()[name]


# The brake


def test_ten_different_images_in_a_row_stop_the_line(shop: Shop) -> None:
    """Then it is us and not them: nothing is held against them, and their attempts stay known."""
    names = shop.owe(12)
    shop.perform = crashing(*names)

    with pytest.raises(LineBroken) as caught:
        shop.rounds(12)
    assert 70 == caught.value.exit_code
    assert names[:10] == [batch[0] for batch in shop.performed]
    assert {("owed", 0, 1, 0, 0)} == {shop.steps()[name] for name in names[:10]}
    assert {("owed", 0, 0, 0, 0)} == {shop.steps()[name] for name in names[10:]}
    assert 12 == len(shop.journal.claim(["store"], now=shop.hands.wall, limit=99)), "they are due at once"


def test_the_same_image_counts_once(shop: Shop) -> None:
    """Nine that always crash are nine, however often they are tried."""
    names = shop.owe(9)
    shop.perform = crashing(*names)
    shop.rounds(200, seconds=60)

    assert len(shop.performed) > 50


def test_a_success_in_between_means_that_it_is_not_us(shop: Shop) -> None:
    """Nine crash, one is done, nine crash: the line goes on."""
    names = shop.owe(19)
    shop.perform = crashing(*names[:9], *names[10:])
    shop.rounds(19)

    assert 19 == len(shop.performed)
    assert "done" == shop.steps()[names[9]][0]


def test_a_crashed_batch_alone_is_no_proof(shop: Shop) -> None:
    """All of a batch fail together; only what fails alone counts towards the brake."""
    shop.owe(30)
    shop.limit = 30
    shop.rounds(1)
    shop.perform = crashing(*shop.steps())
    shop.rounds(1)
    with pytest.raises(LineBroken):
        shop.rounds(30, seconds=1)

    assert [1, 29, *[1] * 10] == [len(batch) for batch in shop.performed]


def test_the_brake_holds_without_a_journal(shop: Shop, disk: Disk) -> None:
    """What cannot be told is found at the next start: the claim is still there, and the line stops all the same."""
    names = shop.owe(10)
    shop.perform = crashing(*names)
    shop.rounds(9)

    def perform(_: Sequence[Task]) -> list[Failure]:
        disk.fill()
        raise KeyError

    shop.perform = perform
    with pytest.raises(LineBroken):
        shop.worker.round()
    disk.free()
    assert ("owed", 1, 1, 1, 0) == shop.steps()[names[9]]


# A journal that cannot be used


def test_a_journal_that_cannot_be_claimed_from_is_waited_for(shop: Shop, disk: Disk) -> None:
    """With growing pauses, however often the bell rings; afterwards everything is done."""
    first, second = shop.owe(2)
    disk.fill()
    assert [1.0, 1.0, 0.75, 0.5, 0.25] == shop.rounds(1) + shop.rounds(4, seconds=0.25)
    assert [2.0] == shop.rounds(1)
    disk.free()
    shop.hands.turn(2)
    shop.rounds(1)
    assert [[first]] == shop.performed
    disk.fill()

    assert [1.0] == shop.rounds(1), "the first pause after a success is short again"
    disk.free()
    shop.hands.turn(1)
    shop.rounds(1)
    assert [[first], [second]] == shop.performed


def test_what_the_journal_could_not_be_told_is_told_later(
    shop: Shop, disk: Disk, logs: list[MutableMapping[str, Any]]
) -> None:
    """The task stays claimed meanwhile, so nobody does it twice; nothing is claimed before it is told."""
    names = shop.owe(2)

    def perform(tasks: Sequence[Task]) -> list[Failure]:
        disk.fill()
        return [Failure(task, EngineUnavailable("Not now.", retry_after=50.0)) for task in tasks]

    shop.perform = perform
    assert [1.0] == shop.rounds(1)
    assert ["worker.deferred", "worker.stalled"] == events(logs)
    shop.hands.turn(1)
    assert [2.0] == shop.rounds(1), "it cannot be told now either"
    disk.free()
    assert ("owed", 1, 1, 1, 0) == shop.steps()[names[0]]
    shop.hands.turn(2)
    shop.perform = lambda _: []
    shop.rounds(1)

    assert ("owed", 0, 1, 0, 0) == shop.steps()[names[0]]
    assert [names[:1], names[1:]] == shop.performed


def test_an_act_whose_end_could_not_be_remembered_is_done_again(shop: Shop, disk: Disk) -> None:
    """It was done and the journal did not take it: nothing is lost, and it is no strike."""
    [name] = shop.owe(1)

    def perform(_: Sequence[Task]) -> list[Failure]:
        disk.fill()
        return []

    shop.perform = perform
    shop.rounds(1)
    disk.free()
    shop.perform = lambda _: []
    shop.rounds(4, seconds=1)

    assert [[name], [name]] == shop.performed
    assert ("done", 0, 2, 1, 0) == shop.steps()[name]


def test_not_even_asking_may_end_the_thread(shop: Shop) -> None:
    """The last question of a round, when the next act is due, may fail as well."""
    shop.acts = ()
    shop.rounds(1)
    shop.acts = ("store",)
    asked = iter([(), ("store",)])
    shop.worker.lane.acts = lambda: next(asked)
    shop.connection.close()

    assert [1.0] == refused("openat", errno.EIO, lambda: shop.rounds(1))


def test_a_journal_that_is_lost_ends_the_process(shop: Shop) -> None:
    """It is not a database any more: the service manager decides."""
    shop.owe(1)

    def perform(_: Sequence[Task]) -> list[Failure]:
        raise JournalUnusable("It is corrupt.")

    shop.perform = perform
    with pytest.raises(JournalUnusable):
        shop.worker.round()
    # A row may have been appended before: the attempt stays counted, so that the next one looks for it.
    assert {("owed", 0, 1, 0, 0)} == set(shop.steps().values())


def test_a_fatal_error_is_carried_out_though_nothing_can_be_told(shop: Shop, disk: Disk) -> None:
    """The first error is the one that is raised."""
    shop.owe(1)

    def perform(_: Sequence[Task]) -> list[Failure]:
        disk.fill()
        raise LineBroken("It is us.")

    shop.perform = perform
    with pytest.raises(LineBroken):
        shop.worker.round()
    disk.free()
    assert {("owed", 1, 1, 1, 0)} == set(shop.steps().values())


# Feeding


def test_arrivals_are_admitted_and_the_feeder_says_when_to_come_back(shop: Shop) -> None:
    """What it says counts while nothing is owed."""
    feeder = Feeding("a.jpg", "b.jpg")
    shop.feed(feeder)

    assert [7.0, 7.0] == shop.rounds(2)
    assert [["a.jpg", "b.jpg"]] == feeder.admitted


def test_acts_go_on_while_nothing_can_be_admitted(shop: Shop) -> None:
    """The disk is full: what was taken in before is worked on, and the inbox is tried again after growing pauses."""
    shop.owe(3)
    feeder = Feeding("a.jpg", troubles={"a.jpg": StorageUnavailable("Full.")})
    shop.feed(feeder)
    pauses = shop.rounds(4)
    assert 3 == len(shop.performed)
    assert [0.0, 0.0, 0.0, 1.0] == pauses
    assert 1 == feeder.looks, "it is not tried again with every round"

    looks: list[int] = []
    for second in range(1, 40):
        shop.hands.turn(1)
        shop.rounds(1)
        if feeder.looks > len(looks) + 1:
            looks.append(second)
    assert [1, 3, 7, 15, 31] == looks
    feeder.troubles.clear()
    shop.hands.turn(30)
    assert [7.0] == shop.rounds(1)
    assert [["a.jpg"]] == feeder.admitted
    feeder.waiting, feeder.troubles["b.jpg"] = ["b.jpg"], StorageUnavailable("Full again.")
    assert [1.0] == shop.rounds(1), "the first pause after a success is short again"


def test_a_look_that_fails_is_not_a_look_that_hangs(shop: Shop) -> None:
    """The lane looks only while it looks: else a stuck lane would be taken for a dead share for ever."""
    feeder = Feeding(troubles={"look": StorageUnavailable("Out of reach.")})
    shop.feed(feeder)
    shop.rounds(1)

    assert [True] == feeder.seen_looking
    assert not shop.worker.looking


def test_one_bad_arrival_does_not_hold_up_the_others(shop: Shop, logs: list[MutableMapping[str, Any]]) -> None:
    """A bug in taking in one photo: the others are taken in one by one, and owed acts go on."""
    [name] = shop.owe(1)
    feeder = Feeding("a.jpg", "bad.jpg", "c.jpg", troubles={"bad.jpg": KeyError("a bug")})
    shop.feed(feeder)
    shop.rounds(3)

    assert [["a.jpg"], ["c.jpg"]] == feeder.admitted
    assert [[name]] == shop.performed
    assert {"b'bad.jpg'"} == {line["path"] for line in logs if line["event"] == "worker.crashed"}


def test_trouble_with_the_disk_is_not_tried_one_by_one(shop: Shop) -> None:
    """It heals for all or for none; `admit` has done what it could."""
    feeder = Feeding("a.jpg", "b.jpg", troubles={"a.jpg": StorageUnavailable("Full.")})
    shop.feed(feeder)
    shop.rounds(1)

    assert [] == feeder.admitted


def test_a_bug_in_looking_does_not_stop_acts(shop: Shop) -> None:
    """What is owed is done meanwhile; nine looks in a row may fail, and one that does not wipes them out."""
    names = shop.owe(3)
    feeder = Feeding(troubles={"look": KeyError("a bug")})
    shop.feed(feeder)

    assert [0.0, 0.0, 0.0, 1.0] == shop.rounds(4)
    shop.rounds(5)
    assert names == [batch[0] for batch in shop.performed]
    assert not shop.worker.looking
    bug = feeder.troubles.pop("look")
    assert [7.0] == shop.rounds(1)
    feeder.troubles["look"] = bug
    assert [1.0] * 9 == shop.rounds(9)


def test_ten_looks_in_a_row_that_crash_stop_the_line(shop: Shop) -> None:
    """Nothing is ever taken in: it is us, and a start may help."""
    shop.feed(Feeding(troubles={"look": KeyError("a bug")}))
    shop.rounds(9)

    with pytest.raises(LineBroken):
        shop.rounds(1)


def test_ten_different_arrivals_that_crash_stop_the_line(shop: Shop) -> None:
    """None of them can be taken in: it is us."""
    names = [f"{number}.jpg" for number in range(12)]
    shop.feed(Feeding(*names, troubles=dict.fromkeys(names, KeyError("a bug"))))

    with pytest.raises(LineBroken):
        shop.worker.round()


def test_a_photo_that_was_taken_in_means_that_it_is_not_us(shop: Shop) -> None:
    """Nine cannot be taken in, one can, nine cannot: the line goes on."""
    names = [f"{number:02}.jpg" for number in range(19)]
    feeder = Feeding(*names, troubles=dict.fromkeys(names, KeyError("a bug")))
    del feeder.troubles["09.jpg"]
    shop.feed(feeder)

    assert [7.0] == shop.rounds(1)
    assert [["09.jpg"]] == feeder.admitted


def test_a_fatal_error_in_feeding_ends_the_process(shop: Shop) -> None:
    """Neither looking nor taking in may swallow it."""
    for feeder in (
        Feeding(troubles={"look": JournalUnusable("It is corrupt.")}),
        Feeding("a.jpg", troubles={"a.jpg": JournalUnusable("It is corrupt.")}),
    ):
        shop.feed(feeder)
        with pytest.raises(JournalUnusable):
            shop.worker.round()


# Stopping


def test_a_child_that_was_cut_short_says_nothing_about_its_image(shop: Shop) -> None:
    """At an orderly end its attempt is given back; any other failure is told as always, and a real one is a strike."""
    names = shop.owe(4)
    shop.limit = 2
    error: Exception = ChildLost("cut short", late=False)

    def perform(tasks: Sequence[Task]) -> list[Failure]:
        shop.worker.stopping = shop.stops
        return [Failure(task, error) for task in tasks]

    shop.perform = perform
    shop.stops = True
    shop.rounds(1)
    assert ("owed", 0, 0, 0, 0) == shop.steps()[names[0]]
    shop.worker = shop.hired()
    shop.stops = False
    shop.rounds(1)
    assert ("owed", 0, 1, 1, 1) == shop.steps()[names[0]]
    shop.stops = True
    error = KeyError("a bug")
    shop.rounds(1)

    assert {("owed", 0, 1, 0, 1)} == {shop.steps()[name] for name in names[1:3]}


def test_no_new_batch_is_begun_once_it_is_told_to_stop(shop: Shop) -> None:
    """The batch at hand is finished, the next kind of act is left for the next run."""
    released = shop.owe(1, act="release")
    stored = shop.owe(1)
    shop.acts = ("release", "store")

    def perform(_: Sequence[Task]) -> list[Failure]:
        shop.worker.stop()
        return []

    shop.perform = perform
    shop.rounds(1)

    assert [released] == shop.performed
    assert "owed" == shop.steps()[stored[0]][0]


def test_the_thread_works_until_it_is_told_to_stop(shop: Shop) -> None:
    """It wakes when the bell rings, long before its pause is over, and says that it is idle in between."""
    thread = threading.Thread(target=shop.worker.run)
    thread.start()
    try:
        assert eventually(lambda: shop.worker.rounds > 0 and shop.worker.busy_since is None)
        shop.owe(3)
        shop.worker.lane.bell.set()
        assert eventually(lambda: len(shop.performed) == 3)
    finally:
        shop.worker.stop()
        thread.join(10)
    assert not thread.is_alive()
    assert shop.worker.rounds < 20, "it does not run hot"


@pytest.mark.parametrize("room_again", [True, False])
def test_a_thread_that_is_stopped_tells_what_it_can(shop: Shop, disk: Disk, *, room_again: bool) -> None:
    """What the journal did not take before is told at the end; if it cannot be, the next start finds the claim."""
    [name] = shop.owe(1)
    lane = shop.worker.lane

    def perform(tasks: Sequence[Task]) -> list[Failure]:
        disk.fill()
        return [Failure(task, EngineUnavailable("Not now.")) for task in tasks]

    shop.perform = perform
    shop.worker.round()
    if room_again:
        disk.free()
    shop.worker.stop()
    shop.worker.run()
    disk.free()

    assert int(not room_again) == shop.steps()[name][1]
    assert lane.bell.is_set()


# Words


@pytest.mark.parametrize(
    ("error", "event"), [(StorageUnavailable("Full."), "worker.deferred"), (KeyError("a bug"), "worker.crashed")]
)
def test_one_trouble_of_a_batch_is_said_once(
    shop: Shop, logs: list[MutableMapping[str, Any]], error: Exception, event: str
) -> None:
    """A full disk is not sixty lines of log, nor is a bug sixty traces."""
    shop.owe(61)
    shop.limit = 60
    shop.rounds(1)
    shop.perform = crashing(*shop.steps(), error=error)
    shop.rounds(1)

    assert [event] == events(logs)
    assert 60 == len(events(logs, least="debug"))


def test_what_deferred_means_is_said_in_full(shop: Shop, logs: list[MutableMapping[str, Any]]) -> None:
    """Which image, which act, which attempt, why, and when again."""
    [name] = shop.owe(1)
    shop.perform = failing(name, error=StorageUnavailable("The disk is full.", hint="Make room.", code="disk_full"))
    shop.rounds(1)
    expected = {
        "event": "worker.deferred",
        "log_level": "warning",
        "image": name,
        "act": "store",
        "attempt": 1,
        "code": "disk_full",
        "reason": "The disk is full. Make room.",
        "seconds": 1.0,
    }

    assert [expected] == logs


def test_what_is_parked_and_what_crashed_are_errors(shop: Shop, logs: list[MutableMapping[str, Any]]) -> None:
    """A person is needed; of a bug the trace is kept."""
    [name] = shop.owe(1, act="register")
    shop.acts = ("register",)
    bug = KeyError("a bug")
    shop.perform = crashing(name, error=bug)
    shop.rounds(6, seconds=60)

    assert ["worker.crashed"] * 4 + ["worker.parked"] == events(logs)
    assert {"error"} == {line["log_level"] for line in logs}
    assert bug is logs[0]["exc_info"]
