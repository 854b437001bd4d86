"""What the commands are told, with a daemon, without one, and while the journal changes under them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.journal.items import NOW, admit, done, item, opened, registered
from tests.makers import NOON
from watcher.journal import Done, Journal
from watcher.journal.listing import Counts, Listing
from watcher.model import Reading


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Give an empty journal."""
    return opened(tmp_path)


def test_without_a_journal_all_is_zero(tmp_path: Path) -> None:
    """Every listing works before the first start, and creates nothing."""
    listing = Listing(tmp_path / "nowhere")

    assert Counts(0, {}, {}, {}, {}) == listing.counts()
    assert [] == list(listing.records())
    assert [] == list(listing.records(last=5, review=True))
    assert [] == list(listing.names())
    assert listing.story("x") is None
    listing.close()
    assert [] == list(tmp_path.iterdir())


def test_everything_is_counted(journal: Journal, tmp_path: Path) -> None:
    """Rows, what is owed and parked by act, what was quarantined by reason, and why something waits."""
    registered(journal, item(1), item(2))
    admit(journal, item(3), item(4), item(5, reason="empty"), item(1))
    stored, parked = journal.claim(["store"], now=NOW, limit=9)
    done(journal, [stored], "read", "notify/office")
    journal.park(parked, reason="refused: 410")
    (task,) = journal.claim(["read"], now=NOW, limit=9)
    journal.defer(task, until=NOW + 9, reason="engine_unavailable: no key", explained=True)
    admit(journal, item(6))
    journal.finish([Done(task, gone=True) for task in journal.claim(["store"], now=NOW, limit=9)])

    expected = Counts(
        recorded=2,
        owed={"quarantine": 2, "read": 1, "notify/office": 1},
        parked={"store": 1},
        quarantined={"empty": 1, "duplicate": 1},
        suspended={"store": "refused: 410", "read": "engine_unavailable: no key"},
    )
    assert expected == Listing(tmp_path).counts()


def test_records_come_by_id(journal: Journal, tmp_path: Path) -> None:
    """All of them, the last ones, those to be looked at, and the last of those."""
    admit(journal, *(item(number) for number in range(6)))
    done(journal, journal.claim(["store"], now=NOW, limit=9), "register")
    for number, task in enumerate(journal.claim(["register"], now=NOW, limit=9)):
        reading = Reading("1234BCD" if number else None, review=number % 2 == 0)
        journal.finish([Done(task, reading=reading, record_id=10 - number, recorded_at=NOON)])
    listing = Listing(tmp_path)

    assert [5, 6, 7, 8, 9, 10] == [record.id for record in listing.records()]
    assert [9, 10] == [record.id for record in listing.records(last=2)]
    assert 6 == len(list(listing.records(last=99)))
    assert [6, 8, 10] == [record.id for record in listing.records(review=True)]
    assert [8, 10] == [record.id for record in listing.records(last=2, review=True)]
    assert ["1234BCD", "NO_DETECTADA"] == [record.plate for record in listing.records(last=2)]


def test_long_listings_come_in_pages(journal: Journal, tmp_path: Path) -> None:
    """What is written between two pages neither repeats nor hides a row; ids that repeat come all the same."""
    admit(journal, *(item(number) for number in range(1300)))
    done(journal, journal.claim(["store"], now=NOW, limit=2000), "register")
    tasks = journal.claim(["register"], now=NOW, limit=2000)
    journal.finish([Done(task, record_id=1 + at // 600, recorded_at=NOON) for at, task in enumerate(tasks)])
    listing = Listing(tmp_path)
    records, names = listing.records(), listing.names()

    first, name = next(records), next(names)
    admit(journal, item(2000))
    rest = [record.image.name for record in records]

    assert 1300 == len({first.image.name, *rest})
    assert 1299 == len(rest)
    assert 1301 == len({name, *names})


def test_a_listing_that_is_abandoned_holds_nothing(journal: Journal, tmp_path: Path) -> None:
    """Whoever stops in the midst of a listing keeps neither the daemon nor another thread waiting."""
    registered(journal, *(item(number) for number in range(3)))
    listing = Listing(tmp_path)
    records, names = listing.records(), listing.names()
    next(records)
    next(names)

    assert 3 == listing.counts().recorded
    admit(journal, item(9))
    listing.close()
    assert 2 == len(list(records))
    assert 3 == len(list(names))


def test_names_say_whether_there_is_a_row(journal: Journal, tmp_path: Path) -> None:
    """What `verify` compares with the folder and the file; the quarantine is not part of it."""
    (first,) = registered(journal, item(1))
    second, _ = admit(journal, item(2), item(3, reason="empty"))

    assert [(first.name, True), (second.name, False)] == list(Listing(tmp_path).names())


def test_a_story_is_found_by_name_and_by_source(journal: Journal, tmp_path: Path) -> None:
    """Its acts in order; a name wins over a source that is called like it."""
    (first,) = registered(journal, item(1))
    listing = Listing(tmp_path)

    story = listing.story(first.name)
    assert story is not None
    assert story == listing.story("gate/1.jpg")
    assert ("", 1, NOON, "1234BCD") == (
        story.reason,
        story.record_id,
        story.recorded_at,
        story.reading.text if story.reading else None,
    )
    assert ["store", "read", "register"] == [step.act for step in story.steps]
    assert {("done", 1, 0.0, "")} == {(step.status, step.attempts, step.due_at, step.reason) for step in story.steps}

    admit(journal, replace(item(2), image=replace(item(2).image, source=first.name.encode())))
    assert story == listing.story(first.name)


@pytest.mark.parametrize("source", [b"caf\xe9/\xff.jpg", "camión 🚗.jpg".encode(), b"-rf\n.jpg"])
def test_any_source_can_be_asked_for(journal: Journal, tmp_path: Path, source: bytes) -> None:
    """As the shell hands it over, with bytes that are no text."""
    admit(journal, replace(item(1), image=replace(item(1).image, source=source)))

    story = Listing(tmp_path).story(source.decode("utf-8", "surrogateescape"))

    assert story is not None
    assert source == story.image.source
    assert Listing(tmp_path).story("\udcff") is None
    assert (None, None, None) == (story.reading, story.record_id, story.recorded_at)
    assert ["owed"] == [step.status for step in story.steps]
