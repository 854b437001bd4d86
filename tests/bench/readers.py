"""How many photos a second the whole daemon reads with two readers, against two processes that only ask the engine.

Both read the same photos in the same run, the bare ones before the daemon and after it: drawn ones, or those of a
folder with `labels.csv`. The bare processes decode each photo and hand it to the engine, with the options and the
environment that the readers give it, and do nothing else: no limits, no pipes, no journal, no register. Both are
counted once they are warm: the daemon from the row by which each reader has answered, the bare ones from when each has
read a photo. The share that the line reaches is what all its promises cost. On a busy machine the processor time is
the figure to compare.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path

from tests.acceptance.house import House
from tests.bench.accuracy import can_be_measured, labels, plates_option
from tests.bench.measuring import Figure, Rows, Section, options, said, scratch, show
from tests.plate_photos import photo
from watcher import engines
from watcher.child.process import _ENVIRONMENT
from watcher.model import Request
from watcher.options import reader_options
from watcher.pictures import open_picture
from watcher.settings import Settings, load

Process = subprocess.Popen[str]

READERS = 2
_PATIENCE = 900.0


def measure(folder: Path, *, engine: str = "rapidocr", photos: int = 60, plates: Path | None = None) -> Section:
    """Return the figures for so many *photos*, drawn, or of the labelled ones in *plates*."""
    given = _written(folder / "photos", photos, plates)
    house = House(
        folder / "line",
        f"readers = {READERS}\n[inbox]\nsidecar_wait_seconds = 0\nduplicate_window_hours = 0\n",
        engines=f'["{engine}"]',
    )
    settings = load(config=house.config, environment={})
    before, dear = _costing(partial(_bare, settings, given), photos)
    line, spent = _costing(partial(_line, house, given), photos)
    after, _ = _costing(partial(_bare, settings, given), photos)
    alone = (before + after) / 2
    return Section(
        f"{len(given)} photos read by {engine}, {READERS} at a time",
        [
            Figure("photos a second through the daemon", f"{line:.2f}"),
            Figure(f"photos a second, bare engine in {READERS} processes", f"{alone:.2f}"),
            Figure("the daemon against it", f"{line / alone:.2f}", "≥ 0.9"),
            Figure("processor per photo, start included, daemon", f"{spent:.2f} s"),
            Figure("processor per photo, start included, bare engine", f"{dear:.2f} s"),
        ],
    )


def _written(folder: Path, photos: int, plates: Path | None) -> list[Path]:
    """Write so many *photos* into *folder*, those of *plates* again and again if they are fewer."""
    folder.mkdir(parents=True)
    if plates is None:
        pictures = [photo(f"{1000 + number} BCD") for number in range(photos)]
    else:
        pictures = list(islice(cycle((plates / label.file).read_bytes() for label in labels(plates)), photos))
    paths = [folder / f"{number:05}.jpg" for number in range(photos)]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(picture)
    return paths


def _costing(loop: Callable[[], float], photos: int) -> tuple[float, float]:
    """Return the rate of *loop*, and the seconds of a core that its processes used for each of the *photos*."""
    before = _used()
    return loop(), (_used() - before) / photos


def _used() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def _line(house: House, photos: Sequence[Path]) -> float:
    """Return how many photos a second become rows, once each reader is warm."""
    for path in photos:
        (house.inbox / path.name).write_bytes(path.read_bytes())
    with house.running():
        Rows(house.register).wait(len(photos), _PATIENCE)
    moments = list(said(house, "register.appended"))
    warm = min(2 * READERS, len(photos) // 2)
    return (len(photos) - warm) / (moments[-1] - moments[warm - 1])


def _bare(settings: Settings, photos: Sequence[Path]) -> float:
    """Return how many photos a second the engine reads in so many processes that do nothing else."""
    given = reader_options(settings)
    (engine,) = given.engines
    with ExitStack() as stack:
        processes = [stack.enter_context(_bare_process()) for _ in range(READERS)]
        for number, process in enumerate(processes):
            work = {
                "engine": engine,
                "options": given.options[engine],
                "max_pixels": given.max_pixels,
                "photos": [str(path) for path in photos[number::READERS]],
            }
            _tell(process, json.dumps(work))
        for process in processes:
            _hear(process, "warm")
        began = time.monotonic()
        for process in processes:
            _tell(process, "go")
        for process in processes:
            _hear(process, "done")
        return len(photos) / (time.monotonic() - began)


@contextmanager
def _bare_process() -> Iterator[Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.readers", "--bare"],
        cwd=Path(__file__).parents[2],
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _tell(process: Process, word: str) -> None:
    assert process.stdin
    process.stdin.write(word + "\n")
    process.stdin.flush()


def _hear(process: Process, word: str) -> None:
    assert process.stdout
    heard = process.stdout.readline().strip()
    if heard != word:
        raise RuntimeError(f"a bare process said {heard!r} and not {word!r}")


def bare() -> None:
    """Be a bare process: take the work from standard input, read a photo, and on a word all of them."""
    work = json.loads(sys.stdin.readline())
    out, sys.stdout = sys.stdout, sys.stderr  # what engines print is no word of ours
    engine = engines.load(work["engine"], work["options"])

    def read(path: str) -> None:
        engine.read(open_picture(Path(path).read_bytes(), max_pixels=work["max_pixels"]), Request())

    read(work["photos"][0])
    print("warm", file=out, flush=True)
    sys.stdin.readline()
    for path in work["photos"]:
        read(path)
    print("done", file=out, flush=True)


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    plates_option(parser)
    parser.add_argument("--engine", default="rapidocr", help="a local engine")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.bare:
        bare()
        return
    plates = given.plates if can_be_measured(given.plates) else None
    with scratch(given.folder) as folder:
        show(measure(folder, engine=given.engine, photos=given.photos, plates=plates))


if __name__ == "__main__":
    main()
