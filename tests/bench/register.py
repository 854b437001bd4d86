"""How fast rows are appended and found again in a long register: `python -m tests.bench.register [ROWS]`.

Prints one JSON object a line; the folder under `TMPDIR` decides which disk is measured. There is no pass or fail.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from watcher.cells import HEADER_LINE, line_of
from watcher.model import Row
from watcher.register import Register

ROWS = 1_000_000
TIMES = 50


def a_row(number: int, *, repeated: bool = False) -> Row:
    """Return the row of image *number*."""
    name = f"matricula_20260304_{number:07d}.jpg"
    return Row("2026-03-04 15:30:45", "1234BCD", "Juan Pérez", "Sedan", "Vehículo de entrega", name, repeated)


def seconds(act: Callable[[], object], times: int = TIMES) -> list[float]:
    """Return how long each of *times* calls of *act* took."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        found.append(time.perf_counter() - begun)
    return found


def acts(register: Register, rows: int) -> Iterator[tuple[str, list[float]]]:
    """Yield what is measured on a register with *rows* rows, each with the seconds that every call took."""
    numbers = iter(range(rows + 1, 10 * rows + 100_000))

    def append(*items: Row) -> None:
        register.append(items, highest_id=0, owed=list)

    yield "first row of a process", seconds(lambda: append(a_row(next(numbers))), 1)
    yield "one row", seconds(lambda: append(a_row(next(numbers))))
    yield "256 rows", seconds(lambda: append(*(a_row(next(numbers)) for _ in range(256))))
    yield "one row found at the end", seconds(lambda: append(a_row(rows, repeated=True)))
    yield "one row found at the beginning", seconds(lambda: append(a_row(1, repeated=True)), 5)
    yield "one row not found", seconds(lambda: append(a_row(next(numbers), repeated=True)), 5)
    yield "256 rows not found", seconds(lambda: append(*(a_row(next(numbers), repeated=True) for _ in range(256))), 5)
    yield "all lines", seconds(lambda: sum(1 for _ in register.lines()), 1)


def main(rows: int) -> None:
    """Measure an empty register, then one with *rows* rows."""
    for length in (0, rows):
        with tempfile.TemporaryDirectory() as folder:
            register = Register(Path(folder))
            with register.path.open("wb") as file:
                file.write(HEADER_LINE)
                file.writelines(line_of(a_row(number), number, b"\n") for number in range(1, length + 1))
            for act, taken in acts(register, length):
                spread = {"median_ms": statistics.median(taken), "slowest_ms": max(taken)}
                figures = {name: round(value * 1000, 2) for name, value in spread.items()}
                sys.stdout.write(json.dumps({"rows": length, "act": act, **figures}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
