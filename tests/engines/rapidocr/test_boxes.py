"""Tests of watcher.engines.rapidocr.boxes: turned rectangles, and how they lie to each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.engines.rapidocr.boxes import Box, around, side_by_side, stacked

SIZE = (640, 480)
TURNS = [math.radians(degrees) for degrees in (-80, -30, -7, 0, 7, 30, 80)]

Pairs = Callable[[Sequence[Box]], Iterator[tuple[int, int]]]


def boxes(*, level: bool = False) -> st.SearchStrategy[Box]:
    """Give boxes as the detector finds them: their middle lies in the picture, and they are wider than high."""
    return st.builds(
        lambda x, y, height, longer, angle, score: Box(x, y, height * longer, height, angle, score),
        st.floats(0, SIZE[0] - 1),
        st.floats(0, SIZE[1] - 1),
        st.floats(3, 300),
        st.floats(1, 20),
        st.just(0.0) if level else st.floats(-math.pi / 2, math.pi / 2),
        st.floats(0, 1),
    )


def corners(box: Box) -> list[tuple[float, float]]:
    """Return the four corners of *box*."""
    cosine, sine = math.cos(box.angle), math.sin(box.angle)
    halves = [(along * box.width / 2, across * box.height / 2) for along in (-1, 1) for across in (-1, 1)]
    return [(box.x + a * cosine - b * sine, box.y + a * sine + b * cosine) for a, b in halves]


def beside(box: Box, along: float, across: float, *, scale: float = 1.0, turn: float = 0.0) -> Box:
    """Return a box that lies so many heights from *box*, along its text and across it."""
    cosine, sine = math.cos(box.angle), math.sin(box.angle)
    right, down = along * box.height, across * box.height
    x, y = box.x + right * cosine - down * sine, box.y + right * sine + down * cosine
    return Box(x, y, box.width * scale, box.height * scale, box.angle + turn, box.score)


class TestBox:
    """One rectangle."""

    def test_outline_of_a_level_one(self) -> None:
        """The outline of a box that is not turned is the box."""
        assert (50, 80, 100, 40) == Box(100, 100, 100, 40, 0.0, 1.0).outline(SIZE)

    def test_outline_of_an_upright_one(self) -> None:
        """That of text which runs downwards is higher than wide."""
        left, top, width, height = Box(100.5, 100.5, 100, 40, math.pi / 2, 1.0).outline(SIZE)

        assert (80, 50) == (left, top)
        assert 40 <= width <= 42
        assert 100 <= height <= 102

    @given(boxes())
    def test_outline_is_in_the_picture(self, box: Box) -> None:
        """However large and turned a box is, its outline has pixels, and all of them are in the picture."""
        left, top, width, height = box.outline(SIZE)

        assert 0 <= left < left + width <= SIZE[0]
        assert 0 <= top < top + height <= SIZE[1]

    @given(boxes())
    def test_outline_holds_the_box(self, box: Box) -> None:
        """Every corner that is in the picture is in the outline."""
        left, top, width, height = box.outline(SIZE)

        for x, y in corners(box):
            if 0 <= x <= SIZE[0] and 0 <= y <= SIZE[1]:
                assert left - 0.01 <= x <= left + width + 0.01
                assert top - 0.01 <= y <= top + height + 0.01

    @given(boxes(), st.floats(-3, 3), st.floats(-0.9, 3))
    def test_grown(self, box: Box, along: float, across: float) -> None:
        """A box grows and shrinks around its middle by parts of its height, and never to nothing."""
        grown = box.grown(along, across)

        assert (box.x, box.y, box.angle, box.score) == (grown.x, grown.y, grown.angle, grown.score)
        assert max(1.0, box.width + along * box.height) == pytest.approx(grown.width)
        assert box.height * (1 + across) == pytest.approx(grown.height)
        assert min(grown.width, grown.height) > 0

    @given(boxes(), st.floats(-9, 9), st.floats(-9, 9))
    def test_offset(self, box: Box, along: float, across: float) -> None:
        """How far another box is counts along the text and across it, however the text is turned."""
        found = box.offset(beside(box, along, across))

        assert found == pytest.approx((along * box.height, across * box.height), abs=1e-6)


class TestAround:
    """Two rectangles taken as one."""

    @given(boxes(level=True), boxes(level=True))
    def test_holds_both(self, one: Box, other: Box) -> None:
        """The box around two that lie level holds every corner of both."""
        whole = around(one, other)

        for corner in (*corners(one), *corners(other)):
            along, across = whole.offset(Box(*corner, 1, 1, 0, 1))
            assert abs(along) <= whole.width / 2 + 1e-6
            assert abs(across) <= whole.height / 2 + 1e-6

    @given(boxes(), st.floats(-9, 9), st.floats(-9, 9), st.floats(0.1, 3))
    def test_holds_both_turned(self, one: Box, along: float, across: float, scale: float) -> None:
        """Likewise around two that are turned alike; and it is not larger than it must be."""
        other = beside(one, along, across, scale=scale)
        whole = around(one, other)
        spots = [whole.offset(Box(*corner, 1, 1, 0, 1)) for corner in (*corners(one), *corners(other))]

        assert whole.width / 2 == pytest.approx(max(abs(along) for along, _ in spots), abs=1e-6)
        assert whole.height / 2 == pytest.approx(max(abs(across) for _, across in spots), abs=1e-6)

    @given(boxes(), boxes())
    def test_turned_as_the_wider(self, one: Box, other: Box) -> None:
        """It is turned as the wider of both, and no surer than the less sure."""
        whole = around(one, other)

        assert (one if one.width >= other.width else other).angle == whole.angle
        assert min(one.score, other.score) == whole.score
        assert whole.width >= max(one.width, other.width) - 1e-6

    @given(boxes())
    def test_itself(self, box: Box) -> None:
        """Around a box and itself is the box."""
        whole = around(box, box)

        assert (box.x, box.y, box.width, box.height) == pytest.approx((whole.x, whole.y, whole.width, whole.height))


@pytest.mark.parametrize("turn", TURNS)
class TestPairs:
    """Which two may be parts of one plate; how text is turned does not matter."""

    def box(self, turn: float) -> Box:
        """Return three characters of a plate."""
        return Box(300, 200, 75, 40, turn, 0.9)

    def test_side_by_side(self, turn: float) -> None:
        """Two parts of a line with a gap of a character between them go together, the left one first."""
        left = self.box(turn)
        right = beside(left, 2.4, 0.05)

        assert [(0, 1)] == list(side_by_side([left, right]))
        assert [(1, 0)] == list(side_by_side([right, left]))

    def test_touching(self, turn: float) -> None:
        """So do parts that overlap a little, as boxes are grown."""
        left = self.box(turn)

        assert [(0, 1)] == list(side_by_side([left, beside(left, 1.8, 0.0)]))

    @pytest.mark.parametrize(
        ("along", "across", "scale", "askew"),
        [(6.0, 0.0, 1.0, 0.0), (2.4, 0.8, 1.0, 0.0), (2.4, 0.0, 0.4, 0.0), (2.4, 0.0, 1.0, 0.5), (0.2, 0.0, 1.0, 0.0)],
        ids=["far", "low", "small", "askew", "same"],
    )
    def test_not_side_by_side(self, turn: float, along: float, across: float, scale: float, askew: float) -> None:
        """What is far, lower, much smaller, turned another way, or the same place, is no part of the line."""
        left = self.box(turn)

        assert [] == list(side_by_side([left, beside(left, along, across, scale=scale, turn=askew)]))

    def test_stacked(self, turn: float) -> None:
        """Two lines, one close above the other, go together, the upper one first; they are not side by side."""
        upper = self.box(turn)
        lower = beside(upper, 0.1, 1.1)

        assert [(0, 1)] == list(stacked([upper, lower]))
        assert [(1, 0)] == list(stacked([lower, upper]))
        assert [] == list(side_by_side([upper, lower]))

    @pytest.mark.parametrize(
        ("along", "across", "scale", "askew"),
        [(0.0, 3.0, 1.0, 0.0), (2.0, 1.1, 1.0, 0.0), (0.0, 1.1, 0.3, 0.0), (0.0, 1.1, 1.0, 0.5), (0.0, 0.1, 1.0, 0.0)],
        ids=["far", "aside", "small", "askew", "same"],
    )
    def test_not_stacked(self, turn: float, along: float, across: float, scale: float, askew: float) -> None:
        """What is far below, aside, much smaller, turned another way, or the same place, is no second line."""
        upper = self.box(turn)

        assert [] == list(stacked([upper, beside(upper, along, across, scale=scale, turn=askew)]))


@pytest.mark.parametrize("pairs", [side_by_side, stacked])
class TestAnyBoxes:
    """Whatever boxes there are."""

    def test_none(self, pairs: Pairs) -> None:
        """One box, or none, is no pair."""
        assert [] == list(pairs([]))
        assert [] == list(pairs([Box(10, 10, 20, 10, 0.0, 1.0)]))

    @given(st.lists(boxes(), max_size=6))
    def test_any(self, pairs: Pairs, some: list[Box]) -> None:
        """Every pair is of two boxes that are there, is told once, and is not told the other way round too."""
        found = list(pairs(some))

        assert len(found) == len({frozenset(pair) for pair in found})
        assert all(0 <= number < len(some) for pair in found for number in pair)
        assert all(one != other for one, other in found)
