"""Name an arrival, write down who it is, move it into `uploads/`; quarantine what is not an image."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from watcher import durable
from watcher.clocks import Clocks
from watcher.errors import ImageRejected, StorageUnavailable
from watcher.intake.facts import kept_out, taken_in
from watcher.intake.naming import named
from watcher.intake.source import Look, Sources, is_readable
from watcher.intake.times import captured
from watcher.journal import Admission
from watcher.model import Arrival, Image, StoredImage, TimeSource

log = structlog.get_logger()

TEMPORARY = ".incoming-"
"""How the names of hidden copies in `uploads/` begin."""


@dataclass(frozen=True, slots=True)
class Secured:
    """What came of securing arrivals: what the journal needs, how many had *changed*, and what kept any of them out."""

    items: list[Admission]
    changed: int
    error: StorageUnavailable | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one image: *stored*, or none if it was withdrawn first; *leftover* if its source stays behind."""

    stored: StoredImage | None
    leftover: bool = False


class _Unreadable(Exception):
    """The source cannot be read to its end: the fault of that one file."""


class Intake:
    """Moves arrivals from *inbox* into *uploads*, both real paths; *look* is one more look at a file of the inbox."""

    def __init__(
        self,
        *,
        inbox: Path,
        uploads: Path,
        look: Look,
        clocks: Clocks,
        timestamps: Sequence[TimeSource],
        largest: int,
    ) -> None:
        self._sources = Sources(os.fsencode(inbox), look)
        self._uploads = uploads
        self._clocks = clocks
        self.adopt(timestamps, largest)

    def adopt(self, timestamps: Sequence[TimeSource], largest: int) -> None:
        """Take new settings."""
        self._timestamps, self._largest = timestamps, largest

    # Admission

    def secure(self, arrivals: Sequence[Arrival]) -> Secured:
        """Copy *arrivals* durably under hidden names; one that cannot be copied does not hold up the others.

        Raises:
            StorageUnavailable: `uploads/` cannot be used or synced; nothing is left behind.

        """
        groups: list[tuple[Arrival, list[Admission]]] = []
        errors: list[StorageUnavailable] = []
        with self._opened_uploads() as uploads, ExitStack() as undo:
            for arrival in arrivals:
                temporary = f"{TEMPORARY}{uuid.uuid4().hex}"
                undo.callback(_abandon, uploads, temporary)
                try:
                    groups.append((arrival, self._secured(uploads, arrival, temporary)))
                except StorageUnavailable as error:
                    errors.append(error)
                except _Unreadable as error:
                    log.warning("inbox.look_failed", path=arrival.image.path, reason=str(error))
            durable.sync_files(uploads, [group[0].image.temporary for _, group in groups if _is_copied(group)])
            kept = []
            for arrival, group in groups:
                if group and self._is_unchanged(arrival, group):
                    kept.append(group)
                elif _is_copied(group):
                    _abandon(uploads, group[0].image.temporary)
            undo.pop_all()
        changed = len(groups) - len(kept)
        return Secured([item for group in kept for item in group], changed, next(iter(errors), None))

    def discard(self, images: Sequence[Image]) -> None:
        """Remove the hidden copies of *images*, which will not be stored."""
        with self._opened_uploads() as uploads:
            for image in images:
                if image.temporary:
                    durable.remove(uploads, image.temporary)

    def sweep(self, known: frozenset[str]) -> int:
        """Remove the hidden copies that are not *known* to the journal; return how many."""
        with self._opened_uploads() as uploads:
            strays = [name for name in os.listdir(uploads) if name.startswith(TEMPORARY) and name not in known]
            for name in strays:
                durable.remove(uploads, name)
        return len(strays)

    def stored(self, image: Image) -> StoredImage:
        """Return where the bytes of *image* are, once it is stored."""
        return StoredImage(image, str(self._uploads / image.name))

    def taken(self, name: str) -> bool:
        """Return whether *name* is in use in `uploads/`, whoever put it there."""
        return os.path.lexists(self._uploads / name)

    def _secured(self, uploads: int, arrival: Arrival, temporary: str) -> list[Admission]:
        """Return the admissions that *arrival* leads to; none if another file stands there by now."""
        now = self._clocks.now()
        if arrival.rejection:
            return [kept_out(arrival.image, arrival.rejection, now)]
        with self._sources.opened(arrival.image) as source:
            if source is None:
                return []
            moment = captured(source, arrival.image, arrival.sidecar, self._timestamps, now)
            try:
                digest, size = self._copied(uploads, source, temporary)
            except ImageRejected as error:
                return [kept_out(arrival.image, error.code, now)]
        return taken_in(arrival, temporary=temporary, digest=digest, size=size, captured=moment, now=now)

    def _copied(self, uploads: int, source: int, temporary: str) -> tuple[str, int]:
        try:
            with durable.storage("uploads"):
                return durable.copy(source, uploads, temporary, limit=self._largest)
        except StorageUnavailable as error:
            if is_readable(source):
                raise
            raise _Unreadable(str(error.__cause__)) from error

    def _is_unchanged(self, arrival: Arrival, group: Sequence[Admission]) -> bool:
        """Return whether what was copied is still what was seen; a rejected file was not copied."""
        return not _is_copied(group) or (
            group[0].image.identity == arrival.image.identity and self._sources.is_unchanged(arrival.image)
        )

    # Storing

    def store(self, batch: Sequence[Image]) -> list[Stored | StorageUnavailable]:
        """Give each image of *batch* its name for ever and release its source; one result each, in order.

        Raises:
            StorageUnavailable: `uploads/` or the inbox cannot be synced.

        """
        with self._opened_uploads() as uploads:
            results = {image.name: self._stored(uploads, image) for image in batch}
            durable.sync_folder(uploads)
        here = [image for image in batch if isinstance(results[image.name], StoredImage)]
        left = {image.name for image, behind in zip(here, self.release(here), strict=True) if behind}
        return [_outcome(results[image.name], leftover=image.name in left) for image in batch]

    def release(self, batch: Sequence[Image]) -> list[bool]:
        """Remove the sources of *batch*, which is stored; return of each whether it had to be left behind.

        Raises:
            StorageUnavailable: The inbox cannot be synced.

        """
        changed: set[bytes] = set()
        left = [not self._sources.release(image, changed) for image in batch]
        self._sources.sync(changed)
        return left

    def _stored(self, uploads: int, image: Image) -> StoredImage | StorageUnavailable | None:
        try:
            with durable.storage("uploads"):
                return self.stored(image) if named(uploads, image, self._sources) else None
        except StorageUnavailable as error:
            return error

    @contextmanager
    def _opened_uploads(self) -> Iterator[int]:
        with durable.storage("uploads"), ExitStack() as opened:
            try:
                folder = opened.enter_context(durable.opened_folder(os.fsencode(self._uploads)))
            except (FileNotFoundError, NotADirectoryError) as error:
                raise StorageUnavailable(
                    f"{self._uploads} is not there.", hint="Mount or make it.", code="unreachable"
                ) from error
            yield folder


def _is_copied(group: Sequence[Admission]) -> bool:
    return bool(group and group[0].image.temporary)


def _abandon(uploads: int, temporary: str) -> None:
    # What cannot be removed now is swept at the next start; what went wrong before is the thing to tell.
    with suppress(OSError):
        durable.remove(uploads, temporary)


def _outcome(result: StoredImage | StorageUnavailable | None, *, leftover: bool) -> Stored | StorageUnavailable:
    return result if isinstance(result, StorageUnavailable) else Stored(result, leftover)
