"""The files that wait for their next look, each once, in the order in which their waits end."""

from __future__ import annotations

import heapq

_ROOM, _SLOW_ROOM = 4096, 20_000


class Candidates:
    """Paths and when to look at them again, by the monotonic clock.

    Those that may never arrive have a room of their own, so that they cannot keep others out; what finds no room even
    there is dropped, and found again by the next listing.
    """

    def __init__(self, room: int = _ROOM, slow_room: int = _SLOW_ROOM) -> None:
        self._room, self._slow_room = room, slow_room
        self._due: list[tuple[float, bytes]] = []
        self._known: set[bytes] = set()
        self._slow: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def have_room(self) -> bool:
        """Whether one more can be added."""
        return len(self._known) - len(self._slow) < self._room

    @property
    def imminent(self) -> bool:
        """Whether one of them is new, or whole and about to arrive."""
        return len(self._known) > len(self._slow)

    @property
    def next_due(self) -> float:
        """When the first wait ends; infinity if nothing waits."""
        return self._due[0][0] if self._due else float("inf")

    def add(self, path: bytes, now: float) -> None:
        """Have *path* looked at, after those that have been waiting for longer; nothing if it waits already."""
        if path not in self._known:
            self._known.add(path)
            heapq.heappush(self._due, (now, path))

    def take(self, now: float) -> bytes | None:
        """Return the path whose wait ended first, none if none has ended; it must be postponed or dropped next."""
        return heapq.heappop(self._due)[1] if self.next_due <= now else None

    def postpone(self, path: bytes, until: float, *, slow: bool) -> bool:
        """Have *path* looked at again; *slow* if it may never arrive. Return whether there was room for it."""
        self._slow.discard(path)
        if slow and len(self._slow) >= self._slow_room:
            self._known.discard(path)
            return False
        if slow:
            self._slow.add(path)
        heapq.heappush(self._due, (until, path))
        return True

    def drop(self, path: bytes) -> None:
        """Let *path*, which was taken, go."""
        self._slow.discard(path)
        self._known.discard(path)
