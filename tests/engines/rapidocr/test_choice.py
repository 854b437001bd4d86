"""Tests of watcher.engines.rapidocr.choice: which line is the plate, by what it says and where it stands."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.engines.rapidocr.boxes import Box
from watcher.engines.rapidocr.choice import Build, Line, placed, weigh
from watcher.engines.rapidocr.decoding import Guess
from watcher.engines.rapidocr.recognition import ALPHABET

SIZE = (1280, 960)
PLATE = Box(640, 600, 400, 96, 0.0, 0.9)

ANYWHERE = st.builds(
    Box,
    st.floats(0, SIZE[0]),
    st.floats(0, SIZE[1]),
    st.floats(1, 3000),
    st.floats(1, 3000),
    st.floats(-1.57, 1.57),
    st.just(1.0),
)
SCORES = st.floats(-80, 20)
GUESSES = st.lists(
    st.builds(Guess, st.text(ALPHABET, min_size=3, max_size=9), SCORES), max_size=8, unique_by=lambda guess: guess.text
).map(lambda guesses: sorted(guesses, key=lambda guess: guess.score, reverse=True))
LINES = st.lists(
    st.builds(Line, st.builds(replace, st.just(PLATE), x=st.floats(0, 1280)), st.just("single"), GUESSES, SCORES),
    max_size=6,
)


def place(text: str = "1234BCD", build: Build = "single", **changes: Any) -> float:
    """Return how well *text* fits into a plate in the middle of the picture, but for some changes."""
    return placed(replace(PLATE, **changes), text, build, SIZE)


def line(*guesses: tuple[str, float], box: Box = PLATE, place: float = 0.0) -> Line:
    """Return a line with these guesses."""
    return Line(box, "single", [Guess(*guess) for guess in guesses], place)


class TestPlaced:
    """Where plates stand."""

    def test_best(self) -> None:
        """A plate in the middle, level, of its size and proportions has nothing against it."""
        assert 0 == pytest.approx(place(), abs=1e-9)

    @pytest.mark.parametrize(
        "changes",
        [{"x": 30}, {"y": 10}, {"y": 950}, {"angle": 1.2}, {"height": 4, "width": 16}, {"width": 2400}, {"width": 60}],
        ids=["aside", "top", "bottom", "turned", "small", "wide", "narrow"],
    )
    def test_worse(self, changes: dict[str, Any]) -> None:
        """At the edge, turned far, very small, and too wide or too narrow for its text, it is less likely one."""
        assert place() > place(**changes)

    @pytest.mark.parametrize("angle", [0.2, -0.2])
    def test_a_little_turned(self, angle: float) -> None:
        """A plate that hangs a little askew is as good as a level one."""
        assert place() == pytest.approx(place(angle=angle))

    def test_huge(self) -> None:
        """Letters as high as a third of the picture are rather an advertisement."""
        assert place() > place(height=400, width=1200)

    @pytest.mark.parametrize("text", ["20260304", "04032026", "2026030412", "04032026120000"])
    def test_date(self, text: str) -> None:
        """A date, with or without the time, is much less likely a plate than another number of that length."""
        other = "9" * len(text)

        assert place(other, width=len(text) * 56.0) > place(text, width=len(text) * 56.0) + 1

    @pytest.mark.parametrize("text", ["612345678", "9123456", "MADRID", "TAXI"])
    def test_ordinary(self, text: str) -> None:
        """Digits alone, as of a telephone, and letters alone, as of a word, are less likely a plate than both mixed."""
        mixed = "12BC567DE"[: len(text)]

        assert place(mixed, width=len(text) * 56.0) > place(text, width=len(text) * 56.0)

    def test_build(self) -> None:
        """A line in one piece is better than two taken together; two lines need not have proportions of one."""
        square: dict[str, Any] = {"width": 180.0, "height": 140.0}

        assert place() > place(build="joined")
        assert place(build="stacked", **square) > place(build="single", **square)

    @given(ANYWHERE, st.text(ALPHABET, max_size=12), st.sampled_from(["single", "joined", "stacked"]))
    def test_any(self, box: Box, text: str, build: Build) -> None:
        """Every place has a finite score, and none is better than the best."""
        score = placed(box, text, build, SIZE)

        assert math.isfinite(score)
        assert score <= 0


class TestWeigh:
    """Which text wins."""

    def test_best(self) -> None:
        """The best score of text and place together wins, and says where it stands."""
        there = replace(PLATE, y=200)
        found = weigh([line(("1234BCD", 2.0), place=-9.0), line(("5678FGH", 1.0), ("567BFGH", -4.0), box=there)])

        assert ("5678FGH", there) == (found[0].text, found[0].box)
        assert {"1234BCD", "5678FGH", "567BFGH"} == {verdict.text for verdict in found}

    def test_sure(self) -> None:
        """A good text that nothing speaks against is surer than a poor one, and than one with a rival."""
        (alone,) = weigh([line(("1234BCD", 1.0))])
        (poor,) = weigh([line(("1234BCD", -9.0))])
        rival, _ = weigh([line(("1234BCD", 1.0), ("1234BCO", 0.8))])

        assert alone.confidence > 0.8
        assert alone.confidence > rival.confidence > poor.confidence
        assert 0.2 > poor.confidence

    def test_agreement(self) -> None:
        """Lines that say the same support it: three poor looks at one plate beat a single one that is little better."""
        agreed = [line(("1234BCD", 0.0)) for _ in range(3)]
        found = weigh([line(("5678FGH", 0.5)), *agreed])

        assert "1234BCD" == found[0].text
        assert found[0].score > weigh(agreed[:1])[0].score

    def test_doubtful_support(self) -> None:
        """A line supports a text by as much as it believes in it: hardly at all where it is one of many."""
        said = line(("1234BCD", 0.0))
        alone, doubted, halved, agreed = (
            next(verdict.score for verdict in weigh(lines) if verdict.text == "1234BCD")
            for lines in (
                [said],
                [said, line(("9999ZZZ", 0.0), ("1234BCD", -6.0))],
                [said, line(("9999ZZZ", 0.0), ("1234BCD", 0.0))],
                [said, said],
            )
        )

        assert alone < doubted < alone + 0.01
        assert doubted < halved < agreed

    @pytest.mark.parametrize("lines", [[], [line()], [line(), line()]])
    def test_nothing(self, lines: list[Line]) -> None:
        """Without a guess there is no plate."""
        assert [] == weigh(lines)

    @given(LINES)
    def test_any(self, lines: list[Line]) -> None:
        """Each text once, the best score first and the surest; confidences are between 0 and 1."""
        found = weigh(lines)
        texts, scores = [verdict.text for verdict in found], [verdict.score for verdict in found]
        sure = [verdict.confidence for verdict in found]

        assert len(texts) == len(set(texts))
        assert sorted(scores, reverse=True) == scores
        assert all(map(math.isfinite, scores))
        assert all(0 <= each <= 1 for each in sure)
        assert sorted(sure, reverse=True) == sure

    @given(LINES)
    def test_order_does_not_matter(self, lines: list[Line]) -> None:
        """Whichever line comes first, the same text wins as surely."""
        there = {(verdict.text, round(verdict.confidence, 9)) for verdict in weigh(lines)}

        assert there == {(verdict.text, round(verdict.confidence, 9)) for verdict in weigh(lines[::-1])}
