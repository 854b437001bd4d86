"""Tests of watcher.engines: what can be loaded, and what it costs to look."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.misbehaving.engines import install
from watcher import engines
from watcher.errors import SettingsInvalid

ROOT = str(Path(__file__).parent.parent)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install engines from outside, as a package would."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_importing_imports_no_engine() -> None:
    """The main process looks for engines without the weight, and the risk, of what they need."""
    program = """
import sys
sys.path.insert(0, sys.argv[1])
from watcher import engines
assert {"openai", "rapidocr", "tesseract"} <= set(engines.names())
assert ["openai"] == [name for name in ("openai", "rapidocr", "tesseract") if engines.networked(name)]
assert "" == engines.lacking("rapidocr")
heavy = ("watcher.engines.", "PIL", "openai", "pytesseract", "cv2", "numpy", "onnxruntime", "rapidocr")
print([name for name in sys.modules if name.startswith(heavy)])
"""
    done = subprocess.run([sys.executable, "-c", program, ROOT], capture_output=True, text=True, check=True)

    assert "[]" == done.stdout.strip()


def test_ours() -> None:
    """Every engine of ours is known by the name of its module."""
    ours = ("openai", "rapidocr", "tesseract")

    assert ours == tuple(name for name in engines.names() if name in ours)
    assert "tesseract" == engines.load("tesseract", {}).name


@pytest.mark.usefixtures("installed")
def test_from_outside() -> None:
    """An installed package brings engines by entry points: local ones and networked ones."""
    assert {"answers", "answers_from_afar"} <= set(engines.names())
    assert (False, True) == (engines.networked("answers"), engines.networked("answers_from_afar"))
    assert "answers" == engines.load("answers", {"text": "1234BCD"}).name


@pytest.mark.parametrize("name", ["nobody", "", "../tesseract", "tesseract.lines", "__init__"])
def test_unknown(name: str) -> None:
    """A name that nobody has is a fault of the settings; the remedy lists the names there are."""
    with pytest.raises(SettingsInvalid) as caught:
        engines.load(name, {})

    assert repr(name) in caught.value.reason
    assert "openai, rapidocr, tesseract" in caught.value.hint
    assert not engines.networked(name)


@pytest.mark.usefixtures("installed")
def test_not_installed() -> None:
    """An engine that needs a package which is not there says which."""
    with pytest.raises(SettingsInvalid, match="a_package_that_nobody_has") as caught:
        engines.load("needy", {})

    assert "Install" in caught.value.hint
