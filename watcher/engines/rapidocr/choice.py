"""Which of the lines in a picture is the plate: what rules say of a text, and of the place where it stands.

The rules are ours and few; no weight was fitted to photos. A score is a logarithm: 0 for a line as plates have them.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from watcher.engines.rapidocr.boxes import Box
from watcher.engines.rapidocr.decoding import Guess

Build = Literal["single", "joined", "stacked"]
"""A line as the detector found it, two boxes side by side taken as one, or two lines one above the other."""

_BUILT: dict[Build, float] = {"single": 0.0, "joined": -0.5, "stacked": -0.5}
_ASPECT, _ASPECT_FREE, _ASPECT_COST = 0.58, 0.35, 6.0  # width of a character to its height; logarithms
_LOW, _TALL, _HEIGHT_COST = 0.08, 0.25, 0.9  # height of a line to that of the picture
_RIM, _RIM_COST = 0.05, 5.0  # where cameras write the date, as a share of the height
_OFF_CENTRE_COST = 0.5
_LEVEL, _TURNED_COST = 0.35, 2.0  # radians
_DATE_COST, _NUMBER_COST, _WORD_COST = 5.0, 1.5, 2.0
_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])\d*|(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])(?:19|20)\d\d\d*")

_KEPT = 6  # guesses of a line
_AGREEMENT, _MOST_AGREEING = 1.5, 1.5  # for each other line that says the same, by its share; so many of them count
# Two numbers that make a confidence of 0.9 mean that nine of ten are right; chosen by measurement.
_SLOPE, _SHIFT = 2.2, 1.3
_SUREST, _NONE = 0.99, 1e-9
_RIVALLED = 0.3  # by how much a confidence may be above the share of its text
_MIDDLE, _AGAIN = -2.5, 0.4  # a score that is as likely right as wrong; more for each further look that was needed


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a picture with the *guesses* at what it says, the best first; *place* is the score of where it is."""

    box: Box
    build: Build
    guesses: Sequence[Guess]
    place: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A text that the picture may show as its plate.

    Attributes:
        text: Letters and digits.
        box: Where it stands.
        score: Its logarithm, the higher the likelier.
        confidence: 0 to 1.

    """

    text: str
    box: Box
    score: float
    confidence: float


def placed(box: Box, text: str, build: Build, size: tuple[int, int]) -> float:
    """Return how well a plate *text* fits into *box* in a picture of width and height *size*."""
    width, height = size
    tall, across = box.height / height, abs(2 * box.x / width - 1)
    score = _BUILT[build] - _OFF_CENTRE_COST * across**2 - _TURNED_COST * max(0.0, abs(box.angle) - _LEVEL)
    score -= _HEIGHT_COST * (max(0.0, math.log(_LOW / tall)) + max(0.0, math.log(tall / _TALL)))
    rim = min(box.y / height, 1 - box.y / height)
    score -= _RIM_COST * max(0.0, 1 - max(0.0, rim) / _RIM)
    if build != "stacked":
        aspect = box.width / box.height / max(4, len(text))
        score -= _ASPECT_COST * max(0.0, abs(math.log(aspect / _ASPECT)) - _ASPECT_FREE) ** 2
    return score - _ordinary(text)


def weigh(lines: Iterable[Line], passes: int = 1) -> list[Verdict]:
    """Return what the picture may show, each text once, the likeliest first; lines that say the same support it.

    *passes* is how often the picture had to be looked at: what is not plain at once is less often right.
    """
    said: dict[str, list[tuple[float, float, Box]]] = defaultdict(list)
    for line in lines:
        if line.guesses:
            top = line.guesses[0].score
            all_together = math.log(sum(math.exp(guess.score - top) for guess in line.guesses))
            for guess in line.guesses[:_KEPT]:
                share = guess.score - top - all_together
                said[guess.text].append((guess.score + line.place, share, line.box))
    scored = sorted(((_pooled(found), text) for text, found in said.items()), reverse=True)
    middle = _MIDDLE + _AGAIN * (passes - 1)
    scores = [score for score, _ in scored]
    verdicts: list[Verdict] = []
    for score, text in scored:
        confidence = _confidence(score, scores, middle)
        if verdicts:
            confidence = min(confidence, 1 - verdicts[0].confidence)
        verdicts.append(Verdict(text, max(said[text], key=_strength)[2], score, confidence))
    return verdicts


def _pooled(found: list[tuple[float, float, Box]]) -> float:
    """Return the best score of a text, more where other lines say it too."""
    best, *others = sorted(found, key=_strength, reverse=True)
    support = sum(math.exp(share) for _, share, _ in others)
    return best[0] + _AGREEMENT * min(support, _MOST_AGREEING)


def _strength(found: tuple[float, float, Box]) -> tuple[float, float]:
    return found[:2]


def _confidence(score: float, scores: Sequence[float], middle: float) -> float:
    """Return how often such a text is right: by its share among all, and by its own score."""
    share = 1 / sum(math.exp(min(other - score, 50.0)) for other in scores)
    raw = share / (1 + math.exp(min(middle - score, 50.0)))
    odds = _SLOPE * (math.log(max(raw, _NONE)) - math.log(max(1 - raw, _NONE))) + _SHIFT
    return min(_SUREST, share + _RIVALLED, 1 / (1 + math.exp(-odds)))


def _ordinary(text: str) -> float:
    """Return how much a text is like what is on vehicles and pictures beside plates: dates, numbers, words."""
    if not text.isdigit():
        return _WORD_COST if text.isalpha() else 0.0
    return _NUMBER_COST + (_DATE_COST if _DATE.fullmatch(text) else 0.0)
