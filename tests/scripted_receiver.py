"""A scripted receiver of webhooks on loopback: it answers, hangs, drips, lies and hangs up as told."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

Step = Callable[[socket.socket, threading.Event], None]
"""What is done with a connection whose request was read; the event is set when the receiver is closed."""


@dataclass(frozen=True)
class Delivery:
    """One request as it came; *headers* by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def answers(status: int = 204, body: bytes = b"", **headers: str) -> Step:
    """Answer properly; an underscore in the name of a header stands for a hyphen."""
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return says("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def says(raw: bytes) -> Step:
    """Send these bytes and hang up."""
    return lambda connection, _: connection.sendall(raw)


def hangs(connection: socket.socket, over: threading.Event) -> None:
    """Take the request and never answer."""
    del connection
    over.wait()


def hangs_up(connection: socket.socket, over: threading.Event) -> None:
    """Close without a word."""
    del connection, over


def resets(connection: socket.socket, over: threading.Event) -> None:
    """Break the connection off."""
    del over
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def drips(start: bytes) -> Step:
    """Send *start*, then one byte every hundredth of a second for ever."""

    def step(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.01):
            connection.sendall(b"x")

    return step


def floods(start: bytes) -> Step:
    """Send *start*, then as many bytes as are taken, for ever."""

    def step(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.is_set():
            connection.sendall(b"x" * 65536)

    return step


class Receiver:
    """Listens on loopback and does what its steps say, one a request, the last one for ever.

    Use it as a context manager; *deliveries* holds what came, in order.
    """

    def __init__(self, *steps: Step, context: ssl.SSLContext | None = None, early: bool = False) -> None:
        """Take the steps and, for HTTPS, the *context* of the server; *early* leaves the body of requests unread."""
        self.deliveries: list[Delivery] = []
        self._steps = list(steps) or [answers()]
        self._context = context
        self._early = early
        self._over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._serve)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address to post to."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}/hook?token=t0ken"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, connection: socket.socket) -> None:
        """Read one request, note it, and do the next step; a sender who has left is none of our business."""
        with contextlib.suppress(OSError), contextlib.ExitStack() as ending:
            if self._context:
                connection = ending.enter_context(self._context.wrap_socket(connection, server_side=True))
            connection.settimeout(30)
            with connection.makefile("rb") as stream:
                head = list(iter(lambda: stream.readline().rstrip(b"\r\n").decode("latin-1"), ""))
                if head:
                    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:])}
                    body = b"" if self._early else stream.read(int(headers.get("content-length", "0")))
                    method, path, _ = head[0].split(" ", 2)
                    self.deliveries.append(Delivery(method, path, headers, body))
                    self._step()(connection, self._over)

    def _step(self) -> Step:
        return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]


class _Server(socketserver.ThreadingTCPServer):
    """Hands every connection to a function, in a thread of its own; closing waits for all of them."""

    def __init__(self, address: tuple[str, int], serve: Callable[[socket.socket], None]) -> None:
        """Listen at *address*."""
        super().__init__(address, socketserver.BaseRequestHandler)
        self._serve = serve

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        del client_address
        self._serve(request)


@contextlib.contextmanager
def unused_port() -> Iterator[int]:
    """Yield a port of loopback where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])
