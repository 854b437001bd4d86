"""An inbox on a real folder, looked at round by round by a clock that tests turn."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.makers import Hands
from watcher.arrivals import Patience
from watcher.inbox import Inbox
from watcher.inbox.sentry import Mode
from watcher.model import Arrival, Image

SPINS = 200
"""Rounds without a pause that are still work and not a busy loop."""


def put(root: bytes, path: bytes, data: bytes) -> bytes:
    """Put a file below *root* in one piece, as who renames does; return where it lies."""
    target = os.path.join(root, path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    hidden = os.path.join(root, b".coming")
    with open(hidden, "wb") as file:
        file.write(data)
    os.rename(hidden, target)
    return target


class Door:
    """The inbox below *root*, what arrived from it, and how often it was looked at.

    Attributes:
        admitted: What `latest_from` answers.
        rounds: How many rounds there were.
        checks: How often the health of the watch was asked for.
        network: The devices that are network mounts.

    """

    def __init__(
        self,
        root: bytes,
        hands: Hands,
        *,
        mode: Mode = "poll",
        patience: Patience | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        self.root, self.hands = root, hands
        self.admitted: dict[bytes, Image] = {}
        self.network: frozenset[int] = frozenset()
        self.rounds = self.checks = 0
        self.bell = threading.Event()
        self.inbox = Inbox(
            Path(os.fsdecode(root)),
            mode=mode,
            patience=patience or Patience(),
            ignore=ignore,
            clocks=hands.clocks,
            bell=self.bell,
            latest_from=self._latest_from,
            network_devices=self._network_devices,
        )

    def _network_devices(self) -> frozenset[int]:
        self.checks += 1
        return self.network

    def _latest_from(self, paths: Sequence[bytes]) -> Image | None:
        return next((self.admitted[path] for path in paths if path in self.admitted), None)

    def put(self, path: bytes, data: bytes) -> bytes:
        """Put a file into the inbox in one piece."""
        return put(self.root, path, data)

    def wait(self, seconds: float, limit: int = 64) -> list[Arrival]:
        """Do what the keeper does for so many seconds by the clock, and return what arrived and was taken out."""
        end, spins, arrivals = self.hands.monotonic + seconds, 0, list[Arrival]()
        while True:
            came = self.inbox.round(limit)
            self.rounds += 1
            for arrival in came:
                self._take(arrival)
            arrivals += came
            pause = self.inbox.pause()
            spins = 0 if pause or came else spins + 1
            assert spins < SPINS, "a busy loop"
            if self.hands.monotonic + pause > end:
                self.hands.turn(end - self.hands.monotonic)
                return arrivals
            self.hands.turn(pause)

    def paths(self, seconds: float) -> list[bytes]:
        """Return the paths of what arrives whole within so many seconds."""
        return [arrival.image.path for arrival in self.wait(seconds) if not arrival.rejection]

    def _take(self, arrival: Arrival) -> None:
        """Take an arrival away, with its sidecar, as storing it does."""
        os.unlink(os.path.join(self.root, arrival.image.path))
        if arrival.sidecar is not None and os.path.lexists(os.path.join(self.root, arrival.sidecar.path)):
            os.unlink(os.path.join(self.root, arrival.sidecar.path))
