"""Tests of watcher.cli: the words of the commands. What they do is tried in tests/acceptance/test_commands.py."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from watcher.cli import app
from watcher.session import Session

COMMANDS = ("run", "once", "read", "status", "records", "explain", "retry", "verify", "doctor", "demo")


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
    """Give a session on empty folders, without an engine."""
    for name in ("inbox", "uploads", "data"):
        (tmp_path / name).mkdir()
    return Session({"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "[]"})


def test_every_command_is_listed_with_a_sentence() -> None:
    """An operator who types --help sees what there is."""
    told = CliRunner().invoke(app, ["--help"]).output

    assert [] == [command for command in COMMANDS if f"\n  {command} " not in told]


def test_the_version_is_told_without_a_command(session: Session) -> None:
    """`--version` alone is enough."""
    told = CliRunner().invoke(app, ["--version"], obj=session)

    assert (0, True) == (told.exit_code, told.output.startswith("matricula-watcher "))


def test_wrong_usage_is_two(session: Session) -> None:
    """An option that does not exist is the caller's mistake."""
    assert 2 == CliRunner().invoke(app, ["status", "--nonsense"], obj=session).exit_code


def test_a_status_is_one_json_object(session: Session) -> None:
    """With --json a program reads it, without, a person."""
    told = CliRunner().invoke(app, ["status", "--json"], obj=session)

    assert 0 == told.exit_code
    assert 0 == json.loads(told.output)["waiting"]
