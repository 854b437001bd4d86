"""One running child as its parent sees it: started by exec, spoken to over pipes, killed as a group."""

from __future__ import annotations

import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, cast

from watcher.child import messages
from watcher.child.scratch import Scratch

_REAP_SECONDS = 5.0
_CHUNK = 1 << 16
_TAIL = 4000  # bytes of standard error kept
# Our own package is imported from where the parent has it; its folder goes last afterwards, so that nothing beside the
# package can hide a module of the standard library.
_PROGRAM = """\
import sys
sys.path.insert(0, sys.argv[1])
import watcher
sys.path.append(sys.path.pop(0))
from watcher.child.cell import serve
serve()
"""
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    # Readers are the threads there are: a library's own would fight them, and each maps memory that counts.
    "OMP_THREAD_LIMIT": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    # Otherwise onnxruntime tells its maker of every start, by a thread and a database of its own.
    "ORT_DISABLE_TELEMETRY": "1",
}


class Process:
    """A fresh interpreter that runs `cell.serve`, in a session and a TMPDIR of its own.

    It inherits no descriptor, and of the environment nothing. It ends with the thread that started it, or at the end
    of its standard input.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it, with *environment* added to the least that we set."""
        with ExitStack() as undo:
            self._scratch = Scratch()
            undo.callback(self._scratch.remove)
            self._process = undo.enter_context(_spawned(self._scratch.path, environment))
            self._ended = os.pidfd_open(self._process.pid)
            undo.pop_all()
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._pipes = cast("tuple[IO[bytes], IO[bytes], IO[bytes]]", pipes)
        for pipe in self._pipes:
            os.set_blocking(pipe.fileno(), False)
        self.pid = self._process.pid
        self._tail = b""

    def has_ended(self) -> bool:
        """Say whether it is gone."""
        look = select.poll()
        look.register(self._ended, select.POLLIN)
        return bool(look.poll(0))

    def exchange(self, message: bytes, deadline: float) -> bytes:
        """Send *message* and return the one that comes back.

        Args:
            message: As `messages.pack` makes it.
            deadline: For everything together, by the monotonic clock.

        Raises:
            TimeoutError: The deadline has come; a child that drips does not put it off.
            EOFError: The child is gone.
            ValueError: What comes back is longer than we take.

        """
        sending, receiving, errors = self._pipes
        left, answer = memoryview(message), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(sending, selectors.EVENT_WRITE)
            for source in (receiving, errors, self._ended):
                selector.register(source, selectors.EVENT_READ)
            while (remaining := deadline - time.monotonic()) > 0:
                ready = {key.fileobj for key, _ in selector.select(remaining)}
                if errors in ready and not self._listen(errors):
                    selector.unregister(errors)
                if sending in ready:
                    left = _send(sending, left)
                    if not left:
                        selector.unregister(sending)
                if receiving in ready:
                    if _whole(answer, receiving):
                        return bytes(answer)
                elif self._ended in ready:
                    raise EOFError
        raise TimeoutError

    def kill(self) -> None:
        """Kill the whole group, without waiting for its end."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> str:
        """Kill the group, reap the child, remove what it left, and return a sentence on how it ended."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel is left to it
            self._process.wait(_REAP_SECONDS)
        self._listen(self._pipes[2])
        for pipe in self._pipes:
            pipe.close()
        os.close(self._ended)
        self._scratch.remove()
        return _fate(self._process.returncode)

    def last_words(self) -> str:
        """Return the end of what it wrote to standard error."""
        return self._tail.decode(errors="replace")

    def _listen(self, errors: IO[bytes]) -> bool:
        """Take what is there on standard error, keep the end of it, and return whether there may be more."""
        heard = errors.read(_CHUNK)
        self._tail = (self._tail + (heard or b""))[-_TAIL:]
        return heard != b""


def _spawned(scratch: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-X", "faulthandler", "-c", _PROGRAM, str(Path(__file__).parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=scratch,
        env=_ENVIRONMENT | dict(environment) | {"TMPDIR": scratch},
        start_new_session=True,
    )


def _send(pipe: IO[bytes], left: memoryview) -> memoryview:
    """Write what the pipe takes of *left* and return the rest; to a child that is gone, none is left."""
    try:
        return left[pipe.write(left[:_CHUNK]) or 0 :]
    except BrokenPipeError:
        return left[:0]


def _whole(answer: bytearray, pipe: IO[bytes]) -> bool:
    """Add to *answer* what is there and return whether it is a whole message; raise EOFError if nothing more comes."""
    heard = pipe.read(_CHUNK)
    if heard == b"":
        raise EOFError
    answer += heard or b""
    length = messages.length(answer)
    if length is not None and len(answer) > length:
        raise ValueError("more than one message")
    return length == len(answer)


def _fate(code: int | None) -> str:
    if code is None:
        return "It could not be ended."
    if code == -signal.SIGXCPU:
        return "It used up its processor time."
    if code < 0:
        return f"It ended by {signal.Signals(-code).name}."
    return f"It ended with exit code {code}."
