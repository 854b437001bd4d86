"""The way to a receiver: only to addresses that were checked, and under one deadline.

The connection is made here and not by the HTTP library, for two promises that it cannot keep. The name is looked up
once, and the address that was checked is the one connected to, so a name that changes its mind leads nowhere else.
And one deadline spans everything that happens on a connection, so a receiver that drips its answer holds nothing up.

Residual risk: the look-up itself is bounded by the resolver's own limits (resolv.conf), not by the deadline.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore2

from watcher.errors import DeliveryRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Found = tuple[int, int, int, str, tuple[Any, ...]]
"""One of what `socket.getaddrinfo` returns: family, type, protocol, canonical name, socket address."""
Resolve = Callable[[bytes, int], Sequence[Found]]
"""Takes a host and a port and returns where to connect; raises OSError if it does not know."""

_CONNECT_SECONDS = 5.0
_UNICAST = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Services of the cloud itself on addresses that Python counts as public: Oracle's and Azure's.
_CLOUD = (ipaddress.ip_network("192.0.0.0/24"), ipaddress.ip_network("168.63.129.16/32"))


def public(address: Address) -> bool:
    """Whether *address* lies on the open internet: not loopback, link-local, private, multicast or a cloud's own.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is judged as what it is.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not (address.is_multicast or any(address in cloud for cloud in _CLOUD))
    inside = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        inside = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return public(inside) if inside else address.is_global and address in _UNICAST


def look_up(host: bytes, port: int) -> Sequence[Found]:
    """Ask the resolver of this machine; raise OSError if it does not know the name."""
    # As bytes: a text would go through a codec that raises UnicodeError for odd names.
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


@dataclass(frozen=True, slots=True)
class Route(httpcore2.NetworkBackend):
    """Makes the connections of one sink; each may last *seconds* from its beginning, whatever happens on it.

    Raises `DeliveryRefused` if the name leads to no address that may be connected to, and OSError as it comes.
    """

    seconds: float
    allow_private: bool
    resolve: Resolve = look_up

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """Connect to the first address of *host* that answers; the deadline stands for all the timeouts."""
        del timeout, local_address, socket_options
        ends = time.monotonic() + self.seconds
        failure = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in self._checked(host, port):
            try:
                return _connected(socket.socket(family, kind, protocol), address, ends)
            except OSError as error:
                failure = error
        raise failure

    def _checked(self, host: str, port: int) -> list[Found]:
        """Look *host* up, and return those of its addresses that may be connected to."""
        found = self.resolve(host.encode("ascii"), port)
        allowed = [one for one in found if self.allow_private or public(ipaddress.ip_address(one[4][0]))]
        if found and not allowed:
            raise DeliveryRefused(
                f"{host} leads into the local network or to this machine, where nothing is sent.",
                hint="If that is meant, set allow_private = true for this sink and run `retry`.",
                code="private_target",
            )
        return allowed


def _connected(line: socket.socket, address: tuple[Any, ...], ends: float) -> Line:
    """Return *line* connected to *address*, or close it and raise OSError."""
    with contextlib.ExitStack() as failing:
        failing.callback(line.close)
        line.settimeout(min(_left(ends), _CONNECT_SECONDS))
        line.connect(address)
        failing.pop_all()
    return Line(line, ends)


def _left(ends: float) -> float:
    """Return the seconds until *ends* on the monotonic clock; raise TimeoutError if there are none."""
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left


@dataclass(frozen=True, slots=True)
class Line(httpcore2.NetworkStream):
    """A connection that raises TimeoutError from the moment *ends* on the monotonic clock, and OSError as it comes."""

    connection: socket.socket
    ends: float

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has come, nothing at its end."""
        del timeout
        self.connection.settimeout(_left(self.ends))
        return self.connection.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of *buffer*; WriteError, if it is not taken, tells the library to look for an early answer."""
        del timeout
        rest = memoryview(buffer)
        while rest:
            self.connection.settimeout(_left(self.ends))
            try:
                rest = rest[self.connection.send(rest) :]
            except ConnectionError as error:
                raise httpcore2.WriteError from error

    def close(self) -> None:
        """End the connection."""
        self.connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        """Return the same connection under TLS, the certificate checked against the name that was configured."""
        del timeout
        with contextlib.ExitStack() as failing:
            failing.callback(self.close)
            self.connection.settimeout(_left(self.ends))
            secured = ssl_context.wrap_socket(self.connection, server_hostname=server_hostname)
            failing.pop_all()
        return Line(secured, self.ends)
