"""The life of the process: lock, threads, signals, readiness, health, orderly end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import structlog

from watcher import bootstrap, durable, premises
from watcher.bootstrap import Line
from watcher.child import privacy
from watcher.clocks import Clocks
from watcher.errors import Deferred, DiskUnusable, Fatal, SettingsInvalid, StorageUnavailable, WatcherError
from watcher.lock import locked
from watcher.service import Supervisor
from watcher.settings import Settings
from watcher.signals import heard
from watcher.vitals import Vitals
from watcher.worker import Worker

log = structlog.get_logger()

_BEAT = 0.5
_QUICK_BEAT = 0.05
_QUIET_BEATS = 3
_CUT_SHORT_AFTER = 8.0
_LEAVE_AFTER = 12.0
_LEAVE_AT_LATEST = 14.0
_KILLED = 143


class Daemon:
    """Runs a line until told to stop, or, with *until_idle*, until there is nothing left to do.

    Args:
        settings: What to run with.
        clocks: For everything.
        environment: What the service manager says about itself.
        again: Reads the settings anew for a reload.
        adopted: Is told of settings that were taken over.
        until_idle: End by itself.
        watch: Is told of the line at every beat, for a progress bar.
        terminal: There is one, so that a hang-up means that it went away.

    """

    def __init__(
        self,
        settings: Settings,
        *,
        clocks: Clocks,
        environment: Mapping[str, str],
        again: Callable[[], Settings],
        adopted: Callable[[Settings], None] = lambda _: None,
        until_idle: bool = False,
        watch: Callable[[Line], None] = lambda _: None,
        terminal: bool = False,
    ) -> None:
        self._settings = settings
        self._clocks = clocks
        self._supervisor = Supervisor(environment)
        self._again = again
        self._adopted = adopted
        self._until_idle = until_idle
        self._watch = watch
        self._terminal = terminal and not self._supervisor.present
        self._wake, self._reload = threading.Event(), threading.Event()
        self._leaving, self._left = threading.Event(), threading.Event()
        self._signal: signal.Signals | None = None
        self._fault: WatcherError | None = None

    def run(self) -> None:
        """Run.

        Raises:
            Fatal: The process cannot go on; its `exit_code` says why.
            StorageUnavailable: With *until_idle*, the inbox does not answer.

        """
        # A child taken over by a picture must not read the key out of our memory or environment.
        privacy.hide()
        folders = self._settings.folders
        premises.prepare(folders)
        with locked(folders.data), heard(self._hear), self._bounded():
            with closing(bootstrap.assemble(self._settings, self._clocks)) as line:
                log.info("daemon.started", inbox=str(folders.inbox), register=str(line.register.path), pid=os.getpid())
                self._work(line)
            if self._fault is not None:
                raise self._fault

    def _work(self, line: Line) -> None:
        try:
            with durable.storage("the data folder"):
                line.prepare()
        except Deferred as error:
            raise DiskUnusable(error.reason, hint=error.hint, code=error.code) from error
        except FileExistsError as error:
            raise DiskUnusable(f"{error.filename} stands where a folder belongs.", hint="Move it away.") from error
        threads = self._start(line)
        try:
            self._live(line, threads)
        except WatcherError as error:
            self._fail(error)
        finally:
            self._end(line, threads)

    # Living

    def _live(self, line: Line, threads: list[threading.Thread]) -> None:
        vitals = Vitals(line, self._supervisor, self._clocks)
        quiet = 0
        while not self._leaving.is_set():
            self._wake.wait(_QUICK_BEAT if self._until_idle or not vitals.ready else _BEAT)
            self._wake.clear()
            if self._reload.is_set():
                self._reload.clear()
                self._take_settings(line)
            vitals.beat()
            self._watch(line)
            if not all(thread.is_alive() for thread in threads) and not self._leaving.is_set():
                raise Fatal("A thread ended without a word.", code="internal_error")
            if self._until_idle and vitals.unreachable:
                raise StorageUnavailable(vitals.sentence(), hint="Mount it, or see who holds it up.")
            quiet = quiet + 1 if vitals.idle() else 0
            if self._until_idle and quiet >= _QUIET_BEATS:
                return

    def _take_settings(self, line: Line) -> None:
        """Reload; a file that is wrong changes nothing."""
        self._supervisor.reloading()
        try:
            settings = self._again()
            line.adopt(settings)
        except SettingsInvalid as error:
            log.error("daemon.reload_refused", reason=error.reason, hint=error.hint)  # noqa: TRY400 (a sentence, no trace)
        else:
            self._adopted(settings)
            late = bootstrap.restart_for(self._settings, settings)
            if late:
                log.warning("settings.warned", reason=f"Only a restart changes {', '.join(late)}.")
            log.info("daemon.reloaded")
        self._supervisor.tell("READY=1")
        line.ring()

    def _start(self, line: Line) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._guard, args=(worker,), name=worker.lane.name, daemon=True)
            for worker in line.workers
        ]
        for thread in threads:
            thread.start()
        return threads

    def _guard(self, worker: Worker) -> None:
        """Run *worker* and carry what ends it to the main thread."""
        name = worker.lane.name
        try:
            worker.run()
        except Fatal as error:
            self._fail(error)
        except BaseException as error:
            log.critical("worker.crashed", lane=name, exc_info=error)
            self._fail(Fatal(f"The lane {name} ended by an error that nobody foresaw.", code="internal_error"))

    def _fail(self, fault: WatcherError) -> None:
        self._fault = self._fault or fault
        self._leaving.set()
        self._wake.set()

    # Ending

    def _end(self, line: Line, threads: list[threading.Thread]) -> None:
        """Let each lane finish its batch; cut what takes too long short; leave what hangs behind."""
        self._leaving.set()
        log.info("daemon.stopping", signal=self._signal.name if self._signal else None)
        self._supervisor.tell("STOPPING=1")
        began = self._clocks.monotonic()
        for worker in line.workers:
            worker.stop()
        self._join(threads, began + _CUT_SHORT_AFTER)
        for chain in line.chains:
            chain.close()
        self._join(threads, began + _LEAVE_AFTER)
        hanging = [thread.name for thread in threads if thread.is_alive()]
        if hanging:
            self._leave_behind(hanging)
        log.info("daemon.stopped")

    def _join(self, threads: list[threading.Thread], until: float) -> None:
        for thread in threads:
            thread.join(max(0.0, until - self._clocks.monotonic()))

    def _leave_behind(self, hanging: list[str]) -> None:
        """End at once: a thread that is stuck in the kernel would keep the interpreter from ending.

        Stopping is the same as crashing, so nothing is lost.
        """
        fault = self._fault
        if fault is not None:
            log.critical("daemon.failed", code=fault.code, reason=fault.reason, hint=fault.hint)
        log.warning("daemon.stopped", hanging=hanging)
        os._exit(exit_code(fault))

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Leave in bounded time once told to, even if the main thread itself hangs."""

        def watch() -> None:
            self._leaving.wait()
            if not self._left.wait(_LEAVE_AT_LATEST):
                self._leave_behind(["main"])

        threading.Thread(target=watch, name="guard", daemon=True).start()
        try:
            yield
        finally:
            self._left.set()
            self._leaving.set()

    def _hear(self, number: signal.Signals) -> None:
        """Take a signal; the second one that says to stop is obeyed at once."""
        if number is signal.SIGHUP and not self._terminal:
            self._reload.set()
        elif self._signal is None:
            self._signal = number
            self._leaving.set()
        else:
            os._exit(_KILLED)
        self._wake.set()


def exit_code(fault: WatcherError | None) -> int:
    """Return the exit code of a process that ends by *fault*: its own if it is `Fatal`, else 1; 0 without one."""
    if fault is None:
        return 0
    return fault.exit_code if isinstance(fault, Fatal) else 1
