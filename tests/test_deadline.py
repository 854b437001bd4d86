"""Bounding questions whose answer may never come."""

from __future__ import annotations

import threading

from watcher.deadline import answer_within


def test_an_answer_in_time_is_returned() -> None:
    """What was asked is what comes back."""
    assert "here" == answer_within(5.0, lambda: "here")


def test_a_question_that_hangs_is_left_behind() -> None:
    """Nobody waits for ever; the thread ends when its question does."""
    release = threading.Event()

    assert answer_within(0.05, release.wait) is None
    release.set()


def test_a_folder_that_cannot_be_asked_is_no_answer() -> None:
    """An error of the file system says as little as silence."""

    def broken() -> str:
        raise OSError("stale")

    assert answer_within(5.0, broken) is None
