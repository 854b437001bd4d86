"""The log lines of completed acts: searching one image name gives its whole story."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog

from watcher.journal import Done
from watcher.model import NO_PLATE, Image, Reading, Task

log = structlog.get_logger()


def stored(done: Sequence[Done]) -> None:
    """Say which images are in `uploads/` now, and which were withdrawn before we had them."""
    for item in done:
        image = item.task.image
        if item.gone:
            log.warning("intake.gone", **_bound(item.task), path=image.source)
        else:
            log.info("intake.stored", **_bound(item.task), path=image.source, size=image.identity.size)


def released(done: Sequence[Done]) -> None:
    """Say which sources that had to stay in the inbox are gone now."""
    for item in done:
        log.info("intake.released", **_bound(item.task), path=item.task.image.source)


def quarantined(done: Sequence[Done]) -> None:
    """Say what was sent to the quarantine; what was withdrawn before is seen again as something else."""
    for item in done:
        image = item.task.image
        if item.gone:
            log.debug("intake.changed", **_bound(item.task), path=image.source)
        elif image.name.startswith("late_sidecar/"):
            log.warning("intake.sidecar_late", **_bound(item.task), path=image.source)
        else:
            log.warning("intake.quarantined", **_bound(item.task), path=image.source)


def _bound(task: Task) -> dict[str, object]:
    return {"image": task.image.name, "act": task.act, "attempt": task.attempts, "camera": task.image.camera}


def admitted(reason: str, image: Image) -> None:
    """Say that an image was written down, or that its bytes had been admitted before."""
    if image.duplicate_of:
        log.warning("intake.duplicated", image=image.name, path=image.source, first=image.duplicate_of)
    elif not reason:
        log.debug("intake.admitted", image=image.name, path=image.source, size=image.identity.size)


def read(task: Task, reading: Reading | None) -> None:
    """Say what was read; with no engine asked there is nothing to say."""
    if reading is not None and reading.tried:
        log.info(
            "reading.finished",
            **_bound(task),
            plate=reading.text,
            confidence=reading.confidence,
            engine=reading.engine,
            code=reading.code,
            seconds=reading.seconds,
        )


def registered(task: Task, number: int, now: datetime) -> None:
    """Write the canonical line of an image."""
    reading = task.reading or Reading(None)
    log.info(
        "register.appended",
        **_bound(task),
        id=number,
        source=task.image.source,
        plate=reading.text or NO_PLATE,
        confidence=reading.confidence,
        engine=reading.engine,
        tried=reading.tried,
        code=reading.code,
        review=reading.review,
        seconds=(now - task.image.arrived_at).total_seconds(),
    )
