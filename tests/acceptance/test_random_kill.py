"""The real program, killed at random again and again while cameras go on sending."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.house import PATIENCE, PROGRAM, House
from tests.makers import eventually, jpeg, png
from tests.premises import digest

SETTINGS = "[inbox]\nincomplete_after_seconds = 2\nsettle_seconds = 0.1\n"
KILLS, SECONDS = 40, 20.0
LONG_KILLS, LONG_SECONDS = 1000, 1200.0


class Cameras:
    """Send photos of all kinds into an inbox until they are told to stop; *sent* is the owner of each by its digest."""

    def __init__(self, inbox: Path, seed: int) -> None:
        self.sent: dict[str, str] = {}
        self.cut: list[str] = []
        self.repeated: list[str] = []
        self._inbox = inbox
        self._choice = random.Random(seed)  # noqa: S311 (it is said if something goes wrong)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        (inbox / "gate").mkdir(exist_ok=True)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send while the block lasts."""
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()

    def _run(self) -> None:
        kinds = (self._plain, self._plain, self._with_sidecar, self._slow, self._png, self._one_name, self._broken_off)
        number = 0
        while not self._over.is_set():
            number += 1
            self._choice.choice(kinds)(number)
            if number % 25 == 0:
                self._again(number)
            self._over.wait(self._choice.uniform(0, 0.08))

    def _plain(self, number: int) -> None:
        self._put(f"{number}.jpg", jpeg(number))
        self.sent[digest(jpeg(number))] = ""

    def _png(self, number: int) -> None:
        self._put(f"gate/{number}.PNG", png(number))
        self.sent[digest(png(number))] = ""

    def _with_sidecar(self, number: int) -> None:
        self._own(f"gate/{number}.json", number)
        self._put(f"gate/{number}.jpg", jpeg(number))
        self.sent[digest(jpeg(number))] = f"owner {number}"

    def _one_name(self, number: int) -> None:
        """Overwrite nothing that was not fetched: a photo that is gone before we saw it is nobody's promise."""
        if not list(self._inbox.glob("cam.*")):
            self._own("cam.json", number)
            self._put("cam.jpg", jpeg(number))
            self.sent[digest(jpeg(number))] = f"owner {number}"

    def _slow(self, number: int) -> None:
        data = jpeg(number)
        with (self._inbox / f"{number}.jpg").open("wb", buffering=0) as file:
            file.write(data[:300])
            self._over.wait(0.15)
            file.write(data[300:])
        self.sent[digest(data)] = ""

    def _broken_off(self, number: int) -> None:
        self._put(f"gate/{number}.jpg", jpeg(number)[:300])
        self.cut.append(digest(jpeg(number)[:300]))

    def _again(self, number: int) -> None:
        data = jpeg(100_000)
        self._put(f"again {number}.jpg", data)
        if digest(data) in self.sent:
            self.repeated.append(digest(data))
        self.sent[digest(data)] = ""

    def _own(self, path: str, number: int) -> None:
        self._put(path, json.dumps({"propietario": f"owner {number}"}).encode())

    def _put(self, path: str, data: bytes) -> None:
        target = self._inbox / path
        hidden = target.with_name(f".{target.name}.part")
        hidden.write_bytes(data)
        hidden.rename(target)


def kill_often(house: House, choice: random.Random, *, kills: int, seconds: float) -> int:
    """Start the program and kill it after a random while, *kills* times or for some *seconds*; return how often."""
    until = time.monotonic() + seconds
    for number in range(kills):
        if time.monotonic() > until:
            return number
        with house.log.open("ab") as log:
            process = subprocess.Popen(
                [*PROGRAM, "--config", str(house.config), "run"],
                cwd=house.root,
                env=house.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
            before = len(house.rows())
            # Half of them as soon as it has begun to work, the others whenever it happens to be.
            if choice.random() < 0.5:
                eventually(lambda before=before: len(house.rows()) > before, 2.0)  # type: ignore[misc]
                threading.Event().wait(choice.uniform(0, 0.3))
            else:
                threading.Event().wait(choice.uniform(0, 1.5))
            process.kill()
            process.wait()
    return kills


@pytest.mark.slow
@pytest.mark.timeout(LONG_SECONDS + 300)
def test_no_kill_costs_a_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, long: bool) -> None:
    """Every photo has its bytes in `uploads/`, exactly one row, and the fields of its own sidecar."""
    seed = time.time_ns() % 1_000_000
    house, choice = House(tmp_path, SETTINGS), random.Random(seed)  # noqa: S311 (it is said below)
    cameras = Cameras(house.inbox, seed)
    with cameras.sending():
        kills = kill_often(
            house, choice, kills=LONG_KILLS if long else KILLS, seconds=LONG_SECONDS if long else SECONDS
        )
    with house.running():
        assert eventually(lambda: house.is_empty() and len(house.rows()) >= len(cameras.sent), PATIENCE * 2), seed
    rows = house.rows()
    photos = {path.name: digest(path.read_bytes()) for path in house.uploads.iterdir()}
    kept = {
        reason: Counter(digest(path.read_bytes()) for path in (house.quarantine / reason).glob("*.jpg"))
        for reason in ("truncated", "duplicate")
    }

    assert sorted(cameras.sent) == sorted(photos.values()), f"lost or doubled, seed {seed}"
    assert sorted(photos) == sorted(row["imagen"] for row in rows), f"rows, seed {seed}"
    assert cameras.sent == {photos[row["imagen"]]: row["propietario"] for row in rows}, f"fields, seed {seed}"
    assert len(rows) == len({row["id"] for row in rows}), f"ids, seed {seed}"
    assert {"truncated": Counter(cameras.cut), "duplicate": Counter(cameras.repeated)} == kept, f"seed {seed}"
    assert 0 == house.command("verify").returncode, f"seed {seed}"
    with capsys.disabled():
        sys.stdout.write(f"\n{kills} random kills, {len(photos)} photos: none lost, none doubled (seed {seed})")
