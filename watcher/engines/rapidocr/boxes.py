"""Where text stands in a picture: turned rectangles, and how two of them lie to each other. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

_ALIGNED = 0.2  # radians by which two parts of one line may differ
_LEVEL = 0.35  # of the height: how far apart the middles of two parts of one line may be
_GAP = (-0.6, 1.0)  # of the height, between two parts of one line
_ALIKE = 0.6  # least share of their heights, side by side
_STACKED_ALIKE = 0.45  # likewise, one above the other
_STACKED_APART = (0.6, 1.5)  # of the height, between the middles of two lines of one plate
_STACKED_OFF = 0.35  # of the width, between their middles


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around one line of text, in pixels of the picture.

    Attributes:
        x: Of its middle.
        y: Likewise.
        width: Along the text.
        height: Across it.
        angle: By which it is turned clockwise, in radians, between -pi/2 and pi/2.
        score: How sure the detector is of it, 0 to 1.

    """

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float

    def grown(self, along: float, across: float) -> Box:
        """Return the box with *along* and *across* times its height more on both sides together."""
        return replace(self, width=max(1.0, self.width + along * self.height), height=self.height * (1 + across))

    def outline(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return left, top, width and height of the upright rectangle around it within a picture of that *size*."""
        cosine, sine = abs(math.cos(self.angle)), abs(math.sin(self.angle))
        half_width = (self.width * cosine + self.height * sine) / 2
        half_height = (self.width * sine + self.height * cosine) / 2
        left, top = max(0, math.floor(self.x - half_width)), max(0, math.floor(self.y - half_height))
        right, bottom = min(size[0], math.ceil(self.x + half_width)), min(size[1], math.ceil(self.y + half_height))
        return left, top, max(1, right - left), max(1, bottom - top)

    def offset(self, other: Box) -> tuple[float, float]:
        """Return how far the middle of *other* is from ours, along our text and across it."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        right, down = other.x - self.x, other.y - self.y
        return right * cosine + down * sine, down * cosine - right * sine


def around(one: Box, other: Box) -> Box:
    """Return the box around both, turned as the wider of them is."""
    wide = one if one.width >= other.width else other
    spans = [
        (along - box.width / 2, along + box.width / 2, across - box.height / 2, across + box.height / 2)
        for box in (one, other)
        for along, across in [wide.offset(box)]
    ]
    left, top = min(span[0] for span in spans), min(span[2] for span in spans)
    right, bottom = max(span[1] for span in spans), max(span[3] for span in spans)
    along, across = (left + right) / 2, (top + bottom) / 2
    cosine, sine = math.cos(wide.angle), math.sin(wide.angle)
    return Box(
        wide.x + along * cosine - across * sine,
        wide.y + along * sine + across * cosine,
        right - left,
        bottom - top,
        wide.angle,
        min(one.score, other.score),
    )


def side_by_side(boxes: Sequence[Box]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of two boxes, left one first, that may be two parts of one line."""
    for left, right in _pairs(boxes):
        one, other = boxes[left], boxes[right]
        tall = max(one.height, other.height)
        along, across = one.offset(other)
        gap = along - (one.width + other.width) / 2
        alike = min(one.height, other.height) >= _ALIKE * tall and abs(one.angle - other.angle) <= _ALIGNED
        if alike and along > 0 and abs(across) <= _LEVEL * tall and _GAP[0] * tall <= gap <= _GAP[1] * tall:
            yield left, right


def stacked(boxes: Sequence[Box]) -> Iterator[tuple[int, int]]:
    """Yield the numbers of two boxes, upper one first, that may be the two lines of one plate."""
    for upper, lower in _pairs(boxes):
        one, other = boxes[upper], boxes[lower]
        tall, wide = max(one.height, other.height), max(one.width, other.width)
        along, across = one.offset(other)
        alike = min(one.height, other.height) >= _STACKED_ALIKE * tall and abs(one.angle - other.angle) <= _ALIGNED
        near = _STACKED_APART[0] * tall <= across <= _STACKED_APART[1] * tall and abs(along) <= _STACKED_OFF * wide
        if alike and near and min(one.width, other.width) >= _STACKED_OFF * wide:
            yield upper, lower


def _pairs(boxes: Sequence[Box]) -> Iterator[tuple[int, int]]:
    return ((one, other) for one in range(len(boxes)) for other in range(len(boxes)) if one != other)
