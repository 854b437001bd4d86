"""Which plates a line of text may be: what the recogniser saw, weighed with what plates are like.

The search goes through the slices of the line and keeps the likeliest beginnings, as in "First-pass large vocabulary
continuous speech recognition using bi-directional recurrent DNNs" (Hannun and others, 2014); each beginning counts with
the prior, so that a character which the rules do not permit is out before it can push a better one out. What is found
is then weighed with all looks at the line, by the forward recursion of Graves and others (2006).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from watcher.engines.rapidocr.prior import LONGEST, SHORTEST, Prior
from watcher.engines.rapidocr.recognition import ALPHABET, OTHER, Look

_WIDTH = 24  # beginnings that are kept
_CHARACTERS = 8  # tried in a slice
_FAINT = math.exp(-8)  # a character below this part of the likeliest is not tried
_LOST = 1e-6  # nor a beginning
_FLOOR = 1e-4  # nothing is less likely than that: the network is too sure of itself
_TINY = 1e-300
_WEIGHT = 0.55  # of the prior
_SEARCHED = 3  # looks
_BESIDE = 2  # characters beside a plate that may be taken for a part of it
_CREDIBLE = 12.0  # how much less likely than the likeliest a text may be, to be thought about; a logarithm
# What the network takes for one another, and how often: some plates have one form for both.
_OFTEN, _SOMETIMES, _SELDOM = 0.4, 0.2, 0.02
_TWINS: Mapping[str, Mapping[str, float]] = {
    "O": {"0": _OFTEN, "D": _SELDOM, "Q": _SELDOM},
    "0": {"O": _OFTEN, "D": _SELDOM, "Q": _SELDOM},
    "I": {"1": _SOMETIMES, "T": _SELDOM, "L": _SELDOM},
    "1": {"I": _SOMETIMES, "T": _SELDOM, "L": _SELDOM, "7": _SELDOM},
    "D": {"0": _SELDOM, "O": _SELDOM},
    "Q": {"0": _SELDOM, "O": _SELDOM},
    "B": {"8": _SELDOM},
    "8": {"B": _SELDOM},
    "Z": {"2": _SELDOM, "7": _SELDOM},
    "2": {"Z": _SELDOM},
    "7": {"Z": _SELDOM, "1": _SELDOM, "T": _SELDOM},
    "S": {"5": _SELDOM},
    "5": {"S": _SELDOM},
    "G": {"6": _SELDOM},
    "6": {"G": _SELDOM},
    "T": {"1": _SELDOM, "I": _SELDOM, "7": _SELDOM},
    "L": {"1": _SELDOM, "I": _SELDOM, "4": _SELDOM},
    "4": {"L": _SELDOM, "A": _SELDOM},
    "A": {"4": _SELDOM},
}
# A stripe letter, a bolt or a flag read as a character before the plate or behind it, or two before it; logarithms.
_STRIPES = ((1, 0, -4.0), (0, 1, -5.0), (2, 0, -5.0))
_UNLIKELY = -5.0  # a logarithm: two of the often taken ones, or one of the others
_INDEX = {character: place for place, character in enumerate(ALPHABET)}

_Lattice = npt.NDArray[np.float64]
"""Slices, 37: logarithms of how likely each character is, then none."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A text that may be the plate; *score* is a logarithm, comparable among guesses at one line."""

    text: str
    score: float


def decode(looks: Sequence[Look], prior: Prior) -> list[Guess]:
    """Return what the line seen in *looks* may say as a plate, the likeliest first; perhaps nothing."""
    lattices = [_lattice(look) for look in looks]
    texts = {text for lattice in lattices[:_SEARCHED] for text in _search(lattice, prior)}
    wanted = sorted(text for text in texts if len(text) >= SHORTEST)
    if not wanted:
        return []
    likely = _together([_likely(lattice, wanted) for lattice in lattices])
    scores: dict[str, float] = {}
    least = float(likely.max()) - _CREDIBLE
    for text, seen in zip(wanted, likely.tolist(), strict=True):
        for plate, meant in _meant(text) if seen > least else ():
            score = seen + meant + _WEIGHT * prior.of(plate)
            scores[plate] = float(np.logaddexp(scores[plate], score)) if plate in scores else score
    return sorted((Guess(*pair) for pair in scores.items()), key=lambda guess: guess.score, reverse=True)


def _lattice(look: Look) -> _Lattice:
    """Return the *look* with foreign characters as none, and a floor; as logarithms."""
    said = np.concatenate([look[:, :OTHER], look[:, OTHER:].sum(axis=1, keepdims=True)], axis=1, dtype=np.float64)
    said = np.maximum(said, _FLOOR)
    lattice: _Lattice = np.log(said / said.sum(axis=1, keepdims=True))
    return lattice


def _search(lattice: _Lattice, prior: Prior) -> list[str]:
    """Return the likeliest texts of the line, the prior counted in."""
    kept = {"": (1.0, 0.0)}
    for slice_ in np.exp(lattice):
        grown = _grown(kept, slice_)
        top = max(map(sum, grown.values()))
        scores = {
            text: math.log(sum(parts) / top) + _WEIGHT * prior.of_beginning(text)
            for text, parts in grown.items()
            if sum(parts) > _LOST * top
        }
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:_WIDTH]
        kept = {text: (grown[text][0] / top, grown[text][1] / top) for text in best}
    return list(kept)


def _grown(kept: Mapping[str, tuple[float, float]], slice_: npt.NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    """Return what the *kept* texts may be after one more slice; of each, how likely it ends in nothing or in itself."""
    chances = slice_.tolist()
    least = _FAINT * max(chances)
    likeliest = np.argsort(slice_[:-1])[: -_CHARACTERS - 1 : -1]
    tried = [(ALPHABET[place], chances[place]) for place in likeliest.tolist() if chances[place] > least]
    grown: dict[str, tuple[float, float]] = {}
    for text, (empty, full) in kept.items():
        before = grown.get(text, (0.0, 0.0))
        last = full * chances[_INDEX[text[-1]]] if text else 0.0
        grown[text] = (before[0] + (empty + full) * chances[-1], before[1] + last)
        if len(text) < LONGEST + _BESIDE:
            for character, chance in tried:
                longer = text + character
                fresh, own = grown.get(longer, (0.0, 0.0))
                # The same character again needs a slice of nothing between.
                added = (empty if text.endswith(character) else empty + full) * chance
                grown[longer] = (fresh, own + added)
    return grown


def _likely(lattice: _Lattice, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return how likely the line says each of *texts*, over all ways in which it can: logarithms."""
    blank = lattice.shape[1] - 1
    path = np.full((len(texts), 2 * max(map(len, texts)) + 1), blank)
    for row, text in zip(path, texts, strict=True):
        row[1 : 2 * len(text) : 2] = [_INDEX[character] for character in text]
    leap = np.zeros(path.shape)
    leap[:, 3::2] = path[:, 3::2] != path[:, 1:-2:2]
    chances = np.exp(lattice)[:, path]
    at = np.zeros(path.shape)
    at[:, :2] = chances[0, :, :2]
    total = np.zeros(len(texts))
    for slice_ in chances[1:]:
        moved = at.copy()
        moved[:, 1:] += at[:, :-1]
        moved[:, 2:] += leap[:, 2:] * at[:, :-2]
        at = moved * slice_
        scale = at.sum(axis=1) + _TINY
        at /= scale[:, None]
        total += np.log(scale)
    ends = np.array([2 * len(text) for text in texts])
    rows = np.arange(len(texts))
    likely: npt.NDArray[np.float64] = total + np.log(at[rows, ends] + at[rows, ends - 1] + _TINY)
    return likely


def _together(likely: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Return what several looks say: between their sum, which one bad look spoils, and the best of them."""
    roots = np.logaddexp.reduce(np.array(likely) / 2, axis=0) - math.log(len(likely))
    return np.asarray(2 * roots, np.float64)


def _meant(text: str) -> Iterator[tuple[str, float]]:
    """Yield the plates that may be meant where a line reads *text*, with how likely it then reads so."""
    for before, behind, likely in _STRIPES:
        if len(text) - before - behind >= SHORTEST + 1:
            yield text[before : len(text) - behind], likely
    ways = [("", 0.0)]
    for character in text:
        twins = _TWINS.get(character, {})
        kept = math.log(1 - sum(twins.values()))
        longer = [(way + character, likely + kept) for way, likely in ways]
        longer += [(way + twin, likely + math.log(part)) for way, likely in ways for twin, part in twins.items()]
        ways = [(way, likely) for way, likely in longer if likely > _UNLIKELY]
    yield from ways
