"""Engines that hang, crash, lie, flood and leave things behind; and two that behave.

`install` makes a folder look like an installed package that brings them, by entry points: an engine is asked for by the
name of its class in small letters.
"""

# ruff: noqa: ARG002 - an engine takes what engines take, needed or not

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.misbehaving.workers import Worker
from watcher.errors import EngineRefused, EngineUnavailable, SettingsInvalid
from watcher.model import Candidate, Picture, Reading, Request

BAD_HABITS = ("hangs", "spins", "crashes", "leaves", "fills")
LIES: Mapping[str, Any] = {
    "a text": "1234BCD",
    "nothing": None,
    "bytes for a text": Reading(b"1234BCD"),  # type: ignore[arg-type]
    "nan": Reading("1234BCD", float("nan")),
    "more than sure": Reading("1234BCD", 17.0),
    "sure in words": Reading("1234BCD", "very"),  # type: ignore[arg-type]
    "a crooked box": Reading("1234BCD", box=(1, 2)),  # type: ignore[arg-type]
    "a negative box": Reading("1234BCD", box=(-1, 2, 3, 4)),
    "strange candidates": Reading("1234BCD", candidates=("A", "B")),  # type: ignore[arg-type]
    "a strange code": Reading("1234BCD", code="Drop Table"),
    "a time before": Reading("1234BCD", seconds=-1.0),
}
GARBAGE: Mapping[str, bytes] = {
    "half a message": b"\x00\x00\x00\x40\x00\x00\x00\x00{",
    "text": b"Segmentation fault, or so we say\n" * 10,
    "an error of ours": b'\x00\x00\x00\x2b\x00\x00\x00\x00{"error": {"class": "SettingsInvalid", "x":1}}',
    "a plate in a wrong place": b'\x00\x00\x00\x0a\x00\x00\x00\x00{"found":5}',
}


@dataclass
class Engine:
    """An engine that answers, in one way or another: its name, without the way it is reached, tells which."""

    name: str
    options: Mapping[str, Any]
    worker: Worker = field(default_factory=lambda: Worker({}, {}))

    @property
    def habit(self) -> str:
        """What it does."""
        return self.name.removesuffix(AFAR)

    def probe(self) -> str:
        """Say what it is, or do what it does."""
        if self.habit in BAD_HABITS:
            getattr(self.worker, self.habit)({}, b"")
        if self.habit == "away":
            raise EngineUnavailable("It is not here.", hint="Fetch it.")
        return LIES["bytes for a text"] if self.habit == "lies" else f"One that {self.habit}." + "!" * 500

    def read(self, picture: Picture, request: Request) -> Reading:
        """Answer, or do what it does."""
        if self.habit in BAD_HABITS:
            getattr(self.worker, self.habit)({}, b"")
        doing = getattr(self, f"_{self.habit}", None)
        said = Reading(self.options.get("text"), 0.9, "somebody else", note=self.options.get("note", ""))
        return doing(picture) if doing else said

    def _describes(self, picture: Picture) -> Reading:
        """Say what can be seen, and of what."""
        seen = f"{picture.width}x{picture.height}", f"{len(picture.pixels)}", picture.encoded[:4].hex()
        return Reading(str(self.options.get("api_key")), 1.0, candidates=tuple(Candidate(text) for text in seen))

    def _lies(self, picture: Picture) -> Any:
        return LIES[self.options["how"]]

    def _garbles(self, picture: Picture) -> Any:
        return self.worker.writes({}, GARBAGE[self.options["how"]])

    def _floods(self, picture: Picture) -> Any:
        return self.worker.floods({"where": self.options["how"]}, b"")

    def _breeds(self, picture: Picture) -> Reading:
        found, _ = self.worker.breeds({"dies": False}, b"")
        return Reading(str(found["pid"]))

    def _breaks(self, picture: Picture) -> Reading:
        raise KeyError("a bug")

    def _refuses(self, picture: Picture) -> Reading:
        raise EngineRefused("Not this one.", code="content_filter")

    def _away(self, picture: Picture) -> Reading:
        raise EngineUnavailable("It is not here.", hint="Fetch it.", retry_after=5)

    def _fatal(self, picture: Picture) -> Reading:
        raise SettingsInvalid("Stop everything.")

    def _chatters(self, picture: Picture) -> Reading:
        self.worker.prints({}, b"")
        return Reading("1234BCD", 0.9)


AFAR = "_from_afar"
NAMES: tuple[str, ...] = (
    *BAD_HABITS,
    *("answers", "describes", "lies", "garbles", "floods", "breeds", "breaks", "refuses", "away", "fatal"),
    *("chatters", "picky"),
)
"""Names of the local engines; each has a twin in the network child, whose name ends in `AFAR`."""


def __getattr__(target: str) -> Any:
    """Return the factory of the engine that an entry point names."""
    if not target.startswith("create_"):
        raise AttributeError(target)
    name = target.removeprefix("create_")

    def create(options: Mapping[str, Any]) -> Engine:
        if name.startswith("picky"):
            raise SettingsInvalid("[engines.picky]: there is no option at all.", hint="Remove it.")
        if mark := options.get("mark"):
            Path(mark).touch()
        return Engine(name, options)

    return create


def install(folder: Path) -> str:
    """Make *folder* look as if a package with these engines were installed in it, and return it."""
    about = folder / "misbehaving-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1.0\n", encoding="utf-8")
    groups = {"engines": [*NAMES, "needy"], "network_engines": [name + AFAR for name in NAMES]}
    lines = []
    for group, names in groups.items():
        lines += [f"[matricula_watcher.{group}]", *(f"{name} = {_target(name)}" for name in names)]
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return str(folder)


def _target(name: str) -> str:
    return "a_package_that_nobody_has:create" if name == "needy" else f"tests.misbehaving.engines:create_{name}"
