"""What the commands say, as plain values ready for JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import Any

from watcher import bootstrap, places
from watcher.deadline import answer_within
from watcher.errors import StorageUnavailable, WatcherError
from watcher.facts import counted, record_facts
from watcher.inbox.listing import Ignore, Survey, survey
from watcher.intake import quarantine
from watcher.journal import Journal
from watcher.journal.connection import FILE, Connection
from watcher.journal.listing import Counts, Listing, Story
from watcher.lock import holder, is_ours
from watcher.model import Reading
from watcher.options import largest_of
from watcher.places import Finding
from watcher.settings import Settings

_SURVEY_SECONDS = 5.0
_TAKEN = tuple(end for lower in (".jpg", ".jpeg", ".png", ".json") for end in (lower, lower.upper()))


def status_facts(settings: Settings, *, now: float) -> dict[str, Any]:
    """Return how things stand at wall-clock time *now*; creates nothing, and works without a daemon or a journal.

    Raises:
        StorageUnavailable: The journal cannot be read by us.

    """
    folders = settings.folders
    with closing(Listing(folders.data)) as listing:
        counts = listing.counts()
    seen = _survey(settings)
    found = seen or Survey()
    return {
        "running": holder(folders.data),
        "inbox": str(folders.inbox),
        "reachable": seen is not None,
        "waiting": found.waiting,
        "oldest_waiting_seconds": None if found.oldest is None else round(max(0.0, now - found.oldest), 1),
        "lone_sidecars": found.alone,
        "unwritable": found.unwritable,
        "ignored": found.ignored,
        "owed": counts.owed,
        "parked": counts.parked,
        "quarantined": quarantine.count(folders.data / bootstrap.QUARANTINE),
        "recorded": counts.recorded,
        "held_up_by": _orphaned(counts, settings) | counts.suspended,
        "obstacles": [finding_facts(finding) for finding in _obstacles(settings, seen)],
    }


def outcome(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changed between two statuses; it is *failed* if anything was left, has to wait or was set aside.

    A repeat of the same bytes that was set aside is no failure.
    """
    told = {
        "recorded": after["recorded"] - before["recorded"],
        "waiting": after["waiting"],
        "owed": sum(after["owed"].values()),
        "parked": sum(after["parked"].values()),
        "quarantined": max(0, _rejected(after) - _rejected(before)),
        "reachable": after["reachable"],
    }
    left = ("waiting", "owed", "parked", "quarantined")
    return told | {"failed": not told["reachable"] or any(told[key] for key in left)}


def _rejected(status: Mapping[str, Any]) -> int:
    return sum(number for reason, number in status["quarantined"].items() if reason != "duplicate")


def records(settings: Settings, *, last: int | None, review: bool) -> Iterator[dict[str, Any]]:
    """Yield all facts of each record, by id; see `facts.record_facts`."""
    with closing(Listing(settings.folders.data)) as listing:
        for record in listing.records(last=last, review=review):
            yield record_facts(record)


def story(settings: Settings, name: str, *, now: float) -> dict[str, Any]:
    """Return the story of the image called *name*, or that came from there, at wall-clock time *now*.

    Raises:
        WatcherError: The journal knows none (`unknown_photo`).
        StorageUnavailable: The journal cannot be read by us.

    """
    return story_facts(_story(settings, name), now=now)


def release(settings: Settings, name: str | None) -> int:
    """Let parked and waiting acts of the image *name*, or of all, be tried again now; return how many.

    Raises:
        WatcherError: The journal knows no such image (`unknown_photo`).
        StorageUnavailable: The journal cannot be written by us.

    """
    called = None if name is None else _story(settings, name).image.name
    data = settings.folders.data
    try:
        os.stat(data / FILE)
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StorageUnavailable(
            f"The journal {data / FILE} cannot be used: {error.strerror}.", hint="Run this as the user of the daemon."
        ) from error
    with closing(Connection(data)) as connection:
        return Journal(connection).release(called)


def finding_facts(finding: Finding) -> dict[str, str]:
    """Return one finding of the doctor."""
    return asdict(finding)


def _story(settings: Settings, name: str) -> Story:
    with closing(Listing(settings.folders.data)) as listing:
        story = next(filter(None, map(listing.story, _meanings(settings, name))), None)
    if story is None:
        _raise_if_waiting(settings, name)
        raise WatcherError(
            f"The journal knows no photo {name}.",
            hint="See `records`, and the quarantine and the log for what never became one.",
            code="unknown_photo",
        )
    return story


def _raise_if_waiting(settings: Settings, name: str) -> None:
    """Raise WatcherError (`not_admitted`) if the photo or sidecar lies in the inbox, with what keeps it there."""
    inbox = settings.folders.inbox
    paths = [path for path in _meanings(settings, name) if not path.startswith("/") and path.endswith(_TAKEN)]
    path = next((path for path in paths if os.path.lexists(inbox / path)), None)
    if path is not None:
        found = list(_obstacles(settings, _survey(settings)))
        why = " ".join(f"{finding.says} {finding.remedy}" for finding in found)
        raise WatcherError(
            f"{inbox / path} lies in the inbox and has not been taken in yet.",
            hint=why or "It may still be written, or wait for its other half; the log says more.",
            code="not_admitted",
        )


def _meanings(settings: Settings, name: str) -> Iterator[str]:
    """Yield what the journal may call a photo that somebody calls *name*: as a path from here, then as it stands."""
    folders = settings.folders
    for folder in (folders.inbox, folders.uploads, folders.data / bootstrap.QUARANTINE):
        inside = os.path.relpath(os.path.abspath(name), folder)
        if not inside.startswith(".."):
            yield inside
    yield name
    yield name.removeprefix("uploads/").removeprefix("inbox/")


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


def _obstacles(settings: Settings, seen: Survey | None) -> Iterator[Finding]:
    """Yield what keeps photos in the inbox. Rights are judged only if we have those of the daemon."""
    folders, ours = settings.folders, is_ours(settings.folders.data)
    if seen is None:
        says, remedy = f"The inbox {folders.inbox} is not there or does not answer.", "Mount it, or create it."
        yield Finding("[folders] inbox", "error", says, remedy)
    elif seen.unwritable and ours:
        first = os.path.normpath(folders.inbox / os.fsdecode(seen.first_unwritable))
        others = f" and {counted(seen.unwritable - 1, 'other folder')}" if seen.unwritable > 1 else ""
        says = f"Nothing is taken from {first}{others}: we may not list or change it."
        yield Finding("[folders] inbox", "error", says, "Give the service all rights there: chown or chmod.")
    largest = min(seen.largest, largest_of(settings)) if seen else 0
    yield from places.obstacles(folders, largest, rights=ours)


def _survey(settings: Settings) -> Survey | None:
    """Survey the inbox; none if it does not answer in time, as a dead share does not."""
    look = partial(survey, os.fsencode(settings.folders.inbox), Ignore(settings.inbox.ignore))
    return answer_within(_SURVEY_SECONDS, look)
