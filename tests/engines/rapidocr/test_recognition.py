"""Tests of watcher.engines.rapidocr.recognition: lines cut out of a picture, and what a network says of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from tests.engines.rapidocr.lattices import slices
from tests.engines.rapidocr.networks import HEIGHT, STEP, Network, painted, reads_paint
from watcher.engines.rapidocr import models
from watcher.engines.rapidocr.boxes import Box
from watcher.engines.rapidocr.detection import Pixels
from watcher.engines.rapidocr.recognition import ALPHABET, BLANK, OTHER, Look, Recogniser, above, cut, plainest

CHARACTERS = ["B", "b", "0", "O", "Ø", "Ö", "-", ".", "·", "中", "ж", "1", "l", "|", "ß", "ﬁ", "\u017f"]
CLASSES = len(CHARACTERS) + 2
SPACE = CLASSES - 1


def recogniser() -> Recogniser:
    """Return one that knows CHARACTERS and sees them where they are painted."""
    return Recogniser(Network(reads_paint(CLASSES), CHARACTERS))


def seen(*characters: str) -> Look:
    """Return what it sees where these are painted, `_` for nothing."""
    classes = {"_": 0, " ": SPACE, **{character: place for place, character in enumerate(CHARACTERS, 1)}}
    return recogniser().look([painted([classes[character] for character in characters])])[0]


def drawn(text: str, degrees: float = 0.0, size: int = 80) -> tuple[Pixels, Box]:
    """Return a picture with *text* turned clockwise by that much, and where it is."""
    image = Image.new("RGB", (900, 700), "white")
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = pen.textbbox((450, 350), text, anchor="mm", font_size=size)
    pen.text((450, 350), text, fill="black", anchor="mm", font_size=size)
    turned = image.rotate(-degrees, fillcolor="white", resample=Image.Resampling.BICUBIC)
    box = Box(450, 350, right - left + size * 0.4, bottom - top + size * 0.4, math.radians(degrees), 1.0)
    return np.asarray(turned, np.uint8)[:, :, ::-1].copy(), box


class TestMeaning:
    """What becomes of the characters that the network knows."""

    @pytest.mark.parametrize(
        ("character", "meant"),
        [("B", "B"), ("b", "B"), ("0", "0"), ("Ø", "0"), ("Ö", "O"), ("1", "1"), ("l", "I"), ("|", "I")],
    )
    def test_same_look(self, character: str, meant: str) -> None:
        """A small letter, or one with marks, counts for what it looks like on a plate."""
        text, likely = plainest(seen("_", character, "_"))

        assert meant == text
        assert [1] == pytest.approx(likely)

    @pytest.mark.parametrize("character", ["-", ".", "·", " "])
    def test_separators(self, character: str) -> None:
        """Hyphen, full stop, dot and space are nothing; they still part equal characters."""
        assert "BB" == plainest(seen("B", character, "B"))[0]
        assert BLANK == seen(character)[0].argmax()

    @pytest.mark.parametrize("character", ["中", "ж", "ß", "ﬁ", "\u017f"])
    def test_foreign(self, character: str) -> None:
        """A character of no plate is another one, whatever case or shape it can be turned into."""
        assert OTHER == seen(character)[0].argmax()
        assert "?" == plainest(seen(character))[0]

    def test_shared(self) -> None:
        """What looks the same is added up before anything is decided."""
        shares = np.zeros((1, 8, CLASSES), np.float32)
        shares[:, :, [1, 2]] = 0.3  # B and b
        shares[:, :, 10] = 0.4  # foreign
        look = Recogniser(Network(lambda _: shares, CHARACTERS)).look([painted([0] * 8)])[0]

        assert "B" == plainest(look)[0]
        assert 0.6 == pytest.approx(look[0, ALPHABET.index("B")])
        assert 0.4 == pytest.approx(look[0, OTHER])

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 50.0]))
    def test_sums(self, seed: int, sharp: float) -> None:
        """Whatever the network says, each slice sums to 1, and nothing is less than impossible."""
        said = np.random.default_rng(seed).dirichlet([sharp] * CLASSES, (1, 8)).astype(np.float32)
        look = Recogniser(Network(lambda _: said, CHARACTERS)).look([painted([0] * 8)])[0]

        assert (8, BLANK + 1) == look.shape
        assert look.sum(axis=1) == pytest.approx(1, abs=1e-4)
        assert (look >= 0).all()

    def test_of_the_real_one(self) -> None:
        """The characters that come with the network are as many as it tells apart, and all of plates are there."""
        session = models.session(models.find().recogniser)
        real = Recogniser(session)
        blank = np.full((HEIGHT, 64, 3), 255, np.uint8)

        said = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, HEIGHT, 64), np.float32)})[0]
        known = session.get_modelmeta().custom_metadata_map["character"].splitlines()
        assert len(known) + 2 == said.shape[2]
        assert set(range(len(ALPHABET))) | {BLANK} == set(real._meaning.tolist())
        assert "" == plainest(real.look([blank])[0])[0]


class TestLook:
    """Asking about several lines."""

    @settings(max_examples=25, deadline=None)
    @example([[1] * 15, [1] * 29])  # 15 / 29 * 29 is more than 15 to a computer
    @given(st.lists(st.lists(st.integers(0, CLASSES - 1), min_size=2, max_size=40), max_size=15))
    def test_order(self, lines: list[list[int]]) -> None:
        """Each line gets its own answer, of its own length, however many there are and however long."""
        known = recogniser()
        alone = [known.look([painted(line)])[0] for line in lines]

        for expected, found in zip(alone, known.look([painted(line) for line in lines]), strict=True):
            assert expected.shape[0] == found.shape[0]
            assert np.array_equal(expected, found)

    def test_none(self) -> None:
        """Without a line nothing is asked."""
        network = Network(reads_paint(CLASSES), CHARACTERS)

        assert [] == Recogniser(network).look([])
        assert [] == network.seen

    @pytest.mark.parametrize("width", [16, 17, 63, 64, 65, 319, 640])
    def test_widths(self, width: int) -> None:
        """A line of any width fits the network, whose slices are of whole pixels, and none of them is lost."""
        network = Network(reads_paint(CLASSES), CHARACTERS)
        (look,) = Recogniser(network).look([np.zeros((HEIGHT, width, 3), np.uint8)])

        assert 0 == network.seen[0][3] % STEP
        assert width <= len(look) * STEP < width + STEP


class TestCut:
    """Taking a line out of a picture."""

    @pytest.mark.parametrize("degrees", [-60, -20, 0, 5, 45, 89])
    @pytest.mark.parametrize("size", [30, 80, 200])
    def test_upright(self, degrees: float, size: int) -> None:
        """A line that is turned comes out upright, its beginning at the left, whether it is shrunk or enlarged."""
        picture, box = drawn("L.", degrees, size)
        crop = cut(picture, box)
        ink = 255 - crop.mean(axis=2)
        middle = crop.shape[1] // 2

        assert HEIGHT == crop.shape[0]
        assert ink[:, :middle].sum() > 2 * ink[:, middle:].sum()
        assert ink[24:, :].sum() > 1.3 * ink[:24, :].sum()

    @settings(max_examples=60, deadline=None)
    @given(
        st.floats(0, 199),
        st.floats(0, 99),
        st.floats(1, 900),
        st.floats(2, 400),
        st.floats(-math.pi / 2, math.pi / 2),
    )
    def test_any(self, x: float, y: float, width: float, height: float, angle: float) -> None:
        """A box that reaches out of the picture is cut too; what comes out has the height, and bounds to its width."""
        crop = cut(np.full((100, 200, 3), 77, np.uint8), Box(x, y, width, height, angle, 1.0))

        assert (HEIGHT, 3) == (crop.shape[0], crop.shape[2])
        assert STEP <= crop.shape[1] <= 2000
        assert (crop == 77).all()

    def test_wider(self) -> None:
        """A longer line comes out wider."""
        picture = np.zeros((100, 400, 3), np.uint8)
        widths = [cut(picture, Box(200, 50, width, 40, 0.0, 1.0)).shape[1] for width in (40, 160, 320)]

        assert sorted(set(widths)) == widths


class TestPlainest:
    """The text that is likeliest slice by slice."""

    @pytest.mark.parametrize(
        ("written", "text"),
        [("", ""), ("__", ""), ("1_2", "12"), ("11_1", "11"), ("1122", "12"), ("A?B", "A?B"), ("A??_?B", "A??B")],
    )
    def test_text(self, written: str, text: str) -> None:
        """Repeated slices are one character, unless something is between them."""
        read, likely = plainest(slices(*written))

        assert text == read
        assert len(text) == len(likely)

    def test_likely(self) -> None:
        """A character is as sure as the surest of its slices."""
        text, likely = plainest(slices({"A": 0.6}, {"A": 0.9}, "_", {"B": 0.7}))

        assert "AB" == text
        assert [0.9, 0.7] == pytest.approx(likely, abs=0.02)

    def test_above(self) -> None:
        """Of two lines, one above the other, equal characters at their ends remain two."""
        both = above(slices(*"1_2"), slices(*"2_B"))

        assert "122B" == plainest(both)[0]
        assert both.sum(axis=1) == pytest.approx(1)


class TestRealOne:
    """The network that comes with the package."""

    @pytest.mark.parametrize("degrees", [0, -12, 30])
    def test_reads(self, degrees: float) -> None:
        """Letters and digits that are drawn are read, however they are turned, dark on light or light on dark."""
        real = Recogniser(models.session(models.find().recogniser))
        picture, box = drawn("1234 BCD", degrees)
        dark, light = real.look([cut(picture, box), cut(~picture, box)])

        assert ("1234BCD", "1234BCD") == (plainest(dark)[0], plainest(light)[0])
