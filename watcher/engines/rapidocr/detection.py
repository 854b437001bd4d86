"""Find lines of text: the first of the two networks, which says of each pixel how likely it belongs to text.

How its answer becomes boxes follows "Real-time scene text detection with differentiable binarization" (Liao and others,
AAAI 2020): what is above a threshold is taken together, and each rectangle is grown, because the network is trained to
see the middle of a line only.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from watcher.engines.rapidocr.boxes import Box

_STRIDE = 32  # pixels; sides are a multiple of it
_GROWTH = 1.6  # times area / circumference, to each side
_LEAST = 3  # pixels of the network's picture
_MOST = 400  # rectangles that are looked at

Pixels = npt.NDArray[np.uint8]
"""Height, width, 3: red, green, blue, 8 bits each."""


class Detector:
    """The network, ready to be asked; *session* is one of onnxruntime."""

    def __init__(self, session: Any) -> None:
        """Take a session that holds the detector."""
        self._session = session
        self._input = session.get_inputs()[0].name

    def find(self, picture: Pixels, *, scale: float, pixel: float, line: float) -> list[Box]:
        """Return the lines of text seen in *picture* when it is *scale* times as large, the tallest first.

        *pixel* is how likely a pixel must be text to count, *line* how likely those of one line must be on average,
        both 0 to 1.
        """
        text = self._ask(picture, scale)
        height, width = picture.shape[:2]
        grown = (width / text.shape[1], height / text.shape[0])
        shapes = cv2.findContours((text > pixel).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]
        largest = sorted(shapes, key=cv2.contourArea, reverse=True)[:_MOST]
        boxes = [box for shape in largest if (box := _box(shape, text, line, grown)) is not None]
        return sorted(boxes, key=lambda box: box.height, reverse=True)

    def _ask(self, picture: Pixels, scale: float) -> npt.NDArray[np.float32]:
        height, width = (max(_STRIDE, round(side * scale / _STRIDE) * _STRIDE) for side in picture.shape[:2])
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(picture, (width, height), interpolation=way)
        planes = blue_first(resized)[None]
        answer: npt.NDArray[np.float32] = self._session.run(None, {self._input: np.ascontiguousarray(planes)})[0][0, 0]
        return answer


def blue_first(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return *pixels* as both networks take them: 3, height, width, from blue to red, between -1 and 1."""
    planes: npt.NDArray[np.float32] = pixels[:, :, ::-1].astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
    return planes


def _box(shape: Any, text: npt.NDArray[np.float32], least: float, grown: tuple[float, float]) -> Box | None:
    """Return the box around the contour *shape* in pixels of the picture; none if it is small or hardly text."""
    corners = cv2.boxPoints(cv2.minAreaRect(shape)).astype(np.float64)
    sides = [corners[1] - corners[0], corners[2] - corners[1]]
    lengths = [float(np.hypot(*side)) for side in sides]
    if min(lengths) < _LEAST:
        return None
    left, top, width, height = cv2.boundingRect(shape)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [shape - np.array([left, top])], 1)
    score = cv2.mean(text[top : top + height, left : left + width], inside)[0]
    if score < least:
        return None
    long = 0 if lengths[0] >= lengths[1] else 1
    growth = _GROWTH * lengths[0] * lengths[1] / sum(lengths)
    angle = math.atan2(sides[long][1] * grown[1], sides[long][0] * grown[0])
    scale = (grown[0] + grown[1]) / 2  # they differ by the rounding to the stride only
    middle = corners.mean(axis=0)
    return Box(
        float(middle[0] * grown[0]),
        float(middle[1] * grown[1]),
        (lengths[long] + growth) * scale,
        (lengths[1 - long] + growth) * scale,
        (angle + math.pi / 2) % math.pi - math.pi / 2,
        float(score),
    )
