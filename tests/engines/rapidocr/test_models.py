"""Tests of watcher.engines.rapidocr.models: the models are found without their package and opened without a trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from watcher.child.process import _ENVIRONMENT
from watcher.engines import TO_INSTALL, lacking, load
from watcher.engines.rapidocr import models
from watcher.errors import EngineUnavailable

ROOT = Path(__file__).parents[3]
OPENED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import cv2, numpy
from watcher.engines.rapidocr import models
found = models.find()
detector, recogniser = models.session(found.detector), models.session(found.recogniser)
detector.run(None, {detector.get_inputs()[0].name: numpy.zeros((1, 3, 96, 96), numpy.float32)})
recogniser.run(None, {recogniser.get_inputs()[0].name: numpy.zeros((1, 3, 48, 96), numpy.float32)})
cv2.GaussianBlur(numpy.zeros((2000, 2000, 3), numpy.uint8), (9, 9), 3)
assert "rapidocr" not in sys.modules, "its code was run"
assert 1 == len(os.listdir("/proc/self/task")), "threads were started"
"""


def test_found() -> None:
    """Both models are files of the installed package."""
    found = models.find()

    assert ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx") == tuple(
        os.path.basename(path) for path in (found.detector, found.recogniser)
    )
    assert all(os.path.getsize(path) > 1 << 20 for path in (found.detector, found.recogniser))


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the remedy is how to install it."""
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(EngineUnavailable) as caught:
        models.find()

    assert ("engine_missing", TO_INSTALL) == (caught.value.code, caught.value.hint)


def test_package_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that has other models is not taken for the right one, and its code is not run to find out."""
    (tmp_path / "rapidocr").mkdir()
    (tmp_path / "rapidocr" / "__init__.py").write_text("raise SystemExit('its code was run')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineUnavailable, match=r"rapidocr has no PP-OCRv6_det_small\.onnx") as caught:
        models.find()

    assert "engine_missing" == caught.value.code


def test_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed has no version either."""
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(EngineUnavailable) as caught:
        models.version()

    assert ("engine_missing", TO_INSTALL) == (caught.value.code, caught.value.hint)


def test_version() -> None:
    """It names the models, their package and what runs them, with versions."""
    words = models.version().split()

    assert ["PP-OCRv6", "rapidocr", "3.10.", "onnxruntime"] == [words[0], words[3], words[4][:5], words[6]]
    assert words[7][0].isdigit()


def test_runs_on_the_processor_alone() -> None:
    """A session takes pictures of several sizes, with no provider but the processor and no thread of its own."""
    opened = models.session(models.find().recogniser)
    options, name = opened.get_session_options(), opened.get_inputs()[0].name

    assert ["CPUExecutionProvider"] == opened.get_providers()
    assert (1, 1) == (options.intra_op_num_threads, options.inter_op_num_threads)
    assert (False, False) == (options.enable_cpu_mem_arena, options.enable_mem_pattern)
    for count, width in ((1, 96), (3, 320)):
        (seen,) = opened.run(None, {name: np.zeros((count, 3, 48, width), np.float32)})
        assert (count, width // 8) == seen.shape[:2]


@pytest.mark.parametrize("data", [b"", b"no model", None])
def test_broken_model(tmp_path: Path, data: bytes | None, capfd: pytest.CaptureFixture[str]) -> None:
    """A model that is damaged or gone makes the engine unavailable, in our words and no others."""
    path = tmp_path / "some.onnx"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(EngineUnavailable, match=r"The model some\.onnx cannot be opened: .+\.") as caught:
        models.session(str(path))

    assert TO_INSTALL == caught.value.hint
    assert ("", "") == capfd.readouterr()


def test_leaves_no_trace(tmp_path: Path) -> None:
    """In the environment of a child nothing is said, kept, started or sent: no telemetry, no cache, no thread."""
    home = tmp_path / "home"
    home.mkdir()
    told = subprocess.run(
        [sys.executable, "-I", "-c", OPENED, str(ROOT)],
        cwd=home,
        env=_ENVIRONMENT | {"HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (0, "", "") == (told.returncode, told.stdout, told.stderr)
    assert [] == list(home.rglob("*"))


@pytest.mark.parametrize("module", ["cv2", "numpy", "onnxruntime", "rapidocr"])
def test_lean_installation(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where anything it needs is left out, the engine is missing, with the remedy, and no other engine is."""
    assert "" == lacking("rapidocr")
    monkeypatch.setitem(sys.modules, module, None)

    assert (module, "", "") == (lacking("rapidocr"), lacking("tesseract"), lacking("openai"))
    with pytest.raises(EngineUnavailable, match=f"The engine rapidocr is not installed: {module} is missing") as caught:
        load("rapidocr", {})
    assert ("engine_missing", TO_INSTALL) == (caught.value.code, caught.value.hint)
