"""What a receiver is told of a record, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime

from watcher.model import Record, Sidecar


def body(target: str, record: Record, key: str) -> bytes:
    """Return the JSON text, in ASCII, that tells the sink *target* of *record* under the stable id *key*."""
    said = {"hook": {"target": target, "id": key}, "data": {"record": facts(record)}}
    return json.dumps(said, allow_nan=False, separators=(",", ":")).encode("ascii")


def facts(record: Record) -> dict[str, object]:
    """Return what a receiver is told of *record*: times in UTC but for `fecha_hora`, null for what no engine knows."""
    image, reading, sidecar = record.image, record.reading, record.image.sidecar or Sidecar()
    return {
        "id": record.id,
        "plate": record.plate,
        "confidence": reading.confidence,
        "engine": reading.engine,
        "code": reading.code,
        "review": reading.review,
        "candidates": [asdict(candidate) for candidate in reading.candidates],
        "box": reading.box,
        "orientation": reading.orientation,
        "kind": image.kind,
        "image": image.name,
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
