"""A bar for `once`: shown on a terminal only, on standard error."""

from __future__ import annotations

import sys
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from watcher.bootstrap import Line
from watcher.errors import Deferred


class Progress:
    """Rows written of the photos that were *waiting*; silent where standard error is no terminal.

    While it is shown, `sys.stderr` is a stand-in whose lines come above the bar.
    """

    def __init__(self, waiting: int) -> None:
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            redirect_stdout=False,
            transient=True,
        )
        self._task = self._bar.add_task("photos", total=waiting)
        self._waiting = waiting
        self._before: int | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, line: Line) -> None:
        """Move the bar to where *line* is now."""
        if self._bar.disable:
            return
        try:
            recorded, _ = line.questions.totals()
        except Deferred:
            return
        self._before = recorded if self._before is None else self._before
        done = recorded - self._before
        self._bar.update(self._task, completed=done, total=max(self._waiting, done))
