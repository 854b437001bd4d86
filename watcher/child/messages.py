"""What a process and its child say to each other: framing, and errors as data.

A message is two lengths (unsigned, 32 bits, big-endian), a JSON object of the first length and raw bytes of the
second. Nothing is ever unpickled: a child that was taken over by a hostile picture must not run code in its parent.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

from watcher.errors import (
    Deferred,
    DeliveryRefused,
    EngineRefused,
    EngineUnavailable,
    ImageRejected,
    Rejected,
    SinkUnavailable,
    StorageUnavailable,
    WatcherError,
)

HEAD_BYTES = 1 << 20
BLOB_BYTES = 64 << 20

_PREFIX = struct.Struct(">II")
_WORDS = 2000
_LONGEST_PAUSE = 86_400.0
_CODE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_DEFERRED: Mapping[str, type[Deferred]] = {
    kind.__name__: kind for kind in (EngineUnavailable, SinkUnavailable, StorageUnavailable)
}
_REJECTED: Mapping[str, type[Rejected]] = {
    kind.__name__: kind for kind in (EngineRefused, ImageRejected, DeliveryRefused)
}


def pack(head: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """Return the message that carries *head* and *blob*; raise ValueError for what JSON cannot say, NaN included."""
    text = json.dumps(head, allow_nan=False).encode()
    return b"".join((_PREFIX.pack(len(text), len(blob)), text, blob))


def length(start: bytes | bytearray) -> int | None:
    """Return the length in bytes of the message that begins with *start*, or none if too little of it is there.

    Raises:
        ValueError: It announces more than we take.

    """
    if len(start) < _PREFIX.size:
        return None
    head, blob = _PREFIX.unpack_from(start)
    if head > HEAD_BYTES or blob > BLOB_BYTES:
        raise ValueError(f"a message of {head} and {blob} bytes is too long")
    return int(_PREFIX.size + head + blob)


def unpack(message: bytes | bytearray) -> tuple[dict[str, Any], bytes]:
    """Return head and blob of a whole message; raise ValueError if the head is not a JSON object."""
    head, _ = _PREFIX.unpack_from(message)
    end = _PREFIX.size + head
    try:
        content = json.loads(bytes(message[_PREFIX.size : end]), parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("the head of the message is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("the head of the message is not an object")  # noqa: TRY004 - a fault of the sender
    return content, bytes(message[end:])


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Wait for one message from the parent, which we trust, and return it; raise EOFError when there are no more."""
    prefix = stream.read(_PREFIX.size)
    if len(prefix) < _PREFIX.size:
        raise EOFError("the other side is gone")
    return unpack(prefix + stream.read(sum(_PREFIX.unpack(prefix))))


def error_out(error: WatcherError) -> dict[str, Any]:
    """Return *error* as plain data."""
    return {
        "class": type(error).__name__,
        "code": error.code,
        "reason": error.reason,
        "hint": error.hint,
        "retry_after": getattr(error, "retry_after", None),
    }


def error_in(data: object) -> WatcherError:
    """Return the error that *data* describes, from a closed list of classes, its words bounded.

    Raises:
        ValueError: It is no such description.

    """
    if not isinstance(data, dict):
        raise ValueError("an error that is not an object")  # noqa: TRY004 - a fault of the sender
    name, reason, hint, code = (_words(data.get(key)) for key in ("class", "reason", "hint", "code"))
    code = code if _CODE.fullmatch(code) else ""
    if name in _DEFERRED:
        return _DEFERRED[name](reason, hint=hint, code=code, retry_after=_pause(data.get("retry_after")))
    if name in _REJECTED:
        return _REJECTED[name](reason, hint=hint, code=code)
    raise ValueError(f"an error of the unknown class {name[:40]!r}")


def _words(value: object) -> str:
    return value.encode(errors="replace").decode()[:_WORDS] if isinstance(value, str) else ""


def _pause(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(min(max(0, value), _LONGEST_PAUSE))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")
