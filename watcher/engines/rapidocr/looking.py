"""Look at a picture, and look again, closer and with more contrast, until it is plain what its plate is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from watcher.engines.rapidocr.boxes import Box, around, side_by_side, stacked
from watcher.engines.rapidocr.choice import Build, Line, Verdict, placed, weigh
from watcher.engines.rapidocr.decoding import decode
from watcher.engines.rapidocr.detection import Detector, Pixels
from watcher.engines.rapidocr.prior import Prior
from watcher.engines.rapidocr.recognition import Look, Recogniser, above, cut, plainest

_LARGEST_SCALE = 2.0
_LINES = 30  # of a picture that are read, the tallest first
_JOINED = 8  # pairs that are tried
_PART = 7  # characters of what may be a part of a plate
# How a box is grown for the first look at it, and for others: the network wants room beside a line, but not above it.
_FIRST, _CLOSER = (0.3, -0.2), ((0.15, -0.3), (0.5, -0.1))
_PROMISING = 4  # lines that are looked at closer
_WORSE = 4.0  # than the best, and a line is not
_LONGEST_LINE = 10.0  # times its height: longer ones are print
_FOREIGN_COST = 0.7  # a character that no plate has
_LIKELY = 1e-3
_STRIPE_COST = 4.0
_PRIOR = 0.5
_CONTRAST, _TILES = 2.0, (8, 8)


@dataclass(frozen=True, slots=True)
class Pass:
    """One way of looking at a picture.

    Attributes:
        pixels: What the detector gets at most.
        long_side: Likewise, of its longer side.
        pixel: From which likelihood on a pixel is text.
        line: Likewise, a line.
        enough: A confidence from which no further look is worth its time.
        stretched: Lines are looked for with more contrast, and read with and without it.

    """

    pixels: int
    long_side: int
    pixel: float
    line: float
    enough: float
    stretched: bool = False


PASSES = (
    Pass(200_000, 640, 0.3, 0.5, 0.82),
    Pass(550_000, 1150, 0.3, 0.45, 0.82),
    Pass(800_000, 1500, 0.25, 0.4, 0.0, stretched=True),
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A line as first read."""

    picture: Pixels
    box: Box
    build: Build
    look: Look
    promise: float


class Looker:
    """Finds the plate in a picture."""

    def __init__(self, detector: Detector, recogniser: Recogniser) -> None:
        """Take the two networks."""
        self._detector, self._recogniser = detector, recogniser

    def plates(self, picture: Pixels, prior: Prior, late: Callable[[], bool]) -> list[Verdict]:
        """Return the plates that *picture* may show, the likeliest first; when it is *late*, after fewer looks."""
        lines: list[Line] = []
        verdicts: list[Verdict] = []
        for passes, way in enumerate(PASSES, 1):
            prior.forget()
            lines += self._lines(picture, way, prior)
            verdicts = weigh(lines, passes)
            if (verdicts and verdicts[0].confidence >= way.enough) or late():
                break
        return verdicts

    def texts(self, picture: Pixels) -> list[tuple[str, float, Box]]:
        """Return all lines as they stand there, with how likely their least likely character is: no plates."""
        boxes = self._boxes(picture, PASSES[1], longest=math.inf)
        read = [(plainest(look), box) for look, box in zip(self._look(picture, boxes), boxes, strict=True)]
        return [(text, min(likely), box) for (text, likely), box in read if text]

    def _lines(self, picture: Pixels, way: Pass, prior: Prior) -> list[Line]:
        """Return the most promising lines with what they may say."""
        size = (picture.shape[1], picture.shape[0])
        looked_at = _stretched(picture) if way.stretched else picture
        boxes = self._boxes(looked_at, way)
        sources = [picture, looked_at] if way.stretched else [picture]
        found = [each for source in sources for each in self._found(source, boxes, size, prior)]
        found.sort(key=lambda each: each.promise, reverse=True)
        promising = [each for each in found[:_PROMISING] if each.promise > found[0].promise - _WORSE]
        return list(self._closer(promising, size, prior))

    def _boxes(self, picture: Pixels, way: Pass, longest: float = _LONGEST_LINE) -> list[Box]:
        height, width = picture.shape[:2]
        scale = min(way.long_side / max(height, width), math.sqrt(way.pixels / (height * width)), _LARGEST_SCALE)
        found = self._detector.find(picture, scale=scale, pixel=way.pixel, line=way.line)
        return [box for box in found if box.width <= longest * box.height][:_LINES]

    def _found(self, picture: Pixels, boxes: Sequence[Box], size: tuple[int, int], prior: Prior) -> Iterator[_Found]:
        """Yield the lines that may hold a plate, alone, side by side and one above the other."""
        looks = self._look(picture, boxes)
        parts = [
            (box, look)
            for box, look in zip(boxes, looks, strict=True)
            if 0 < len(plainest(look)[0].replace("?", "")) <= _PART
        ]
        near = [box for box, _ in parts]
        joined = [around(near[left], near[right]) for left, right in side_by_side(near)][:_JOINED]
        piled = [
            (around(near[upper], near[lower]), above(parts[upper][1], parts[lower][1]))
            for upper, lower in stacked(near)
        ][:_JOINED]
        ways: list[tuple[Build, Box, Look]] = [
            *(("single", box, look) for box, look in zip(boxes, looks, strict=True)),
            *(("joined", box, look) for box, look in zip(joined, self._look(picture, joined), strict=True)),
            *(("stacked", box, look) for box, look in piled),
        ]
        for build, box, look in ways:
            promise = _promise(look, box, build, size, prior)
            if promise is not None:
                yield _Found(picture, box, build, look, promise)

    def _closer(self, promising: Sequence[_Found], size: tuple[int, int], prior: Prior) -> Iterator[Line]:
        """Yield the lines as read in several looks."""
        crops = [
            cut(found.picture, found.box.grown(*growth))
            for found in promising
            if found.build != "stacked"
            for growth in _CLOSER
        ]
        looks = iter(self._recogniser.look(crops))
        for found in promising:
            more = [] if found.build == "stacked" else list(itertools.islice(looks, len(_CLOSER)))
            guesses = decode([found.look, *more], prior)
            place = placed(found.box, guesses[0].text, found.build, size) if guesses else 0.0
            yield Line(found.box, found.build, guesses, place)

    def _look(self, picture: Pixels, boxes: Sequence[Box]) -> list[Look]:
        return self._recogniser.look([cut(picture, box.grown(*_FIRST)) for box in boxes])


def _promise(look: Look, box: Box, build: Build, size: tuple[int, int], prior: Prior) -> float | None:
    """Return how likely a line is to hold the plate, judged quickly by its plainest text; none if it cannot."""
    text, likely = plainest(look)
    plain = text.replace("?", "")
    if not 3 <= len(plain) <= 11:  # noqa: PLR2004 - a plate with a character more or less
        return None
    seen = sum(math.log(max(each, _LIKELY)) for each, sign in zip(likely, text, strict=True) if sign != "?")
    cropped = max(prior.of(plain[1:]), prior.of(plain[:-1])) - _STRIPE_COST
    known = max(prior.of(plain), cropped)
    return seen + _PRIOR * known - _FOREIGN_COST * text.count("?") + placed(box, plain, build, size)


def _stretched(picture: Pixels) -> Pixels:
    """Return *picture* with more contrast within each part of it."""
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(_CONTRAST, _TILES).apply(np.ascontiguousarray(lab[:, :, 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.uint8)
