"""The quarantine: where files go that were never admitted, each with a reason a person can read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from watcher import durable
from watcher.arrivals import Arrivals, Patience
from watcher.clocks import Clocks
from watcher.intake import Look
from watcher.model import Image

log = structlog.get_logger()

RETRY = "Mend the file and drop it into the inbox again."
REASONS: Mapping[str, tuple[str, str]] = {
    "truncated": (
        "The picture has no end: the upload broke off.",
        "Send it again. If the sender resumes within a day, it is taken from here by itself.",
    ),
    "empty": ("The file is empty.", "Send it again."),
    "too_large": ("The file is larger than [inbox] max_megabytes.", "Raise the limit, then drop it in again."),
    "not_an_image": ("The file is neither a JPEG nor a PNG, whatever its name says.", RETRY),
    "hard_linked": ("The file has a second name (a hard link), so others could change it.", "Drop in a copy."),
    "duplicate": (
        "The same bytes were admitted before, within [inbox] duplicate_window_hours.",
        "Nothing needs to be done; the first photo has its row. To force a second one, set the window to 0.",
    ),
    "sidecar_error": ("The sidecar could not be used; its photo has a row with empty fields.", RETRY),
    "late_sidecar": (
        "The sidecar came after its photo had been admitted without it.",
        "Send the sidecar first, or raise [inbox] sidecar_wait_seconds.",
    ),
    "orphan_sidecar": ("No photo of this name came within an hour.", "Send the photo and the sidecar again."),
}
REASON_ENDING = ".reason.json"
_RESUMABLE = "truncated"
_RESUME = timedelta(hours=24)
_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Item:
    """One file in the quarantine: its folder there, its name, its size in bytes, and when it came."""

    reason: str
    name: str
    size: int
    since: float


class Quarantine:
    """The folder `data/quarantine`; *inbox* is a real path, *look* looks at a file of the quarantine."""

    def __init__(self, folder: Path, inbox: Path, *, look: Look, clocks: Clocks, days: float, megabytes: float) -> None:
        self.folder = folder
        self._inbox = inbox
        self._look = look
        self._clocks = clocks
        self._arrivals = Arrivals(Patience())
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

        Raises:
            StorageUnavailable: There is no room or no right.

        """
        reason, _, name = image.name.partition("/")
        source_folder, source_name = os.path.split(image.source)
        with durable.storage("the quarantine"), durable.opened_folder(os.fsencode(self.folder / reason)) as here:
            self._explain(here, reason, name, image)
            try:
                with durable.opened_folder(os.fsencode(self._inbox), source_folder) as there:
                    if self._is_there(there, source_name, image):
                        durable.move(there, source_name, here, name)
                        durable.sync_folder(here)
                        durable.sync_folder(there)
                        return True
            except FileNotFoundError:
                pass
            except FileExistsError:
                return True
            if self.taken(image.name):
                return True
            durable.remove(here, name + REASON_ENDING)
        return False

    def resume(self) -> None:
        """Give photos back to the inbox that became whole here: their sender resumed the upload within a day."""
        now = self._clocks.now().timestamp()
        for item in self.items():
            path = os.fsencode(f"{item.reason}/{item.name}")
            if item.reason != _RESUMABLE or now - item.since > _RESUME.total_seconds():
                self._arrivals.forget(path)
                continue
            seen = self._look(path)
            if seen is not None and self._arrivals.see_image(seen, self._clocks.monotonic()).settled:
                self._arrivals.forget(path)
                self._give_back(item)

    def prune(self) -> None:
        """Remove what is too old, then the oldest until the rest is small enough."""
        items = sorted(self.items(), key=lambda item: item.since)
        oldest = self._clocks.wall() - timedelta(days=self._days).total_seconds()
        size = sum(item.size for item in items)
        for item in items:
            if item.since >= oldest and size <= self._megabytes * _MEGABYTE:
                return
            size -= item.size
            with durable.storage("the quarantine"), durable.opened_folder(self._path(item.reason)) as folder:
                durable.remove(folder, item.name)
                durable.remove(folder, item.name + REASON_ENDING)
            log.info("intake.pruned", item=f"{item.reason}/{item.name}", reason=item.reason)

    def items(self) -> Iterator[Item]:
        """Yield what lies in the quarantine."""
        for reason in REASONS:
            yield from _items(self.folder, reason)

    def _path(self, reason: str) -> bytes:
        return os.fsencode(self.folder / reason)

    def _is_there(self, folder: int, name: bytes, image: Image) -> bool:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        was = image.identity
        return (status.st_ino, status.st_size, status.st_mtime_ns) == (was.inode, was.size, was.mtime_ns)

    def _explain(self, folder: int, reason: str, name: str, image: Image) -> None:
        message, retry = REASONS[reason]
        if reason == "sidecar_error" and image.sidecar is not None:
            message = f"{message} {image.sidecar.error}"
        facts = {
            "code": reason,
            "message": message,
            "when": self._clocks.now().astimezone().isoformat(timespec="seconds"),
            "source": image.source.decode("utf-8", "backslashreplace"),
            "source_bytes": image.source.hex(),
            "camera": image.camera,
            "arrived_at": image.arrived_at.astimezone().isoformat(timespec="seconds"),
            "duplicate_of": image.duplicate_of or None,
            "retry": retry,
        }
        try:
            durable.write_new(folder, name + REASON_ENDING, json.dumps(facts, indent=2, ensure_ascii=False).encode())
        except FileExistsError:
            # Written by an attempt that broke off after it.
            return

    def _give_back(self, item: Item) -> None:
        """Move *item* to where it came from, or beside it if another file stands there, and drop its reason."""
        with durable.opened_folder(self._path(item.reason)) as here:
            source = self._source_of(item)
            folder, name = os.path.split(source)
            try:
                self._move_back(here, item.name, folder, name)
            except (FileExistsError, FileNotFoundError):
                self._move_back(here, item.name, b"", os.fsencode(item.name))
            durable.remove(here, item.name + REASON_ENDING)
        log.info("intake.resumed", item=f"{item.reason}/{item.name}", path=source)

    def _move_back(self, here: int, item: str, folder: bytes, name: bytes) -> None:
        with durable.storage("the inbox"), durable.opened_folder(os.fsencode(self._inbox), folder) as there:
            durable.move(here, item, there, name)
            durable.sync_folder(there)
            durable.sync_folder(here)

    def _source_of(self, item: Item) -> bytes:
        facts = json.loads((self.folder / item.reason / (item.name + REASON_ENDING)).read_bytes())
        return bytes.fromhex(facts["source_bytes"])


def _items(folder: Path, reason: str) -> Iterator[Item]:
    try:
        entries: Sequence[os.DirEntry[str]] = list(os.scandir(folder / reason))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.name.endswith(REASON_ENDING) or entry.name.startswith("."):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield Item(reason, entry.name, status.st_size, status.st_ctime)


def count(folder: Path) -> dict[str, int]:
    """Return how many files of each reason lie in the quarantine at *folder*; reasons without files are left out."""
    counts = {reason: sum(1 for _ in _items(folder, reason)) for reason in REASONS}
    return {reason: number for reason, number in counts.items() if number}
