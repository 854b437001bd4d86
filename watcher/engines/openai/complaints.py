"""What a server's complaint means: another model, another time, or never with this picture.

Statuses and codes are those of the API's error guide and of the servers that speak the same language.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

import openai

from watcher.errors import EngineRefused, EngineUnavailable

LONG_PAUSE = 600.0  # seconds: a key, an account or a list of models is mended by a person

_LONGEST_PAUSE = 86_400.0  # seconds: no server may switch the engine off for longer
_LONGEST_TEXT = 199

_STANDING: Mapping[int, tuple[str, str, str]] = {
    401: ("unauthorized", "refuses the key", "Check the key (OPENAI_API_KEY)."),
    402: ("insufficient_credits", "wants to be paid first", "Add credit to the account of the key."),
    403: ("forbidden", "forbids the request", "Check what the key's project and region may use."),
}
_ELSEWHERE = {301, 302, 303, 307, 308, 404, 405}
_GONE = re.compile(
    r"model_not_found|unknown_model|model_deprecated|model_retired"
    r"|\bmodels?\b.*(?:does not exist|doesn't exist|not found|deprecated|retired|shut ?down|decommissioned|no longer)"
    r"|(?:unknown|invalid|no such) model"
    r"|only supported by certain models|not a multimodal model|does not support (?:image|vision)"
)
_PICTURE = re.compile(r"image|picture|content.?(?:filter|policy)|moderation|safety")
_UNPAID = re.compile(r"insufficient_quota|billing|credit")


def is_about_model(error: openai.APIStatusError) -> bool:
    """Say whether the server refuses the model itself: unknown, retired, or blind."""
    return error.status_code in {400, 403, 404, 410, 422} and _GONE.search(_about(error)) is not None


def is_about_any(names: Iterable[str], error: openai.APIStatusError) -> bool:
    """Say whether the server refuses one of these parameters."""
    return error.status_code in {400, 403, 422} and any(name in _about(error) for name in names)


def judged(error: openai.APIStatusError, where: str, secret: str) -> EngineUnavailable | EngineRefused:
    """Return what an error status of the server *where* means, in words from which *secret* is struck."""
    about, said = _about(error), message(error, secret)
    status = HTTPStatus.PAYMENT_REQUIRED if _is_unpaid(error) else error.status_code
    if status in {413, 415} or (status in {400, 422} and _PICTURE.search(about)):
        code = "content_filter" if re.search("filter|policy|moderation|safety", about) else ""
        return EngineRefused(f"{where} will not read this picture ({status}): {said}", code=code)
    if status in _STANDING:
        code, does, hint = _STANDING[status]
        reason = f"{where} {does} ({error.status_code}): {said}"
        return EngineUnavailable(reason, hint=hint, code=code, retry_after=LONG_PAUSE)
    return EngineUnavailable(
        f"No usable answer from {where} (status {status}): {said}",
        hint="Check base_url under [engines.openai]." if status in _ELSEWHERE else "",
        code="rate_limited" if status == HTTPStatus.TOO_MANY_REQUESTS else "",
        retry_after=pause(error.response.headers),
    )


def unusable(cause: object, where: str, secret: str) -> EngineUnavailable:
    """Return that the server *where* gave no answer one could use, and what is known of the *cause*."""
    deepest = getattr(cause, "__cause__", None) or cause
    return EngineUnavailable(
        f"No usable answer from {where}: {_quoted(str(deepest) or type(deepest).__name__, secret)}"
    )


def message(error: openai.APIStatusError, secret: str) -> str:
    """Return the server's own words, without *secret*; a web page is none."""
    said = error.body.get("message") if isinstance(error.body, dict) else None
    return _quoted(said, secret) if isinstance(said, str) and said else "no reason given."


def shortened(text: str) -> str:
    """Return a text that can be written anywhere, without blanks around it; cut, with a mark, if too long."""
    text = text.strip().encode(errors="replace").decode()
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


def pause(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `Retry-After`, a number or a date (RFC 9110, 10.2.3), at most a day; none if not told.

    A date is compared with the server's own `Date`, so that a wrong clock here does no harm.
    """
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        until, now = (email.utils.parsedate_tz(value) for value in (told, headers.get("date", "")))
        if until is None or now is None:
            return None
        seconds = email.utils.mktime_tz(until) - email.utils.mktime_tz(now)
    return min(seconds, _LONGEST_PAUSE) if seconds >= 0 else None


def _about(error: openai.APIStatusError) -> str:
    return f"{error.code} {error.type} {error.param} {error}".lower()


def _is_unpaid(error: openai.APIStatusError) -> bool:
    return error.status_code == HTTPStatus.TOO_MANY_REQUESTS and _UNPAID.search(_about(error)) is not None


def _quoted(text: str, secret: str) -> str:
    return shortened(" ".join(text.replace(secret, "…").split())).rstrip(".") + "."
