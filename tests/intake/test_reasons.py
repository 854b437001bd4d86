"""What stands in a reason file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.makers import NOON
from watcher.intake.reasons import REASONS, explanation, source_in
from watcher.model import Identity, Image, Sidecar

SOURCE = b"gate/caf\xe9\n7.jpg"
IMAGE = Image(
    name="truncated/20260304_120000_1_caf.jpg",
    source=SOURCE,
    identity=Identity(1, 2, 3, 4),
    digest="",
    temporary="",
    camera="gate",
    kind="plate",
    sidecar=None,
    arrived_at=NOON,
    captured_at=NOON,
    time_source="arrival",
)


def facts(reason: str, image: Image) -> dict[str, Any]:
    """Return what the explanation says."""
    said: dict[str, Any] = json.loads(explanation(reason, image, NOON))
    return said


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_sentences(reason: str) -> None:
    """Code, message and remedy, for each."""
    said = facts(reason, IMAGE)

    assert reason == said["code"]
    assert said["message"].endswith(".")
    assert said["retry"].endswith(".")


def test_the_source_can_be_read_and_restored() -> None:
    """A name of any bytes is shown escaped, and comes back byte for byte."""
    said = facts("truncated", IMAGE)

    assert "gate/caf\\xe9\n7.jpg" == said["source"]
    assert SOURCE == source_in(explanation("truncated", IMAGE, NOON))
    assert NOON.astimezone().isoformat(timespec="seconds") == said["when"] == said["arrived_at"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"not JSON", b"[]", b"{}", b'{"source_bytes": 7}', b'{"source_bytes": "xy"}', b"\xff"]
    + [json.dumps({"source_bytes": path.hex()}).encode() for path in (b"/etc/x.jpg", b"../x.jpg", b"a\0b")],
)
def test_a_reason_that_was_tampered_with_leads_nowhere(raw: bytes) -> None:
    """What a person made of the file is not followed out of the inbox."""
    assert b"" == source_in(raw)


def test_a_sidecar_error_says_what_is_wrong() -> None:
    """The sentence of the parser stands in the message."""
    said = facts("sidecar_error", replace(IMAGE, sidecar=Sidecar(error="It is empty.")))

    assert said["message"].endswith("It is empty.")
    assert said["sidecar"] is None


def test_a_duplicate_keeps_what_its_sidecar_said() -> None:
    """The sidecar itself goes; nothing that it said is lost, and what it left out is not made up."""
    card = Sidecar(
        path=b"a.json",
        identity=IMAGE.identity,
        propietario="Ana",
        timestamp=NOON,
        regions=("es",),
        extra='{"carril":2}',
    )
    said = facts("duplicate", replace(IMAGE, sidecar=card, duplicate_of="matricula_1.jpg"))
    expected = {
        "propietario": "Ana",
        "timestamp": NOON.isoformat(),
        "type": "plate",
        "regions": ["es"],
        "extra": {"carril": 2},
    }

    assert "matricula_1.jpg" == said["duplicate_of"]
    assert expected == said["sidecar"]
