"""How many rows a second the line makes of photos that all arrive at once.

Unique JPEGs are written into the inbox of the real daemon as fast as they can be, with no engine configured and every
promise kept; the time runs from the first byte to the last row. Beside it, on the same disk and right after it, stand
two bare loops that keep only the least of the promises, one image at a time: copy, sync, rename, sync the folder,
remove the source, sync its folder, append a line, sync it. The second one also appends to a log and syncs it as often
as the line tells its journal of an image that comes alone. The ratio says what batches win and what Python costs.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.house import House
from tests.bench.measuring import Figure, Rows, Section, cost, options, photo, scratch, show, until

SIZE = 240_000
_PATIENCE = 900.0
_JOURNAL_SYNCS = 9
"""Transactions of an image that comes alone: admitted, and each of four acts claimed and finished."""


def measure(folder: Path, *, photos: int = 2000, size: int = SIZE, floor: int = 300) -> Section:
    """Return the figures for *photos* files of *size* bytes, the bare loops measured over *floor* of them."""
    house = House(folder / "line")
    rows = Rows(house.register)
    with house.running() as daemon:
        before = cost(daemon.process.pid)
        began = time.monotonic()
        for number in range(photos):
            (house.inbox / f"cam{number:06}.jpg").write_bytes(photo(number, size))
        poured = time.monotonic()
        rows.wait(photos, _PATIENCE)
        ended = time.monotonic()
        if not until(house.is_empty, 30.0):
            raise TimeoutError("photos are left in the inbox")
        after = cost(daemon.process.pid)
    kept = len(os.listdir(house.uploads))
    if (rows.count(), kept) != (photos, photos):
        raise RuntimeError(f"{photos} photos became {rows.count()} rows and {kept} files")
    rate = photos / (ended - began)
    bare = floor / _timed(_bare_loop, folder / "bare", floor, size, 0)
    told = floor / _timed(_bare_loop, folder / "told", floor, size, _JOURNAL_SYNCS)
    return Section(
        f"burst of {photos} photos of {size // 1000} kB",
        [
            Figure("rows a second, from the first byte to the last row", f"{rate:.0f}", "≥ 150, better 300"),
            Figure("seconds to write the photos", f"{poured - began:.1f}"),
            Figure("seconds to the last row", f"{ended - began:.1f}"),
            Figure("processor per photo", f"{(after.cpu - before.cpu) / photos * 1000:.1f} ms"),
            Figure("memory at most", f"{after.peak:.0f} MB", "≤ 200 MB"),
            Figure("bare loop one by one, 4 syncs: rows a second", f"{bare:.0f}"),
            Figure("the line against it", f"{rate / bare:.2f}"),
            Figure(f"bare loop with {4 + _JOURNAL_SYNCS} syncs: rows a second", f"{told:.0f}"),
            Figure("the line against it", f"{rate / told:.2f}"),
        ],
    )


def _timed(loop: Callable[[Path, int, int, int], None], folder: Path, photos: int, size: int, syncs: int) -> float:
    for name in ("inbox", "uploads"):
        (folder / name).mkdir(parents=True)
    for number in range(photos):
        (folder / "inbox" / f"cam{number:06}.jpg").write_bytes(photo(number, size))
    began = time.monotonic()
    loop(folder, photos, size, syncs)
    return time.monotonic() - began


def _bare_loop(folder: Path, photos: int, size: int, syncs: int) -> None:
    inbox, uploads = (os.open(folder / name, os.O_RDONLY | os.O_DIRECTORY) for name in ("inbox", "uploads"))
    register, log = (os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in ("rows", "log"))
    for number in range(photos):
        name = f"cam{number:06}.jpg"
        source = os.open(name, os.O_RDONLY, dir_fd=inbox)
        data = os.read(source, size)
        os.close(source)
        copy = os.open("copy", os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=uploads)
        os.write(copy, data)
        os.fsync(copy)
        os.close(copy)
        os.rename("copy", name, src_dir_fd=uploads, dst_dir_fd=uploads)
        os.fsync(uploads)
        os.unlink(name, dir_fd=inbox)
        os.fsync(inbox)
        os.write(register, f"{number},{hashlib.sha256(data).hexdigest()},{name}\n".encode())
        os.fsync(register)
        for _ in range(syncs):
            os.write(log, bytes(4096))
            os.fdatasync(log)
    for descriptor in (inbox, uploads, register, log):
        os.close(descriptor)


def main() -> None:
    """Measure as the command line says."""
    parser = options(__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of a photo")
    given = parser.parse_args()
    with scratch(given.folder) as folder:
        show(measure(folder, photos=given.photos, size=given.size))


if __name__ == "__main__":
    main()
