"""Options of the engine, and the one client it has: where it goes, how long it waits, how much it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

import httpx2
import openai

from watcher.errors import SettingsInvalid

_MODELS = ("gpt-4o-mini", "gpt-6-luna")
_CONNECT_SECONDS = 5.0
_ANSWER_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What stands under `[engines.openai]`, and the key.

    Attributes:
        api_key: Without blanks around it.
        base_url: Where the API is.
        models: Asked in this order: the next one if one is refused as unknown or retired.
        detail: How closely the model looks.
        long_side: How large the picture was made, in pixels; for those who make it.
        seconds: How long an answer may keep silent; less than the deadline that is kept from outside.

    """

    api_key: str
    base_url: str = "https://api.openai.com/v1"
    models: tuple[str, ...] = _MODELS
    detail: str = "high"
    long_side: int = 1280
    seconds: float = 20.0


def checked(options: Mapping[str, Any]) -> Options:
    """Return the options if they can be right; raise SettingsInvalid if not."""
    unknown = sorted(set(options) - {known.name for known in fields(Options)})
    if unknown:
        raise _wrong(f"there is no option {', '.join(unknown)}.")
    key = str(options.get("api_key") or "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise _wrong("the key is empty or has characters that no key has.")
    models = options.get("models", _MODELS)
    if isinstance(models, str) or not models or not all(models):
        raise _wrong("models is not a list of at least one name.")
    given = Options(**{**options, "api_key": key, "models": tuple(models)})
    if given.detail not in {"low", "high", "auto", "original"}:
        raise _wrong("detail is not low, high, auto or original.")
    if not _is_address(given.base_url):
        raise _wrong("base_url is not an address that begins with https://.")
    return given


def connect(options: Options) -> openai.OpenAI:
    """Return the client; nothing is sent yet.

    It neither follows redirects nor reads proxy variables: photo and key go where the settings say and nowhere else.
    It never tries again by itself: when to do so is decided by whoever owes the act.
    """
    wait = httpx2.Timeout(options.seconds, connect=min(_CONNECT_SECONDS, options.seconds))

    def bound(response: httpx2.Response) -> None:
        """Bound the body of an answer before it is read: no compression, its size, its time."""
        if response.headers.get("content-encoding", "identity") != "identity":
            raise httpx2.DecodingError("the answer is compressed, which was not asked for")
        pieces = cast("httpx2.SyncByteStream", response.stream)  # as the client is a sync one
        response.stream = _Bounded(pieces, time.monotonic() + options.seconds)

    return openai.OpenAI(
        api_key=options.api_key,
        base_url=options.base_url,
        timeout=wait,
        max_retries=0,
        default_headers={"Accept-Encoding": "identity"},
        http_client=httpx2.Client(
            timeout=wait, follow_redirects=False, trust_env=False, event_hooks={"response": [bound]}
        ),
    )


class _Bounded(httpx2.SyncByteStream):
    """The bytes of an answer, as long as they are few and come in time: a dripping server is left."""

    def __init__(self, stream: httpx2.SyncByteStream, end: float) -> None:
        """Take the *end* by the monotonic clock, in seconds."""
        self._stream = stream
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces; raise what the SDK takes for a broken connection where they are too many or too slow."""
        size = 0
        for piece in self._stream:
            size += len(piece)
            if size > _ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer is longer than {_ANSWER_BYTES} bytes")
            if time.monotonic() > self._end:
                raise httpx2.ReadTimeout("the answer drips in too slowly")
            yield piece

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()


def _is_address(text: str) -> bool:
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, TypeError):
        return False
    return url.scheme in {"http", "https"} and bool(url.host)


def _wrong(reason: str) -> SettingsInvalid:
    return SettingsInvalid(
        f"[engines.openai]: {reason}", hint="Mend it in the configuration, or take openai off the engines."
    )
