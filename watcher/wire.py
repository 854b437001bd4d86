"""Requests and readings as plain data, for the way to a child and back.

What comes back was said by a process that looked at hostile bytes: every field is checked, nothing is converted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

from watcher.model import Candidate, Kind, Reading, Request

MAX_TEXT = 200
MAX_CANDIDATES = 50

_PNG = b"\x89PNG\r\n\x1a\n"
_CODE = re.compile(r"(?:[a-z][a-z0-9_]{0,39})?")
_MAX_PIXEL = 1_000_000
_MAX_SECONDS = 86_400.0
_TURN = 360
_BOX = 4


def request_out(request: Request) -> dict[str, Any]:
    """Return *request* as plain data, its words, which came with the photo, cut to the lengths that we take."""
    regions = [_cut(region) for region in request.regions[:MAX_CANDIDATES]]
    return {"kind": request.kind, "language": _cut(request.language), "regions": regions}


def request_in(data: Mapping[str, Any]) -> Request:
    """Return the request that *data* describes; raise ValueError if it does not describe one."""
    kinds: Mapping[str, Kind] = {kind: kind for kind in get_args(Kind)}
    if data.get("kind") not in kinds:
        raise ValueError("an unknown kind of request")
    regions = tuple(_text(region) for region in _items(data.get("regions")))
    return Request(kind=kinds[data["kind"]], language=_text(data.get("language")), regions=regions)


def reading_out(reading: Reading) -> dict[str, Any]:
    """Return *reading* as plain data, cut to the lengths that the other side takes."""
    candidates = reading.candidates[:MAX_CANDIDATES]
    return {
        "text": None if reading.text is None else _cut(reading.text),
        "confidence": reading.confidence,
        "box": reading.box,
        "orientation": reading.orientation,
        "candidates": [[_cut(candidate.text), candidate.confidence] for candidate in candidates],
        "seconds": reading.seconds,
        "code": reading.code,
        "review": reading.review,
        "note": _cut(reading.note),
    }


def reading_in(data: Mapping[str, Any], *, engine: str) -> Reading:
    """Return the reading that *data* describes as one of *engine*, whoever it says it is from.

    Raises:
        ValueError: A field has a wrong type, is not finite, lies outside its range or is too long.

    """
    text, seconds = data.get("text"), _number(data.get("seconds"), _MAX_SECONDS)
    return Reading(
        text=None if text is None else _text(text),
        confidence=_confidence(data.get("confidence")),
        engine=engine,
        box=_box(data.get("box")),
        orientation=_orientation(data.get("orientation")),
        candidates=tuple(_candidate(item) for item in _items(data.get("candidates"))),
        seconds=seconds,
        code=_code(data.get("code")),
        review=_flag(data.get("review")),
        note=_text(data.get("note", "")),
    )


def size_in(data: Mapping[str, Any]) -> tuple[int, int]:
    """Return the width and height in pixels that *data* gives; raise ValueError if it gives none."""
    return _whole(data.get("width"), _MAX_PIXEL), _whole(data.get("height"), _MAX_PIXEL)


def png_in(blob: bytes) -> bytes:
    """Return *blob* if it begins as a PNG does; raise ValueError if not."""
    if not blob.startswith(_PNG):
        raise ValueError("a drawing that is no PNG")
    return blob


def sentence_in(data: Mapping[str, Any]) -> str:
    """Return the sentence that *data* carries; raise ValueError if it carries none."""
    return _text(data.get("sentence"))


def _cut(text: str) -> str:
    return text[:MAX_TEXT].encode(errors="replace").decode()


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise ValueError("a text that is none, or too long")
    value.encode()  # a lone surrogate could never be written to the register
    return value


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError("a number that is none, or outside its range")
    return float(value)


def _confidence(value: object) -> float | None:
    return None if value is None else _number(value, 1.0)


def _whole(value: object, most: int) -> int:
    number = _number(value, most)
    if not number.is_integer():
        raise ValueError("a number with a fraction")
    return int(number)


def _box(value: object) -> tuple[int, int, int, int] | None:
    if value is None:
        return None
    numbers = [_whole(item, _MAX_PIXEL) for item in _items(value)]
    if len(numbers) != _BOX:
        raise ValueError("a box without four numbers")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _orientation(value: object) -> int | None:
    return None if value is None else _whole(value, _TURN - 1)


def _items(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_CANDIDATES:
        raise ValueError("a list that is none, or too long")
    return value


def _candidate(value: object) -> Candidate:
    match value:
        case [text, confidence]:
            return Candidate(_text(text), _confidence(confidence))
        case _:
            raise ValueError("a candidate that is none")


def _code(value: object) -> str:
    if not isinstance(value, str) or not _CODE.fullmatch(value):
        raise ValueError("a code that is none")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("a flag that is none")  # noqa: TRY004 - a fault of the sender
    return value
