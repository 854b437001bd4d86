"""The bar of `once`: where it stands, and that nothing is shown where nobody looks."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from types import SimpleNamespace
from typing import cast

from watcher.bootstrap import Line
from watcher.errors import StorageUnavailable
from watcher.progress import Progress


class Answers:
    """Questions that are answered from a list; none stands for a disk that fails."""

    def __init__(self, *recorded: int | None) -> None:
        self._recorded = iter(recorded)
        self.asked = 0

    def totals(self) -> tuple[int, int]:
        """Return how many rows were registered."""
        self.asked += 1
        recorded = next(self._recorded)
        if recorded is None:
            raise StorageUnavailable("The disk is failing.")
        return recorded, 0

    @property
    def line(self) -> Line:
        """A line of which only this can be asked."""
        return cast("Line", SimpleNamespace(questions=self))


@contextmanager
def terminal() -> Iterator[int]:
    """Make standard error a terminal, and give the other end of it."""
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "w") as screen, redirect_stderr(screen):
            yield ours
    finally:
        os.close(ours)


def standing(progress: Progress) -> tuple[float, float | None]:
    """Return where the bar is, and where it ends."""
    (task,) = progress._bar.tasks
    return task.completed, task.total


def test_rows_of_this_run_move_the_bar() -> None:
    """Rows that were there before do not count, and photos that came since make the bar longer."""
    line = Answers(100, 102, 104).line
    seen = []

    with terminal(), Progress(3) as progress:
        for _ in range(3):
            progress.show(line)
            seen.append(standing(progress))

    assert [(0, 3), (2, 3), (4, 4)] == seen


def test_a_failing_disk_leaves_the_bar_where_it_is() -> None:
    """The bar is no reason to stop: it goes on when the journal answers again."""
    line = Answers(None, 5, None, 6).line
    seen = []

    with terminal(), Progress(2) as progress:
        for _ in range(4):
            progress.show(line)
            seen.append(standing(progress)[0])

    assert [0, 0, 0, 1] == seen


def test_a_bar_is_drawn_on_a_terminal() -> None:
    """Somebody who looks sees how many of how many."""
    with terminal() as ours, Progress(3) as progress:
        progress.show(Answers(0).line)
        progress._bar.refresh()
        drawn = os.read(ours, 65536).decode()

    assert "photos" in drawn
    assert "0/3" in drawn


def test_nothing_is_asked_or_shown_without_a_terminal() -> None:
    """In a log file there is not a byte of the bar, and the journal has no needless work."""
    answers = Answers(1)

    with redirect_stderr(io.StringIO()) as written, Progress(3) as progress:
        shown = sys.stderr
        progress.show(answers.line)

    assert (written, "", 0) == (shown, written.getvalue(), answers.asked)
