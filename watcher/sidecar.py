"""Parse and check a sidecar, the optional JSON beside an image. Pure."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import cast, get_args

from watcher.model import Identity, Kind, Sidecar

LARGEST = 64 * 1024
"""Bytes that a sidecar may have; who reads one needs to read no more than this and one more."""

# Space that was reserved and not yet filled; UTF-32 ends in three zero bytes at most.
_UNWRITTEN = bytes(4)
_LEVELS = 16
_DIGITS = 20
_REGIONS = 32
_EARLIEST = 2000
_AHEAD = timedelta(days=1)
_ISO_8601 = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?|\d{8}T\d{4}(\d\d([.,]\d{1,9})?)?)(Z|[+-]\d\d(:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_CALLED = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    type(None): "null",
}


class _Unusable(Exception):
    """This sidecar cannot be used; the message is the sentence that says why."""


def names(image_name: bytes) -> tuple[bytes, ...]:
    """Return the names under which the sidecar of *image_name* is looked for, the one that wins first.

    Works on a name and on a path. A suffix in mixed case (`.Json`) is not looked for: it ends as an orphan.
    """
    stem = os.path.splitext(image_name)[0]
    return tuple(start + end for start in (image_name, stem) for end in (b".json", b".JSON"))


def is_sidecar(name: bytes) -> bool:
    """Whether a file of this name or path would be taken for a sidecar, of whatever image."""
    stem, suffix = os.path.splitext(os.path.basename(name))
    return suffix.lower() == b".json" and not stem.startswith(b".")


def whole(raw: bytes) -> bool:
    """Whether waiting cannot make these bytes more complete: JSON with its end, or something that never will be JSON.

    It says nothing about being usable: only `parse` does.
    """
    if raw.endswith(_UNWRITTEN):
        return False
    if len(raw) > LARGEST or b"\0" in raw:
        return True
    try:
        json.loads(raw.decode("utf-8-sig", "replace"), parse_int=str)
    except json.JSONDecodeError:
        return False
    except RecursionError:
        return True
    return True


def parse(raw: bytes, *, zone: tzinfo, now: datetime, path: bytes = b"", identity: Identity | None = None) -> Sidecar:
    """Return what *raw* says, or with `error` set and every field empty if anything at all is wrong with it.

    Never raises. Text stays as it is given; `null` and an empty text mean that nothing is given.

    Args:
        raw: The bytes of the sidecar: one JSON object in UTF-8, at most 64 KiB.
        zone: What a timestamp without a zone is taken to be in.
        now: With zone; a timestamp more than a day after it is refused.
        path: Where it lies, relative to the inbox.
        identity: Which file it is.

    """
    try:
        said = _sidecar(_object(_text(raw)), zone=zone, now=now)
    except _Unusable as unusable:
        said = Sidecar(error=str(unusable))
    return replace(said, path=path, identity=identity)


def _text(raw: bytes) -> str:
    """Return the characters of a file that is small enough and in UTF-8."""
    if len(raw) > LARGEST:
        raise _Unusable(f"It is larger than {LARGEST // 1024} KiB.")
    if b"\0" in raw:
        raise _Unusable("It holds zero bytes: it is UTF-16, was cut short or is not text; save it as UTF-8.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unusable(f"Byte {error.start + 1} is not UTF-8; save it as UTF-8.") from error
    if not text.strip():
        raise _Unusable("It is empty.")
    return text


def _object(text: str) -> dict[str, object]:
    """Return the object that strict JSON holds: no key twice, nothing too deep, no half characters."""
    try:
        found: object = json.loads(
            text, object_pairs_hook=_once, parse_constant=_finite, parse_float=_finite, parse_int=_short
        )
        _json(found).encode("utf-8")
    except json.JSONDecodeError as error:
        raise _Unusable(f"It is not JSON: {error.msg} (line {error.lineno}, column {error.colno}).") from error
    except UnicodeEncodeError as error:
        raise _Unusable("It holds half a character (a lone surrogate).") from error
    except RecursionError as error:
        raise _Unusable("It is nested too deeply.") from error
    if not isinstance(found, dict):
        raise _Unusable(f"It must be one JSON object but is {_CALLED[type(found)]}.")
    if not _shallow(found, _LEVELS):
        raise _Unusable("It is nested too deeply.")
    return found


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a key that stands twice in one object: which of the two is meant cannot be known."""
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise _Unusable(f"The key {key[:40]!a} stands twice in it.")
        found[key] = value
    return found


def _finite(text: str) -> float:
    """Refuse NaN, Infinity and what overflows to it: Python reads them, JSON has none."""
    value = float(text)
    if not math.isfinite(value):
        raise _Unusable("It holds a number that JSON does not have (NaN, Infinity or one too large).")
    return value


def _short(text: str) -> int:
    """Refuse integers that other programs could not read back."""
    if len(text) > _DIGITS:
        raise _Unusable(f"It holds a number with more than {_DIGITS} digits.")
    return int(text)


def _shallow(value: object, levels: int) -> bool:
    """Whether *value* is nested in at most *levels* levels."""
    if not isinstance(value, dict | list):
        return True
    inside = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_shallow(item, levels - 1) for item in inside)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _sidecar(given: dict[str, object], *, zone: tzinfo, now: datetime) -> Sidecar:
    """Take the known keys out of *given*, if they all hold what they should; the others are kept."""
    return Sidecar(
        propietario=_field(given, "propietario", 200),
        tipo_vehiculo=_field(given, "tipo_vehiculo", 100),
        observacion=_field(given, "observacion", 2000),
        camera_id=_field(given, "camera_id", 100),
        timestamp=_timestamp(_field(given, "timestamp", 40), zone=zone, now=now),
        type=_kind(_field(given, "type", 20)),
        language=_language(given),
        regions=_regions(given.pop("regions", None)),
        extra=_extra(given),
    )


def _field(given: dict[str, object], key: str, limit: int) -> str:
    """Take the text under *key* out, at most *limit* characters; empty if there is none."""
    value = given.pop(key, None)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _Unusable(f"`{key}` must be text but is {_CALLED[type(value)]}; put it in quotation marks.")
    if len(value) > limit:
        raise _Unusable(f"`{key}` is longer than {limit} characters.")
    return value


def _timestamp(text: str, *, zone: tzinfo, now: datetime) -> datetime | None:
    """Return a believable point in time, with zone, or none if none is given."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.upper()) if _ISO_8601.fullmatch(text) else None
    except ValueError:
        moment = None
    if moment is None:
        raise _Unusable("`timestamp` is not ISO 8601; write it like 2026-03-04T15:30:45+01:00.")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    if moment.year < _EARLIEST:
        raise _Unusable(f"`timestamp` lies before the year {_EARLIEST}; set the clock of the camera.")
    # A zone may not be able to say what its offset is at the end of time.
    if moment.year > now.year + 1 or moment > now + _AHEAD:
        raise _Unusable("`timestamp` lies more than a day in the future; set the clock of the camera.")
    return moment


def _kind(text: str) -> Kind:
    """Return what is to be read."""
    kinds = get_args(Kind)
    if text and text not in kinds:
        raise _Unusable(f"`type` must be one of {', '.join(kinds)}.")
    return cast("Kind", text or "plate")


def _language(given: dict[str, object]) -> str:
    """Return the language, which may be given under either of its names; 35 characters hold any BCP 47 tag in use."""
    said = {_field(given, key, 35) for key in ("language", "userLanguage")} - {""}
    if len(said) > 1:
        raise _Unusable("`language` and `userLanguage` differ; give one of them.")
    return said.pop() if said else ""


def _regions(value: object) -> tuple[str, ...]:
    """Return the regions, given as one text or as a list of them."""
    entries = [value] if value is None or isinstance(value, str) else value
    if not isinstance(entries, list):
        raise _Unusable(f"`regions` must be a list of texts but is {_CALLED[type(value)]}.")
    if len(entries) > _REGIONS:
        raise _Unusable(f"`regions` has more than {_REGIONS} entries.")
    said = (_field({"regions": entry}, "regions", 32) for entry in entries)
    return tuple(region for region in said if region)


def _extra(unknown: dict[str, object]) -> str:
    """Return the unknown keys as one JSON object in text."""
    text = _json(unknown)
    if len(text.encode("utf-8")) > LARGEST:
        raise _Unusable(f"Its unknown keys take more than {LARGEST // 1024} KiB when written out.")
    return text
