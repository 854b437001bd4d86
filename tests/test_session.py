"""Tests of watcher.session: settings and log of one command."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.makers import Hands
from watcher.errors import SettingsInvalid
from watcher.session import Session

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    """Leave logging as it was."""
    root, ours = logging.getLogger(), logging.getLogger("watcher")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Give a session in a folder of its own, without an engine."""
    return Session({"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "[]"})


def readers(path: Path, number: int) -> Path:
    """Write a configuration with so many readers."""
    path.write_text(f"[reading]\nreaders = {number}\n")
    return path


def test_config(session: Session, tmp_path: Path) -> None:
    """The file named before the command holds until one is named after it, which holds from then on."""
    session.config = readers(tmp_path / "before.toml", 3)
    after = readers(tmp_path / "after.toml", 4)

    assert [3, 4, 4] == [session.settings(named).reading.readers for named in (None, after, None)]
    assert after == session.config


def test_engines(tmp_path: Path) -> None:
    """Every command is told of an engine that does not exist, also one that reads nothing."""
    session = Session({"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "magic"})
    for reading in (True, False):
        with pytest.raises(SettingsInvalid, match="names magic, which is no engine; set it to some of openai"):
            session.settings(reading=reading)


def test_key(tmp_path: Path) -> None:
    """Only who reads plates needs a key, and is told of the remedy."""
    session = Session({"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": '["openai"]'})

    assert ("openai",) == session.settings(reading=False).reading.engines
    with pytest.raises(SettingsInvalid) as caught:
        session.settings()
    assert "set OPENAI_API_KEY" in str(caught.value)


def test_quiet(session: Session, tmp_path: Path) -> None:
    """A command that answers on standard output logs trouble only, and nobody watches its log."""
    stream = io.StringIO()
    settings = session.quiet(readers(tmp_path / "some.toml", 5), stream)
    log.info("daemon.ready")
    log.warning("settings.warned", reason="Something.")

    assert 5 == settings.reading.readers
    assert not session.loud
    assert ("daemon.ready" in stream.getvalue(), "settings.warned" in stream.getvalue()) == (False, True)


def test_listen(session: Session) -> None:
    """A command that works logs at the level of the settings, where errors are told as well."""
    stream = io.StringIO()
    session.listen(session.settings(), stream)
    log.info("daemon.ready")

    assert session.loud
    assert "daemon.ready" in stream.getvalue()


def test_daemon(session: Session, tmp_path: Path) -> None:
    """A reload reads the file that the command named, and its new level holds at once."""
    path = readers(tmp_path / "mine.toml", 3)
    stream = io.StringIO()
    daemon = session.daemon(session.settings(path), stream, Hands().clocks, until_idle=True)
    path.write_text('[reading]\nreaders = 6\n[logs]\nlevel = "error"\n')
    settings = daemon._again()
    daemon._adopted(settings)
    log.warning("settings.warned", reason="Something.")

    assert (6, "") == (settings.reading.readers, stream.getvalue())
    assert (True, True) == (daemon._until_idle, session.loud)
