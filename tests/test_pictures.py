"""Tests of watcher.pictures: what becomes of every kind of picture, and of what is none."""

from __future__ import annotations

import io
import random
import resource
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from watcher.errors import EngineRefused
from watcher.model import Picture
from watcher.pictures import encode, open_picture

MANY = 1_000_000
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def halves(mode: str = "RGB", size: tuple[int, int] = (32, 16)) -> Image.Image:
    """Return a picture that is red on the left and blue on the right."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (0, 0, size[0] // 2, size[1]))
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the file that Pillow makes of *image*."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Picture:
    """Open *data* with room for a million pixels."""
    return open_picture(data, max_pixels=MANY)


def at(picture: Picture, x: int, y: int) -> tuple[int, int, int]:
    """Return the pixel at this place."""
    place = (y * picture.width + x) * 3
    red, green, blue = picture.pixels[place : place + 3]
    return red, green, blue


def near(expected: tuple[int, int, int], actual: tuple[int, int, int]) -> bool:
    """Whether two colours are the same but for what JPEG does to them."""
    return all(abs(one - other) <= 8 for one, other in zip(expected, actual, strict=True))


def refusal(data: bytes, max_pixels: int = MANY) -> EngineRefused:
    """Return how *data* are refused."""
    with pytest.raises(EngineRefused) as caught:
        open_picture(data, max_pixels=max_pixels)
    return caught.value


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of these chunks, checksums included."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def header(width: int, height: int) -> tuple[bytes, bytes]:
    """Return the first chunk of a PNG of RGB pixels."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


class TestOpen:
    """From bytes to pixels."""

    def test_limit_is_left_behind(self) -> None:
        """The limit holds for one picture, whatever becomes of it, and not for letters that are drawn afterwards."""
        before = Image.MAX_IMAGE_PIXELS
        for data in (encoded(halves()), b"broken"):
            with suppress(EngineRefused):
                open_picture(data, max_pixels=5)
            assert before == Image.MAX_IMAGE_PIXELS

    @pytest.mark.parametrize(
        "data",
        [
            encoded(halves(), "JPEG", quality=95),
            encoded(halves(), "JPEG", quality=95, progressive=True),
            encoded(halves("CMYK"), "JPEG", quality=95),
            encoded(halves()),
            encoded(halves("P")),
            encoded(halves("RGBA")),
            encoded(halves(), save_all=True, append_images=[Image.new("RGB", (32, 16), WHITE)]),
            encoded(halves(), "JPEG", quality=95) + b"a trailer",
        ],
        ids=["baseline", "progressive", "cmyk", "png", "palette", "alpha", "animated", "trailer"],
    )
    def test_colours(self, data: bytes) -> None:
        """Whatever the file holds, an engine gets RGB of 8 bits, row by row."""
        picture = opened(data)

        assert (32, 16, 32 * 16 * 3, b"") == (picture.width, picture.height, len(picture.pixels), picture.encoded)
        assert near(RED, at(picture, 4, 8))
        assert near(BLUE, at(picture, 28, 8))

    @pytest.mark.parametrize("mode", ["L", "1", "LA", "I;16"])
    def test_greys(self, mode: str) -> None:
        """Greys stay the greys they are, with 16 bits too."""
        image = Image.new("L", (16, 16), 0)
        image.paste(255, (8, 0, 16, 16))
        if mode == "I;16":
            image = image.convert("I").point(lambda grey: grey * 257).convert("I;16")
            image.paste(128 * 257, (0, 8, 8, 16))
        picture = opened(encoded(image if mode == "I;16" else image.convert(mode)))

        assert ((0, 0, 0), WHITE) == (at(picture, 2, 2), at(picture, 12, 2))
        if mode == "I;16":
            assert (128, 128, 128) == at(picture, 2, 12)

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
    def test_transparency(self, mode: str) -> None:
        """What is transparent is white, as on paper, and not the colour that hides there."""
        image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (8, 0, 16, 16))
        data = encoded(image.quantize(4), transparency=None) if mode == "PA" else encoded(image.convert(mode))
        picture = opened(data)

        assert (WHITE, (0, 0, 0)) == (at(picture, 2, 2), at(picture, 12, 2))

    def test_transparent_colour(self) -> None:
        """A colour that is declared transparent is white too."""
        assert WHITE == at(opened(encoded(halves(), transparency=RED)), 2, 2)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_turned(self, orientation: int) -> None:
        """A picture is turned as its EXIF says: the red corner is always at the top left."""
        upright = Image.new("RGB", (24, 16), BLUE)
        upright.paste(RED, (0, 0, 8, 8))
        back = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }
        lying = upright.transpose(back[orientation]) if orientation in back else upright
        tags = Image.Exif()
        tags[ExifTags.Base.Orientation] = orientation
        picture = opened(encoded(lying, "JPEG", quality=95, exif=tags))

        assert (24, 16) == (picture.width, picture.height)
        assert near(RED, at(picture, 2, 2))
        assert near(BLUE, at(picture, 22, 14))

    @pytest.mark.parametrize("tags", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00"])
    def test_broken_exif(self, tags: bytes) -> None:
        """A picture whose EXIF is broken is read as it lies."""
        assert 32 == opened(encoded(halves(), "JPEG", exif=tags)).width
        assert (
            1
            == opened(png(header(1, 1), (b"eXIf", tags[6:]), (b"IDAT", zlib.compress(bytes(4))), (b"IEND", b""))).width
        )

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"hello",
            encoded(halves(), "GIF"),
            encoded(halves(), "WEBP"),
            encoded(halves(), "TIFF"),
            encoded(halves(), "BMP"),
            encoded(halves(), "JPEG")[:-200],
            encoded(halves())[:-30],
            png(header(32, 16)),
            png(header(0, 0), (b"IDAT", zlib.compress(b""))),
            png(header(32, 16), (b"IDAT", b"garbage"), (b"IEND", b"")),
            png((b"IDAT", b"")),
            png(header(32, 16), (b"zTXt", b"a\x00\x00" + zlib.compress(bytes(80 << 20))), (b"IEND", b"")),
            png(header(32, 16), (b"iCCP", b"a\x00\x00" + zlib.compress(bytes(80 << 20))), (b"IEND", b"")),
        ],
    )
    def test_unreadable(self, data: bytes) -> None:
        """What cannot be decoded, or is no JPEG or PNG whatever its name, is refused with a sentence."""
        error = refusal(data)

        assert "image_unreadable" == error.code
        assert error.reason.startswith("The picture ")

    @pytest.mark.parametrize("max_pixels", [32 * 16 - 1, 32 * 16 // 2 - 1])
    @pytest.mark.parametrize("kind", ["JPEG", "PNG"])
    def test_too_many_pixels(self, kind: str, max_pixels: int) -> None:
        """A picture one pixel too large is refused, by its header, and so is one much too large."""
        assert "too_many_pixels" == refusal(encoded(halves(), kind), max_pixels).code
        assert 32 == open_picture(encoded(halves(), kind), max_pixels=32 * 16).width

    def test_bomb(self) -> None:
        """A few bytes that promise a huge picture are refused before anything is unpacked."""
        bomb = png(header(60_000, 60_000), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b""))

        assert "too_many_pixels" == refusal(bomb, 50_000_000).code

    def test_more_than_the_memory(self) -> None:
        """A picture that is allowed but does not fit into memory is refused like one that is broken."""
        huge = png(header(20_000, 20_000), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), hard))
        try:
            error = refusal(huge, 1 << 62)
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

        assert "image_unreadable" == error.code
        assert "memory" in error.reason

    def test_leaves_warnings_alone(self) -> None:
        """What it does to warnings is undone."""
        before = list(warnings.filters)
        opened(encoded(halves()))

        assert before == list(warnings.filters)

    @settings(deadline=None, max_examples=300)
    @given(st.integers(0, 5), st.randoms(use_true_random=False), st.integers(1, 12))
    def test_damage(self, which: int, chance: random.Random, times: int) -> None:
        """A damaged picture is read or refused; there is no third way."""
        data = bytearray(SAMPLES[which])
        for _ in range(times):
            data[chance.randrange(min(len(data), 700))] = chance.randrange(256)
        try:
            picture = opened(bytes(data))
        except EngineRefused:
            return

        assert picture.width * picture.height * 3 == len(picture.pixels)


SAMPLES = [
    encoded(
        halves(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06"
    ),
    encoded(halves("CMYK"), "JPEG", progressive=True),
    encoded(halves("P"), transparency=0),
    encoded(halves("RGBA"), save_all=True, append_images=[halves("RGBA")]),
    encoded(Image.new("I;16", (9, 9), 5)),
    encoded(halves(), icc_profile=bytes(128), dpi=(72, 72)),
]


class TestEncode:
    """From pixels to a JPEG that is ours."""

    @pytest.mark.parametrize(("long_side", "size"), [(16, (16, 8)), (32, (32, 16)), (1280, (32, 16))])
    def test_size(self, long_side: int, size: tuple[int, int]) -> None:
        """A large picture shrinks to the long side and keeps its shape; a small one stays."""
        small = encode(opened(encoded(halves())), long_side)
        with Image.open(io.BytesIO(small.encoded)) as image:
            assert ("JPEG", size) == (image.format, image.size)

        assert (size, b"") == ((small.width, small.height), small.pixels)

    def test_nothing_but_pixels(self) -> None:
        """Neither EXIF nor anything else of the upload is in it, and the turn has been made."""
        tags = Image.Exif()
        tags[ExifTags.Base.Orientation] = 6
        tags[ExifTags.Base.Make] = "Secret camera"
        upload = encoded(halves(), "JPEG", exif=tags, comment=b"secret comment")
        again = encode(opened(upload), 1280)

        assert (16, 32) == (again.width, again.height)
        assert b"ecret" not in again.encoded
        assert b"Exif" not in again.encoded

    @pytest.mark.parametrize("size", [(1, 33_000), (900, 9)])
    def test_no_camera(self, size: tuple[int, int]) -> None:
        """A picture longer or slimmer than any camera makes is refused: it would cost an engine minutes."""
        with pytest.raises(EngineRefused) as caught:
            opened(encoded(Image.new("L", size)))

        assert "image_unreadable" == caught.value.code

    def test_flat_picture(self) -> None:
        """A picture that is one pixel high keeps it."""
        strip = opened(encoded(Image.new("RGB", (60, 1))))

        assert (6, 1) == (encode(strip, 6).width, encode(strip, 6).height)
