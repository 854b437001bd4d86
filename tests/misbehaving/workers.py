"""Workers for a child process that hang, crash, lie, flood, and try what they may not; and one that behaves."""

# ruff: noqa: ARG002 - a method takes what the methods of a worker take, needed or not

from __future__ import annotations

import ctypes
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from watcher.errors import Deferred, EngineRefused, EngineUnavailable, SettingsInvalid, SinkUnavailable

Answer = tuple[dict[str, Any], bytes]


def worker(options: Mapping[str, Any], secret: Mapping[str, str]) -> Worker:
    """Return a worker that knows its options and its secret."""
    return Worker(options, secret)


def stillborn(options: Mapping[str, Any], secret: Mapping[str, str]) -> Worker:
    """Break while being made, in the way that *options* say, with the secret in the message."""
    if options.get("kindly"):
        raise EngineUnavailable("It is not installed.", hint="Install it.")
    raise KeyError(secret["key"])


def dripping(options: Mapping[str, Any], secret: Mapping[str, str]) -> Worker:
    """Answer one byte at a time, for ever: before it was even made."""
    del options, secret
    reply = replies()
    os.write(reply, b"\x00\x00\xff\xff")
    while True:
        threading.Event().wait(0.01)
        os.write(reply, b"\x00")


def replies() -> int:
    """Return the descriptor on which answers go to the parent."""
    return max(fd for fd in range(3, 64) if _is_open(fd))


def _is_open(fd: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")
    except OSError:
        return False


class Worker:
    """A worker with good and bad habits, a method each."""

    def __init__(self, options: Mapping[str, Any], secret: Mapping[str, str]) -> None:
        self.options = options
        self.secret = secret
        self.calls = 0

    def warm(self) -> Iterator[Callable[[], Answer]]:
        """Yield the calls that *options* want before the first one."""
        return (partial(getattr(self, name), said, b"") for name, said in self.options.get("early", ()))

    def echo(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Say what was said, and the how manieth call it is."""
        self.calls += 1
        return {"said": arguments, "calls": self.calls, "pid": os.getpid()}, blob

    def surroundings(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Say what can be seen from inside."""
        del arguments, blob
        return {
            "environment": dict(os.environ),
            "arguments": Path("/proc/self/cmdline").read_bytes().decode(),
            "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
            "session": os.getsid(0) == os.getpid(),
            "parent": os.getppid(),
            "options": dict(self.options),
            "secret": dict(self.secret),
            "input": sys.stdin.read(),
        }, b""

    def prints(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Write to standard output and error what no one asked for, as libraries do; then answer."""
        del arguments
        sys.stdout.write("a library says hello")
        sys.stdout.flush()
        os.system("echo so does a program")  # noqa: S605 - fixed words
        sys.stderr.write("x" * 300_000)
        return {}, blob

    def raises(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Raise the error that is asked for."""
        del blob
        errors: dict[str, Exception] = {
            "unavailable": EngineUnavailable("Not now.", hint="Wait.", code="resting", retry_after=7.5),
            "sink": SinkUnavailable("Away."),
            "refused": EngineRefused("Never."),
            "fatal": SettingsInvalid("Stop everything."),
            "family": Deferred("Some day."),
            "bug": KeyError(self.secret.get("key", "missing")),
            "memory": MemoryError(),
            "recursion": RecursionError("too deep"),
        }
        raise errors[arguments["which"]]

    def hangs(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Never answer, and heed no request to end; a file says that it has begun."""
        Path(tempfile.gettempdir(), "hanging").touch()
        while True:
            threading.Event().wait()

    def spins(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Use processor time without end."""
        while True:
            pass

    def toils(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Use some *seconds* of processor time."""
        end = time.process_time() + arguments["seconds"]
        while time.process_time() < end:
            pass
        return {}, b""

    def crashes(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Read where nothing is."""
        ctypes.string_at(0)
        return {}, b""

    def leaves(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Say a last word and end."""
        os.write(2, b"goodbye")
        os._exit(3)

    def answers_nan(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Answer what JSON cannot say."""
        return {"value": float("nan")}, b""

    def answers_list(self, arguments: Mapping[str, Any], blob: bytes) -> Any:
        """Answer something that is no answer."""
        return [1, 2, 3]

    def writes(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Write *blob* where answers go, as a program could that was taken over."""
        os.write(replies(), blob)
        threading.Event().wait()
        return {}, b""

    def floods(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Write without end to where answers go, or to standard error."""
        where = replies() if arguments["where"] == "replies" else 2
        while True:
            os.write(where, b"\x00\x00\x00\x10\x03\xff\xff\xff" + b" " * 65_536)

    def fills(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Ask for more and more memory."""
        hoard = []
        while True:
            hoard.append(bytearray(16 << 20))

    def stores(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Write a file of *megabytes*, and leave it and a deep nest of folders behind."""
        with tempfile.NamedTemporaryFile(delete=False) as file:
            place = Path(file.name)
            for _ in range(arguments["depth"]):
                os.mkdir("deep")
                os.chdir("deep")
            for _ in range(arguments["megabytes"]):
                file.write(b"x" * (1 << 20))
        return {"file": str(place)}, b""

    def breeds(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Leave another process behind, which keeps every pipe open, and end or answer."""
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(told, b"x")
            threading.Event().wait()
        os.read(ready, 1)
        if arguments["dies"]:
            os._exit(0)
        return {"pid": pid}, b""

    def connects(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Try to open a socket, here and in another program."""
        program = f"{sys.executable} -I -c 'import socket; socket.socket()' 2>/dev/null"
        elsewhere = os.system(program)  # noqa: S605 - our own words
        try:
            socket.socket().close()
        except PermissionError:
            return {"here": False, "elsewhere": elsewhere == 0}, b""
        return {"here": True, "elsewhere": elsewhere == 0}, b""
