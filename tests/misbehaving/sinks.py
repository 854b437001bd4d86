"""Sinks that fail, refuse, hang, lie and crash; and what receivers do to the sinks that talk to them."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.scripted_receiver import Step, answers, drips, floods, hangs, hangs_up, resets, says
from watcher.errors import DeliveryRefused, SinkUnavailable
from watcher.model import Record


@dataclass
class Told:
    """Takes everything, and remembers it with its key."""

    name: str = "told"
    deliveries: list[tuple[Record, str]] = field(default_factory=list)

    def send(self, record: Record, key: str) -> None:
        """Remember *record* and *key*."""
        self.deliveries.append((record, key))


@dataclass
class Away:
    """Is not there for the first *times* deliveries, for ever by default; may ask for a pause."""

    name: str = "away"
    times: int | None = None
    retry_after: float | None = None
    deliveries: list[tuple[Record, str]] = field(default_factory=list)

    def send(self, record: Record, key: str) -> None:
        """Raise, or take it once there were enough failures."""
        if self.times is None or self.times > 0:
            self.times = None if self.times is None else self.times - 1
            raise SinkUnavailable("Nobody is there.", retry_after=self.retry_after)
        self.deliveries.append((record, key))


@dataclass
class Refusing:
    """Never takes anything."""

    name: str = "refusing"

    def send(self, record: Record, key: str) -> None:
        """Refuse."""
        del record, key
        raise DeliveryRefused("Not this one.", hint="Ask them why.")


@dataclass
class Crashing:
    """Breaks its contract: raises what no sink may raise."""

    name: str = "crashing"

    def send(self, record: Record, key: str) -> None:
        """Divide by nothing."""
        del record, key
        raise ZeroDivisionError("a bug in a sink")


@dataclass
class Forgetful:
    """Takes it, and then says that it could not be reached."""

    name: str = "forgetful"
    deliveries: list[tuple[Record, str]] = field(default_factory=list)

    def send(self, record: Record, key: str) -> None:
        """Remember *record* and *key*, and raise all the same."""
        self.deliveries.append((record, key))
        raise SinkUnavailable("The answer was lost.")


@dataclass
class Hanging:
    """Does not come back until it is let go; *entered* is set while it hangs."""

    name: str = "hanging"
    entered: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    deliveries: list[tuple[Record, str]] = field(default_factory=list)

    def send(self, record: Record, key: str) -> None:
        """Wait to be let go."""
        self.entered.set()
        self.let_go.wait()
        self.deliveries.append((record, key))


@dataclass
class Deadly:
    """Kills the process that uses it."""

    name: str = "deadly"

    def send(self, record: Record, key: str) -> None:
        """End at once, without any clearing up."""
        del record, key
        os._exit(9)


OK = b"HTTP/1.1 200 OK\r\n"

UNAVAILABLE: Mapping[str, Step] = {
    "fails": answers(500, b"secret of the receiver"),
    "is busy": answers(429, Retry_After="7"),
    "is starting": answers(503, Retry_After="soon"),
    "wants it later": answers(425),
    "is slow": answers(408),
    "hangs": hangs,
    "hangs up": hangs_up,
    "resets": resets,
    "drips its status": drips(b"HTTP/1.1 200 "),
    "drips its headers": drips(OK + b"X-Long: "),
    "floods its headers": floods(OK + b"X-Long: "),
    "never gets to the point": says(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "answers garbage": says(b"secret of the receiver\r\n\r\n"),
    "answers nonsense": says(b"HTTP/1.1 two hundred\r\n\r\n"),
    "speaks TLS": says(b"\x16\x03\x01\x02\x00"),
    "switches protocols": says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "stops in its headers": says(OK + b"Content-Length: 5\r\n"),
}
"""Receivers that should be told again later."""

REFUSING: Mapping[str, Step] = {
    "redirects": answers(307, Location="http://169.254.169.254/latest/meta-data/"),
    "has moved": answers(301),
    "is not modified": answers(304),
    "is gone": answers(410, Retry_After="7"),
    "forbids": answers(403, b"secret of the receiver"),
    "finds nothing": answers(404),
    "finds it too large": answers(413),
}
"""Receivers that should not be told again."""

TAKING: Mapping[str, Step] = {
    "answers": answers(200, b"thank you"),
    "answers nothing": answers(204),
    "drips its body": drips(OK + b"\r\n"),
    "floods its body": floods(OK + b"\r\n"),
    "lies about its length": says(OK + b"Content-Length: 1000000000000\r\n\r\nshort"),
    "lies about its encoding": says(OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain"),
    "breaks its chunks": says(OK + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"),
}
"""Receivers that have taken it, whatever they do afterwards."""
