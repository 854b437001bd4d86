"""Tests of watcher.doctor: what is wrong, and what to do about it."""

from __future__ import annotations

import shutil
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.makers import Hands, jpeg
from tests.premises import drop
from watcher.bootstrap import assemble
from watcher.doctor import examine
from watcher.places import Finding
from watcher.settings import Settings, load


def _settings(root: Path, **more: str) -> Settings:
    """Return settings as commands have them that do not read."""
    environment = {"WATCHER_HOME": str(root), "WATCHER_READING__ENGINES": "[]"} | more
    return load(config=None, environment=environment, reading=False)


def _found(root: Path, hands: Hands, **more: str) -> dict[str, Finding]:
    """Return what the doctor finds of the folders below *root*, by what was looked at."""
    return {finding.what: finding for finding in examine(_settings(root, **more), hands.clocks)}


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


def test_a_local_reader_that_is_not_installed_is_worth_a_word(
    tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a lean installation it is skipped, which is what somebody chose, and how to get it stands beside it."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    _make(tmp_path, "inbox", "uploads", "data")

    found = _found(tmp_path, hands, WATCHER_READING__ENGINES="openai,rapidocr,tesseract")

    assert ("warning", True) == (found["rapidocr"].level, "WATCHER_LEAN=0" in found["rapidocr"].remedy)
    assert "tesseract" in found


def test_a_service_without_any_engine_left_is_an_error(tmp_path: Path, hands: Hands) -> None:
    """Nobody reads although somebody should; with an empty list nobody should, which is worth a word only."""
    _make(tmp_path, "inbox", "uploads", "data")

    left = _found(tmp_path, hands, WATCHER_READING__ENGINES="openai")["engines"]
    wanted = _found(tmp_path, hands)["engines"]

    assert ("error", "warning") == (left.level, wanted.level)


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_engines_say_what_they_are(tmp_path: Path, hands: Hands) -> None:
    """Each is asked in its child for its version; one that does not answer is an error with its remedy."""
    _make(tmp_path, "inbox", "uploads", "data")

    found = _found(
        tmp_path,
        hands,
        WATCHER_READING__ENGINES="openai,tesseract",
        WATCHER_ENGINES__OPENAI__BASE_URL="http://127.0.0.1:9/v1",
        OPENAI_API_KEY="sk-test",
    )

    assert ("ok", True) == (found["tesseract"].level, "esseract" in found["tesseract"].says)
    assert ("error", True) == (found["openai"].level, bool(found["openai"].says))


def test_parked_acts_are_worth_a_word(tmp_path: Path, hands: Hands) -> None:
    """What was set aside is counted by its kind, with what to do about it."""
    _make(tmp_path, "inbox", "uploads", "data")
    drop(tmp_path / "inbox", "one.jpg", jpeg())
    with closing(assemble(_settings(tmp_path), hands.clocks)) as line:
        line.prepare()
        for _ in range(6):
            line.workers[0].round()
            hands.turn(0.5)
        line.workers[1].round()
        (task,) = line.journal.claim(["register"], now=hands.wall, limit=1)
        line.journal.park(task, reason="it must not be")

    finding = _found(tmp_path, hands)["journal"]

    assert ("warning", "Acts were set aside: register 1.") == (finding.level, finding.says)
    assert "retry" in finding.remedy


def test_sinks_are_set_up_and_told_nothing(tmp_path: Path, hands: Hands) -> None:
    """Those that can be used are named; one that cannot is an error, before a photo finds out."""
    _make(tmp_path, "inbox", "uploads", "data")
    fine = '[{"name": "erp", "url": "https://erp.example/"}, {"name": "gate", "url": "https://gate.example/"}]'

    found = _found(tmp_path, hands, WATCHER_SINKS=fine)["sinks"]
    wrong = _found(tmp_path, hands, WATCHER_SINKS='[{"name": "erp", "url": "https://10.0.0.1/"}]')["sinks"]

    assert ("ok", "Told of every row: erp, gate.") == (found.level, found.says)
    assert ("error", True) == (wrong.level, "open internet" in wrong.says)
