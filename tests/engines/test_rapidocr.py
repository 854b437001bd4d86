"""Tests of watcher.engines.rapidocr: whole pictures that are drawn, good and bad, here and in the child."""

from __future__ import annotations

import io
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import ExifTags, Image

from tests.engines import scenes
from tests.engines.rapidocr.networks import Counted, Network, Planes
from tests.plate_photos import pixels_of
from watcher import pictures
from watcher.engines import TO_INSTALL, load
from watcher.engines.rapidocr import RapidOcr, create, models
from watcher.errors import EngineRefused, EngineUnavailable, SettingsInvalid
from watcher.model import Kind, Picture, Reading, Request
from watcher.plates import judge
from watcher.reader import Desk, ReaderOptions

PLATE = "1234-BCD"
MANY = 50_000_000
MOST_MEMORY_KB = 700_000


@cache
def only(*countries: str) -> RapidOcr:
    """Return a reader to which only the plates of these are known."""
    return create({"countries": list(countries)})


def read(reader: RapidOcr, image: Image.Image, *regions: str, kind: Kind = "plate") -> Reading:
    """Return what it reads."""
    return reader.read(pixels_of(image), Request(kind, regions=regions))


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return the file that a camera would send."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def noise(size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return a picture of nothing but noise."""
    return Image.fromarray(np.random.default_rng(7).integers(0, 256, (size[1], size[0], 3), np.uint8))


class TestScenes:
    """Vehicles, and what else is written in photos of them."""

    @pytest.mark.parametrize("text", ["1234 BCD", "BA-302AZ", "AB12 CDE", "AA-123-BB", "HH-AB 1234"])
    def test_plates(self, reader: RapidOcr, text: str) -> None:
        """Plates of several countries are read, none of them being set, with hyphens where they are parted."""
        reading = read(reader, scenes.car(text))

        assert re.sub("[ -]", "", text) == (reading.text or "").replace("-", "")
        assert "-" in (reading.text or "")
        assert 0.4 < (reading.confidence or 0) <= 1
        assert "rapidocr" == reading.engine
        assert reading.seconds > 0

    def test_where(self, reader: RapidOcr) -> None:
        """It says where the plate stands."""
        left, top, width, height = read(reader, scenes.car()).box or (0, 0, 0, 0)

        assert left < 480
        assert 800 < left + width
        assert top < 640 < top + height
        assert (width, height) < (600, 200)

    @pytest.mark.parametrize(
        ("scene", "plate"),
        [
            (scenes.dated, "1234-BCD"),
            (scenes.sold, "1234-BCD"),
            (scenes.van, "5678-FGH"),
            (scenes.motorcycle, "1234-BCD"),
        ],
        ids=["dated", "sold", "van", "motorcycle"],
    )
    def test_beside_other_writing(self, reader: RapidOcr, scene: Callable[[], Image.Image], plate: str) -> None:
        """A date, a camera's name, a dealer's frame and a larger telephone number all lose against the plate."""
        reading = read(reader, scene())

        assert plate == reading.text
        assert (reading.confidence or 0) > 0.5

    @pytest.mark.parametrize("plate", ["1234\nBCD", "5678\nFGH", "9012\nJKL"])
    def test_motorcycles(self, plate: str) -> None:
        """Two lines, one above the other, make one plate, in a box around both."""
        reading = read(only("ES"), scenes.motorcycle(plate))

        assert plate.replace("\n", "-") == reading.text
        assert (reading.box or (0, 0, 0, 0))[3] > 100

    def test_two_cars(self) -> None:
        """Of two cars the nearer one in the middle is read, and the other is among the candidates."""
        reading = read(only("ES"), scenes.two_cars())

        assert "1234-BCD" == reading.text
        assert "5678-FGH" in [candidate.text for candidate in reading.candidates]

    @pytest.mark.parametrize("degrees", [-30, -12, 12, 30])
    def test_turned(self, reader: RapidOcr, degrees: float) -> None:
        """A camera that hangs askew does not matter."""
        assert PLATE == read(reader, scenes.turned(scenes.car(), degrees)).text

    @pytest.mark.parametrize("size", [16, 30, 240])
    def test_near_and_far(self, reader: RapidOcr, size: int) -> None:
        """The same plate is read from near and from far."""
        photo = scenes.street()
        scenes.plate(photo, "1234 BCD", (640, 480), size)

        assert PLATE == read(reader, photo).text

    def test_light_on_dark(self, reader: RapidOcr) -> None:
        """Light letters on dark ground are read as well."""
        assert PLATE == read(reader, Image.fromarray(255 - np.asarray(scenes.car()))).text

    @pytest.mark.parametrize("text", ["2026-03-04 12:00:00", "612 345 678", "FONTANEROS", ""])
    def test_no_plate(self, text: str) -> None:
        """Where only a date, a number or a word is, there is no plate, or one that nobody would believe."""
        photo = scenes.street((320, 240))
        scenes.writing(photo, text, (160, 12 if ":" in text else 100), 24)
        reading = read(only("ES"), photo)

        assert judge(reading.text or "") is None or (reading.confidence or 0) < 0.2


class TestCountries:
    """Which plates are expected."""

    @pytest.mark.parametrize(
        ("countries", "regions", "expected"),
        [
            (["SK"], (), "BA-302OZ"),
            (["sk"], (), "BA-302OZ"),
            ([], ("SK",), "BA-302OZ"),
            ([], ("sk-BL", "nowhere", ""), "BA-302OZ"),
            (["SK"], ("ES",), "BA-302OZ"),
            (["ES"], ("SK",), "BA-3020-Z"),
        ],
    )
    def test_decide(self, countries: list[str], regions: tuple[str, ...], expected: str) -> None:
        """What is set decides whether a letter or a digit stands there; only else, what the photo came with."""
        assert expected == read(only(*countries), scenes.car("BA-302OZ"), *regions).text

    def test_unknown_regions(self, reader: RapidOcr) -> None:
        """Regions of which we know no plates change nothing."""
        plain = read(reader, scenes.car())

        assert replace(plain, seconds=0) == replace(read(reader, scenes.car(), "XX", "?", "\ud800"), seconds=0)

    def test_many_regions(self, reader: RapidOcr) -> None:
        """However many different regions photos come with, what is kept for them is bounded."""
        small = scenes.street((32, 32))
        for region in ("ES", "SK", "DE", "PT", "FR", "IT", "GB"):
            read(reader, small, region)

        assert len(reader._priors) < 6

    def test_probe(self) -> None:
        """It says what reads, and what it expects."""
        assert "plates of SK" in only("SK").probe()
        assert "anywhere" in only().probe()
        assert only().probe().endswith(".")


NUMBERS = [("trailer_id", "TRLU7390427"), ("vin", "1HGCM82633A004352"), ("vin", "WVWZZZ1JZ3W386752")]


class TestNumbers:
    """Other kinds than plates."""

    @pytest.mark.parametrize(("kind", "number"), NUMBERS)
    def test_read(self, reader: RapidOcr, kind: Kind, number: str) -> None:
        """The line that is as long as the number asked for is told, as it stands there, and nothing else."""
        photo = scenes.street()
        scenes.writing(photo, number, (640, 400), 40)
        scenes.writing(photo, "AUTOS 1998", (640, 700), 40)
        reading = read(reader, photo, kind=kind)

        assert number == reading.text
        assert (reading.confidence or 0) > 0.5
        assert () == reading.candidates

    @pytest.mark.parametrize("kind", ["vin", "trailer_id"])
    def test_none(self, reader: RapidOcr, kind: Kind) -> None:
        """A plate is none."""
        assert (None, None) == (read(reader, scenes.car(), kind=kind).text, read(reader, scenes.car(), kind=kind).box)


class TestPromises:
    """What holds for every picture."""

    def test_again(self, reader: RapidOcr) -> None:
        """The same picture is read alike again, also after others."""
        first = read(reader, scenes.motorcycle())
        read(reader, scenes.car("BA-302AZ"), "SK")

        assert replace(first, seconds=0) == replace(read(reader, scenes.motorcycle()), seconds=0)

    def test_silent(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Nothing is said by us or by the libraries, neither at loading nor at reading nor of bad pictures."""
        fresh = create({})
        fresh.probe()
        for image in (scenes.car(), noise((64, 64)), Image.new("RGB", (1, 1))):
            read(fresh, image)

        assert ("", "") == capfd.readouterr()

    @pytest.mark.parametrize("size", [(1, 1), (7, 400), (8, 8), (9, 300), (300, 9), (64, 4000)])
    @pytest.mark.parametrize("colour", ["black", "white"])
    def test_shapes(self, reader: RapidOcr, size: tuple[int, int], colour: str) -> None:
        """A picture of any shape has no plate rather than an error."""
        reading = read(reader, Image.new("RGB", size, colour))

        assert (None, None, None, ()) == (reading.text, reading.confidence, reading.box, reading.candidates)

    def test_candidates(self, reader: RapidOcr) -> None:
        """Candidates are other texts, the likeliest first, with confidences between none and that of the reading."""
        for image in (scenes.van(), scenes.car("HH-AB 1234"), noise()):
            reading = read(reader, image)
            sure = [candidate.confidence or 0 for candidate in reading.candidates]

            assert len(sure) <= 10
            assert reading.text not in [candidate.text for candidate in reading.candidates]
            assert sorted(sure, reverse=True) == sure
            assert all(0 < each <= (reading.confidence or 0) for each in sure)

    @pytest.mark.parametrize("size", [(4400, 3300), (640, 480)])
    def test_sizes(self, reader: RapidOcr, size: tuple[int, int]) -> None:
        """In a large picture and in a small one the same is read, in the same place, in pixels of the picture."""
        scale = size[0] / scenes.SIZE[0]
        expected = read(reader, scenes.car())
        reading = read(reader, scenes.car().resize(size))

        assert expected.text == reading.text
        assert [side * scale for side in expected.box or ()] == pytest.approx(list(reading.box or ()), abs=12 * scale)

    def test_box_is_in_the_picture(self, reader: RapidOcr) -> None:
        """Where a plate stands at the very edge, the box ends there."""
        photo = scenes.street((4201, 3001))
        scenes.plate(photo, "1234 BCD", (3300, 2700), 300)
        edge = photo.crop((0, 0, 4200, 2850))
        left, top, width, height = read(reader, edge).box or (-1, -1, 0, 0)

        assert 0 <= left < left + width <= edge.width
        assert 0 <= top < top + height <= edge.height

    @pytest.mark.parametrize("text", ["1234 BCD", "BA-302AZ", "HH-AB 1234"])
    def test_judged(self, reader: RapidOcr, text: str) -> None:
        """What is read of a plate is taken for one by those who judge it, hyphens and all."""
        reading = read(reader, scenes.car(text))

        assert reading.text is not None
        assert reading.text.replace("-", "") == (judge(reading.text, "plate") or "").replace("-", "")

    def test_turned_by_exif(self, reader: RapidOcr) -> None:
        """A photo that lies on its side is read as its EXIF turns it, and the box is in the picture so turned."""
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        lying = scenes.car().transpose(Image.Transpose.ROTATE_90)
        picture = pictures.open_picture(encoded(lying, quality=90, exif=exif), max_pixels=MANY)
        reading = reader.read(picture, Request())
        left, top, width, height = reading.box or (0, 0, 0, 0)

        assert (1280, 960) == (picture.width, picture.height)
        assert PLATE == reading.text
        assert left < 640 < left + width
        assert top < 640 < top + height


class Runs:
    """Real networks that count how often they are asked, for whoever opens some."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand in the place of onnxruntime's."""
        self.made: list[Counted] = []
        self.real = onnxruntime.InferenceSession
        monkeypatch.setattr(onnxruntime, "InferenceSession", self.open)

    def open(self, path: str, *arguments: Any, **words: Any) -> Counted:
        """Open a network."""
        self.made.append(Counted(self.real(path, *arguments, **words)))
        return self.made[-1]


class TestTime:
    """How long it looks."""

    @pytest.mark.parametrize(("seconds", "looks"), [(1e-9, 1), (600, 3)])
    def test_late(self, monkeypatch: pytest.MonkeyPatch, seconds: float, looks: int) -> None:
        """When its time is up there is no further look; with time left it looks again where it sees nothing."""
        runs = Runs(monkeypatch)
        reading = read(create({"seconds": seconds}), scenes.street((160, 120)))

        assert reading.text is None
        assert looks == runs.made[0].runs

    def test_late_is_no_error(self) -> None:
        """What was seen at the first look counts."""
        assert PLATE == read(create({"seconds": 1e-9, "countries": ["ES"]}), scenes.car()).text


class TestTrouble:
    """What can be wrong beside the picture."""

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"lang": "deu"}, "lang"),
            ({"model": "x", "threads": 2}, "model, threads"),
            ({"countries": "ES"}, "countries"),
            ({"countries": [34]}, "countries"),
            ({"countries": None}, "countries"),
            ({"seconds": 0}, "seconds"),
            ({"seconds": -1}, "seconds"),
            ({"seconds": math.nan}, "seconds"),
            ({"seconds": math.inf}, "seconds"),
            ({"seconds": "5"}, "seconds"),
            ({"seconds": True}, "seconds"),
            ({"seconds": None}, "seconds"),
        ],
    )
    def test_options(self, options: dict[str, Any], word: str) -> None:
        """An option that there is not, or that cannot be right, is named."""
        with pytest.raises(SettingsInvalid, match=word) as caught:
            load("rapidocr", options)

        assert "[engines.rapidocr]" in caught.value.reason

    def test_unknown_country(self) -> None:
        """A country of which we know no plates is told, with those that were perhaps meant."""
        with pytest.raises(SettingsInvalid, match="country") as caught:
            create({"countries": ["ES", "Spain"]})

        assert "ES" in caught.value.hint

    def test_no_pixels(self, reader: RapidOcr) -> None:
        """It never sees a file, so without pixels there is nothing to read."""
        with pytest.raises(EngineRefused):
            reader.read(Picture(10, 10, encoded=b"\xff\xd8\xff"), Request())

    @pytest.mark.parametrize("module", ["cv2", "numpy", "onnxruntime", "rapidocr"])
    def test_missing(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        """Without a package that it needs it is unavailable, and the remedy is how to install it."""
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(EngineUnavailable) as caught:
            load("rapidocr", {})

        assert ("engine_missing", TO_INSTALL) == (caught.value.code, caught.value.hint)

    @pytest.mark.parametrize("failure", [MemoryError("no room\nleft" * 99), *[kind("x") for kind in models.FAILURES]])
    def test_network_fails(self, monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
        """A network that fails, for want of memory perhaps, makes it unavailable, in one bounded sentence."""

        def fails(planes: Planes) -> Planes:
            del planes
            raise failure

        monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: Network(fails))
        with pytest.raises(EngineUnavailable, match=r"^The local reader failed: .+\.") as caught:
            read(create({}), scenes.street((64, 64)))

        assert len(caught.value.reason) < 260
        assert "\n" not in caught.value.reason


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Give a desk with the local reader in its child, as the program has it."""
    with closing(Desk(ReaderOptions(("rapidocr",)))) as desk:
        yield desk


def asked(desk: Desk, photo: bytes) -> Reading | EngineRefused:
    """Return what the reader in the child says of *photo*, or why it was refused."""
    desk.open(photo)
    try:
        return desk.seats[0].read(Request())
    except EngineRefused as refusal:
        return refusal


def small_car() -> Image.Image:
    """Return a car in a small picture."""
    return scenes.car().resize((640, 480))


def deep() -> bytes:
    """Return a car in greys of 16 bits."""
    grey = np.asarray(small_car().convert("L"), np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def animated() -> bytes:
    """Return a car that is driven away in the second picture of an animation."""
    frames = [scenes.street((640, 480)) for _ in range(3)]
    return encoded(small_car(), "PNG", save_all=True, append_images=frames, duration=50)


def with_exif(exif: bytes) -> bytes:
    """Return a car with these bytes as its EXIF."""
    return encoded(small_car(), quality=90, exif=b"Exif\x00\x00" + exif)


FORMS = ["jpeg", "16 bits", "animated", "cmyk", "palette", "transparent", "1 bit", "progressive"]
FORMS += ["exif far", "exif unknown turn", "exif nonsense"]
BAD = ["pixel", "grey pixel", "black", "white", "noise", "coarse noise", "page", "cut jpeg", "cut png"]
BAD += ["empty", "begun", "foreign"]


class TestInTheChild:
    """Files good and bad, through the process where it lives."""

    @pytest.mark.parametrize(
        "make",
        [
            lambda: encoded(small_car(), quality=60),
            deep,
            animated,
            lambda: encoded(small_car().convert("CMYK"), quality=90),
            lambda: encoded(small_car().quantize(16), "PNG"),
            lambda: encoded(small_car().convert("LA"), "PNG"),
            lambda: encoded(small_car().convert("1"), "PNG"),
            lambda: encoded(small_car(), progressive=True),
            lambda: with_exif(b"II*\x00\xff\xff\xff\xff"),
            lambda: with_exif(b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x63\x00\x00\x00"),
            lambda: with_exif(b"nonsense" * 99),
        ],
        ids=FORMS,
    )
    def test_forms(self, desk: Desk, make: Callable[[], bytes]) -> None:
        """A plate is read from every form of JPEG and PNG, also where the EXIF is broken."""
        found = asked(desk, make())

        assert isinstance(found, Reading)
        assert PLATE == found.text

    @pytest.mark.parametrize(
        "make",
        [
            lambda: encoded(Image.new("RGB", (1, 1)), "PNG"),
            lambda: encoded(Image.new("L", (1, 1)), "JPEG"),
            lambda: encoded(Image.new("RGB", (160, 120)), "JPEG"),
            lambda: encoded(Image.new("RGB", (160, 120), "white"), "PNG"),
            lambda: encoded(noise(), "PNG"),
            lambda: encoded(noise(), "JPEG", quality=5),
            lambda: encoded(scenes.page()),
            lambda: encoded(small_car())[:-2000],
            lambda: encoded(small_car(), "PNG")[:3000],
            lambda: b"",
            lambda: b"\xff\xd8\xff",
            lambda: b"GIF89a" + bytes(99),
        ],
        ids=BAD,
    )
    def test_bad(self, desk: Desk, make: Callable[[], bytes]) -> None:
        """Whatever comes, there is no plate, or a refusal with its code, in time, and the child lives on."""
        photo, started = make(), time.monotonic()
        found = asked(desk, photo)
        seconds = time.monotonic() - started

        assert 15 > seconds
        if isinstance(found, Reading):
            assert found.text is None or (found.confidence or 0) < 0.2
        else:
            assert "image_unreadable" == found.code
        assert PLATE == getattr(asked(desk, encoded(small_car())), "text", None)

    def test_one_child(self, desk: Desk) -> None:
        """After all of that it is still the child that was started first."""
        desk.open(encoded(small_car()))

        assert 0 == desk._pixels.generation

    @pytest.mark.slow
    def test_memory(self) -> None:
        """With one after the other of the largest photos that are let in, the child never has more memory than this."""
        photo = encoded(scenes.car().resize((8164, 6123)), quality=80)
        with closing(Desk(ReaderOptions(("rapidocr",)))) as desk:
            for _ in range(2):
                started = time.monotonic()
                found = asked(desk, photo)

                assert 15 > time.monotonic() - started
                assert PLATE == getattr(found, "text", found)
            process = desk._pixels._process
            assert process is not None
            facts = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")

        most = re.search(r"VmHWM:\s*(\d+) kB", facts)
        assert most is not None
        assert MOST_MEMORY_KB > int(most[1])
