"""The children's end of a reader: the chamber where pixels are touched, and the one that talks to the network.

`child.cell` calls the factories and methods by name. Methods take a dictionary and bytes and return the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from watcher import drawings, engines, pictures, wire
from watcher.engines import Engine
from watcher.errors import EngineUnavailable, SettingsInvalid
from watcher.model import Picture

Answer = tuple[dict[str, Any], bytes]
Step = Callable[[], Answer]


def pixels(options: Mapping[str, Any], secret: Mapping[str, str]) -> Pixels:
    """Return the chamber of the pixels; there is no *secret* for it."""
    del secret
    return Pixels(options["engines"], options["max_pixels"])


def network(options: Mapping[str, Any], secret: Mapping[str, str]) -> Network:
    """Return the chamber of the network; *secret* has the key of each engine that needs one."""
    keys = {name: {"api_key": key} for name, key in secret.items()}
    return Network({name: given | keys.get(name, {}) for name, given in options["engines"].items()})


class Pixels:
    """Decodes a picture, keeps it, lets the local engines read it, re-encodes it and draws on it."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]], max_pixels: int) -> None:
        """Take the options by engine; an engine is loaded by `warm`, or when it is first asked."""
        self._engines = _Engines(options)
        self._max_pixels = max_pixels
        self._picture: Picture | None = None

    def warm(self) -> Iterator[Step]:
        """Yield the loading of each engine, which takes longer than a call should."""
        return self._engines.warm()

    def open(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Decode the photo *blob* and keep the picture; raise EngineRefused if that cannot be done."""
        del arguments
        self._picture = None  # so that two of them never have to fit into our memory
        self._picture = pictures.open_picture(blob, max_pixels=self._max_pixels)
        return _size(self._picture), b""

    def encode(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Return a JPEG of the picture with `long_side` pixels at most."""
        del blob
        encoded = pictures.encode(self._kept(), arguments["long_side"])
        return _size(encoded), encoded.encoded

    def read(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Return what the engine says of the picture."""
        del blob
        return self._engines.read(arguments, self._kept()), b""

    def annotate(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Return a PNG of the picture with a reading, which may be that of a whole chain, drawn on it."""
        del blob
        reading = wire.reading_in(arguments["reading"], engine=arguments["engine"])
        return {}, drawings.annotated(self._kept(), reading)

    def probe(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Return what the engine says of itself."""
        del blob
        return self._engines.probe(arguments), b""

    def _kept(self) -> Picture:
        if self._picture is None:
            raise LookupError("there is no picture")
        return self._picture


class Network:
    """Lets the networked engines read what another chamber encoded."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the options by engine, keys included; an engine is loaded by `warm`, or when it is first asked."""
        self._engines = _Engines(options)

    def warm(self) -> Iterator[Step]:
        """Yield the loading of each engine, which takes longer than a call should."""
        return self._engines.warm()

    def read(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Return what the engine says of the encoded picture *blob*."""
        picture = Picture(arguments["width"], arguments["height"], encoded=blob)
        return self._engines.read(arguments, picture), b""

    def probe(self, arguments: Mapping[str, Any], blob: bytes) -> Answer:
        """Return what the engine says of itself."""
        del blob
        return self._engines.probe(arguments), b""


class _Engines:
    """The engines of one chamber, each loaded once."""

    def __init__(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        self._options = options
        self._loaded: dict[str, Engine] = {}

    def warm(self) -> Iterator[Step]:
        """Yield a step for each engine, which loads it."""
        return (partial(self._load, name) for name in self._options)

    def read(self, arguments: Mapping[str, Any], picture: Picture) -> dict[str, Any]:
        """Return the reading as plain data."""
        request = wire.request_in(arguments["request"])
        return wire.reading_out(self._engine(arguments["engine"]).read(picture, request))

    def probe(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sentence as plain data."""
        return {"sentence": self._engine(arguments["engine"]).probe()[: wire.MAX_TEXT]}

    def _load(self, name: str) -> Answer:
        self._engine(name)
        return {}, b""

    def _engine(self, name: str) -> Engine:
        """Return the engine; one that cannot be built is not available, for at start the settings were judged."""
        if name not in self._loaded:
            try:
                self._loaded[name] = engines.load(name, self._options[name])
            except SettingsInvalid as error:
                raise EngineUnavailable(error.reason, hint=error.hint, code=error.code) from error
        return self._loaded[name]


def _size(picture: Picture) -> dict[str, Any]:
    return {"width": picture.width, "height": picture.height}
