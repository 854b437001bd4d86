"""Tests of watcher.breaker."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from watcher.breaker import MOST_NOTES, Breaker, guarded
from watcher.errors import ChildLost, EngineRefused, EngineUnavailable
from watcher.model import Reading, Request

Outcome = Reading | Exception
SEEN = Reading("1234BCD")
DOWN = EngineUnavailable("It is down.", hint="Wait.", code="rate_limited")
PAUSED = EngineUnavailable("Later.", hint="Pay.", code="insufficient_credits", retry_after=600.0)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


class Scripted:
    """A seat that does what it is told, in order; the last outcome for ever."""

    name = "scripted"

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.calls = 0

    def read(self, _: Request, /) -> Reading:
        """Return or raise the next outcome."""
        self.calls += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def probe(self) -> str:
        """Return a sentence."""
        return "a script"


class Stand:
    """A seat, its breaker and the clock."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.clock = Clock()
        self.seat = Scripted(*outcomes)
        self.breaker = Breaker("scripted", self.clock)
        self.guarded = guarded(self.seat, self.breaker)

    def read(self, times: int = 1) -> Outcome:
        """Return what the last of some calls returned or raised."""
        outcome: Outcome = SEEN
        for _ in range(times):
            try:
                outcome = self.guarded.read(Request())
            except (EngineUnavailable, EngineRefused, ChildLost) as error:
                outcome = error
        return outcome

    @property
    def state(self) -> tuple[str, float | None]:
        """Return the state and until when it lasts."""
        return self.breaker.state.state, self.breaker.state.until


def test_a_guarded_seat_is_a_seat() -> None:
    """Name and probe are those of the engine, and a probe is let through even when the engine is left alone."""
    stand = Stand(PAUSED)
    stand.read()

    assert ("scripted", "a script") == (stand.guarded.name, stand.guarded.probe())


def test_answers_pass() -> None:
    """While it answers, it is asked."""
    stand = Stand(SEEN)

    assert stand.read(3) is SEEN
    assert (3, ("closed", None)) == (stand.seat.calls, stand.state)


def test_retry_after_is_kept() -> None:
    """An engine that says when is not asked before, and the error says how long that still is, and why."""
    stand = Stand(PAUSED, SEEN)
    stand.read()
    stand.clock.seconds += 100
    error = stand.read(7)

    assert isinstance(error, EngineUnavailable)
    assert (500.0, "insufficient_credits", "Pay.") == (error.retry_after, error.code, error.hint)
    assert "scripted is left alone for 500 s: Later." == error.reason
    assert (1, ("open", 1600.0), "Later.") == (stand.seat.calls, stand.state, stand.breaker.state.reason)


def test_asked_again_when_the_time_is_over() -> None:
    """After the pause the next call goes through, and a success closes it."""
    stand = Stand(PAUSED, SEEN)
    stand.read()
    stand.clock.seconds += 600

    assert stand.read() is SEEN
    assert (2, ("closed", None)) == (stand.seat.calls, stand.state)


def test_a_person_may_have_it_tried_at_once() -> None:
    """Forgiven, it is asked at once and counted anew; a call that is out to try is not disturbed, nor a closed one."""
    stand = Stand(PAUSED, SEEN, PAUSED)
    stand.breaker.forgive()
    stand.read()
    stand.breaker.forgive()

    assert (("closed", None), 0) == (stand.state, stand.breaker.state.failures)
    assert stand.read() is SEEN
    stand.read()
    stand.clock.seconds += 600
    stand.breaker._admit()
    stand.breaker.forgive()
    assert ("probing", None) == stand.state


def test_five_failures_in_a_row() -> None:
    """Five failures without a time open it for a minute; the sixth call does not reach the engine."""
    stand = Stand(DOWN)
    stand.read(4)
    before = stand.state
    stand.read(3)

    assert (("closed", None), ("open", 1060.0), 5) == (before, stand.state, stand.seat.calls)


def test_a_success_starts_the_count_anew() -> None:
    """Failures that are not in a row do not add up."""
    stand = Stand(*[DOWN] * 4, SEEN, *[DOWN] * 4, SEEN)
    stand.read(10)

    assert (10, "closed", 0) == (stand.seat.calls, stand.breaker.state.state, stand.breaker.state.failures)


def test_a_refusal_is_an_answer() -> None:
    """An engine that refuses a picture is well."""
    stand = Stand(*[DOWN] * 4, EngineRefused("Never."), *[DOWN] * 4, SEEN)
    stand.read(10)

    assert (10, "closed") == (stand.seat.calls, stand.breaker.state.state)


def test_a_failed_try_opens_it_again() -> None:
    """The call that tries and fails without a time opens it for another minute, at once."""
    stand = Stand(DOWN)
    stand.read(5)
    stand.clock.seconds += 61
    stand.read(3)

    assert (6, ("open", 1121.0)) == (stand.seat.calls, stand.state)


def test_a_lost_child_says_nothing_of_the_engine() -> None:
    """A call that tries and ends with the child leaves the try to the next call; elsewhere it does not count."""
    stand = Stand(ChildLost("killed", late=False), PAUSED, ChildLost("killed", late=False), SEEN)
    stand.read()
    before = stand.state
    stand.read()
    stand.clock.seconds += 600
    stand.read()
    after = stand.state

    assert (("closed", None), ("open", 1600.0)) == (before, after)
    assert stand.read() is SEEN


def test_one_call_tries() -> None:
    """While one call is out to try, all others are refused at once and told to come back soon."""
    stand = Stand(PAUSED)
    stand.read()
    stand.clock.seconds += 600
    inside, go_on = threading.Event(), threading.Event()

    def slow() -> Reading:
        inside.set()
        go_on.wait(10)
        return SEEN

    with ThreadPoolExecutor(1) as pool:
        trying = pool.submit(stand.breaker.call, slow)
        inside.wait(10)
        others, during = stand.read(3), stand.state
        go_on.set()
        answer = trying.result(10)

    assert isinstance(others, EngineUnavailable)
    assert (5.0, ("probing", None), 1) == (others.retry_after, during, stand.seat.calls)
    assert answer is SEEN
    assert ("closed", None) == stand.state


def test_a_late_answer_during_the_try() -> None:
    """A call that began long ago and ends meanwhile may settle it; a try that then ends in nothing changes nothing."""
    stand = Stand(PAUSED)
    inside, go_on = threading.Event(), threading.Event()

    def late() -> Reading:
        inside.set()
        go_on.wait(10)
        raise PAUSED

    with ThreadPoolExecutor(1) as pool:
        old = pool.submit(stand.breaker.call, late)
        inside.wait(10)
        stand.read()
        stand.clock.seconds += 600

        def lost() -> Reading:
            go_on.set()
            old.exception(10)
            raise ChildLost("killed", late=False)

        with pytest.raises(ChildLost):
            stand.breaker.call(lost)

    assert ("open", 2200.0) == stand.state


def racing(stand: Stand, *outcomes: Exception) -> None:
    """Let calls begin together and end one after the other, a second apart, as those of several readers might."""

    def ask(left: list[Exception]) -> Reading:
        for error in left[-1:]:
            with pytest.raises((EngineUnavailable, ChildLost)):
                stand.breaker.call(lambda: ask(left[:-1]))
            stand.clock.seconds += 1
            raise error
        raise DOWN

    with pytest.raises((EngineUnavailable, ChildLost)):
        stand.breaker.call(lambda: ask(list(outcomes)))


def test_late_failures_do_not_prolong_it() -> None:
    """Calls that began before it opened and fail afterwards leave the minute as it is."""
    stand = Stand(SEEN)
    racing(stand, *[DOWN] * 8)

    assert ("open", 1064.0) == stand.state


def test_late_failures_count_what_they_ask_for() -> None:
    """Of several calls the longest pause is kept, and the opening is told once."""
    stand = Stand(SEEN)
    soon = EngineUnavailable("Soon.", retry_after=5.0)
    with capture_logs() as logs:
        racing(stand, PAUSED, soon, ChildLost("killed", late=True))

    assert (("open", 1601.0), 1) == (stand.state, len(logs))


def test_a_late_loss_during_the_try() -> None:
    """A call that began long ago and ends with its child does not end the try of another."""
    stand = Stand(PAUSED)

    def lost() -> Reading:
        stand.read()
        stand.clock.seconds += 600
        stand.breaker._admit()
        raise ChildLost("killed", late=False)

    with pytest.raises(ChildLost):
        stand.breaker.call(lost)

    assert ("probing", None) == stand.state


def test_many_threads() -> None:
    """Threads that fail all at once open it once, and the count is right."""
    stand = Stand(DOWN)
    gate = threading.Barrier(8)

    def fail() -> None:
        def ask() -> Reading:
            gate.wait(10)
            raise DOWN

        with pytest.raises(EngineUnavailable):
            stand.breaker.call(ask)

    with capture_logs() as logs, ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(fail) for _ in range(8)]:
            done.result(10)

    assert (8, "open") == (stand.breaker.state.failures, stand.breaker.state.state)
    assert ["breaker.opened"] == [line["event"] for line in logs]


def test_logs() -> None:
    """Opening and closing are told once, with the reason and the remedy."""
    stand = Stand(PAUSED, SEEN)
    with capture_logs() as logs:
        stand.read(3)
        stand.clock.seconds += 600
        stand.read(3)

    assert [
        {
            "event": "breaker.opened",
            "log_level": "warning",
            "engine": "scripted",
            "code": "insufficient_credits",
            "reason": "Later. Pay.",
            "seconds": 600.0,
        },
        {"event": "breaker.closed", "log_level": "info", "engine": "scripted"},
    ] == logs


def test_notes() -> None:
    """What an engine tells the operator passes once, whichever process tells it; another note passes again."""
    old, older = Reading("1234BCD", note="Old."), Reading("1234BCD", note="Older.")
    stand = Stand(old, old, SEEN, older, old)
    notes = [outcome.note for outcome in (stand.read() for _ in range(5)) if isinstance(outcome, Reading)]

    assert ["Old.", "", "", "Older.", ""] == notes


def test_notes_are_bounded() -> None:
    """However many different notes there are, each passes, and not all are remembered."""
    stand = Stand(DOWN)

    assert all(stand.breaker.is_news(str(number)) for number in range(MOST_NOTES + 1))
    assert 1 == len(stand.breaker._notes)
