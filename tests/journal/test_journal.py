"""The verbs of the journal: who is handed what, and what is remembered of it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.items import NOW, admit, done, item, opened, registered
from tests.makers import NOON
from tests.refusals import refused
from watcher.errors import StorageUnavailable
from watcher.journal import LONGEST_PAUSE, Done, Journal
from watcher.journal.listing import Listing
from watcher.model import Reading, Task

STORE = ("store",)
STAMP = NOON.astimezone().strftime("%Y%m%d_%H%M%S")
RELEASE = """
import sys
from pathlib import Path
from watcher.journal import Journal
from watcher.journal.connection import Connection
print(Journal(Connection(Path(sys.argv[1]))).release(None))
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Give an empty journal."""
    return opened(tmp_path)


def numbers(tasks: list[Task]) -> list[int]:
    """Return the numbers of the images that *tasks* are about."""
    return [int(task.image.source[5:-4]) for task in tasks]


def claim(journal: Journal, limit: int = 9, now: float = NOW, *acts: str) -> list[Task]:
    """Claim acts, `store` if nothing else is said."""
    return journal.claim(acts or STORE, now=now, limit=limit)


def steps(folder: Path, number: int) -> list[tuple[str, str, int, str]]:
    """Return act, status, attempts and reason of each act of image *number*."""
    story = Listing(folder).story(f"gate/{number}.jpg")
    assert story is not None
    return [(step.act, step.status, step.attempts, step.reason) for step in story.steps]


# Claiming


def test_the_oldest_are_claimed_first_and_once(journal: Journal) -> None:
    """Acts are handed out in the order in which they came, each to one lane only."""
    admit(journal, *(item(number) for number in range(5)))

    assert [0, 1, 2] == numbers(claim(journal, 3))
    assert [3, 4] == numbers(claim(journal, 3))
    assert [] == claim(journal, 3)


def test_a_task_says_what_is_known(journal: Journal) -> None:
    """The image as it was admitted, the attempt, and what was found so far."""
    (image,) = admit(journal, item(1))

    (task,) = claim(journal)

    assert Task(id=1, act="store", attempts=1, strikes=1, alone=True, image=image) == task


def test_nothing_is_claimed_for_no_act(journal: Journal) -> None:
    """A lane without acts, as one without sinks, gets nothing."""
    admit(journal, item(1))

    assert [] == journal.claim([], now=NOW, limit=9)
    assert [] == journal.claim(["read"], now=NOW, limit=9)


def test_two_processes_never_get_the_same_act(tmp_path: Path) -> None:
    """Another process on the same file sees what is claimed."""
    one, other = opened(tmp_path), opened(tmp_path)
    admit(one, item(1), item(2))

    assert [1] == numbers(claim(one, 1))
    assert [2] == numbers(claim(other, 9))
    assert [] == claim(one)


def test_the_acts_take_turns_at_being_first(journal: Journal) -> None:
    """A flood of one act does not starve another of the same lane."""
    admit(journal, *(item(number, reason="truncated") for number in range(100)))
    admit(journal, *(item(number) for number in range(100, 110)))

    acts = {task.act for _ in range(2) for task in journal.claim(["quarantine", "store"], now=NOW, limit=10)}

    assert {"quarantine", "store"} == acts


def test_a_batch_is_filled_from_all_acts(journal: Journal) -> None:
    """What the first act leaves of the limit goes to the others."""
    admit(journal, item(1, reason="empty"), item(2), item(3))

    assert 3 == len(journal.claim(["quarantine", "store", "release"], now=NOW, limit=3))


def test_a_command_beside_the_daemon_never_makes_it_fail(tmp_path: Path) -> None:
    """Two connections that read and write at once wait for each other, whatever they had read before."""
    troubles: list[Exception] = []

    def work(start: int) -> None:
        journal = opened(tmp_path)
        try:
            for number in range(start, start + 40):
                admit(journal, item(number))
                done(journal, claim(journal, 2), "read")
        except StorageUnavailable as error:
            troubles.append(error)

    threads = [threading.Thread(target=work, args=(start,)) for start in (100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == troubles
    assert 80 == len(opened(tmp_path).claim(["read"], now=NOW, limit=99))


# Deferring


def test_a_deferred_act_waits_for_its_time(journal: Journal, tmp_path: Path) -> None:
    """It is claimed when its pause is over, with the attempt counted and the reason kept."""
    admit(journal, item(1))
    (task,) = claim(journal)
    journal.defer(task, until=NOW + 10, reason="disk_full: no room", explained=True)

    assert [("store", "owed", 1, "disk_full: no room")] == steps(tmp_path, 1)
    assert [] == claim(journal, now=NOW + 9.9)
    (again,) = claim(journal, now=NOW + 10)

    assert 2 == again.attempts


def test_an_act_whose_pause_is_over_goes_before_new_ones(journal: Journal) -> None:
    """A lane that is never idle must not leave the unlucky ones until the end."""
    admit(journal, *(item(number) for number in range(10)))
    first = claim(journal, 1)[0]
    journal.defer(first, until=NOW + 1, reason="x", explained=True)

    assert [1, 2] == numbers(claim(journal, 2))
    assert [0, 3] == numbers(claim(journal, 2, NOW + 2))


@pytest.mark.parametrize(
    ("ahead", "due"), [(LONGEST_PAUSE, False), (LONGEST_PAUSE + 1, True), (1e9, True)], ids=["longest", "more", "years"]
)
def test_a_clock_that_jumped_back_does_not_lock_acts_away(journal: Journal, ahead: float, *, due: bool) -> None:
    """What lies further ahead than any pause is due: nobody meant that."""
    admit(journal, item(1))
    journal.defer(claim(journal)[0], until=NOW + ahead, reason="x", explained=True)

    assert due == bool(claim(journal))


def test_explained_trouble_counts_no_strike(journal: Journal) -> None:
    """A full disk says nothing about the image, however often."""
    admit(journal, item(1))
    for attempt in range(1, 8):
        (task,) = claim(journal)
        assert (attempt, 1) == (task.attempts, task.strikes)
        journal.defer(task, until=NOW, reason="x", explained=True)


def test_what_fails_without_explanation_is_claimed_alone(journal: Journal) -> None:
    """In a batch nobody knows who it was: each is suspect, tried alone, and only then counts a strike."""
    admit(journal, *(item(number) for number in range(3)))
    for task in claim(journal):
        assert (0, False) == (task.strikes, task.alone)
        journal.defer(task, until=NOW, reason="KeyError", explained=False)
    admit(journal, item(3))

    alone = [claim(journal) for _ in range(3)]

    assert [[0], [1], [2]] == [numbers(tasks) for tasks in alone]
    assert {(1, True)} == {(task.strikes, task.alone) for (task,) in alone}
    assert [3] == numbers(claim(journal))


def test_strikes_add_up_until_there_is_an_explanation(journal: Journal) -> None:
    """Failures alone are counted one by one; an explained one forgives them."""
    admit(journal, item(1))
    strikes = []
    for explained in (False, False, False, True, False):
        (task,) = claim(journal)
        strikes.append(task.strikes)
        journal.defer(task, until=NOW, reason="x", explained=explained)

    assert [1, 2, 3, 4, 1] == strikes


def test_a_suspect_waits_for_its_time_too(journal: Journal) -> None:
    """While a suspect pauses, the others go on."""
    admit(journal, item(1), item(2))
    first = claim(journal, 1)[0]
    journal.defer(first, until=NOW + 60, reason="x", explained=False)

    assert [2] == numbers(claim(journal))


# Giving back, parking, releasing, adopting


@pytest.mark.parametrize("together", [1, 3])
def test_what_is_given_back_was_never_claimed(journal: Journal, together: int) -> None:
    """An orderly stop costs no attempt and no strike, in a batch or alone."""
    admit(journal, *(item(number) for number in range(together)))
    before = claim(journal)
    journal.give_back(before)

    assert before == claim(journal)


def test_a_parked_act_waits_for_a_person(journal: Journal, tmp_path: Path) -> None:
    """It is not claimed until it is released, and then alone, with its attempts kept and its strikes forgiven."""
    admit(journal, item(1), item(2))
    tasks = claim(journal)
    for task in tasks:
        journal.park(task, reason="refused: 410")
    assert [("store", "parked", 1, "refused: 410")] == steps(tmp_path, 1)
    assert [] == claim(journal, now=NOW + 1e6)

    assert 1 == journal.release(tasks[0].image.name)
    assert 0 == journal.release("matricula_of_nobody.jpg")
    assert 0 == journal.release("caf\udce9")
    assert 1 == journal.release(None)

    (first,), (second,) = claim(journal), claim(journal)
    assert [1, 2] == numbers([first, second])
    assert (2, 1, True) == (first.attempts, first.strikes, first.alone)


def test_release_makes_deferred_acts_due(journal: Journal) -> None:
    """`retry` does not wait for the pause; what is not suspect goes in a batch all the same."""
    admit(journal, item(1), item(2))
    for task in claim(journal):
        journal.defer(task, until=NOW + 600, reason="x", explained=True)
    assert [] == claim(journal)

    assert 2 == journal.release(None)

    assert [1, 2] == numbers(claim(journal))


def test_release_leaves_alone_what_is_claimed_or_done(journal: Journal, tmp_path: Path) -> None:
    """`retry` beside a working daemon touches only what waits."""
    admit(journal, item(1), item(2))
    done(journal, claim(journal, 1), "read")
    (claimed,) = claim(journal, 1)

    assert 0 == journal.release(None)

    assert [("store", "claimed", 1, "")] == steps(tmp_path, 2)
    assert [("store", "done", 1, ""), ("read", "owed", 0, "")] == steps(tmp_path, 1)
    done(journal, [claimed])


def test_another_process_can_release(journal: Journal, tmp_path: Path) -> None:
    """`retry` is another process; the daemon's next claim gets the act."""
    admit(journal, item(1))
    journal.park(claim(journal)[0], reason="x")

    said = subprocess.run([sys.executable, "-c", RELEASE, str(tmp_path)], check=True, capture_output=True, timeout=60)

    assert b"1\n" == said.stdout
    assert [1] == numbers(claim(journal))


def test_what_is_done_is_not_parked(journal: Journal, tmp_path: Path) -> None:
    """A finish that came back with the log although it had failed stays done."""
    admit(journal, item(1))
    (task,) = claim(journal)
    done(journal, [task])
    journal.park(task, reason="x")
    journal.defer(task, until=NOW, reason="x", explained=False)

    assert "done" == steps(tmp_path, 1)[0][1]
    assert [] == claim(journal)


def test_the_claims_of_a_dead_run_are_suspect(tmp_path: Path) -> None:
    """Whoever held the journal died with them: they are handed out again, one at a time, and a death counts."""
    admit(opened(tmp_path), *(item(number) for number in range(3)))
    child = os.fork()
    if not child:
        claim(opened(tmp_path), 2)
        os._exit(0)
    os.waitpid(child, 0)
    journal = opened(tmp_path)
    assert [2] == numbers(claim(journal))

    assert 3 == journal.adopt()
    assert 0 == journal.adopt()

    alone = [claim(journal) for _ in range(3)]
    assert [[0], [1], [2]] == [numbers(tasks) for tasks in alone]
    assert [(2, 1), (2, 1), (2, 2)] == [(task.attempts, task.strikes) for (task,) in alone]


# Finishing


def test_what_was_found_goes_with_what_is_owed_next(journal: Journal) -> None:
    """A reading is remembered with the act that needs it, a row with the acts that tell of it."""
    admit(journal, item(1))
    done(journal, claim(journal), "read")
    reading = Reading("1234BCD", 0.9, "fake")
    journal.finish([Done(task, ("register",), reading=reading) for task in claim(journal, 9, NOW, "read")])
    (task,) = claim(journal, 9, NOW, "register")
    assert (reading, None) == (task.reading, task.record_id)

    owes = ("notify/a", "notify/b")
    journal.finish([Done(task, owes, record_id=7, recorded_at=NOON)])

    told = journal.claim(owes, now=NOW, limit=9)
    assert {"notify/a", "notify/b"} == {task.act for task in told}
    assert {(7, NOON, reading)} == {(task.record_id, task.recorded_at, task.reading) for task in told}


@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_finish_that_fails_changes_nothing_or_can_be_repeated(journal: Journal, tmp_path: Path, call: str) -> None:
    """All of a batch is remembered, or none of it; after the fault it is finished once more, to the same end."""
    admit(journal, *(item(number) for number in range(3)))
    tasks = claim(journal)

    with pytest.raises(StorageUnavailable):
        refused(call, errno.EIO, lambda: done(journal, tasks, "read"))

    assert {len(steps(tmp_path, number)) for number in range(3)} in ({1}, {2})
    done(journal, tasks, "read")
    expected = [("store", "done", 1, ""), ("read", "owed", 0, "")]
    assert [expected] * 3 == [steps(tmp_path, number) for number in range(3)]


def test_a_finish_is_undone_when_one_of_it_is_wrong(journal: Journal, tmp_path: Path) -> None:
    """A bug in one item of a batch leaves the others claimed, not half remembered."""
    admit(journal, item(1), item(2))
    first, second = claim(journal)

    with pytest.raises(TypeError):
        journal.finish([Done(first, ("read",)), Done(replace(second, id=99))])

    assert [("store", "claimed", 1, "")] == steps(tmp_path, 1)


@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("call", ["pwrite64", "fdatasync"])
def test_a_claim_that_fails_is_nobodys(journal: Journal, tmp_path: Path, call: str, together: int) -> None:
    """A claim that could not be synced may stand in the log: without a restart, its acts are handed out again."""
    admit(journal, *(item(number) for number in range(together)))

    with pytest.raises(StorageUnavailable):
        refused(call, errno.EIO, lambda: claim(journal))

    tasks = claim(journal)
    assert list(range(together)) == numbers(tasks)
    assert {(1, int(together == 1))} == {(task.attempts, task.strikes) for task in tasks}
    assert [] == claim(journal)
    done(journal, tasks)
    assert {"done"} == {status for number in range(together) for _, status, _, _ in steps(tmp_path, number)}


@pytest.mark.parametrize(
    "verb",
    [
        lambda journal, task: journal.defer(task, until=NOW, reason="x", explained=True),
        lambda journal, task: journal.give_back([task]),
        lambda journal, task: journal.park(task, reason="x"),
        lambda journal, _: journal.release(None),
        lambda journal, _: journal.adopt(),
        lambda journal, _: journal.register_again([f"matricula_{STAMP}.jpg"]),
        lambda journal, _: admit(journal, item(4)),
    ],
    ids=["defer", "give back", "park", "release", "adopt", "register again", "admit"],
)
def test_every_verb_says_that_the_disk_is_full(journal: Journal, verb: Callable[[Journal, Task], object]) -> None:
    """And works once there is room again."""
    registered(journal, item(1))
    admit(journal, item(2), item(3))
    (task,), (parked,) = claim(journal, 1), claim(journal, 1)
    journal.park(parked, reason="x")

    with pytest.raises(StorageUnavailable):
        refused("pwrite64", errno.ENOSPC, lambda: verb(journal, task))

    verb(journal, task)


def test_every_verb_takes_the_write_lock_first(journal: Journal) -> None:
    """A transaction that has read before it writes would fail if another process wrote meanwhile, without waiting."""
    said: list[str] = []
    with journal._connection.turn(writing=False) as db:
        db.set_trace_callback(said.append)

    images = registered(journal, item(1))
    admit(journal, item(2))
    (task,) = claim(journal)
    journal.defer(task, until=NOW, reason="x", explained=True)
    journal.give_back(claim(journal))
    journal.park(task, reason="x")
    journal.release(None)
    journal.register_again([images[0].name])
    journal.adopt()

    assert {"BEGIN IMMEDIATE"} == {text for text in said if text.startswith("BEGIN")}


# Rows that are gone


def test_a_row_that_somebody_removed_is_owed_again(journal: Journal, tmp_path: Path) -> None:
    """Only `register` is, alone and as a repeat; nobody is told twice."""
    first, second = registered(journal, item(1), item(2))

    assert 1 == journal.register_again([first.name, "matricula_of_nobody.jpg"])

    (task,) = claim(journal, 9, NOW, "register")
    assert (first.name, 2, True, 1) == (task.image.name, task.attempts, task.alone, task.record_id)
    journal.finish([Done(task, record_id=9, recorded_at=NOON)])
    assert [2, 9] == [record.id for record in Listing(tmp_path).records()]
    assert second.name == next(Listing(tmp_path).records()).image.name


def test_ids_may_repeat(journal: Journal, tmp_path: Path) -> None:
    """The register is a person's file too: two rows with one id there must not stop the line here."""
    admit(journal, item(1), item(2))
    done(journal, claim(journal), "register")

    for task in claim(journal, 9, NOW, "register"):
        journal.finish([Done(task, record_id=5, recorded_at=NOON)])

    assert [5, 5] == [record.id for record in Listing(tmp_path).records()]
