"""What readings of labelled photos are worth: counted and laid out, without reading anything. Pure.

Texts are compared by their upper-case letters and digits. A plate is *exact* if they are all the same, *alike* if they
are once O counts as 0; a photo on which nothing was read is no wrong answer: a wrong plate is worse than none. An
answer of an engine that has no confidence to tell counts as sure, as it does on the line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.bench.measuring import share
from watcher.model import Candidate

THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Label:
    """A photo below the folder, and the plate that is on it; empty where there is none."""

    file: str
    plate: str


@dataclass(frozen=True)
class Answer:
    """What was read on a photo.

    Attributes:
        label: The photo, and what should have been read.
        text: Empty if nothing was read.
        confidence: 0 to 1, or none if the engine has no idea.
        candidates: What else was considered.
        cpu: Seconds of a core that the reader's processes used.
        seconds: How long it took.
        failed: No engine could be asked.

    """

    label: Label
    text: str
    confidence: float | None = None
    candidates: tuple[Candidate, ...] = ()
    cpu: float = 0.0
    seconds: float = 0.0
    failed: bool = False

    @property
    def exact(self) -> bool:
        """Whether it is what should have been read."""
        return not self.failed and plain(self.text) == plain(self.label.plate)

    @property
    def alike(self) -> bool:
        """Whether it is but for O in the place of 0, or the other way round."""
        return not self.failed and plain(self.text, zeros=True) == plain(self.label.plate, zeros=True)

    @property
    def error(self) -> float:
        """How many characters would have to be changed, as a share of those of the plate."""
        plate = plain(self.label.plate)
        return distance(plain(self.text), plate) / max(1, len(plate))

    def reaches(self, threshold: float) -> bool:
        """Whether something was read with at least this confidence."""
        return bool(plain(self.text)) and (self.confidence is None or self.confidence >= threshold)


@dataclass(frozen=True)
class Level:
    """How many of all photos have an answer of this confidence or more, and how many of those answers are exact."""

    threshold: float
    coverage: float
    accuracy: float | None


@dataclass(frozen=True)
class Score:
    """All that is to be said about the answers of one group; shares are of its photos, unless it says otherwise.

    Attributes:
        group: The folder, or `all`.
        photos: How many.
        exact: Read as it stands there.
        alike: Likewise, O and 0 being one.
        nothing: Not read at all, where there is a plate.
        wrong: Read as something else.
        failed: No engine could be asked.
        character_error: Mean of the characters to be changed, as a share of the plate's.
        sure: Read with the confidence that is believed.
        sure_wrong: How many of those are wrong.
        levels: By rising confidence.
        cpu: Seconds of a core for one photo: the median, and what nine of ten do not exceed.
        seconds: Likewise of the clock.

    """

    group: str
    photos: int
    exact: float
    alike: float
    nothing: float
    wrong: float
    failed: float
    character_error: float
    sure: float
    sure_wrong: int
    levels: tuple[Level, ...]
    cpu: tuple[float, float]
    seconds: tuple[float, float]


def plain(text: str, *, zeros: bool = False) -> str:
    """Return the letters and digits of *text* in upper case, with every O as 0 if *zeros*."""
    kept = re.sub("[^A-Z0-9]", "", text.upper())
    return kept.replace("O", "0") if zeros else kept


def distance(one: str, other: str) -> int:
    """Return how many characters must be added, removed or replaced to make *other* of *one* (Levenshtein)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row = row, [number]
        for place, wanted in enumerate(other):
            row.append(min(before[place] + (letter != wanted), before[place + 1] + 1, row[place] + 1))
    return row[-1]


def scores(answers: Sequence[Answer], believable: float) -> list[Score]:
    """Return the score of every folder of *answers*, and of all of them if there is more than one."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(os.path.dirname(answer.label.file) or ".", []).append(answer)
    if len(groups) > 1:
        groups["all"] = list(answers)
    return [_score(group, found, believable) for group, found in groups.items()]


def _score(group: str, answers: Sequence[Answer], believable: float) -> Score:
    def part(holds: Callable[[Answer], bool]) -> float:
        return sum(map(holds, answers)) / len(answers)

    sure = [answer for answer in answers if answer.reaches(believable)]
    return Score(
        group=group,
        photos=len(answers),
        exact=part(lambda answer: answer.exact),
        alike=part(lambda answer: answer.alike),
        nothing=part(lambda answer: not (plain(answer.text) or answer.exact or answer.failed)),
        wrong=part(lambda answer: bool(plain(answer.text)) and not answer.exact),
        failed=part(lambda answer: answer.failed),
        character_error=sum(answer.error for answer in answers) / len(answers),
        sure=len(sure) / len(answers),
        sure_wrong=sum(not answer.exact for answer in sure),
        levels=tuple(_level(answers, threshold) for threshold in sorted({*THRESHOLDS, believable})),
        cpu=_usual([answer.cpu for answer in answers]),
        seconds=_usual([answer.seconds for answer in answers]),
    )


def _level(answers: Sequence[Answer], threshold: float) -> Level:
    given = [answer for answer in answers if answer.reaches(threshold)]
    right = sum(answer.exact for answer in given)
    return Level(threshold, len(given) / len(answers), right / len(given) if given else None)


def _usual(values: Sequence[float]) -> tuple[float, float]:
    return round(share(values, 0.5), 3), round(share(values, 0.9), 3)


def rows(found: Sequence[Score], believable: float) -> list[list[str]]:
    """Return a table of words: the heads, then a row for every measure with a cell for every group."""
    measures: dict[str, Callable[[Score], str]] = {
        "photos": lambda score: str(score.photos),
        "exact": lambda score: f"{score.exact:.1%}",
        "exact, O as 0": lambda score: f"{score.alike:.1%}",
        "nothing read": lambda score: f"{score.nothing:.1%}",
        "wrong": lambda score: f"{score.wrong:.1%}",
        "failed": lambda score: f"{score.failed:.1%}",
        "characters wrong": lambda score: f"{score.character_error:.1%}",
        f"sure (from {believable:g})": lambda score: f"{score.sure:.1%}",
        "wrong among sure": _wrong_among_sure,
        "processor per photo, median / 90 %": lambda score: f"{score.cpu[0]:.2f} / {score.cpu[1]:.2f} s",
        "time per photo, median / 90 %": lambda score: f"{score.seconds[0]:.2f} / {score.seconds[1]:.2f} s",
    }
    if not any(score.failed for score in found):
        del measures["failed"]
    heads = ["", *(score.group for score in found)]
    return [heads, *([name, *map(tell, found)] for name, tell in measures.items())]


def levels(found: Sequence[Score]) -> list[list[str]]:
    """Return likewise what every confidence is worth: the share that reaches it, and how much of that is exact."""
    heads = ["confidence: reached by / exact", *(score.group for score in found)]
    return [heads, *([f"from {same[0].threshold:g}", *map(_said, same)] for same in zip(*_levels(found), strict=True))]


def _levels(found: Sequence[Score]) -> list[tuple[Level, ...]]:
    return [score.levels for score in found]


def _said(level: Level) -> str:
    return f"{level.coverage:.1%} / " + ("-" if level.accuracy is None else f"{level.accuracy:.1%}")


def _wrong_among_sure(score: Score) -> str:
    sure = round(score.sure * score.photos)
    return f"{score.sure_wrong / sure:.1%} ({score.sure_wrong})" if sure else "-"


def text_table(cells: Sequence[Sequence[str]]) -> str:
    """Return *cells* as lines for a terminal."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in cells)
    return "\n".join("  ".join(line).rstrip() for line in lines)


def markdown_table(cells: Sequence[Sequence[str]]) -> str:
    """Return *cells* as a table in Markdown."""
    heads, *rest = cells
    ruler = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |", 1) for row in (heads, ruler, *rest))


def miss(answer: Answer) -> Mapping[str, object]:
    """Return the facts of an answer that is not exact."""
    return {
        "file": answer.label.file,
        "plate": answer.label.plate,
        "read": answer.text or None,
        "confidence": answer.confidence,
        "candidates": [[one.text, one.confidence] for one in answer.candidates],
        "failed": answer.failed,
    }


def miss_line(answer: Answer) -> str:
    """Return the same as a line."""
    others = ", ".join(_sureness(one.text, one.confidence) for one in answer.candidates)
    read = _sureness(answer.text, answer.confidence) if answer.text else "failed" if answer.failed else "nothing"
    return f"{answer.label.file}: {answer.label.plate} was read as {read}" + (f", or {others}" if others else "")


def _sureness(text: str, confidence: float | None) -> str:
    return text if confidence is None else f"{text} ({confidence:.2f})"
