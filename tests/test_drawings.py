"""Tests of watcher.drawings: what people see on the picture."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from watcher.drawings import annotated
from watcher.model import Candidate, Picture, Reading

BLUE, GREEN, AMBER, INK = (0, 0, 255), (0, 230, 90), (255, 176, 0), (255, 255, 255)
SIZE = (800, 600)
BOX = (200, 300, 400, 90)
SURE = Reading("1234BCD", 0.93, "rapidocr", BOX)
OTHERS = tuple(Candidate(f"{number}234BCO", 0.5) for number in range(9))


def seen(reading: Reading, size: tuple[int, int] = SIZE) -> Image.Image:
    """Return what is made of a blue picture of that *size*."""
    picture = Picture(*size, bytes(BLUE) * (size[0] * size[1]))
    image = Image.open(io.BytesIO(annotated(picture, reading)), formats=("PNG",))
    image.load()
    return image


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    """Return the colours that are there."""
    counted = image.getcolors(1 << 24)
    assert counted
    return {colour for _, colour in counted if isinstance(colour, tuple)}


def top(image: Image.Image) -> Image.Image:
    """Return the picture without what is said below it."""
    return image.crop((0, 0, *SIZE))


def test_the_box_is_framed_and_the_rest_of_the_photo_is_as_it_was() -> None:
    """The frame stands around the box, so that the plate itself stays legible, with its label above."""
    image = seen(SURE)
    x, y, width, height = BOX

    assert "RGB" == image.mode
    assert {BLUE} == colours(image.crop((x, y, x + width, y + height)))
    for place in ((x - 4, y + 40), (x + width + 3, y + 40), (x + 200, y - 4), (x + 200, y + height + 3)):
        assert image.getpixel(place) == GREEN
    assert GREEN in colours(image.crop((x, y - 40, x + 100, y - 10)))
    assert {BLUE} == colours(image.crop((0, 0, 800, 200))) == colours(image.crop((0, 450, 800, 600)))


def test_doubt_is_amber() -> None:
    """What a person should look at is seen as such at a glance."""
    assert AMBER in colours(top(seen(Reading("1234BCD", 0.4, "rapidocr", BOX, review=True))))
    assert GREEN not in colours(seen(Reading("1234BCD", 0.4, "rapidocr", BOX, review=True)))


def test_what_has_no_box_is_only_told() -> None:
    """An engine that does not know where the plate is leaves the photo as it was, and so does one that saw nothing."""
    for reading in (Reading("1234BCD", 0.9, "openai"), Reading(None, review=True), Reading(None, box=BOX)):
        image = seen(reading)
        assert {BLUE} == colours(top(image))
        assert (GREEN if reading.text else AMBER) in colours(image)


def test_everything_that_is_told_has_its_line() -> None:
    """Text, doubt with its code, and the others: each makes what stands below the photo higher, or other."""
    plain = seen(SURE)
    doubtful = seen(Reading("1234BCD", 0.93, "rapidocr", BOX, review=True))
    coded = seen(Reading("1234BCD", 0.93, "rapidocr", BOX, review=True, code="engine_unavailable"))
    many = seen(Reading("1234BCD", 0.93, "rapidocr", BOX, candidates=OTHERS, review=True))

    assert SIZE[1] < plain.height < doubtful.height == coded.height < many.height
    assert doubtful.tobytes() != coded.tobytes()
    assert plain.width == many.width == SIZE[0]


def test_no_more_than_a_few_others_are_told() -> None:
    """The best five of the candidates are enough for a picture."""
    few, many = (Reading("1", 0.9, "x", candidates=OTHERS[:number]) for number in (5, 9))

    assert seen(few).tobytes() == seen(many).tobytes()


@pytest.mark.parametrize("size", [(32, 16), (1, 40), (1500, 24), (4000, 3000), (3000, 4000)])
@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (0, 0, 1_000_000, 1_000_000), (1_000_000, 1_000_000, 9, 9), (5, 8, 20, 6), (0, 0, 0, 0)]
)
def test_every_picture_and_every_box_can_be_drawn(size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """Small ones grow until letters fit, large ones shrink to a screen, and a box stays within the picture."""
    image = seen(Reading("W" * 17, 1.0, "rapidocr", box, review=True, candidates=OTHERS), size)

    assert 640 <= max(image.size)
    assert max(image.size) < 2000
    assert AMBER in colours(image)


def test_words_cannot_break_the_picture() -> None:
    """Whatever an engine calls a plate is drawn on one line, in letters or in boxes for what the font lacks."""
    reading = Reading(
        "12\n34\tB\x00\u202e\U0001f697", 0.5, "x\ny", BOX, candidates=(Candidate("\n"), Candidate("A\nB"))
    )

    assert INK in colours(seen(reading))
