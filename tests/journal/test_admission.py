"""Names: unique in the journal and on the disk, for ever, whatever the clock does."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests.journal.items import DAY, NOW, admit, done, item, opened
from tests.makers import NOON
from watcher.journal import Admission, Done, Journal
from watcher.journal.connection import Connection
from watcher.journal.listing import Listing
from watcher.model import Identity

STAMP = NOON.astimezone().strftime("%Y%m%d_%H%M%S")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Give an empty journal."""
    return opened(tmp_path)


def test_names_are_made_of_the_local_time(journal: Journal) -> None:
    """`matricula_YYYYMMDD_HHMMSS`, with the ending that the picture has."""
    png = replace(item(2, seconds=61), form="png")

    first, second = admit(journal, item(1), png)

    assert f"matricula_{STAMP}.jpg" == first.name
    assert re.fullmatch(r"matricula_\d{8}_\d{6}\.png", second.name)
    expected = replace(item(1).image, name=first.name)
    assert expected == first


def test_photos_of_one_second_are_counted(journal: Journal) -> None:
    """A second photo in the same second gets `_2`, a third `_3`, in one batch or in two, whatever its ending."""
    names = [image.name for image in admit(journal, item(1), item(2), replace(item(3), form="png"))]
    names += [image.name for image in admit(journal, item(4))]

    assert [f"matricula_{STAMP}{end}" for end in (".jpg", "_2.jpg", "_3.png", "_4.jpg")] == names


def test_a_thousand_photos_of_one_second_all_get_names(journal: Journal) -> None:
    """A burst has as many names as photos."""
    names = {image.name for image in admit(journal, *(item(number) for number in range(1000)))}

    assert 1000 == len(names)


def test_names_on_the_disk_are_avoided(journal: Journal) -> None:
    """When the journal was lost, what lies in uploads keeps its name."""
    there = {f"matricula_{STAMP}.jpg", f"matricula_{STAMP}_2.jpg", f"matricula_{STAMP}_4.jpg"}

    images = journal.admit([item(1), item(2)], now=NOW, window_seconds=DAY, taken=there.__contains__)

    assert [f"matricula_{STAMP}_3.jpg", f"matricula_{STAMP}_5.jpg"] == [image.name for image in images]


def test_a_quarantined_item_keeps_part_of_its_name(journal: Journal) -> None:
    """Its name is its path below the quarantine, by the time it arrived, and does not use up a name of a photo."""
    first, second, photo = admit(journal, item(1, reason="truncated"), item(2, reason="truncated"), item(3))

    assert f"truncated/{STAMP}_1_1.jpg" == first.name
    assert f"truncated/{STAMP}_2_2.jpg" == second.name
    assert f"matricula_{STAMP}.jpg" == photo.name


def test_a_withdrawn_photo_frees_its_name(journal: Journal, tmp_path: Path) -> None:
    """The name goes to the next one; the facts stay, and finishing twice changes nothing."""
    (gone,) = admit(journal, item(1))
    (task,) = journal.claim(["store"], now=NOW, limit=1)
    journal.finish([Done(task, gone=True)])
    journal.finish([Done(task, gone=True)])

    (next_one,) = admit(journal, item(2))

    assert gone.name == next_one.name
    story = Listing(tmp_path).story("gate/1.jpg")
    assert story is not None
    assert ("gone", f"gone/1/{gone.name}") == (story.reason, story.image.name)


# The same bytes again


@pytest.mark.parametrize(
    ("later", "duplicate"),
    [(0.0, True), (DAY - 1, True), (DAY, False), (-DAY + 1, True), (-DAY, False)],
    ids=["at once", "within", "after", "the clock went back", "the clock went far back"],
)
def test_the_same_bytes_within_the_window_are_a_duplicate(journal: Journal, later: float, *, duplicate: bool) -> None:
    """They go to the quarantine with the name of the first; the window is as long backwards, as clocks jump."""
    (first,) = admit(journal, item(1))
    again = replace(item(1), image=replace(item(1).image, source=b"other.jpg"))

    (second,) = admit(journal, again, now=NOW + later)

    assert (first.name if duplicate else "") == second.duplicate_of
    assert duplicate == second.name.startswith("duplicate/")


def test_two_of_the_same_in_one_batch_are_one(journal: Journal) -> None:
    """The second is compared with the first, although neither was there before."""
    first, second, third = admit(journal, item(1), item(1), item(1))

    assert ("", first.name, first.name) == (first.duplicate_of, second.duplicate_of, third.duplicate_of)


@pytest.mark.parametrize("later", [0.0, -3600.0])
def test_a_window_of_zero_is_off(journal: Journal, later: float) -> None:
    """Even when the clock went back meanwhile."""
    admit(journal, item(1), window=0.0)

    (second,) = admit(journal, item(1), now=NOW + later, window=0.0)

    assert "" == second.duplicate_of


@pytest.mark.parametrize("reason", ["gone", "truncated", "duplicate"])
def test_only_a_photo_that_has_its_row_makes_a_duplicate(journal: Journal, reason: str) -> None:
    """One that was withdrawn, broken or itself a duplicate is no first photo."""
    if reason == "gone":
        admit(journal, item(1))
        journal.finish([Done(task, gone=True) for task in journal.claim(["store"], now=NOW, limit=1)])
    else:
        admit(journal, item(1, reason=reason))

    (second,) = admit(journal, item(1))

    assert "" == second.duplicate_of


def test_a_sidecar_is_no_duplicate(journal: Journal) -> None:
    """What is sent to the quarantine anyway is not compared."""
    admit(journal, item(1))

    (second,) = admit(journal, item(1, reason="late_sidecar"))

    assert ("", "late_sidecar") == (second.duplicate_of, second.name.partition("/")[0])


# What is owed


def test_each_gets_its_first_act(journal: Journal) -> None:
    """A photo is to be stored, everything else quarantined."""
    admit(journal, item(1), item(2, reason="empty"), item(1))

    acts = [task.act for task in journal.claim(["store", "quarantine"], now=NOW, limit=9)]

    assert ["store", "quarantine", "quarantine"] == acts


def test_an_act_that_was_done_is_not_owed_again(journal: Journal) -> None:
    """Finishing twice, as after a crash, owes the next act once."""
    admit(journal, item(1))
    tasks = journal.claim(["store"], now=NOW, limit=1)
    done(journal, tasks, "read", "release")
    done(journal, tasks, "read", "release")

    assert 1 == len(journal.claim(["read"], now=NOW, limit=9))
    assert 1 == len(journal.claim(["release"], now=NOW, limit=9))


def test_a_batch_is_admitted_whole_or_not_at_all(journal: Journal, tmp_path: Path) -> None:
    """When one of them fails, none has a name."""
    broken = replace(item(2), image=replace(item(2).image, identity=Identity(1, 2, 2**63, 4)))

    with pytest.raises(OverflowError):
        admit(journal, item(1), broken)

    assert 0 == sum(1 for _ in Listing(tmp_path).names())
    assert [] == journal.claim(["store"], now=NOW, limit=9)


def test_the_hour_that_comes_twice_has_names_for_all(tmp_path: Path) -> None:
    """Two photos an hour apart may show the same local time; both get a name."""
    journal = Journal(Connection(tmp_path))
    local = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 (the time on the clock of the host, either of two)
    first, second = (
        Admission(replace(item(number).image, captured_at=local.replace(fold=number).astimezone()), "jpg")
        for number in (0, 1)
    )

    names = [image.name for image in admit(journal, first, second)]

    assert 2 == len(set(names))
