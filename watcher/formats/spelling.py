"""Turn what a file says of the plates of a country into their shapes.

A file has one table per country (ISO 3166-1 alpha-2; XK for Kosovo):

    [ES]
    name = "Spain"
    vehicles = 36                            # millions in use, roughly
    source = "https://..."                   # where the rule is published
    without = "IOQ"                          # letters that `@` and `*` do not stand for; may be left out
    letters.c = "BCDFGHJKLMNPRSTVWXYZ"       # c: one of these characters
    codes.p = "A AB AL B BA"                 # p: one of these strings of one to four characters
    formats = [{ of = "since 2000", patterns = ["#### ccc"], share = 75, examples = ["1234 BCD"] }]

In a pattern `#` is a digit, `@` a letter, `*` either, a small letter a class or a code of the country, anything else
itself; a space, a hyphen and a full stop separate. `share` is roughly how often a format is met in its country.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase, digits
from typing import Any, TypeVar

_T = TypeVar("_T")
_KEYS = {"name", "vehicles", "source", "without", "letters", "codes", "formats"}
_FORMAT_KEYS = {"of", "patterns", "share", "examples"}
_SEPARATED = re.compile(r"[#@*a-zA-Z0-9]+(?:[ .-][#@*a-zA-Z0-9]+)*")
_CODE = re.compile(r"[A-Z0-9]{1,4}")

# What one character of a pattern can become, one at a time: a cell, a code with all its strings of one length, a break.
_Part = str | frozenset[str]
_BREAK = ""
_FIXED: Mapping[str, tuple[_Part, ...]] = {
    **{mark: (mark,) for mark in ascii_uppercase + digits},
    **dict.fromkeys(" .-", (_BREAK,)),
    "#": (digits,),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which plates of a country are written, of fixed length, separators taken out.

    Attributes:
        country: Its code, such as `ES`.
        of: Which plates these are, such as `since 2000`.
        cells: The permitted characters at each position.
        codes: Where a code begins, and the strings it may be, all of one length.
        breaks: The positions before which a separator is printed.
        weight: How often it is met, as a part of all that it was asked for with.

    """

    country: str
    of: str
    cells: tuple[str, ...]
    codes: tuple[tuple[int, frozenset[str]], ...]
    breaks: tuple[int, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Country:
    """What a file says of one country: its *name*, its *vehicles* in millions, its *shapes*, whose weights sum to 1."""

    name: str
    vehicles: float
    shapes: tuple[Shape, ...]


def weighed(shape: Shape, factor: float) -> Shape:
    """Return *shape* with its weight times *factor*."""
    return Shape(shape.country, shape.of, shape.cells, shape.codes, shape.breaks, shape.weight * factor)


def parsed(text: str, file: str) -> dict[str, Country]:
    """Return what the *text* of a file of that name says, by code.

    Raises:
        ValueError: It says something wrong; the message names the file, the country and the format.

    """
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{file}: {error}") from None
    return {code: _country(code, table, f"{file} [{code}]") for code, table in tables.items()}


def _country(code: str, table: object, where: str) -> Country:
    """Return the country that a *table* tells of; *where* it stands opens every complaint."""
    _require(re.fullmatch("[A-Z]{2}", code) is not None, where, "is not a code of two capital letters")
    said = _kept(table, _KEYS, where)
    name, source = _told(said, "name", str, where), _told(said, "source", str, where)
    _require(bool(name) and source.startswith("http"), where, "needs a name, and a source on the web")
    marks = _marks(said, where)
    shapes = [
        shape for format_ in _told(said, "formats", list, where) for shape in _spelled(code, format_, marks, where)
    ]
    _require(bool(shapes), where, "needs a format")
    total = sum(shape.weight for shape in shapes)
    vehicles = _amount(said, "vehicles", where)
    return Country(name, vehicles, tuple(weighed(shape, 1 / total) for shape in shapes))


def _marks(said: dict[str, Any], where: str) -> Mapping[str, tuple[_Part, ...]]:
    """Return what each character of a pattern can become in this country."""
    without = _told({"without": "", **said}, "without", str, where)
    plain = "".join(letter for letter in ascii_uppercase if letter not in without)
    marks: dict[str, tuple[_Part, ...]] = {**_FIXED, "@": (plain,), "*": (plain + digits,)}
    classes = _told({"letters": {}, **said}, "letters", dict, where)
    codes = _told({"codes": {}, **said}, "codes", dict, where)
    for mark in (*classes, *codes):
        _require(re.fullmatch("[a-z]", mark) is not None, where, f"{mark!r} is not one small letter")
    _require(not classes.keys() & codes.keys(), where, "has a class and a code of one name")
    marks |= {mark: (_class(classes, mark, where),) for mark in classes}
    return marks | {mark: _code(codes, mark, where) for mark in codes}


def _class(classes: dict[str, Any], mark: str, where: str) -> str:
    characters = _told(classes, mark, str, where)
    right = re.fullmatch("[A-Z0-9]+", characters) and len(set(characters)) == len(characters)
    _require(bool(right), where, f"letters.{mark} must be different capitals and digits")
    return characters


def _code(codes: dict[str, Any], mark: str, where: str) -> tuple[frozenset[str], ...]:
    """Return the strings of a code, gathered by length."""
    strings = _told(codes, mark, str, where).split()
    wrong = [text for text in strings if not _CODE.fullmatch(text)]
    wrong += [text for text, times in Counter(strings).items() if times > 1]
    _require(bool(strings) and not wrong, where, f"codes.{mark} has {' '.join(wrong) or 'nothing'}")
    lengths = sorted({len(text) for text in strings})
    return tuple(frozenset(text for text in strings if len(text) == length) for length in lengths)


def _spelled(country: str, format_: object, marks: Mapping[str, tuple[_Part, ...]], where: str) -> Iterator[Shape]:
    """Yield the shapes of one format; what it is worth is split evenly over its patterns, and those over lengths."""
    said = _kept(format_, _FORMAT_KEYS, where)
    of = _told(said, "of", str, where)
    here = f"{where} {of!r}"
    patterns = _told(said, "patterns", list, here)
    _require(bool(_told(said, "examples", list, here)) and bool(patterns), here, "needs patterns and examples")
    for pattern in patterns:
        right = isinstance(pattern, str) and _SEPARATED.fullmatch(pattern) and set(pattern) <= marks.keys()
        _require(bool(right), here, f"cannot use the pattern {pattern!r}")
        ways = list(itertools.product(*(marks[mark] for mark in pattern)))
        weight = _amount(said, "share", here) / len(patterns) / len(ways)
        yield from (_laid_out(country, of, way, weight) for way in ways)


def _laid_out(country: str, of: str, parts: tuple[_Part, ...], weight: float) -> Shape:
    """Return the shape that has these *parts* one after the other."""
    cells: list[str] = []
    codes: list[tuple[int, frozenset[str]]] = []
    breaks: list[int] = []
    for part in parts:
        if part == _BREAK:
            breaks.append(len(cells))
        elif isinstance(part, str):
            cells.append(part)
        else:
            codes.append((len(cells), part))
            cells += _columns(part)
    return Shape(country, of, tuple(cells), tuple(codes), tuple(breaks), weight)


@functools.cache
def _columns(code: frozenset[str]) -> tuple[str, ...]:
    """Return the characters that occur at each position of a code."""
    return tuple("".join(sorted(set(column))) for column in zip(*code, strict=True))


def _kept(table: object, keys: set[str], where: str) -> dict[str, Any]:
    """Return *table* if it is one, and has no other than these *keys*."""
    if not isinstance(table, dict) or table.keys() - keys:
        raise ValueError(f"{where}: takes only {', '.join(sorted(keys))}")
    return table


def _told(said: dict[str, Any], key: str, kind: type[_T], where: str) -> _T:
    """Return what is said under *key*, which must be of that *kind*."""
    value = said.get(key)
    if not isinstance(value, kind):
        raise ValueError(f"{where}: {key} is missing, or is not a {kind.__name__}")  # noqa: TRY004 - bad data
    return value


def _amount(said: dict[str, Any], key: str, where: str) -> float:
    """Return the positive number that is said under *key*."""
    value = said.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{where}: {key} must be a positive number")
    return float(value)


def _require(right: bool, where: str, complaint: str) -> None:  # noqa: FBT001 - it reads like a sentence
    if not right:
        raise ValueError(f"{where}: {complaint}")
