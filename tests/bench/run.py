"""Run all benchmarks, one after another, and print one table in Markdown.

In short form, which takes a minute or two and shows the order of things; with `--full` in the form that figures are
quoted from, which takes about a quarter of an hour. How accurate the engines read is measured too if `--plates` or
MATRICULA_PLATES says where photos with known plates are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.bench import accuracy, answers, burst, latency, million, rest, start
from tests.bench.measuring import Figure, Section, options, scratch, show


def short(folder: Path) -> Iterator[Section]:
    """Yield the figures of all benchmarks in short form."""
    yield burst.measure(folder / "burst", photos=500, floor=50)
    yield answers.measure(folder / "answers", photos=60)
    yield from latency.measure(folder / "latency", photos=15)
    yield from start.measure(folder / "start", starts=3, waiting=3000, seconds=5.0)
    yield rest.measure(folder / "rest", seconds=10.0)
    yield from million.measure(folder / "million", rows=100_000, photos=200)


def full(folder: Path) -> Iterator[Section]:
    """Yield the figures of all benchmarks as they are quoted."""
    yield burst.measure(folder / "burst")
    yield answers.measure(folder / "answers")
    yield from latency.measure(folder / "latency")
    yield from start.measure(folder / "start")
    yield rest.measure(folder / "rest")
    yield from million.measure(folder / "million")


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--full", action="store_true", help="measure long enough for figures to be quoted")
    accuracy.plates_option(parser)
    parser.add_argument("--engines", default="", help="the chain whose accuracy is measured")
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        sections = list(full(folder) if given.full else short(folder))
    if accuracy.can_be_measured(given.plates):
        settings = accuracy.settings_for(given.engines)
        report = accuracy.measure(given.plates, settings, most=None if given.full else 10)
        sections.append(accuracy.section(report))
    else:
        sections.append(Section("accuracy", [Figure("photos with known plates", "none given", "see --plates")]))
    show(*sections)


if __name__ == "__main__":
    main()
