"""Ask the engines in order until one gives a believable plate."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from watcher.errors import EngineRefused, EngineUnavailable
from watcher.model import Candidate, Reading, Request
from watcher.plates import judge, last_attempt

MOST_CANDIDATES = 10

log = structlog.get_logger()


class Seat(Protocol):
    """An engine, for the photo that lies before it."""

    @property
    def name(self) -> str:
        """Return the name of the engine."""

    def read(self, request: Request, /) -> Reading:
        """Return what it sees, its *text* unjudged; raise EngineUnavailable or EngineRefused."""


@dataclass(slots=True)
class _Round:
    """What has been heard so far, in the order in which it was heard."""

    tried: list[str] = field(default_factory=list)
    answers: list[Reading] = field(default_factory=list)
    unavailable: list[EngineUnavailable] = field(default_factory=list)
    refused: list[EngineRefused] = field(default_factory=list)


def read(seats: Sequence[Seat], *, believable: float, request: Request, separators: bool = True) -> Reading:
    """Return the first believable plate, else the best there is, with how it came about.

    Believable is a plate in the judgement of `plates`, of which the engine either has no confidence to tell or at
    least *believable*, 0 to 1. Failing that: the most confident plate, else the last attempt at one, else none; and
    a person should look at it. So they should if an engine could not be asked, whose code the reading then carries,
    and if every engine refused the picture. Without *separators* all texts lose their hyphens. With no engines at all
    nothing is read, and nothing is wrong.

    Raises:
        EngineUnavailable: Not one engine could be asked.

    """
    started = time.monotonic()
    heard = _Round()
    for seat in seats:
        heard.tried.append(seat.name)
        answer = _ask(seat, request, heard)
        if answer is not None and _is_believable(answer, believable, request):
            break
    if seats and len(heard.unavailable) == len(seats):
        raise _outage(heard)
    best = _best(heard.answers, believable, request)
    sure = _is_believable(best, believable, request)
    return replace(
        best,
        code=_code(heard, best, sure=sure),
        review=bool(seats) and (best.review or not sure or bool(heard.unavailable)),
        text=best.text if separators or best.text is None else _bare(best.text),
        candidates=_candidates(heard.answers, best, request, separators=separators),
        tried=tuple(heard.tried),
        seconds=time.monotonic() - started,
    )


def _ask(seat: Seat, request: Request, heard: _Round) -> Reading | None:
    """Return what one engine sees, or none if it could not be asked or refuses the picture."""
    try:
        answer = replace(seat.read(request), engine=seat.name)
    except EngineUnavailable as error:
        heard.unavailable.append(error)
        log.warning("reading.engine_unavailable", engine=seat.name, code=error.code, reason=str(error))
        return None
    except EngineRefused as error:
        heard.refused.append(error)
        log.warning("reading.engine_refused", engine=seat.name, code=error.code, reason=str(error))
        return None
    if answer.note:
        log.warning("reading.engine_noted", engine=seat.name, reason=answer.note)
    log.debug(
        "reading.engine_answered", engine=seat.name, confidence=answer.confidence, seconds=round(answer.seconds, 3)
    )
    heard.answers.append(replace(answer, note=""))
    return answer


def _is_believable(answer: Reading, believable: float, request: Request) -> bool:
    if answer.text is None or judge(answer.text, request.kind) is None:
        return False
    return answer.confidence is None or answer.confidence >= believable


def _best(answers: Sequence[Reading], believable: float, request: Request) -> Reading:
    """Return the answer to be recorded, its text cleaned; an empty reading if there is none."""
    judged = [replace(answer, text=judge(answer.text or "", request.kind)) for answer in answers]
    plates = [answer for answer in judged if answer.text]
    sure = [answer for answer in plates if _is_believable(answer, believable, request)]
    attempts = [replace(answer, text=last_attempt(answer.text or "", request.kind)) for answer in reversed(answers)]
    unsure = sorted(plates, key=_confidence, reverse=True)
    return next((answer for answer in [*sure, *unsure, *attempts] if answer.text), Reading(None))


def _code(heard: _Round, best: Reading, *, sure: bool) -> str:
    """Return the code of what kept the reading from being better, empty if nothing did."""
    if heard.unavailable:
        return heard.unavailable[0].code
    if sure or best.code or not heard.refused:
        return best.code
    return _common([error.code for error in heard.refused], EngineRefused.code)


def _candidates(
    answers: Sequence[Reading], best: Reading, request: Request, *, separators: bool
) -> tuple[Candidate, ...]:
    """Return the other texts of all engines, cleaned, each once whatever its hyphens, the most confident first."""
    others: dict[str, Candidate] = {}
    for candidate in _considered(answers):
        text = last_attempt(candidate.text, request.kind)
        if text and _bare(text) != _bare(best.text or ""):
            known = others.get(_bare(text), Candidate(text if separators else _bare(text)))
            confidence = max((c for c in (known.confidence, candidate.confidence) if c is not None), default=None)
            others[_bare(text)] = replace(known, confidence=confidence)
    ranked = sorted(others.values(), key=_confidence, reverse=True)
    return tuple(ranked[:MOST_CANDIDATES])


def _considered(answers: Sequence[Reading]) -> Iterable[Candidate]:
    for answer in answers:
        yield Candidate(answer.text or "", answer.confidence)
        yield from answer.candidates


def _confidence(said: Reading | Candidate) -> float:
    return -1.0 if said.confidence is None else said.confidence


def _bare(text: str) -> str:
    return text.replace("-", "")


def _outage(heard: _Round) -> EngineUnavailable:
    """Return that nobody could be asked, and when the first of them may be: soon, if one of them did not say."""
    pauses = [error.retry_after for error in heard.unavailable]
    told = [pause for pause in pauses if pause is not None]
    return EngineUnavailable(
        f"No engine could be asked. {' '.join(error.reason for error in heard.unavailable)}",
        hint=" ".join(dict.fromkeys(error.hint for error in heard.unavailable if error.hint)),
        code=_common([error.code for error in heard.unavailable], EngineUnavailable.code),
        retry_after=min(told) if len(told) == len(pauses) else None,
    )


def _common(codes: Sequence[str], otherwise: str) -> str:
    """Return the code that they all have, else the wider one."""
    return codes[0] if len(set(codes)) == 1 else otherwise
