"""How well and how fast plates are read, by any chain of engines, through the real reader's desk and its children.

The photos lie in a folder with a file `labels.csv`: the columns `file`, `x`, `y`, `w`, `h` and `plate`; the rest of the
box is not used. Each photo is read as the daemon would read it. A plate counts as exact if upper-case letters and
digits are all the same, and likewise with O and 0 taken as one; "nothing" is a photo on which no plate was seen, and
"wrong" any other answer: a wrong plate is worse than none. "Failed" is a photo for which no engine could be asked. The
first photo is read twice and timed the second time.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from tests.bench.measuring import Figure, Section, options, share, show
from watcher import logs
from watcher.bootstrap import lone_chain
from watcher.chain import Chain
from watcher.clocks import real_clocks
from watcher.errors import ChildLost, WatcherError
from watcher.model import Reading, Request
from watcher.settings import Settings, environment, load

log = structlog.get_logger()


@dataclass(frozen=True)
class Label:
    """A photo below the folder, and the plate that is on it."""

    file: str
    plate: str


@dataclass(frozen=True)
class Answer:
    """What was read on a photo, empty if nothing, how many seconds it took, and whether no engine could be asked."""

    label: Label
    text: str
    seconds: float
    failed: bool


def measure(folder: Path, settings: Settings, *, most: int | None = None, told: bool = False) -> Section:
    """Return the figures for the photos in *folder*, *most* of each sub-folder; misses are listed if *told*."""
    answers = list(_answers(folder, settings, list(_labels(folder, most))))
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(os.path.dirname(answer.label.file) or ".", []).append(answer)
    if len(groups) > 1:
        groups["all"] = answers
    missed = "\n".join(_missed(answer) for answer in answers if not _is_exact(answer)) if told else ""
    return _section(", ".join(settings.reading.engines), groups, missed)


def plain(text: str | None) -> str:
    """Return the letters and digits of *text* in upper case."""
    return re.sub("[^A-Z0-9]", "", (text or "").upper())


def _labels(folder: Path, most: int | None) -> Iterator[Label]:
    taken: dict[str, int] = {}
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            group = os.path.dirname(row["file"])
            taken[group] = taken.get(group, 0) + 1
            if most is None or taken[group] <= most:
                yield Label(row["file"], row["plate"])


def _answers(folder: Path, settings: Settings, labels: Sequence[Label]) -> Iterator[Answer]:
    chain = lone_chain(settings, real_clocks())
    try:
        _read(chain, folder / labels[0].file)
        for label in labels:
            began = time.monotonic()
            reading = _read(chain, folder / label.file)
            text = plain(reading.text) if reading else ""
            yield Answer(label, text, time.monotonic() - began, failed=reading is None)
    finally:
        chain.close()


def _read(chain: Chain, path: Path) -> Reading | None:
    try:
        return chain.read_file(os.fspath(path), Request())
    except (WatcherError, ChildLost) as error:
        log.warning("reading.engine_unavailable", path=os.fspath(path), reason=str(error))
        return None


def _section(title: str, groups: Mapping[str, Sequence[Answer]], notes: str) -> Section:
    return Section(
        title, [Figure(f"{name}, {len(group)} photos", _sum(group)) for name, group in groups.items()], notes
    )


def _sum(answers: Sequence[Answer]) -> str:
    """Return all that is to be said about the *answers* of one folder."""
    exact = sum(map(_is_exact, answers))
    alike = sum(_alike(answer.text) == _alike(plain(answer.label.plate)) for answer in answers)
    failed = sum(answer.failed for answer in answers)
    nothing = sum(not answer.text for answer in answers) - failed
    seconds = [answer.seconds for answer in answers]
    counts = {"exact": exact, "O as 0": alike, "nothing": nothing, "wrong": len(answers) - exact - nothing - failed}
    if failed:
        counts["failed"] = failed
    shares = [f"{name} {count / len(answers):.1%}" for name, count in counts.items()]
    return ", ".join([*shares, f"median {share(seconds, 0.5):.2f} s", f"90 % within {share(seconds, 0.9):.2f} s"])


def _is_exact(answer: Answer) -> bool:
    return answer.text == plain(answer.label.plate)


def _missed(answer: Answer) -> str:
    return f"{answer.label.file}: {answer.label.plate} was read as {answer.text or 'nothing'}"


def _alike(text: str) -> str:
    return text.replace("O", "0")


def settings_for(chain: str, config: Path | None = None) -> Settings:
    """Return the settings in *config*, or the defaults, with this *chain* of engines unless it is empty."""
    chosen = {"WATCHER_READING__ENGINES": chain} if chain else {}
    return load(config=config, environment=environment() | chosen)


def plates_option(parser: argparse.ArgumentParser) -> None:
    """Let the command line, or else MATRICULA_PLATES, say where the photos are."""
    place = os.environ.get("MATRICULA_PLATES") or None
    parser.add_argument("--plates", type=Path, default=place, help="the folder with labels.csv; else MATRICULA_PLATES")


def can_be_measured(folder: Path | None) -> bool:
    """Return whether there are photos with known plates in *folder*."""
    return folder is not None and (folder / "labels.csv").is_file()


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__, works=False)
    plates_option(parser)
    parser.add_argument("--engines", default="", help="a chain such as rapidocr,tesseract; else what the settings say")
    parser.add_argument("--config", type=Path, help="the settings")
    parser.add_argument("--most", type=int, help="photos of each sub-folder")
    parser.add_argument("--misses", action="store_true", help="list what was not read exactly")
    given = parser.parse_args()
    if not can_be_measured(given.plates):
        parser.error("there is no folder with photos and labels.csv: name it with --plates or MATRICULA_PLATES")
    logs.configure(format="auto", level="warning", plates="show", stream=sys.stderr, environment={})
    try:
        settings = settings_for(given.engines, given.config)
        show(measure(given.plates, settings, most=given.most, told=given.misses))
    except WatcherError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
