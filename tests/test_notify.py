"""The station that tells: one sink, one record, one key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.misbehaving.sinks import Away, Crashing, Forgetful, Refusing, Told
from tests.records import RECORD
from watcher.errors import DeliveryRefused, SinkUnavailable
from watcher.notify import deliver, key_of
from watcher.sinks import Sink

KEY = "msg_1"


def test_the_sink_is_told_and_the_log_says_so() -> None:
    """One delivery is one call with record and key, and one info line with image, sink and seconds."""
    sink = Told()

    with capture_logs() as lines:
        deliver(sink, RECORD, KEY)

    [line] = lines
    told = [(RECORD, KEY)]
    expected = {"event": "notify.delivered", "log_level": "info", "image": RECORD.image.name, "sink": "told"}
    assert told == sink.deliveries
    assert 0 <= line.pop("seconds") < 60
    assert expected == line


@pytest.mark.parametrize(
    ("sink", "error"),
    [
        (Away(), SinkUnavailable),
        (Refusing(), DeliveryRefused),
        (Forgetful(), SinkUnavailable),
        (Crashing(), ZeroDivisionError),
    ],
)
def test_what_a_sink_raises_is_left_to_the_worker(sink: Sink, error: type[Exception]) -> None:
    """Nothing is caught, nothing retried and nothing logged here: the worker judges."""
    with capture_logs() as lines, pytest.raises(error):
        deliver(sink, RECORD, KEY)

    assert not lines


def test_the_key_is_the_same_on_every_repeat() -> None:
    """The key depends on name, bytes and act only; it is written down here so that no release changes it."""
    again = replace(RECORD.image, camera="", sidecar=None, temporary="")
    expected = "msg_79438d098620259d77c1313107c0bd63"

    assert key_of(RECORD.image, "notify/erp") == key_of(again, "notify/erp")
    assert expected == key_of(RECORD.image, "notify/erp")


def test_no_two_deliveries_share_a_key() -> None:
    """Another image, other bytes under the same name, or another sink have another key."""
    images = [
        RECORD.image,
        replace(RECORD.image, name="matricula_20260304_153045_2.jpg"),
        replace(RECORD.image, digest="1"),
    ]
    keys = {key_of(image, act) for image in images for act in ("notify/erp", "notify/gate")}

    assert len(images) * 2 == len(keys)
