"""The text of the register: harmless cells, lines that can be judged alone, half lines that are known as ours."""

from __future__ import annotations

import csv
import io
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records import RECORD
from watcher.cells import BOM, HEADER, HEADER_LINE, Layout, Line, NotOurs, is_torn, layout, line_of, parse, row
from watcher.model import Reading, Row, Sidecar

IMAGE = RECORD.image
ROW = Row("2026-03-04 15:30:45", "1234BCD", "Juan Pérez", "Sedan", 'Dice "hola", y se va', IMAGE.name)
LINE = b'7,2026-03-04 15:30:45,1234BCD,Juan P\xc3\xa9rez,Sedan,"Dice ""hola"", y se va",matricula_20260304_153045.jpg\n'

anything = st.text(st.characters(exclude_categories=()), max_size=60)
rows = st.builds(
    lambda texts: row(
        replace(IMAGE, sidecar=Sidecar(propietario=texts[0], observacion=texts[1])), RECORD.reading, repeated=False
    ),
    st.tuples(anything, anything),
)


@pytest.fixture
def madrid() -> Iterator[None]:
    """Let this host be in Madrid."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Madrid"
    time.tzset()
    yield
    os.environ.pop("TZ")
    os.environ |= {} if before is None else {"TZ": before}
    time.tzset()


def cell(text: str) -> str:
    """Return what becomes of *text* from a sidecar."""
    return row(replace(IMAGE, sidecar=Sidecar(observacion=text)), RECORD.reading, repeated=False).observacion


# Cells


@pytest.mark.usefixtures("madrid")
def test_the_row_of_an_image() -> None:
    """The seven columns without the id, the time in the zone of the host, and the mark of a repeat."""
    expected = Row(
        fecha_hora="2026-03-04 15:30:45",
        matricula="1234BCD",
        propietario="Juan Pérez",
        tipo_vehiculo="Sedan",
        observacion="Vehículo de entrega",
        imagen="matricula_20260304_153045.jpg",
        repeated=True,
    )

    assert expected == row(IMAGE, RECORD.reading, repeated=True)
    assert not row(IMAGE, RECORD.reading, repeated=False).repeated


@pytest.mark.usefixtures("madrid")
def test_summer_time_is_that_of_the_moment() -> None:
    """A photo of July has the time that clocks on the wall showed in July."""
    july = replace(IMAGE, captured_at=datetime(2026, 7, 1, 12, tzinfo=UTC))

    assert row(july, RECORD.reading, repeated=False).fecha_hora == "2026-07-01 14:00:00"


def test_no_sidecar_leaves_the_cells_empty() -> None:
    """An image without a sidecar, or with a bad one, has its row all the same."""
    for sidecar in (None, Sidecar(error="It is empty.")):
        found = row(replace(IMAGE, sidecar=sidecar), RECORD.reading, repeated=False)

        assert ("", "", "") == (found.propietario, found.tipo_vehiculo, found.observacion)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1234BCD", "1234BCD"),
        ("B-AB1234", "B-AB1234"),
        (None, "NO_DETECTADA"),
        ("", "NO_DETECTADA"),
        ("---", "NO_DETECTADA"),
        ("-AB1", "AB1"),
        ("=cmd|' /C calc'!A0", "CMDCCALCA0"),
        ("ab 12\n34,\u202e", "AB1234"),
        ("W" * 30, "W" * 17),
    ],
)
def test_a_plate_is_letters_digits_and_hyphens(text: str | None, expected: str) -> None:
    """Whatever an engine of whatever origin said, the cell is a plate or says that there is none."""
    assert expected == row(IMAGE, Reading(text), repeated=False).matricula


@pytest.mark.parametrize("character", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "﹢", "﹣", "﹦", "﹫", "\u2212"])  # noqa: RUF001 (the twins)
@pytest.mark.parametrize("before", ["", " ", "   ", "\u00a0", "\u3000", "\u200b", "\ufeff", "\t", "\r\n", '"', "\x00"])
def test_formulas_become_text(character: str, before: str) -> None:
    """A cell that a spreadsheet would calculate gets an apostrophe, be it behind spaces or unseen characters."""
    assert cell(f"{before}{character}1+1").startswith("'")


@pytest.mark.parametrize("text", ["x;=1+1;", 'x;"=1+1;', "x; @a", ";-1", "a;b;＝c"])  # noqa: RUF001 (a twin)
def test_formulas_behind_a_semicolon_become_text(text: str) -> None:
    """Where the comma is the decimal sign a spreadsheet splits lines at semicolons, so a formula may begin there."""
    parts = re.split(";", cell(text))

    assert all(part.startswith("'") for part in parts if any(sign in part for sign in "=@-＝"))  # noqa: RUF001 (a twin)


@pytest.mark.parametrize(
    "text", ["Juan Pérez", "10-12 h", "a@b.es", "C+D; E", "'=1", "¡Ojo! 5 = 5", "👩‍🔧 Ñandú", "x;y"]
)
def test_harmless_text_stays(text: str) -> None:
    """What no program would misread is not touched."""
    assert text == cell(text)


def test_breaks_become_a_space() -> None:
    """A note of two lines stays readable on one."""
    assert cell("Entrega\r\nPuerta\t2\u2028norte") == "Entrega Puerta 2 norte"


@pytest.mark.parametrize(
    "character",
    ["\0", "\x07", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200f", "\ud800", "\ufeff", "\uffff"],
)
def test_what_cannot_be_seen_is_removed(character: str) -> None:
    """Control characters, changes of direction and half characters never reach the file."""
    assert cell(f"a{character}b") == "ab"


def test_a_cell_has_an_end() -> None:
    """A cell of any size cannot make a line that no program opens."""
    assert cell("ñ" * 2000) == "ñ" * 2000
    assert cell("ñ" * 60_000) == "ñ" * 2000


@given(text=anything)
def test_any_text_is_harmless(text: str) -> None:
    """Whatever a sidecar holds, the cell is one line of visible text, and doing it again changes nothing."""
    found = cell(text)

    assert not {unicodedata.category(character) for character in found} & {"Cc", "Cs", "Zl", "Zp"}
    assert not found.lstrip().startswith(("=", "+", "-", "@"))
    assert found == found.encode().decode()
    assert found == cell(found)


@pytest.mark.usefixtures("madrid")
def test_the_zone_that_a_sidecar_named_does_not_show() -> None:
    """One moment is one text, in whatever zone it was given."""
    there = IMAGE.captured_at.astimezone(timezone(timedelta(hours=-5)))

    assert row(replace(IMAGE, captured_at=there), RECORD.reading, repeated=False).fecha_hora == "2026-03-04 15:30:45"


# Lines


@given(item=rows, number=st.integers(1, 10**14), ending=st.sampled_from([b"\n", b"\r\n"]))
def test_a_line_comes_back_as_it_was(item: Row, number: int, ending: bytes) -> None:
    """What is written for any sidecar is what a reader of CSV reads, on one line, and what we recognise ourselves."""
    raw = line_of(item, number, ending)
    [cells] = csv.reader(io.StringIO(raw.decode(), newline=""), strict=True)
    expected = [
        str(number),
        item.fecha_hora,
        item.matricula,
        item.propietario,
        item.tipo_vehiculo,
        item.observacion,
        item.imagen,
    ]

    assert expected == cells
    assert len(raw.decode().splitlines()) == 1
    assert raw.endswith(ending)
    assert Line(3, number, item.imagen, ok=True) == parse(raw, 3)


def test_a_line_in_bytes() -> None:
    """The format, to the byte."""
    assert LINE == line_of(ROW, 7, b"\n")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (LINE.replace(b"\n", b"\r\n"), Line(2, 7, IMAGE.name, ok=True)),
        (b'"7","a","b","c","d","e","matricula_x.jpg"', Line(2, 7, "matricula_x.jpg", ok=True)),
        (b"7,a,b,c,d,e,otra.jpg\n", Line(2, 7, "otra.jpg", ok=True)),
        (b"x,a,b,c,d,e,matricula_x.jpg\n", Line(2, None, "matricula_x.jpg", ok=False)),
        (b"1234567890123456,a,b,c,d,e,matricula_x.jpg\n", Line(2, None, "matricula_x.jpg", ok=False)),
        (b"\xd9\xa7,a,b,c,d,e,matricula_x.jpg\n", Line(2, None, "matricula_x.jpg", ok=False)),
        (b"7,a,b,Mu\xf1oz,d,e,matricula_x.jpg\n", Line(2, 7, "matricula_x.jpg", ok=False)),
        (b'7,a,b,"c,d,e,matricula_x.jpg\n', Line(2, 7, "matricula_x.jpg", ok=False)),
        (b'7,a,b,"c"c,d,e,"matricula_x.jpg"\n', Line(2, 7, "matricula_x.jpg", ok=False)),
        (b"7,a,b\rc,d,e,matricula_x.jpg\n", Line(2, 7, "matricula_x.jpg", ok=False)),
        (b"7,a,b,c,d,e,extra,matricula_x.jpg\n", Line(2, 7, "matricula_x.jpg", ok=False)),
        (b"7,a,b,c,d,e,matricula_x.jpg,extra,,\n", Line(2, 7, "matricula_x.jpg", ok=False)),
        (b"7,a,b,c,d,matricula_y.jpg,matricula_x.jpg\n", Line(2, 7, "matricula_x.jpg", ok=True)),
        (b"7,a,b,c,d,e,\0\0\0,matricula_x.jpg\n", Line(2, None, "", ok=False)),
        (b",,,,,,\n", Line(2, None, "", ok=False)),
        (b"7\n", Line(2, 7, "7", ok=False)),
        (b"\n", Line(2, None, "", ok=False)),
        (b'"' + b"x" * 200_000 + b'"\n', Line(2, None, "x" * 200_000, ok=False)),
    ],
)
def test_a_line_is_judged_by_itself(raw: bytes, expected: Line) -> None:
    """Spreadsheets and editors leave their marks; the name is still found, and what is odd about a line is told."""
    assert expected == parse(raw, 2)


@given(raw=st.binary(max_size=200))
def test_no_line_is_too_strange_to_be_judged(raw: bytes) -> None:
    """Bytes of any kind are a line that is not ours at worst."""
    assert parse(raw, 5).number == 5


# Whose file


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", Layout(0, b"\n", begun=False)),
        (BOM, Layout(3, b"\n", begun=False)),
        (b"id,fecha_h", Layout(0, b"\n", begun=False)),
        (BOM + b"i", Layout(3, b"\n", begun=False)),
        (HEADER_LINE, Layout(0, b"\n", begun=True)),
        (HEADER_LINE[:-1], Layout(0, b"\n", begun=True)),
        (HEADER_LINE[:-1] + b"\r", Layout(0, b"\r\n", begun=True)),
        (HEADER_LINE[:-1] + b"\r\n1,2", Layout(0, b"\r\n", begun=True)),
        (BOM + HEADER_LINE + LINE, Layout(3, b"\n", begun=True)),
        (",".join(f'"{name}"' for name in HEADER).encode() + b"\r\n", Layout(0, b"\r\n", begun=True)),
    ],
)
def test_our_files_are_known(head: bytes, expected: Layout) -> None:
    """Files that we, an editor or a spreadsheet wrote, empty ones, and those a crash cut in the header are ours."""
    assert expected == layout(head)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (HEADER_LINE.replace(b",", b";"), "semicolons"),
        (HEADER_LINE.replace(b",", b"\t"), "tabs"),
        (HEADER_LINE.replace(b",", b"|"), "bars"),
        (HEADER_LINE.decode().encode("utf-16"), "UTF-16"),
        (HEADER_LINE.decode().encode("utf-16-le"), "UTF-16"),
        (b"PK\x03\x04\x14\x00", "workbook"),
        (b"fecha_hora,id\n", "'fecha_hora,id'"),
        (HEADER_LINE[:-1] + b",extra\n", "extra'"),
        (b"id,fecha_hora\n", "'id,fecha_hora'"),
        (b"\n" + HEADER_LINE, "''"),
        (HEADER_LINE[:-1] + b"\r" + LINE, "first line"),
        (BOM + BOM + HEADER_LINE, "first line"),
        (b"\xff\xd8\xff\xe0", "\ufffd"),
        (b"\x1b[2Jid,\xe2\x80\xae", r"x1b\[2Jid,\\u202e"),
        (b"x" * 2000, "'x{80}'"),
    ],
)
def test_other_files_are_not_ours(head: bytes, reason: str) -> None:
    """What stands there is said, so that a person knows what to do, and printed harmlessly."""
    with pytest.raises(NotOurs, match=reason):
        layout(head)


# Half lines


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_every_beginning_of_an_owed_row_is_torn(ending: bytes) -> None:
    """Wherever a write of ours broke off, with whatever id, what is there is known as ours, zeros behind it or not."""
    whole = line_of(ROW, 123, ending)
    other = replace(ROW, imagen="matricula_20260304_153046.jpg")

    for length in range(1, len(whole) - len(b"\n")):
        assert is_torn(whole[:length], [other, ROW], ending)
        assert is_torn(whole[:length] + bytes(9), iter([other, ROW]), ending)


@given(item=rows, data=st.data())
def test_beginnings_of_any_row_are_torn(item: Row, data: st.DataObject) -> None:
    """Likewise for any sidecar, cut in the middle of a character or between quotation marks."""
    whole = line_of(item, 5, b"\n")
    length = data.draw(st.integers(1, len(whole) - 1))

    assert is_torn(whole[:length], [item], b"\n")


@pytest.mark.parametrize(
    "tail",
    [
        LINE[:-1] + b"x",
        LINE.replace(b"Sedan", b"Coupe")[:-1],
        LINE[1:-1],
        b"x" + LINE[:-1],
        LINE[: len(LINE) // 2] + b"\0x",
        b",",
        b"a note",
        b"1234567890123456",
        "7,2026-03-04 15:30:45,٤".encode(),
    ],
)
def test_other_ends_are_not_torn(tail: bytes) -> None:
    """What differs by one byte was written by somebody else and must not be cut."""
    assert not is_torn(tail, [ROW], b"\n")


def test_nothing_is_torn_that_is_not_owed() -> None:
    """A complete row without its line ending, which an editor left so, is not a half row: it was recorded long ago."""
    assert not is_torn(LINE[:-1], [], b"\n")
    assert not is_torn(b"7", [], b"\n")


def test_zeros_are_torn() -> None:
    """Zeros at the end are what a power cut leaves; nobody types them."""
    assert is_torn(bytes(100), [], b"\n")
