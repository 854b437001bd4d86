"""The log lines of completed acts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from structlog.testing import capture_logs

from tests.records import RECORD
from watcher import chronicle
from watcher.journal import Done
from watcher.model import Reading, Task

TASK = Task(id=1, act="store", attempts=2, strikes=0, alone=False, image=RECORD.image, reading=RECORD.reading)
BOUND = {"image": RECORD.image.name, "act": "store", "attempt": 2, "camera": "gate"}


def test_storing_and_releasing_are_said_with_the_source() -> None:
    """What was withdrawn before we had it is a warning: somebody may miss it."""
    with capture_logs() as logs:
        chronicle.stored([Done(TASK), Done(TASK, gone=True)])
        chronicle.released([Done(TASK)])
    path = RECORD.image.source

    assert [
        BOUND | {"event": "intake.stored", "log_level": "info", "path": path, "size": 3},
        BOUND | {"event": "intake.gone", "log_level": "warning", "path": path},
        BOUND | {"event": "intake.released", "log_level": "info", "path": path},
    ] == logs


def test_the_quarantine_is_a_warning() -> None:
    """A late sidecar has a name of its own; what went before it could be moved is not worth a line."""
    late = replace(TASK, image=replace(RECORD.image, name="late_sidecar/1_a.json"))
    with capture_logs() as logs:
        chronicle.quarantined([Done(TASK), Done(late), Done(TASK, gone=True)])

    assert [("intake.quarantined", "warning"), ("intake.sidecar_late", "warning"), ("intake.changed", "debug")] == [
        (line["event"], line["log_level"]) for line in logs
    ]


def test_admission_is_said_once_for_each_photo() -> None:
    """A duplicate names the first photo; what goes to the quarantine for another reason is said when it is there."""
    with capture_logs() as logs:
        chronicle.admitted("", RECORD.image)
        chronicle.admitted("", replace(RECORD.image, name="duplicate/1_a.jpg", duplicate_of="first.jpg"))
        chronicle.admitted("truncated", RECORD.image)

    assert ["intake.admitted", "intake.duplicated"] == [line["event"] for line in logs]
    assert ("debug", "warning") == (logs[0]["log_level"], logs[1]["log_level"])
    assert "first.jpg" == logs[1]["first"]


def test_a_reading_is_said_if_anybody_was_asked() -> None:
    """With no engine there is nothing to say."""
    with capture_logs() as logs:
        chronicle.read(TASK, RECORD.reading)
        chronicle.read(TASK, Reading(None))
        chronicle.read(TASK, None)

    assert ["reading.finished"] == [line["event"] for line in logs]
    assert ("1234BCD", "rapidocr") == (logs[0]["plate"], logs[0]["engine"])


def test_the_canonical_line_tells_the_whole_story() -> None:
    """Name, source, plate, who read it, who was asked, and the seconds since it landed; without a reading too."""
    now = RECORD.image.arrived_at + timedelta(seconds=2.5)
    with capture_logs() as logs:
        chronicle.registered(TASK, 7, now)
        chronicle.registered(replace(TASK, reading=None), 8, now)
    expected = BOUND | {
        "event": "register.appended",
        "log_level": "info",
        "id": 7,
        "source": RECORD.image.source,
        "plate": "1234BCD",
        "confidence": 0.93,
        "engine": "rapidocr",
        "tried": ("openai", "rapidocr"),
        "code": "engine_unavailable",
        "review": True,
        "seconds": 2.5,
    }

    assert expected == logs[0]
    assert (8, "NO_DETECTADA", "", ()) == tuple(logs[1][key] for key in ("id", "plate", "engine", "tried"))
