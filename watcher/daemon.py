"""The life of the process: lock, threads, signals, readiness, health, orderly end."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import structlog

from watcher import bootstrap, places
from watcher.bootstrap import Line
from watcher.clocks import Clocks
from watcher.errors import AlreadyRunning, Deferred, Fatal, SettingsInvalid
from watcher.service import Supervisor
from watcher.settings import FolderSettings, Settings
from watcher.vitals import Vitals

log = structlog.get_logger()

LOCK = "matricula-watcher.lock"
_BEAT = 0.5
_BEAT_ONCE = 0.05
_QUIET_BEATS = 3
_CUT_SHORT_AFTER = 8.0
_LEAVE_AFTER = 13.0
_KILLED = 143


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold the lock of the *data* folder: one process works on it at a time.

    Raises:
        AlreadyRunning: Another one does.

    """
    descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(
                f"Another matricula-watcher works on {data}.", hint="Stop it first, or use another data folder."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


class Daemon:
    """Runs a line until told to stop, or, with *until_idle*, until there is nothing left to do.

    *again* reads the settings anew for a reload; *watch* is told of the line at every beat, for a progress bar.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clocks: Clocks,
        environment: Mapping[str, str],
        again: Callable[[], Settings],
        until_idle: bool = False,
        watch: Callable[[Line], None] | None = None,
    ) -> None:
        self._settings = settings
        self._clocks = clocks
        self._service = Supervisor(environment)
        self._again = again
        self._until_idle = until_idle
        self._watch = watch or (lambda _: None)
        self._wake = threading.Event()
        self._reload = threading.Event()
        self._signals = 0
        self._fault: BaseException | None = None

    def run(self) -> Line:
        """Run, and return the line as it ended.

        Raises:
            Fatal: The process cannot go on; its `exit_code` says why.

        """
        folders = self._settings.folders
        for folder in folders.inbox, folders.uploads, folders.data:
            _make(folder)
        _check(folders)
        with locked(folders.data), self._signalled():
            line = bootstrap.assemble(self._settings, self._clocks)
            log.info("daemon.started", inbox=str(folders.inbox), register=str(line.register.path), pid=os.getpid())
            try:
                line.prepare()
            except Deferred as error:
                raise Fatal(str(error), code=error.code) from error
            threads = self._start(line)
            try:
                self._live(line, threads)
            finally:
                self._end(line, threads)
            if self._fault is not None:
                raise self._fault
            return line

    # Living

    def _live(self, line: Line, threads: list[threading.Thread]) -> None:
        vitals = Vitals(line, self._service, self._clocks)
        quiet = 0
        while not self._signals and not self._faulted():
            self._wake.wait(_BEAT_ONCE if self._until_idle else _BEAT)
            self._wake.clear()
            if self._reload.is_set():
                self._reload.clear()
                self._take_settings(line)
            vitals.beat()
            self._watch(line)
            quiet = quiet + 1 if vitals.idle() else 0
            if self._until_idle and quiet >= _QUIET_BEATS:
                return
            if not self._faulted() and not all(thread.is_alive() for thread in threads):
                raise Fatal("A thread ended without a word.", code="internal_error")

    def _faulted(self) -> bool:
        return self._fault is not None

    def _take_settings(self, line: Line) -> None:
        """Reload; a file that is wrong changes nothing."""
        self._service.reloading()
        try:
            settings = self._again()
            line.adopt(settings)
        except SettingsInvalid as error:
            log.error("daemon.reload_refused", reason=error.reason, hint=error.hint)  # noqa: TRY400 (a sentence, no trace)
        else:
            if settings.folders != self._settings.folders or settings.reading.readers != len(line.readers):
                log.warning("settings.warned", reason="[folders] and [reading] readers need a restart to change.")
            log.info("daemon.reloaded")
        self._service.tell("READY=1")
        line.ring()

    def _start(self, line: Line) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._guard, args=(worker.run,), name=worker.lane.name, daemon=True)
            for worker in line.workers
        ]
        for thread in threads:
            thread.start()
        return threads

    def _guard(self, work: Callable[[], None]) -> None:
        """Run one thread's *work* and carry what ends it to the main thread."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (nothing is swallowed: the main thread raises it)
            self._fault = self._fault or error
            self._wake.set()

    # Ending

    def _end(self, line: Line, threads: list[threading.Thread]) -> None:
        """Let each lane finish its batch; cut what takes too long short; leave what hangs behind."""
        log.info("daemon.stopping")
        self._service.tell("STOPPING=1")
        began = self._clocks.monotonic()
        for worker in line.workers:
            worker.stop()
        _join(threads, began + _CUT_SHORT_AFTER, self._clocks)
        for reader in line.readers:
            reader.close()
        _join(threads, began + _LEAVE_AFTER, self._clocks)
        hanging = [thread.name for thread in threads if thread.is_alive()]
        log.info("daemon.stopped", hanging=hanging)
        if hanging:
            # A thread stuck in the kernel would keep the interpreter from ending; stopping is the same as crashing.
            os._exit(getattr(self._fault, "exit_code", 0))
        line.close()

    @contextmanager
    def _signalled(self) -> Iterator[None]:
        """Take the signals while the line runs."""
        # A lease that is broken sends SIGIO, whose default is to end the process.
        actions: dict[signal.Signals, Callable[[int, FrameType | None], None] | signal.Handlers] = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_hangup,
            signal.SIGIO: signal.SIG_IGN,
        }
        before = {number: signal.signal(number, action) for number, action in actions.items()}
        try:
            yield
        finally:
            for number, action in before.items():
                signal.signal(number, action)

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._signals += 1
        self._wake.set()
        if self._signals > 1:
            os._exit(_KILLED)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        """Reload as a service; end as a program whose terminal went away."""
        if not self._service.present and os.isatty(0):
            self._on_stop(number, frame)
            return
        self._reload.set()
        self._wake.set()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsInvalid(
            f"The folder {folder} cannot be used: {error.strerror}.", hint="Create it, or set another in [folders]."
        ) from error


def _check(folders: FolderSettings) -> None:
    """Refuse folders that cannot keep the promises; warn about those that soon may not."""
    found = list(places.check(folders))
    wrong = [finding for finding in found if finding.level == "error"]
    if wrong:
        raise SettingsInvalid(
            " ".join(finding.says for finding in wrong), hint=" ".join(finding.remedy for finding in wrong)
        )
    for finding in found:
        if finding.level == "warning":
            log.warning("settings.warned", reason=f"{finding.says} {finding.remedy}")


def _join(threads: list[threading.Thread], until: float, clocks: Clocks) -> None:
    for thread in threads:
        thread.join(max(0.0, until - clocks.monotonic()))
