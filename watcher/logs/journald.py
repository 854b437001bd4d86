"""Write entries of the systemd journal with fields of our own, in its native protocol.

The format is that of https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Mapping
from typing import TextIO

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "matricula-watcher"

_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
_CODE = {"pathname": "CODE_FILE", "lineno": "CODE_LINE", "func_name": "CODE_FUNC"}
_SAID_OTHERWISE = frozenset({"timestamp", "level", "event", "exception", "stack", *_CODE})


class JournalStream:
    """A stream that takes JSON lines, one a call, and sends each as an entry; for a logging handler."""

    def __init__(self, path: str, instead: TextIO) -> None:
        """Send to the socket at *path*; a line that it refuses, too long perhaps, goes to *instead*."""
        self._path = path
        self._instead = instead

    def write(self, line: str) -> None:
        """Send one entry. Raises what *instead* raises."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
                journal.sendto(datagram(json.loads(line)), self._path)
        except OSError:
            self._instead.write(line)

    def flush(self) -> None:
        """Flush what was written instead."""
        self._instead.flush()


def datagram(entry: Mapping[str, object]) -> bytes:
    """Return *entry*, made of plain values, in the protocol of the journal."""
    own = {key: _text(value) for key, value in entry.items() if key not in _SAID_OTHERWISE and value is not None}
    traces = (str(entry[key]) for key in ("exception", "stack") if key in entry)
    fields = {
        "MESSAGE": "\n".join((" ".join((str(entry["event"]), *map(_pair, own.items()))), *traces)),
        "PRIORITY": str(_PRIORITIES.get(str(entry.get("level")), _PRIORITIES["info"])),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        **{_CODE[key]: str(entry[key]) for key in _CODE if key in entry},
        "WATCHER_EVENT": str(entry["event"]),
        **{f"WATCHER_{re.sub('[^A-Z0-9_]', '_', key.upper())}"[:64]: value for key, value in own.items()},
    }
    return b"".join(_field(name, value.encode()) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pair(item: tuple[str, str]) -> str:
    key, value = item
    return f"{key}={value}" if re.fullmatch(r"[^\s\"=]+", value) else f"{key}={json.dumps(value, ensure_ascii=False)}"
