"""Put everything together: settings in, a ready line out. The only module that knows all adapters exist."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from watcher.chain import Chain, Links, forged
from watcher.clocks import Clocks
from watcher.flow import KEEPER_ACTS, READ, REGISTER, Flow, Stations
from watcher.inbox import Inbox
from watcher.inbox.looks import look_at_image
from watcher.inbox.mounts import current_network_devices
from watcher.intake import Intake
from watcher.intake.quarantine import Quarantine
from watcher.journal import Journal
from watcher.journal.connection import Connection
from watcher.journal.listing import Listing
from watcher.journal.questions import Questions
from watcher.keeper import Keeper
from watcher.lanes import Lane
from watcher.mending import Mender
from watcher.model import Sighting
from watcher.options import Skipped, largest_of, patience_of, reader_options, sinks_of, skipped, window_of
from watcher.register import Register
from watcher.settings import Settings
from watcher.worker import Worker

log = structlog.get_logger()

QUARANTINE = "quarantine"
_BATCH = 64
_ROWS = 256


@dataclass(frozen=True, slots=True)
class Line:
    """Everything that runs, ready to be started.

    The first of the *workers* is the keeper; *left_out* are engines that are configured but cannot be asked.
    """

    connection: Connection
    journal: Journal
    questions: Questions
    inbox: Inbox
    intake: Intake
    quarantine: Quarantine
    register: Register
    mender: Mender
    flow: Flow
    chains: tuple[Chain, ...]
    workers: tuple[Worker, ...]
    clocks: Clocks
    left_out: tuple[Skipped, ...]

    @property
    def slowest(self) -> float:
        """The seconds that reading one photo may take at most."""
        return max(chain.slowest for chain in self.chains)

    def ring(self) -> None:
        """Wake every lane: there may be something to do."""
        _ring(self.workers)

    def retry(self) -> None:
        """Do at once what a person wants tried again: no engine is left alone for what it did before."""
        for chain in self.chains:
            chain.forgive()
        self.ring()

    def prepare(self) -> None:
        """Check the register, make the quarantine, and take over what the last run left behind.

        Raises:
            RegisterForeign: `registros.csv` is not ours.
            JournalUnusable: The journal cannot be read.
            StorageUnavailable: The disk is full or failing.

        """
        _tell(self.left_out)
        self.register.check()
        self.quarantine.prepare()
        adopted = self.journal.adopt()
        swept = self.intake.sweep(self.questions.temporaries())
        log.info("journal.opened", adopted=adopted, swept=swept)

    def adopt(self, settings: Settings) -> None:
        """Take new settings, all of them or, if an error is raised, none; `restart_for` says which need a restart.

        Raises:
            SettingsInvalid: An engine or a sink does not exist, or does not take its options.

        """
        links, sinks = _links(settings, self.clocks), sinks_of(settings, self.clocks)
        self.inbox.adopt(patience_of(settings), settings.inbox.ignore)
        self.intake.adopt(settings.inbox.timestamps, largest_of(settings))
        self.quarantine.adopt(settings.quarantine.days, settings.quarantine.megabytes)
        self.mender.adopt(wanted=settings.register.repair_missing)
        self.flow.adopt(sinks, window_of(settings))
        _tell(skipped(settings))
        for chain in self.chains:
            chain.adopt(links)

    def close(self) -> None:
        """Let go of everything."""
        for chain in self.chains:
            chain.close()
        self.inbox.close()
        self.mender.close()
        self.connection.close()


def assemble(settings: Settings, clocks: Clocks) -> Line:
    """Return the line that *settings* describe; nothing is started and nothing is written yet.

    Raises:
        SettingsInvalid: An engine or a sink does not exist, or does not take its options.

    """
    data, bell = settings.folders.data, threading.Event()
    connection = Connection(data)
    journal, questions = Journal(connection), Questions(connection)
    inbox = _inbox(settings, clocks, questions, bell)
    intake, quarantine, register = _intake(settings, clocks, inbox), _quarantine(settings, clocks), Register(data)
    stations = Stations(intake, quarantine, register, sinks_of(settings, clocks))
    flow = Flow(journal, questions, stations, clocks, window_of(settings))
    mender = Mender(register, journal, Listing(data), wanted=settings.register.repair_missing)
    links = _links(settings, clocks)
    chains = tuple(Chain(links) for _ in range(settings.reading.readers))
    lanes = (
        Lane(
            "keeper",
            lambda: KEEPER_ACTS,
            flow.keep,
            limit=lambda: _BATCH,
            feeder=Keeper(inbox, flow, quarantine, clocks, _BATCH),
            bell=bell,
        ),
        *(_reader_lane(number, chain, flow) for number, chain in enumerate(chains, 1)),
        Lane("registrar", lambda: (REGISTER,), flow.register, limit=lambda: _ROWS, feeder=mender),
        Lane("courier", flow.notify_acts, flow.notify),
    )
    workers: list[Worker] = []
    workers += [Worker(lane, journal, questions, clocks, partial(_ring, workers)) for lane in lanes]
    return Line(
        connection=connection,
        journal=journal,
        questions=questions,
        inbox=inbox,
        intake=intake,
        quarantine=quarantine,
        register=register,
        mender=mender,
        flow=flow,
        chains=chains,
        workers=tuple(workers),
        clocks=clocks,
        left_out=skipped(settings),
    )


def lone_chain(settings: Settings, clocks: Clocks) -> Chain:
    """Return a chain without a line, for the command that records nothing.

    Raises:
        SettingsInvalid: An engine does not exist.

    """
    return Chain(_links(settings, clocks))


def restart_for(old: Settings, new: Settings) -> list[str]:
    """Return the names of the settings that differ and that only a restart changes."""
    fixed = {
        "[folders]": old.folders != new.folders,
        "[inbox] watch": old.inbox.watch != new.inbox.watch,
        "[reading] readers": old.reading.readers != new.reading.readers,
    }
    return [name for name, differs in fixed.items() if differs]


def _links(settings: Settings, clocks: Clocks) -> Links:
    links = forged(reader_options(settings), settings.reading.believable, clocks.monotonic)
    return replace(links, separators=settings.plates.separators)


def _tell(left_out: Iterable[Skipped]) -> None:
    for one in left_out:
        log.warning("reading.engine_skipped", engine=one.name, reason=f"{one.reason} {one.hint}")


def _inbox(settings: Settings, clocks: Clocks, questions: Questions, bell: threading.Event) -> Inbox:
    return Inbox(
        settings.folders.inbox,
        mode=settings.inbox.watch,
        patience=patience_of(settings),
        ignore=settings.inbox.ignore,
        clocks=clocks,
        bell=bell,
        latest_from=questions.latest_from,
    )


def _intake(settings: Settings, clocks: Clocks, inbox: Inbox) -> Intake:
    return Intake(
        inbox=settings.folders.inbox.resolve(),
        uploads=settings.folders.uploads.resolve(),
        look=inbox.again,
        clocks=clocks,
        timestamps=settings.inbox.timestamps,
        largest=largest_of(settings),
    )


def _quarantine(settings: Settings, clocks: Clocks) -> Quarantine:
    folder = (settings.folders.data / QUARANTINE).resolve()
    return Quarantine(
        folder,
        settings.folders.inbox.resolve(),
        look=partial(_look_in, os.fsencode(folder)),
        clocks=clocks,
        days=settings.quarantine.days,
        megabytes=settings.quarantine.megabytes,
    )


def _reader_lane(number: int, chain: Chain, flow: Flow) -> Lane:
    # With no engine there is nothing to wait for, so a reader takes a batch.
    return Lane(
        f"reader-{number}",
        lambda: (READ,),
        partial(flow.read, ask=chain.ask),
        limit=lambda: 1 if chain.waits else _BATCH,
    )


def _ring(workers: Iterable[Worker]) -> None:
    for worker in workers:
        worker.lane.bell.set()


def _look_in(root: bytes, path: bytes, last: Sighting | None) -> Sighting | None:
    seen = look_at_image(root, path, current_network_devices(), last)
    return seen if isinstance(seen, Sighting) else None
