"""Tests of watcher.chambers: what the children do, here in this process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.makers import jpeg
from tests.misbehaving.engines import install
from watcher import wire
from watcher.chambers import network, pixels
from watcher.errors import EngineRefused, EngineUnavailable
from watcher.model import Reading, Request

ASK = {"engine": "describes", "request": wire.request_out(Request())}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the engines that are asked here."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


class TestPixels:
    """Where pixels are touched."""

    def test_opens_and_reads(self) -> None:
        """A local engine gets the pixels of the photo that is open, and nothing of the file."""
        chamber = pixels({"engines": {"describes": {}}, "max_pixels": 1000}, {})
        size, nothing = chamber.open({}, jpeg())
        found, _ = chamber.read(ASK, b"")

        assert ({"width": 32, "height": 16}, b"") == (size, nothing)
        assert [["32x16", None], [str(32 * 16 * 3), None], ["", None]] == found["candidates"]

    def test_encodes(self) -> None:
        """The picture comes out as a JPEG of the size that is asked for, and stays open."""
        chamber = pixels({"engines": {}, "max_pixels": 1000}, {})
        chamber.open({}, jpeg())
        for side in (16, 32):
            size, photo = chamber.encode({"long_side": side}, b"")
            with Image.open(io.BytesIO(photo)) as image:
                assert (side, side // 2) == image.size == (size["width"], size["height"])

    def test_refused(self) -> None:
        """A photo that is refused leaves no picture open, and not the last one either."""
        chamber = pixels({"engines": {"describes": {}}, "max_pixels": 1000}, {})
        chamber.open({}, jpeg())
        with pytest.raises(EngineRefused):
            chamber.open({}, b"broken")

        with pytest.raises(LookupError):
            chamber.read(ASK, b"")

    def test_annotates(self) -> None:
        """A reading that was made elsewhere is drawn on the picture, as a PNG; the picture itself stays as it is."""
        chamber = pixels({"engines": {"describes": {}}, "max_pixels": 1000}, {})
        chamber.open({}, jpeg())
        before, _ = chamber.read(ASK, b"")
        reading = json.loads(json.dumps(wire.reading_out(Reading("1234BCD", 0.9, box=(1, 2, 3, 4)))))
        found, drawing = chamber.annotate({"reading": reading, "engine": "openai"}, b"")
        after, _ = chamber.read(ASK, b"")

        assert {} == found
        assert wire.png_in(drawing)
        assert before == after

    def test_limit(self) -> None:
        """The limit of pixels is that of the options."""
        chamber = pixels({"engines": {}, "max_pixels": 100}, {})
        with pytest.raises(EngineRefused) as caught:
            chamber.open({}, jpeg())

        assert "too_many_pixels" == caught.value.code

    def test_probes(self) -> None:
        """A probe needs no picture, and its sentence is cut to what can be sent."""
        found, _ = pixels({"engines": {"answers": {}}, "max_pixels": 1}, {}).probe({"engine": "answers"}, b"")

        assert found["sentence"].startswith("One that answers.")
        assert wire.MAX_TEXT == len(found["sentence"])

    def test_engine_that_cannot_be_built(self) -> None:
        """A fault of the settings that shows itself here makes the engine unavailable, and stops nothing."""
        chamber = pixels({"engines": {"picky": {}}, "max_pixels": 1}, {})
        with pytest.raises(EngineUnavailable) as caught:
            chamber.probe({"engine": "picky"}, b"")

        assert ("settings_invalid", "Remove it.") == (caught.value.code, caught.value.hint)

    def test_warms(self) -> None:
        """Each engine can be loaded before it is asked; one that cannot be built is one failed step of its own."""
        chamber = pixels({"engines": {"picky": {}, "answers": {}}, "max_pixels": 1}, {})
        picky, answers = chamber.warm()

        with pytest.raises(EngineUnavailable):
            picky()
        assert ({}, b"") == answers()
        assert {"answers"} == set(chamber._engines._loaded)


class TestNetwork:
    """What talks to the network."""

    def test_reads_with_its_key(self) -> None:
        """A networked engine gets its own key, and the encoded picture with its size."""
        secret = {"describes": "sk-mine", "other": "sk-other"}
        chamber = network({"engines": {"describes": {"long_side": 5}, "other": {}}}, secret)
        found, _ = chamber.read(ASK | {"width": 4, "height": 3}, b"\xff\xd8\xff\xe0")

        assert "sk-mine" == found["text"]
        assert [["4x3", None], ["0", None], ["ffd8ffe0", None]] == found["candidates"]

    def test_is_built_once(self) -> None:
        """An engine is built before it is asked, or when it is, and kept."""
        chamber = network({"engines": {"answers": {"text": "A"}}}, {})
        ask = ASK | {"engine": "answers", "width": 4, "height": 3}
        (step,) = chamber.warm()
        step()
        built = chamber._engines._loaded["answers"]

        assert ["A", "A"] == [chamber.read(ask, b"")[0]["text"] for _ in range(2)]
        assert chamber.probe({"engine": "answers"}, b"")[0]["sentence"]
        assert built is chamber._engines._loaded["answers"]
