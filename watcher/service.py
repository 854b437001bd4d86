"""Tell the service manager how we are, as sd_notify(3) and sd_watchdog_enabled(3) describe it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

_SEND_SECONDS = 1.0


class Supervisor:
    """The service manager that started us, or nobody; *environment* says which.

    Attributes:
        watchdog_seconds: How long it may not hear from us before it thinks that we hang; none if it does not mind.

    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_seconds = (int(microseconds) / 1e6 or None) if ours and microseconds.isdecimal() else None

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
        lines = "\n".join(state.replace("\n", " ") for state in states)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(_SEND_SECONDS)
                channel.sendto(lines.encode("utf-8", "backslashreplace"), address)
        except OSError:
            return

    def reloading(self) -> None:
        """Announce a reload; newer managers want the time beside it, older ones ignore it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
