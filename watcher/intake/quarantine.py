"""The quarantine: where files go that were never admitted, each with a reason a person can read."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from watcher import durable
from watcher.arrivals import Arrivals, Patience
from watcher.clocks import Clocks
from watcher.durable.files import identity_of
from watcher.errors import StorageUnavailable
from watcher.intake.leftovers import same_file
from watcher.intake.reasons import REASONS, explanation, source_in
from watcher.intake.source import remove_source
from watcher.model import Image, Sighting

log = structlog.get_logger()

REASON_ENDING = ".reason.json"
_RESUMABLE = "truncated"
_RESUME_SECONDS = 24 * 3600.0
_MEGABYTE = 1024 * 1024
_BLOCK = 512
_ROUND_SECONDS = 0.1
_MOST_ITEMS = 10_000

LookAgain = Callable[[bytes, Sighting | None], Sighting | None]


@dataclass(frozen=True, slots=True)
class Item:
    """One file in the quarantine: its folder there, its name, the bytes it takes on disk, and when it last changed."""

    reason: str
    name: str
    size: int
    since: float


class Quarantine:
    """The folder `data/quarantine`; *inbox* is a real path, *look* looks at a file here, given the last sighting."""

    def __init__(
        self, folder: Path, inbox: Path, *, look: LookAgain, clocks: Clocks, days: float, megabytes: float
    ) -> None:
        self.folder = folder
        self._inbox = inbox
        self._look = look
        self._clocks = clocks
        # What is too large for us the inbox will say.
        self._arrivals = Arrivals(Patience(largest=sys.maxsize))
        self._resumed = ""
        self._unpruned = 0
        self._refused: set[str] = set()
        self.adopt(days, megabytes)

    def adopt(self, days: float, megabytes: float) -> None:
        """Take new bounds."""
        self._days, self._megabytes = days, megabytes

    def prepare(self) -> None:
        """Make the folders, so that a full disk later can at least rename into them."""
        for reason in REASONS:
            durable.make_folder(self.folder / reason)

    def taken(self, name: str) -> bool:
        """Return whether *name*, relative to the quarantine, is in use."""
        return os.path.lexists(self.folder / name)

    def put(self, image: Image) -> bool:
        """Move the source of *image* here under its name, with a reason file; false if it is another file by now.

        The good sidecar of a duplicate goes as well, lest the next photo of that name take it; the reason file keeps
        what it says.

        Raises:
            StorageUnavailable: There is no room or no right.

        """
        reason, _, name = image.name.partition("/")
        with durable.storage("the quarantine"):
            durable.make_folder(self.folder / reason)
            with durable.opened_folder(self._path(reason)) as here:
                # Where it stands already, an attempt that broke off has written it.
                with suppress(FileExistsError):
                    durable.write_new(here, name + REASON_ENDING, explanation(reason, image, self._clocks.now()))
                with suppress(FileExistsError):
                    if self._moved(here, name, image) or self.taken(image.name):
                        self._unpruned += image.identity.size
                        return True
                    durable.remove(here, name + REASON_ENDING)
        return False

    def is_filling(self) -> bool:
        """Return whether so much came since the last `prune` that the next is due at once."""
        return self._unpruned > self._megabytes * _MEGABYTE / 4

    def resume(self) -> None:
        """Give photos back to the inbox that became whole here: their sender resumed the upload within a day.

        Raises:
            StorageUnavailable: The quarantine or the inbox cannot be used.

        """
        now, began = self._clocks.wall(), self._clocks.monotonic()
        # Where the last round left off: a stranger must not make one round last.
        items = sorted(_items(self.folder, _RESUMABLE), key=lambda item: (item.name <= self._resumed, item.name))
        for item in items:
            if self._clocks.monotonic() - began > _ROUND_SECONDS:
                return
            self._resumed = item.name
            path = os.fsencode(f"{item.reason}/{item.name}")
            with durable.storage("the quarantine"):
                last = self._arrivals.last(path)
                seen = self._look(path, last) if now - item.since <= _RESUME_SECONDS else None
            if seen is None:
                self._arrivals.forget(path)
            elif self._arrivals.see_image(seen, self._clocks.monotonic()).settled:
                self._arrivals.forget(path)
                self._try_to_give_back(item)

    def _try_to_give_back(self, item: Item) -> None:
        """Give *item* back, unless its folder does not take it: then it stays, and that is said once."""
        try:
            self._give_back(item)
        except StorageUnavailable as error:
            if item.name not in self._refused:
                log.warning("intake.resume_failed", item=f"{item.reason}/{item.name}", reason=str(error))
            self._refused.add(item.name)

    def prune(self) -> None:
        """Remove what is too old, then the oldest until the rest is small enough, and reasons that are alone.

        Raises:
            StorageUnavailable: Something cannot be removed.

        """
        items = sorted(self.items(), key=lambda item: item.since)
        oldest = self._clocks.wall() - timedelta(days=self._days).total_seconds()
        size, number, self._unpruned = sum(item.size for item in items), len(items), 0
        for item in items:
            if item.since >= oldest and size <= self._megabytes * _MEGABYTE and number <= _MOST_ITEMS:
                break
            size, number = size - item.size, number - 1
            with durable.storage("the quarantine"), durable.opened_folder(self._path(item.reason)) as folder:
                durable.remove(folder, item.name)
            log.info("intake.pruned", item=f"{item.reason}/{item.name}", reason=item.reason)
        for reason in REASONS:
            self._sweep(reason)

    def items(self) -> Iterator[Item]:
        """Yield what lies in the quarantine."""
        for reason in REASONS:
            yield from _items(self.folder, reason)

    def _path(self, reason: str) -> bytes:
        return os.fsencode(self.folder / reason)

    def _moved(self, here: int, name: str, image: Image) -> bool:
        """Move the source of *image* to *name* in the open folder *here*; false if it is not there, or another file.

        Raises:
            FileExistsError: Another file stands at *name*.

        """
        source_folder, source_name = os.path.split(image.source)
        root, sidecar = os.fsencode(self._inbox), image.sidecar
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            durable.opened_folder(root, source_folder) as there,
        ):
            found = identity_of(os.stat(source_name, dir_fd=there, follow_symlinks=False))
            if same_file(found, image.identity):
                if sidecar is not None and sidecar.identity is not None and not sidecar.error:
                    remove_source(root, sidecar.path, sidecar.identity)
                durable.move(there, source_name, here, name)
                durable.sync_folder(here)
                durable.sync_folder(there)
                return True
        return False

    def _sweep(self, reason: str) -> None:
        """Remove the reasons of items that are not there any more."""
        with (
            durable.storage("the quarantine"),
            suppress(FileNotFoundError),
            durable.opened_folder(self._path(reason)) as folder,
        ):
            names = set(os.listdir(folder))
            for name in names:
                if name.endswith(REASON_ENDING) and name.removesuffix(REASON_ENDING) not in names:
                    durable.remove(folder, name)

    def _give_back(self, item: Item) -> None:
        """Move *item* to where it came from, or beside it if another file stands there, and drop its reason."""
        source, name = self._source_of(item), os.fsencode(item.name)
        with durable.storage("the quarantine"), durable.opened_folder(self._path(item.reason)) as here:
            for path in source, os.path.join(os.path.dirname(source), name), name:
                if self._is_moved_back(here, item, path):
                    durable.remove(here, item.name + REASON_ENDING)
                    log.info("intake.resumed", item=f"{item.reason}/{item.name}", path=path)
                    return

    def _is_moved_back(self, here: int, item: Item, source: bytes) -> bool:
        folder, name = os.path.split(source)
        try:
            with durable.storage("the inbox"), durable.opened_folder(os.fsencode(self._inbox), folder) as there:
                durable.move(here, item.name, there, name)
                durable.sync_folder(there)
                durable.sync_folder(here)
        except (FileExistsError, FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _source_of(self, item: Item) -> bytes:
        """Return where *item* came from; its name here if nobody can tell any more."""
        reason = self.folder / item.reason / (item.name + REASON_ENDING)
        with suppress(FileNotFoundError):
            return source_in(reason.read_bytes()) or os.fsencode(item.name)
        return os.fsencode(item.name)


def _items(folder: Path, reason: str) -> Iterator[Item]:
    with durable.storage("the quarantine"):
        try:
            entries: Sequence[os.DirEntry[str]] = list(os.scandir(folder / reason))
        except FileNotFoundError:
            return
        for entry in entries:
            if entry.name.endswith(REASON_ENDING) or entry.name.startswith(".") or entry.is_dir(follow_symlinks=False):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield Item(reason, entry.name, status.st_blocks * _BLOCK, status.st_ctime)


def count(folder: Path) -> dict[str, int]:
    """Return how many files of each reason lie in the quarantine at *folder*; reasons without files are left out."""
    counts = {reason: sum(1 for _ in _items(folder, reason)) for reason in REASONS}
    return {reason: number for reason, number in counts.items() if number}
