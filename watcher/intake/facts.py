"""What is written down of an arrival: the facts that the journal keeps for ever. Pure."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime

from watcher.intake.times import landed
from watcher.journal import Admission
from watcher.model import Arrival, Image, Sidecar, Sighting, TimeSource


def taken_in(
    arrival: Arrival,
    *,
    temporary: str,
    digest: str,
    size: int,
    captured: tuple[datetime, TimeSource],
    now: datetime,
) -> list[Admission]:
    """Return the admission of an *arrival* that was copied to *temporary*, then that of its sidecar if that is bad."""
    seen, sidecar = arrival.image, arrival.sidecar
    captured_at, time_source = captured
    image = Image(
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
    admissions = [Admission(image, seen.form, stem=stem_of(seen.path))]
    if sidecar is not None and sidecar.error and sidecar.identity is not None:
        beside = replace(seen, path=sidecar.path, identity=sidecar.identity)
        admissions.append(kept_out(beside, "sidecar_error", now, sidecar))
    return admissions


def kept_out(seen: Sighting, reason: str, now: datetime, sidecar: Sidecar | None = None) -> Admission:
    """Return the admission of a file that goes to the quarantine for this *reason*."""
    arrived_at = landed(seen.ctime_ns, now)
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


def camera_of(path: bytes) -> str:
    """Return the first-level sub-folder of *path*, printable, or nothing: cameras have a folder each."""
    first, slash, _ = path.partition(b"/")
    return first.decode("utf-8", "backslashreplace") if slash else ""


def stem_of(path: bytes, longest: int = 100) -> str:
    """Return the last part of *path* as harmless text with its ending, the stem in at most *longest* bytes.

    It never ends like the name of a reason file, by which those are told apart.
    """
    text = os.path.basename(path).decode("utf-8", "backslashreplace")
    safe = "".join(character if character.isalnum() or character in "-_. " else "_" for character in text)
    stem, ending = os.path.splitext(safe)
    stem = stem.replace(".reason", "_reason").encode()[:longest].decode("utf-8", "ignore").strip()
    return stem + ending.lower()[:8]
