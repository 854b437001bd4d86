"""Keep the inbox watched: choose events or polling, rebuild what failed, and say when it cannot be reached."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from watcher.inbox.mounts import current_network_devices
from watcher.inbox.watch import Watch

log = structlog.get_logger()

Mode = Literal["auto", "native", "poll"]
_SCAN_SECONDS = 10.0
_POLL_SECONDS = 2.0
_REBUILD_AT, _REBUILD_EVERY = 2, 30
"""After so many listings with folders that are not watched the watch is built anew, and then once in so many."""


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
        self._was_mounted = self._unlisted = self._network_inside = False
        self._watch: Watch | None = None
        self._without_watch = self._polling_because = ""
        self._short = 0

    def stop(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def check(self) -> bool:
        """Mend the watch where needed and return whether the inbox can be listed now."""
        trouble = self._trouble()
        if trouble:
            self._lose(trouble)
            self.stop()
            return False
        if not self._unlisted:
            self._regain()
        self._without_watch = self._tend()
        self._choose_interval()
        return True

    def surveyed(self, folders: int, *, network: bool) -> None:
        """Take note of a complete listing: how many *folders* there are, and whether one lies on a *network* mount.

        A folder beyond the kernel's limit, or one that we could not read when it came, is not watched although
        watchdog says nothing.
        """
        self._unlisted = False
        self._regain()
        self._network_inside = network
        self._short = self._short + 1 if self._watch is not None and self._watch.count() < folders else 0
        if 0 < self._short <= _REBUILD_AT:
            self._stir()
        self._choose_interval()

    def failed(self, error: OSError) -> None:
        """Take note that the root could not be listed, although it seemed well."""
        self._unlisted = True
        self._lose(_said(error))

    def _lose(self, reason: str) -> None:
        if self.reachable:
            log.error("inbox.unreachable", folder=str(self.root), reason=reason)
        self.reachable = False

    def _regain(self) -> None:
        if not self.reachable:
            log.info("inbox.reachable", folder=str(self.root))
        self.reachable = True

    def _trouble(self) -> str:
        """Return why the root cannot be listed, or nothing."""
        try:
            self.network = self._network_devices()
            mounted = self.root.stat().st_dev in self.network
        except OSError as error:
            return _said(error)
        if not os.access(self.root, os.R_OK | os.X_OK, effective_ids=True):
            return "no_rights"
        if self._was_mounted and not mounted:
            return "not_mounted"
        self._was_mounted = mounted
        return ""

    def _tend(self) -> str:
        """Watch by events where they can be had; return why not, where they cannot."""
        if self._mode == "poll":
            return "chosen"
        if self._mode == "auto" and self._was_mounted:
            self.stop()
            return "network_mount"
        if self._watch is None:
            return self._start()
        if self._watch.overflowed():
            log.warning("inbox.overflowed", folder=str(self.root))
        ailment = self._watch.ailment()
        if not ailment and self._short % _REBUILD_EVERY == _REBUILD_AT:
            ailment = "folder_unwatched"
        if not ailment:
            return ""
        self.stop()
        return self._start(ailment)

    def _start(self, ailment: str = "") -> str:
        """Begin to watch, perhaps again because of an *ailment*; return why not, if the kernel grants no watch."""
        watch = Watch(self.root, self._stir)
        try:
            watch.start()
        except OSError as error:
            watch.stop()
            return _said(error)
        self._watch = watch
        if ailment:
            log.warning("inbox.rebuilt", folder=str(self.root), reason=ailment)
        else:
            log.info("inbox.watching", folder=str(self.root))
        return ""

    def _choose_interval(self) -> None:
        because = self._without_watch
        if not because and self._short > _REBUILD_AT:
            because = "too_few_watches"
        if not because and self._network_inside and self._mode == "auto":
            because = "network_mount"
        if because and because != self._polling_because:
            log.warning("inbox.polling", folder=str(self.root), reason=because, seconds=_POLL_SECONDS)
        self._polling_because = because
        self.interval = _POLL_SECONDS if because else _SCAN_SECONDS


def _said(error: OSError) -> str:
    return os.strerror(error.errno or 0)
