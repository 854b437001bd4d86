"""What each part of the line is handed, out of the settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from watcher import engines, sinks
from watcher.arrivals import Patience
from watcher.clocks import Clocks
from watcher.errors import SettingsInvalid
from watcher.reader import ReaderOptions
from watcher.settings import ReadingSettings, Settings
from watcher.sinks import Sink

_MEGABYTE, _MEGAPIXEL, _HOUR = 1024 * 1024, 1_000_000, 3600.0
# Which share of the deadline an engine of ours gives itself, and how many seconds at most: it answers that the time is
# up before its child is killed for it. A local engine is killed at half of the deadline.
_OWN_TIME = {"openai": (2 / 3, 20.0), "rapidocr": (0.4, 12.0), "tesseract": (0.4, 12.0)}


@dataclass(frozen=True, slots=True)
class Skipped:
    """An engine that is configured but not asked: its *name*, the *reason*, and the remedy as a *hint*."""

    name: str
    reason: str
    hint: str


def largest_of(settings: Settings) -> int:
    """Return how many bytes a photo may have."""
    return int(settings.inbox.max_megabytes * _MEGABYTE)


def window_of(settings: Settings) -> float:
    """Return for how many seconds the same bytes are a repeat."""
    return settings.inbox.duplicate_window_hours * _HOUR


def patience_of(settings: Settings) -> Patience:
    """Return how long files must be quiet, as the operator set it."""
    inbox = settings.inbox
    return Patience(
        settle=inbox.settle_seconds,
        incomplete=inbox.incomplete_after_seconds,
        sidecar=inbox.sidecar_wait_seconds,
        largest=largest_of(settings),
    )


def skipped(settings: Settings) -> tuple[Skipped, ...]:
    """Return the engines that are configured but cannot be asked: without a key, or left out of a lean installation.

    Who names an engine in a list of their own wants that one, and is told by every reading that it is missing.
    """
    return tuple(_skipped(settings))


def _skipped(settings: Settings) -> Iterator[Skipped]:
    keyed = settings.engines.secrets()
    shipped = settings.reading.engines == ReadingSettings().engines
    for name in settings.reading.engines:
        if name == "openai" and name not in keyed:
            yield Skipped(name, "It has no key.", "Set OPENAI_API_KEY to use it.")
        elif shipped and engines.lacking(name):
            yield Skipped(name, "It is not installed.", engines.TO_INSTALL)


def reader_options(settings: Settings) -> ReaderOptions:
    """Return what readers are built of, without the engines that are skipped.

    Raises:
        SettingsInvalid: There is no engine of that name.

    """
    left_out, known = {one.name for one in skipped(settings)}, engines.names()
    names = tuple(name for name in settings.reading.engines if name not in left_out)
    for name in names:
        if name not in known:
            raise SettingsInvalid(
                f"There is no engine {name!r}.", hint=f"Set [reading] engines to some of: {', '.join(known)}."
            )
    return ReaderOptions(
        engines=names,
        networked=frozenset(filter(engines.networked, names)),
        options={name: settings.engines.options(name) | _from_others(name, settings) for name in names},
        secrets={name: secret for name, secret in settings.engines.secrets().items() if name in names},
        deadline_seconds=settings.reading.deadline_seconds,
        max_pixels=int(settings.inbox.max_megapixels * _MEGAPIXEL),
    )


def _from_others(name: str, settings: Settings) -> dict[str, Any]:
    """Return the options of an engine of ours that follow from other sections than its own."""
    if name not in _OWN_TIME:
        return {}
    share, most = _OWN_TIME[name]
    expected = {"countries": settings.plates.countries} if name == "rapidocr" else {}
    return {"seconds": min(share * settings.reading.deadline_seconds, most)} | expected


def sinks_of(settings: Settings, clocks: Clocks) -> dict[str, Sink]:
    """Return the configured sinks by name.

    Raises:
        SettingsInvalid: One is of an unknown kind, or does not take its options.

    """
    return {
        sink.name: sinks.load(
            sink.kind,
            name=sink.name,
            options=sink.model_dump(exclude={"name", "kind", "secret"})
            | {"secret": sink.secret.get_secret_value() if sink.secret else None},
            now=clocks.now,
        )
        for sink in settings.sinks
    }
