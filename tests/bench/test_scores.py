"""What readings are worth is counted rightly, and laid out as people and programs read it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.scores import (
    Answer,
    Label,
    distance,
    levels,
    markdown_table,
    miss,
    miss_line,
    plain,
    rows,
    scores,
    text_table,
)
from watcher.model import Candidate

WORDS = st.text("ABCO01", max_size=8)


def answer(plate: str, text: str, confidence: float | None = None, *, file: str = "eu/1.jpg", **more: object) -> Answer:
    """Return an answer for a photo with that *plate*."""
    return Answer(Label(file, plate), text, confidence, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("", "", 0), ("", "ABC", 3), ("ABC", "", 3), ("1234BCD", "1234BCD", 0), ("KITTEN", "SITTING", 3), ("AB", "BA", 2)],
)
def test_a_distance_counts_changes(one: str, other: str, expected: int) -> None:
    """Adding, removing and replacing a character each count as one."""
    assert expected == distance(one, other)


@given(WORDS, WORDS, WORDS)
def test_distances_are_distances(one: str, other: str, third: str) -> None:
    """They are the same both ways, zero only between the same texts, and no way round is shorter."""
    assert distance(one, other) == distance(other, one)
    assert (distance(one, other) == 0) == (one == other)
    assert distance(one, third) <= distance(one, other) + distance(other, third)
    assert abs(len(one) - len(other)) <= distance(one, other) <= max(len(one), len(other))


def test_only_letters_and_digits_are_compared() -> None:
    """Case, hyphens and spaces are no mistakes; O for 0 is one, but is counted apart."""
    assert "AB1234" == plain("ab-12 34.")
    assert "A0B0" == plain("aob0", zeros=True)
    assert answer("AB-123", "ab123").exact
    assert (False, True) == (answer("B0B", "BOB").exact, answer("B0B", "BOB").alike)


def test_every_answer_is_one_of_four_things() -> None:
    """Exact, nothing, wrong and failed make up the whole; a photo without a plate is exact if nothing was read."""
    (score,) = scores(
        [
            answer("AAA111", "AAA111", 0.9),
            answer("AAA111", ""),
            answer("AAA111", "AAA112", 0.6),
            answer("AAA111", "", failed=True),
            answer("", ""),
            answer("", "BBB222", 0.9),
            answer("", "", failed=True),
            answer("AAAOOO", "AAA000", 0.9),
        ],
        0.8,
    )

    assert (2 / 8, 3 / 8, 1 / 8, 3 / 8, 2 / 8) == (score.exact, score.alike, score.nothing, score.wrong, score.failed)
    assert 1.0 == score.exact + score.nothing + score.wrong + score.failed
    assert ("eu", 8) == (score.group, score.photos)


def test_characters_are_counted_against_those_of_the_plate() -> None:
    """Nothing read is all of them wrong; the mean is that over photos."""
    (score,) = scores([answer("AB12", "AB12"), answer("AB12", ""), answer("AB12", "AB1"), answer("", "A")], 0.8)

    assert (0 + 1 + 0.25 + 1) / 4 == score.character_error


def test_confidence_is_worth_what_is_right_above_it() -> None:
    """Coverage falls as the threshold rises; an answer without a figure is sure; believable has its own line."""
    answers = [
        answer("A1", "A1", 0.95),
        answer("A1", "A2", 0.8),
        answer("A1", "A1", 0.5),
        answer("A1", "A1", None),
        answer("A1", "", 1.0),
    ]
    (score,) = scores(answers, 0.85)
    found = {level.threshold: (level.coverage, level.accuracy) for level in score.levels}

    assert [0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.95] == list(found)
    assert ((4 / 5, 3 / 4), (3 / 5, 2 / 3), (2 / 5, 1.0)) == (found[0.0], found[0.8], found[0.85])
    assert (2 / 5, 0) == (score.sure, score.sure_wrong)
    (other,) = scores(answers, 0.8)
    assert (3 / 5, 1) == (other.sure, other.sure_wrong)


def test_where_nothing_was_read_nothing_is_right() -> None:
    """There is no accuracy of no answers."""
    (score,) = scores([answer("A1", "")], 0.8)

    assert {None} == {level.accuracy for level in score.levels}
    assert ["wrong among sure", "-"] in rows([score], 0.8)
    assert ["from 0.5", "0.0% / -"] in levels([score])


def test_folders_are_told_apart() -> None:
    """Each has its score, and all together one more; a single folder has no other; costs are those that are usual."""
    answers = [answer("A1", "A1", file=f"eu/{number}.jpg", cpu=number / 10, seconds=1.0) for number in range(1, 11)]
    found = scores([*answers, answer("A1", "A2", file="us/1.jpg", cpu=9.0), answer("A1", "A1", file="1.jpg")], 0.8)

    assert [("eu", 10), ("us", 1), (".", 1), ("all", 12)] == [(score.group, score.photos) for score in found]
    assert ((0.5, 0.9), (1.0, 1.0)) == (found[0].cpu, found[0].seconds)
    assert ["eu"] == [score.group for score in scores(answers, 0.8)]


def test_tables_have_a_column_for_every_group() -> None:
    """On a terminal figures stand below each other; in Markdown they are cells."""
    found = scores([answer("A1", "A1", 0.9), answer("A1", "A2", 0.9, file="us/1.jpg", cpu=1.234)], 0.8)
    cells = rows(found, 0.8)
    lines = text_table(cells).splitlines()
    marked = markdown_table(cells).splitlines()

    assert ["", "eu", "us", "all"] == cells[0]
    assert 1 == len({len(line) for line in lines})
    assert ["exact", "100.0%", "0.0%", "50.0%"] == lines[2].split()
    assert ["| | eu | us | all |", "| --- | ---: | ---: | ---: |"] == marked[:2]
    assert "| sure (from 0.8) | 100.0% | 100.0% | 100.0% |" in marked
    assert "| wrong among sure | 0.0% (0) | 100.0% (1) | 50.0% (1) |" in marked
    assert "| processor per photo, median / 90 % | 0.00 / 0.00 s | 1.23 / 1.23 s | 0.00 / 1.23 s |" in marked
    assert not any("failed" in line for line in marked)
    failed = scores([answer("A1", "", failed=True)], 0.8)
    assert ["failed", "100.0%"] in rows(failed, 0.8)


def test_scores_and_misses_can_be_written_as_json() -> None:
    """Programs get the same figures, and of a miss all that was considered."""
    (score,) = scores([answer("A1", "A1", 0.9)], 0.8)
    missed = answer("A1", "A2", 0.6, candidates=(Candidate("A1", 0.4), Candidate("A3")))

    assert 1.0 == json.loads(json.dumps(asdict(score)))["exact"]
    assert ("A2", 0.6, [["A1", 0.4], ["A3", None]]) == tuple(
        json.loads(json.dumps(miss(missed)))[key] for key in ("read", "confidence", "candidates")
    )
    assert "eu/1.jpg: A1 was read as A2 (0.60), or A1 (0.40), A3" == miss_line(missed)
    assert "eu/1.jpg: A1 was read as nothing" == miss_line(answer("A1", ""))
    assert "eu/1.jpg: A1 was read as failed" == miss_line(answer("A1", "", failed=True))
