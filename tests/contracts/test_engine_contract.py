"""What every engine promises, checked on every engine there is; and that none of a worse kind can hold us up."""

from __future__ import annotations

import inspect
import json
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.misbehaving.engines import AFAR, BAD_HABITS, GARBAGE, LIES, NAMES, install
from tests.plate_photos import draw, photo, pixels_of
from tests.scripted_openai import KEY, Scripted, says
from watcher import engines, pictures, wire
from watcher.child.parent import Limits
from watcher.engines import Engine, load, networked
from watcher.errors import ChildLost, EngineRefused, EngineUnavailable, SettingsInvalid
from watcher.model import NO_PLATE, Kind, Picture, Reading, Request
from watcher.plates import judge
from watcher.reader import Desk, ReaderOptions

ROOT = str(Path(__file__).parent.parent.parent)
PLATE = "1234 BCD"

World = Callable[[str], AbstractContextManager[dict[str, Any]]]


@contextmanager
def of_openai(sees: str) -> Iterator[dict[str, Any]]:
    """Give the options of an engine that talks to a scripted server, which sees what it is told."""
    with Scripted(says(sees or NO_PLATE)) as server:
        yield {"api_key": KEY, "base_url": server.url}


@contextmanager
def of_this_machine(sees: str) -> Iterator[dict[str, Any]]:
    """Give the options of an engine that reads here, and sees what is there."""
    del sees
    yield {}


WORLDS: Mapping[str, World] = {"openai": of_openai, "rapidocr": of_this_machine, "tesseract": of_this_machine}
"""For every engine, the options with which it sees this plate, or none, on a picture of it."""

BROKEN: Mapping[str, dict[str, Any]] = {
    "openai": {"api_key": KEY, "base_url": "http://127.0.0.1:9/v1"},
    "tesseract": {"command": "/no/such/program"},
}
"""For every engine, the options with which it can be built but not asked."""

NEEDED: Mapping[str, str] = {"rapidocr": "onnxruntime"}
"""Of an engine that brings all that it asks, and so can never be away once it is built, a package without which not."""


@pytest.fixture(params=sorted(module.name for module in pkgutil.iter_modules(engines.__path__)))
def name(request: pytest.FixtureRequest) -> str:
    """Return each engine of ours in turn; a new one must be listed above."""
    found = str(request.param)
    assert found in WORLDS, f"List in WORLDS how {found} is made to see a plate."
    assert found in BROKEN or found in NEEDED, f"List in BROKEN how {found} is made not to be there."
    return found


@contextmanager
def made(name: str, sees: str = PLATE, **options: Any) -> Iterator[Engine]:
    """Give the engine, in a world where it sees this."""
    with WORLDS[name](sees) as given:
        engine = load(name, given | options)
        yield engine
        getattr(engine, "close", lambda: None)()


def picture_for(name: str, image: Image.Image) -> Picture:
    """Return *image* as an engine of this kind gets it."""
    return pictures.encode(pixels_of(image), 1280) if networked(name) else pixels_of(image)


def bare(reading: Reading) -> str:
    """Return the plate for which *reading* is taken, without hyphens, which an engine may tell."""
    return (judge(reading.text or "", "plate") or "").replace("-", "")


def test_it_has_the_shape_of_an_engine(name: str) -> None:
    """It carries the name under which it is configured, and its methods are those of the port."""
    with made(name) as engine:
        words = [[*inspect.signature(method).parameters] for method in (engine.probe, engine.read)]

        assert name == engine.name
        assert [[], ["picture", "request"]] == words


def test_it_reads_a_plate(name: str) -> None:
    """A clear plate is read so that it can be judged one, with a confidence that is one, if any."""
    with made(name) as engine:
        reading = engine.read(picture_for(name, draw(PLATE)), Request())

    assert "1234BCD" == bare(reading)
    assert reading.confidence is None or 0 <= reading.confidence <= 1
    assert reading.seconds >= 0


def test_it_says_nothing_if_there_is_nothing(name: str) -> None:
    """That nothing was seen is a reading whose text cannot be a plate, and no error."""
    with made(name, "") as engine:
        reading = engine.read(picture_for(name, draw("")), Request())

    assert judge(reading.text or "", "plate") is None


@pytest.mark.parametrize("kind", ["plate", "vin", "trailer_id"])
def test_it_can_be_asked_for_every_kind(name: str, kind: Kind) -> None:
    """Whatever is asked for, with whatever words of a sidecar, there is an answer that can be sent."""
    request = Request(kind, "es-ES\x00\ud800", ("ES", "x" * 1000))
    with made(name, "") as engine:
        reading = engine.read(picture_for(name, draw("")), wire.request_in(wire.request_out(request)))

    arrived = wire.reading_in(json.loads(json.dumps(wire.reading_out(reading))), engine=name)
    assert replace(reading, engine=name, tried=()) == arrived


def test_it_keeps_nothing_that_matters(name: str) -> None:
    """The same picture is read alike again, also after another one."""
    with made(name) as engine:
        seen = picture_for(name, draw(PLATE))
        first = engine.read(seen, Request())
        engine.read(picture_for(name, draw("")), Request())

        assert first.text == engine.read(seen, Request()).text


@pytest.mark.parametrize("size", [(1, 1), (64, 1), (1, 64), (7, 5)])
def test_it_takes_any_picture(name: str, size: tuple[int, int]) -> None:
    """A picture of any shape is read or refused."""
    with made(name, "") as engine:
        try:
            reading = engine.read(picture_for(name, Image.new("RGB", size, "grey")), Request())
        except (EngineRefused, EngineUnavailable):
            return

        assert judge(reading.text or "", "plate") is None


def test_it_refuses_what_it_cannot_read(name: str) -> None:
    """Without what it reads, pixels or an encoded picture, it refuses the picture."""
    with made(name) as engine, pytest.raises(EngineRefused):
        engine.read(Picture(4, 3), Request())


def test_it_can_be_away(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Building it asks nobody; asking one that is away raises what lets the next engine be asked, with a sentence."""
    if name in NEEDED:
        monkeypatch.setitem(sys.modules, NEEDED[name], None)
        with pytest.raises(EngineUnavailable, match=NEEDED[name]) as caught:
            load(name, {})
        assert caught.value.hint
        return
    engine = load(name, BROKEN[name])
    for ask in (engine.probe, lambda: engine.read(picture_for(name, draw(PLATE)), Request())):
        with pytest.raises(EngineUnavailable) as caught:
            ask()

        assert caught.value.reason.endswith(".")
        assert KEY not in str(caught.value)
    getattr(engine, "close", lambda: None)()


def test_it_knows_its_options(name: str) -> None:
    """An option that it does not have is a fault of the settings, named."""
    with pytest.raises(SettingsInvalid, match="no_such_option") as caught, made(name, no_such_option=1):
        pass

    assert f"[engines.{name}]" in caught.value.reason
    assert caught.value.hint


def test_it_writes_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Standard output is not for engines."""
    with made(name) as engine:
        engine.read(picture_for(name, draw(PLATE)), Request())

    assert "" == capfd.readouterr().out


def test_it_works_in_its_child(name: str) -> None:
    """In the process where it lives, within its limits, it reads the same photo and says what it is or why not."""
    with WORLDS[name](PLATE) as given:
        options = {key: value for key, value in given.items() if key != "api_key"}
        afar = frozenset({name}) if networked(name) else frozenset()
        secrets = {name: KEY} if "api_key" in given else {}
        desk = Desk(ReaderOptions((name,), networked=afar, options={name: options}, secrets=secrets))
        try:
            desk.open(photo(PLATE))
            reading = desk.seats[0].read(Request())
        finally:
            desk.close()

    assert ("1234BCD", name) == (bare(reading), reading.engine)


BAD: Mapping[str, Mapping[str, Any]] = {
    **{habit: {} for habit in (*BAD_HABITS, "breaks", "fatal", "picky")},
    **{f"lies: {how}": {"how": how} for how in LIES},
    **{f"garbles: {how}": {"how": how} for how in GARBAGE},
    **{f"floods: {how}": {"how": how} for how in ("replies", "noise")},
}
"""Engines that break every promise there is, with their options."""

LIMITS = Limits(memory_bytes=512 << 20, cpu_seconds=20, file_bytes=1 << 20)


@pytest.mark.parametrize("afar", ["", AFAR], ids=["pixels", "network"])
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_one_holds_nobody_up(tmp_path: Path, bad: str, afar: str) -> None:
    """Whatever an engine does in whichever child, it ends in time in one of three errors, and the next one reads on."""
    name = bad.partition(":")[0] + afar
    options = {name: BAD[bad], "answers" + afar: {"text": PLATE}}
    desk = Desk(
        ReaderOptions(
            engines=tuple(options),
            networked=frozenset(options if afar else ()),
            options=options,
            deadline_seconds=2.0 if afar else 4.0,
            pixels=LIMITS,
            network=LIMITS,
            paths=(ROOT, install(tmp_path)),
        )
    )
    try:
        desk.open(photo(PLATE))
        started = time.monotonic()
        with pytest.raises((EngineUnavailable, EngineRefused, ChildLost)):
            desk.seats[0].read(Request())
        seconds = time.monotonic() - started
        after = desk.seats[1].read(Request())
    finally:
        desk.close()

    assert 15 > seconds
    assert Reading(PLATE, 0.9, "answers" + afar) == after


def test_every_bad_habit_is_tried() -> None:
    """No engine in the collection of bad ones is forgotten."""
    here = {bad.partition(":")[0] for bad in BAD}
    there = Path(ROOT, "tests/test_reader.py").read_text(encoding="utf-8")

    assert [] == [habit for habit in NAMES if habit not in here and f'"{habit}' not in there]
