"""What every benchmark needs: photos, what a process costs, figures and their tables.

Nothing here judges. A figure stands beside what is aimed at and the load of the machine; people read the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil
from pathlib import Path

from tests.acceptance.house import House
from tests.makers import jpeg

_SEGMENT = 65_000
_TICK = os.sysconf("SC_CLK_TCK")
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Figure:
    """One thing that was measured: *what*, its *value* as people read it, and what is aimed at."""

    what: str
    value: str
    aim: str = ""


@dataclass(frozen=True)
class Section:
    """The figures of one benchmark under its *title*, and the load of the machine when they had been taken.

    *notes* is text that follows the table as it is.
    """

    title: str
    figures: Sequence[Figure]
    notes: str = ""
    load: float = field(default_factory=lambda: os.getloadavg()[0])


def photo(number: int, size: int, start: bytes | None = None) -> bytes:
    """Return a whole JPEG of *size* bytes, different for each *number*: *start*, a small JPEG, with comments in it."""
    start = jpeg() if start is None else start
    comments = [f"photo {number:09}".encode()]
    missing = size - len(start) - len(comments[0]) - 4
    while missing > 4:
        piece = min(missing - 4, _SEGMENT)
        comments.append(_filling()[:piece])
        missing -= piece + 4
    segments = b"".join(b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment for comment in comments)
    return start[:2] + segments + start[2:]


def _filling(kept: list[bytes] = []) -> bytes:  # noqa: B006 (made once)
    """Return random bytes without any 0xFF, so that they hold no marker."""
    if not kept:
        kept.append(random.Random(1).randbytes(_SEGMENT).replace(b"\xff", b"\x00"))  # noqa: S311 (filling)
    return kept[0]


class Rows:
    """Counts the rows of a register, reading only what was added since the last time."""

    def __init__(self, register: Path) -> None:
        self._register = register
        self._read = 0
        self._lines = 0

    def count(self) -> int:
        """Return how many rows there are."""
        try:
            if self._register.stat().st_size == self._read:
                return max(0, self._lines - 1)
            with self._register.open("rb") as file:
                file.seek(self._read)
                added = file.read()
        except FileNotFoundError:
            return 0
        self._read += len(added)
        self._lines += added.count(b"\n")
        return max(0, self._lines - 1)

    def wait(self, number: int, seconds: float) -> None:
        """Return once there are *number* rows.

        Raises:
            TimeoutError: There are not, after *seconds*.

        """
        if not until(lambda: self.count() >= number, seconds):
            raise TimeoutError(f"{self.count()} of {number} rows after {seconds:g} s")


def until(holds: Callable[[], object], seconds: float, every: float = 0.002) -> bool:
    """Return whether *holds* became true within *seconds*, asked *every* so many."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        pause(every)
    return True


def pause(seconds: float) -> None:
    """Let the other processes work."""
    threading.Event().wait(seconds)


@dataclass(frozen=True)
class Cost:
    """What a process has cost so far, as the kernel counts it: seconds of a core, MB resident now and at most."""

    cpu: float
    resident: float
    peak: float


def cost(pid: int) -> Cost:
    """Return what the process *pid*, without its children, has cost so far; see proc(5)."""
    times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    facts = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines())
    resident, peak = (int(facts[name].split()[0]) * 1024 / _MEGABYTE for name in ("VmRSS", "VmHWM"))
    return Cost((int(times[11]) + int(times[12])) / _TICK, resident, peak)


def spent(pid: int) -> float:
    """Return the seconds of a core that the process *pid* has used so far, with what its ended children used."""
    times = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(map(int, times[11:15])) / _TICK


def first_said(house: House, event: str) -> float | None:
    """Return the wall-clock second at which *event* was logged first, none if it was not."""
    return next(said(house, event), None)


def said(house: House, event: str) -> Iterator[float]:
    """Yield the wall-clock seconds at which *event* was logged."""
    with house.log.open("rb") as log:
        for line in log:
            if event.encode() in line and line.endswith(b"\n"):
                fact = json.loads(line)
                if fact["event"] == event:
                    yield datetime.fromisoformat(fact["timestamp"]).timestamp()


def share(values: Sequence[float], part: float) -> float:
    """Return the value that *part* of *values* do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, ceil(part * len(ordered)) - 1)]


def histogram(values: Sequence[float], *, step: float, width: int = 50) -> str:
    """Return how *values* are distributed, a line for each *step*."""
    counts: dict[int, int] = {}
    for value in values:
        counts[int(value / step)] = counts.get(int(value / step), 0) + 1
    most = max(counts.values())
    lines = []
    for place in range(min(counts), max(counts) + 1):
        count = counts.get(place, 0)
        lines.append(f"{place * step:7.3f} s  {'#' * ceil(count * width / most):{width}} {count or ''}".rstrip())
    return "\n".join(lines)


def table(sections: Sequence[Section]) -> str:
    """Return the figures as one table in Markdown, followed by the notes.

    The load is that of the last minute: a benchmark alone adds one or two to it, what is more comes from others.
    """
    lines = [f"{os.cpu_count()} cores, {datetime.now().astimezone():%Y-%m-%d %H:%M}", ""]
    lines += ["| Benchmark | Load | What | Measured | Aimed at |", "|---|---:|---|---:|---:|"]
    for section in sections:
        start = f"| {section.title} | {section.load:.1f} |"
        lines += [f"{start} {one.what} | {one.value} | {one.aim} |" for one in section.figures]
    for section in sections:
        if section.notes:
            lines += ["", f"{section.title}:", "", "```", section.notes, "```"]
    return "\n".join(lines) + "\n"


def show(*sections: Section) -> None:
    """Write the table."""
    sys.stdout.write(table(sections))
    sys.stdout.flush()


@contextmanager
def scratch(where: Path | None) -> Iterator[Path]:
    """Give an empty folder, below *where* if given, that goes with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="matricula-bench-", dir=where) as folder:
        yield Path(folder)


def options(description: str | None, *, works: bool = True) -> argparse.ArgumentParser:
    """Return a command line with what all benchmarks have in common; one that *works* needs a folder."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if works:
        parser.add_argument("--folder", type=Path, help="where to work: on the disk that is to be measured")
    return parser
