"""Tests of watcher.engines.rapidocr.looking: pictures that are drawn, and how often they are looked at."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.engines import scenes
from tests.engines.rapidocr.networks import Counted, Network, Planes
from tests.engines.rapidocr.test_detection import with_line
from watcher import formats
from watcher.engines.rapidocr import RapidOcr
from watcher.engines.rapidocr.boxes import Box
from watcher.engines.rapidocr.choice import Verdict
from watcher.engines.rapidocr.detection import Detector, Pixels
from watcher.engines.rapidocr.looking import PASSES, Looker
from watcher.engines.rapidocr.prior import Prior

SMALL = (160, 120)


@cache
def prior() -> Prior:
    """Return what is known of the plates of Spain."""
    return Prior(formats.shapes(["ES"]))


def seen(image: Image.Image) -> Pixels:
    """Return *image* as the looker gets it."""
    return np.asarray(image, np.uint8)[:, :, ::-1].copy()


def never() -> bool:
    """Return that it is not late."""
    return False


class Eye:
    """A looker that counts how often its first network was asked."""

    def __init__(self, reader: RapidOcr) -> None:
        """Take the networks of *reader*."""
        self.detector = Counted(reader._looker._detector._session)
        self.looker = Looker(Detector(self.detector), reader._looker._recogniser)

    def plates(self, image: Image.Image, late: Callable[[], bool] = never) -> list[Verdict]:
        """Return what it sees."""
        return self.looker.plates(seen(image), prior(), late)


def about_the_middle(box: Box, degrees: float) -> Box:
    """Return *box* turned with the picture."""
    along, across = Box(640, 480, 1, 1, -math.radians(degrees), 1.0).offset(box)
    return Box(640 + along, 480 + across, box.width, box.height, math.radians(degrees), 1.0)


def told(reader: RapidOcr, *boxes: Box) -> Looker:
    """Return a looker whose first network finds lines in these boxes, grown, and no others."""
    lines = np.bitwise_or.reduce([with_line(box, scenes.SIZE) for box in boxes])

    def says(planes: Planes) -> Planes:
        small = cv2.resize(lines[:, :, 0], (planes.shape[3], planes.shape[2]), interpolation=cv2.INTER_AREA)
        return np.asarray(small[None, None] / 255, np.float32)

    return Looker(Detector(Network(says)), reader._looker._recogniser)


@pytest.fixture
def eye(reader: RapidOcr) -> Eye:
    """Give a looker that counts."""
    return Eye(reader)


class TestHowOften:
    """When it stops looking."""

    def test_sure(self, eye: Eye) -> None:
        """A clear plate is seen at the first look, and no second one is taken."""
        found = eye.plates(scenes.car())

        assert ("1234BCD", 1) == (found[0].text, eye.detector.runs)

    def test_nothing(self, eye: Eye) -> None:
        """Where there is nothing, every way of looking is tried."""
        assert [] == eye.plates(scenes.street(SMALL))
        assert len(PASSES) == eye.detector.runs

    def test_late(self, eye: Eye) -> None:
        """When the time is up after the first look, there is no other."""
        assert [] == eye.plates(scenes.street(SMALL), lambda: True)
        assert 1 == eye.detector.runs

    def test_late_later(self, eye: Eye) -> None:
        """Likewise after the second."""
        asked = itertools.count(1)

        assert [] == eye.plates(scenes.street(SMALL), lambda: next(asked) == 2)
        assert 2 == eye.detector.runs

    def test_late_with_a_plate(self, eye: Eye) -> None:
        """What was seen until the time was up counts."""
        found = eye.plates(scenes.two_cars(), lambda: True)

        assert (1, "1234BCD") == (eye.detector.runs, found[0].text)


class TestBuilds:
    """How a plate is put together."""

    def test_stacked(self, eye: Eye) -> None:
        """Two lines are one plate, in a box around both."""
        first = eye.plates(scenes.motorcycle())[0]

        assert "1234BCD" == first.text
        assert (640, 620) == pytest.approx((first.box.x, first.box.y), abs=20)
        assert first.box.height > 100

    def test_stacked_turned(self, eye: Eye) -> None:
        """Also where they are turned."""
        assert "1234BCD" == eye.plates(scenes.turned(scenes.motorcycle(), 10))[0].text

    @pytest.mark.parametrize("degrees", [0, 15])
    def test_joined(self, reader: RapidOcr, degrees: float) -> None:
        """Two parts of one line that are found apart are one plate, in a box around both."""
        photo = scenes.street()
        scenes.writing(photo, "1234", (520, 480), 80)
        scenes.writing(photo, "BCD", (742, 480), 80)
        parts = Box(520, 480, 150, 34, 0.0, 1.0), Box(742, 480, 115, 34, 0.0, 1.0)
        looker = told(reader, *(about_the_middle(part, degrees) for part in parts))
        first = looker.plates(seen(scenes.turned(photo, degrees)), prior(), never)[0]

        assert "1234BCD" == first.text
        assert 625 == pytest.approx(first.box.x, abs=30)
        assert first.box.width > 300

    def test_many_lines(self, eye: Eye) -> None:
        """A page of text has no plate of which one could be sure, and is read within bounds."""
        found = eye.plates(scenes.page(), lambda: True)

        assert all(verdict.confidence < 0.5 for verdict in found)

    @pytest.mark.parametrize("shade", [20, 10])
    def test_faint(self, eye: Eye, shade: int) -> None:
        """A plate with hardly any contrast is read."""
        photo = scenes.street()
        scenes.plate(photo, "1234 BCD", (640, 640), colours=((120 + shade,) * 3, (120,) * 3))

        assert "1234BCD" == eye.plates(photo)[0].text


class TestTexts:
    """Lines as they stand there."""

    def test_lines(self, eye: Eye) -> None:
        """Each line is told with its place and how sure it is; nothing is made of it."""
        photo = scenes.street()
        scenes.writing(photo, "CAMERA", (300, 200), 60)
        scenes.writing(photo, "O0O0", (800, 700), 60)
        found = {text: (sure, box.x, box.y) for text, sure, box in eye.looker.texts(seen(photo))}

        assert {"CAMERA"} <= found.keys()
        sure, x, y = found["CAMERA"]
        assert 0.5 < sure <= 1
        assert (300, 200) == pytest.approx((x, y), abs=15)

    def test_nothing(self, eye: Eye) -> None:
        """An empty picture has none."""
        assert [] == eye.looker.texts(seen(scenes.street(SMALL)))
