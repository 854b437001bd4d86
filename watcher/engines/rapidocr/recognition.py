"""Read one line of text: the second of the two networks, and what of its answer concerns plates.

It says for each slice of the line how likely each of some 18,000 characters is, or none of them ("blank"), as in
"Connectionist temporal classification" (Graves and others, ICML 2006). We keep the 36 of plates before anything is
decided, so that a letter of another script or a small letter counts for the capital that it looks like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from watcher.engines.rapidocr.boxes import Box
from watcher.engines.rapidocr.detection import Pixels, blue_first

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
OTHER, BLANK = len(ALPHABET), len(ALPHABET) + 1

Look = npt.NDArray[np.float32]
"""Slices, 38: how likely each character of ALPHABET is, then any other character, then none; they sum to 1."""

_HEIGHT = 48  # pixels that the network takes
_NARROWEST, _WIDEST = 16, 640
_LEAST_INPUT = 64
_STEP = 8  # pixels of a slice
_BATCH = 6
_STRETCH = 1.25  # the letters of plates are narrower than those of print
_SHRUNK = 1.5  # from here on a line is shrunk by area first
_MARGIN = 4
_NOTHING = " -.·•:–—_'\""  # noqa: RUF001 - dashes and dots as the network writes them
_LOOKALIKES = dict(
    zip("|lоОАВЕКМНРСТУХØÖÄÜÓÁİΙΟ口〇", "IIOOABEKMHPCTYX0OAUOAIIOO0", strict=True)  # noqa: RUF001 - Cyrillic, Greek
)


class Recogniser:
    """The network, ready to be asked; *session* is one of onnxruntime."""

    def __init__(self, session: Any) -> None:
        """Take a session that holds the recogniser and the characters that it knows."""
        self._session = session
        self._input = session.get_inputs()[0].name
        known = ["", *session.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]
        meaning = np.array([BLANK, *map(_meaning, known[1:])])
        self._kept = np.flatnonzero(meaning != OTHER)
        self._meaning = meaning[self._kept]

    def look(self, crops: Sequence[Pixels]) -> list[Look]:
        """Return what stands in each of *crops*, which are as `cut` makes them."""
        looks: dict[int, Look] = {}
        ordered = sorted(range(len(crops)), key=lambda number: crops[number].shape[1])
        for first in range(0, len(ordered), _BATCH):
            batch = ordered[first : first + _BATCH]
            looks.update(zip(batch, self._ask([crops[number] for number in batch]), strict=True))
        return [looks[number] for number in range(len(crops))]

    def _ask(self, crops: Sequence[Pixels]) -> list[Look]:
        width = max(_LEAST_INPUT, *(math.ceil(crop.shape[1] / _STEP) * _STEP for crop in crops))
        planes = np.zeros((len(crops), 3, _HEIGHT, width), np.float32)
        for plane, crop in zip(planes, crops, strict=True):
            plane[:, :, : crop.shape[1]] = blue_first(crop)
        answer = self._session.run(None, {self._input: planes})[0]
        slices = [-(-crop.shape[1] * answer.shape[1] // width) for crop in crops]  # rounded up
        return [self._folded(said[:count]) for said, count in zip(answer, slices, strict=True)]

    def _folded(self, said: npt.NDArray[np.float32]) -> Look:
        look = np.zeros((len(said), BLANK + 1), np.float32)
        np.add.at(look.T, self._meaning, said[:, self._kept].T)
        look[:, OTHER] = np.clip(1 - look.sum(axis=1), 0, 1)
        return look


def cut(picture: Pixels, box: Box) -> Pixels:
    """Return what is in *box*, upright, 48 pixels high and somewhat stretched, from the pixels of *picture*."""
    width = round(min(_WIDEST, max(_NARROWEST, box.width / box.height * _HEIGHT * _STRETCH)))
    corners = _corners(box)
    if box.height / _HEIGHT > _SHRUNK:
        picture, corners = _shrunk(picture, box, corners)
    upright = np.array([[0, 0], [width, 0], [0, _HEIGHT]], np.float32)
    turn = cv2.getAffineTransform(corners, upright)
    crop = cv2.warpAffine(picture, turn, (width, _HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def plainest(look: Look) -> tuple[str, list[float]]:
    """Return the text that is most likely slice by slice, `?` for other characters, and how likely each is."""
    text, likely, last = "", [], BLANK
    for slice_, best in zip(look, look.argmax(axis=1), strict=True):
        if best not in (BLANK, last):
            text += "?" if best == OTHER else ALPHABET[best]
            likely.append(float(slice_[best]))
        elif best != BLANK:
            likely[-1] = max(likely[-1], float(slice_[best]))
        last = best
    return text, likely


def above(upper: Look, lower: Look) -> Look:
    """Return two lines of a plate as one."""
    between = np.zeros((1, BLANK + 1), np.float32)
    between[0, BLANK] = 1
    return np.concatenate([upper, between, lower])


def _meaning(character: str) -> int:
    """Return the place in ALPHABET of what *character* looks like; else OTHER, or BLANK for what only separates."""
    if character in _NOTHING:
        return BLANK
    plain = _LOOKALIKES.get(character, character.upper() if character.isascii() else character)
    return ALPHABET.index(plain) if len(plain) == 1 and plain in ALPHABET else OTHER


def _corners(box: Box) -> npt.NDArray[np.float32]:
    """Return the upper left, upper right and lower left corner."""
    cosine, sine = math.cos(box.angle), math.sin(box.angle)
    along = np.array([cosine, sine]) * box.width / 2
    across = np.array([-sine, cosine]) * box.height / 2
    middle = np.array([box.x, box.y])
    return np.array([middle - along - across, middle + along - across, middle - along + across], np.float32)


def _shrunk(picture: Pixels, box: Box, corners: npt.NDArray[np.float32]) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """Return the part of *picture* around *box* at the size that is needed, and the corners therein."""
    reach = math.hypot(box.width, box.height) / 2 + _MARGIN
    left, top = max(0, int(box.x - reach)), max(0, int(box.y - reach))
    part = picture[top : int(box.y + reach) + 1, left : int(box.x + reach) + 1]
    scale = _HEIGHT / box.height
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    factor = np.array([size[0] / part.shape[1], size[1] / part.shape[0]], np.float32)
    return small, (corners - np.array([left, top], np.float32)) * factor
