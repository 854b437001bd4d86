"""Keep the inbox watched: choose events or polling, rebuild what failed, and say when it cannot be reached."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from watcher.inbox.mounts import current_network_devices
from watcher.inbox.watch import Watch, count_watches

log = structlog.get_logger()

Mode = Literal["auto", "native", "poll"]
_SCAN_SECONDS = 10.0
_POLL_SECONDS = 2.0


class Sentry:
    """Stands guard over *root*, a real path; *stir* is called when something happened in it.

    Attributes:
        reachable: The folder answered at the last check.
        interval: Seconds after which the inbox is listed although nothing stirred.
        network: Device numbers on which events and leases prove nothing.

    """

    def __init__(
        self,
        root: Path,
        mode: Mode,
        stir: Callable[[], None],
        network_devices: Callable[[], frozenset[int]] = current_network_devices,
    ) -> None:
        self.root = root
        self.reachable = True
        self.interval = _POLL_SECONDS
        self.network: frozenset[int] = frozenset()
        self._mode = mode
        self._stir = stir
        self._network_devices = network_devices
        self._was_mounted: bool | None = None
        self._watch: Watch | None = None
        self._polling_because = ""

    def stop(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def check(self, folders: int) -> bool:
        """Mend the watch where needed and return whether the inbox can be listed now.

        *folders* is how many folders the last listing found; fewer watches than that means some are not watched.
        """
        trouble = self._trouble()
        if trouble:
            if self.reachable:
                log.error("inbox.unreachable", folder=str(self.root), reason=trouble)
            self.reachable = False
            self.stop()
            return False
        if not self.reachable:
            log.info("inbox.reachable", folder=str(self.root))
            self.reachable = True
        self._tend(folders)
        return True

    def _trouble(self) -> str:
        """Return why the root cannot be listed, or nothing."""
        try:
            self.network = self._network_devices()
            mounted = self.root.stat().st_dev in self.network
            if not os.access(self.root, os.R_OK | os.X_OK, effective_ids=True):
                return "no_rights"
        except OSError as error:
            return os.strerror(error.errno or 0)
        if self._was_mounted and not mounted:
            return "not_mounted"
        self._was_mounted = mounted
        return ""

    def _tend(self, folders: int) -> None:
        """Watch by events where they can be had, and list often where they cannot."""
        because = self._why_poll()
        if because:
            self.stop()
        elif self._watch is None:
            because = self._start()
        else:
            because = self._heal(self._watch, folders)
        self.interval = _POLL_SECONDS if because else _SCAN_SECONDS
        if because and because != self._polling_because:
            log.warning("inbox.polling", folder=str(self.root), reason=because, seconds=_POLL_SECONDS)
        self._polling_because = because

    def _why_poll(self) -> str:
        if self._mode == "poll":
            return "chosen"
        return "network_mount" if self._mode == "auto" and self._was_mounted else ""

    def _start(self) -> str:
        """Begin to watch; return why not, if the kernel grants no watch."""
        watch = Watch(self.root, self._stir)
        try:
            watch.start()
        except OSError as error:
            watch.stop()
            return os.strerror(error.errno or 0)
        self._watch = watch
        log.info("inbox.watching", folder=str(self.root))
        return ""

    def _heal(self, watch: Watch, folders: int) -> str:
        if watch.overflowed():
            log.warning("inbox.overflowed", folder=str(self.root))
        ailment = watch.ailment()
        if ailment:
            log.warning("inbox.rebuilt", folder=str(self.root), reason=ailment)
            self.stop()
            self._stir()
            return self._start()
        return "too_few_watches" if count_watches() < folders else ""
