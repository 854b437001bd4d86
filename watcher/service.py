"""Tell the service manager how we are, as sd_notify(3) describes it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping


class Service:
    """The service manager that started us, or nobody; *environment* says which."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        self.watchdog_seconds = int(microseconds) / 1e6 if microseconds.isdecimal() else None

    @property
    def present(self) -> bool:
        """Whether anybody listens."""
        return bool(self._address)

    def tell(self, *states: str) -> None:
        """Send *states* such as `READY=1` as one datagram; a manager that does not listen is no reason to stop."""
        if not self._address:
            return
        # A leading @ stands for the abstract name space.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.sendto("\n".join(states).encode(), address)
            except OSError:
                return

    def reloading(self) -> None:
        """Announce a reload; newer managers want the time beside it, older ones ignore it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
