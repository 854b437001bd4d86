"""The webhook: what it says, to whom it does not talk, and how it takes what receivers do."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from tests.misbehaving.sinks import REFUSING, TAKING, UNAVAILABLE
from tests.records import NOW, RECORD
from tests.scripted_receiver import Receiver, Step, answers, drips, floods, hangs, says, unused_port
from watcher.errors import DeliveryRefused, SettingsInvalid, SinkUnavailable
from watcher.model import Reading, Sidecar
from watcher.sinks.webhook import LONGEST_PAUSE, Webhook, body, create, retry_after
from watcher.sinks.webhook.route import Found, Line, Resolve, Route, look_up, public

KEY = "msg_79438d098620259d77c1313107c0bd63"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CERTIFICATE = Path(__file__).with_name("receiver.pem")
"""A self-signed certificate for `receiver.test`, with its throw-away key."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver that takes everything."""
    with Receiver() as listening:
        yield listening


def webhook(url: str, **options: object) -> Webhook:
    """Return a webhook that may talk to this machine."""
    return create(
        name="erp", options={"url": url, "allow_private": True, "timeout_seconds": 5} | options, now=lambda: NOW
    )


class Told:
    """A resolver that gives these addresses, whatever it is asked; *asked* holds what it was."""

    def __init__(self, *addresses: str) -> None:
        """Take the addresses."""
        self.addresses = addresses
        self.asked: list[tuple[bytes, int]] = []

    def __call__(self, host: bytes, port: int) -> Sequence[Found]:
        """Answer as `socket.getaddrinfo` would."""
        self.asked.append((host, port))
        return [found for address in self.addresses for found in look_up(address.encode(), port)]


def test_a_receiver_is_told_the_whole_record(receiver: Receiver) -> None:
    """One delivery is one POST with a JSON body that holds every fact, times as ISO 8601 in UTC."""
    webhook(receiver.url).send(RECORD, KEY)

    [delivery] = receiver.deliveries
    expected = {
        "hook": {"target": "erp", "id": KEY},
        "data": {
            "record": {
                "id": 7,
                "plate": "1234BCD",
                "confidence": 0.93,
                "engine": "rapidocr",
                "code": "engine_unavailable",
                "review": True,
                "tried": ["openai", "rapidocr"],
                "seconds": 0.8,
                "candidates": [{"text": "1234BCD", "confidence": 0.93}, {"text": "1234BCO", "confidence": None}],
                "box": [10, 20, 200, 40],
                "orientation": 0,
                "kind": "plate",
                "image": "matricula_20260304_153045.jpg",
                "digest": "0" * 64,
                "size": 3,
                "source": "gate/caf\\xe9 7.jpg",
                "camera_id": "gate",
                "fecha_hora": RECORD.image.captured_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                "captured_at": "2026-03-04T14:30:45.000Z",
                "time_source": "sidecar",
                "arrived_at": "2026-03-04T14:30:46.250Z",
                "recorded_at": "2026-03-04T14:30:48.000Z",
                "propietario": "Juan Pérez",
                "tipo_vehiculo": "Sedan",
                "observacion": "Vehículo de entrega",
                "language": "es",
                "regions": ["es", "pt"],
                "extra": {"carril": 2},
                "sidecar_error": "",
            }
        },
    }
    assert expected == delivery.said
    assert ("POST", "/hook?token=t0ken") == (delivery.method, delivery.path)
    assert f"127.0.0.1:{receiver.port}" == delivery.headers["host"]
    assert delivery.headers["content-type"].startswith("application/json")


def test_an_image_without_sidecar_or_reading_is_told_too() -> None:
    """What is not there is null or empty, never missing."""
    bare = replace(RECORD, image=replace(RECORD.image, sidecar=None), reading=Reading(text=None))

    said = json.loads(body("erp", bare, KEY))["data"]["record"]

    assert json.loads(body("erp", RECORD, KEY))["data"]["record"].keys() == said.keys()
    assert said["confidence"] is None
    assert {} == said["extra"]


def test_the_signature_is_that_of_standard_webhooks(receiver: Receiver) -> None:
    """The reference library accepts a delivery signed now, and refuses it once a byte has changed."""
    now = datetime.now(UTC)
    options = {"url": receiver.url, "allow_private": True, "secret": SECRET}
    create(name="erp", options=options, now=lambda: now).send(RECORD, KEY)

    [delivery] = receiver.deliveries
    assert delivery.said == StandardWebhook(SECRET).verify(delivery.body, dict(delivery.headers))
    assert KEY == delivery.headers["webhook-id"]
    assert str(int(now.timestamp())) == delivery.headers["webhook-timestamp"]
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(SECRET).verify(delivery.body + b" ", dict(delivery.headers))


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    """Id and time are sent all the same, so that repeats can be told."""
    webhook(receiver.url).send(RECORD, KEY)

    [delivery] = receiver.deliveries
    assert "webhook-signature" not in delivery.headers
    assert KEY == delivery.headers["webhook-id"]


def test_a_repeat_has_the_same_id_and_another_time(receiver: Receiver) -> None:
    """The receiver recognises a repeat by its id; the time is that of the attempt, so that it is not too old."""
    moments = [NOW, NOW + timedelta(hours=1)]
    sink = create(name="erp", options={"url": receiver.url, "allow_private": True}, now=lambda: moments.pop(0))

    sink.send(RECORD, KEY)
    sink.send(RECORD, KEY)

    first, second = receiver.deliveries
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert 3600 == int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"])


@pytest.mark.parametrize("step", TAKING.values(), ids=TAKING)
def test_a_status_of_success_is_success(step: Step) -> None:
    """The receiver has it from the moment it says so, whatever becomes of the rest of its answer."""
    began = time.monotonic()
    with Receiver(step) as listening:
        webhook(listening.url, timeout_seconds=1).send(RECORD, KEY)

    assert time.monotonic() - began < 4


@pytest.mark.parametrize("step", UNAVAILABLE.values(), ids=UNAVAILABLE)
def test_what_can_heal_is_unavailable(step: Step) -> None:
    """Busy, failing, silent, dripping and garbled receivers are told again later, and none takes too long."""
    began = time.monotonic()
    with Receiver(step) as listening, pytest.raises(SinkUnavailable) as caught:
        webhook(listening.url, timeout_seconds=1).send(RECORD, KEY)

    assert time.monotonic() - began < 4
    assert "127.0.0.1" in caught.value.reason
    assert caught.value.reason.endswith(".")


@pytest.mark.parametrize("step", REFUSING.values(), ids=REFUSING)
def test_what_will_not_heal_is_refused(step: Step) -> None:
    """A redirect is not followed and a refusal not repeated: a person reads the status and what to do."""
    with Receiver(step) as listening, pytest.raises(DeliveryRefused) as caught:
        webhook(listening.url, timeout_seconds=1).send(RECORD, KEY)

    assert len(listening.deliveries) == 1
    assert "answered with status " in caught.value.reason
    assert "`retry` then sends it again." in caught.value.hint


@pytest.mark.parametrize("step", [*UNAVAILABLE.values(), *REFUSING.values()], ids=[*UNAVAILABLE, *REFUSING])
def test_no_secret_is_shown(step: Step) -> None:
    """Neither what the receiver answered, nor its token, nor our secret is in the error, its cause or the sink."""
    with Receiver(step) as listening:
        sink = webhook(listening.url, timeout_seconds=0.5, secret=SECRET)
        with pytest.raises((SinkUnavailable, DeliveryRefused)) as caught:
            sink.send(RECORD, KEY)

    shown = f"{sink!r} {caught.value!r} {caught.value} {caught.value.__cause__!r}"
    assert "secret of the receiver" not in shown
    assert "t0ken" not in shown
    assert SECRET[6:] not in shown


def test_nobody_there_is_unavailable() -> None:
    """A port where nobody listens is told again later, and the reason says what the system said."""
    with unused_port() as port, pytest.raises(SinkUnavailable, match="cannot be reached: Connection refused"):
        webhook(f"http://127.0.0.1:{port}/").send(RECORD, KEY)


def test_a_name_that_nobody_knows_is_unavailable() -> None:
    """A name server may be down: it is asked again later."""

    def resolve(*_: object) -> Sequence[Found]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    sink = create(name="erp", options={"url": "https://receiver.test/"}, now=lambda: NOW, resolve=resolve)
    with pytest.raises(SinkUnavailable, match=r"receiver\.test cannot be reached: Name or service not known\."):
        sink.send(RECORD, KEY)


def test_a_name_without_addresses_is_unavailable() -> None:
    """A resolver that finds nothing at all is no reason to give up."""
    sink = create(name="erp", options={"url": "https://receiver.test/"}, now=lambda: NOW, resolve=Told())
    with pytest.raises(SinkUnavailable, match="has no address"):
        sink.send(RECORD, KEY)


def test_a_lookup_that_takes_too_long_leaves_no_time() -> None:
    """The deadline runs from before the look-up, and nothing is begun after it."""
    with Receiver() as listening:
        with pytest.raises(SinkUnavailable, match="did not answer within 1e-09 s"):
            webhook(listening.url, timeout_seconds=1e-9).send(RECORD, KEY)
        with pytest.raises(TimeoutError):
            Route(0, allow_private=True).connect_tcp("127.0.0.1", listening.port)

    assert not listening.deliveries


def test_a_deadline_before_the_handshake_closes_the_connection() -> None:
    """A connection that is over before TLS begins is not left open."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        line = Line(ours, ends=time.monotonic())
        with pytest.raises(TimeoutError):
            line.start_tls(ssl.create_default_context(), "receiver.test")
        expected = b""

        assert expected == theirs.recv(1)


def test_an_endless_answer_is_cut_off_early() -> None:
    """After 64 KiB nothing more is read of what a receiver answers, long before the deadline."""
    began = time.monotonic()
    with Receiver(floods(b"HTTP/1.1 200 OK\r\n\r\n")) as listening:
        webhook(listening.url, timeout_seconds=60).send(RECORD, KEY)

    assert time.monotonic() - began < 30


def test_an_early_answer_is_heard() -> None:
    """A receiver that refuses a long record by its headers, and hangs up before the body has come, is understood."""
    record = replace(RECORD, image=replace(RECORD.image, sidecar=Sidecar(observacion="x" * 20_000_000)))

    with Receiver(answers(413), early=True) as listening, pytest.raises(DeliveryRefused, match="status 413"):
        webhook(listening.url).send(record, KEY)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",  # noqa: S104 (it is refused)
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "fe80::1",
        "fe80::1%1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "5f00::1",
    ],
)
def test_addresses_inside_are_not_public(address: str) -> None:
    """Loopback, link-local, private, shared, reserved, multicast and metadata addresses, however they are wrapped."""
    assert not public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_outside_are_public(address: str) -> None:
    """What the rule must not refuse."""
    assert public(ipaddress.ip_address(address))


@given(st.ip_addresses())
def test_nothing_private_is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Whatever Python's own tables call private is never public, in any wrapping."""
    if address.is_private or address.is_link_local or address.is_loopback:
        assert not public(address)
        if isinstance(address, ipaddress.IPv4Address):
            for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
                assert not public(ipaddress.ip_address(wrapped))
            assert not public(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1"])
def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    """The name looks innocent; where it leads is checked before a byte is sent."""
    with Receiver() as listening:
        url = f"https://receiver.test:{listening.port}/"
        sink = create(name="erp", options={"url": url}, now=lambda: NOW, resolve=Told(address))
        with pytest.raises(DeliveryRefused) as caught:
            sink.send(RECORD, KEY)

    assert not listening.deliveries
    assert caught.value.code == "private_target"
    assert "allow_private = true" in caught.value.hint


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "0"])
def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    """What the system's own resolver makes of a name is what is checked."""
    sink = create(name="erp", options={"url": f"https://{host}/"}, now=lambda: NOW)
    with pytest.raises(DeliveryRefused, match="leads into the local network or to this machine"):
        sink.send(RECORD, KEY)


@pytest.fixture
def secure() -> Iterator[Receiver]:
    """Return a receiver for HTTPS whose certificate is for `receiver.test` only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    with Receiver(context=context) as listening:
        yield listening


def over_tls(host: str, port: int, resolve: Resolve, **options: object) -> Webhook:
    """Return a webhook for https://*host*, wherever *resolve* says that it is."""
    said = {"url": f"https://{host}:{port}/", "allow_private": True, "ca_file": CERTIFICATE, "timeout_seconds": 5}
    return create(name="erp", options=said | options, now=lambda: NOW, resolve=resolve)


def test_the_checked_address_is_connected_to_under_the_name(secure: Receiver) -> None:
    """The name is looked up once; its certificate and the Host header are those of the name, not of the address."""
    resolve = Told("127.0.0.1")

    over_tls("receiver.test", secure.port, resolve).send(RECORD, KEY)

    asked = [(b"receiver.test", secure.port)]
    assert asked == resolve.asked
    assert f"receiver.test:{secure.port}" == secure.deliveries[0].headers["host"]


def test_a_certificate_for_another_name_is_not_accepted(secure: Receiver) -> None:
    """Who answers at the address must prove to be the name."""
    with pytest.raises(SinkUnavailable, match="Hostname mismatch"):
        over_tls("other.test", secure.port, Told("127.0.0.1")).send(RECORD, KEY)

    assert not secure.deliveries


def test_only_the_systems_authorities_are_trusted(secure: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `ca_file` a self-signed certificate is refused, whatever the environment says."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with pytest.raises(SinkUnavailable, match="self-signed certificate"):
        over_tls("receiver.test", secure.port, Told("127.0.0.1"), ca_file=None).send(RECORD, KEY)

    assert not secure.deliveries


def test_a_handshake_that_never_ends_is_bounded() -> None:
    """A receiver that takes the connection and says nothing of TLS holds nothing up."""
    began = time.monotonic()
    with Receiver(hangs) as listening, pytest.raises(SinkUnavailable, match=r"did not answer within 0\.5 s"):
        over_tls("receiver.test", listening.port, Told("127.0.0.1"), timeout_seconds=0.5).send(RECORD, KEY)

    assert time.monotonic() - began < 4


def test_the_next_address_is_tried(receiver: Receiver) -> None:
    """A name with several addresses is reached if one of them answers."""
    sink = create(
        name="erp",
        options={"url": f"http://receiver.test:{receiver.port}/", "allow_private": True},
        now=lambda: NOW,
        resolve=Told("127.0.0.2", "127.0.0.1"),
    )

    sink.send(RECORD, KEY)

    assert len(receiver.deliveries) == 1


def test_only_public_addresses_of_a_name_are_used() -> None:
    """A name that leads outside and inside is not followed inside."""
    route = Route(5, allow_private=False, resolve=Told("10.0.0.1", "8.8.8.8", "::1"))
    expected = ["8.8.8.8"]

    assert expected == [address[0] for *_, address in route._checked("receiver.test", 443)]


def test_no_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a delivery goes is said in the configuration and nowhere else."""
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")

    webhook(receiver.url).send(RECORD, KEY)

    assert len(receiver.deliveries) == 1


@pytest.mark.parametrize("step", [answers(), answers(500), drips(b"HTTP/1.1 200 OK\r\n\r\n"), says(b"x")], ids=count())
def test_no_connection_is_kept(step: Step) -> None:
    """However a delivery ended, its connection is closed: its deadline was for it alone."""
    with Receiver(step) as listening:
        sink = webhook(listening.url, timeout_seconds=0.5)
        with contextlib.suppress(SinkUnavailable):
            sink.send(RECORD, KEY)

    assert not sink.pool.connections


def test_an_ipv6_address_is_written_in_brackets() -> None:
    """The Host header of an IPv6 address is as RFC 9110 wants it."""
    sink = webhook("http://[::1]:8080/")
    expected = "[::1]:8080"

    assert expected == sink._headers(b"", KEY, NOW)["Host"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "url Field required"),
        ({"url": "https://receiver.test/", "colour": 1}, "colour Extra inputs are not permitted"),
        ({"url": "receiver.test"}, "url must be a web address that begins with https:// and holds no user name"),
        ({"url": "ftp://receiver.test/"}, "url must be a web address that begins with https:// and holds no user name"),
        ({"url": "https:///x"}, "url must be a web address that begins with https:// and holds no user name"),
        ({"url": "https://u:t0ken@x.test/"}, "url must be a web address that begins with https:// and holds no user"),
        ({"url": "https://[::1/"}, "url must be a web address"),
        ({"url": "https://receiver.test:99999999/"}, "url must be a web address"),
        ({"url": "https://receiver.test:65536/"}, "url must be a web address"),
        ({"url": "https://receiver.test:0/"}, "url must be a web address"),
        ({"url": "http://receiver.test/"}, "url must begin with https:// and lead to the open internet, or set allow_"),
        ({"url": "https://10.0.0.1/"}, "url must begin with https:// and lead to the open internet, or set allow_priv"),
        ({"url": "https://[::1]/"}, "url must begin with https:// and lead to the open internet, or set allow_private"),
        ({"url": "https://x.test/", "secret": "t0ken"}, "secret must be whsec_ followed by 24 to 64 bytes in base64"),
        ({"url": "https://x.test/", "secret": "whsec_t0ken"}, "secret must be whsec_ followed by 24 to 64 bytes in"),
        ({"url": "https://x.test/", "secret": "whsec_dDBrZW4="}, "secret must be whsec_ followed by 24 to 64 bytes in"),
        ({"url": "https://x.test/", "secret": "whsec_é"}, "secret must be whsec_ followed by 24 to 64 bytes in base64"),
        ({"url": "https://x.test/", "timeout_seconds": 0}, "timeout_seconds must be greater than 0"),
        ({"url": "https://x.test/", "ca_file": "/nowhere/ca.pem"}, "ca_file cannot be read ([Errno 2] No such file"),
        ({"url": "https://x.test/", "ca_file": __file__}, "ca_file cannot be read ([X509"),
        ({"url": "x", "secret": "t0ken"}, "https:// and holds no user name; secret must be"),
    ],
    ids=count(),
)
def test_wrong_options_are_named(options: dict[str, object], sentence: str) -> None:
    """Everything that is wrong is said at once, by its key, and never with its value."""
    with pytest.raises(SettingsInvalid) as caught:
        create(name="erp", options=options, now=lambda: NOW)

    assert caught.value.reason.startswith("The sink 'erp' cannot be used: ")
    assert sentence in caught.value.reason
    assert "t0ken" not in f"{caught.value} {caught.value.__cause__!r} {caught.value.__context__}"


@given(st.text() | st.text().map("https://{}/".format) | st.from_regex(r"https?://[a-z.:@%\[\]0-9]*(:\d+)?/.*"))
def test_no_address_raises_anything_else(url: str) -> None:
    """An address is usable or said to be wrong; nothing in one can break the check."""
    with contextlib.suppress(SettingsInvalid):
        port = create(name="erp", options={"url": url, "ca_file": CERTIFICATE}, now=lambda: NOW).target.port
        assert port is None or 0 < port < 65536


@pytest.mark.parametrize("url", ["https://receiver.test", "https://8.8.8.8:8443/x", "https://españa.test/ñ?ñ=1"])
def test_public_addresses_need_no_leave(url: str) -> None:
    """The usual case needs nothing but the address."""
    assert create(name="erp", options={"url": url}, now=lambda: NOW).name


def test_options_may_come_from_the_settings_as_they_are() -> None:
    """A secret that the settings have already hidden, and an option without a value, are taken."""
    options = {"url": "https://receiver.test/", "secret": SecretStr(SECRET), "ca_file": None}

    assert create(name="erp", options=options, now=lambda: NOW).secret == SecretStr(SECRET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("3601", LONGEST_PAUSE),
        ("9" * 400, LONGEST_PAUSE),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        (format_datetime(NOW + timedelta(days=90), usegmt=True), LONGEST_PAUSE),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0),
        ("Wednesday, 04-Mar-26 14:31:30 GMT", 30),
        ("", None),
        ("soon", None),
        ("-7", None),
        ("1.5", None),
        ("\u0667", None),
        ("Wed, 04 Mar 2026 14:31:30 -0000", None),
        ("Wed, 04 Mar 99999999999999999999 14:31:30 GMT", None),
    ],
    ids=count(),
)
def test_the_pause_is_the_one_asked_for(text: str, expected: float | None) -> None:
    """Seconds or a date, within bounds; what cannot be understood asks for nothing."""
    assert expected == retry_after(text, NOW)


@given(st.text() | st.from_regex(r"\A\w{3}, \d+ (Jan|Mar) \d+ \d+:\d+:\d+ (GMT|[+-]\d+)\Z"))
def test_no_pause_raises(text: str) -> None:
    """A receiver may write anything at all into that header."""
    pause = retry_after(text, NOW)

    assert pause is None or 0 <= pause <= LONGEST_PAUSE


def test_a_receiver_may_ask_for_a_pause() -> None:
    """The pause goes to the worker with the error, as seconds from now."""
    date = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    expected = [7, 90, None, None]
    steps = [answers(429, Retry_After="7"), answers(503, Retry_After=date), answers(503), answers(500, Retry_After="x")]
    with Receiver(*steps) as listening:
        pauses = []
        for _ in steps:
            with pytest.raises(SinkUnavailable) as caught:
                webhook(listening.url).send(RECORD, KEY)
            pauses.append(caught.value.retry_after)

    assert expected == pauses
