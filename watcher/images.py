"""Say from its bytes whether a picture is whole and what it is; find the time in its EXIF. Decodes nothing.

Runs in the main process on hostile bytes, so it only reads markers and lengths, a bounded number of them, by `pread`.

Sources: JPEG is ITU-T T.81 annex B, PNG is ISO/IEC 15948 clause 5, EXIF is CIPA DC-008 on top of TIFF 6.0.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from datetime import datetime

from watcher.model import Ending

JPEG = b"\xff\xd8\xff"
PNG = b"\x89PNG\r\n\x1a\n"

_HEAD = 8
_CHUNK = 1 << 18
_GLANCE = 32  # bytes; mostly the next marker is where it is expected
_FASTER = 8  # how much more is read each time it was not
_MARKERS = 1_000  # a picture has fewer; a hostile file does not hold us up for longer than reading it takes
_PNG_CHUNKS = 8_000  # of 8 KiB, as libpng writes them, there are 2,560 in 20 MiB
_EOI, _SOS, _APP1 = 0xD9, 0xDA, 0xE1
_WITHOUT_LENGTH = {0x01, 0xD8}
# In the data of a scan FF is followed by 00 or by a restart marker; before a marker it may be repeated.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_IEND = b"\x00\x00\x00\x00IEND\xae\x42\x60\x82"
_EXIF = b"Exif\x00\x00"
_EXIF_FOLDER, _TIME, _OFFSET = 0x8769, 0x9003, 0x9011  # Exif IFD, DateTimeOriginal, OffsetTimeOriginal
_ENTRIES = 512
_ENTRY = 12


def form(head: bytes) -> str:
    """Return `jpg` or `png` by the first bytes of a file, or an empty text if it is neither."""
    if head.startswith(JPEG):
        return "jpg"
    return "png" if head.startswith(PNG) else ""


def ending(fd: int, size: int) -> tuple[Ending, str]:
    """Say whether the first *size* bytes of the open file *fd* are a whole JPEG or PNG, and which.

    Zero padding and trailers after the end of the picture are tolerated; zeros in place of its end are not, nor is
    the end of a thumbnail inside it. A file that is empty, all zeros, or too short to tell is `cut`.
    """
    head = os.pread(fd, min(size, _HEAD), 0)
    kind = form(head)
    if kind == "jpg":
        return _jpeg_ending(fd, size), kind
    if kind == "png":
        return _png_ending(fd, size), kind
    begun = JPEG.startswith(head) or PNG.startswith(head)
    return ("cut" if begun or _content_end(fd, size) == 0 else "foreign"), ""


def exif_time(fd: int, size: int) -> datetime | None:
    """Return when a JPEG says that it was taken, with zone if it says that too, or none.

    DateTimeOriginal and OffsetTimeOriginal count, in whole seconds; whether the camera's clock was right is not known.
    """
    if form(os.pread(fd, min(size, _HEAD), 0)) != "jpg":
        return None
    for marker, start, end in _segments(fd, size):
        if marker == _SOS:
            return None
        if marker == _APP1 and os.pread(fd, len(_EXIF), start) == _EXIF:
            return _taken_at(os.pread(fd, max(0, end - start - len(_EXIF)), start + len(_EXIF)))
    return None


def _jpeg_ending(fd: int, size: int) -> Ending:
    scan = 0
    for marker, _, end in _segments(fd, size):
        if marker == _EOI and scan:
            return "whole"
        if marker == _SOS and not scan:
            scan = end
            last = _content_end(fd, size)
            if last - 2 >= scan and os.pread(fd, 2, last - 2) == b"\xff\xd9":
                return "whole"
    return "cut"


def _segments(fd: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of the content of each segment of a JPEG; what lies between them is passed over."""
    position = 2
    for _ in range(_MARKERS):
        found = _next_marker(fd, size, position)
        if found is None:
            return
        marker, start = found
        if marker == _EOI or marker in _WITHOUT_LENGTH:
            yield marker, start, start
            position = start
            continue
        length = os.pread(fd, min(2, size - start), start)
        if len(length) < 2:  # noqa: PLR2004 - the two bytes of a length
            return
        position = start + max(2, int.from_bytes(length))
        yield marker, start + 2, position


def _next_marker(fd: int, size: int, position: int) -> tuple[int, int] | None:
    """Return the first marker at or after *position* and where its segment starts."""
    amount = _GLANCE
    while position < size:
        piece = os.pread(fd, min(amount, size - position), position)
        if found := _MARKER.search(piece):
            return found[1][0], position + found.end()
        if len(piece) < 2:  # noqa: PLR2004 - a marker has two bytes
            return None
        position += len(piece) - 1
        amount = min(_CHUNK, amount * _FASTER)
    return None


def _content_end(fd: int, size: int) -> int:
    """Return the position after the last byte that is not zero."""
    amount = _GLANCE
    while size > 0:
        start = max(0, size - amount)
        content = os.pread(fd, size - start, start).rstrip(b"\x00")
        if content:
            return start + len(content)
        size, amount = start, min(_CHUNK, amount * _FASTER)
    return 0


def _png_ending(fd: int, size: int) -> Ending:
    if size > len(PNG) + len(_IEND) and os.pread(fd, len(_IEND), size - len(_IEND)) == _IEND:
        return "whole"
    position = len(PNG)
    for _ in range(_PNG_CHUNKS):
        chunk = os.pread(fd, min(len(_IEND), max(0, size - position)), position)
        if chunk == _IEND:
            return "whole"
        if len(chunk) < len(_IEND) or not chunk[4:8].isalpha():
            return "cut"
        position += len(_IEND) + int.from_bytes(chunk[:4])
    return "cut"


def _taken_at(tiff: bytes) -> datetime | None:
    """Return the time in *tiff*, the content of an EXIF segment; offsets and counts in it are not believed."""
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if order is None:
        return None
    try:
        (first,) = struct.unpack_from(order + "I", tiff, 4)
        folder = dict(_entries(tiff, order, first)).get(_EXIF_FOLDER)
        fields = dict(_entries(tiff, order, struct.unpack(order + "I", folder)[0])) if folder else {}
        return _parsed(_words(tiff, order, fields, _TIME, 19), _words(tiff, order, fields, _OFFSET, 6))
    except (struct.error, ValueError):
        return None


def _entries(tiff: bytes, order: str, position: int) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value field (four bytes, often an offset) of each entry of the folder at *position*."""
    (count,) = struct.unpack_from(order + "H", tiff, position)
    for index in range(min(count, _ENTRIES)):
        tag, _, _, value = struct.unpack_from(order + "HHI4s", tiff, position + 2 + index * _ENTRY)
        yield tag, value


def _words(tiff: bytes, order: str, fields: dict[int, bytes], tag: int, length: int) -> str:
    if tag not in fields:
        return ""
    (start,) = struct.unpack(order + "I", fields[tag])
    return tiff[start : start + length].decode("ascii")


def _parsed(time: str, offset: str) -> datetime | None:
    if re.fullmatch(r"[+-]\d\d:\d\d", offset):
        return datetime.strptime(time + offset, "%Y:%m:%d %H:%M:%S%z")
    return datetime.strptime(time, "%Y:%m:%d %H:%M:%S")  # noqa: DTZ007 - a camera without a zone means its own
