"""Hand a record to one sink under a stable key."""

from __future__ import annotations

import hashlib
import time

import structlog

from watcher.model import Image, Record
from watcher.sinks import Sink

log = structlog.get_logger()


def key_of(image: Image, act: str) -> str:
    """Return the id under which *act* is told of *image*: the same at every attempt, on every machine.

    The digest of the image is in it because two cameras of one owner may name an image in the same second.
    """
    said = f"{image.name}\0{image.digest}\0{act}"
    return f"msg_{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def deliver(sink: Sink, record: Record, key: str) -> None:
    """Tell *sink* of *record* under *key*.

    Raises:
        SinkUnavailable: Not now.
        DeliveryRefused: Never, this delivery.

    """
    began = time.monotonic()
    sink.send(record, key)
    seconds = round(time.monotonic() - began, 3)
    log.info("notify.delivered", image=record.image.name, sink=sink.name, seconds=seconds)
