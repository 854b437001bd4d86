"""How well and how dearly plates are read, by any chain of engines, through the real reader's desk and its children.

The photos lie in a folder with a file `labels.csv`: the columns `file`, `x`, `y`, `w`, `h` and `plate`; the rest of the
box is not used. Each photo is read as the daemon would read it. What counts as exact, wrong or nothing is said in
`scores`. "Failed" is a photo for which no engine could be asked.

The processor time is that of the reader's processes and of the programs that they started, in hundredths of a second;
one that was replaced charges its start to the photo after it. The memory is that of the largest process, without the
programs that it started. The time to the first answer is the median of a few fresh processes; the first photo is read
by all of them, and then once more among the others.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from tests.bench.measuring import Figure, Section, cost, options, share, spent
from tests.bench.scores import (
    Answer,
    Label,
    Score,
    levels,
    markdown_table,
    miss,
    miss_line,
    rows,
    scores,
    text_table,
)
from watcher import logs
from watcher.bootstrap import lone_chain
from watcher.chain import Chain
from watcher.clocks import real_clocks
from watcher.errors import ChildLost, WatcherError
from watcher.model import Reading, Request
from watcher.settings import Settings, environment, load

log = structlog.get_logger()

STARTS = 3


@dataclass(frozen=True)
class Report:
    """All that was measured.

    Attributes:
        engines: The chain, in order.
        believable: The confidence that counts as sure.
        answers: One for each photo.
        scores: One for each folder, and one for all.
        first_answer: Seconds from the start of a fresh process to its first answer.
        peak: Of the largest process, in MB.

    """

    engines: tuple[str, ...]
    believable: float
    answers: tuple[Answer, ...]
    scores: tuple[Score, ...]
    first_answer: float
    peak: float

    @property
    def misses(self) -> list[Answer]:
        """The answers that are not exact."""
        return [answer for answer in self.answers if not answer.exact]


class Reader:
    """A chain of engines whose processes are watched while it reads."""

    def __init__(self, settings: Settings) -> None:
        """Start nothing yet."""
        self._chain = lone_chain(settings, real_clocks())
        self.peak = 0.0

    def answer(self, label: Label, path: Path) -> Answer:
        """Read the photo at *path*."""
        before = {pid: spent(pid) for pid in _processes(self._chain)}
        began = time.monotonic()
        reading = _read(self._chain, path)
        seconds = time.monotonic() - began
        now = _processes(self._chain)
        self.peak = max([self.peak, *(cost(pid).peak for pid in now)])
        return Answer(
            label,
            (reading.text or "") if reading else "",
            reading.confidence if reading else None,
            reading.candidates if reading else (),
            cpu=sum(spent(pid) - before.get(pid, 0.0) for pid in now),
            seconds=seconds,
            failed=reading is None,
        )

    def close(self) -> None:
        """End its processes."""
        self._chain.close()


def measure(folder: Path, settings: Settings, *, most: int | None = None, starts: int = STARTS) -> Report:
    """Return what the photos in *folder* are read as, *most* of each sub-folder, after so many fresh *starts*."""
    labelled = list(labels(folder, most))
    firsts = []
    for number in range(starts):
        reader = Reader(settings)
        try:
            firsts.append(reader.answer(labelled[0], folder / labelled[0].file).seconds)
            if number == starts - 1:
                answers = tuple(reader.answer(label, folder / label.file) for label in labelled)
        finally:
            reader.close()
    believable = settings.reading.believable
    found = tuple(scores(answers, believable))
    return Report(settings.reading.engines, believable, answers, found, share(firsts, 0.5), reader.peak)


def section(report: Report) -> Section:
    """Return the short form of *report*, for the table of all benchmarks."""
    figures = [Figure(f"{score.group}, {score.photos} photos", _brief(score)) for score in report.scores]
    return Section(f"reading by {', '.join(report.engines)}", figures)


def _brief(score: Score) -> str:
    shares = {"exact": score.exact, "O as 0": score.alike, "nothing": score.nothing, "wrong": score.wrong}
    told = [f"{name} {value:.1%}" for name, value in shares.items()]
    return ", ".join([*told, f"median {score.seconds[0]:.2f} s", f"90 % within {score.seconds[1]:.2f} s"])


def as_text(report: Report, *, markdown: bool = False) -> str:
    """Return the tables of *report*, for a terminal or in Markdown."""
    table = markdown_table if markdown else text_table
    about = (
        f"{', '.join(report.engines)}: first answer of a fresh process after {report.first_answer:.1f} s,"
        f" memory of a process at most {report.peak:.0f} MB; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores."
    )
    tables = table(rows(report.scores, report.believable)), table(levels(report.scores))
    return "\n\n".join([*tables, about])


def as_json(report: Report, *, misses: bool = False) -> Iterator[str]:
    """Yield one object for each score, then, if wanted, one for each of the *misses*."""
    about = {
        "engines": report.engines,
        "believable": report.believable,
        "first_answer_seconds": round(report.first_answer, 3),
        "peak_megabytes": round(report.peak, 1),
    }
    yield from (json.dumps(about | asdict(score)) for score in report.scores)
    if misses:
        yield from (json.dumps({"miss": miss(answer)}) for answer in report.misses)


def labels(folder: Path, most: int | None = None) -> Iterator[Label]:
    """Yield what `labels.csv` in *folder* says, of each sub-folder at *most* so many photos."""
    taken: dict[str, int] = {}
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            group = os.path.dirname(row["file"])
            taken[group] = taken.get(group, 0) + 1
            if most is None or taken[group] <= most:
                yield Label(row["file"], row["plate"])


def _processes(chain: Chain) -> Sequence[int]:
    """Return the ids of the processes in which the chain reads at the moment."""
    children = chain._desk._pixels, chain._desk._network
    return [child._process.pid for child in children if child._process]


def _read(chain: Chain, path: Path) -> Reading | None:
    try:
        return chain.read_file(os.fspath(path), Request())
    except (WatcherError, ChildLost) as error:
        log.warning("reading.engine_unavailable", path=os.fspath(path), reason=str(error))
        return None


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
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one object a line")
    form.add_argument("--markdown", action="store_true", help="tables in Markdown")
    given = parser.parse_args()
    if not can_be_measured(given.plates):
        parser.error("there is no folder with photos and labels.csv: name it with --plates or MATRICULA_PLATES")
    logs.configure(format="auto", level="warning", plates="show", stream=sys.stderr, environment={})
    try:
        report = measure(given.plates, settings_for(given.engines, given.config), most=given.most)
    except WatcherError as error:
        parser.error(str(error))
    lines = list(as_json(report, misses=given.misses)) if given.json else [as_text(report, markdown=given.markdown)]
    if given.misses and not given.json:
        lines += ["", *map(miss_line, report.misses)]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
