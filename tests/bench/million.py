"""What a register of a million rows, and a journal of as many images, cost compared with empty ones.

First the register alone: one row at a time is appended to an empty register and to a full one, in turn, and the ratio
of the medians is what counts. Then the real daemon on both: how soon it is ready, and how many small photos a second
become rows after the first one, with which it counts the rows. The full journal is written by a few statements of SQL
in the form that finished images have.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.acceptance.house import House
from tests.bench.measuring import Figure, Rows, Section, first_said, options, photo, scratch, show
from watcher.cells import HEADER_LINE, line_of
from watcher.journal.connection import Connection
from watcher.model import Row
from watcher.register import Register

_PATIENCE = 300.0
_BLOCK = 20_000
_IMAGES = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
INSERT INTO images (name, stamp, sequence, reason, source, device, inode, size, mtime_ns, digest, temporary, camera,
    kind, arrived_at, captured_at, time_source, duplicate_of, admitted_at, reading, record_id, recorded_at)
SELECT printf('matricula_old_%d.jpg', n), printf('old_%d', n / 4), n % 4, '', CAST(printf('gate/%d.jpg', n) AS BLOB),
    '1', n, 240000, n, hex(randomblob(32)), printf('.incoming-%s', hex(randomblob(16))), 'gate', 'plate', :moment,
    :moment, 'arrival', '', :now, :reading, n, :moment FROM numbers
"""
_TASKS = "INSERT INTO tasks (image, act, status, attempts) SELECT id, ?, 'done', 1 FROM images"
_READING = (
    '{"text": "1234BCD", "confidence": 0.9, "engine": "openai", "box": null, "orientation": null, "candidates": [],'
    ' "seconds": 1.0, "code": "", "review": false, "tried": ["openai"], "note": ""}'
)


def measure(folder: Path, *, rows: int = 1_000_000, appended: int = 60, photos: int = 400) -> list[Section]:
    """Return the figures for *rows* rows: *appended* one by one to the register, *photos* through the daemon."""
    empty, full = House(folder / "empty"), House(folder / "full")
    _fill(full, rows)
    return [_register(folder / "none", full.data, rows, appended), _daemon(empty, full, rows, photos)]


def _fill(house: House, rows: int) -> None:
    with house.register.open("wb") as file:
        file.write(HEADER_LINE)
        for start in range(1, rows + 1, _BLOCK):
            numbers = range(start, min(start + _BLOCK, rows + 1))
            file.write(b"".join(line_of(_row(f"matricula_old_{n}.jpg"), n, b"\n") for n in numbers))
    connection = Connection(house.data)
    moment = "2026-03-04T12:00:00.000000+00:00"
    with connection.turn(writing=True) as db:
        db.execute(_IMAGES, {"rows": rows, "moment": moment, "now": time.time(), "reading": _READING})
        for act in ("store", "read", "register"):
            db.execute(_TASKS, (act,))
    connection.close()


def _row(name: str, *, repeated: bool = False) -> Row:
    return Row("2026-03-04 12:00:00", "1234BCD", "Juan Pérez", "Sedan", "Vehículo de entrega", name, repeated)


def _register(nothing: Path, data: Path, rows: int, appended: int) -> Section:
    nothing.mkdir()
    empty, full = Register(nothing), Register(data)
    first = _timed(lambda: _append(full, "matricula_first.jpg"))
    _append(empty, "matricula_first.jpg")
    pairs = [
        (_timed(lambda: _append(empty, f"matricula_{n}.jpg")), _timed(lambda: _append(full, f"matricula_{n}.jpg")))  # noqa: B023 (called at once)
        for n in range(appended)
    ]
    one, other = (median(times) for times in zip(*pairs, strict=True))
    missing = _timed(lambda: _append(full, "matricula_missing.jpg", repeated=True))
    return Section(
        f"register of {rows} rows",
        [
            Figure("append a row and sync it, to an empty one", f"{one * 1000:.1f} ms"),
            Figure("append a row and sync it, to this one", f"{other * 1000:.1f} ms"),
            Figure("ratio", f"{other / one:.2f}", "about 1"),
            Figure("the first append of a run, which counts the rows", f"{first:.2f} s"),
            Figure("append after a crash, which looks for the row in all of it", f"{missing:.2f} s"),
        ],
    )


def _append(register: Register, name: str, *, repeated: bool = False) -> None:
    register.append([_row(name, repeated=repeated)], highest_id=0, owed=list)


def _timed(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _daemon(empty: House, full: House, rows: int, photos: int) -> Section:
    figures = []
    rates = []
    for house, called in ((empty, "on nothing"), (full, "on this")):
        ready, rate = _run(house, photos)
        rates.append(rate)
        figures += [
            Figure(f"daemon ready, {called}", f"{ready:.2f} s", "≤ 2 s"),
            Figure(f"rows a second of {photos} small photos, {called}", f"{rate:.0f}"),
        ]
    return Section(
        f"daemon with {rows} images behind it", [*figures, Figure("ratio", f"{rates[1] / rates[0]:.2f}", "about 1")]
    )


def _run(house: House, photos: int) -> tuple[float, float]:
    """Return the seconds until the daemon was ready, and the rows a second."""
    counted = Rows(house.register)
    before = counted.count()
    began = time.time()
    with house.running():
        ready = (first_said(house, "daemon.ready") or began) - began
        (house.inbox / "first.jpg").write_bytes(photo(photos, 20_000))
        counted.wait(before + 1, _PATIENCE)
        started = time.monotonic()
        for number in range(photos):
            (house.inbox / f"cam{number}.jpg").write_bytes(photo(number, 20_000))
        counted.wait(before + 1 + photos, _PATIENCE)
        return ready, photos / (time.monotonic() - started)


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        show(*measure(folder, rows=given.rows))


if __name__ == "__main__":
    main()
