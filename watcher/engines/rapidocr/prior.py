"""How likely a text is as a plate, from the national formats alone. Nothing here was fitted to photos.

A plate is thought to be drawn like this: a shape of `watcher.formats`, by its weight; then one of the characters that
are permitted at each position, and now and then, because rules have exceptions and tables gaps, another of its kind;
or, rarely, no known shape at all. What is told is the logarithm of that, against a text of as many letters and digits
in any order, so that long plates are as likely as short ones and only what the rules say counts.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from watcher.engines.rapidocr.recognition import ALPHABET
from watcher.formats import Shape

SHORTEST, LONGEST = 4, 9
"""Characters of a plate that this reader looks for."""

_SHAPELESS = 0.01  # share of plates that no table knows
_EXCEPTION = 0.02  # share of characters that a table does not permit there
_UNLISTED = 0.04  # share of codes that a list does not have
_NUMBERS = 0.1  # what is left of a shape of digits alone: most numbers on a vehicle are no plate
_SWITCH = 0.3  # how often a digit follows a letter or a letter a digit, where no shape is known
_LENGTHS = {4: 0.05, 5: 0.1, 6: 0.3, 7: 0.35, 8: 0.12, 9: 0.03}
_RARE = 1e-6
_ANY_CHARACTER = 28.0  # an unknown text goes on with one of about so many
_DIGIT, _LETTER = math.log(10 / 0.45), math.log(26 / 0.55)
_NEVER = -60.0
_INDEX = {character: place for place, character in enumerate(ALPHABET)}
_IS_LETTER = np.array([character.isalpha() for character in ALPHABET])

_Weights = npt.NDArray[np.float64]
"""One number for every shape."""


class Prior:
    """Knows how likely texts are; asked about a text, it remembers what it knows of its beginnings until `forget`."""

    def __init__(self, shapes: Iterable[Shape]) -> None:
        """Take the *shapes* to be expected; those of other lengths than a plate has are left out."""
        weights: dict[tuple[tuple[str, ...], tuple[tuple[int, frozenset[str]], ...]], float] = defaultdict(float)
        for shape in shapes:
            if SHORTEST <= len(shape.cells) <= LONGEST:
                rare = _NUMBERS if all(map(str.isdigit, shape.cells)) else 1.0
                weights[shape.cells, shape.codes] += shape.weight * rare
        self._lengths = np.array([len(cells) for cells, _ in weights])
        start = np.array(list(weights.values()))
        self._start = start / start.sum() * (1 - _SHAPELESS) if len(start) else start
        self._cells = np.zeros((LONGEST, len(ALPHABET), len(start)))
        self._codes: dict[tuple[int, str], tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
        self._ends: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, (cells, codes) in enumerate(weights):
            self._learn(number, cells, codes)
        self._known: dict[str, _Weights] = {"": self._start}
        self._begun: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def forget(self) -> None:
        """Forget the texts that were asked about."""
        self._known = {"": self._start}
        self._begun, self._told = {}, {}

    def of(self, text: str) -> float:
        """Return how likely *text* is as a whole plate: a logarithm, about 0 for one that says nothing either way."""
        if text not in self._told:
            self._told[text] = self._of(text)
        return self._told[text]

    def of_beginning(self, text: str) -> float:
        """Return how likely *text* is as the beginning of a plate, likewise."""
        if text not in self._begun:
            known = self._after(text)[self._lengths >= len(text)].sum() if len(text) <= LONGEST else 0.0
            self._begun[text] = math.log(known + _SHAPELESS * _ANY_CHARACTER ** -len(text)) + _plain(text)
        return self._begun[text]

    def _of(self, text: str) -> float:
        if not SHORTEST <= len(text) <= LONGEST:
            return _NEVER
        known = self._after(text)[self._lengths == len(text)].sum()
        return math.log(known + _shapeless(text)) + _plain(text)

    def _after(self, text: str) -> _Weights:
        """Return how likely each shape is and begins with *text*."""
        if text not in self._known:
            likely = self._after(text[:-1]) * self._cells[len(text) - 1, _INDEX[text[-1]]]
            for (first, end), shapes in self._ends.items():
                if end == len(text):
                    listed, gains = self._codes.get((first, text[first:]), ([], []))
                    factors = np.full(len(likely), 1.0)
                    factors[shapes] = _UNLISTED
                    factors[listed] = gains
                    likely = likely * factors
            self._known[text] = likely
        return self._known[text]

    def _learn(self, number: int, cells: tuple[str, ...], codes: tuple[tuple[int, frozenset[str]], ...]) -> None:
        """Note what shape *number* permits. A code counts as any text of its kind until it is complete."""
        in_codes = {place for first, listed in codes for place in range(first, first + _length(listed))}
        for place, permitted in enumerate(cells):
            named = np.isin(list(ALPHABET), list(permitted))
            kind = _kind(named)
            others = kind & ~named
            chances = self._cells[place, :, number]
            if place in in_codes or not others.any():
                chances[kind] = 1 / kind.sum()
            else:
                chances[named] = (1 - _EXCEPTION) / named.sum()
                chances[others] = _EXCEPTION / others.sum()
        for first, listed in codes:
            end = first + _length(listed)
            self._ends[first, end].append(number)
            spread = np.prod([_kind(np.isin(list(ALPHABET), list(cells[place]))).sum() for place in range(first, end)])
            for code in listed:
                shapes, gains = self._codes[first, code]
                shapes.append(number)
                gains.append((1 - _UNLISTED) * float(spread) / len(listed))


def _length(listed: frozenset[str]) -> int:
    return len(next(iter(listed)))


def _kind(named: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return all characters of the kind that is permitted: letters, digits or both."""
    letters, digits = (named & _IS_LETTER).any(), (named & ~_IS_LETTER).any()
    if letters and digits:
        return np.ones(len(ALPHABET), bool)
    return _IS_LETTER if letters else ~_IS_LETTER


def _plain(text: str) -> float:
    """Return, with its sign changed, how likely *text* is if every letter and digit came by chance."""
    digits = sum(character.isdigit() for character in text)
    return digits * _DIGIT + (len(text) - digits) * _LETTER


def _shapeless(text: str) -> float:
    """Return how likely *text* is as a plate of no known shape: letters and digits come in groups."""
    likely = _SHAPELESS * _LENGTHS.get(len(text), _RARE) / 2
    for before, character in zip(" " + text, text, strict=False):
        if before != " ":
            likely *= _SWITCH if before.isdigit() != character.isdigit() else 1 - _SWITCH
        likely /= 10 if character.isdigit() else 26
    return likely
