"""Everything that is known of a record, ready for JSON: for receivers, and for `records --json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from watcher.model import Record, Sidecar


def counted(number: int, noun: str) -> str:
    """Return *number* with *noun*, of which there may be one or many: `1 act`, `2 acts`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def record_facts(record: Record) -> dict[str, object]:
    """Return all facts of *record*: times in UTC but for `fecha_hora`, null for what no engine knows."""
    image, reading, sidecar = record.image, record.reading, record.image.sidecar or Sidecar()
    return {
        "id": record.id,
        "plate": record.plate,
        "confidence": reading.confidence,
        "engine": reading.engine,
        "code": reading.code,
        "review": reading.review,
        "tried": reading.tried,
        "seconds": reading.seconds,
        "candidates": [asdict(candidate) for candidate in reading.candidates],
        "box": reading.box,
        "orientation": reading.orientation,
        "kind": image.kind,
        "image": image.name,
        "digest": image.digest,
        "size": image.identity.size,
        "source": image.source.decode("utf-8", "backslashreplace"),
        "camera_id": image.camera,
        "fecha_hora": image.captured_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
        "captured_at": _utc(image.captured_at),
        "time_source": image.time_source,
        "arrived_at": _utc(image.arrived_at),
        "recorded_at": _utc(record.recorded_at),
        "propietario": sidecar.propietario,
        "tipo_vehiculo": sidecar.tipo_vehiculo,
        "observacion": sidecar.observacion,
        "language": sidecar.language,
        "regions": sidecar.regions,
        "extra": json.loads(sidecar.extra),
        "sidecar_error": sidecar.error,
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
