"""A record to tell sinks of, with something in every field."""

from __future__ import annotations

from datetime import UTC, datetime

from watcher.model import Candidate, Identity, Image, Reading, Record, Sidecar

NOW = datetime(2026, 3, 4, 14, 31, tzinfo=UTC)

RECORD = Record(
    id=7,
    plate="1234BCD",
    image=Image(
        name="matricula_20260304_153045.jpg",
        source=b"gate/caf\xe9 7.jpg",
        identity=Identity(1, 2, 3, 4),
        digest="0" * 64,
        temporary=".tmp-1",
        camera="gate",
        kind="plate",
        sidecar=Sidecar(
            path=b"gate/caf\xe9 7.json",
            identity=Identity(1, 3, 3, 4),
            propietario="Juan Pérez",
            tipo_vehiculo="Sedan",
            observacion="Vehículo de entrega",
            camera_id="gate",
            language="es",
            regions=("es", "pt"),
            extra='{"carril":2}',
        ),
        arrived_at=datetime(2026, 3, 4, 14, 30, 46, 250_000, tzinfo=UTC),
        captured_at=datetime(2026, 3, 4, 14, 30, 45, tzinfo=UTC),
        time_source="sidecar",
    ),
    reading=Reading(
        text="1234BCD",
        confidence=0.93,
        engine="rapidocr",
        box=(10, 20, 200, 40),
        orientation=0,
        candidates=(Candidate("1234BCD", 0.93), Candidate("1234BCO")),
        seconds=0.8,
        code="engine_unavailable",
        review=True,
        tried=("openai", "rapidocr"),
    ),
    recorded_at=datetime(2026, 3, 4, 14, 30, 48, tzinfo=UTC),
)
