"""Turn facts into the journal's columns and back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from watcher.model import Candidate, Identity, Image, Reading, Sidecar, Task

IMAGE = (
    "images.name, images.source, images.device, images.inode, images.size, images.mtime_ns, images.digest,"
    " images.temporary, images.camera, images.kind, images.sidecar, images.arrived_at, images.captured_at,"
    " images.time_source, images.duplicate_of"
)
TASK = (
    "tasks.id, tasks.act, tasks.attempts, tasks.strikes, images.reading, images.record_id, images.recorded_at, " + IMAGE
)


def utc(moment: datetime) -> str:
    """Return *moment* as ISO 8601 in UTC, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def printable(name: str) -> str:
    """Return *name*, as it may come from a command line, in characters that SQLite takes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def sidecar_text(sidecar: Sidecar | None) -> str | None:
    """Return *sidecar* as JSON text; its path as hexadecimal, since it may be any bytes."""
    if sidecar is None:
        return None
    facts = asdict(sidecar) | {
        "path": sidecar.path.hex(),
        "timestamp": None if sidecar.timestamp is None else sidecar.timestamp.isoformat(),
    }
    return json.dumps(facts)


def sidecar_fact(text: str | None) -> Sidecar | None:
    """Return the sidecar that `sidecar_text` wrote."""
    if text is None:
        return None
    facts: dict[str, Any] = json.loads(text)
    return Sidecar(
        **facts
        | {
            "path": bytes.fromhex(facts["path"]),
            "identity": None if facts["identity"] is None else Identity(**facts["identity"]),
            "timestamp": None if facts["timestamp"] is None else datetime.fromisoformat(facts["timestamp"]),
            "regions": tuple(facts["regions"]),
        }
    )


def reading_text(reading: Reading) -> str:
    """Return *reading* as JSON text."""
    return json.dumps(asdict(reading))


def reading_fact(text: str | None) -> Reading | None:
    """Return the reading that `reading_text` wrote."""
    if text is None:
        return None
    facts: dict[str, Any] = json.loads(text)
    return Reading(
        **facts
        | {
            "box": None if facts["box"] is None else tuple(facts["box"]),
            "candidates": tuple(Candidate(**candidate) for candidate in facts["candidates"]),
            "tried": tuple(facts["tried"]),
        }
    )


def image_columns(image: Image) -> dict[str, Any]:
    """Return the columns of *image*; what the file system counts as text, since it may exceed what SQLite counts to."""
    return {
        "name": image.name,
        "source": image.source,
        "device": str(image.identity.device),
        "inode": str(image.identity.inode),
        "size": image.identity.size,
        "mtime_ns": str(image.identity.mtime_ns),
        "digest": image.digest,
        "temporary": image.temporary,
        "camera": image.camera,
        "kind": image.kind,
        "sidecar": sidecar_text(image.sidecar),
        "arrived_at": utc(image.arrived_at),
        "captured_at": utc(image.captured_at),
        "time_source": image.time_source,
        "duplicate_of": image.duplicate_of,
    }


def image_fact(row: sqlite3.Row) -> Image:
    """Return the image of a row that selected `IMAGE`."""
    return Image(
        name=row["name"],
        source=row["source"],
        identity=Identity(int(row["device"]), int(row["inode"]), row["size"], int(row["mtime_ns"])),
        digest=row["digest"],
        temporary=row["temporary"],
        camera=row["camera"],
        kind=row["kind"],
        sidecar=sidecar_fact(row["sidecar"]),
        arrived_at=datetime.fromisoformat(row["arrived_at"]),
        captured_at=datetime.fromisoformat(row["captured_at"]),
        time_source=row["time_source"],
        duplicate_of=row["duplicate_of"],
    )


def task_fact(row: sqlite3.Row, *, alone: bool) -> Task:
    """Return the task of a row that selected `TASK`."""
    recorded_at = row["recorded_at"]
    return Task(
        id=row["id"],
        act=row["act"],
        attempts=row["attempts"],
        strikes=row["strikes"],
        alone=alone,
        image=image_fact(row),
        reading=reading_fact(row["reading"]),
        record_id=row["record_id"],
        recorded_at=None if recorded_at is None else datetime.fromisoformat(recorded_at),
    )
