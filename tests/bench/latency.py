"""How long one photo takes from its file being closed to its row being on the disk, when nothing else happens.

One photo after another is dropped into the inbox of the real daemon, at odd moments, with no engine configured. The
time runs from the moment at which the writer has closed the file to the one at which `register.appended` is logged,
which is after row and journal are synced. Three ways: the sidecar comes first; no sidecar and no waiting for one; no
sidecar and the wait for one that is the default.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.house import House
from tests.bench.burst import SIZE
from tests.bench.measuring import (
    Figure,
    Rows,
    Section,
    histogram,
    options,
    pause,
    photo,
    said,
    scratch,
    share,
    show,
)

_PATIENCE = 60.0
_STEP = 0.02


def measure(folder: Path, *, photos: int = 60, size: int = SIZE, longest_pause: float = 1.0) -> list[Section]:
    """Return the figures of the three ways, for *photos* files of *size* bytes each, with pauses between them."""
    at_once = "[inbox]\nsidecar_wait_seconds = 0\n"
    first = _latencies(House(folder / "first"), photos, size, longest_pause, sidecar=True)
    none = _latencies(House(folder / "none", at_once), photos, size, longest_pause)
    default = _latencies(House(folder / "default"), photos, size, longest_pause)
    return [
        _section("sidecar first", first, "≤ 0.25 s"),
        _section("no wait for a sidecar", none, "≤ 0.25 s"),
        _section("default wait for a sidecar", default, "≤ 0.8 s"),
    ]


def _latencies(house: House, photos: int, size: int, longest_pause: float, *, sidecar: bool = False) -> list[float]:
    rows = Rows(house.register)
    closed = []
    odd = random.Random(7)  # noqa: S311 (odd moments, the same in every run)
    with house.running():
        for number in range(photos):
            pause(odd.uniform(0.3, 1.0) * longest_pause)
            data = photo(number, size)
            if sidecar:
                (house.inbox / f"cam{number}.json").write_text(json.dumps({"propietario": "Ana"}), encoding="utf-8")
            (house.inbox / f"cam{number}.jpg").write_bytes(data)
            closed.append(time.time())
            rows.wait(number + 1, _PATIENCE)
    return [there - gone for there, gone in zip(said(house, "register.appended"), closed, strict=True)]


def _section(way: str, seconds: Sequence[float], aim: str) -> Section:
    parts = [("median", 0.5, aim), ("95 of 100", 0.95, ""), ("99 of 100", 0.99, ""), ("longest", 1.0, "")]
    return Section(
        f"one photo, {way}",
        [
            Figure(f"{name} from closed to registered", f"{share(seconds, part):.3f} s", aim)
            for name, part, aim in parts
        ],
        histogram(seconds, step=_STEP),
    )


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--photos", type=int, default=60, help="for each of the three ways")
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        show(*measure(folder, photos=given.photos))


if __name__ == "__main__":
    main()
