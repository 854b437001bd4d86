"""Tell a receiver by HTTPS POST, signed as Standard Webhooks says."""

from __future__ import annotations

import base64
import contextlib
import hmac
import ipaddress
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Annotated

import httpcore2
import httpx2
from pydantic import AfterValidator, BaseModel, Field, SecretStr, ValidationError, model_validator

from watcher.errors import DeliveryRefused, SettingsInvalid, SinkUnavailable
from watcher.facts import record_facts
from watcher.model import Record
from watcher.sinks.webhook.route import Resolve, Route, look_up, public

Headers = dict[bytes | str, bytes | str]
LONGEST_PAUSE = 3600.0
"""Seconds; a receiver that asks for more is asked again after this."""

_ANSWER_BYTES = 64 * 1024
_PORTS = range(1, 65536)
_SECRET_BYTES = range(24, 65)
_LATER = frozenset({408, 425, 429})
_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)
_SERVER_ERROR = 500


def _url(text: str) -> str:
    """Refuse what is not the address of a web server."""
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError("must be a web address") from error
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise ValueError("must be a web address that begins with https:// and holds no user name")
    if url.port is not None and url.port not in _PORTS:
        raise ValueError("must be a web address whose port lies between 1 and 65535")
    return text


def _key(secret: SecretStr) -> bytes:
    """Return the bytes of a secret, `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks 1.0.0)."""
    prefix, _, encoded = secret.get_secret_value().partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if prefix != "whsec" or len(key) not in _SECRET_BYTES:
        raise ValueError("must be whsec_ followed by 24 to 64 bytes in base64")
    return key


def _secret(secret: SecretStr) -> SecretStr:
    """Refuse what cannot sign."""
    _key(secret)
    return secret


class Options(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """What can be said of a webhook in the configuration.

    Attributes:
        url: Where it listens. Only the host of it is ever shown: the rest may hold a token.
        secret: What deliveries are signed with; none: they are not signed.
        timeout_seconds: How long one delivery may take.
        allow_private: Whether it may listen in the local network or on this machine, and without TLS.
        ca_file: Certificates to trust instead of the system's, as PEM.

    """

    url: Annotated[str, AfterValidator(_url)]
    secret: Annotated[SecretStr, AfterValidator(_secret)] | None = None
    timeout_seconds: float = Field(default=10, gt=0, allow_inf_nan=False)
    allow_private: bool = False
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _allowed(self) -> Options:
        url = httpx2.URL(self.url)
        if not (self.allow_private or (url.scheme == "https" and _named_or_public(url.host))):
            raise ValueError("url must begin with https:// and lead to the open internet, or set allow_private = true")
        return self


def _named_or_public(host: str) -> bool:
    """Whether *host* is a public address or a name: that is looked up and checked at every delivery."""
    try:
        return public(ipaddress.ip_address(host))
    except ValueError:
        return True


def create(
    *, name: str, options: Mapping[str, object], now: Callable[[], datetime], resolve: Resolve = look_up
) -> Webhook:
    """Return the webhook *name*; *now* is the clock for the signature, *resolve* looks the receiver up.

    Raises:
        SettingsInvalid: The options are wrong, or the certificates cannot be read.

    """
    try:
        said = Options.model_validate(options)
        trusted = _trusted(said.ca_file)
    except ValidationError as error:
        wrong = "; ".join(_sentence(one["loc"], one["msg"]) for one in error.errors(include_url=False))
        raise SettingsInvalid(f"The sink {name!r} cannot be used: {wrong}.") from None
    except OSError as error:
        raise SettingsInvalid(f"The sink {name!r} cannot be used: ca_file cannot be read ({error}).") from error
    route = Route(said.timeout_seconds, said.allow_private, resolve)
    pool = httpcore2.ConnectionPool(ssl_context=trusted, network_backend=route)
    return Webhook(name, httpx2.URL(said.url), said.secret, pool, said.timeout_seconds, now)


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Return how certificates are verified: by the system's authorities, or by those in *ca_file*."""
    if ca_file is None:
        return httpx2.create_ssl_context(trust_env=False)
    return ssl.create_default_context(cafile=ca_file)


def _sentence(where: tuple[int | str, ...], message: str) -> str:
    words = message.removeprefix("Value error, ").replace("Input should", "must")
    return " ".join((*map(str, where), words))


@dataclass(frozen=True, slots=True)
class Webhook:
    """One receiver; satisfies `Sink`. Made by `create`."""

    name: str
    target: httpx2.URL = field(repr=False)
    secret: SecretStr | None = field(repr=False)
    pool: httpcore2.ConnectionPool = field(repr=False)
    timeout_seconds: float
    now: Callable[[], datetime] = field(repr=False)

    def send(self, record: Record, key: str) -> None:
        """Post *record* under *key*; only the first 64 KiB of the answer are read, and nothing of them is kept.

        Raises:
            SinkUnavailable: It could not be reached, said nothing usable in time, or answered 408, 425, 429 or 5xx.
            DeliveryRefused: Any other status but 2xx, or the address leads where nothing is sent.

        """
        moment = self.now()
        letter = body(self.name, record, key)
        try:
            status, pause = self._post(letter, self._headers(letter, key, moment))
        except TimeoutError as error:
            reason = f"{self.target.host} did not answer within {self.timeout_seconds:g} s."
            raise SinkUnavailable(reason) from error
        except OSError as error:
            raise SinkUnavailable(f"{self.target.host} cannot be reached: {error.strerror or error}.") from error
        except httpcore2.ProtocolError:
            # Its message quotes the answer, which is the receiver's and belongs in no log.
            raise SinkUnavailable(f"{self.target.host} did not answer in HTTP.") from None
        self._judge(status, retry_after(pause, moment))

    def _post(self, letter: bytes, headers: Headers) -> tuple[int, str]:
        """Return the status of the answer, and its `Retry-After` or nothing; redirects are not followed."""
        target = httpcore2.URL(
            scheme=self.target.raw_scheme,
            host=self.target.raw_host,
            port=self.target.port,
            target=self.target.raw_path,
        )
        with self.pool.stream("POST", target, headers=headers, content=letter) as response:
            _drain(response)
            pauses = [value for key, value in response.headers if key.lower() == b"retry-after"]
            return response.status, b"".join(pauses[:1]).decode("latin-1")

    def _headers(self, letter: bytes, key: str, moment: datetime) -> Headers:
        """Return the headers of a delivery at *moment*: those of Standard Webhooks 1.0.0, and the usual ones."""
        stamp = str(int(moment.timestamp()))
        headers: Headers = {
            "Host": self.target.netloc.decode("ascii"),
            # None is kept: the deadline of a connection is that of its one delivery.
            "Connection": "close",
            "Content-Type": "application/json",
            "User-Agent": "matricula-watcher",
            "webhook-id": key,
            "webhook-timestamp": stamp,
        }
        if self.secret is not None:
            signed = hmac.digest(_key(self.secret), f"{key}.{stamp}.".encode() + letter, "sha256")
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode('ascii')}"
        return headers

    def _judge(self, status: int, pause: float | None) -> None:
        """Return if the receiver has it; raise what happens next otherwise."""
        if status in _SUCCESS:
            return
        reason = f"{self.target.host} answered with status {status}."
        if status in _LATER or status >= _SERVER_ERROR:
            raise SinkUnavailable(reason, retry_after=pause)
        hint = "Configure the address that it redirects to; " if status in _REDIRECT else "Put right what it refuses; "
        raise DeliveryRefused(reason, hint=hint + "`retry` then sends it again.")


def _drain(response: httpcore2.Response) -> None:
    """Read the answer for a while, so that its sender is not cut off; its status has already said everything."""
    read = 0
    with contextlib.suppress(OSError, httpcore2.ProtocolError):
        for chunk in response.iter_stream():
            read += len(chunk)
            if read >= _ANSWER_BYTES:
                return


def body(target: str, record: Record, key: str) -> bytes:
    """Return the JSON text, in ASCII, that tells the sink *target* of *record* under the stable id *key*."""
    said = {"hook": {"target": target, "id": key}, "data": {"record": record_facts(record)}}
    return json.dumps(said, allow_nan=False, separators=(",", ":")).encode("ascii")


def retry_after(text: str, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` asks for (RFC 9110, 10.2.3), at most `LONGEST_PAUSE`; none if nothing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_PAUSE)
    try:
        seconds = (parsedate_to_datetime(text) - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_PAUSE)
