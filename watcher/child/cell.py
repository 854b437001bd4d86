"""The inside of a child process: give up what is not needed, then answer calls until the parent is gone.

Started by `process.Process` in a fresh interpreter. Imports little, because every new child waits for it.
"""

from __future__ import annotations

import ctypes
import importlib
import math
import os
import platform
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from operator import methodcaller
from typing import Any, BinaryIO

from watcher.child import messages
from watcher.errors import WatcherError

_TRACE = 4000  # characters

# linux/prctl.h, linux/seccomp.h, linux/filter.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _DENY = 0x7FFF0000, 0x00050000 | 1  # the second: fail with EPERM
_CALL_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_IO_URING_SETUP = 425
_X32 = 0x40000000
# audit architecture and number of socket(2)
_MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}


def serve() -> None:
    """Take the pipes and the first message, confine this process, and work until the parent is gone."""
    commands, replies = _take_pipes()
    hello, _ = messages.receive(commands)
    limits = hello["limits"]
    offline = confine(limits, calls=hello["calls"], parent=hello["parent"])
    sys.path.extend(hello["paths"])
    work(commands, replies, hello, offline=offline)


def work(commands: BinaryIO, replies: BinaryIO, hello: Mapping[str, Any], *, offline: bool) -> None:
    """Make the worker that *hello* describes and answer calls with its methods until *commands* ends.

    The factory `target` (`module:name`) is called with `options` and `secret`. The methods of what it returns take a
    dictionary and bytes, and return a dictionary and bytes. If it has a method `warm`, that is called first, in the
    time that the start has; it yields what can be done before there is a call, and a step that fails stops nothing.
    """
    made: list[Any] = []

    def make() -> tuple[dict[str, Any], bytes]:
        worker = _find(hello["target"])(hello["options"], hello["secret"])
        for step in getattr(worker, "warm", tuple)():
            _answer(step)  # what was wrong comes out again, and is told, when a call needs it
        made.append(worker)
        return {"offline": offline}, b""

    _reply(replies, _answer(make))
    while made:
        try:
            head, blob = messages.receive(commands)
        except EOFError:
            return
        allow_processor_time(hello["limits"]["cpu_seconds"])
        _reply(replies, _answer(partial(methodcaller(head["method"], head["arguments"], blob), made[0])))


def confine(limits: Mapping[str, Any], *, calls: int, parent: int) -> bool:
    """Set the limits for this process, tie its life to that of *parent*, and return whether the network is closed.

    The processor time allowed grows with every call, up to what *calls* of them may use.
    """
    library = ctypes.CDLL(None)
    library.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we could ask to be told
        os._exit(0)
    library.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # a neighbour under the same user may not read our memory
    library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for kind, most in ((resource.RLIMIT_AS, "memory_bytes"), (resource.RLIMIT_FSIZE, "file_bytes")):
        resource.setrlimit(kind, (limits[most], limits[most]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_seconds"], limits["cpu_seconds"] * (calls + 1)))
    return not limits["network"] and _close_network(library)


def allow_processor_time(seconds: int) -> None:
    """Let this process use *seconds* of processor time from now on, within the hard limit it has."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(math.ceil(used.ru_utime + used.ru_stime) + seconds, hard), hard))


def _close_network(library: ctypes.CDLL) -> bool:
    """Refuse socket(2) for ever, also to programs started from here; return whether this kernel does so."""
    if platform.machine() not in _MACHINES:
        return False
    architecture, socket = _MACHINES[platform.machine()]
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 4, architecture),
        (_LOAD, 0, 0, _CALL_NUMBER),
        (_AT_LEAST, 2, 0, _X32),
        (_EQUAL, 1, 0, socket),
        (_EQUAL, 0, 1, _IO_URING_SETUP),  # sockets can be had through it as well
        (_RETURN, 0, 0, _DENY),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    return bool(library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0) == 0)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Return streams for calls and answers, and leave none for libraries: what they print goes to standard error."""
    commands, replies = os.dup(0), os.dup(1)  # not inherited by programs started from here
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(commands, "rb"), os.fdopen(replies, "wb")


def _find(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    factory: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return factory


def _answer(call: Callable[[], tuple[dict[str, Any], bytes]]) -> bytes:
    """Return the message that says how *call* went: what it found, which error it raised, or where it broke."""
    try:
        found, blob = call()
        return messages.pack({"found": found}, blob)
    except WatcherError as error:
        return messages.pack({"error": messages.error_out(error)})
    except Exception:  # noqa: BLE001 - the parent is told, and ends this process
        return messages.pack({"trace": traceback.format_exc()[-_TRACE:]})


def _reply(replies: BinaryIO, message: bytes) -> None:
    replies.write(message)
    replies.flush()
