"""Tests of watcher.engines.rapidocr.detection: from what a network says of pixels to turned boxes."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.rapidocr.networks import Network, sees_white
from tests.plate_photos import draw
from watcher.engines.rapidocr import models
from watcher.engines.rapidocr.boxes import Box
from watcher.engines.rapidocr.detection import Detector, Pixels


def black(width: int, height: int) -> Pixels:
    """Return a picture without text."""
    return np.zeros((height, width, 3), np.uint8)


def with_line(box: Box, size: tuple[int, int] = (640, 480), shade: int = 255) -> Pixels:
    """Return a picture in which *box* is white, or of another *shade*."""
    picture = black(*size)
    corners = cv2.boxPoints(((box.x, box.y), (box.width, box.height), math.degrees(box.angle)))
    cv2.fillPoly(picture, [corners.round().astype(np.int32)], (shade, shade, shade))
    return picture


def found(picture: Pixels, *, scale: float = 1.0, pixel: float = 0.3, line: float = 0.5) -> list[Box]:
    """Return the boxes of a detector to which text is what is white."""
    return Detector(Network(sees_white)).find(picture, scale=scale, pixel=pixel, line=line)


class TestBoxes:
    """Where a network sees text."""

    @pytest.mark.parametrize("degrees", [-75, -30, -5, 0, 10, 45, 80])
    def test_turned(self, degrees: float) -> None:
        """A line is found where it is, turned as it is, wider than high, and grown a little to all sides."""
        line = Box(320, 240, 200, 40, math.radians(degrees), 1.0)
        (box,) = found(with_line(line))

        assert (320, 240) == pytest.approx((box.x, box.y), abs=2)
        assert math.radians(degrees) == pytest.approx(box.angle, abs=0.03)
        assert 200 < box.width < 300
        assert 40 < box.height < 140
        assert box.width > box.height

    def test_upright(self) -> None:
        """Text that runs downwards has an angle too, within the bounds."""
        (box,) = found(with_line(Box(320, 240, 40, 200, 0.0, 1.0)))

        assert math.pi / 2 == pytest.approx(abs(box.angle), abs=0.03)
        assert box.width > box.height

    @pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 2.0])
    @pytest.mark.parametrize("size", [(640, 480), (601, 397)])
    def test_scale(self, scale: float, size: tuple[int, int]) -> None:
        """At whatever scale the network gets the picture, boxes are in pixels of the picture."""
        line = Box(300, 200, 240, 60, 0.0, 1.0)
        (box,) = found(with_line(line, size), scale=scale)

        assert (300, 200) == pytest.approx((box.x, box.y), abs=4)
        assert 240 < box.width < 340
        assert 60 < box.height < 160

    def test_sides(self) -> None:
        """What the network gets has sides that it can take, never none, and not much more pixels than asked for."""
        network = Network(sees_white)
        for size, scale in (((640, 480), 0.3), ((1, 1), 1.0), ((33, 700), 0.5), ((2000, 10), 0.25)):
            Detector(network).find(black(*size), scale=scale, pixel=0.3, line=0.5)

        assert all(side > 0 and 0 == side % 32 for shape in network.seen for side in shape[2:])
        assert (1, 3, 32, 32) == network.seen[1]

    def test_tallest_first(self) -> None:
        """Of several lines the tallest comes first."""
        picture = with_line(Box(320, 100, 300, 20, 0.0, 1.0)) | with_line(Box(320, 300, 100, 60, 0.0, 1.0))
        tall, low = found(picture)

        assert (300, 100) == pytest.approx((tall.y, low.y), abs=3)

    def test_nothing(self) -> None:
        """Without text there is no box, and a speck is none."""
        picture = black(640, 480)
        picture[100, 100] = 255

        assert [] == found(black(640, 480))
        assert [] == found(picture)

    def test_all_over(self) -> None:
        """If everything is text, that is one box; its middle is that of the picture."""
        (box,) = found(np.full((96, 192, 3), 255, np.uint8))

        assert (96, 48) == pytest.approx((box.x, box.y), abs=2)

    def test_sure_enough(self) -> None:
        """A line that is hardly text is one only to who asks for little, and says how sure it is."""
        picture = with_line(Box(320, 240, 200, 40, 0.0, 1.0), shade=128)

        assert [] == found(picture, line=0.6)
        assert [] == found(picture, pixel=0.6, line=0.1)
        assert [0.5] == pytest.approx([box.score for box in found(picture, line=0.4)], abs=0.02)

    def test_many(self) -> None:
        """A picture full of specks has a bounded number of boxes."""
        picture = black(1600, 1600)
        for row in range(8, 1600, 16):
            for column in range(8, 1600, 16):
                picture[row - 4 : row + 4, column - 4 : column + 4] = 255

        assert 100 < len(found(picture)) < 1000

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 200), st.floats(0.3, 2))
    def test_any(self, seed: int, width: int, height: int, scale: float) -> None:
        """Whatever the network sees, boxes have a middle in the picture, a size, a score and an angle within bounds."""
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
        picture = np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)

        for box in found(picture, scale=scale, line=0.1):
            assert 0 <= box.x <= width
            assert 0 <= box.y <= height
            assert box.height > 0
            assert box.width > 0
            assert -math.pi / 2 <= box.angle <= math.pi / 2
            assert 0.1 <= box.score <= 1


def test_real_one() -> None:
    """The network that comes with the package finds a plate that is drawn, and nothing on an even picture."""
    real = Detector(models.session(models.find().detector))
    picture = np.asarray(draw("1234 BCD"), np.uint8)[:, :, ::-1].copy()
    (box,) = real.find(picture, scale=0.5, pixel=0.3, line=0.5)

    assert (640, 620) == pytest.approx((box.x, box.y), abs=25)
    assert 0 == pytest.approx(box.angle, abs=0.05)
    assert [] == real.find(np.full((480, 640, 3), 90, np.uint8), scale=1.0, pixel=0.3, line=0.5)
