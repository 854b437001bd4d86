"""Turn whatever is logged into plain, short and harmless values: nothing secret, nothing that could forge a line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from structlog.tracebacks import safe_str
from structlog.typing import EventDict, WrappedLogger

from watcher.model import NO_PLATE

HIDDEN = "[hidden]"
LONGEST = 2_000
"""Characters of a value; more are cut off."""
LONGEST_TRACE = 20_000
MOST = 50
"""Items of a list or dictionary; more are left out."""
DEEPEST = 8
"""Levels of nesting; what lies deeper is left out."""

_FIRST = ("timestamp", "level", "event")
_TRACES = frozenset({"exception", "stack"})
_PERSONAL = frozenset({"plate", "matricula", "text", "candidates"})
_SECRET_KEY = re.compile(r"authorization|api[_-]?key|secret|passw|signature|cookie|(?:^|_)token$", re.IGNORECASE)
_SECRETS = (
    (re.compile(r"(?<![A-Za-z0-9])(sk-|whsec_)[A-Za-z0-9_+/=-]{4,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(bearer)\s+[^\s'\",;]{4,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?)[^'\"\n,;}]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"((?:api[_-]?key|secret|password)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;}]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(://)[^\s/@:]+:[^\s/@]+@"), rf"\1{HIDDEN}@"),
)
_PERHAPS_SECRET = re.compile(r"sk-|whsec_|bearer|authorization|api[_-]?key|secret|password|://", re.IGNORECASE)
# Controls but for tab and line feed, which renderers quote; lone surrogates; marks that turn the direction of text.
_HOSTILE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Harmless:
    """A structlog processor, the last before the renderer: its result is made of plain values.

    Attributes:
        masked: Plates, which are personal data, are hidden as well.

    """

    masked: bool

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        """Return *event* with plain values, the keys that everybody looks for in front."""
        ordered = {key: event[key] for key in (*(key for key in _FIRST if key in event), *event)}
        return self._mapping(ordered, 0)

    def _mapping(self, values: Mapping[Any, object], depth: int) -> dict[str, object]:
        return {_name(key): self._value(key, value, depth) for key, value in islice(values.items(), MOST)}

    def _value(self, key: object, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(key, str) and _SECRET_KEY.search(key):
            return HIDDEN
        if self.masked and key in _PERSONAL and value not in ("", NO_PLATE):
            return HIDDEN
        return self._plain(value, depth + 1, LONGEST_TRACE if key in _TRACES else LONGEST)

    def _plain(self, value: object, depth: int, longest: int) -> object:
        """Return *value* as JSON knows values: texts, numbers, lists and dictionaries."""
        # Nearly all values are texts, which need no telling apart.
        return text(value, longest) if type(value) is str else self._told_apart(value, depth, longest)

    def _told_apart(self, value: object, depth: int, longest: int) -> object:
        if is_dataclass(value) and not isinstance(value, type):
            value = {field.name: getattr(value, field.name) for field in fields(value) if field.repr}
        if isinstance(value, Mapping | list | tuple | set | frozenset) and depth > DEEPEST:
            return "[nested too deeply]"
        match value:
            case None | bool():
                return value
            case int() | float():
                return number(value)
            case Mapping():
                return self._mapping(value, depth)
            case list() | tuple() | set() | frozenset():
                return [self._plain(item, depth + 1, longest) for item in islice(value, MOST)]
            case _:
                return text(said(value), longest)


def said(value: object) -> str:
    r"""Return a scalar as text: bytes with `\xff` for what is not UTF-8, times as ISO 8601, errors with their kind."""
    match value:
        case bytes() | bytearray():
            return value.decode("utf-8", "backslashreplace")
        case datetime():
            return value.isoformat()
        case BaseException():
            return f"{type(value).__name__}: {safe_str(value)}"
        case _:
            return safe_str(value)


def number(value: float) -> object:
    """Return a number that JSON can carry: at most three digits behind the point, and within 64 bits."""
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else text(hex(value))
    return round(value, 3) if math.isfinite(value) else str(value)


def text(value: str, longest: int = LONGEST) -> str:
    """Return *value* without secrets and without characters that do anything but be seen, at most *longest* of them."""
    shown = value[: 2 * longest]
    if _PERHAPS_SECRET.search(shown):  # one search is what nearly all values cost
        for pattern, instead in _SECRETS:
            shown = pattern.sub(instead, shown)
    if not shown.isprintable():
        shown = _HOSTILE.sub(_escaped, shown)
    return shown if len(shown) <= longest else f"{shown[:longest]}… ({len(value)} characters)"


def _name(key: object) -> str:
    return key if isinstance(key, str) and key.isidentifier() else text(said(key))


def _escaped(found: re.Match[str]) -> str:
    r"""Return `\x1b` for an escape character. A byte that was not UTF-8 (PEP 383) becomes `\xff`, as in bytes."""
    code = ord(found[0])
    code -= 0xDC00 if 0xDC80 <= code <= 0xDCFF else 0  # noqa: PLR2004 - the range that PEP 383 reserves
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - what two digits can say
