"""What becomes of a task that was not finished."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.records import RECORD
from watcher.errors import (
    ChildLost,
    DeliveryRefused,
    EngineUnavailable,
    ImageRejected,
    RegisterSuspended,
    SinkUnavailable,
    StorageUnavailable,
)
from watcher.model import Task
from watcher.verdicts import MOST_STRIKES, Failure, judge

TASK = Task(id=1, act="read", attempts=1, strikes=1, alone=True, image=RECORD.image)
ACTS = ("store", "quarantine", "release", "read", "register", "notify/office")


@pytest.mark.parametrize("error", [EngineUnavailable, SinkUnavailable, StorageUnavailable, RegisterSuspended])
def test_what_may_heal_is_tried_again(error: type[StorageUnavailable]) -> None:
    """After 1, 2, 4, … seconds: a disk or the register within half a minute, what is far away within ten minutes."""
    longest = 30.0 if error in {StorageUnavailable, RegisterSuspended} else 600.0
    verdicts = [judge(Failure(replace(TASK, attempts=number), error("Not now."))) for number in (1, 2, 3, 30, 1000)]

    assert [1.0, 2.0, 4.0, longest, longest] == [verdict.seconds for verdict in verdicts]
    assert {("deferred", error.code, "Not now.")} == {(v.kind, v.code, v.reason) for v in verdicts}


@pytest.mark.parametrize(("asked", "seconds"), [(None, 4.0), (1.0, 4.0), (90.0, 90.0), (99999.0, 3600.0)])
def test_a_pause_that_was_asked_for_is_kept(asked: float | None, seconds: float) -> None:
    """The other side may ask for a longer one, up to an hour, and not for a shorter one."""
    error = SinkUnavailable("Come back later.", retry_after=asked)

    assert seconds == judge(Failure(replace(TASK, attempts=3), error)).seconds


@pytest.mark.parametrize("act", ACTS)
def test_a_refusal_parks_only_what_costs_no_image_its_row(act: str) -> None:
    """`register` and `notify` wait for a person; the others are tried again, however little sense it makes."""
    verdict = judge(Failure(replace(TASK, act=act), DeliveryRefused("Never.", hint="Ask them.")))

    assert ("parked" if act in {"register", "notify/office"} else "deferred") == verdict.kind
    assert ("delivery_refused", "Never. Ask them.") == (verdict.code, verdict.reason)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("strikes", [MOST_STRIKES - 1, MOST_STRIKES])
def test_five_unexplained_failures_alone_park(act: str, strikes: int, *, alone: bool) -> None:
    """A batch proves nothing about one of its items, and an image is read and stored whatever happens."""
    verdict = judge(Failure(replace(TASK, act=act, strikes=strikes, alone=alone), KeyError("x")))
    parked = act in {"register", "notify/office"} and alone and strikes == 5

    assert ("parked" if parked else "crashed") == verdict.kind
    assert "internal_error" == verdict.code
    assert "KeyError: 'x'" in verdict.reason


def test_a_lost_child_counts_against_its_image_and_not_against_us() -> None:
    """It may be the image that kills it; only a child that never did any work says that we are broken."""
    assert "lost" == judge(Failure(TASK, ChildLost("killed", late=False))).kind
    assert "crashed" == judge(Failure(TASK, ChildLost("no module", late=False, young=True))).kind


@given(st.integers(1, 10**6), st.floats(0, 1e12) | st.none())
def test_no_pause_is_longer_than_an_hour(attempts: int, asked: float | None) -> None:
    """The journal takes an act that is due later than that for one of a clock that jumped."""
    error = EngineUnavailable("Not now.", retry_after=asked)

    assert 1.0 <= judge(Failure(replace(TASK, attempts=attempts), error)).seconds <= 3600.0


def test_an_image_that_was_rejected_too_late_is_told_in_full() -> None:
    """Reason and remedy both reach the operator."""
    verdict = judge(Failure(replace(TASK, act="register"), ImageRejected("It is empty.", hint="Send it again.")))

    assert ("parked", "not_an_image", "It is empty. Send it again.") == (verdict.kind, verdict.code, verdict.reason)
