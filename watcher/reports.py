"""What the commands say, as plain values ready for JSON."""

from __future__ import annotations

import fcntl
import os
import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from watcher import bootstrap
from watcher.clocks import real_clocks
from watcher.daemon import LOCK
from watcher.errors import ChildLost, WatcherError
from watcher.facts import record_facts
from watcher.inbox.listing import Ignore, Survey, survey
from watcher.intake import quarantine
from watcher.journal.listing import Counts, Listing, Story
from watcher.model import Reading, Request
from watcher.places import Finding
from watcher.settings import Settings

_SURVEY_SECONDS = 5.0


def status_facts(settings: Settings, *, now: float) -> dict[str, Any]:
    """Return how things stand at wall-clock time *now*; creates nothing, and works without a daemon or a journal.

    Raises:
        StorageUnavailable: The journal cannot be read by us.

    """
    folders = settings.folders
    listing = Listing(folders.data)
    try:
        counts = listing.counts()
    finally:
        listing.close()
    seen = _survey(folders.inbox, Ignore(settings.inbox.ignore))
    return {
        "running": running(folders.data),
        "inbox": str(folders.inbox),
        "reachable": seen is not None,
        "waiting": seen.waiting if seen else 0,
        "oldest_waiting_seconds": round(max(0.0, now - seen.oldest), 1) if seen and seen.oldest is not None else None,
        "ignored": seen.ignored if seen else 0,
        "owed": counts.owed,
        "parked": counts.parked,
        "quarantined": quarantine.count(folders.data / "quarantine"),
        "recorded": counts.recorded,
        "held_up_by": _orphaned(counts, settings) | counts.suspended,
    }


def running(data: Path) -> int | None:
    """Return the process id of the daemon that works on *data*, none if there is none."""
    try:
        descriptor = os.open(data / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)
    return None


def records(settings: Settings, *, last: int | None, review: bool) -> Iterator[dict[str, Any]]:
    """Yield all facts of each record, by id; see `facts.record_facts`."""
    listing = Listing(settings.folders.data)
    try:
        for record in listing.records(last=last, review=review):
            yield record_facts(record)
    finally:
        listing.close()


def story(settings: Settings, name: str, *, now: float) -> dict[str, Any] | None:
    """Return the story of the image called *name*, or that came from there; none if the journal knows none."""
    listing = Listing(settings.folders.data)
    try:
        told = listing.story(name.removeprefix("uploads/").removeprefix("inbox/"))
    finally:
        listing.close()
    return None if told is None else story_facts(told, now=now)


def readings(settings: Settings, images: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Yield what the engines read on each of *images*, in order; one that cannot be read at all has an `error`."""
    reader = bootstrap.lone_reader(settings, real_clocks())
    try:
        for path in images:
            yield {"file": os.fspath(path)} | _answer(reader, path)
    finally:
        reader.close()


def finding_facts(finding: Finding) -> dict[str, str]:
    """Return one finding of the doctor."""
    return asdict(finding)


def _answer(reader: bootstrap.Reader, path: Path) -> dict[str, Any]:
    nothing = reading_facts(Reading(None))
    try:
        return reading_facts(reader.read_file(os.fspath(path), Request()))
    except WatcherError as error:
        return nothing | {"code": error.code, "error": str(error)}
    except ChildLost as error:
        return nothing | {"code": "reader_crashed", "error": f"The reader's process ended: {error}."}


def story_facts(story: Story, *, now: float) -> dict[str, Any]:
    """Return what is known of one image, its acts in order."""
    image, sidecar = story.image, story.image.sidecar
    return {
        "image": image.name,
        "source": image.source.decode("utf-8", "backslashreplace"),
        "size": image.identity.size,
        "digest": image.digest,
        "camera_id": image.camera,
        "arrived_at": image.arrived_at.isoformat(),
        "captured_at": image.captured_at.isoformat(),
        "time_source": image.time_source,
        "reason": story.reason,
        "duplicate_of": image.duplicate_of,
        "sidecar_error": sidecar.error if sidecar else "",
        "reading": None if story.reading is None else reading_facts(story.reading),
        "id": story.record_id,
        "recorded_at": None if story.recorded_at is None else story.recorded_at.isoformat(),
        "acts": [
            {
                "act": step.act,
                "status": step.status,
                "attempts": step.attempts,
                "due_in_seconds": round(max(0.0, step.due_at - now), 1) if step.status == "owed" else None,
                "reason": step.reason,
            }
            for step in story.steps
        ],
    }


def reading_facts(reading: Reading) -> dict[str, Any]:
    """Return *reading* as users of `read --json` expect it: the plate null when there is none."""
    return {
        "plate": reading.text,
        "confidence": reading.confidence,
        "engine": reading.engine or None,
        "candidates": [asdict(candidate) for candidate in reading.candidates],
        "seconds": round(reading.seconds, 3),
        "box": reading.box,
        "orientation": reading.orientation,
        "code": reading.code or None,
        "review": reading.review,
        "tried": reading.tried,
    }


def _orphaned(counts: Counts, settings: Settings) -> dict[str, str]:
    """Return a sentence for each act whose sink is not configured any more."""
    sinks = {f"notify/{sink.name}" for sink in settings.sinks}
    gone = [act for act in counts.owed if act.startswith("notify/") and act not in sinks]
    return dict.fromkeys(gone, "its sink is not in the configuration any more; nothing is sent")


def _survey(inbox: Path, ignore: Ignore) -> Survey | None:
    """Survey the inbox; none if it does not answer in time, as a dead share does not."""
    answer: queue.Queue[Survey | None] = queue.Queue()

    def ask() -> None:
        try:
            answer.put(survey(os.fsencode(inbox), ignore))
        except OSError:
            answer.put(None)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.get(timeout=_SURVEY_SECONDS)
    except queue.Empty:
        return None
