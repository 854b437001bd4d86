"""Put everything together: settings in, a ready line out. The only module that knows all adapters exist."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog

from watcher import engines, reading, sinks
from watcher.arrivals import Patience
from watcher.breaker import Breaker, guarded
from watcher.clocks import Clocks
from watcher.errors import SettingsInvalid
from watcher.flow import KEEPER_ACTS, READ, REGISTER, Flow, Stations
from watcher.inbox import Inbox
from watcher.inbox.looks import look_at_image
from watcher.inbox.mounts import current_network_devices
from watcher.intake import Intake
from watcher.intake.quarantine import Quarantine
from watcher.journal import Journal
from watcher.journal.connection import Connection
from watcher.journal.questions import Questions
from watcher.keeper import Keeper
from watcher.model import Reading, Request, Sighting, StoredImage
from watcher.reader import Desk, ReaderOptions
from watcher.register import Register
from watcher.settings import Settings
from watcher.sinks import Sink
from watcher.worker import Lane, Worker

log = structlog.get_logger()

QUARANTINE = "quarantine"
_BATCH = 64
_MEGABYTE, _MEGAPIXEL, _HOUR = 1024 * 1024, 1_000_000, 3600.0


class Reader:
    """One reader thread's desk and chain; new options are taken between two images."""

    def __init__(self, options: ReaderOptions, believable: float, breakers: Mapping[str, Breaker]) -> None:
        self._breakers = breakers
        self._next: tuple[ReaderOptions, float] | None = None
        self._set_up(options, believable)

    def adopt(self, options: ReaderOptions, believable: float) -> None:
        """Take new settings with the next image; called from another thread."""
        self._next = (options, believable)

    def ask(self, stored: StoredImage) -> Reading:
        """Have *stored* read.

        Raises:
            EngineUnavailable: Not one engine could be asked.
            ChildLost: The child process died of it.
            StorageUnavailable: The photo cannot be read from the disk.

        """
        image, sidecar = stored.image, stored.image.sidecar
        request = Request(
            kind=image.kind,
            language=sidecar.language if sidecar else "",
            regions=sidecar.regions if sidecar else (),
        )
        return self.read_file(stored.path, request)

    def read_file(self, path: str, request: Request) -> Reading:
        """Have the photo at *path* read; raises what `ask` raises."""
        if self._next is not None:
            self._desk.close()
            self._set_up(*self._next)
            self._next = None
        if self._seats:
            self._desk.open_file(path)
        return reading.read(self._seats, believable=self._believable, request=request)

    @property
    def waits(self) -> bool:
        """Whether reading takes time: there is an engine."""
        return bool(self._seats)

    def close(self) -> None:
        """End the children; a call that is running is cut short."""
        self._desk.close()

    def _set_up(self, options: ReaderOptions, believable: float) -> None:
        self._desk = Desk(options)
        self._believable = believable
        self._seats = [guarded(seat, self._breakers[seat.name]) for seat in self._desk.seats]


@dataclass(frozen=True, slots=True)
class Line:
    """Everything that runs, ready to be started."""

    connection: Connection
    journal: Journal
    questions: Questions
    inbox: Inbox
    intake: Intake
    quarantine: Quarantine
    register: Register
    flow: Flow
    readers: tuple[Reader, ...]
    workers: tuple[Worker, ...]
    breakers: dict[str, Breaker]
    clocks: Clocks

    def ring(self) -> None:
        """Wake every lane: there may be something to do."""
        for worker in self.workers:
            worker.lane.bell.set()

    def prepare(self) -> None:
        """Check the register, make the quarantine, and take over what the last run left behind.

        Raises:
            RegisterForeign: `registros.csv` is not ours.
            JournalUnusable: The journal cannot be read.
            StorageUnavailable: The disk is full or failing.

        """
        self.register.check()
        self.quarantine.prepare()
        adopted = self.journal.adopt()
        swept = self.intake.sweep(self.questions.temporaries())
        log.info("journal.opened", adopted=adopted, swept=swept)

    def adopt(self, settings: Settings) -> None:
        """Take new settings; those of `[folders]` and `readers` need a restart."""
        inbox = settings.inbox
        self.inbox.adopt(patience_of(settings), inbox.ignore)
        self.intake.adopt(inbox.timestamps, int(inbox.max_megabytes * _MEGABYTE))
        self.quarantine.adopt(settings.quarantine.days, settings.quarantine.megabytes)
        self.flow.adopt(sinks_of(settings, self.clocks), inbox.duplicate_window_hours * _HOUR)
        options = reader_options(settings)
        for name in options.engines:
            self.breakers.setdefault(name, Breaker(name, self.clocks.monotonic))
        for reader in self.readers:
            reader.adopt(options, settings.reading.believable)

    def close(self) -> None:
        """Let go of everything."""
        for reader in self.readers:
            reader.close()
        self.inbox.close()
        self.connection.close()


def assemble(settings: Settings, clocks: Clocks) -> Line:
    """Return the line that *settings* describe; nothing is started and nothing is written yet.

    Raises:
        SettingsInvalid: An engine or a sink does not exist, or does not take its options.

    """
    folders = settings.folders
    quarantine_folder = folders.data / QUARANTINE
    connection = Connection(folders.data)
    journal, questions = Journal(connection), Questions(connection)
    options = reader_options(settings)
    breakers = {name: Breaker(name, clocks.monotonic) for name in options.engines}
    readers = tuple(Reader(options, settings.reading.believable, breakers) for _ in range(settings.reading.readers))
    keeper_lane = Lane("keeper", lambda: KEEPER_ACTS, lambda _: [], lambda: _BATCH)
    inbox = Inbox(
        folders.inbox,
        mode=settings.inbox.watch,
        patience=patience_of(settings),
        ignore=settings.inbox.ignore,
        clocks=clocks,
        bell=keeper_lane.bell,
        latest_from=questions.latest_from,
    )
    intake = Intake(
        inbox=folders.inbox.resolve(),
        uploads=folders.uploads.resolve(),
        look=inbox.again,
        clocks=clocks,
        timestamps=settings.inbox.timestamps,
        largest=int(settings.inbox.max_megabytes * _MEGABYTE),
    )
    quarantine = Quarantine(
        quarantine_folder.resolve(),
        folders.inbox.resolve(),
        look=partial(_look_in, os.fsencode(quarantine_folder.resolve())),
        clocks=clocks,
        days=settings.quarantine.days,
        megabytes=settings.quarantine.megabytes,
    )
    register = Register(folders.data)
    flow = Flow(
        journal,
        questions,
        Stations(intake, quarantine, register, sinks_of(settings, clocks)),
        clocks,
        settings.inbox.duplicate_window_hours * _HOUR,
    )
    keeper = Keeper(inbox, flow, quarantine, clocks, _BATCH)
    lanes = [
        replace(keeper_lane, perform=flow.keep, feeder=keeper),
        *(_reader_lane(number, reader, flow) for number, reader in enumerate(readers, 1)),
        Lane("registrar", lambda: (REGISTER,), flow.register, lambda: _BATCH * 4),
        Lane("courier", flow.notify_acts, flow.notify, lambda: 1),
    ]
    workers: list[Worker] = []
    ring: Callable[[], None] = partial(_ring, workers)
    workers += [Worker(lane, journal, questions, clocks, ring) for lane in lanes]
    return Line(
        connection=connection,
        journal=journal,
        questions=questions,
        inbox=inbox,
        intake=intake,
        quarantine=quarantine,
        register=register,
        flow=flow,
        readers=readers,
        workers=tuple(workers),
        breakers=breakers,
        clocks=clocks,
    )


def lone_reader(settings: Settings, clocks: Clocks) -> Reader:
    """Return a reader without a line, for the command that records nothing."""
    options = reader_options(settings)
    breakers = {name: Breaker(name, clocks.monotonic) for name in options.engines}
    return Reader(options, settings.reading.believable, breakers)


def patience_of(settings: Settings) -> Patience:
    """Return how long files must be quiet, as the operator set it."""
    inbox = settings.inbox
    return Patience(
        settle=inbox.settle_seconds,
        incomplete=inbox.incomplete_after_seconds,
        sidecar=inbox.sidecar_wait_seconds,
        largest=int(inbox.max_megabytes * _MEGABYTE),
    )


def reader_options(settings: Settings) -> ReaderOptions:
    """Return what readers are built of; `openai` without a key is skipped, and that is said."""
    secrets = settings.engines.secrets()
    names = []
    for name in settings.reading.engines:
        if name == "openai" and name not in secrets:
            log.warning("reading.engine_skipped", engine=name, reason="no key: set OPENAI_API_KEY to use it")
        else:
            names.append(name)
    unknown = sorted(set(names) - set(engines.names()))
    if unknown:
        raise SettingsInvalid(
            f"There is no engine {unknown[0]!r}.",
            hint=f"Set [reading] engines to some of: {', '.join(engines.names())}.",
        )
    return ReaderOptions(
        engines=tuple(names),
        networked=frozenset(filter(engines.networked, names)),
        options={name: settings.engines.options(name) for name in names},
        secrets={name: secret for name, secret in secrets.items() if name in names},
        deadline_seconds=settings.reading.deadline_seconds,
        max_pixels=int(settings.inbox.max_megapixels * _MEGAPIXEL),
    )


def sinks_of(settings: Settings, clocks: Clocks) -> dict[str, Sink]:
    """Return the configured sinks by name.

    Raises:
        SettingsInvalid: One is of an unknown kind, or does not take its options.

    """
    return {
        sink.name: sinks.load(
            sink.kind,
            name=sink.name,
            options=sink.model_dump(exclude={"name", "kind"})
            | {"secret": sink.secret.get_secret_value() if sink.secret else None},
            now=clocks.now,
        )
        for sink in settings.sinks
    }


def _reader_lane(number: int, reader: Reader, flow: Flow) -> Lane:
    # With no engine there is nothing to wait for, so a reader takes a batch.
    return Lane(
        f"reader-{number}",
        lambda: (READ,),
        partial(flow.read, ask=reader.ask),
        lambda: 1 if reader.waits else _BATCH,
    )


def _ring(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.lane.bell.set()


def _look_in(root: bytes, path: bytes) -> Sighting | None:
    seen = look_at_image(root, path, current_network_devices())
    return seen if isinstance(seen, Sighting) else None
