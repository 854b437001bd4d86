"""Facts come back from the journal as they went in, whatever bytes and numbers they hold."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.journal.items import IMAGE
from tests.records import RECORD
from watcher.clocks import HostZone
from watcher.journal.columns import (
    image_columns,
    image_fact,
    printable,
    reading_fact,
    reading_text,
    sidecar_fact,
    sidecar_text,
    utc,
)
from watcher.model import Identity, Image, Reading, Sidecar

HUGE = 2**64 - 1
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def there_and_back(image: Image) -> Image:
    """Return *image* as a database gives it back."""
    columns = image_columns(image)
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    names = ", ".join(columns)
    db.execute(f"CREATE TABLE images ({names})")
    db.execute(f"INSERT INTO images VALUES ({', '.join('?' * len(columns))})", list(columns.values()))  # noqa: S608 (names of ours)
    row = db.execute(f"SELECT {names} FROM images").fetchone()  # noqa: S608
    db.close()
    return image_fact(row)


def test_a_record_with_everything_in_it_comes_back() -> None:
    """Image, sidecar and reading of a full record are the same afterwards."""
    assert RECORD.image == there_and_back(RECORD.image)
    assert RECORD.reading == reading_fact(reading_text(RECORD.reading))


@given(
    source=st.binary(min_size=1, max_size=300),
    identity=st.builds(
        Identity,
        st.integers(0, HUGE),
        st.integers(0, HUGE),
        st.integers(0, 2**63 - 1),
        st.integers(-(2**70), 2**70),
    ),
    camera=PLAIN,
)
def test_any_file_comes_back(source: bytes, identity: Identity, camera: str) -> None:
    """Names are bytes; devices, inodes and times may exceed what SQLite can count to: a stranger sets an mtime."""
    image = replace(IMAGE, source=source, identity=identity, camera=camera)

    assert image == there_and_back(image)


@given(
    sidecar=st.builds(
        Sidecar,
        path=st.binary(max_size=300),
        identity=st.none() | st.builds(Identity, st.integers(0, HUGE), st.integers(0, HUGE), st.just(1), st.just(2)),
        propietario=PLAIN,
        observacion=PLAIN,
        timestamp=st.none() | st.datetimes(timezones=st.just(timezone(timedelta(hours=-3)))),
        regions=st.lists(PLAIN, max_size=3).map(tuple),
        error=PLAIN,
    )
)
def test_any_sidecar_comes_back(sidecar: Sidecar) -> None:
    """Text in any script, times in any zone, paths in any bytes."""
    assert sidecar == sidecar_fact(sidecar_text(sidecar))


def test_what_is_not_there_stays_away() -> None:
    """No sidecar and no reading are not empty ones."""
    assert sidecar_text(None) is None
    assert sidecar_fact(None) is None
    assert reading_fact(None) is None
    assert Reading(None) == reading_fact(reading_text(Reading(None)))


def test_what_is_written_is_plain_text() -> None:
    """Any tool can read the journal: the JSON in it is ASCII."""
    text = sidecar_text(Sidecar(path=b"caf\xe9\n", propietario="Juan Pérez 🚗"))

    assert text is not None
    assert text.isascii()
    assert "Juan Pérez 🚗" == json.loads(text)["propietario"]
    assert reading_text(Reading("ÑÑÑ")).isascii()


def test_times_sort_as_text() -> None:
    """Whatever their zones and fractions, the later one is the greater text."""
    moments = [
        datetime(2026, 3, 4, 12, 0, tzinfo=UTC),
        datetime(2026, 3, 4, 12, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 4, 11, 30, tzinfo=timezone(timedelta(hours=-1))),
        datetime(2026, 3, 5, tzinfo=HostZone()),
    ]

    assert sorted(map(utc, moments)) == list(map(utc, moments))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("matricula.jpg", "matricula.jpg"), ("camión 🚗.jpg", "camión 🚗.jpg"), ("caf\udce9.jpg", "caf\\xe9.jpg")],
)
def test_a_name_from_the_command_line_can_be_asked_for(name: str, expected: str) -> None:
    """Bytes that are no text become the escapes under which such names are shown."""
    assert expected == printable(name)
