"""Decode pictures into plain pixels and encode them again. Only ever in a child process: its input is hostile."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import ExifTags, Image

from watcher.errors import EngineRefused
from watcher.model import Picture

_QUALITY = 90
_WHITE = (255, 255, 255)
_TURNS = {  # by the orientation of EXIF, how rows and columns lie in the file
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LONGEST = 200
_LONGEST_SIDE, _SLIMMEST = 32_768, 64
# What Pillow raises for pictures that are broken one way or another, as fuzzing shows.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AssertionError,
    OverflowError,
    struct.error,
    zlib.error,
)


def open_picture(data: bytes, *, max_pixels: int) -> Picture:
    """Return the pixels of a JPEG or PNG, turned as its EXIF asks, on white where it is transparent.

    Raises:
        EngineRefused: `image_unreadable` (neither, broken, or more than the memory we have) or `too_many_pixels`.

    """
    try:
        with _at_most(max_pixels), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # broken EXIF is nobody's business here
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as image:
                if max(image.size) > _LONGEST_SIDE or max(image.size) > _SLIMMEST * min(image.size):
                    raise EngineRefused(f"No camera makes pictures of {image.width} by {image.height} pixels.")
                flat = _turned(_flat(image), _turn(image))
                return Picture(flat.width, flat.height, flat.tobytes())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise EngineRefused(f"The picture has more than {max_pixels} pixels.", code="too_many_pixels") from error
    except _BROKEN as error:
        raise EngineRefused(f"The picture cannot be decoded: {str(error)[:_LONGEST]}.") from error
    except MemoryError as error:
        raise EngineRefused("The picture needs more memory than there is for it.", code="image_unreadable") from error


@contextmanager
def _at_most(pixels: int) -> Iterator[None]:
    """Let Pillow refuse larger pictures; not for ever, since it minds the limit for letters that it draws too."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, pixels
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def encode(picture: Picture, long_side: int) -> Picture:
    """Return *picture* as a JPEG whose longer side has *long_side* pixels at most; nothing but pixels goes into it."""
    with Image.frombytes("RGB", (picture.width, picture.height), picture.pixels) as image:
        image.thumbnail((long_side, long_side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY)
        return Picture(image.width, image.height, encoded=file.getvalue())


def _flat(image: Image.Image) -> Image.Image:
    """Return the first frame of *image* as RGB with 8 bits a channel, whatever it was."""
    image.load()
    if image.mode.startswith("I"):  # greys of 16 bits, which a plain conversion would cut off at 255
        return image.point(lambda grey: grey * (1 / 256)).convert("L").convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGB", layer.size, _WHITE)
        ground.paste(layer, mask=layer)
        return ground
    return image if image.mode == "RGB" else image.convert("RGB")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the turn that EXIF asks for; a picture whose EXIF is broken is left as it lies."""
    try:
        return _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _BROKEN:
        return None


def _turned(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)
