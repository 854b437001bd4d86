"""Photos drawn for tests: the back of a car with a clear plate, and one without."""

from __future__ import annotations

import io

from PIL import Image, ImageDraw, ImageFont

from watcher.model import Picture

SIZE = (1280, 960)


def draw(plate: str, *, size: int = 104) -> Image.Image:
    """Return a photo of a car with *plate* in letters of *size* pixels; without any plate if it is empty."""
    photo = Image.new("RGB", SIZE, (120, 124, 128))
    pen = ImageDraw.Draw(photo)
    pen.rounded_rectangle((200, 220, 1080, 780), 60, fill=(70, 84, 104))
    pen.rounded_rectangle((290, 260, 990, 440), 40, fill=(40, 46, 56))
    if plate:
        font = ImageFont.load_default(size=size)
        left, top, right, bottom = pen.textbbox((640, 620), plate, font=font, anchor="mm")
        frame = (left - size / 3, top - size / 4, right + size / 3, bottom + size / 4)
        pen.rectangle(frame, fill=(246, 246, 242), outline=(16, 16, 16), width=max(2, size // 18))
        pen.text((640, 620), plate, fill=(14, 14, 14), font=font, anchor="mm")
    return photo


def photo(plate: str) -> bytes:
    """Return the photo as a camera sends it."""
    file = io.BytesIO()
    draw(plate).save(file, "JPEG", quality=90)
    return file.getvalue()


def pixels_of(image: Image.Image) -> Picture:
    """Return *image* as a local engine gets it."""
    return Picture(image.width, image.height, image.convert("RGB").tobytes())
