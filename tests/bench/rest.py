"""What the daemon costs while nothing happens: processor and memory on an empty inbox, and after a small burst.

The processor time is what the kernel counts in /proc/PID/stat, in hundredths of a second, so a short measurement is a
coarse one. The memory is what is resident of the daemon itself; no engine is configured, so it has no children.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.acceptance.house import House
from tests.bench.measuring import Figure, Rows, Section, cost, options, pause, photo, scratch, show

_SETTLING = 1.0


def measure(folder: Path, *, seconds: float = 30.0, photos: int = 200) -> Section:
    """Return the figures over *seconds*, before and after a burst of *photos*."""
    house = House(folder)
    with house.running() as daemon:
        pid = daemon.process.pid
        pause(min(_SETTLING, seconds))
        empty, fresh = _core_share(pid, seconds), cost(pid).resident
        for number in range(photos):
            (house.inbox / f"cam{number}.jpg").write_bytes(photo(number, 50_000))
        Rows(house.register).wait(photos, 120.0)
        pause(min(_SETTLING, seconds))
        after, used = _core_share(pid, seconds), cost(pid).resident
    return Section(
        f"at rest for {seconds:g} s",
        [
            Figure("processor, nothing has come yet", f"{empty:.2%} of a core", "< 1 %"),
            Figure("memory, nothing has come yet", f"{fresh:.0f} MB", "≤ 120 MB"),
            Figure(f"processor, after {photos} photos", f"{after:.2%} of a core", "< 1 %"),
            Figure(f"memory, after {photos} photos", f"{used:.0f} MB", "≤ 120 MB"),
        ],
    )


def _core_share(pid: int, seconds: float) -> float:
    before, began = cost(pid).cpu, time.monotonic()
    pause(seconds)
    return (cost(pid).cpu - before) / (time.monotonic() - began)


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        show(measure(folder, seconds=given.seconds))


if __name__ == "__main__":
    main()
