"""A worker in another process, as the rest of the program sees it: call it, and it is there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from watcher.child import messages
from watcher.child.process import Process
from watcher.errors import ChildLost, Deferred, WatcherError

log = structlog.get_logger()

_START_SECONDS = 30.0
_REASON, _TRACE = 300, 4000  # characters


@dataclass(frozen=True, slots=True)
class Limits:
    """What a child may use.

    Attributes:
        memory_bytes: Of address space.
        cpu_seconds: Of processor time, for one call.
        file_bytes: In one file.
        network: It may open sockets. Where it may not, the kernel refuses (x86-64 and 64-bit ARM).

    """

    memory_bytes: int
    cpu_seconds: int
    file_bytes: int
    network: bool = False


class Child:
    """A worker in another process: started at its first call, replaced when it is lost or worn out.

    Owned by one thread; only `close` may come from another. The process dies with the thread that made the call by
    which it was started (PR_SET_PDEATHSIG), so that thread should live as long as the child is wanted.
    """

    def __init__(
        self,
        target: str,
        options: Mapping[str, Any],
        *,
        limits: Limits,
        retire_after: int,
        secret: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        paths: tuple[str, ...] = (),
    ) -> None:
        """Start nothing yet.

        Args:
            target: `module:factory`; the factory is called in the child with *options* and *secret*.
            options: What JSON can say.
            limits: For the process and whatever it starts.
            retire_after: Calls after which `rest` ends the process.
            secret: Sent as the first message: it is in no environment and on no command line.
            environment: Added to the least that we set, which is in `process`.
            paths: Folders in which modules are looked for, after the usual ones.

        """
        self._generation = 0
        self._target = target
        self._secret = dict(secret or {})
        self._retire_after = retire_after
        self._hello = {
            "target": target,
            "options": dict(options),
            "limits": asdict(limits),
            "calls": retire_after,
            "paths": list(paths),
        }
        self._environment = dict(environment or {})
        self._process: Process | None = None
        self._calls = 0
        self._young = True
        self._closed = False
        self._calling = threading.Lock()
        self._changing = threading.Lock()

    @property
    def generation(self) -> int:
        """A number that changes whenever what earlier calls left in the child is gone."""
        with self._calling:
            self._living()
            return self._generation

    def call(
        self, method: str, arguments: Mapping[str, Any], blob: bytes = b"", *, seconds: float
    ) -> tuple[dict[str, Any], bytes]:
        """Call *method* of the worker and return what it found, in *seconds* at most.

        Starting the process, where there is none, has a time of its own. An error of ours that the worker raises is
        raised again here.

        Raises:
            ChildLost: The process died, answered nonsense, or broke on something unknown; with *late*, it was killed
                at the deadline. Whatever it kept is gone, `generation` has changed, and the next call starts another.
            Deferred: No process can be started now.

        """
        with self._calling:
            process = self._living() or self._start()
            self._calls += 1
            message = messages.pack({"method": method, "arguments": dict(arguments)}, blob)
            try:
                answer = self._ask(process, message, seconds)
            except WatcherError:
                self._young = False  # a refusal is an answer too
                raise
            self._young = False
            return answer

    def rest(self) -> None:
        """Say that nothing kept in the child is needed any more; it ends here if it has answered enough calls."""
        with self._calling:
            if self._process and self._calls >= self._retire_after:
                log.debug("child.retired", child=self._target, calls=self._calls)
                self._end()

    def discard(self, reason: str) -> None:
        """End the process because it cannot be trusted any more, for the *reason* given."""
        with self._calling:
            self._lose(reason, late=False)

    def close(self) -> None:
        """End the process now and for good; a call that is running ends with ChildLost. From any thread."""
        with self._changing:
            self._closed = True
            if self._process:
                self._process.kill()
        with self._calling:
            self._end()

    def _living(self) -> Process | None:
        """Return the process, if there is one; one that died while it had nothing to do is lost to nobody."""
        if self._process and self._process.has_ended():
            self._lose("", late=False)
        return self._process

    def _start(self) -> Process:
        with self._changing:
            if self._closed:
                raise ChildLost("The child was closed.", late=False)
            try:
                process = self._process = Process(self._environment)
            except OSError as error:
                raise Deferred(
                    f"A child process cannot be started: {error.strerror}.",
                    hint="Check memory, the limits of the service, and the space for temporary files.",
                    code="child_not_started",
                ) from error
        self._calls = 0
        hello = messages.pack(self._hello | {"secret": self._secret, "parent": os.getpid()})
        found, _ = self._ask(process, hello, _START_SECONDS)
        log.debug("child.started", child=self._target, pid=process.pid, offline=found.get("offline"))
        return process

    def _ask(self, process: Process, message: bytes, seconds: float) -> tuple[dict[str, Any], bytes]:
        """Exchange one message for another; an unknown failure ends the process."""
        try:
            answer = process.exchange(message, time.monotonic() + seconds)
            head, blob = messages.unpack(answer)
            if "error" in head:
                error = messages.error_in(head["error"])
            elif isinstance(head.get("found"), dict):
                return head["found"], blob
            else:
                raise self._lose(*_broken(head), late=False)
        except TimeoutError:
            raise self._lose(f"It did not answer within {seconds:g} s and was killed.", late=True) from None
        except EOFError:
            raise self._lose("", late=False) from None
        except ValueError as nonsense:
            raise self._lose(f"It answered nonsense: {nonsense}.", late=False) from None
        raise error

    def _lose(self, reason: str, trace: str = "", *, late: bool) -> ChildLost:
        """End the process and return the error that says why; log it with the last words, unless we closed it."""
        process, closed = self._process, self._closed
        if process is None:
            return ChildLost(reason, late=late, young=self._young)
        fate = self._end()
        reason = self._redacted(reason or fate)
        if not closed:
            words = self._redacted(trace or process.last_words())
            log.warning("child.lost", child=self._target, pid=process.pid, reason=reason, late=late, tail=words)
        return ChildLost(reason, late=late, young=self._young)

    def _end(self) -> str:
        """End the process, if there is one, and return a sentence about how it ended."""
        with self._changing:
            if self._process is None:
                return ""
            fate = self._process.end()
            self._process = None
            self._generation += 1
            return fate

    def _redacted(self, text: str) -> str:
        for secret in filter(None, self._secret.values()):
            text = text.replace(secret, "[secret]")
        return text


def _broken(head: Mapping[str, Any]) -> tuple[str, str]:
    """Return a sentence and the trace for an answer that is neither a finding nor an error of ours."""
    trace = head.get("trace")
    if not isinstance(trace, str) or not trace.strip():
        raise ValueError("neither a finding nor an error")
    trace = trace.encode(errors="replace").decode()
    return f"It broke: {trace.strip().splitlines()[-1][:_REASON]}", trace[-_TRACE:]
