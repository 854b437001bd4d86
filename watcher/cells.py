"""The text of the register: its cells, its lines, and what a half-written line of ours looks like. Pure.

The format is RFC 4180 in UTF-8 with Python's `csv` quoting. Our rows never hold a line break, so that every physical
line can be judged by itself: one stray quotation mark from a spreadsheet must not hide all the lines below it.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass

from watcher.model import NO_PLATE, Image, Reading, Row

HEADER = ("id", "fecha_hora", "matricula", "propietario", "tipo_vehiculo", "observacion", "imagen")
HEADER_LINE = ",".join(HEADER).encode() + b"\n"
BOM = b"\xef\xbb\xbf"
LONGEST_ID = 15
"""Digits; a longer number in the first cell is somebody's mistake, and would soon not fit into the journal."""

_LONGEST_CELL = 2000
_LONGEST_PLATE = 17
_SHOWN = 80
_NAME = "matricula_"
_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1e\x85\u2028\u2029]+")
# C0, C1, marks that change the direction of writing, the byte order mark, lone surrogates, and what is no character.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff\ufffe\uffff]")
# = + - @ and their wide, small and mathematical twins, at the beginning of a cell. That may also be after a semicolon:
# where the comma is the decimal sign, spreadsheets split lines there.
_FORMULA = re.compile(
    r"(^|;)(?=[\s\"\u00ad\u200b-\u200d\u2060]*[=+\-@\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b])"
)
_ID = re.compile(rf"[0-9]{{1,{LONGEST_ID}}}")
_TORN = re.compile(rb"[0-9]{1,%d}(,.*)?" % LONGEST_ID, re.DOTALL)


class NotOurs(Exception):
    """The file is not our register; the message is a sentence that says what stands there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the file is written: bytes before the header, the ending of its lines, whether it has its header at all."""

    start: int
    ending: bytes
    begun: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line below the header.

    Attributes:
        number: As an editor counts, the header being 1.
        id: What stands in its first cell, none if that is not a number.
        image: The name in its last cell; in a line with more cells, what looks like one of our names.
        ok: It is UTF-8, parses by itself and has seven cells, the first of them a number.

    """

    number: int
    id: int | None
    image: str
    ok: bool


def row(image: Image, reading: Reading, *, repeated: bool, number: int | None = None) -> Row:
    """Return the cells for *image*: harmless to every reader of the file, and the same whenever it is asked again.

    *number* is the id of a row that was there before.
    """
    sidecar = image.sidecar
    return Row(
        fecha_hora=image.captured_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        matricula=_plate(reading.text or ""),
        propietario=_text(sidecar.propietario) if sidecar else "",
        tipo_vehiculo=_text(sidecar.tipo_vehiculo) if sidecar else "",
        observacion=_text(sidecar.observacion) if sidecar else "",
        imagen=_text(image.name),
        repeated=repeated,
        id=number,
    )


def line_of(row: Row, number: int, ending: bytes) -> bytes:
    """Return the line of *row* with *number* as its id."""
    text = io.StringIO(newline="")
    cells = (number, row.fecha_hora, row.matricula, row.propietario, row.tipo_vehiculo, row.observacion, row.imagen)
    csv.writer(text, lineterminator=ending.decode()).writerow(cells)
    return text.getvalue().encode()


def layout(head: bytes) -> Layout:
    """Say how a file is written that begins with *head*, which is all of it or at least 1 KiB.

    Ours are the seven names in order between commas, in UTF-8 with or without a byte order mark; likewise an empty
    file, and the beginning of our own header, which a crash may have left.

    Raises:
        NotOurs: It is something else.

    """
    start = len(BOM) if head.startswith(BOM) else 0
    first, end, _ = head[start:].partition(b"\n")
    names, _, rest = first.partition(b"\r")
    if not rest and _cells(_decoded(names)[0]) == list(HEADER):
        return Layout(start, b"\r\n" if first.endswith(b"\r") else b"\n", begun=True)
    if not end and HEADER_LINE.startswith(first):
        return Layout(start, b"\n", begun=False)
    raise NotOurs(_what_it_is(head, first))


def is_torn(tail: bytes, owed: Iterable[Row], ending: bytes) -> bool:
    """Return whether *tail*, which has no line ending, is a line of ours that was cut off while it was written.

    It is if it is, the id aside, the beginning of a row that is *owed*. Zeros stand for bytes that a power cut took.
    """
    left = tail.rstrip(b"\0")
    torn = _TORN.fullmatch(left)
    if not torn:
        return not left
    begun = b"0" + (torn[1] or b"")
    return any(line_of(row, 0, ending).startswith(begun) for row in owed)


def parse(raw: bytes, number: int) -> Line:
    """Judge the physical line *raw* by itself; never raises."""
    if b"\0" in raw:
        return Line(number, None, "", ok=False)
    text, clean = _decoded(raw.rstrip(b"\r\n"))
    cells = _cells(text)
    damaged = not cells
    if damaged:
        cells = [text.partition(",")[0], text.rpartition(",")[2].strip('" ')]
    first = cells[0]
    identifier = int(first) if _ID.fullmatch(first) else None
    ok = clean and not damaged and len(cells) == len(HEADER) and identifier is not None
    return Line(number, identifier, _image(cells), ok)


def _plate(text: str) -> str:
    """Return what may stand in `matricula`, whatever an engine said."""
    return re.sub("[^A-Z0-9-]", "", text.upper()).lstrip("-")[:_LONGEST_PLATE] or NO_PLATE


def _text(value: str) -> str:
    """Return *value* on one line, without what cannot be seen, and as text to every spreadsheet."""
    seen = _UNSEEN.sub("", _BREAKS.sub(" ", value))
    return _FORMULA.sub(r"\1'", seen[:_LONGEST_CELL])


def _cells(text: str) -> list[str]:
    """Return the cells of a line without its ending; none if it cannot be parsed."""
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error:
        return []


def _image(cells: list[str]) -> str:
    last = cells[len(HEADER) - 1 :] or cells[-1:]
    return next((cell for cell in reversed(last) if cell.startswith(_NAME)), last[-1])


def _decoded(raw: bytes) -> tuple[str, bool]:
    """Return the text of *raw*, and whether it is UTF-8; if not, what is foreign in it becomes lone surrogates."""
    try:
        return raw.decode(), True
    except UnicodeDecodeError:
        return raw.decode("utf-8", "surrogateescape"), False


def _what_it_is(head: bytes, first: bytes) -> str:
    if head.startswith(b"PK\x03\x04"):
        return "It is a workbook or another archive, not CSV."
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head:
        return "It holds zero bytes, as UTF-16 does; our register is UTF-8."
    text = first.decode("utf-8", "replace").strip()
    separators = {";": "semicolons", "\t": "tabs", "|": "bars"}
    for separator, word in separators.items():
        if text.replace('"', "").split(separator) == list(HEADER):
            return f"Its columns are separated by {word}, not commas."
    return f"Its first line is {text[:_SHOWN]!r}."
