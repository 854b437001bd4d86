"""A kernel that refuses, a process that is killed at its n-th act on the disk, and somebody who meddles in between."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Answer = TypeVar("Answer")

_NUMBERS = {
    "x86_64": {
        "write": 1,
        "lseek": 8,
        "pread64": 17,
        "pwrite64": 18,
        "fcntl": 72,
        "flock": 73,
        "getdents64": 217,
        "fsync": 74,
        "fdatasync": 75,
        "ftruncate": 77,
        "openat": 257,
        "newfstatat": 262,
        "unlinkat": 263,
        "linkat": 265,
        "sync_file_range": 277,
        "inotify_init": 253,
        "inotify_add_watch": 254,
        "renameat2": 316,
    },
    "aarch64": {
        "write": 64,
        "lseek": 62,
        "pread64": 67,
        "pwrite64": 68,
        "fcntl": 25,
        "flock": 32,
        "getdents64": 61,
        "fsync": 82,
        "fdatasync": 83,
        "ftruncate": 46,
        "openat": 56,
        "newfstatat": 79,
        "unlinkat": 35,
        "linkat": 37,
        "sync_file_range": 84,
        "inotify_init": 26,
        "inotify_add_watch": 27,
        "renameat2": 276,
    },
}
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NOBODY = 65534
_REFUSE, _ALLOW = 0x00050000, 0x7FFF0000
_ACTS = frozenset({os.open, os.write, os.fsync, os.ftruncate, os.unlink, os.link, os.mkdir, os.utime, os.close})


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def refused(call: str, number: int, act: Callable[[], Answer]) -> Answer:
    """Return what *act* returns in a thread of its own, in which every system call *call* fails with errno *number*.

    The filter is one of seccomp(2), in the classic BPF of linux/filter.h; it ends with the thread.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(_install, _NUMBERS[platform.machine()][call], number).result()
        return thread.submit(act).result()


def _install(call: int, number: int) -> None:
    steps = ((_LOAD, 0, 0), (_JUMP_IF_EQUAL, 1, call), (_RETURN, 0, _REFUSE | number), (_RETURN, 0, _ALLOW))
    code = b"".join(struct.pack("HBBI", step, 0, skip, value) for step, skip, value in steps)
    buffer = ctypes.create_string_buffer(code, len(code))
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), ctypes.addressof(buffer))
    failed = libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        _PR_SET_SECCOMP, _FILTER, ctypes.byref(program), 0, 0
    )
    assert not failed, os.strerror(ctypes.get_errno())


def killed(act: Callable[[], object], at: int, *, room: int | None = None) -> bool:
    """Run *act* in a child that is killed before its act number *at* on the disk; return whether it came to that.

    With *room*, files cannot grow beyond that many bytes from there on: act number *at* is done as far as that goes,
    and the child is killed after it.
    """
    child = os.fork()
    if not child:
        os._exit(_doomed(act, at, room))
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not os.WEXITSTATUS(status), "the child failed by itself"
    return os.WIFSIGNALED(status)


def unprivileged(act: Callable[[], object]) -> bool:
    """Run *act* in a child that is nobody and may nothing, as after `setpriv`; return whether it came through."""
    child = os.fork()
    if not child:
        if not os.geteuid():
            os.setgroups([])
            os.setresgid(_NOBODY, _NOBODY, _NOBODY)
            os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        os._exit(_doomed(act, 0, None))
    return os.waitpid(child, 0)[1] == 0


def meddling(moment: object, meddle: Callable[[], object], act: Callable[[], Answer], *, call: int = 1) -> Answer:
    """Return what *act* returns, with *meddle* done right before its call number *call* of the builtin *moment*."""
    calls = 0

    def watch(_frame: FrameType, event: str, function: object) -> None:
        nonlocal calls
        if event == "c_call" and function is moment:
            calls += 1
            if calls == call:
                meddle()

    with _watching(watch):
        return act()


def counted(function: object, act: Callable[[], object]) -> int:
    """Return how often *act* calls the builtin *function*."""
    calls = 0

    def watch(_frame: FrameType, event: str, called: object) -> None:
        nonlocal calls
        calls += event == "c_call" and called is function

    with _watching(watch):
        act()
    return calls


@contextmanager
def _watching(watch: Callable[[FrameType, str, object], None]) -> Iterator[None]:
    """Let *watch* see what this thread, and those that it starts, call and return from, one at a time."""
    turn = threading.Lock()

    def in_turn(frame: FrameType, event: str, function: object) -> None:
        with turn:
            watch(frame, event, function)

    sys.setprofile(in_turn)
    threading.setprofile(in_turn)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def _doomed(act: Callable[[], object], at: int, room: int | None) -> int:
    count = 0

    def watch(_frame: FrameType, event: str, function: object) -> None:
        nonlocal count
        if not event.startswith("c_") or function not in _ACTS:
            return
        count += event == "c_call"
        if count == at and room is not None and event == "c_call":
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        elif count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with _watching(watch):
            act()
    except BaseException:  # noqa: BLE001 (whatever it is, the child must end here and not go on as a second pytest)
        return 1
    return 0
