"""Tests of watcher.engines.tesseract: the real program on drawn photos, and programs that only look like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.plate_photos import draw, pixels_of
from watcher.engines import load
from watcher.engines.tesseract import Tesseract, create
from watcher.engines.tesseract.lines import Line, best_of, by_line, joined, parts
from watcher.engines.tesseract.regions import isolated, likely
from watcher.errors import EngineRefused, EngineUnavailable, SettingsInvalid
from watcher.model import Candidate, Picture, Reading, Request

BOX = (0, 0, 10, 10)
PLATES = ["1234 BCD", "5678 FGH", "ABC 1234", "KLM-482", "9012 JKL", "PRW 7345"]
NO_VERSION = 'if [ "$1" = --version ]; then exit 1; fi'
VERSION = 'if [ "$1" = --version ]; then echo tesseract 5.3.0; exit 0; fi'


def program(folder: Path, *lines: str) -> str:
    """Write a program that stands in for Tesseract, and return its path."""
    path = folder / "tesseract"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def says(text: str) -> str:
    """Return the line of a program that answers with this text, surely, in a box of its own."""
    numbers = ["level", "page_num", "block_num", "par_num", "line_num", "word_num", "left", "top", "width", "height"]
    rows = [[*numbers, "conf", "text"], ["5", *["1"] * 5, "10", "20", "30", "40", "91.5" if text else "-1", text]]
    table = "\\n".join("\\t".join(row) for row in rows)
    return f'printf "{table}\\n" > $2.tsv'


def by_mode(texts: dict[str, str]) -> str:
    """Return the lines of a program that answers with a text to a page segmentation mode, else with none."""
    cases = "\n".join(f'*"--psm {mode}"*) {says(text)};;' for mode, text in texts.items())
    return f'case "$*" in\n{cases}\n*) {says("")};;\nesac'


def engine(**options: Any) -> Tesseract:
    """Return the engine."""
    return create(options)


def read(plate: str, **options: Any) -> Reading:
    """Return what is read on a drawn photo."""
    return engine(**options).read(pixels_of(draw(plate)), Request())


class TestReading:
    """The real program."""

    @pytest.mark.parametrize("plate", PLATES)
    def test_clear_plates(self, plate: str) -> None:
        """A clear plate is read right, frame and car notwithstanding, as surely as Tesseract can, and said where."""
        reading = read(plate)
        left, top, width, height = reading.box or (0, 0, 0, 0)

        assert plate.replace(" ", "") == (reading.text or "").replace(" ", "")
        assert "tesseract" == reading.engine
        assert 0.5 <= (reading.confidence or 0) <= 0.6
        assert left < 640 < left + width
        assert top < 620 < top + height

    @pytest.mark.parametrize("size", [40, 70, 150])
    def test_near_and_far(self, size: int) -> None:
        """The same plate is read from near and from far."""
        reading = engine().read(pixels_of(draw("1234 BCD", size=size)), Request())

        assert "1234BCD" == (reading.text or "").replace(" ", "")

    def test_no_plate(self) -> None:
        """A photo without one is an answer: no text, and no error."""
        reading = read("")

        assert (None, None, "tesseract") == (reading.text, reading.confidence, reading.engine)

    def test_text_on_a_page(self) -> None:
        """What stands on the picture but nowhere like a plate is found on the whole picture."""
        image = Image.new("RGB", (400, 60), "white")
        ImageDraw.Draw(image).text((10, 10), "TRLU 7390 BX", fill="black", font_size=40)
        reading = engine(psm=[11, 6]).read(pixels_of(image), Request("trailer_id"))

        assert "TRLU7390BX" == (reading.text or "").replace(" ", "")

    @pytest.mark.parametrize("size", [(1, 1), (3, 2), (2000, 1), (1, 2000), (40, 40)])
    def test_odd_pictures(self, size: tuple[int, int]) -> None:
        """A picture of any shape has no plate rather than an error."""
        assert engine().read(pixels_of(Image.new("RGB", size, "red")), Request()).text is None

    def test_no_pixels(self) -> None:
        """It never sees a file, so without pixels there is nothing to read."""
        with pytest.raises(EngineRefused):
            engine().read(Picture(10, 10, encoded=b"\xff\xd8\xff"), Request())

    def test_probe(self) -> None:
        """It says what reads."""
        assert engine().probe().startswith("Tesseract ")


class TestTrouble:
    """Programs that are not there, too slow, or not Tesseract."""

    def test_missing(self) -> None:
        """Without the program the operator is told what to install, and the next engine is asked."""
        for ask in (lambda: read("1234 BCD", command="/no/tesseract"), engine(command="/no/tesseract").probe):
            with pytest.raises(EngineUnavailable) as caught:
                ask()

            assert "engine_missing" == caught.value.code
            assert "apt install tesseract-ocr" in caught.value.hint

    def test_language_missing(self, tmp_path: Path) -> None:
        """Without its English data the operator is told what to install."""
        command = program(tmp_path, VERSION, "echo deu")
        with pytest.raises(EngineUnavailable) as caught:
            engine(command=command).probe()

        assert "apt install tesseract-ocr-eng" in caught.value.hint

    @pytest.mark.parametrize("does", ["echo garbage", NO_VERSION, "exit 1", "echo tesseract 2.0"])
    def test_not_tesseract(self, tmp_path: Path, does: str) -> None:
        """A program of that name that is something else cannot be asked."""
        with pytest.raises(EngineUnavailable, match="failed"):
            engine(command=program(tmp_path, does)).probe()

    @pytest.mark.parametrize(
        "does", ["exit 1", "kill -9 $$", "exit 0", "echo nonsense > $2.tsv", "printf 'level\\tconf\\n1\\tx' > $2.tsv"]
    )
    def test_failed_run(self, tmp_path: Path, does: str) -> None:
        """A run that fails, dies, or answers nonsense is no answer."""
        with pytest.raises(EngineUnavailable, match="failed"):
            read("1234 BCD", command=program(tmp_path, VERSION, does))

    @pytest.mark.parametrize("seconds", [0.5, 1e-9])
    def test_too_slow(self, tmp_path: Path, seconds: float) -> None:
        """A run that does not end is ended, or not begun if there is no time for it."""
        with pytest.raises(EngineRefused) as caught:
            read("1234 BCD", seconds=seconds, command=program(tmp_path, VERSION, "exec tail -f /dev/null"))

        assert "engine_timeout" == caught.value.code

    def test_time_is_up_half_way(self, tmp_path: Path) -> None:
        """What was read before the time was up counts."""
        again = f"if [ -e {tmp_path}/once ]; then exec tail -f /dev/null; fi"
        command = program(tmp_path, VERSION, again, f": > {tmp_path}/once", says("12345"))
        reading = read("1234 BCD", seconds=3, command=command)

        assert (None, (Candidate("12345", 0.6 * 0.91),)) == (reading.text, reading.candidates)

    def test_asks_page_after_places(self, tmp_path: Path) -> None:
        """The whole picture is read, in the modes that are set, until one sees what can be a plate."""
        command = program(tmp_path, VERSION, f'echo "$8" >> {tmp_path}/modes', by_mode({"11": "FORD", "6": "1234BCD"}))
        reading = read("1234 BCD", command=command, psm=(11, 6, 4))
        modes = (tmp_path / "modes").read_text(encoding="utf-8").split()

        assert ("1234BCD", 0.6 * 0.91, (10, 20, 30, 40)) == (
            reading.text,
            reading.confidence,
            reading.box,
        )
        assert ["11", "6"] == [mode for mode in modes if mode != "7"]
        assert "7" == modes[0]


class TestOptions:
    """What stands in the configuration."""

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"lang": "deu"}, "lang"),
            ({"psm": []}, "psm"),
            ({"psm": 7}, "psm"),
            ({"psm": [0]}, "psm"),
            ({"psm": ["eleven"]}, "psm"),
            ({"command": ""}, "command"),
            ({"command": 5}, "command"),
            ({"seconds": 0}, "seconds"),
            ({"seconds": "5"}, "seconds"),
            ({"seconds": True}, "seconds"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], word: str) -> None:
        """An option that cannot be right is named."""
        with pytest.raises(SettingsInvalid, match=word):
            load("tesseract", options)


class TestLines:
    """Which line may be a plate."""

    def line(self, text: str, confidence: float = 0.9) -> Line:
        """Return a line."""
        return Line(text, confidence, BOX)

    @pytest.mark.parametrize(
        ("texts", "expected"),
        [
            (["1234 BCD"], "1234 BCD"),
            (["FORD", "1234 BCD"], "1234 BCD"),
            (["2026", "1234 BCD", "28013 MADRID CENTRO"], "1234 BCD"),
            (["W9962", "KZW9962"], "KZW9962"),
            (["A1B"], None),
            (["ABCDEFG"], None),
            (["1234567"], None),
            (["A1!?B2:C3"], None),
            (["12345 ABCDEF"], None),
            ([], None),
        ],
    )
    def test_best(self, texts: list[str], expected: str | None) -> None:
        """Letters and digits mixed, of the length of a plate; whole rather than cut off."""
        best = best_of([self.line(text) for text in texts], "plate")

        assert expected == (best.text if best else None)

    def test_surest(self) -> None:
        """The first of the lines, which come by their confidence, wins; a guess is none."""
        assert "1234BCD" == getattr(
            best_of([self.line("1234BCD", 0.9), self.line("5678FGH", 0.5)], "plate"), "text", ""
        )
        assert best_of([self.line("1234BCD", 0.19)], "plate") is None

    def test_longer_guess(self) -> None:
        """A longer line that was merely guessed does not win over a sure part of it."""
        assert "AJH-419" == getattr(best_of([self.line("AJH-419"), self.line("NAJH-419", 0.3)], "plate"), "text", "")

    @pytest.mark.parametrize(("kind", "text"), [("vin", "WVWZZZ1JZ3W386752"), ("trailer_id", "TRLU7390427")])
    def test_kinds(self, kind: Any, text: str) -> None:
        """What is asked for decides how long it may be."""
        assert text == getattr(best_of([self.line("1234 BCD"), self.line(text)], kind), "text", "")

    def test_edges(self) -> None:
        """What is drawn beside the characters is taken off, and the worst word tells how sure the line is."""
        line = joined([Line("|1234", 0.9, (5, 5, 20, 20)), Line("BCD_.", 0.4, (25, 4, 40, 19))])

        assert Line("1234 BCD", 0.4, (5, 4, 40, 20)) == line

    def test_parts(self) -> None:
        """A plate in a longer line is found; the line itself comes first."""
        words = [self.line(text) for text in ("TAXI", "1234", "BCD", "MADRID")]
        texts = [line.text for line in parts(words, "plate")]

        assert "TAXI 1234 BCD MADRID" == texts[0]
        assert "1234 BCD" in texts

    def test_table(self) -> None:
        """Words come by line; what has no confidence or no text is no word."""
        found: dict[str, list[Any]] = {
            "block_num": [1, 1, 1, 1, 2],
            "par_num": [1, 1, 1, 1, 1],
            "line_num": [0, 1, 1, 1, 1],
            "left": [0, 1, 2, 3, 4],
            "top": [0, 1, 2, 3, 4],
            "width": [9, 9, 9, 9, 9],
            "height": [8, 8, 8, 8, 8],
            "conf": [-1, 90, "50.5", 101, 70],
            "text": ["", "1234", " BCD ", "  ", 5678],
        }
        first, second = by_line(found)

        assert [Line("1234", 0.9, (1, 1, 10, 9)), Line("BCD", 0.505, (2, 2, 11, 10))] == first
        assert [Line("5678", 0.7, (4, 4, 13, 12))] == second
        with pytest.raises(ValueError, match="table"):
            by_line({})

    @given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 1)), min_size=1, max_size=6))
    def test_any_words(self, words: list[tuple[str, float]]) -> None:
        """Any words make lines without breaking anything."""
        lines = list(parts([Line(text, confidence, BOX) for text, confidence in words], "plate"))

        assert best_of(lines, "plate") in [None, *lines]


class TestRegions:
    """Where a plate may be."""

    def test_finds_it(self) -> None:
        """A plate is among the few places that are read."""
        boxes = likely(draw("1234 BCD").convert("L"))

        assert 6 >= len(boxes)
        assert any(left < 420 and right > 870 and top < 580 and bottom > 660 for left, top, right, bottom in boxes)

    def test_nothing(self) -> None:
        """An even picture has no place for one."""
        assert [] == likely(Image.new("L", (640, 480), 90))

    def test_inside(self) -> None:
        """A place lies within the picture, also one at its edge."""
        image = Image.new("L", (300, 100), 255)
        ImageDraw.Draw(image).text((0, 20), "1234 BCD", fill=0, font_size=60)

        for left, top, right, bottom in likely(image):
            assert 0 <= left < right <= 300
            assert 0 <= top < bottom <= 100

    def test_takes_the_frame_off(self) -> None:
        """What is left of a framed plate is its characters on white."""
        image = Image.new("L", (200, 60), 40)
        pen = ImageDraw.Draw(image)
        pen.rectangle((10, 5, 190, 55), fill=230, outline=10, width=4)
        pen.rectangle((90, 20, 100, 40), fill=10)
        left = isolated(image, (0, 0, 200, 60))
        dark = left.point(lambda value: 255 - value).getbbox()

        assert dark is not None
        assert 25 > dark[2] - dark[0]
        assert 40 > dark[3] - dark[1]

    @pytest.mark.parametrize("shade", [0, 128, 255])
    def test_even_place(self, shade: int) -> None:
        """A place of one shade alone breaks nothing."""
        assert isolated(Image.new("L", (50, 20), shade), (0, 0, 50, 20)).height == 142
