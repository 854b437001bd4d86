"""Tests of watcher.doctor: what is wrong, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from tests.makers import Hands
from watcher.doctor import examine
from watcher.places import Finding
from watcher.settings import load


def _found(root: Path, hands: Hands, **more: str) -> dict[str, Finding]:
    """Return what the doctor finds of the folders below *root*, by what was looked at."""
    environment = {"WATCHER_HOME": str(root), "WATCHER_READING__ENGINES": "[]"} | more
    return {finding.what: finding for finding in examine(load(config=None, environment=environment), hands.clocks)}


def _make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir()


def test_a_healthy_house_has_no_error_and_stays_untouched(tmp_path: Path, hands: Hands) -> None:
    """Every folder, the register and the journal are looked at, and nothing is written."""
    _make(tmp_path, "inbox", "uploads", "data")

    found = _found(tmp_path, hands)

    assert {"[folders] inbox", "[folders] uploads", "[folders] data", "register", "journal"} <= found.keys()
    assert [] == [finding for finding in found.values() if finding.level == "error"]
    assert [] == list((tmp_path / "data").iterdir())


def test_a_missing_folder_and_a_foreign_register_are_errors_with_a_remedy(tmp_path: Path, hands: Hands) -> None:
    """What keeps the daemon from starting is named before it is tried."""
    _make(tmp_path, "inbox", "data")
    (tmp_path / "data" / "registros.csv").write_text("nombre;edad\n")

    found = _found(tmp_path, hands)

    assert ("error", "error") == (found["[folders] uploads"].level, found["register"].level)
    assert found["[folders] uploads"].remedy
    assert found["register"].remedy


def test_a_journal_that_is_none_is_an_error(tmp_path: Path, hands: Hands) -> None:
    """A file of that name that is no database is told, with what to do about it."""
    _make(tmp_path, "inbox", "uploads", "data")
    (tmp_path / "data" / "journal.sqlite3").write_bytes(b"not a database, but long enough to be looked at" * 20)

    finding = _found(tmp_path, hands)["journal"]

    assert "error" == finding.level
    assert "Move" in finding.remedy


def test_an_engine_that_does_not_exist_is_named(tmp_path: Path, hands: Hands) -> None:
    """The remedy lists those there are."""
    _make(tmp_path, "inbox", "uploads", "data")

    finding = _found(tmp_path, hands, WATCHER_READING__ENGINES='["nosuch"]')["engines"]

    assert "error" == finding.level
    assert "nosuch" in finding.says
    assert "tesseract" in finding.remedy


def test_openai_without_a_key_is_worth_a_word(tmp_path: Path, hands: Hands) -> None:
    """It is skipped, which is no fault, but nobody should have to guess it."""
    _make(tmp_path, "inbox", "uploads", "data")

    finding = _found(tmp_path, hands, WATCHER_READING__ENGINES='["openai", "tesseract"]')["openai"]

    assert "warning" == finding.level
    assert "OPENAI_API_KEY" in finding.remedy
