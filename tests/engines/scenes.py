"""Scenes drawn for tests: vehicles with plates, and the other writing that is in photos of them."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

SIZE = (1280, 960)
GROUND, BODY, GLASS, PAPER, INK = (120, 124, 128), (70, 84, 104), (40, 46, 56), (246, 246, 242), (14, 14, 14)

Colours = tuple[tuple[int, ...], tuple[int, ...]]
"""Of the paper and of the ink: red, green, blue."""


def street(size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a picture with nothing in it."""
    return Image.new("RGB", size, GROUND)


def vehicle(photo: Image.Image, box: tuple[int, int, int, int]) -> None:
    """Draw the back of a vehicle into this box: left, top, right, bottom."""
    left, top, right, bottom = box
    wide, high = right - left, bottom - top
    pen = ImageDraw.Draw(photo)
    pen.rounded_rectangle(box, high // 10, fill=BODY)
    glass = (left + wide // 10, top + high // 12, right - wide // 10, top + high * 2 // 5)
    pen.rounded_rectangle(glass, high // 15, fill=GLASS)


def plate(
    photo: Image.Image, lines: str, at: tuple[int, int], size: int = 80, *, colours: Colours = (PAPER, INK)
) -> None:
    """Draw a plate with these *lines*, its middle at this place, in letters of *size* pixels."""
    paper, ink = colours
    pen, font = ImageDraw.Draw(photo), ImageFont.load_default(size=size)
    left, top, right, bottom = pen.multiline_textbbox(at, lines, font=font, anchor="mm", align="center")
    frame = (left - size / 3, top - size / 4, right + size / 3, bottom + size / 4)
    pen.rectangle(frame, fill=paper, outline=ink, width=max(2, size // 18))
    pen.multiline_text(at, lines, fill=ink, font=font, anchor="mm", align="center")


def writing(photo: Image.Image, text: str, at: tuple[int, int], size: int = 40, fill: str = "white") -> None:
    """Write something, its middle at this place."""
    ImageDraw.Draw(photo).text(at, text, fill=fill, anchor="mm", font=ImageFont.load_default(size=size))


def car(text: str = "1234 BCD") -> Image.Image:
    """Return a car with this plate in the middle of the picture."""
    photo = street()
    vehicle(photo, (240, 240, 1040, 800))
    plate(photo, text, (640, 640))
    return photo


def dated() -> Image.Image:
    """Return a car, and at the top the name of the camera and the date, as cameras burn them in."""
    photo = car()
    writing(photo, "2026-03-04 12:00:00", (330, 32), 48)
    writing(photo, "CAM 01", (1130, 32), 48)
    return photo


def sold() -> Image.Image:
    """Return a car whose plate stands in the frame of a dealer, with a year and a telephone number in it."""
    photo = car()
    writing(photo, "AUTOS GARCIA 1998", (640, 560), 34)
    writing(photo, "TEL 912345678", (640, 716), 34)
    return photo


def van() -> Image.Image:
    """Return a van with a telephone number in letters larger than those of its plate."""
    photo = street()
    vehicle(photo, (200, 60, 1080, 900))
    writing(photo, "612 345 678", (640, 520), 110)
    writing(photo, "FONTANEROS", (640, 430), 60)
    plate(photo, "5678 FGH", (640, 780), 64)
    return photo


def two_cars() -> Image.Image:
    """Return two cars, of which one is nearer and in the middle."""
    photo = street((1600, 1000))
    vehicle(photo, (420, 300, 1220, 900))
    plate(photo, "1234 BCD", (820, 760))
    vehicle(photo, (1270, 160, 1580, 420))
    plate(photo, "5678 FGH", (1425, 350), 36)
    return photo


def motorcycle(text: str = "1234\nBCD") -> Image.Image:
    """Return a motorcycle, whose plate has two lines."""
    photo = street()
    vehicle(photo, (460, 120, 820, 860))
    plate(photo, text, (640, 620), 70)
    return photo


def turned(photo: Image.Image, degrees: float) -> Image.Image:
    """Return the *photo* turned clockwise by some degrees."""
    return photo.rotate(-degrees, fillcolor=GROUND, resample=Image.Resampling.BICUBIC)


def page() -> Image.Image:
    """Return a page of text."""
    photo = Image.new("RGB", (1000, 1400), "white")
    for line in range(32):
        words = f"{line + 1}. The notice of {line + 1:02}.03.2026, file {line * 37:04}/26, is to be served at once."
        writing(photo, words, (500, 40 + 42 * line), 26, "black")
    return photo
