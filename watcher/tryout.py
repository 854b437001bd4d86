"""Read photos without a line: nothing is recorded, and any file may be asked about."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from watcher import durable
from watcher.bootstrap import lone_chain
from watcher.chain import Chain
from watcher.clocks import Clocks
from watcher.errors import ChildLost, WatcherError
from watcher.model import Reading, Request
from watcher.options import largest_of
from watcher.reports import reading_facts
from watcher.settings import Settings

_NO_PICTURE = {
    "image_unreadable": "This is no JPEG or PNG that can be decoded. Open it in a viewer, and save or send it again.",
    "too_many_pixels": "The picture has more pixels than [inbox] max_megapixels. Make it smaller, or raise that.",
    "decode_timeout": "The picture took too long to decode. Make it smaller, or raise [reading] deadline_seconds.",
}
"""What is said, by code, of a file from which no engine got a picture."""


def readings(
    settings: Settings, images: Sequence[Path], clocks: Clocks, *, drawing: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what the engines read on each of *images*, in order; one that cannot be read at all has an `error`.

    With *drawing*, the photo is written there as a new PNG with what was read on it: the answer then tells under
    `drawing` where that is, and if it could not be done, under `drawing_error` why.

    Raises:
        SettingsInvalid: An engine does not exist.
        WatcherError: *drawing* may not be written there (`drawing_refused`); nothing has been read yet.

    """
    if drawing is not None:
        _check_place(drawing, settings)
    chain = lone_chain(settings, clocks)
    try:
        for path in images:
            yield {"file": os.fspath(path)} | _answer(chain, path, largest_of(settings), drawing)
    finally:
        chain.close()


def is_failed(answer: Mapping[str, Any]) -> bool:
    """Return whether an answer of `readings` says less than that there is, or is not, a plate, or was not drawn."""
    return bool({"error", "drawing_error"} & answer.keys()) or (answer["plate"] is None and answer["code"] is not None)


def _answer(chain: Chain, path: Path, largest: int, drawing: Path | None = None) -> dict[str, Any]:
    """Return what is read on the photo at *path*; what could not be one is not even opened."""
    try:
        code, error = _objection(chain, path, largest)
        if not error:
            reading = chain.read_file(os.path.realpath(path), Request())
            return _told(reading) | ({} if drawing is None else _drawn(chain, reading, drawing))
    except OSError as fault:
        remedy = (
            "Check its name and folder." if isinstance(fault, FileNotFoundError) else "Check the disk and the rights."
        )
        code, error = "unreadable", f"The photo cannot be read: {fault.strerror}. {remedy}"
    except WatcherError as fault:
        code, error = fault.code, str(fault)
    except ChildLost as fault:
        code, error = "reader_crashed", f"The reader's process ended: {fault}"
    return reading_facts(Reading(None)) | {"code": code, "error": error}


def _told(reading: Reading) -> dict[str, Any]:
    """Return *reading* as facts, with an `error` if there was no picture to read."""
    error = "" if reading.text is not None else _NO_PICTURE.get(reading.code, "")
    return reading_facts(reading) | ({"error": error} if error else {})


def _objection(chain: Chain, path: Path, largest: int) -> tuple[str, str]:
    """Return code and sentence of what keeps the file at *path* from being read; both empty if nothing does."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        return "not_a_file", "This is no plain file. Name a photo."
    if status.st_size > largest:
        return "too_large", "The file is larger than [inbox] max_megabytes. Make it smaller, or raise that."
    if not chain.waits:
        return "engine_unavailable", "No engine can be asked; see [reading] engines."
    return "", ""


def _check_place(path: Path, settings: Settings) -> None:
    """Raise WatcherError if a new picture may not be written at *path*."""
    folder = Path(os.path.realpath(path.parent))
    ours = {name: place for name, place in settings.folders if folder.is_relative_to(os.path.realpath(place))}
    if path.suffix.lower() != ".png":
        raise _refused(f"{path} would be a PNG.", "Give it a name that ends in .png.")
    if ours:
        raise _refused(f"{path} would lie in [folders] {next(iter(ours))}, which is not for it.", "Name another place.")
    if os.path.lexists(path):
        raise _refused(f"{path} is there already, and nothing is overwritten.", "Name another file, or remove it.")
    if not folder.is_dir():
        raise _refused(f"There is no folder {path.parent}.", "Make it, or name another place.")


def _refused(reason: str, hint: str) -> WatcherError:
    return WatcherError(reason, hint=hint, code="drawing_refused")


def _drawn(chain: Chain, reading: Reading, path: Path) -> dict[str, Any]:
    """Write the photo that was just read with *reading* on it; return where, or why not."""
    try:
        picture = chain.annotate(reading)
        with durable.storage(str(path)), durable.opened_folder(os.fsencode(path.parent)) as folder:
            durable.write_new(folder, os.fsencode(path.name), picture)
    except (WatcherError, ChildLost) as fault:
        return {"drawing": None, "drawing_error": str(fault)}
    except OSError as fault:
        return {"drawing": None, "drawing_error": f"{path} cannot be written: {fault.strerror}."}
    return {"drawing": os.fspath(path)}
