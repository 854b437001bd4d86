"""Tests of watcher.daemon: how a process begins and ends. Its life is tried in tests/acceptance."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.makers import jpeg
from watcher.clocks import real_clocks
from watcher.daemon import Daemon, exit_code
from watcher.errors import AlreadyRunning, DiskUnusable, LineBroken, RegisterForeign, SettingsInvalid, SinkUnavailable
from watcher.lock import locked
from watcher.settings import Settings, load


def _settings(root: Path) -> Settings:
    return load(config=None, environment={"WATCHER_HOME": str(root), "WATCHER_READING__ENGINES": "[]"})


def _daemon(settings: Settings) -> Daemon:
    return Daemon(settings, clocks=real_clocks(), environment={}, again=lambda: settings, until_idle=True)


def test_it_does_what_is_there_and_leaves(tmp_path: Path) -> None:
    """Until idle, a photo in the inbox becomes a row, and the missing folders are made."""
    settings = _settings(tmp_path)
    settings.folders.inbox.mkdir()
    (settings.folders.inbox / "a.jpg").write_bytes(jpeg())

    _daemon(settings).run()

    assert 2 == len((settings.folders.data / "registros.csv").read_text().splitlines())
    assert [] == list(settings.folders.inbox.iterdir())


def test_a_second_one_is_refused(tmp_path: Path) -> None:
    """The lock of the data folder is held by one process at a time."""
    settings = _settings(tmp_path)
    settings.folders.data.mkdir()

    with locked(settings.folders.data), pytest.raises(AlreadyRunning):
        _daemon(settings).run()


def test_a_foreign_register_ends_it_before_anything_is_taken(tmp_path: Path) -> None:
    """Photos stay where they are until somebody has moved the foreign file away."""
    settings = _settings(tmp_path)
    for folder in settings.folders.inbox, settings.folders.data:
        folder.mkdir()
    (settings.folders.data / "registros.csv").write_text("nombre;edad\n")
    (settings.folders.inbox / "a.jpg").write_bytes(jpeg())

    with pytest.raises(RegisterForeign):
        _daemon(settings).run()

    assert ["a.jpg"] == [path.name for path in settings.folders.inbox.iterdir()]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (None, 0),
        (SettingsInvalid("no"), 78),
        (AlreadyRunning("no"), 75),
        (DiskUnusable("no"), 74),
        (LineBroken("no"), 70),
        (SinkUnavailable("no"), 1),
    ],
)
def test_every_fault_has_its_exit_code(fault: Exception | None, code: int) -> None:
    """Service managers and scripts tell from the code whether starting again can help."""
    assert code == exit_code(fault)  # type: ignore[arg-type]  # each is one of ours
