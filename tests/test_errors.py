"""What an operator, a service manager and a lane are told by each error."""

from __future__ import annotations

import pytest

from watcher import errors
from watcher.errors import (
    AlreadyRunning,
    ChildLost,
    Deferred,
    DeliveryRefused,
    DiskUnusable,
    EngineRefused,
    EngineUnavailable,
    Fatal,
    ImageRejected,
    JournalUnusable,
    LineBroken,
    RegisterForeign,
    RegisterSuspended,
    Rejected,
    SettingsInvalid,
    SinkUnavailable,
    StorageUnavailable,
    WatcherError,
)


def test_the_sentence_ends_with_the_remedy_if_there_is_one() -> None:
    """An operator reads both sentences, and no stray space where there is only one."""
    assert "The disk is full. Make room." == str(WatcherError("The disk is full.", hint="Make room."))
    assert "The disk is full." == str(WatcherError("The disk is full."))


def test_a_narrower_code_is_of_one_error_only() -> None:
    """A code given to one error does not become that of all errors of its class."""
    narrowed = ImageRejected("It is too large.", code="too_large")

    assert "too_large" == narrowed.code
    assert "not_an_image" == ImageRejected("It is a text.").code


def test_a_pause_that_was_asked_for_is_kept_beside_the_rest() -> None:
    """What is deferred says for how many seconds, or that nobody asked for any number of them."""
    busy = SinkUnavailable("It is busy.", hint="Wait.", code="busy", retry_after=0.0)

    assert ("It is busy.", "Wait.", "busy", 0.0) == (busy.reason, busy.hint, busy.code, busy.retry_after)
    assert Deferred("Not now.").retry_after is None


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Fatal, "fatal", 70),
        (LineBroken, "line_broken", 70),
        (JournalUnusable, "journal_unusable", 74),
        (DiskUnusable, "storage_unavailable", 74),
        (RegisterForeign, "register_foreign", 74),
        (AlreadyRunning, "already_running", 75),
        (SettingsInvalid, "settings_invalid", 78),
    ],
)
def test_what_ends_the_process_says_how(error: type[Fatal], code: str, status: int) -> None:
    """The service manager tells by the exit code whether starting again would help."""
    assert (code, status) == (error.code, error.exit_code)


@pytest.mark.parametrize(
    ("error", "family", "code"),
    [
        (EngineUnavailable, Deferred, "engine_unavailable"),
        (SinkUnavailable, Deferred, "sink_unavailable"),
        (StorageUnavailable, Deferred, "storage_unavailable"),
        (RegisterSuspended, Deferred, "register_foreign"),
        (ImageRejected, Rejected, "not_an_image"),
        (EngineRefused, Rejected, "image_unreadable"),
        (DeliveryRefused, Rejected, "delivery_refused"),
    ],
)
def test_what_holds_up_one_act_is_either_later_or_never(
    error: type[WatcherError], family: type[WatcherError], code: str
) -> None:
    """What is tried again, what is not and what ends the process are three families without a common member."""
    families = {one for one in (Deferred, Rejected, Fatal) if issubclass(error, one)}

    assert ({family}, code) == (families, error.code)


def test_every_expected_error_has_a_code_of_its_own_class() -> None:
    """None is reported as an internal error because somebody forgot its code."""
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, WatcherError)]

    assert [WatcherError] == [kind for kind in kinds if kind.code == "internal_error"]


def test_a_lost_child_is_not_taken_for_an_expected_error() -> None:
    """Whoever catches expected errors must not swallow the end of a child, which counts as a strike."""
    lost = ChildLost("It was killed.", late=True)

    assert not isinstance(lost, WatcherError)
    assert (True, False, "It was killed.") == (lost.late, lost.young, str(lost))
