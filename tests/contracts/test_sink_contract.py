"""What every sink promises, checked on every kind of sink there is, against every receiver that misbehaves."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import pytest

from tests.misbehaving.sinks import REFUSING, TAKING, UNAVAILABLE
from tests.records import NOW, RECORD
from tests.scripted_receiver import Receiver, Step, answers, hangs_up
from watcher.errors import DeliveryRefused, SettingsInvalid, SinkUnavailable
from watcher.model import Reading
from watcher.sinks import Sink, kinds, load

KEY = "msg_79438d098620259d77c1313107c0bd63"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
SECONDS = 0.5
"""What each sink is told one delivery may take; it must be over within `PATIENCE`."""
PATIENCE = 4.0

OPTIONS: Mapping[str, Callable[[str], dict[str, object]]] = {
    "webhook": lambda url: {"url": url, "allow_private": True, "timeout_seconds": SECONDS, "secret": SECRET},
}
"""For every kind of sink, the options that make it talk to the scripted receiver at an address."""

RECEIVERS: Mapping[str, Step] = {**UNAVAILABLE, **REFUSING, **TAKING}


@pytest.fixture(params=kinds())
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind of sink in turn; a new one must be listed in `OPTIONS` above."""
    name = str(request.param)
    assert name in OPTIONS, f"List in OPTIONS how a {name} is made to talk to the scripted receiver."
    return name


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with Receiver() as listening:
        yield listening


def made(kind: str, url: str) -> Sink:
    """Return a sink of that *kind* that talks to *url*."""
    return load(kind, name="erp", options=OPTIONS[kind](url), now=lambda: NOW)


def test_it_has_the_shape_of_a_sink(kind: str, receiver: Receiver) -> None:
    """It carries the name it was given, and `send` takes a record and a key and says nothing."""
    sink = made(kind, receiver.url)
    expected = ("erp", ["record", "key"])

    assert expected == (sink.name, list(inspect.signature(sink.send).parameters))
    assert sink.send(RECORD, KEY) is None  # type: ignore[func-returns-value]


def test_making_it_reaches_nobody(kind: str, receiver: Receiver) -> None:
    """The daemon starts although a receiver is down: nobody is talked to before there is something to tell."""
    made(kind, receiver.url)

    assert not receiver.deliveries


def test_every_repeat_carries_the_same_key(kind: str) -> None:
    """After a failure the same record is told under the same key, so that the receiver can ignore a repeat."""
    with Receiver(hangs_up, answers(503), answers()) as listening:
        sink = made(kind, listening.url)
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                sink.send(RECORD, KEY)
        sink.send(RECORD, KEY)

    assert len(listening.deliveries) == 3
    assert all(KEY in f"{delivery.headers} {delivery.body!r}" for delivery in listening.deliveries)
    assert len({delivery.body for delivery in listening.deliveries}) == 1


def test_a_return_means_that_the_receiver_has_it(kind: str, receiver: Receiver) -> None:
    """Exactly one message is sent in one call, and it names the image and the plate."""
    made(kind, receiver.url).send(RECORD, KEY)

    [delivery] = receiver.deliveries
    assert RECORD.image.name.encode() in delivery.body
    assert RECORD.plate.encode() in delivery.body


@pytest.mark.parametrize("receiver_does", RECEIVERS)
def test_whatever_a_receiver_does_is_bounded_and_one_of_three_ends(kind: str, receiver_does: str) -> None:
    """It returns or raises one of its two errors, with a sentence, in bounded time, and can be used again."""
    began = time.monotonic()
    with Receiver(RECEIVERS[receiver_does], answers()) as listening:
        sink = made(kind, listening.url)
        end = _end(sink)
        took = time.monotonic() - began
        sink.send(RECORD, KEY)

    assert took < PATIENCE
    assert end is None or end.reason.endswith(".")
    assert "secret" not in str(end)


def _end(sink: Sink) -> SinkUnavailable | DeliveryRefused | None:
    """Return how telling *sink* ended."""
    try:
        sink.send(RECORD, KEY)
    except (SinkUnavailable, DeliveryRefused) as error:
        return error
    return None


def test_nobody_listening_is_unavailable(kind: str) -> None:
    """A receiver that is switched off is told later."""
    with Receiver() as listening:
        url = listening.url
    with pytest.raises(SinkUnavailable):
        made(kind, url).send(RECORD, KEY)


def test_it_keeps_its_secrets(kind: str, receiver: Receiver) -> None:
    """Neither the secret nor a token in the address is in what a log or a traceback would print of it."""
    shown = repr(made(kind, receiver.url))

    assert SECRET[6:] not in shown
    assert "t0ken" not in shown


def test_unknown_options_are_refused(kind: str, receiver: Receiver) -> None:
    """A misspelt option is a wrong setting, named, and not silently without effect."""
    with pytest.raises(SettingsInvalid, match="colour"):
        load(kind, name="erp", options=OPTIONS[kind](receiver.url) | {"colour": "red"}, now=lambda: NOW)


def test_a_bare_record_is_told(kind: str, receiver: Receiver) -> None:
    """An image without sidecar on which nobody read anything is a record like any other."""
    bare = replace(RECORD, plate="NO_DETECTADA", reading=Reading(None), image=replace(RECORD.image, sidecar=None))

    made(kind, receiver.url).send(bare, KEY)

    assert b"NO_DETECTADA" in receiver.deliveries[0].body
