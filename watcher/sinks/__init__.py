"""What a sink is, and how one is loaded by name. Importing this package imports no adapter."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.metadata import entry_points
from typing import Protocol

from watcher.errors import SettingsInvalid
from watcher.model import Record

GROUP = "matricula_watcher.sinks"
"""The entry point group of sinks outside this tree; a point names the function `create` of such a module."""


class Sink(Protocol):
    """Somebody who is told of every record, at least once.

    A module of this package is a kind of sink. It has `create(*, name, options, now)`, which checks its *options*,
    raises `SettingsInvalid` with everything that is wrong with them, reaches nobody and returns the sink. *now* is
    the clock, with zone.

    Of the same record a sink is given the same key on every repeat, and hands it on so that the receiver can ignore
    what it has had before. It keeps nothing between calls that matters and may be killed at any moment.
    """

    @property
    def name(self) -> str:
        """The name of this sink in the configuration."""
        ...

    def send(self, record: Record, key: str) -> None:
        """Tell the receiver of *record* under the stable id *key*; a return is its word that it has it.

        The whole call takes bounded time, whatever the receiver does.

        Raises:
            SinkUnavailable: Not now, with the pause in seconds if the receiver asked for one.
            DeliveryRefused: Never, this delivery.

        """
        ...


def kinds() -> tuple[str, ...]:
    """Return the kinds of sink that can be loaded: the modules beside this one, then those installed by others."""
    ours = {module.name for module in pkgutil.iter_modules(__path__)}
    return (*sorted(ours), *sorted(entry_points(group=GROUP).names - ours))


def load(kind: str, *, name: str, options: Mapping[str, object], now: Callable[[], datetime]) -> Sink:
    """Return the sink *name* of that *kind*, set up with its *options*; *now* is the clock, with zone.

    Raises:
        SettingsInvalid: There is no such kind, something it needs is not installed, or the options are wrong for it.

    """
    known = kinds()
    if kind not in known:
        reason = f"The sink {name!r} is of the unknown kind {kind!r}."
        raise SettingsInvalid(reason, hint=f"Use one of: {', '.join(known)}.")
    try:
        create = _create(kind)
    except ImportError as error:
        reason = f"The sink {name!r} is of the kind {kind!r}, which cannot be loaded: {error}."
        raise SettingsInvalid(reason, hint="Install what it needs, or remove the sink.") from error
    return create(name=name, options=options, now=now)


def _create(kind: str) -> Callable[..., Sink]:
    """Return what makes a sink of a kind that exists; ours wins over an installed one of the same name."""
    if kind in {module.name for module in pkgutil.iter_modules(__path__)}:
        found: Callable[..., Sink] = importlib.import_module(f"{__name__}.{kind}").create
        return found
    made: Callable[..., Sink] = entry_points(group=GROUP)[kind].load()
    return made
