"""Tests of watcher.reports: what the commands say, as plain values."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.makers import NOON, Hands, jpeg
from tests.records import RECORD
from tests.refusals import refused, unprivileged
from watcher.bootstrap import assemble
from watcher.errors import StorageUnavailable, WatcherError
from watcher.journal.listing import Step, Story
from watcher.lock import NAME, locked
from watcher.model import Reading
from watcher.places import Finding
from watcher.reports import finding_facts, outcome, reading_facts, records, release, status_facts, story, story_facts
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

    facts = status_facts(settings, now=NOON.timestamp())

    assert facts["reachable"] is False
    assert ["[folders] inbox"] == [obstacle["what"] for obstacle in facts["obstacles"]]


@pytest.fixture
def commons() -> Iterator[Settings]:
    """Give settings of folders that every user may reach and change."""
    with tempfile.TemporaryDirectory() as root:
        for path in (Path(root), *(Path(root) / name for name in ("inbox", "uploads", "data"))):
            path.mkdir(exist_ok=True)
            path.chmod(0o777)
        yield load(config=None, environment={"WATCHER_HOME": root, "WATCHER_READING__ENGINES": "[]"})


def test_what_keeps_photos_in_the_inbox_is_told_with_its_remedy(commons: Settings) -> None:
    """Folders that we may not change, and rights that lack, by status and explain; a sidecar alone is counted."""
    settings, closed = commons, commons.folders.inbox / "gate"
    closed.mkdir(0o755)
    (closed / "one.jpg").write_bytes(jpeg())
    (settings.folders.inbox / "one.json").write_text("{}")
    fine = status_facts(settings, now=NOON.timestamp())
    settings.folders.uploads.chmod(0o755)

    def ask() -> None:
        facts = status_facts(settings, now=NOON.timestamp())
        inbox, uploads = facts["obstacles"]
        assert ("[folders] inbox", "[folders] uploads", 1) == (inbox["what"], uploads["what"], facts["unwritable"])
        assert f"Nothing is taken from {closed}: we may" in inbox["says"]
        assert "chown" in uploads["remedy"]
        with pytest.raises(WatcherError, match="not been taken in yet") as caught:
            story(settings, "gate/one.jpg", now=NOON.timestamp())
        assert "not_admitted" == caught.value.code
        assert caught.value.hint.startswith("Nothing is taken from")

    assert ([], 1) == (fine["obstacles"], fine["lone_sidecars"])
    with pytest.raises(WatcherError, match="It may still be written"):
        story(settings, "inbox/one.json", now=NOON.timestamp())
    for name in ("gate", ".", "..", "/etc/passwd", str(settings.folders.inbox)):
        with pytest.raises(WatcherError, match="The journal knows no photo"):
            story(settings, name, now=NOON.timestamp())
    assert unprivileged(ask)


def test_rights_are_judged_for_the_daemon_only(commons: Settings) -> None:
    """What somebody else may not do says nothing of the daemon, whose lock tells whose rights it has."""
    with locked(commons.folders.data):
        pass
    for _, folder in commons.folders:
        folder.chmod(0o755)

    assert unprivileged(lambda: _same([], status_facts(commons, now=0.0)["obstacles"]))
    (commons.folders.data / NAME).unlink()
    assert not unprivileged(lambda: _same([], status_facts(commons, now=0.0)["obstacles"]))


def _same(expected: object, actual: object) -> None:
    assert expected == actual


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


@pytest.fixture
def working(settings: Settings, hands: Hands) -> Settings:
    """Give settings of a house with one photo that was registered, whose sink is away, and one that was set aside."""
    sink = {"name": "erp", "url": "http://127.0.0.1:9/", "allow_private": True}
    folders = {name: str(folder) for name, folder in settings.folders}
    told = load(
        config=None,
        environment={},
        overrides={"folders": folders, "reading": {"engines": []}, "sinks": [sink]},
        places=(),
    )
    (settings.folders.inbox / "gate").mkdir()
    (settings.folders.inbox / "gate" / "one.jpg").write_bytes(jpeg())
    (settings.folders.inbox / "text.jpg").write_text("hello")
    with closing(assemble(told, hands.clocks)) as line:
        line.prepare()
        line.inbox.stir()
        for _ in range(10):
            for worker in line.workers:
                worker.round()
            hands.turn(0.5)
    return told


def test_a_status_counts_what_is_owed_and_set_aside(working: Settings) -> None:
    """Acts by their kind with what holds them up, files in the quarantine by reason, and who runs it."""
    with locked(working.folders.data):
        facts = status_facts(working, now=NOON.timestamp())

    assert ({"notify/erp": 1}, {}, {"not_an_image": 1}, 1) == (
        facts["owed"],
        facts["parked"],
        facts["quarantined"],
        facts["recorded"],
    )
    assert os.getpid() == facts["running"]
    assert "127.0.0.1" in facts["held_up_by"]["notify/erp"]


def test_a_sink_that_is_gone_explains_what_is_owed_to_it(working: Settings) -> None:
    """Nothing is sent to a sink that is not in the configuration any more, and `status` says why."""
    facts = status_facts(working.model_copy(update={"sinks": ()}), now=NOON.timestamp())

    assert {"notify/erp": 1} == facts["owed"]
    assert facts["held_up_by"]["notify/erp"]


def test_records_are_told_as_receivers_are(working: Settings) -> None:
    """All of them, the last ones, or those that a person should look at."""
    (record,) = records(working, last=None, review=False)

    assert (1, "gate/one.jpg", "gate") == (record["id"], record["source"], record["camera_id"])
    assert [record] == list(records(working, last=1, review=False))
    assert [] == list(records(working, last=None, review=True))


def test_a_story_is_found_however_the_photo_is_called(
    working: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, by its path in the inbox, in uploads or in the quarantine, from wherever the path begins."""
    now = NOON.timestamp()
    (record,) = records(working, last=None, review=False)
    (aside,) = (tmp_path / "data" / "quarantine" / "not_an_image").glob("*.jpg")
    monkeypatch.chdir(tmp_path / "inbox")
    ways = (
        record["image"],
        "gate/one.jpg",
        "./gate/one.jpg",
        "inbox/gate/one.jpg",
        f"uploads/{record['image']}",
        str(tmp_path / "uploads" / str(record["image"])),
        "../uploads/" + str(record["image"]),
    )

    assert [record["image"]] * len(ways) == [story(working, str(way), now=now)["image"] for way in ways]
    assert "not_an_image" == story(working, str(aside), now=now)["reason"]
    assert "not_an_image" == story(working, "text.jpg", now=now)["reason"]


def test_what_waits_can_be_released(working: Settings) -> None:
    """Of one photo or of all; what is done is not done again."""
    assert 1 == release(working, "gate/one.jpg")
    assert 0 == release(working, None)
    assert 0.0 == story(working, "gate/one.jpg", now=NOON.timestamp())["acts"][-1]["due_in_seconds"]


def test_rights_that_lack_are_told_with_their_remedy(working: Settings, tmp_path: Path) -> None:
    """Somebody who may not look into data/ is told so, by every question."""
    tmp_path.joinpath("data").chmod(0o700)

    def ask() -> None:
        for question in (
            lambda: release(working, None),
            lambda: status_facts(working, now=0.0),
            lambda: story(working, "x", now=0.0),
        ):
            with pytest.raises(StorageUnavailable, match="Run this as"):
                question()

    assert unprivileged(ask)


def test_a_disk_that_fails_is_told(working: Settings) -> None:
    """An error that is neither missing rights nor a missing file is no reason to say that nothing waits."""
    with pytest.raises(StorageUnavailable, match="Input/output error"):
        refused("newfstatat", errno.EIO, lambda: release(working, None))


def test_a_story_tells_everything_there_is() -> None:
    """Acts with the seconds until they are due, the reading as `read` tells it, times with their zone."""
    steps = (
        Step("register", "done", 1, 0.0, ""),
        Step("notify/erp", "owed", 3, 130.0, "sink_unavailable: away"),
        Step("notify/gate", "owed", 1, 20.0, ""),
        Step("notify/yard", "parked", 5, 0.0, "delivery_refused: no"),
    )
    image = replace(RECORD.image, source=b"caf\xe9.jpg", duplicate_of="matricula_1.jpg")
    moment = datetime(2026, 3, 4, 14, 31, tzinfo=UTC)
    facts = story_facts(Story(image, "duplicate", RECORD.reading, 7, moment, steps), now=100.0)
    bare = story_facts(Story(replace(image, sidecar=None), "", None, None, None, ()), now=100.0)

    assert ("caf\\xe9.jpg", "matricula_1.jpg", "duplicate", 7) == (
        facts["source"],
        facts["duplicate_of"],
        facts["reason"],
        facts["id"],
    )
    assert [None, 30.0, 0.0, None] == [act["due_in_seconds"] for act in facts["acts"]]
    assert "2026-03-04T14:31:00+00:00" == facts["recorded_at"]
    assert reading_facts(RECORD.reading) == facts["reading"]
    assert (None, None, None, "", []) == (
        bare["reading"],
        bare["id"],
        bare["recorded_at"],
        bare["sidecar_error"],
        bare["acts"],
    )


def test_a_reading_without_a_plate_is_null() -> None:
    """What no engine knows is null and not an empty text; figures are short."""
    facts = reading_facts(Reading(None, seconds=0.123456))

    assert (None, None, None, None, [], 0.123) == tuple(
        facts[key] for key in ("plate", "confidence", "engine", "code", "candidates", "seconds")
    )
    assert {"text": "1234BCD", "confidence": 0.93} == reading_facts(RECORD.reading)["candidates"][0]


def test_a_finding_is_four_words_and_sentences() -> None:
    """What the doctor finds is told under the names that it has."""
    expected = {"what": "watches", "level": "ok", "says": "Enough.", "remedy": ""}

    assert expected == finding_facts(Finding("watches", "ok", "Enough."))
