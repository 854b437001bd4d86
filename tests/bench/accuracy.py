"""How well and how fast plates are read, by any chain of engines, through the real reader's desk and its children.

The photos lie in a folder with a file `labels.csv`: the columns `file`, `x`, `y`, `w`, `h` and `plate`; the rest of the
box is not used. Each photo is read as the daemon would read it. A plate counts as exact if upper-case letters and
digits are all the same, and likewise with O and 0 taken as one; "nothing" is a photo on which no plate was seen, and
"wrong" any other answer: a wrong plate is worse than none. The first photo is read twice and timed the second time.
"""

from __future__ import annotations

import csv
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.measuring import Figure, Section, options, share, show
from watcher.bootstrap import lone_chain
from watcher.chain import Chain
from watcher.clocks import real_clocks
from watcher.errors import ChildLost, WatcherError
from watcher.model import Reading, Request
from watcher.settings import Settings, environment, load


@dataclass(frozen=True)
class Label:
    """A photo below the folder, and the plate that is on it."""

    file: str
    plate: str


@dataclass(frozen=True)
class Answer:
    """What was read on a photo, empty if nothing, and how many seconds it took."""

    label: Label
    text: str
    seconds: float


def measure(folder: Path, settings: Settings, *, most: int | None = None, told: bool = False) -> list[Section]:
    """Return the figures for the photos in *folder*, *most* of each sub-folder; misses are listed if *told*."""
    answers = list(_answers(folder, settings, list(_labels(folder, most))))
    chain = ", ".join(settings.reading.engines)
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(os.path.dirname(answer.label.file) or ".", []).append(answer)
    if len(groups) > 1:
        groups["all"] = answers
    sections = [_section(f"{chain}: {name}", group) for name, group in groups.items()]
    missed = "\n".join(_missed(answer) for answer in answers if not _is_exact(answer))
    return [*sections[:-1], replace(sections[-1], notes=missed)] if told else sections


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
            text = plain(_read(chain, folder / label.file).text)
            yield Answer(label, text, time.monotonic() - began)
    finally:
        chain.close()


def _read(chain: Chain, path: Path) -> Reading:
    try:
        return chain.read_file(os.fspath(path), Request())
    except (WatcherError, ChildLost):
        return Reading(None)


def _section(title: str, answers: Sequence[Answer]) -> Section:
    exact = sum(map(_is_exact, answers))
    alike = sum(_alike(answer.text) == _alike(plain(answer.label.plate)) for answer in answers)
    nothing = sum(not answer.text for answer in answers)
    seconds = [answer.seconds for answer in answers]
    return Section(
        title,
        [
            Figure("photos", str(len(answers))),
            Figure("exact", _of(exact, answers)),
            Figure("exact, O as 0", _of(alike, answers)),
            Figure("nothing", _of(nothing, answers)),
            Figure("wrong", _of(len(answers) - nothing - exact, answers)),
            Figure("median", f"{share(seconds, 0.5):.2f} s"),
            Figure("90 of 100 within", f"{share(seconds, 0.9):.2f} s"),
        ],
    )


def _is_exact(answer: Answer) -> bool:
    return answer.text == plain(answer.label.plate)


def _missed(answer: Answer) -> str:
    return f"{answer.label.file}: {answer.label.plate} was read as {answer.text or 'nothing'}"


def _alike(text: str) -> str:
    return text.replace("O", "0")


def _of(count: int, answers: Sequence[Answer]) -> str:
    return f"{count} ({count / len(answers):.1%})"


def settings_for(chain: str, config: Path | None = None) -> Settings:
    """Return the settings in *config*, or the defaults, with this *chain* of engines unless it is empty."""
    chosen = {"WATCHER_READING__ENGINES": chain} if chain else {}
    return load(config=config, environment=environment() | chosen)


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    place = os.environ.get("MATRICULA_PLATES")
    parser.add_argument("--plates", type=Path, default=place, help="the folder with labels.csv; else MATRICULA_PLATES")
    parser.add_argument("--engines", default="", help="a chain such as rapidocr,tesseract; else what the settings say")
    parser.add_argument("--config", type=Path, help="the settings")
    parser.add_argument("--most", type=int, help="photos of each sub-folder")
    parser.add_argument("--misses", action="store_true", help="list what was not read exactly")
    given = parser.parse_args()
    if given.plates is None or not (given.plates / "labels.csv").exists():
        parser.error("there is no folder with photos and labels.csv: name it with --plates or MATRICULA_PLATES")
    show(*measure(given.plates, settings_for(given.engines, given.config), most=given.most, told=given.misses))


if __name__ == "__main__":
    main()
