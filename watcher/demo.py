"""Draw three photos, drop them into an inbox, and show the rows that the real daemon makes of them.

Run by `matricula-watcher demo` as a program of its own, since it draws and the daemon must not.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont

_SECONDS = 40.0
_DAEMON = (sys.executable, "-m", "watcher.cli", "--config", "watcher.toml", "run")
_WIDTH, _HEIGHT = 1280, 960
_CONFIGURATION = """
[folders]
inbox = "inbox"
uploads = "uploads"
data = "data"
"""


@dataclass(frozen=True, slots=True)
class Vehicle:
    """What is drawn, and what its sidecar says."""

    file: str
    plate: str
    propietario: str
    tipo_vehiculo: str
    observacion: str
    colour: tuple[int, int, int]

    @property
    def sidecar(self) -> dict[str, str]:
        """The three fields that reach the register."""
        return {
            "propietario": self.propietario,
            "tipo_vehiculo": self.tipo_vehiculo,
            "observacion": self.observacion,
        }


VEHICLES = (
    Vehicle("cam1_0001.jpg", "1234BCD", "Juan Pérez", "Sedan", "Vehículo de entrega", (152, 34, 40)),
    Vehicle("cam1_0002.jpg", "5678FGH", "Ana Núñez", "Furgoneta", "Turno de noche", (38, 70, 120)),
    Vehicle("cam2_0001.png", "9012JKL", "Transportes Ibarra", "Camión", "Báscula 2", (70, 84, 74)),
)


def draw(vehicle: Vehicle, path: Path) -> None:
    """Draw the back of a car with its plate, slightly blurred as a camera sees it."""
    photo = Image.new("RGB", (_WIDTH, _HEIGHT), (120, 124, 128))
    pen = ImageDraw.Draw(photo)
    pen.rectangle((0, 640, _WIDTH, _HEIGHT), fill=(82, 82, 84))
    pen.rounded_rectangle((200, 220, 1080, 780), 60, fill=vehicle.colour)
    pen.rounded_rectangle((290, 260, 990, 440), 40, fill=(40, 46, 56))
    pen.rectangle((360, 550, 920, 690), fill=(246, 246, 242), outline=(16, 16, 16), width=6)
    font = ImageFont.load_default(size=104)
    text = f"{vehicle.plate[:4]} {vehicle.plate[4:]}"
    pen.text((_WIDTH / 2, 620), text, fill=(14, 14, 14), font=font, anchor="mm", stroke_width=2)
    photo.filter(ImageFilter.GaussianBlur(0.8)).save(path)


def drop(vehicle: Vehicle, inbox: Path, workshop: Path) -> None:
    """Put sidecar and photo into *inbox*, the sidecar first and the photo whole."""
    (inbox / f"{vehicle.file}.json").write_text(json.dumps(vehicle.sidecar, ensure_ascii=False), encoding="utf-8")
    draw(vehicle, workshop / vehicle.file)
    (workshop / vehicle.file).rename(inbox / vehicle.file)


def show(daemon: Sequence[str] = _DAEMON, seconds: float = _SECONDS) -> int:
    """Run the demonstration, *seconds* long at most; return 0 only if all three rows are right."""
    with tempfile.TemporaryDirectory(prefix="matricula-demo-") as home:
        root = Path(home)
        for name in ("inbox", "uploads", "data", "workshop"):
            (root / name).mkdir()
        (root / "watcher.toml").write_text(_CONFIGURATION, encoding="utf-8")
        print("Three photos are drawn and dropped into", root / "inbox", flush=True)
        with _running(daemon, root) as process:
            for vehicle in VEHICLES:
                drop(vehicle, root / "inbox", root / "workshop")
            rows = _rows(root / "data" / "registros.csv", process, time.monotonic() + seconds)
            if len(rows) < len(VEHICLES):
                print(_complaint(process.poll(), seconds), file=sys.stderr, flush=True)
        return _judge(root, rows)


@contextmanager
def _running(daemon: Sequence[str], root: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the real daemon as a process of its own; it knows no key, so nothing leaves this machine."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "OPENAI_API_KEY" and not name.startswith(("WATCHER_", "CREDENTIALS_", "NOTIFY_", "WATCHDOG_"))
    }
    process = subprocess.Popen(daemon, cwd=root, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _rows(register: Path, process: subprocess.Popen[bytes], until: float) -> list[dict[str, str]]:
    """Return the rows once there are three, or what there is when the time is up or the daemon has ended."""
    rows: list[dict[str, str]] = []
    while len(rows) < len(VEHICLES) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.1)
        if register.exists():
            with register.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
    return rows


def _complaint(code: int | None, seconds: float) -> str:
    """Return why rows are missing, if the daemon ended with exit *code*, or after *seconds* still runs."""
    if code is None:
        return f"\nRows are still missing after {seconds:g} s; the last lines of the log, above, say what it does."
    return f"\nThe daemon ended by itself, with exit code {code}; the last lines of its log, above, say why."


def _judge(root: Path, rows: list[dict[str, str]]) -> int:
    """Print the rows and say whether they are right in number, names and sidecar fields."""
    print("\nThe rows of its register:\n")
    for row in rows:
        print(",".join(row.values()))
    told = sorted(tuple(vehicle.sidecar.values()) for vehicle in VEHICLES)
    found = sorted((row["propietario"], row["tipo_vehiculo"], row["observacion"]) for row in rows)
    names = sorted(row["imagen"] for row in rows)
    right = told == found and names == sorted(os.listdir(root / "uploads")) and len(set(names)) == len(VEHICLES)
    plates = {vehicle.plate for vehicle in VEHICLES} & {row["matricula"] for row in rows}
    print(f"\nPhotos: {', '.join(names)}")
    print(f"Rows right: {'all three' if right else 'NO'}. Plates read right: {len(plates)} of {len(VEHICLES)}.")
    print("All this lay in a temporary folder, which is removed. Rows of your own photos go to data/registros.csv.")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(show())
