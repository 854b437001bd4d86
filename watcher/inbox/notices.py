"""Say once what stands in the inbox and will be left there."""

from __future__ import annotations

import os

import structlog

log = structlog.get_logger()

_MOST = 10_000


class Notices:
    """What was said already; after some thousand nothing more is, lest a stranger fill our memory and the log."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._said: set[tuple[str | int | bytes, ...]] = set()

    def unwritable(self, folder: bytes) -> None:
        """Say that nothing may be removed from *folder*, so nothing is taken from it."""
        if self._new("unwritable", folder):
            log.warning("inbox.unwritable", folder=folder or b".")

    def ignored(self, path: bytes, why: str, *identity: int) -> None:
        """Say that *path* is left alone; of files of another kind, only once for each ending."""
        ending = os.path.splitext(path)[1].lower()
        if self._new(why, *(identity or (ending if why == "suffix" else path,))):
            log.warning("inbox.ignored", path=path, reason=why)

    def _new(self, *key: str | int | bytes) -> bool:
        if key in self._said or len(self._said) >= self._most:
            return False
        self._said.add(key)
        return True
