"""What receivers and scripts are told of a record."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

from tests.records import RECORD
from watcher.facts import counted, record_facts

ROOT = Path(__file__).parent.parent


def test_one_is_no_plural() -> None:
    """What an operator reads counts as people do."""
    assert ["0 acts", "1 act", "2 acts"] == [counted(number, "act") for number in range(3)]


def test_every_fact_is_told_under_its_name() -> None:
    """A receiver finds all that is known, and nothing is added or dropped without this test."""
    facts = json.loads(json.dumps(record_facts(RECORD)))
    facts.pop("fecha_hora")

    assert {
        "id": 7,
        "plate": "1234BCD",
        "confidence": 0.93,
        "engine": "rapidocr",
        "code": "engine_unavailable",
        "review": True,
        "tried": ["openai", "rapidocr"],
        "seconds": 0.8,
        "candidates": [{"text": "1234BCD", "confidence": 0.93}, {"text": "1234BCO", "confidence": None}],
        "box": [10, 20, 200, 40],
        "orientation": 0,
        "kind": "plate",
        "image": "matricula_20260304_153045.jpg",
        "digest": "0" * 64,
        "size": 3,
        "source": "gate/caf\\xe9 7.jpg",
        "camera_id": "gate",
        "captured_at": "2026-03-04T14:30:45.000Z",
        "time_source": "sidecar",
        "arrived_at": "2026-03-04T14:30:46.250Z",
        "recorded_at": "2026-03-04T14:30:48.000Z",
        "propietario": "Juan Pérez",
        "tipo_vehiculo": "Sedan",
        "observacion": "Vehículo de entrega",
        "language": "es",
        "regions": ["es", "pt"],
        "extra": {"carril": 2},
        "sidecar_error": "",
    } == facts


def test_a_photo_without_a_sidecar_has_the_same_facts() -> None:
    """A receiver finds every key, empty, whether anybody wrote a sidecar or not."""
    alone = record_facts(replace(RECORD, image=replace(RECORD.image, sidecar=None)))

    assert list(record_facts(RECORD)) == list(alone)
    assert ("", "", {}, "gate") == (alone["propietario"], alone["language"], alone["extra"], alone["camera_id"])


def test_a_moment_of_another_zone_is_told_in_utc() -> None:
    """Two cameras in two zones give times that can be compared as text."""
    there = timezone(timedelta(hours=-5))
    moved = replace(RECORD, recorded_at=RECORD.recorded_at.astimezone(there))

    assert "2026-03-04T14:30:48.000Z" == record_facts(moved)["recorded_at"]


def test_the_time_of_the_row_is_that_of_the_clock_on_the_wall() -> None:
    """`fecha_hora` is local time: nine and a half hours east of Greenwich it is the next day."""
    script = (
        "from tests.records import RECORD; from watcher.facts import counted, record_facts;"
        " print(record_facts(RECORD)['fecha_hora'])"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"TZ": "EAST-9:30"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "2026-03-05 00:00:45" == told.stdout.strip()
