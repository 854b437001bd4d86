"""Name an arrival, write down who it is, move it into `uploads/`; quarantine what is not an image."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from watcher import durable
from watcher.clocks import Clocks
from watcher.errors import ImageRejected, StorageUnavailable
from watcher.intake.source import camera_of, is_leftover, opened_source, remove_source, stem_of, sync_folders
from watcher.intake.times import captured, landed
from watcher.journal import Admission
from watcher.model import Arrival, Image, Sidecar, Sighting, StoredImage, TimeSource

log = structlog.get_logger()

TEMPORARY = ".incoming-"
"""How the names of hidden copies in `uploads/` begin."""

Look = Callable[[bytes], Sighting | None]


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one image: *stored*, or none if it was withdrawn first; *leftover* if its source stays behind."""

    stored: StoredImage | None
    leftover: bool = False


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
        self._inbox = os.fsencode(inbox)
        self._uploads = uploads
        self._look = look
        self._clocks = clocks
        self._timestamps = timestamps
        self._largest = largest

    def adopt(self, timestamps: Sequence[TimeSource], largest: int) -> None:
        """Take new settings."""
        self._timestamps, self._largest = timestamps, largest

    # Admission

    def secure(self, arrivals: Sequence[Arrival]) -> list[Admission]:
        """Copy *arrivals* durably under hidden names and return what the journal needs; leave out what changed.

        Raises:
            StorageUnavailable: There is no room or no right; nothing is left behind.

        """
        groups: list[list[Admission]] = []
        with self._opened_uploads() as uploads:
            try:
                for arrival in arrivals:
                    groups.append(self._secured(uploads, arrival))  # noqa: PERF401 (what was copied is removed if one fails)
                durable.sync_files(uploads, [group[0].image.temporary for group in groups if _copied(group)])
                kept = [
                    group
                    for arrival, group in zip(arrivals, groups, strict=True)
                    if not _copied(group) or self._unchanged(arrival.image, group[0].image)
                ]
            except BaseException:
                self._remove_copies(uploads, groups)
                raise
            self._remove_copies(uploads, [group for group in groups if group not in kept])
        return [item for group in kept for item in group]

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

    def _secured(self, uploads: int, arrival: Arrival) -> list[Admission]:
        """Return the admission of *arrival*, followed by that of its sidecar if that is bad; nothing if it is gone."""
        if arrival.rejection:
            return [self._rejected(arrival.image, arrival.rejection)]
        try:
            with opened_source(self._inbox, arrival.image) as source:
                if source is None:
                    return []
                image = self._copy(uploads, source, arrival.image, arrival.sidecar)
        except ImageRejected as error:
            return [self._rejected(arrival.image, error.code)]
        group = [Admission(image, arrival.image.form)]
        sidecar = arrival.sidecar
        if sidecar is not None and sidecar.error and sidecar.identity is not None:
            seen = replace(arrival.image, path=sidecar.path, identity=sidecar.identity)
            group.append(self._rejected(seen, "sidecar_error", sidecar))
        return group

    def _copy(self, uploads: int, source: int, seen: Sighting, sidecar: Sidecar | None) -> Image:
        temporary = f"{TEMPORARY}{uuid.uuid4().hex}"
        digest, size = durable.copy(source, uploads, temporary, limit=self._largest)
        now = self._clocks.now()
        captured_at, time_source = captured(source, seen, sidecar, self._timestamps, now)
        return Image(
            name="",
            source=seen.path,
            identity=replace(seen.identity, size=size),
            digest=digest,
            temporary=temporary,
            camera=(sidecar.camera_id if sidecar else "") or camera_of(seen.path),
            kind=sidecar.type if sidecar else "plate",
            sidecar=sidecar,
            arrived_at=landed(seen.ctime_ns, now),
            captured_at=captured_at,
            time_source=time_source,
        )

    def _rejected(self, seen: Sighting, reason: str, sidecar: Sidecar | None = None) -> Admission:
        arrived_at = landed(seen.ctime_ns, self._clocks.now())
        image = Image(
            name="",
            source=seen.path,
            identity=seen.identity,
            digest="",
            temporary="",
            camera=camera_of(seen.path),
            kind="plate",
            sidecar=sidecar,
            arrived_at=arrived_at,
            captured_at=arrived_at,
            time_source="arrival",
        )
        return Admission(image, "", reason, stem_of(seen.path))

    def _unchanged(self, before: Sighting, image: Image) -> bool:
        """Return whether the source still looks as *before* the copy, with nobody writing to it."""
        after = self._look(before.path)
        return (
            after is not None
            and after.writer != "open"
            and (after.identity, after.ctime_ns) == (before.identity, before.ctime_ns)
            and image.identity == before.identity
        )

    def _remove_copies(self, uploads: int, groups: Sequence[Sequence[Admission]]) -> None:
        for group in groups:
            if _copied(group):
                durable.remove(uploads, group[0].image.temporary)

    # Storing

    def store(self, batch: Sequence[Image]) -> list[Stored | Exception]:
        """Give each image of *batch* its name for ever and release its source; one result each, in order.

        Raises:
            StorageUnavailable: `uploads/` cannot be synced; nothing was released.

        """
        with self._opened_uploads() as uploads:
            results = [self._stored(uploads, image) for image in batch]
            durable.sync_folder(uploads)
        return self.release(batch, results)

    def release(self, batch: Sequence[Image], results: Sequence[Stored | Exception]) -> list[Stored | Exception]:
        """Remove the sources of those of *batch* that are stored; mark in the results which had to be left behind."""
        changed: set[bytes] = set()
        released: list[Stored | Exception] = []
        for image, result in zip(batch, results, strict=True):
            if isinstance(result, Stored) and result.stored is not None:
                released.append(replace(result, leftover=not self._released(image, changed)))
            else:
                released.append(result)
        sync_folders(self._inbox, changed)
        return released

    def _stored(self, uploads: int, image: Image) -> Stored | Exception:
        try:
            with durable.storage("uploads"):
                named = self._named(uploads, image)
        except (StorageUnavailable, ImageRejected) as error:
            return error
        return Stored(self.stored(image) if named else None)

    def _named(self, uploads: int, image: Image) -> bool:
        """Give the copy of *image* its name; recognise that it has it already; copy again what a power cut took."""
        try:
            durable.give_name(uploads, image.temporary, image.name)
        except FileNotFoundError:
            if not self.taken(image.name):
                return self._copied_again(uploads, image)
            if durable.digest(uploads, image.name) != image.digest:
                raise _name_taken(image) from None
        except FileExistsError:
            if not os.path.samefile(self._uploads / image.temporary, self._uploads / image.name):
                raise _name_taken(image) from None
            durable.remove(uploads, image.temporary)
        return True

    def _copied_again(self, uploads: int, image: Image) -> bool:
        """Copy the source of *image* once more; false if it is not there any more, or not the same."""
        seen = self._look(image.source)
        if seen is None or seen.identity.size != image.identity.size:
            return False
        with opened_source(self._inbox, seen) as source:
            if source is None:
                return False
            digest, _ = durable.copy(source, uploads, image.temporary, limit=self._largest)
        if digest != image.digest:
            durable.remove(uploads, image.temporary)
            return False
        durable.sync_file(uploads, image.temporary)
        durable.give_name(uploads, image.temporary, image.name)
        return True

    def _released(self, image: Image, changed: set[bytes]) -> bool:
        """Remove the sidecar, then the source, each only if unchanged and not being written; false if we may not."""
        sidecar = image.sidecar
        try:
            if sidecar is not None and sidecar.identity is not None and not sidecar.error:
                changed |= remove_source(self._inbox, sidecar.path, sidecar.identity)
            seen = self._look(image.source)
            if seen is not None and seen.writer != "open" and is_leftover([image], image.source, seen.identity):
                changed |= remove_source(self._inbox, image.source, seen.identity)
        except FileNotFoundError:
            # The folder itself is gone, and with it what was to be removed.
            return True
        except OSError as error:
            log.warning("inbox.unwritable", folder=os.path.dirname(image.source), reason=str(error))
            return False
        return True

    @contextmanager
    def _opened_uploads(self) -> Iterator[int]:
        with durable.storage("uploads"), durable.opened_folder(os.fsencode(self._uploads)) as folder:
            yield folder


def _copied(group: Sequence[Admission]) -> bool:
    return bool(group and group[0].image.temporary)


def _name_taken(image: Image) -> StorageUnavailable:
    return StorageUnavailable(
        f"A file that is not ours stands at uploads/{image.name}.",
        hint="Move it elsewhere; the photo waits safely beside it.",
        code="name_taken",
    )
