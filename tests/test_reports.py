"""Tests of watcher.reports: what the commands say, as plain values."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.makers import NOON, jpeg
from watcher.errors import WatcherError
from watcher.reports import outcome, release, status_facts, story
from watcher.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give settings whose folders are there and empty."""
    for name in ("inbox", "uploads", "data"):
        (tmp_path / name).mkdir()
    return load(config=None, environment={"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "[]"})


def test_a_status_needs_neither_daemon_nor_journal_and_creates_nothing(settings: Settings) -> None:
    """Before the first start all counts are zero, and looking leaves no file behind."""
    facts = status_facts(settings, now=NOON.timestamp())

    assert (None, True, 0, 0, 0, {}, {}, {}) == (
        facts["running"],
        facts["reachable"],
        facts["waiting"],
        facts["recorded"],
        facts["ignored"],
        facts["owed"],
        facts["parked"],
        facts["quarantined"],
    )
    assert [] == list(settings.folders.data.iterdir())


def test_a_status_counts_what_waits_and_how_long(settings: Settings) -> None:
    """Photos wait, notes are ignored, and the age is that of the oldest photo."""
    (settings.folders.inbox / "a.jpg").write_bytes(jpeg())
    (settings.folders.inbox / "notes.txt").write_text("hello")
    landed = (settings.folders.inbox / "a.jpg").stat().st_ctime

    facts = status_facts(settings, now=landed + 60)

    assert (1, 1, 60.0) == (facts["waiting"], facts["ignored"], facts["oldest_waiting_seconds"])


def test_an_inbox_that_is_not_there_is_not_reachable(settings: Settings) -> None:
    """A share that went away is said, not counted as empty."""
    settings.folders.inbox.rmdir()

    assert status_facts(settings, now=NOON.timestamp())["reachable"] is False


def test_what_was_left_makes_an_outcome_a_failure(settings: Settings) -> None:
    """Only a run after which nothing waits, is owed or was newly set aside went well; duplicates are no failure."""
    before = status_facts(settings, now=NOON.timestamp())

    assert not outcome(before, before | {"recorded": 2})["failed"]
    assert 2 == outcome(before, before | {"recorded": 2})["recorded"]
    assert not outcome(before, before | {"quarantined": {"duplicate": 1}})["failed"]
    for left in ({"waiting": 1}, {"owed": {"read": 1}}, {"parked": {"register": 1}}, {"quarantined": {"truncated": 1}}):
        assert outcome(before, before | left)["failed"]


def test_nobody_tells_the_story_of_a_photo_that_the_journal_does_not_know(settings: Settings) -> None:
    """It is an error with a code, and `retry` of such a photo likewise; of all photos there is just nothing to do."""
    with pytest.raises(WatcherError) as caught:
        story(settings, "matricula_20260304_153045.jpg", now=NOON.timestamp())
    with pytest.raises(WatcherError) as again:
        release(settings, "matricula_20260304_153045.jpg")

    assert ("unknown_photo", "unknown_photo") == (caught.value.code, again.value.code)
    assert 0 == release(settings, None)
