"""The parent's end of a reader: a desk with two children, and a seat for every engine.

    desk = Desk(ReaderOptions(...))          # one per reader thread; starts nothing yet
    desk.open_file(path) or desk.open(data)  # -> (width, height), or None if the picture was refused
    desk.seats                               # in the configured order; each has `name`, `read(request)`, `probe()`
    desk.close()                             # from any thread; cuts a running call short, for good

The *pixels* child decodes, re-encodes and runs the local engines; the *network* child holds the key and gets only what
the first one re-encoded, or the bytes as they came where those could not be decoded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from watcher import wire
from watcher.child.parent import Child, Limits
from watcher.errors import ChildLost, EngineRefused, EngineUnavailable, StorageUnavailable
from watcher.model import Reading, Request

LONG_SIDE = 1280

_Fact = TypeVar("_Fact")

_MIB = 1 << 20
# Of address space, onnxruntime, OpenCV and both models take 350 MiB, what they keep after a picture 100, and decoding
# the worst picture of 50 megapixels, transparent or turned by its EXIF, 650: with less it would be refused.
_PIXELS = Limits(memory_bytes=1280 * _MIB, cpu_seconds=60, file_bytes=64 * _MIB)
_NETWORK = Limits(memory_bytes=1024 * _MIB, cpu_seconds=30, file_bytes=_MIB, network=True)


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What a reader is to be built of.

    Attributes:
        engines: Names, in the order in which they are asked.
        networked: Which of them live in the network child.
        options: Of each engine; `long_side` of a networked one is how large, in pixels, it gets the picture.
        secrets: The key of each engine that has one; it reaches `create` as the option `api_key`.
        deadline_seconds: For one call of a networked engine; a local one has half of it, and so has decoding.
        max_pixels: Larger pictures are refused.
        retire_after: Calls after which a child is replaced, between two images.
        pixels: Limits of the child that decodes.
        network: Limits of the child that talks to the network.
        environment: What the network child finds in its environment beside the least that we set.
        paths: Folders beside the installed ones in which engines are looked for.

    """

    engines: tuple[str, ...]
    networked: frozenset[str] = frozenset()
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    deadline_seconds: float = 30.0
    max_pixels: int = 50_000_000
    retire_after: int = 300
    pixels: Limits = _PIXELS
    network: Limits = _NETWORK
    environment: Mapping[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seat:
    """One engine at a desk, as the chain of engines sees it.

    Attributes:
        name: Of the engine.
        read: What the engine says of the picture that is open on the desk. At the deadline (code `engine_timeout`) a
            networked engine raises EngineUnavailable, a local one EngineRefused; ChildLost if the child of the pixels
            died.
        probe: A sentence with name and version of what would read; raises EngineUnavailable with the remedy.

    """

    name: str
    read: Callable[[Request], Reading]
    probe: Callable[[], str]


class Desk:
    """One photo at a time, the two children that look at it, and a seat for every engine. Owned by one thread.

    Only `close` may be called from another one. Children die with the *thread* that first used them, so that must be
    one that lives as long as the desk.
    """

    def __init__(self, options: ReaderOptions) -> None:
        """Start nothing yet: a child is started by the first call that needs it."""
        self._options = options
        local = tuple(name for name in options.engines if name not in options.networked)
        networked = tuple(name for name in options.engines if name in options.networked)
        self._pixels = Child(
            "watcher.chambers:pixels",
            {"engines": self._of(local), "max_pixels": options.max_pixels},
            limits=options.pixels,
            retire_after=options.retire_after,
            paths=options.paths,
        )
        self._network = Child(
            "watcher.chambers:network",
            {"engines": self._of(networked)},
            limits=options.network,
            secret={name: options.secrets[name] for name in networked if name in options.secrets},
            retire_after=options.retire_after,
            environment=options.environment,
            paths=options.paths,
        )
        self.seats = tuple(self._seat(name) for name in options.engines)
        self._photo = b""
        self._size: tuple[int, int] | None = None
        self._refusal: EngineRefused | None = None
        self._opened_in = -1
        self._half = options.deadline_seconds / 2

    def open_file(self, path: str) -> tuple[int, int] | None:
        """Open the photo at *path*, as `open` does; raise StorageUnavailable if it cannot be read."""
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
                photo = file.read()
        except OSError as error:
            raise StorageUnavailable(
                f"The photo {path!r} cannot be read: {error.strerror}.", hint="Check the disk and the rights."
            ) from error
        return self.open(photo)

    def open(self, photo: bytes) -> tuple[int, int] | None:
        """Let the child decode *photo*; return width and height in pixels, or None if it refused the picture.

        Raises:
            ChildLost: The child died of it.

        """
        self._photo = photo
        self._pixels.rest()
        self._network.rest()
        return self._decode()

    def annotate(self, reading: Reading) -> bytes:
        """Return a PNG of the open picture with *reading* on it; raise EngineRefused if it could not be decoded."""
        if refusal := self._settle_picture():
            raise _again(refusal)
        arguments = {"reading": wire.reading_out(reading), "engine": reading.engine}
        _, drawing = self._pixels.call("annotate", arguments, seconds=self._half)
        return self._checked(self._pixels, "pixels", partial(wire.png_in, drawing))

    def close(self) -> None:
        """End both children, now and for good."""
        self._pixels.close()
        self._network.close()

    def _seat(self, name: str) -> Seat:
        """Set a seat of the right kind for the engine *name*."""
        if name in self._options.networked:
            return Seat(name, partial(self._read_networked, name), partial(self._probe, self._network, name))
        return Seat(name, partial(self._read_local, name), partial(self._probe, self._pixels, name))

    def _of(self, engines: tuple[str, ...]) -> dict[str, dict[str, Any]]:
        return {name: dict(self._options.options.get(name, {})) for name in engines}

    def _decode(self) -> tuple[int, int] | None:
        self._size = self._refusal = None
        try:
            answer, _ = self._pixels.call("open", {}, self._photo, seconds=self._half)
        except EngineRefused as error:
            self._refusal = error
        except ChildLost as error:
            if not error.late:
                raise
            # The same picture would take as long again: that is said of the picture, and it gets its row.
            self._refusal = EngineRefused(f"Decoding was not done within {self._half:g} s.", code="decode_timeout")
        else:
            self._size = self._checked(self._pixels, "pixels", partial(wire.size_in, answer))
        self._opened_in = self._pixels.generation
        return self._size

    def _settle_picture(self) -> EngineRefused | None:
        """Make sure that the picture is open, also if the child was lost in the meantime; return why it was refused."""
        if self._opened_in != self._pixels.generation:
            self._decode()
        return self._refusal

    def _read_local(self, name: str, request: Request) -> Reading:
        if refusal := self._settle_picture():
            raise _again(refusal)
        arguments = {"engine": name, "request": wire.request_out(request)}
        try:
            answer, _ = self._pixels.call("read", arguments, seconds=self._half)
        except ChildLost as error:
            if not error.late:
                raise
            # Nobody else is in its way: it is the picture that takes so long.
            late = f"The engine {name} was not done within {self._half:g} s."
            raise EngineRefused(late, code="engine_timeout") from error
        return self._checked(self._pixels, name, partial(wire.reading_in, answer, engine=name))

    def _read_networked(self, name: str, request: Request) -> Reading:
        size, photo = self._to_send(name)
        arguments = {"engine": name, "request": wire.request_out(request), "width": size[0], "height": size[1]}
        seconds = self._options.deadline_seconds
        try:
            answer, _ = self._network.call("read", arguments, photo, seconds=seconds)
        except ChildLost as error:
            raise (_timeout(name, seconds) if error.late else _crashed(name, error)) from error
        return self._checked(self._network, name, partial(wire.reading_in, answer, engine=name))

    def _to_send(self, name: str) -> tuple[tuple[int, int], bytes]:
        """Return size and bytes of what the network may see: never the upload, if we could make anything of it."""
        if refusal := self._settle_picture():
            if refusal.code != EngineRefused.code:
                raise _again(refusal)
            return (0, 0), self._photo
        long_side = self._options.options.get(name, {}).get("long_side", LONG_SIDE)
        answer, photo = self._pixels.call("encode", {"long_side": long_side}, seconds=self._half)
        return self._checked(self._pixels, "pixels", partial(wire.size_in, answer)), photo

    def _probe(self, child: Child, name: str) -> str:
        try:
            answer, _ = child.call("probe", {"engine": name}, seconds=self._options.deadline_seconds)
        except ChildLost as error:
            raise _crashed(name, error) from error
        return self._checked(child, name, partial(wire.sentence_in, answer))

    def _checked(self, child: Child, name: str, parse: Callable[[], _Fact]) -> _Fact:
        """Return what *parse* makes of an answer; a child whose answer makes no sense is not asked again."""
        try:
            return parse()
        except ValueError as error:
            child.discard(f"{name} answered {error}")
            raise EngineUnavailable(
                f"The engine {name} gave an answer that makes no sense: {error}.", code="engine_answer_invalid"
            ) from error


def _again(refusal: EngineRefused) -> EngineRefused:
    return EngineRefused(refusal.reason, hint=refusal.hint, code=refusal.code)


def _timeout(name: str, seconds: float) -> EngineUnavailable:
    return EngineUnavailable(f"The engine {name} did not answer within {seconds:g} s.", code="engine_timeout")


def _crashed(name: str, error: ChildLost) -> EngineUnavailable:
    return EngineUnavailable(f"The engine {name} broke down: {error}", code="engine_crashed")
