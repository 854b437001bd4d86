"""Tests of watcher.images: real pictures, every cut of them, and hostile bytes."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from watcher.images import ending, exif_time, form

Found = TypeVar("Found")

TAKEN = datetime(2026, 3, 4, 15, 30, 45)  # noqa: DTZ001 - a camera without a zone
EXIF_FOLDER, TIME, OFFSET = 0x8769, 0x9003, 0x9011


def of(data: bytes, ask: Callable[[int, int], Found]) -> Found:
    """Return what *ask* says of a file with these bytes."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        return ask(file.fileno(), len(data))


def noise(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Return a picture that compresses badly, so that its scan is long."""
    return Image.frombytes("RGB", size, random.Random(7).randbytes(size[0] * size[1] * 3))  # noqa: S311


def encoded(kind: str, size: tuple[int, int] = (48, 32), **options: object) -> bytes:
    """Return a picture as Pillow writes it."""
    file = io.BytesIO()
    noise(size).save(file, kind, **options)
    return file.getvalue()


def exif(
    time: str = "2026:03:04 15:30:45", offset: str | None = None, order: str = "<", thumbnail: bytes = b""
) -> bytes:
    """Return an EXIF segment by hand: first folder, Exif folder, their texts, and a thumbnail at its end."""
    entries = [(TIME, time)] + ([(OFFSET, offset)] if offset is not None else [])
    start = 8 + 2 + 12 + 4
    texts_at = start + 2 + 12 * len(entries) + 4
    head = {"<": b"II*\x00", ">": b"MM\x00*"}[order] + struct.pack(order + "I", 8)
    first = struct.pack(order + "HHHIII", 1, EXIF_FOLDER, 4, 1, start, 0)
    folder, texts = struct.pack(order + "H", len(entries)), b""
    for tag, text in entries:
        folder += struct.pack(order + "HHII", tag, 2, len(text) + 1, texts_at + len(texts))
        texts += text.encode() + b"\x00"
    return b"Exif\x00\x00" + head + first + folder + bytes(4) + texts + thumbnail


def with_exif(content: bytes) -> bytes:
    """Return a JPEG with *content* as its first segment of applications."""
    plain = encoded("JPEG")
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content + plain[2:]


@cache
def pictures() -> dict[str, bytes]:
    """Return one picture of each kind."""
    return {
        "baseline": encoded("JPEG"),
        "progressive": encoded("JPEG", progressive=True),
        "with restarts": encoded("JPEG", restart_marker_blocks=1),
        "with a thumbnail": with_exif(exif(thumbnail=encoded("JPEG", (16, 16)))),
        "with a comment": encoded("JPEG", comment=b"\xff\xd9" * 20),
        "grey": _grey(),
        "PNG": encoded("PNG"),
        "PNG with text": encoded("PNG", exif=b"Exif\x00\x00" + b"IEND\xae\x42\x60\x82"),
    }


def _grey() -> bytes:
    file = io.BytesIO()
    noise().convert("L").save(file, "JPEG")
    return file.getvalue()


def kind_of(data: bytes) -> str:
    """Return the form by the first byte."""
    return "png" if data.startswith(b"\x89") else "jpg"


class TestForm:
    """What a file is by its first bytes."""

    def test_by_magic(self) -> None:
        """JPEG and PNG are told by their first bytes, and nothing else is."""
        expected = ("jpg", "png", "", "", "")

        assert expected == tuple(
            form(head) for head in (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8", b"")
        )


class TestEnding:
    """Whether a picture is all there."""

    @pytest.mark.parametrize("name", pictures())
    def test_whole(self, name: str) -> None:
        """A picture that is all there is whole."""
        data = pictures()[name]

        assert ("whole", kind_of(data)) == of(data, ending)

    @pytest.mark.parametrize("name", pictures())
    def test_every_cut(self, name: str) -> None:
        """However it is cut, it is not whole: not by the end of a thumbnail, of a comment or of an earlier scan."""
        data = pictures()[name]
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            endings = {size: ending(file.fileno(), size)[0] for size in range(len(data))}

        assert {} == {size: found for size, found in endings.items() if found != "cut"}

    @pytest.mark.parametrize("name", pictures())
    def test_every_cut_filled_with_zeros(self, name: str) -> None:
        """A file made at its full length and filled from the front is not whole before its end is there."""
        data = pictures()[name]
        whole = [size for size in range(len(data)) if of(data[:size].ljust(len(data), b"\x00"), ending)[0] == "whole"]

        assert [] == whole

    @given(st.sampled_from(sorted(pictures())), st.binary(max_size=40), st.integers(0, 100))
    def test_trailers(self, name: str, trailer: bytes, padding: int) -> None:
        """What a camera appends to the picture, or a server pads it with, does not matter."""
        data = pictures()[name]

        assert "whole" == of(data + bytes(padding) + trailer + bytes(padding), ending)[0]

    @pytest.mark.parametrize("name", pictures())
    def test_second_picture(self, name: str) -> None:
        """A second picture behind the first may be there in full or in part."""
        data = pictures()[name]
        for size in (1, 2, 3, 100, len(data)):
            assert "whole" == of(data + data[:size], ending)[0]

    def test_trailer_far_behind(self) -> None:
        """The end is found in a large picture with a large trailer: a film, as some telephones append it."""
        data = encoded("JPEG", (800, 600))

        assert "whole" == of(data + b"trailer " * 100_000, ending)[0]

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", ("cut", "")),
            (b"\xff", ("cut", "")),
            (b"\xff\xd8", ("cut", "")),
            (b"\xff\xd8\xff", ("cut", "jpg")),
            (b"\x89PNG", ("cut", "")),
            (b"\x89PNG\r\n\x1a\n", ("cut", "png")),
            (bytes(5), ("cut", "")),
            (bytes(3_000_000), ("cut", "")),
            (bytes(3_000_000) + b"x", ("foreign", "")),
            (b"x", ("foreign", "")),
            (b"\xff\xd8\x00", ("foreign", "")),
            (b"GIF89a" + bytes(100), ("foreign", "")),
            (b"RIFF\x00\x00\x00\x00WEBP", ("foreign", "")),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ("foreign", "")),
            (b"\xff\xd8\xff\xd9", ("cut", "jpg")),  # ended before it began
            (b"\xff\xd8\xff\xda\x00\x04\xff\xd9", ("cut", "jpg")),  # an end inside the head of its scan
            (b"\xff\xd8\xff\xe0\x00", ("cut", "jpg")),
            (b"\xff\xd8\xff\xe0\x00\x00" * 20, ("cut", "jpg")),  # lengths that say nothing
            (b"\xff\xd8\xff\xff\xff\xff", ("cut", "jpg")),
            (b"\xff\xd8\xff\x01\xff\xd8", ("cut", "jpg")),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), ("cut", "png")),
            (b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT" + bytes(100), ("cut", "png")),
        ],
    )
    def test_what_is_none(self, data: bytes, expected: tuple[str, str]) -> None:
        """What may still become a picture is cut; what cannot is foreign."""
        assert expected == of(data, ending)

    def test_junk_between_segments(self) -> None:
        """Fill bytes and junk between segments, which decoders pass over, are passed over."""
        data = pictures()["baseline"]

        assert "whole" == of(data[:2] + b"\xff\xff\xff" + data[2:], ending)[0]
        assert "whole" == of(data[:20] + b"junk" * 2000 + data[20:] + b"trailer", ending)[0]

    @given(st.binary(max_size=400), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
    @example(b"\xff\xda\xff", b"\xff\xd8\xff")
    def test_anything(self, data: bytes, magic: bytes) -> None:
        """It says something about any bytes."""
        assert of(magic + data, ending)[0] in {"whole", "cut", "foreign"}
        of(magic + data, exif_time)

    @given(st.sampled_from(sorted(pictures())), st.data())
    def test_damage(self, name: str, data: st.DataObject) -> None:
        """It says something about any damaged picture."""
        damaged = bytearray(pictures()[name])
        for _ in range(data.draw(st.integers(1, 10))):
            damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))

        assert of(bytes(damaged), ending)[0] in {"whole", "cut", "foreign"}
        of(bytes(damaged), exif_time)

    @pytest.mark.parametrize(
        "data",
        [
            b"\xff\xd8\xff\xda\x00\x02" + b"\xff\x00" * 10_000_000,
            b"\xff\xd8\xff\xda\x00\x02" + b"\xff\xd0" * 10_000_000,
            b"\xff\xd8" + b"\xff\xc4\x00\x02" * 5_000_000,
            b"\xff\xd8" + b"\xff" * 20_000_000,
            b"\xff\xd8\xff\xda\x00\x02" + bytes(20_000_000),
            b"\xff\xd8" + (b"\xff\xda\x00\x02" + b"x" * 1000) * 20_000,
            b"\xff\xd8" + (b"\xff\xe1\x00\x02" + b"x" * 40_000) * 500,
            b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\x00tEXtcrc!" * 1_600_000,
            bytes(20_000_000),
        ],
        ids=["stuffing", "restarts", "segments", "fill bytes", "zeros", "scans", "junk", "chunks", "nothing"],
    )
    def test_hostile_bytes_take_no_time(self, data: bytes) -> None:
        """20 MB made to keep us busy are looked at in bounded time, and never taken for a picture."""
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.flush()
            started = time.process_time()
            found = ending(file.fileno(), len(data))[0]
            exif_time(file.fileno(), len(data))

        assert "cut" == found
        assert 3 > time.process_time() - started

    def test_needs_no_decoder(self) -> None:
        """The main process has no decoder in it: importing this module imports no Pillow."""
        program = "import sys; sys.path.insert(0, sys.argv[1]); import watcher.images; print('PIL' in sys.modules)"
        root = str(Path(__file__).parent.parent)
        done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True, check=True)

        assert "False" == done.stdout.strip()


class TestExifTime:
    """When a camera says that it took the picture."""

    @pytest.mark.parametrize("order", ["<", ">"])
    def test_time(self, order: str) -> None:
        """The time of the exposure is found in both byte orders, without a zone if there is none."""
        assert TAKEN == of(with_exif(exif(order=order)), exif_time)

    @pytest.mark.parametrize(("offset", "hours"), [("+02:00", 2.0), ("-05:30", -5.5)])
    def test_zone(self, offset: str, hours: float) -> None:
        """With an offset the time is one of that zone."""
        found = of(with_exif(exif(offset=offset)), exif_time)

        assert TAKEN.replace(tzinfo=timezone(timedelta(hours=hours))) == found
        assert found.utcoffset() == timedelta(hours=hours)

    def test_as_pillow_writes_it(self) -> None:
        """It is found where a library puts it, behind other segments and with other fields."""
        tags = Image.Exif()
        tags[0x010F] = "A camera"
        tags[0x0132] = "2001:01:01 00:00:00"
        tags.get_ifd(EXIF_FOLDER).update({TIME: "2026:03:04 15:30:45", OFFSET: "+01:00", 0x9291: "123"})

        found = of(encoded("JPEG", exif=tags, comment=b"hello", dpi=(72, 72)), exif_time)
        assert TAKEN.replace(tzinfo=timezone(timedelta(hours=1))) == found

    def test_behind_other_applications(self) -> None:
        """A segment of another application before it does not hide it."""
        data = with_exif(exif())
        xmp = b"http://ns.adobe.com/xap/1.0/\x00<x/>"
        segment = b"\xff\xe1" + struct.pack(">H", len(xmp) + 2) + xmp

        assert TAKEN == of(data[:2] + segment + data[2:], exif_time)

    @pytest.mark.parametrize(
        "content",
        [
            exif(time="0000:00:00 00:00:00"),
            exif(time="    :  :     :  :  "),
            exif(time="2026:03:04"),
            exif(time="2026-03-04 15:30:45"),
            exif(time="2026:02:30 00:00:00"),
            exif(time="2026:03:04 15:30:45", offset="+99:99"),
            exif(time="ñ026:03:04 15:30:45"),
            b"Exif\x00\x00",
            b"Exif\x00\x00II*\x00",
            b"Exif\x00\x00II*\x00\xff\xff\xff\xff",
            b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x00\x00",
            b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + b"\x69\x87\x04\x00" * 2000,
            b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00" + struct.pack("<HHII", EXIF_FOLDER, 4, 1, 0xFFFFFFFF),
            b"Exif\x00\x00what is this",
            exif().replace(struct.pack("<HH", TIME, 2), struct.pack("<HH", 0x9999, 2)),
        ],
    )
    def test_what_is_none(self, content: bytes) -> None:
        """A time that is none, and a directory that leads nowhere, are no time; nothing breaks."""
        assert of(with_exif(content), exif_time) is None

    @pytest.mark.parametrize("data", [b"", b"GIF89a", encoded("PNG"), encoded("JPEG"), b"\xff\xd8\xff\xe1\x00"])
    def test_without(self, data: bytes) -> None:
        """A picture without EXIF has no time, nor has what is no JPEG."""
        assert of(data, exif_time) is None

    def test_of_a_second_picture(self) -> None:
        """The time of a picture that is appended to the first is not the time of the first."""
        assert of(encoded("JPEG") + with_exif(exif()), exif_time) is None

    def test_offset_that_is_none(self) -> None:
        """A zone that is left blank is no zone."""
        assert TAKEN == of(with_exif(exif(offset="   :  ")), exif_time)

    @given(st.binary(max_size=200))
    def test_any_directory(self, content: bytes) -> None:
        """Any bytes in place of the directory give a time or none."""
        found = of(with_exif(b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + content), exif_time)

        assert found is None or isinstance(found, datetime)

    def test_reads_at_its_own_place(self) -> None:
        """Neither question moves the position of the descriptor."""
        with tempfile.TemporaryFile() as file:
            file.write(pictures()["baseline"])
            file.flush()
            os.lseek(file.fileno(), 7, os.SEEK_SET)
            ending(file.fileno(), 100)
            exif_time(file.fileno(), 100)

            assert 7 == os.lseek(file.fileno(), 0, os.SEEK_CUR)
