"""Tests of watcher.engines.rapidocr.prior: what the national formats say of texts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher import formats
from watcher.engines.rapidocr.prior import LONGEST, SHORTEST, Prior
from watcher.engines.rapidocr.recognition import ALPHABET
from watcher.formats import Shape

TEXTS = st.text(ALPHABET, max_size=LONGEST + 3)


@cache
def prior(*countries: str) -> Prior:
    """Return what is known of the plates of *countries*; of all if there are none."""
    return Prior(formats.shapes(countries))


def shape(*cells: str, weight: float = 1.0, codes: tuple[tuple[int, frozenset[str]], ...] = ()) -> Shape:
    """Return a shape with these *cells*."""
    return Shape("ZZ", "some", cells, codes, (), weight)


@cache
def uncoded() -> Prior:
    """Return what is known of plates without codes."""
    return Prior([one for one in formats.shapes() if not one.codes])


def together(known: Prior, texts: Iterable[str]) -> npt.NDArray[np.float64]:
    """Return how likely each shape is and begins with one of *texts*."""
    return np.asarray(np.sum([known._after(text) for text in texts], axis=0), np.float64)


DIGIT, LETTER = "0123456789", ALPHABET[10:]


class TestLikely:
    """Which of two texts is likelier."""

    @pytest.mark.parametrize(
        ("countries", "likely", "unlikely"),
        [
            (["ES"], "1234BCD", "1234BCO"),
            (["ES"], "1234BCD", "1234BC0"),
            (["ES"], "1234BCD", "I234BCD"),
            (["ES"], "1234BCD", "BCD1234"),
            (["SK"], "BA302OZ", "BA3020Z"),
            (["SK"], "BA302AZ", "BH302AZ"),
            (["DE"], "MXY123", "MXYI23"),
            (["DE"], "HHAB1234", "HHAB0234"),
            ([], "1234BCD", "1ZE4B0D"),
            ([], "AB12CDE", "A8I2C0E"),
        ],
    )
    def test_permitted(self, countries: list[str], likely: str, unlikely: str) -> None:
        """What the rules permit is likelier than what looks the same and is not permitted."""
        assert prior(*countries).of(likely) > prior(*countries).of(unlikely)

    def test_exceptions(self) -> None:
        """A single character that a table does not permit makes a text less likely than a plate, not impossible."""
        exact, near, wrong = (prior("ES").of(text) for text in ("1234BCD", "1234BAD", "12AQ4B7"))

        assert exact > near > wrong
        assert near > prior("ES").of("")

    def test_unlisted(self) -> None:
        """Likewise a code that a list does not have."""
        listed, unlisted = prior("SK").of("BA302AZ"), prior("SK").of("BH302AZ")

        assert listed > unlisted > prior("SK").of("3H302AZ")

    def test_countries(self) -> None:
        """Plates of the expected country are likelier than where all are expected; of another one, less likely."""
        assert prior("ES").of("1234BCD") > prior().of("1234BCD") > prior("SK").of("1234BCD")

    def test_weights(self) -> None:
        """What is met more often is likelier."""
        often, seldom = (DIGIT,) * 3 + (LETTER,) * 3, (LETTER,) * 3 + (DIGIT,) * 3
        known = Prior([shape(*often, weight=0.9), shape(*seldom, weight=0.1)])

        assert known.of("123ABC") > known.of("ABC123") > known.of("A1B2C3")

    def test_digits_alone(self) -> None:
        """A shape of digits alone counts less than one with letters: most numbers on a vehicle are no plate."""
        mixed = Prior([shape(*(DIGIT,) * 4, LETTER, LETTER), shape(*(DIGIT,) * 6)])

        assert mixed.of("1234BC") > mixed.of("123456")

    @pytest.mark.parametrize("text", ["", "A", "B12", "1234BCD1234"])
    def test_length(self, text: str) -> None:
        """What is shorter or longer than every plate is never one."""
        assert prior().of("Q0Q0Q0Q0") - 20 > prior().of(text)

    def test_length_alone(self) -> None:
        """Long plates are about as likely as short ones where both are known: only what the rules say counts."""
        known = Prior([shape(*(DIGIT,) * 3, *(LETTER,) * 2), shape(*(DIGIT,) * 4, *(LETTER,) * 4)])

        assert abs(known.of("123AB") - known.of("1234ABCD")) < 3 * math.log(2)


class TestBeginnings:
    """Texts of which the end is not read yet."""

    @pytest.mark.parametrize(("country", "plate"), [("ES", "1234BCD"), ("SK", "BA302OZ"), ("DE", "HHAB1234")])
    def test_of_a_plate(self, country: str, plate: str) -> None:
        """The beginning of a plate is likelier than one that no plate has."""
        known = prior(country)

        for length in range(2, len(plate) + 1):
            swapped = "".join("A" if character.isdigit() else "7" for character in plate[:length])
            assert known.of_beginning(plate[:length]) > known.of_beginning(swapped)

    def test_empty(self) -> None:
        """Nothing says nothing."""
        assert 0 == pytest.approx(prior("ES").of_beginning(""), abs=0.1)

    @settings(max_examples=30, deadline=None)
    @given(st.text(ALPHABET, max_size=LONGEST - 1))
    def test_shares(self, text: str) -> None:
        """All the ways in which a beginning goes on are, taken together, as likely as it is."""
        known = uncoded()
        here, on = known._after(text), together(known, [text + character for character in ALPHABET])
        longer = known._lengths > len(text)

        assert on[longer] == pytest.approx(here[longer])

    def test_shares_of_codes(self) -> None:
        """All codes there are, listed or not, are together never more than certain, and nearly all of it is listed."""
        known = prior("SK")
        pairs = [one + other for one in LETTER for other in LETTER]
        coded = [number for number, one in enumerate(known._start) if number in known._ends[0, 2]]
        listed = {text for first, text in known._codes if first == 0}
        every, some = (together(known, texts)[coded] for texts in (pairs, listed))

        assert (every <= known._start[coded] * (1 + 1e-9)).all()
        assert (some > 0.9 * known._start[coded]).all()

    @settings(max_examples=10, deadline=None)
    @given(st.sampled_from("0A"), st.integers(4, 6))
    def test_everything_together(self, kind: str, length: int) -> None:
        """One free shape and its exceptions share out, over all texts, what is certain and not more."""
        known = Prior([shape(*((DIGIT,) if kind == "0" else (LETTER,)) * length)])
        each = known._after(kind * length)[0]

        assert (10 if kind == "0" else 26) ** length * each == pytest.approx(known._start[0])


class TestAny:
    """Whatever is asked."""

    @settings(deadline=None)
    @given(TEXTS)
    def test_finite(self, text: str) -> None:
        """There is a finite answer for every text, with and without anything known."""
        for known in (prior("ES", "DE"), Prior([])):
            assert math.isfinite(known.of(text))
            assert math.isfinite(known.of_beginning(text))

    @settings(max_examples=10, deadline=None)
    @given(st.lists(TEXTS, max_size=5))
    def test_remembers_nothing_that_matters(self, texts: list[str]) -> None:
        """The answers are the same whatever was asked before, and after forgetting."""
        known, fresh = prior("ES", "SK"), Prior(formats.shapes(["ES", "SK"]))
        before = [(known.of(text), known.of_beginning(text)) for text in texts]
        known.forget()
        after = [(known.of(text), known.of_beginning(text)) for text in reversed(texts)]

        assert before == after[::-1] == [(fresh.of(text), fresh.of_beginning(text)) for text in texts]

    def test_other_lengths(self) -> None:
        """Shapes shorter or longer than what is looked for are left out, and do no harm."""
        known = Prior([shape(*(DIGIT,) * (SHORTEST - 1)), shape(*(DIGIT,) * (LONGEST + 1)), shape(*(LETTER,) * 5)])

        assert 1 == len(known._start)
        assert known.of("ABCDE") > known.of("12345")

    def test_letter_or_digit(self) -> None:
        """A position that takes both takes either alike."""
        known = Prior([shape(LETTER, DIGIT, DIGIT, ALPHABET, LETTER)])

        assert known._after("A12BC").sum() == pytest.approx(known._after("A123C").sum())

    @pytest.mark.parametrize("code", ["ES", "DE", "SK", "GB", "FR", "PT"])
    def test_every_example(self, code: str) -> None:
        """Any text of a shape that is often met speaks for a plate rather than against one."""
        for one in sorted(formats.shapes([code]), key=lambda each: each.weight)[-3:]:
            text = [min(cell) for cell in one.cells]
            for first, listed in one.codes:
                text[first : first + len(min(listed))] = min(listed)

            assert prior(code).of("".join(text)) > 0
