"""Read photos without a line: nothing is recorded, and any file may be asked about."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from watcher.bootstrap import lone_chain
from watcher.chain import Chain
from watcher.clocks import Clocks
from watcher.errors import ChildLost, WatcherError
from watcher.model import Reading, Request
from watcher.options import largest_of
from watcher.reports import reading_facts
from watcher.settings import Settings


def readings(settings: Settings, images: Sequence[Path], clocks: Clocks) -> Iterator[dict[str, Any]]:
    """Yield what the engines read on each of *images*, in order; one that cannot be read at all has an `error`.

    Raises:
        SettingsInvalid: An engine does not exist.

    """
    chain = lone_chain(settings, clocks)
    try:
        for path in images:
            yield {"file": os.fspath(path)} | _answer(chain, path, largest_of(settings))
    finally:
        chain.close()


def is_failed(answer: Mapping[str, Any]) -> bool:
    """Return whether an answer of `readings` says less than that there is, or is not, a plate."""
    return "error" in answer or (answer["plate"] is None and answer["code"] is not None)


def _answer(chain: Chain, path: Path, largest: int) -> dict[str, Any]:
    """Return what is read on the photo at *path*; what could not be one is not even opened."""
    try:
        code, error = _objection(chain, path, largest)
        if not error:
            return reading_facts(chain.read_file(os.path.realpath(path), Request()))
    except OSError as fault:
        code, error = "unreadable", f"The photo cannot be read: {fault.strerror}."
    except WatcherError as fault:
        code, error = fault.code, str(fault)
    except ChildLost as fault:
        code, error = "reader_crashed", f"The reader's process ended: {fault}"
    return reading_facts(Reading(None)) | {"code": code, "error": error}


def _objection(chain: Chain, path: Path, largest: int) -> tuple[str, str]:
    """Return code and sentence of what keeps the file at *path* from being read; both empty if nothing does."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return "not_a_file", "This is no plain file."
    if status.st_size > largest:
        return "too_large", "The file is larger than [inbox] max_megabytes."
    if not chain.waits:
        return "engine_unavailable", "No engine can be asked; see [reading] engines."
    return "", ""
