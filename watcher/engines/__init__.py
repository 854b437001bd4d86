"""What an engine is, and loading one by its name. Importing this imports no engine.

The name in the configuration is the name of the module here, or of an entry point: `matricula_watcher.engines` for one
that reads pixels on this machine, `matricula_watcher.network_engines` for one that sends the picture somewhere. Module
or entry point has a function `create(options)`, which takes what stands under `[engines.<name>]`, the key as `api_key`,
and raises SettingsInvalid for what it does not understand.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from watcher.errors import EngineUnavailable, SettingsInvalid
from watcher.model import Picture, Reading, Request

NETWORK = frozenset({"openai"})
TO_INSTALL = (
    "Install it: WATCHER_LEAN=0 ./run doctor (a service: WATCHER_LEAN=0 systemd/install)."
    " Or remove it from [reading] engines."
)
"""The remedy where an engine is missing that a lean installation leaves out."""

_LEFT_OUT = {"rapidocr": ("cv2", "numpy", "onnxruntime", "rapidocr")}
_LOCAL_GROUP = "matricula_watcher.engines"
_NETWORK_GROUP = "matricula_watcher.network_engines"


class Engine(Protocol):
    """Reads plates. Lives in a child process, which has its limits and deadline and may be killed at any moment.

    An engine may keep what makes it faster, but nothing that matters: the next call may reach another process. It
    never sees a file: a local one gets pixels, a networked one a JPEG, which are the upload's own bytes only where we
    could not decode them (then without width and height). It writes nothing to standard output, and needs nobody to
    clean up after it.
    """

    @property
    def name(self) -> str:
        """The name under which it is configured."""

    def probe(self) -> str:
        """Return a sentence that says what would read, with its version, reading nothing.

        Raises:
            EngineUnavailable: It could not be asked now; the hint says what an operator can do about it.

        """

    def read(self, picture: Picture, request: Request) -> Reading:
        """Return what stands on the plate, as it stands there: it is judged and cleaned by others.

        That nothing was seen is a reading without text. Confidences are between 0 and 1, or none. The same picture may
        be asked about again.

        Raises:
            EngineUnavailable: It could not be asked, or gave no usable answer; perhaps later.
            EngineRefused: It will never read this picture.

        """


def networked(name: str) -> bool:
    """Say whether the engine sends pictures away, and so must live in the network child."""
    return name in NETWORK or bool(entry_points(group=_NETWORK_GROUP, name=name))


def names() -> tuple[str, ...]:
    """Return the names of all engines there are, ours and installed ones, in alphabetical order."""
    foreign = {point.name for group in (_LOCAL_GROUP, _NETWORK_GROUP) for point in entry_points(group=group)}
    return tuple(sorted(_ours() | foreign))


def lacking(name: str) -> str:
    """Return what the engine *name* needs and a lean installation leaves out, if it is not there; imports nothing."""
    return next((needed for needed in _LEFT_OUT.get(name, ()) if importlib.util.find_spec(needed) is None), "")


def load(name: str, options: Mapping[str, Any]) -> Engine:
    """Build the engine *name*, which must be called only where it may be imported: in a child.

    Raises:
        EngineUnavailable: The installation is lean, without this engine (code `engine_missing`).
        SettingsInvalid: There is no such engine, something it needs is not installed, or it does not take *options*.

    """
    if needed := lacking(name):
        raise EngineUnavailable(
            f"The engine {name} is not installed: {needed} is missing.", hint=TO_INSTALL, code="engine_missing"
        )
    try:
        create = _create(name)
    except ImportError as error:
        raise SettingsInvalid(
            f"The engine {name} cannot be loaded: {error}.", hint="Install what it needs, or remove it from engines."
        ) from error
    return create(options)


def _create(name: str) -> Callable[[Mapping[str, Any]], Engine]:
    if name in _ours():
        found: Callable[[Mapping[str, Any]], Engine] = importlib.import_module(f"{__name__}.{name}").create
        return found
    point = _entry_point(name)
    if point is None:
        known = ", ".join(names())
        raise SettingsInvalid(f"There is no engine {name!r}.", hint=f"Set [reading] engines to some of: {known}.")
    made: Callable[[Mapping[str, Any]], Engine] = point.load()
    return made


def _ours() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)}


def _entry_point(name: str) -> EntryPoint | None:
    found = [point for group in (_LOCAL_GROUP, _NETWORK_GROUP) for point in entry_points(group=group, name=name)]
    return found[0] if found else None
