"""Tests of watcher.reader: a desk with its two children, and engines that behave and do not."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.makers import jpeg, png
from tests.misbehaving.engines import AFAR, install
from tests.test_child import gone
from watcher.child.parent import Limits
from watcher.errors import ChildLost, EngineRefused, EngineUnavailable, StorageUnavailable
from watcher.model import Reading, Request
from watcher.reader import Desk, ReaderOptions

ROOT = str(Path(__file__).parent.parent)
SMALL = Limits(memory_bytes=512 << 20, cpu_seconds=20, file_bytes=1 << 20)
REQUEST = Request()

Options = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Give a way to make desks for engines with their options; all are closed in the end."""
    paths = (ROOT, install(tmp_path))
    desks = []

    def make(engines: Options, **more: Any) -> Desk:
        afar = frozenset(name for name in engines if name.endswith(AFAR))
        given: dict[str, Any] = {"pixels": SMALL, "deadline_seconds": 40.0, "options": engines, "paths": paths} | more
        desk = Desk(ReaderOptions(tuple(engines), networked=afar, **given))
        desks.append(desk)
        return desk

    yield make
    for desk in desks:
        desk.close()


@contextmanager
def child_lost() -> Iterator[None]:
    """Expect that the child is lost, by its own fault."""
    with pytest.raises(ChildLost) as caught:
        yield
    assert not caught.value.late


def said(desk: Desk, seat: int = 0) -> Reading:
    """Return what the engine on a seat says of the photo that is open."""
    return desk.seats[seat].read(REQUEST)


def unavailable(desk: Desk, seat: int = 0) -> EngineUnavailable:
    """Return why the engine on a seat could not be asked."""
    with pytest.raises(EngineUnavailable) as caught:
        said(desk, seat)
    return caught.value


class TestPhotos:
    """What becomes of a photo."""

    def test_engines_are_loaded_with_the_child(self, open_desk: Callable[..., Desk], tmp_path: Path) -> None:
        """Loading counts against no call: it is over once the child has started, also beside an engine that fails."""
        desk = open_desk({"picky": {}, "answers": {"mark": str(tmp_path / "loaded"), "text": "1234BCD"}})
        desk.open(jpeg())

        assert (tmp_path / "loaded").exists()
        assert "Remove it." == unavailable(desk).hint
        assert "1234BCD" == said(desk, 1).text

    @pytest.mark.parametrize("photo", [jpeg(), png()])
    def test_local(self, open_desk: Callable[..., Desk], photo: bytes) -> None:
        """A local engine gets the pixels and nothing else."""
        desk = open_desk({"describes": {}})

        assert (32, 16) == desk.open(photo)
        assert ["32x16", "1536", ""] == [candidate.text for candidate in said(desk).candidates]

    def test_networked(self, open_desk: Callable[..., Desk]) -> None:
        """A networked engine gets a JPEG that we made, of the size in its options; the upload stays here."""
        desk = open_desk({"describes_from_afar": {"long_side": 8}})
        desk.open(png())
        reading = said(desk)

        assert ["8x4", "0", "ffd8ffe0"] == [candidate.text for candidate in reading.candidates]
        assert "describes_from_afar" == reading.engine

    def test_networked_without_size(self, open_desk: Callable[..., Desk]) -> None:
        """Without a size in its options a networked engine gets pictures of 1280 pixels at most."""
        desk = open_desk({"describes_from_afar": {}})
        desk.open(jpeg(size=(1300, 650)))

        assert "1280x640" == said(desk).candidates[0].text

    def test_key(self, open_desk: Callable[..., Desk]) -> None:
        """The key reaches its engine in the network child, and no local one, whatever its name."""
        desk = open_desk(
            {"describes": {}, "describes_from_afar": {}}, secrets={"describes_from_afar": "sk", "describes": "x"}
        )
        desk.open(jpeg())

        assert ("None", "sk") == (said(desk, 0).text, said(desk, 1).text)

    def test_unreadable(self, open_desk: Callable[..., Desk]) -> None:
        """Of what cannot be decoded here the network gets the bytes as they came, and local engines refuse it."""
        desk = open_desk({"describes": {}, "describes_from_afar": {}})

        assert desk.open(jpeg()[:-300]) is None
        with pytest.raises(EngineRefused) as caught:
            said(desk, 0)
        assert "image_unreadable" == caught.value.code
        assert ["0x0", "0", "ffd8ffe0"] == [candidate.text for candidate in said(desk, 1).candidates]

    def test_too_large(self, open_desk: Callable[..., Desk]) -> None:
        """Too many pixels are too many for everybody."""
        desk = open_desk({"describes": {}, "describes_from_afar": {}}, max_pixels=100)

        assert desk.open(jpeg()) is None
        for seat in (0, 1):
            with pytest.raises(EngineRefused) as caught:
                said(desk, seat)
            assert "too_many_pixels" == caught.value.code

    def test_one_after_the_other(self, open_desk: Callable[..., Desk]) -> None:
        """The photo that is open is the last one, also after one that was refused."""
        desk = open_desk({"describes": {}})
        photos = (jpeg(size=(16, 16)), b"broken", jpeg(size=(64, 16)))
        seen = [said(desk).candidates[0].text if desk.open(photo) else "" for photo in photos]

        assert ["16x16", "", "64x16"] == seen

    def test_file(self, open_desk: Callable[..., Desk], tmp_path: Path) -> None:
        """A photo can be opened by its path."""
        (tmp_path / "photo.jpg").write_bytes(jpeg())

        assert (32, 16) == open_desk({}).open_file(str(tmp_path / "photo.jpg"))

    def test_file_that_cannot_be_read(self, open_desk: Callable[..., Desk], tmp_path: Path) -> None:
        """A photo that is not there, or is only a link to one, is a matter of the disk."""
        (tmp_path / "photo.jpg").write_bytes(jpeg())
        (tmp_path / "link.jpg").symlink_to(tmp_path / "photo.jpg")
        for name in ("nothing.jpg", "link.jpg"):
            with pytest.raises(StorageUnavailable, match=name):
                open_desk({}).open_file(str(tmp_path / name))

    def test_drawing(self, open_desk: Callable[..., Desk]) -> None:
        """A reading is drawn on the photo that is open, also after the child was lost; without a picture it is not."""
        desk = open_desk({})
        desk.open(jpeg())
        first = desk.annotate(Reading("1234BCD", 0.9, "answers", (1, 2, 3, 4)))
        process = desk._pixels._process
        assert process
        os.kill(process.pid, signal.SIGKILL)
        assert gone(process.pid)
        again = desk.annotate(Reading("1234BCD", 0.9, "answers", (1, 2, 3, 4)))
        desk.open(b"broken")

        assert first.startswith(b"\x89PNG")
        assert first == again
        with pytest.raises(EngineRefused):
            desk.annotate(Reading(None))

    def test_nothing_open(self, open_desk: Callable[..., Desk]) -> None:
        """Before a photo is open there is nothing to read."""
        with pytest.raises(EngineRefused):
            said(open_desk({"answers": {}}))


class TestSeats:
    """Engines as the chain sees them."""

    def test_order(self, open_desk: Callable[..., Desk]) -> None:
        """There is a seat for each engine, in the order of the settings; none is started for it."""
        with capture_logs() as logs:
            desk = open_desk({"answers_from_afar": {}, "describes": {}, "answers": {}})

        assert ["answers_from_afar", "describes", "answers"] == [seat.name for seat in desk.seats]
        assert [] == logs

    def test_probe(self, open_desk: Callable[..., Desk]) -> None:
        """Each engine says what it is, without a photo; one that cannot says why."""
        desk = open_desk({"answers": {}, "answers_from_afar": {}, "away": {}, "picky": {}, "lies": {}, "crashes": {}})
        sentences = [seat.probe()[:17] for seat in desk.seats[:2]]
        codes = []
        for seat in desk.seats[2:]:
            with pytest.raises(EngineUnavailable) as caught:
                seat.probe()
            codes.append(caught.value.code)

        assert ["One that answers."] * 2 == sentences
        assert ["engine_unavailable", "settings_invalid", "engine_crashed", "engine_crashed"] == codes

    @pytest.mark.parametrize("afar", ["", AFAR])
    def test_errors_of_engines(self, open_desk: Callable[..., Desk], afar: str) -> None:
        """What an engine may raise arrives as it was raised, and the child lives on."""
        desk = open_desk({"refuses" + afar: {}, "away" + afar: {}, "answers" + afar: {"text": "A"}})
        desk.open(jpeg())
        with capture_logs() as logs:
            with pytest.raises(EngineRefused) as caught:
                said(desk, 0)
            away = unavailable(desk, 1)

        assert ("content_filter", "Fetch it.", 5) == (caught.value.code, away.hint, away.retry_after)
        assert "A" == said(desk, 2).text
        assert [] == [line for line in logs if line["event"] == "child.lost"]

    @pytest.mark.parametrize("how", ["nan", "a negative box"])
    @pytest.mark.parametrize("afar", ["", AFAR])
    def test_lies(self, open_desk: Callable[..., Desk], afar: str, how: str) -> None:
        """An answer that makes no sense is never taken, nor is another asked for where it came from."""
        desk = open_desk({"lies" + afar: {"how": how}, "answers" + afar: {"text": "1234BCD"}})
        desk.open(jpeg())
        with capture_logs() as logs, pytest.raises((EngineUnavailable, ChildLost)):
            said(desk)

        assert ["child.lost"] == [line["event"] for line in logs if line["event"] != "child.started"]
        assert "1234BCD" == said(desk, 1).text

    def test_name_is_ours(self, open_desk: Callable[..., Desk]) -> None:
        """A reading is of the engine that was asked, whatever it says of itself."""
        desk = open_desk({"answers": {"text": "A"}})
        desk.open(jpeg())

        assert "answers" == said(desk).engine

    def test_chatter(self, open_desk: Callable[..., Desk]) -> None:
        """What an engine prints does not get into its answer."""
        desk = open_desk({"chatters": {}})
        desk.open(jpeg())

        assert ["1234BCD", "1234BCD"] == [said(desk).text for _ in range(2)]


class TestLosses:
    """Children that die, or have to."""

    @pytest.mark.parametrize("engine", ["hangs", "spins"])
    def test_deadline_of_the_pixels(self, open_desk: Callable[..., Desk], engine: str) -> None:
        """A local engine that does not answer in half the deadline refuses the picture; the next one reads it."""
        desk = open_desk({engine: {}, "describes": {}}, deadline_seconds=2.0)
        desk.open(jpeg())
        started = time.monotonic()
        with pytest.raises(EngineRefused) as caught:
            said(desk)

        assert "engine_timeout" == caught.value.code
        assert 1.0 <= time.monotonic() - started < 10
        assert "32x16" == said(desk, 1).candidates[0].text

    def test_deadline_of_the_network(self, open_desk: Callable[..., Desk]) -> None:
        """A networked engine that does not answer in time is unavailable; the next one reads the same photo."""
        desk = open_desk({"hangs_from_afar": {}, "describes": {}}, deadline_seconds=2.0)
        desk.open(jpeg())
        started = time.monotonic()

        assert "engine_timeout" == unavailable(desk).code
        assert 2.0 <= time.monotonic() - started < 10
        assert "32x16" == said(desk, 1).candidates[0].text

    @pytest.mark.parametrize("engine", ["crashes", "leaves", "fills", "breaks", "fatal"])
    def test_death_of_the_pixels(self, open_desk: Callable[..., Desk], engine: str) -> None:
        """A local engine that takes the child with it costs the attempt; the next attempt finds another child."""
        desk = open_desk({engine: {}, "describes": {}})
        desk.open(jpeg())
        with child_lost():
            said(desk)

        assert "32x16" == said(desk, 1).candidates[0].text

    @pytest.mark.parametrize("engine", ["crashes", "leaves", "fills", "breaks", "fatal"])
    def test_death_of_the_network(self, open_desk: Callable[..., Desk], engine: str) -> None:
        """A networked engine that takes its child with it is unavailable; the photo stays open for the others."""
        desk = open_desk({engine + AFAR: {}, "describes": {}, "answers" + AFAR: {"text": "A"}}, network=SMALL)
        desk.open(jpeg())

        assert "engine_crashed" == unavailable(desk).code
        assert ("32x16", "A") == (said(desk, 1).candidates[0].text, said(desk, 2).text)

    def test_what_is_left_behind(self, open_desk: Callable[..., Desk]) -> None:
        """A process that an engine left behind ends with the desk."""
        desk = open_desk({"breeds": {}})
        desk.open(jpeg())
        pid = int(said(desk).text or "")
        assert Path(f"/proc/{pid}").exists()
        desk.close()

        assert gone(pid)

    def test_death_between_engines(self, open_desk: Callable[..., Desk]) -> None:
        """When the child dies between two engines, the photo is opened again for the second."""
        desk = open_desk({"describes": {}, "describes_from_afar": {}})
        desk.open(jpeg())
        process = desk._pixels._process
        assert process
        os.kill(process.pid, signal.SIGKILL)
        assert gone(process.pid)

        assert ["32x16", "32x16"] == [said(desk, seat).candidates[0].text for seat in (0, 1)]

    def test_decoding_that_takes_too_long(self, open_desk: Callable[..., Desk]) -> None:
        """A photo that is not decoded in time is refused: it would take as long again."""
        desk = open_desk({"describes": {}, "describes_from_afar": {}}, deadline_seconds=0.002)

        assert desk.open(jpeg(size=(3000, 3000))) is None
        for seat in (0, 1):
            with pytest.raises(EngineRefused) as caught:
                said(desk, seat)
            assert "decode_timeout" == caught.value.code

    def test_close_from_another_thread(self, open_desk: Callable[..., Desk]) -> None:
        """Closing the desk ends a call that runs, at once, and for good."""
        desk = open_desk({"hangs": {}})
        desk.open(jpeg())
        timer = threading.Timer(0.3, desk.close)
        timer.start()
        with child_lost():
            said(desk)
        timer.join()

        with child_lost():
            desk.open(jpeg())

    def test_retires_between_photos(self, open_desk: Callable[..., Desk]) -> None:
        """Children are replaced after some calls, but never while a photo is open."""
        with capture_logs() as logs:
            desk = open_desk({"describes": {}, "describes_from_afar": {}}, retire_after=1)
            for _ in range(2):
                desk.open(jpeg())
                assert ["32x16", "32x16"] == [said(desk, seat).candidates[0].text for seat in (0, 1)]

        events = [line["event"] for line in logs]
        assert (4, 2, 0) == tuple(events.count(f"child.{what}") for what in ("started", "retired", "lost"))
