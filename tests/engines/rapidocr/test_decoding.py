"""Tests of watcher.engines.rapidocr.decoding: what lines made by hand are read as, under the rules of countries."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.rapidocr.lattices import GAP, Slice, line, slices
from watcher import formats
from watcher.engines.rapidocr.decoding import _lattice, _likely, decode
from watcher.engines.rapidocr.prior import LONGEST, Prior
from watcher.engines.rapidocr.recognition import ALPHABET, BLANK, Look

ROUND = {"O": 0.49, "0": 0.49}
UPRIGHT = {"I": 0.49, "1": 0.49}
BENT = {"Z": 0.49, "2": 0.49}
BELLIED = {"B": 0.49, "8": 0.49}
HOOKED = {"S": 0.49, "5": 0.49}
CURLED = {"G": 0.49, "6": 0.49}


@cache
def prior(*countries: str) -> Prior:
    """Return what is known of the plates of *countries*; of all if there are none."""
    return Prior(formats.shapes(countries))


def read(*looks: Look, of: tuple[str, ...] = ()) -> str:
    """Return the likeliest plate, or nothing."""
    guesses = decode(looks, prior(*of))
    return guesses[0].text if guesses else ""


@st.composite
def any_looks(draw: st.DrawFn) -> list[Look]:
    """Give one to three looks at one line, whatever is seen in them."""
    seed, count = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 3))
    sharp = draw(st.sampled_from([0.05, 0.5, 5.0]))
    made = np.random.default_rng(seed)
    lengths = made.integers(1, 25, count)
    return [made.dirichlet([sharp] * (BLANK + 1), length).astype(np.float32) for length in lengths]


class TestClear:
    """Lines in which nothing is in doubt."""

    @pytest.mark.parametrize(
        ("plate", "country"),
        [
            ("1234BCD", "ES"),
            ("BA302OZ", "SK"),
            ("MXY123", "DE"),
            ("AB12CDE", "GB"),
            ("AA123BB", "FR"),
            ("R1234BBC", "ES"),
        ],
    )
    def test_plates(self, plate: str, country: str) -> None:
        """A clear plate is read as it stands there, with its country known or not."""
        assert plate == read(line(plate), of=(country,))
        assert plate == read(line(plate))

    def test_what_no_table_knows(self) -> None:
        """A plate of no known shape is still read, if it is clear."""
        assert "XX9XX3X" == read(line("XX9XX3X"), of=("ES",))

    def test_equal_neighbours(self) -> None:
        """Equal characters are two with nothing between them, and else one that is wide."""
        apart = slices(*"1_1_2_2_B_B_C_")
        wide = slices(*"11_2_3_4_BB_C_DD")

        assert "1122BBC" == read(apart, of=("ES",))
        assert "1234BCD" == read(wide, of=("ES",))

    def test_nothing_between(self) -> None:
        """Different characters need nothing between them."""
        assert "1234BCD" == read(slices(*"1234BCD"), of=("ES",))

    @pytest.mark.parametrize("between", [{"?": 0.97}, {"_": 0.97}, {"?": 0.5, "_": 0.47}])
    def test_strange_characters(self, between: Slice) -> None:
        """A character of no plate counts as nothing: an emblem between the groups does not hurt."""
        assert "1234BCD" == read(line("1234", between, "BCD"), of=("ES",))


class TestDoubt:
    """Characters that look alike; the national format decides."""

    @pytest.mark.parametrize(
        ("seen", "country", "plate"),
        [
            (("1234B", "C", "D"), "ES", "1234BCD"),
            (("12", ROUND, "4BCD"), "ES", "1204BCD"),
            ((UPRIGHT, "234", BELLIED, "CD"), "ES", "1234BCD"),
            (("1", BENT, "34BC", BENT), "ES", "1234BCZ"),
            ((HOOKED, "234BC", HOOKED), "ES", "5234BCS"),
            ((CURLED, "234BC", CURLED), "ES", "6234BCG"),
            (("BA3", ROUND, "2", ROUND, "Z"), "SK", "BA302OZ"),
            ((BELLIED, "A3", ROUND, "2", ROUND, BENT), "SK", "BA302OZ"),
            (("AB12", "C", ROUND, "E"), "GB", "AB12COE"),
            (("AA", BENT, "23", BELLIED, "B"), "FR", "AA223BB"),
            (("AA", BENT, UPRIGHT, ROUND, BELLIED, HOOKED), "FR", "AA210BS"),
        ],
    )
    def test_twins(self, seen: tuple[Slice, ...], country: str, plate: str) -> None:
        """Letter or digit, if equally likely, is what the place on the plate demands."""
        assert plate == read(line(*seen), of=(country,))

    def test_leaning_the_wrong_way(self) -> None:
        """What the network leans to gives way to what is permitted, where both look the same."""
        wrong = {"O": 0.9, "0": 0.08}

        assert "1204BCD" == read(line("12", wrong, "4BCD"), of=("ES",))

    def test_country_decides(self) -> None:
        """The same line is read differently where plates are different."""
        seen = line("AA", ROUND, "1", ROUND, "BC")

        assert "AA010BC" == read(seen, of=("FR",))
        assert "AA01OBC" == read(seen, of=("GB",))

    def test_codes(self) -> None:
        """A district that exists is preferred to one that does not."""
        seen = line("B", {"A": 0.45, "H": 0.53}, "302AZ")

        assert "BA302AZ" == read(seen, of=("SK",))

    def test_sight_overrules(self) -> None:
        """What is plain to see stands against a rule of the tables: they have gaps."""
        assert "1234BAD" == read(line("1234BAD"), of=("ES",))

    def test_a_bad_look(self) -> None:
        """One look that sees something else does not spoil what the others see."""
        good, bad = line("1234BCD"), line("7934PCD", sure=0.6)

        assert "1234BCD" == read(good, bad, of=("ES",))
        assert "1234BCD" == read(good, bad, good, of=("ES",))

    def test_looks_add_up(self) -> None:
        """Two looks that both are in doubt, about different characters, are sure together."""
        first = line("1234B", {"C": 0.5, "G": 0.48}, "D")
        second = line({"1": 0.5, "7": 0.48}, "234BCD")

        assert "1234BCD" == read(first, second, of=("ES",))


class TestBeside:
    """What stands beside a plate and is no part of it."""

    @pytest.mark.parametrize(
        ("seen", "country", "plate"),
        [
            ("DHHAB1234", "DE", "HHAB1234"),
            ("DWOBAB12", "DE", "WOBAB12"),
            ("IBA302AZ", "SK", "BA302AZ"),
            ("SKBA302AZ", "SK", "BA302AZ"),
            ("SKAA001AA", "SK", "AA001AA"),
        ],
    )
    def test_stripe(self, seen: str, country: str, plate: str) -> None:
        """A letter or two from the stripe before the plate are left off."""
        assert plate == read(line(seen), of=(country,))

    def test_bolt(self) -> None:
        """So is something behind the plate that was taken for a character."""
        assert "BA302AZ" == read(line("BA302AZ", {"I": 0.6, "1": 0.3}), of=("SK",))

    def test_plate_that_begins_with_it(self) -> None:
        """A letter that belongs to the plate stays: Spain has trailers with an R."""
        assert "R1234BBC" == read(line("R1234BBC"), of=("ES",))


class TestNothing:
    """Lines that hold no plate."""

    @pytest.mark.parametrize("seen", ["", "A", "AB", "12"])
    def test_short(self, seen: str) -> None:
        """What is too short for a plate is none, or hardly a guess."""
        hardly = decode([line("1234BCD")], prior("ES"))[0].score - 20

        assert [] == [guess for guess in decode([line(seen)], prior("ES")) if guess.score > hardly]

    def test_no_prior_knowledge(self) -> None:
        """Without a single shape it reads what it sees."""
        assert "1234BCD" == decode([line("1234BCD")], Prior([]))[0].text

    def test_long(self) -> None:
        """A line that is far too long holds no plate of its length, and takes no time."""
        guesses = decode([line("WVWZZZ1JZ3W386752" * 4)], prior())

        assert all(len(guess.text) <= LONGEST + 2 for guess in guesses)


class TestAny:
    """Whatever was seen."""

    @settings(max_examples=40, deadline=None)
    @given(any_looks())
    def test_guesses(self, looks: list[Look]) -> None:
        """Guesses are different texts of the alphabet with finite scores, the best first."""
        guesses = decode(looks, prior("ES", "DE", "SK"))
        texts, scores = [guess.text for guess in guesses], [guess.score for guess in guesses]

        assert len(texts) == len(set(texts))
        assert set("".join(texts)) <= set(ALPHABET)
        assert all(map(math.isfinite, scores))
        assert sorted(scores, reverse=True) == scores

    @settings(max_examples=20, deadline=None)
    @given(any_looks())
    def test_again(self, looks: list[Look]) -> None:
        """The same looks are read alike again, whatever the prior has been asked since."""
        known = prior("ES", "DE", "SK")
        first = decode(looks, known)
        known.forget()

        assert first == decode(looks, known)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.sampled_from([0.05, 1.0]))
    def test_all_texts_together(self, seed: int, length: int, sharp: float) -> None:
        """How likely the line says each text is, taken over all texts there are, is certain."""
        seen = np.random.default_rng(seed).dirichlet([sharp] * (BLANK + 1), length).astype(np.float32)
        lattice = _lattice(seen)
        texts = ["".join(text) for count in (1, 2) for text in itertools.product(ALPHABET, repeat=count)]
        nothing = math.exp(lattice[:, -1].sum())

        assert 1 == pytest.approx(nothing + np.exp(_likely(lattice, texts)).sum())

    @settings(max_examples=25, deadline=None)
    @given(any_looks())
    def test_lattice(self, looks: list[Look]) -> None:
        """What is made of a look sums to 1 in each slice, and nothing in it is impossible."""
        for look in looks:
            lattice = _lattice(look)

            assert (len(look), len(ALPHABET) + 1) == lattice.shape
            assert np.exp(lattice).sum(axis=1) == pytest.approx(1)
            assert np.isfinite(lattice).all()

    def test_a_slice(self) -> None:
        """A single slice, of something or of nothing, is no plate."""
        assert [] == decode([slices("A")], prior("ES"))
        assert [] == decode([slices(GAP)], prior("ES"))
