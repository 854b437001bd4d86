"""How soon the daemon is ready, with an empty inbox and with a large backlog, and what the backlog costs in memory.

Ready is when `daemon.ready` is logged, counted from the moment at which the process is started. The backlog is made of
small real photos, all different, in one folder; the memory is what the kernel calls resident, asked for ten times a
second while the backlog is worked on, for as long as the command line says.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.acceptance.house import House
from tests.bench.measuring import Figure, Rows, Section, cost, first_said, options, pause, photo, scratch, show

_SMALL = 2_000
_PATIENCE = 120.0


def measure(folder: Path, *, starts: int = 5, waiting: int = 100_000, seconds: float = 60.0) -> list[Section]:
    """Return the figures of *starts* on an empty inbox, and of one with *waiting* photos in it, for *seconds*."""
    return [_empty(folder / "empty", starts), _backlog(House(folder / "backlog"), waiting, seconds)]


def _empty(folder: Path, starts: int) -> Section:
    taken = []
    for number in range(starts):
        house = House(folder / str(number))
        began = time.time()
        with house.running():
            taken.append((first_said(house, "daemon.ready") or began) - began)
    taken.sort()
    return Section(
        "start on an empty inbox",
        [
            Figure(f"ready, median of {starts}", f"{taken[starts // 2]:.2f} s", "≤ 2 s"),
            Figure("ready, the slowest", f"{taken[-1]:.2f} s"),
        ],
    )


def _backlog(house: House, waiting: int, seconds: float) -> Section:
    for number in range(waiting):
        (house.inbox / f"cam{number:07}.jpg").write_bytes(photo(number, _SMALL))
    rows = Rows(house.register)
    began = time.time()
    with house.running() as daemon:
        rows.wait(1, _PATIENCE)
        seen = [cost(daemon.process.pid).resident]
        end = time.monotonic() + seconds
        while time.monotonic() < end and rows.count() < waiting:
            pause(0.1)
            seen.append(cost(daemon.process.pid).resident)
        done, peak = rows.count(), cost(daemon.process.pid).peak
        spent = time.time() - began
    first = (first_said(house, "register.appended") or began) - began
    ready = (first_said(house, "daemon.ready") or began) - began
    early, late = max(seen[: len(seen) // 2 or 1]), max(seen[len(seen) // 2 :])
    return Section(
        f"start with {waiting} photos waiting",
        [
            Figure("ready", f"{ready:.2f} s"),
            Figure("first row", f"{first:.2f} s", "≤ 10 s"),
            Figure("memory at most", f"{peak:.0f} MB", "≤ 250 MB"),
            Figure("memory, first and second half of the time", f"{early:.0f} and {late:.0f} MB", "flat"),
            Figure(f"rows a second over {spent:.0f} s", f"{done / spent:.0f}"),
        ],
    )


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long the backlog is worked on")
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        show(*measure(folder, starts=given.starts, waiting=given.waiting, seconds=given.seconds))


if __name__ == "__main__":
    main()
