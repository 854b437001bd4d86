"""What the running line asks, and that it never has to read the whole journal for an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journal.items import NOW, admit, done, item, registered
from tests.makers import NOON
from watcher.journal import LONGEST_PAUSE, Done, Journal
from watcher.journal.connection import Connection
from watcher.journal.listing import Listing
from watcher.journal.questions import Questions
from watcher.model import Reading


@dataclass
class Books:
    """A journal, what is asked of it, and its file's connection."""

    connection: Connection
    journal: Journal
    questions: Questions


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """Give an empty journal."""
    connection = Connection(tmp_path)
    return Books(connection, Journal(connection), Questions(connection))


def test_an_image_is_unfinished_while_its_source_may_be_there(books: Books) -> None:
    """Stored, quarantined and released sources are done with; parked ones are not."""
    admit(books.journal, item(1), item(2), item(3, reason="empty"), item(4))
    paths = [b"gate/%d.jpg" % number for number in range(1, 6)]

    def unfinished() -> set[bytes]:
        return {image.source for image in books.questions.unfinished(paths)}

    assert set(paths[:4]) == unfinished()
    tasks = books.journal.claim(["store", "quarantine"], now=NOW, limit=9)
    done(books.journal, tasks[:1], "read", "release")
    done(books.journal, tasks[1:3], "read")
    books.journal.park(tasks[3], reason="x")
    assert {paths[0], paths[3]} == unfinished()
    done(books.journal, books.journal.claim(["release"], now=NOW, limit=9))
    assert {paths[3]} == unfinished()
    assert [] == books.questions.unfinished([])


def test_the_latest_image_from_a_path_is_found(books: Books) -> None:
    """Duplicates count, since their sidecar may come late too; what never was a photo does not."""
    first, _ = admit(books.journal, item(1), item(2))
    assert first == books.questions.latest_from([b"gate/1.jpg", b"gate/1.png"])

    (second,) = admit(books.journal, item(1))
    assert second.name.startswith("duplicate/")
    assert second == books.questions.latest_from([b"gate/1.jpg"])

    admit(books.journal, item(1, reason="truncated"))
    assert second == books.questions.latest_from([b"gate/1.jpg"])
    assert books.questions.latest_from([b"gate/9.jpg"]) is None
    assert books.questions.latest_from([]) is None


def test_hidden_copies_are_known_until_they_are_stored(books: Books) -> None:
    """What the sweep at the start must leave alone."""
    admit(books.journal, item(1), item(2), item(3))
    assert {".incoming-1", ".incoming-2", ".incoming-3"} == books.questions.temporaries()

    first, second, _ = books.journal.claim(["store"], now=NOW, limit=9)
    done(books.journal, [first], "read")
    books.journal.park(second, reason="x")

    assert {".incoming-2", ".incoming-3"} == books.questions.temporaries()


def test_rows_owed_are_known_with_their_readings(books: Books) -> None:
    """Claimed, deferred or parked: a half line at the end of the register may be any of theirs."""
    admit(books.journal, item(1), item(2), item(3))
    done(books.journal, books.journal.claim(["store"], now=NOW, limit=9), "register")
    first, second, _ = books.journal.claim(["register"], now=NOW, limit=9)
    books.journal.finish([Done(first, reading=Reading("X"), record_id=1, recorded_at=NOON)])
    books.journal.park(second, reason="x")

    assert [b"gate/2.jpg", b"gate/3.jpg"] == sorted(task.image.source for task in books.questions.owed("register"))
    assert [] == books.questions.owed("read")


def test_the_highest_id_is_remembered(books: Books) -> None:
    """The id of a row that was deleted from the file does not come back."""
    assert 0 == books.questions.highest_id()
    registered(books.journal, item(1), item(2), item(3))
    assert 3 == books.questions.highest_id()


def test_the_next_due_time_is_that_of_what_can_be_claimed(books: Books) -> None:
    """Suspects count, claimed and parked acts do not, nor those of other lanes."""
    assert books.questions.next_due(["store"]) is None
    admit(books.journal, item(1), item(2), item(3), item(4, reason="empty"))
    assert 0.0 == books.questions.next_due(["store"])

    first, second, third = books.journal.claim(["store"], now=NOW, limit=9)
    assert books.questions.next_due(["store"]) is None
    assert 0.0 == books.questions.next_due(["store", "quarantine"])
    books.journal.defer(first, until=NOW + 30, reason="x", explained=True)
    assert NOW + 30 == books.questions.next_due(["store"])
    books.journal.defer(second, until=NOW + 20, reason="x", explained=False)
    assert NOW + 20 == books.questions.next_due(["store"])
    books.journal.park(third, reason="x")
    assert NOW + 20 == books.questions.next_due(["store"])
    assert books.questions.next_due([]) is None


def test_busy_counts_what_is_claimed_or_due(books: Books) -> None:
    """What pauses and what is parked is no reason for `once` to stay; a due time that a clock misplaced is."""
    admit(books.journal, *(item(number) for number in range(5)))
    assert 5 == books.questions.busy(["store", "read"], NOW)
    first, second, third, fourth, _ = books.journal.claim(["store"], now=NOW, limit=9)
    books.journal.defer(first, until=NOW + 1, reason="x", explained=True)
    books.journal.park(second, reason="x")
    done(books.journal, [third], "notify/gone")
    books.journal.defer(fourth, until=NOW + LONGEST_PAUSE + 9, reason="x", explained=True)

    assert 2 == books.questions.busy(["store", "read"], NOW)
    assert 3 == books.questions.busy(["store", "read"], NOW + 1.5)
    assert 0 == books.questions.busy([], NOW)


def test_totals_are_rows_and_what_is_owed(books: Books) -> None:
    """The sentence of `systemctl status`."""
    assert (0, 0) == books.questions.totals()
    registered(books.journal, item(1), item(2))
    admit(books.journal, item(3))

    assert (2, 1) == books.questions.totals()


def asked(connection: Connection, act: Callable[[], object]) -> list[str]:
    """Return how SQLite goes about each statement of *act*."""
    said: list[str] = []
    with connection.turn(writing=False) as db:
        db.set_trace_callback(said.append)
    act()
    with connection.turn(writing=False) as db:
        db.set_trace_callback(None)
        wanted = {text for text in said if re.match(r"SELECT|UPDATE|DELETE", text)}
        return [
            row["detail"] for text in wanted for row in db.execute(f"EXPLAIN QUERY PLAN {text.replace('Inf', '9e999')}")
        ]


def test_nothing_reads_the_whole_journal(books: Books, tmp_path: Path) -> None:
    """Every question and every verb goes by an index, and so does what the commands count and list."""
    journal, questions = books.journal, books.questions
    images = registered(journal, *(item(number) for number in range(20)))

    def everything() -> None:
        admit(journal, item(30), item(31), item(32, reason="empty"))
        tasks = journal.claim(["quarantine", "store"], now=NOW, limit=1)
        journal.defer(tasks[0], until=NOW, reason="x", explained=True)
        journal.give_back(tasks)
        journal.park(tasks[0], reason="x")
        done(journal, tasks, "read")
        journal.adopt()
        journal.release(None)
        journal.release(images[0].name)
        journal.register_again([images[0].name])
        questions.unfinished([b"a", b"b"])
        questions.latest_from([b"a", b"b"])
        questions.temporaries()
        questions.owed("register")
        questions.highest_id()
        questions.next_due(["read", "store"])
        questions.busy(["read", "store"], NOW)
        questions.totals()

    plans = asked(books.connection, everything)
    listing = Listing(tmp_path)
    plans += asked(listing._connection, lambda: (listing.counts(), list(listing.records(last=5)), listing.story("x")))

    assert len(plans) > 20
    small = "SCAN (tasks|images) USING (COVERING )?INDEX (image_reasons|image_records|task_open)"
    whole = "SCAN (tasks|images)|SEARCH (tasks|images)$"
    assert [] == [plan for plan in plans if re.match(whole, plan) and not re.match(small, plan)]
