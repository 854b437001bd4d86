"""Sinks are loaded by name, and only those that are configured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.records import NOW
from watcher.errors import SettingsInvalid
from watcher.sinks import kinds, load


def test_a_sink_is_loaded_by_the_name_of_its_module() -> None:
    """The kind in the configuration is the name of the module; the sink gets its own name."""
    sink = load("webhook", name="erp", options={"url": "https://receiver.test/"}, now=lambda: NOW)
    expected = "erp"

    assert expected == sink.name


@pytest.mark.parametrize("kind", ["pigeon", "webhook.route", "__init__", "../webhook", ""])
def test_an_unknown_kind_names_the_known_ones(kind: str) -> None:
    """A misspelt kind is said to be wrong, together with what there is."""
    with pytest.raises(SettingsInvalid) as caught:
        load(kind, name="erp", options={}, now=lambda: NOW)

    expected = f"The sink 'erp' is of the unknown kind {kind!r}. Use one of: webhook."
    assert expected == str(caught.value)


def test_importing_the_package_imports_no_adapter() -> None:
    """Who asks what kinds there are, does not pay for the HTTP client."""
    program = (
        "import sys, watcher.sinks as s; print(s.kinds(), [m for m in sys.modules if 'httpx' in m or 'webhook' in m])"
    )
    expected = "('webhook',) []\n"

    assert expected == _run(program)


def test_an_installed_kind_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sink outside this tree comes by the entry point group, and never in the place of one of ours."""
    (tmp_path / "pigeons.py").write_text("def create(*, name, options, now): return (name, options, now())\n")
    packed = tmp_path / "pigeons-1.dist-info"
    packed.mkdir()
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeons\nVersion: 1\n")
    (packed / "entry_points.txt").write_text(
        "[matricula_watcher.sinks]\npigeon = pigeons:create\nwebhook = pigeons:create\ndodo = dodos:create\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    expected: object = ("p", {"a": 1}, NOW)

    assert ("webhook", "dodo", "pigeon") == kinds()
    assert expected == load("pigeon", name="p", options={"a": 1}, now=lambda: NOW)
    with pytest.raises(SettingsInvalid):
        load("webhook", name="w", options={"a": 1}, now=lambda: NOW)
    with pytest.raises(SettingsInvalid, match="of the kind 'dodo', which cannot be loaded: No module named 'dodos'"):
        load("dodo", name="d", options={}, now=lambda: NOW)


def test_kinds_are_modules_that_create() -> None:
    """Every kind that is listed can be loaded as far as its options."""
    for kind in kinds():
        with pytest.raises(SettingsInvalid, match="The sink 'x' cannot be used"):
            load(kind, name="x", options={"no such option": 1}, now=lambda: NOW)


def _run(program: str) -> str:
    """Return what a fresh interpreter prints when it runs *program*."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert not done.stderr
    return done.stdout
