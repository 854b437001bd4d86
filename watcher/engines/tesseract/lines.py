"""The lines that Tesseract saw, and which of them can be a plate. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watcher.engines.tesseract.regions import Box
from watcher.model import Kind

_LEAST = 0.2  # below it, hardly one answer in ten is right
_WHOLE = 0.4  # from here on a longer answer wins over a surer one that is a part of it
_LENGTHS: Mapping[Kind, tuple[int, int]] = {"plate": (4, 10), "vin": (11, 17), "trailer_id": (8, 11)}
_MOST_WORDS = 4
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")
_LONGEST = 100  # characters


@dataclass(frozen=True, slots=True)
class Line:
    """What Tesseract saw in one line; *confidence*, 0 to 1, is that of its worst word."""

    text: str
    confidence: float
    box: Box


def by_line(found: Mapping[str, list[Any]]) -> list[list[Line]]:
    """Return the words of each line that Tesseract's table gives; -1 as confidence means that there is no word.

    Raises:
        ValueError: It is no such table; there is one even of an empty page.

    """
    if "text" not in found:
        raise ValueError("its answer is not a table")
    lines: dict[tuple[int, int, int], list[Line]] = {}
    for row in (dict(zip(found, values, strict=True)) for values in zip(*found.values(), strict=True)):
        confidence, text = float(row["conf"]) / 100, str(row["text"]).strip()
        if confidence >= 0 and text:
            box = (row["left"], row["top"], row["left"] + row["width"], row["top"] + row["height"])
            where = (row["block_num"], row["par_num"], row["line_num"])
            lines.setdefault(where, []).append(Line(text[:_LONGEST], min(confidence, 1.0), box))
    return list(lines.values())


def joined(words: Sequence[Line]) -> Line:
    """Return the words as one line, without what is drawn beside characters and taken for one."""
    text = _EDGES.sub("", " ".join(word.text for word in words))[:_LONGEST]
    lefts, tops, rights, bottoms = zip(*(word.box for word in words), strict=True)
    confidence = min(word.confidence for word in words)
    return Line(text, confidence, (min(lefts), min(tops), max(rights), max(bottoms)))


def parts(words: Sequence[Line], kind: Kind) -> Iterator[Line]:
    """Yield the whole line; if it cannot be a plate, also what stands side by side in it and can be one."""
    whole = joined(words)
    yield whole
    if not _is_like(whole.text, kind):
        for first in range(len(words)):
            for last in range(first + 1, min(first + _MOST_WORDS, len(words)) + 1):
                part = joined(words[first:last])
                if _is_like(part.text, kind):
                    yield part


def _is_like(text: str, kind: Kind) -> bool:
    """Say whether *text* has the shape of what is asked for: letters and digits mixed, of a likely length."""
    bare = _bare(text)
    odd = sum(not character.isspace() and character != "-" for character in text) - len(bare)
    least, most = _LENGTHS[kind]
    digits = sum(character.isdigit() for character in bare)
    return least <= len(bare) <= most and 0 < digits < len(bare) and odd <= 1


def _bare(text: str) -> str:
    return "".join(character for character in text.upper() if character.isascii() and character.isalnum())


def can_be(line: Line, kind: Kind) -> bool:
    """Say whether *line* may be what was asked for, and was not merely guessed."""
    return line.confidence >= _LEAST and _is_like(line.text, kind)


def scaled(line: Line, scale: float) -> Line:
    """Return *line* with its box *scale* times as large."""
    left, top, right, bottom = (round(value * scale) for value in line.box)
    return replace(line, box=(left, top, right, bottom))


def best_of(lines: Sequence[Line], kind: Kind) -> Line | None:
    """Return the surest of *lines*, which come in that order, that can be what was asked for.

    A place that cuts a plate off is read surely, but short: a longer line that contains it wins.
    """
    best: Line | None = None
    for line in lines:
        if can_be(line, kind) and (best is None or (line.confidence >= _WHOLE and _has_more(line, best))):
            best = line
    return best


def _has_more(line: Line, other: Line) -> bool:
    bare, part = _bare(line.text), _bare(other.text)
    return part in bare and part != bare
