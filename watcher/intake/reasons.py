"""Why files go to the quarantine, in words that a person can act on. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime

from watcher.model import Image, Sidecar

RETRY = "Mend the file and drop it into the inbox again."
REASONS: Mapping[str, tuple[str, str]] = {
    "truncated": (
        "The picture has no end: the upload broke off.",
        "Send it again. If the sender resumes within a day, it is taken from here by itself.",
    ),
    "empty": ("The file is empty.", "Send it again."),
    "too_large": ("The file is larger than [inbox] max_megabytes.", "Raise the limit, then drop it in again."),
    "not_an_image": ("The file is neither a JPEG nor a PNG, whatever its name says.", RETRY),
    "hard_linked": ("The file has a second name (a hard link), so others could change it.", "Drop in a copy."),
    "duplicate": (
        "The same bytes were admitted before, within [inbox] duplicate_window_hours.",
        "Nothing needs to be done; the first photo has its row. To force a second one, set the window to 0.",
    ),
    "sidecar_error": ("The sidecar could not be used; its photo has a row with empty fields.", RETRY),
    "late_sidecar": (
        "The sidecar came after its photo had been admitted without it.",
        "Send the sidecar first, or raise [inbox] sidecar_wait_seconds.",
    ),
    "orphan_sidecar": ("No photo of this name came within an hour.", "Send the photo and the sidecar again."),
}


def explanation(reason: str, image: Image, now: datetime) -> bytes:
    """Return the content of the file that says why *image* was sent to the quarantine."""
    message, retry = REASONS[reason]
    if reason == "sidecar_error" and image.sidecar is not None:
        message = f"{message} {image.sidecar.error}"
    facts = {
        "code": reason,
        "message": message,
        "when": _local(now),
        "source": image.source.decode("utf-8", "backslashreplace"),
        "source_bytes": image.source.hex(),
        "camera": image.camera,
        "arrived_at": _local(image.arrived_at),
        "duplicate_of": image.duplicate_of or None,
        "sidecar": _said_by(image.sidecar),
        "retry": retry,
    }
    return json.dumps(facts, indent=2, ensure_ascii=False).encode()


def source_in(raw: bytes) -> bytes:
    """Return the path in the inbox that an explanation names; nothing if a person has changed it beyond recognition."""
    try:
        source = bytes.fromhex(json.loads(raw)["source_bytes"])
    except (ValueError, KeyError, TypeError):
        return b""
    return b"" if source.startswith(b"/") or b"\0" in source or b".." in source.split(b"/") else source


def _local(moment: datetime) -> str:
    return moment.astimezone().isoformat(timespec="seconds")


def _said_by(sidecar: Sidecar | None) -> dict[str, object] | None:
    """Return what a good *sidecar* says, ready for JSON, without what it leaves out."""
    if sidecar is None or sidecar.error:
        return None
    timestamp = sidecar.timestamp.isoformat() if sidecar.timestamp else ""
    said = asdict(sidecar) | {"timestamp": timestamp, "extra": json.loads(sidecar.extra)}
    return {key: value for key, value in said.items() if value and key not in {"path", "identity", "error"}}
