"""How the plates of each country are written: the facts are the TOML files here, `spelling` says how to read them."""

from __future__ import annotations

import difflib
import functools
import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping
from importlib import resources

from watcher.errors import SettingsInvalid
from watcher.formats.spelling import Country, Shape, parsed, weighed

__all__ = ["Country", "Shape", "countries", "fits", "known", "nearest", "parsed", "separated", "shapes"]


def countries() -> Mapping[str, str]:
    """Return the name of every country whose plates are known, by its code."""
    return {code: country.name for code, country in _all().items()}


def nearest(text: str) -> tuple[str, ...]:
    """Return the codes, at most three, whose code, name or initials come closest to *text*; perhaps none."""
    asked = text.strip().upper()
    ways: dict[str, set[str]] = {}
    for code, name in countries().items():
        initials = "".join(re.findall(r"\b[A-Z]", name))
        for way in (code, name.upper(), initials if len(initials) > 1 else code):
            ways.setdefault(way, set()).add(code)
    close = difflib.get_close_matches(asked[:64], ways, n=3, cutoff=0.5)
    return tuple(dict.fromkeys(code for way in close for code in sorted(ways[way])))[:3]


def shapes(chosen: Collection[str] = ()) -> tuple[Shape, ...]:
    """Return the shapes of the plates of the *chosen* countries; without any, of all.

    A country counts by its vehicles.

    Raises:
        SettingsInvalid: A country is not known.

    """
    return _shapes(frozenset(code.upper() for code in chosen))


def separated(text: str, chosen: Collection[str] = ()) -> str:
    """Return *text* with hyphens where a plate of its likeliest shape has breaks; unchanged if it fits none."""
    shape = max(_fitting(text, chosen), key=_odds, default=None)
    if shape is None:
        return text
    ends = (0, *shape.breaks, len(text))
    return "-".join(text[start:end] for start, end in itertools.pairwise(ends))


def fits(text: str, shape: Shape) -> bool:
    """Say whether a *text* without separators is written in this *shape*."""
    return (
        len(text) == len(shape.cells)
        and all(map(str.__contains__, shape.cells, text))
        and all(text[start : start + len(next(iter(code)))] in code for start, code in shape.codes)
    )


@functools.cache
def _all() -> Mapping[str, Country]:
    """Return every country of every file."""
    found: dict[str, Country] = {}
    for file in sorted(resources.files(__name__).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            found |= parsed(file.read_text(encoding="utf-8"), file.name)
    return found


@functools.cache
def _shapes(chosen: frozenset[str]) -> tuple[Shape, ...]:
    known = _all()
    for code in sorted(chosen - known.keys()):
        close = ", ".join(f"{one} ({known[one].name})" for one in nearest(code))
        raise SettingsInvalid(
            "The plates of a country that was asked for are not known.",
            hint=f"Did you mean {close}?" if close else "Give its code of two letters, such as ES (ISO 3166).",
        )
    here = [known[code] for code in sorted(chosen or known)]
    total = sum(country.vehicles for country in here)
    return tuple(weighed(shape, country.vehicles / total) for country in here for shape in country.shapes)


@functools.cache
def _by_length(chosen: frozenset[str]) -> Mapping[int, tuple[Shape, ...]]:
    """Return the shapes by how many characters they have."""
    found = sorted(_shapes(chosen), key=lambda shape: len(shape.cells))
    return {length: tuple(some) for length, some in itertools.groupby(found, key=lambda shape: len(shape.cells))}


def _fitting(text: str, chosen: Collection[str]) -> Iterator[Shape]:
    """Yield the shapes in which *text* is written."""
    there = _by_length(frozenset(code.upper() for code in chosen))
    return (shape for shape in there.get(len(text), ()) if fits(text, shape))


def _odds(shape: Shape) -> float:
    """Return how likely any one text of this shape is: a strict shape makes few texts, a free one many."""
    inside = {start + step for start, code in shape.codes for step in range(len(next(iter(code))))}
    sizes = [len(cell) for position, cell in enumerate(shape.cells) if position not in inside]
    return shape.weight / math.prod([*sizes, *(len(code) for _, code in shape.codes)])
