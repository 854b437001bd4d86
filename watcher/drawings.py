"""Draw what was read on the picture, for people who would rather look. Only ever in a child process."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

from watcher.model import Candidate, Picture, Reading

_LONGEST, _SHORTEST = 1600, 640
"""The longer side of what is drawn on, in pixels: it fits a screen and one message, and letters fit on it."""

_SURE, _DOUBTFUL, _GROUND, _INK = (0, 230, 90), (255, 176, 0), (24, 24, 24), (255, 255, 255)
_MOST_OTHERS = 5

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def annotated(picture: Picture, reading: Reading) -> bytes:
    """Return a PNG of *picture* with the box, text and confidence of *reading* on it.

    All that is told of the reading stands below the picture, also that there was nothing to read. What is in doubt is
    amber, what is sure green.
    """
    photo, scale = _scaled(picture)
    font = ImageFont.load_default(size=max(16, photo.width // 40))
    colour = _DOUBTFUL if reading.review or reading.text is None else _SURE
    if reading.box is not None and reading.text:
        _frame(photo, [round(side * scale) for side in reading.box], _said(reading), font, colour)
    file = io.BytesIO()
    _with_lines(photo, list(_lines(reading)), font, colour).save(file, "PNG")
    return file.getvalue()


def _scaled(picture: Picture) -> tuple[Image.Image, float]:
    """Return the pixels at a size for people, and by what they were multiplied."""
    photo = Image.frombytes("RGB", (picture.width, picture.height), picture.pixels)
    longest = max(photo.size)
    scale = min(max(longest, _SHORTEST), _LONGEST) / longest
    return photo.resize((max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))), scale


def _frame(photo: Image.Image, box: list[int], label: str, font: Font, colour: tuple[int, int, int]) -> None:
    """Draw around *box* (x, y, width, height), with the label above or, where there is no room, below."""
    left, top = min(box[0], photo.width - 1), min(box[1], photo.height - 1)
    right, bottom = min(left + box[2], photo.width) - 1, min(top + box[3], photo.height) - 1
    pen = ImageDraw.Draw(photo)
    for away, width, line in ((6, 6, _GROUND), (5, 4, colour)):
        pen.rectangle((left - away, top - away, right + away, bottom + away), outline=line, width=width)
    wide, high = (int(side) + 12 for side in pen.textbbox((0, 0), label, font=font)[2:])
    x = max(0, min(left - 6, photo.width - wide))
    y = top - high - 6 if top >= high + 6 else min(bottom + 6, photo.height - high)
    pen.rectangle((x, y, x + wide, y + high), fill=colour)
    pen.text((x + 6, y + 6), label, fill=_GROUND, font=font)


def _with_lines(photo: Image.Image, lines: list[str], font: Font, colour: tuple[int, int, int]) -> Image.Image:
    """Return the picture with *lines* on a dark ground below it, the first one in *colour*."""
    width = max(photo.width, _SHORTEST)
    fitted = [part for line in lines for part in _wrapped(line, font, width - 24)]
    step = round(font.getbbox("Ag")[3] * 1.4)
    whole = Image.new("RGB", (width, photo.height + step * len(fitted) + 24), _GROUND)
    whole.paste(photo, (0, 0))
    pen = ImageDraw.Draw(whole)
    for number, line in enumerate(fitted):
        place = (12, photo.height + 12 + number * step)
        pen.text(place, line, fill=_INK if number else colour, font=font)
    return whole


def _lines(reading: Reading) -> Iterator[str]:
    yield f"{_said(reading)} by {reading.engine}" if reading.text else "No plate was read"
    if reading.review:
        yield f"In doubt: {reading.code}" if reading.code else "In doubt: a person should look at it"
    if reading.candidates:
        yield "Or " + ", ".join(_said(candidate) for candidate in reading.candidates[:_MOST_OTHERS])


def _said(what: Reading | Candidate) -> str:
    confidence = "" if what.confidence is None else f" ({what.confidence:.2f})"
    return " ".join(f"{what.text}{confidence}".split())


def _wrapped(line: str, font: Font, width: int) -> Iterator[str]:
    """Yield *line* in pieces of whole words, as long as fit into *width* pixels."""
    piece = ""
    for word in line.split():
        longer = f"{piece} {word}".lstrip()
        if piece and font.getlength(longer) > width:
            yield piece
            longer = word
        piece = longer
    yield piece
