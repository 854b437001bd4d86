"""Configure structlog: one pipeline for our own lines and those of libraries, three ways to write them.

Module by module the events are declared in `EVENTS`. A line that cannot be written never fails an act.
"""

from __future__ import annotations

import codecs
import logging
import os
from collections.abc import Mapping
from typing import Literal, TextIO

import structlog
from structlog.processors import (
    CallsiteParameter,
    CallsiteParameterAdder,
    ExceptionRenderer,
    JSONRenderer,
    StackInfoRenderer,
    TimeStamper,
    add_log_level,
)
from structlog.stdlib import ProcessorFormatter, add_logger_name
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from watcher.logs.events import EVENTS
from watcher.logs.journald import SOCKET, JournalStream
from watcher.logs.values import Harmless

__all__ = ["EVENTS", "Lines", "configure", "destination"]

OURS = "watcher"
"""The name of the standard library's logger that carries our own lines."""

Destination = Literal["json", "journal", "console"]

_CALLSITE = (CallsiteParameter.PATHNAME, CallsiteParameter.LINENO, CallsiteParameter.FUNC_NAME)


class Lines(logging.StreamHandler[TextIO | JournalStream]):
    """The one handler; it drops a line that cannot be written (closed pipe, full disk) instead of failing an act."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is the standard library's
        """Do nothing: there is nowhere left to tell it."""


def configure(
    *,
    format: Literal["auto", "json", "journal", "console"],  # noqa: A002 - named after the setting
    level: str,
    plates: Literal["show", "mask"],
    stream: TextIO,
    environment: Mapping[str, str],
    socket: str = SOCKET,
    strict: bool = False,
) -> None:
    """Send every line to *stream*, or to the journal behind it, from now on; may be called again.

    Args:
        format: As in `[logs]`; `auto` takes what `destination` says.
        level: Of our own lines, in small letters; those of libraries are written from `warning` on.
        plates: `mask` hides what is read from pictures.
        stream: Where lines go.
        environment: `JOURNAL_STREAM` (systemd.exec) and `NO_COLOR` are read.
        socket: Where the journal listens.
        strict: A name that is not in `EVENTS` raises ValueError where it is logged; for tests.

    """
    where = destination(stream, environment) if format == "auto" else format
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [add_log_level, TimeStamper(fmt="iso", utc=True), StackInfoRenderer()]
    if where == "journal":
        shared.append(CallsiteParameterAdder(_CALLSITE))
    structlog.configure(
        processors=[
            *((declared,) if strict else ()),
            structlog.contextvars.merge_contextvars,
            *shared,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: logging.getLogger(OURS),
        cache_logger_on_first_use=False,
    )
    handler = Lines(JournalStream(socket, stream) if where == "journal" else stream)
    harmless = Harmless(masked=plates == "mask")
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, add_logger_name],
            processors=[*_rendering(where, harmless, stream, environment)],
        )
    )
    handler.addFilter(lambda record: record.name == OURS or record.levelno >= max(logging.WARNING, least))
    _install(handler, least)


def destination(stream: TextIO, environment: Mapping[str, str]) -> Destination:
    """Return how lines for *stream* are written: to the journal if it ends there, coloured in a terminal, else JSON."""
    if _ends_in_the_journal(stream, environment.get("JOURNAL_STREAM", "")):
        return "journal"
    return "console" if stream.isatty() else "json"


def declared(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Raise ValueError if the event has no entry in `EVENTS`; a processor for tests."""
    if event["event"] not in EVENTS:
        raise ValueError(f"{event['event']!r} is not in watcher.logs.EVENTS; declare it there with a sentence.")
    return event


def _rendering(
    where: Destination, harmless: Harmless, stream: TextIO, environment: Mapping[str, str]
) -> list[Processor]:
    """Return the last processors, the renderer among them. No traceback shows local variables: they hold secrets."""
    if where == "console":
        colours = stream.isatty() and not environment.get("NO_COLOR")
        lines = structlog.dev.ConsoleRenderer(
            colors=colours, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
        return [ExceptionRenderer(), ProcessorFormatter.remove_processors_meta, harmless, _on_one_line, lines]
    trace = ExceptionRenderer(ExceptionDictTransformer(show_locals=False)) if where == "json" else ExceptionRenderer()
    json = JSONRenderer(ensure_ascii=_encoding(stream) != "utf-8")
    return [trace, ProcessorFormatter.remove_processors_meta, harmless, json]


def _encoding(stream: TextIO) -> str:
    """Return the name of the stream's encoding as Python spells it; `io.StringIO` has none."""
    return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name


def _on_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape the line breaks of a library's message, the only text that the console shows without quoting it."""
    event["event"] = str(event["event"]).replace("\n", "\\n").replace("\t", "\\t")
    return event


def _ends_in_the_journal(stream: TextIO, said: str) -> bool:
    """Say whether *said*, device and inode as in `JOURNAL_STREAM`, names what *stream* writes to."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # no file behind it, or closed
        return False
    return said == f"{status.st_dev}:{status.st_ino}"


def _install(handler: Lines, least: int) -> None:
    """Put *handler* in the place of the one of an earlier call; the new one first, so that no line is lost."""
    root = logging.getLogger()
    before = [old for old in root.handlers if isinstance(old, Lines)]
    root.addHandler(handler)
    for old in before:
        root.removeHandler(old)
    root.setLevel(max(logging.WARNING, least))
    logging.getLogger(OURS).setLevel(least)
