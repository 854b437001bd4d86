"""Tests of watcher.wire: readings there and back, and what a child that was taken over may say instead."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import jpeg, png
from watcher import wire
from watcher.model import Candidate, Kind, Reading, Request

SHARES = st.none() | st.floats(0, 1)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=wire.MAX_TEXT)
PIXELS = st.integers(0, 1_000_000)
CODES = st.from_regex(r"([a-z][a-z0-9_]{0,39})?", fullmatch=True)
READINGS = st.builds(
    Reading,
    text=st.none() | WORDS,
    confidence=SHARES,
    engine=st.just("mine"),
    box=st.none() | st.tuples(PIXELS, PIXELS, PIXELS, PIXELS),
    orientation=st.none() | st.integers(0, 359),
    candidates=st.lists(st.builds(Candidate, WORDS, SHARES), max_size=5).map(tuple),
    seconds=st.floats(0, 86_400),
    code=CODES,
    review=st.booleans(),
    tried=st.just(()),
    note=WORDS,
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("text", "confidence", "box", "orientation", "candidates", "seconds", "code", "review", "note")


def sent(data: dict[str, Any]) -> dict[str, Any]:
    """Return *data* as they arrive: JSON knows no tuples."""
    arrived: dict[str, Any] = json.loads(json.dumps(data))
    return arrived


GOOD = sent(
    wire.reading_out(Reading("1234 BCD", 0.9, "mine", (1, 2, 3, 4), 90, (Candidate("X"),), 1.5, "code", review=True))
)
"""What an engine may say."""


class TestReading:
    """What an engine says."""

    @given(READINGS)
    def test_there_and_back(self, reading: Reading) -> None:
        """A reading that an engine may give comes out as it went in."""
        assert reading == wire.reading_in(sent(wire.reading_out(reading)), engine="mine")

    def test_name(self) -> None:
        """A reading is of the engine that was asked, whoever it says it is from."""
        assert "asked" == wire.reading_in(sent(GOOD) | {"engine": "other", "tried": ["all"]}, engine="asked").engine

    def test_long_words_are_cut(self) -> None:
        """What an honest engine says too much of is cut on its side, and not taken for a lie on ours."""
        reading = Reading("x" * 5000, candidates=(Candidate("\ud800" * 5000),) * 500, note="n" * 5000)
        found = wire.reading_in(sent(wire.reading_out(reading)), engine="mine")

        assert (wire.MAX_TEXT, wire.MAX_CANDIDATES) == (len(found.text or ""), len(found.candidates))
        assert (wire.MAX_TEXT, "?" * wire.MAX_TEXT) == (len(found.note), found.candidates[0].text)

    @given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
    def test_anything(self, said: dict[str, Any]) -> None:
        """Whatever a child says, it is a reading within its bounds or a ValueError."""
        try:
            found = wire.reading_in(GOOD | said, engine="mine")
        except ValueError:
            return

        assert found.confidence is None or 0 <= found.confidence <= 1
        assert wire.MAX_TEXT >= len((found.text or "").encode()) // 4
        assert found.box is None or all(0 <= number <= 1_000_000 for number in found.box)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("text", 5),
            ("text", ["A"]),
            ("text", "x" * 201),
            ("text", "\ud800"),
            ("confidence", float("nan")),
            ("confidence", float("inf")),
            ("confidence", 1.01),
            ("confidence", -0.01),
            ("confidence", 10**400),
            ("confidence", "0.9"),
            ("confidence", True),
            ("box", [1, 2, 3]),
            ("box", [1, 2, 3, -4]),
            ("box", [1, 2, 3, 4.5]),
            ("box", [1, 2, 3, 10**9]),
            ("box", "1234"),
            ("box", {"0": 1}),
            ("orientation", 360),
            ("candidates", None),
            ("candidates", ["A"]),
            ("candidates", [["A", 0.5, 1]]),
            ("candidates", [[None, 0.5]]),
            ("candidates", [["A", 2]]),
            ("candidates", [["A", None]] * 51),
            ("seconds", None),
            ("seconds", -1),
            ("code", None),
            ("code", "Drop Table"),
            ("code", "x" * 41),
            ("review", 1),
            ("note", None),
        ],
    )
    def test_lies(self, field: str, value: object) -> None:
        """A field of a wrong type or outside its bounds makes the whole answer worthless."""
        with pytest.raises(ValueError, match=r"."):
            wire.reading_in(GOOD | {field: value}, engine="mine")


class TestRequest:
    """What is asked."""

    @given(st.sampled_from(["plate", "vin", "trailer_id"]), WORDS, st.lists(WORDS, max_size=5))
    def test_there_and_back(self, kind: Kind, language: str, regions: list[str]) -> None:
        """A request comes out as it went in."""
        request = Request(kind, language, tuple(regions))

        assert request == wire.request_in(sent(wire.request_out(request)))

    def test_words_of_a_sidecar_are_cut(self) -> None:
        """Words that came with the photo can be as long and as odd as they like without doing harm."""
        request = Request("plate", "\udcff" * 5000, ("x" * 5000,) * 500)
        found = wire.request_in(sent(wire.request_out(request)))

        assert ("?" * wire.MAX_TEXT, wire.MAX_CANDIDATES) == (found.language, len(found.regions))

    def test_unknown_kind(self) -> None:
        """What cannot be asked is an error."""
        with pytest.raises(ValueError, match="kind"):
            wire.request_in({"kind": "face", "language": "", "regions": []})


class TestOthers:
    """Sizes and sentences."""

    def test_drawing(self) -> None:
        """Nothing else is taken from a child to be written as a file for people."""
        assert png() == wire.png_in(png())
        for other in (b"", jpeg(), b"<html>"):
            with pytest.raises(ValueError, match="PNG"):
                wire.png_in(other)

    def test_size(self) -> None:
        """A size is two whole numbers."""
        assert (4, 3) == wire.size_in({"width": 4, "height": 3})
        for wrong in ({}, {"width": 4}, {"width": 4, "height": -3}, {"width": "4", "height": 3}):
            with pytest.raises(ValueError, match="number"):
                wire.size_in(wrong)

    def test_sentence(self) -> None:
        """A sentence is a text."""
        assert "Hello." == wire.sentence_in({"sentence": "Hello."})
        with pytest.raises(ValueError, match="text"):
            wire.sentence_in({"sentence": None})
