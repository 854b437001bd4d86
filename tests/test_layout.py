"""What people read: one line for one thing, whatever a photo, a sidecar or a receiver has put into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records import RECORD
from watcher.facts import record_facts
from watcher.layout import (
    difference_line,
    finding_line,
    outcome_line,
    plain,
    reading_line,
    record_line,
    repaired,
    retried,
    status_lines,
    story_lines,
    welcome,
)
from watcher.model import NO_PLATE, Candidate, Reading

HOSTILE = "a\x1b[2J\nb\u202e"
TAMED = "a\\x1b[2J\\nb\\u202e"
READING = {
    "file": "a.jpg",
    "plate": "1234BCD",
    "confidence": 0.934,
    "engine": "tesseract",
    "seconds": 0.456,
    "review": False,
    "code": "",
    "candidates": [],
}
SAID = (("1234BCD", 0.934), ("1234BCO", 0.614), (HOSTILE, None))
OTHERS = {"candidates": [{"text": text, "confidence": confidence} for text, confidence in SAID]}
ONES = ("recorded", "owed", "parked")
STATUS = {
    "running": 42,
    "inbox": "/in",
    "reachable": True,
    "waiting": 3,
    "oldest_waiting_seconds": 61.4,
    "owed": {"read": 2, "register": 1},
    "parked": {},
    "quarantined": {},
    "ignored": 5,
    "recorded": 7,
    "held_up_by": {},
    "lone_sidecars": 0,
    "obstacles": [],
}
STORY: dict[str, object] = {"name": "a.jpg", "camera": "", "reading": None, "acts": []}
ACT = {"act": "read", "status": "owed", "attempts": 2, "due_in_seconds": 0, "reason": ""}


@given(st.text(st.characters()))
def test_plain_text_can_always_be_printed_on_one_line(text: str) -> None:
    """Nothing that comes out moves a cursor, breaks a line or cannot be encoded."""
    out = plain(text)

    assert out.isprintable()
    assert out.encode("utf-8").decode() == out


def test_what_can_be_printed_stays_as_it_is() -> None:
    """Accents are letters; only the rest becomes escapes, undecodable names included."""
    assert "camión ñ" == plain("camión ñ")
    assert TAMED == plain(HOSTILE)
    assert "caf\\udce9" == plain("caf\udce9")
    assert "7" == plain(7)


def test_the_welcome_names_both_ends_of_the_line() -> None:
    """Whoever starts it learns where photos go and where rows come out."""
    expected = f"Drop photos into /{TAMED}/ and see them become rows in /data/registros.csv."
    assert expected == welcome(Path("/" + HOSTILE), Path("/data"))


def test_the_outcome_says_what_is_left_only_where_something_is() -> None:
    """A clean end is one clause; each leftover adds its own; an inbox out of reach is no outcome at all."""
    clean = {"reachable": True, "recorded": 2, "waiting": 0, "owed": 0, "parked": 0, "quarantined": 0}

    assert "2 photos registered" == outcome_line(clean)
    assert "1 photo registered; 1 act owed; 1 act parked" == outcome_line(clean | dict.fromkeys(ONES, 1))
    assert (
        "2 photos registered; 1 still in the inbox; 3 acts owed; 4 acts parked; 5 set aside in the quarantine"
        == outcome_line(clean | {"waiting": 1, "owed": 3, "parked": 4, "quarantined": 5})
    )
    assert "The inbox cannot be looked at; see `status` and `doctor`." == outcome_line(clean | {"reachable": False})


def test_retry_and_repair_say_what_they_did() -> None:
    """Doing nothing is said as such, and what a person must still do is counted."""
    assert "Nothing waits or is set aside." == retried(0)
    assert "3 acts will be tried again now." == retried(3)
    assert "1 act will be tried again now." == retried(1)
    assert "1 row was written again; 2 differences are left for a person." == repaired(3, 2)
    assert "4 rows were written again; nothing differs any more." == repaired(4, 0)
    assert "3 rows were written again; 1 difference is left for a person." == repaired(4, 1)


def test_a_record_is_one_line_that_says_why_it_is_in_doubt() -> None:
    """A doubtful one carries its code, or what is wrong in words, and what else it may be; a sure one nothing."""
    doubtful = record_line(record_facts(RECORD))
    unsure = replace(RECORD.reading, code="", candidates=(Candidate("1234BCO", 0.614), Candidate("1234BC0")))
    nothing = replace(RECORD, plate=NO_PLATE, reading=Reading(None, review=True))
    sure = record_line(record_facts(replace(RECORD, reading=replace(RECORD.reading, review=False, confidence=None))))

    assert doubtful.startswith("     7  20")
    assert doubtful.endswith(
        "1234BCD       0.93  rapidocr   matricula_20260304_153045.jpg  review: engine_unavailable, or 1234BCO"
    )
    assert record_line(record_facts(replace(RECORD, reading=unsure))).endswith(
        ".jpg  review: not sure, or 1234BCO (0.61), 1234BC0"
    )
    assert record_line(record_facts(nothing)).endswith(".jpg  review: no plate")
    assert sure.endswith("1234BCD             rapidocr   matricula_20260304_153045.jpg")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "a.jpg: 1234BCD (0.93) by tesseract in 0.46 s"),
        (OTHERS, f"a.jpg: 1234BCD (0.93) by tesseract in 0.46 s  rather than 1234BCO (0.61), {TAMED}"),
        (
            {"review": True, "code": "x"} | OTHERS,
            f"a.jpg: 1234BCD (0.93) by tesseract in 0.46 s  doubtful, or 1234BCO (0.61), {TAMED}  x",
        ),
        (
            {"plate": None, "confidence": None, "engine": "", "candidates": [], "review": True, "code": "x"},
            "a.jpg: no plate in 0.46 s  doubtful  x",
        ),
        ({"error": HOSTILE}, f"a.jpg: {TAMED}"),
        ({"error": "No.", "code": "bad", "drawing_error": "It is full."}, "a.jpg: No.  bad  not drawn: It is full."),
        ({"plate": HOSTILE}, f"a.jpg: {TAMED} (0.93) by tesseract in 0.46 s"),
        ({"drawing": "b.png"}, "a.jpg: 1234BCD (0.93) by tesseract in 0.46 s  drawn in b.png"),
        (
            {"drawing": None, "drawing_error": HOSTILE},
            f"a.jpg: 1234BCD (0.93) by tesseract in 0.46 s  not drawn: {TAMED}",
        ),
    ],
    ids=["sure", "others", "doubtful", "nothing", "error", "all at once", "hostile", "drawn", "not drawn"],
)
def test_a_reading_is_one_line(more: dict[str, object], expected: str) -> None:
    """It says who read what, how sure and in what time, what else was considered, and where it was drawn."""
    assert expected == reading_line(READING | more)


def test_the_status_has_a_line_for_every_figure() -> None:
    """Sums are followed by their parts, where there are any."""
    assert [
        "daemon       running, process 42",
        "inbox        /in",
        "waiting      3  (oldest 61 s)",
        "owed         3  (read 2, register 1)",
        "parked       0",
        "quarantined  0",
        "ignored      5",
        "registered   7",
    ] == status_lines(STATUS).split("\n")


def test_the_status_shows_what_is_wrong() -> None:
    """An inbox out of reach stands out, and a receiver's words about an act cannot break its line."""
    troubled = STATUS | {"reachable": False, "oldest_waiting_seconds": None, "held_up_by": {"notify/gate": HOSTILE}}
    lines = status_lines(troubled).split("\n")

    assert ["inbox        /in  CANNOT BE REACHED", "waiting      3"] == lines[1:3]
    assert f"! notify/gate {TAMED}" == lines[-1]


@pytest.mark.parametrize(("process", "expected"), [(None, "not running"), (0, "running"), (7, "running, process 7")])
def test_a_daemon_that_does_not_say_its_id_runs_all_the_same(process: int | None, expected: str) -> None:
    """Nought is a process without an id, none is no process."""
    assert f"daemon       {expected}" == status_lines(STATUS | {"running": process}).split("\n")[0]


def test_a_story_has_its_acts_below_it() -> None:
    """Empty facts are left out; an act says when it is due and why it waits, if it does."""
    waiting = ACT | {"act": "notify/gate", "due_in_seconds": 59.6, "reason": HOSTILE}

    assert [
        "name           a.jpg",
        "  read               owed, attempt 2",
        f"  notify/gate        owed, attempt 2, due in 60 s: {TAMED}",
    ] == story_lines(STORY | {"acts": [ACT, waiting]}).split("\n")


def test_a_story_tells_the_reading_without_what_it_lacks() -> None:
    """Noughts are told, since they are answers; nones are not; lists are told as words."""
    reading = {
        "text": "1234BCD",
        "confidence": None,
        "orientation": 0,
        "review": False,
        "candidates": [{"text": "1234BCO", "confidence": 0.614}, {"text": "I234BCD", "confidence": None}],
        "tried": ("openai", "tesseract"),
    }

    assert "reading        text 1234BCD; confidence 0.93; orientation 0" in story_lines(
        STORY | {"reading": reading | {"confidence": 0.934}}
    )
    assert (
        "reading        text 1234BCD; orientation 0; candidates 1234BCO (0.61), I234BCD; tried openai, tesseract"
        == story_lines(STORY | {"reading": reading}).split("\n")[1]
    )


def test_findings_and_differences_are_one_line_each() -> None:
    """A remedy follows an arrow, and is missing where nothing is to be done."""
    finding = {"level": "error", "what": "[folders] data", "says": "It is full.", "remedy": "Make room."}

    assert "error    [folders] data     It is full.  -> Make room." == finding_line(finding)
    assert "error    [folders] data     It is full." == finding_line(finding | {"remedy": ""})
    assert f"row_missing: {TAMED}" == difference_line({"code": "row_missing", "says": HOSTILE})
