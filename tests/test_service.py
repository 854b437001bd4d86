"""What the service manager is told, by a socket that stands in for it."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from watcher.service import Supervisor


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Give a socket on which the service manager would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(5.0)
        yield channel


def to(channel: socket.socket) -> Supervisor:
    """Return a supervisor that listens on *channel*."""
    return Supervisor({"NOTIFY_SOCKET": channel.getsockname()})


def test_states_go_out_as_one_datagram(listener: socket.socket) -> None:
    """Several states are lines of one message."""
    supervisor = to(listener)

    supervisor.tell("READY=1", "STATUS=Todo está bien.")

    assert supervisor.present
    assert "READY=1\nSTATUS=Todo está bien." == listener.recv(1000).decode()


def test_a_state_is_one_line_whatever_is_in_it(listener: socket.socket) -> None:
    """A folder's name with a line break, or with bytes that are no text, neither forges a state nor stops us."""
    to(listener).tell("STATUS=The inbox /caf\udce9\nWATCHDOG=trigger cannot be reached.")

    assert b"STATUS=The inbox /caf\\udce9 WATCHDOG=trigger cannot be reached." == listener.recv(1000)


def test_a_reload_tells_the_time(listener: socket.socket) -> None:
    """Type=notify-reload wants the monotonic time in microseconds beside it."""
    to(listener).reloading()

    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", listener.recv(1000).decode())


def test_the_abstract_name_space_is_reached() -> None:
    """An address that begins with @ has no file."""
    name = f"matricula-watcher-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(5.0)

        Supervisor({"NOTIFY_SOCKET": "@" + name}).tell("READY=1")

        assert b"READY=1" == channel.recv(1000)


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "/" + "x" * 200, "vsock:2:1234"])
def test_nobody_listening_is_no_reason_to_stop(address: str) -> None:
    """Without a manager, with one that is gone, or with one whose kind is not known, telling does nothing."""
    supervisor = Supervisor({"NOTIFY_SOCKET": address})

    supervisor.tell("READY=1")

    assert bool(address) == supervisor.present
    assert not Supervisor({}).present


def test_a_manager_that_does_not_take_its_messages_does_not_hold_us_up(listener: socket.socket) -> None:
    """When its queue is full the message is lost after a second; the next one comes."""
    supervisor = to(listener)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while other.sendto(b"x", listener.getsockname()):
                pass

    supervisor.tell("WATCHDOG=1")

    assert b"x" == listener.recv(1000)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
    ],
)
def test_the_watchdog_is_known_if_it_is_for_us(environment: dict[str, str], seconds: float | None) -> None:
    """A time for another process, or one that is no time, asks nothing of us."""
    assert seconds == Supervisor(environment).watchdog_seconds
