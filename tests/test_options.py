"""What the parts of the line are handed, out of what the operator wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.makers import Hands
from watcher.arrivals import Patience
from watcher.errors import SettingsInvalid
from watcher.options import largest_of, patience_of, reader_options, sinks_of, skipped, window_of
from watcher.settings import (
    EngineSettings,
    InboxSettings,
    OpenaiSettings,
    PlateSettings,
    ReadingSettings,
    Settings,
    SinkSettings,
    TesseractSettings,
)

INSTALLED = """
from watcher.options import reader_options
from watcher.settings import EngineSettings, ReadingSettings, Settings
reading = ReadingSettings(engines=("dodo",))
print(reader_options(Settings(reading=reading, engines=EngineSettings(dodo={"wings": 2}))).options)
"""
SIGNED = SecretStr("whsec_" + "A" * 32)


def keyed(engines: tuple[str, ...] = ("openai", "tesseract"), deadline: float = 30) -> Settings:
    """Return settings with a key."""
    return Settings(
        reading=ReadingSettings(engines=engines, deadline_seconds=deadline),
        engines=EngineSettings(
            openai=OpenaiSettings(api_key=SecretStr("sk-1"), long_side=640), tesseract=TesseractSettings(psm=(7,))
        ),
    )


def test_what_the_operator_wrote_becomes_bytes_pixels_and_seconds() -> None:
    """Megabytes are of 2**20 bytes, megapixels of a million, and hours have 3600 seconds."""
    settings = Settings(inbox=InboxSettings(max_megabytes=1.5, max_megapixels=0.5, duplicate_window_hours=0.5))

    assert 1_572_864 == largest_of(settings)
    assert 500_000 == reader_options(settings).max_pixels
    assert 1800.0 == window_of(settings)


def test_patience_is_that_of_the_operator() -> None:
    """Each figure goes to its own place."""
    inbox = InboxSettings(settle_seconds=1, incomplete_after_seconds=2, sidecar_wait_seconds=3, max_megabytes=4)

    expected = Patience(settle=1, incomplete=2, sidecar=3, largest=4 << 20)
    assert expected == patience_of(Settings(inbox=inbox))


def test_figures_that_are_not_set_are_left_to_how_the_folder_is() -> None:
    """None is not nought: without a figure, leases and mounts decide."""
    patience = patience_of(Settings())

    assert (None, None) == (patience.settle, patience.incomplete)


def test_the_engine_without_a_key_is_skipped() -> None:
    """It is named, not asked, and the others keep their order; with a key it is asked."""
    assert [("openai", "It has no key.")] == [(one.name, one.reason) for one in skipped(Settings())]
    assert ("rapidocr", "tesseract") == reader_options(Settings()).engines
    assert () == skipped(keyed())
    assert ("tesseract", "openai") == reader_options(keyed(("tesseract", "openai"))).engines


def test_a_lean_installation_skips_the_local_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the engines as shipped it is left out, with the remedy; in a list of one's own it stays, and is missed."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    mine = Settings(reading=ReadingSettings(engines=("rapidocr", "tesseract")))

    assert [("openai", "It has no key."), ("rapidocr", "It is not installed.")] == [
        (one.name, one.reason) for one in skipped(Settings())
    ]
    assert "WATCHER_LEAN=0" in skipped(Settings())[1].hint
    assert ("tesseract",) == reader_options(Settings()).engines
    assert ((), ("rapidocr", "tesseract")) == (skipped(mine), reader_options(mine).engines)


def test_the_local_reader_is_told_where_vehicles_come_from() -> None:
    """What stands under [plates] reaches the engine that heeds it, and no other."""
    options = reader_options(Settings(plates=PlateSettings(countries=("ES", "PT")))).options

    assert ("ES", "PT") == options["rapidocr"]["countries"]
    assert "countries" not in options["tesseract"]


def test_an_engine_that_is_not_asked_for_is_not_missed() -> None:
    """Whoever leaves openai out on purpose is not told that it has no key."""
    assert () == skipped(Settings(reading=ReadingSettings(engines=("tesseract",))))


def test_the_key_travels_apart_from_the_options() -> None:
    """Options are shown and logged, secrets are not; only the engine that sends pictures away is networked."""
    options = reader_options(keyed())

    assert {"openai": "sk-1"} == options.secrets
    assert frozenset({"openai"}) == options.networked
    assert 640 == options.options["openai"]["long_side"]
    assert (7,) == options.options["tesseract"]["psm"]
    assert "sk-1" not in repr(options)


def test_the_key_of_an_engine_that_is_not_asked_stays_here() -> None:
    """No child is handed a key that it does not need."""
    options = reader_options(keyed(("tesseract",)))

    assert ({}, {"tesseract"}, frozenset()) == (options.secrets, set(options.options), options.networked)


@pytest.mark.parametrize(("deadline", "openai", "local"), [(15, 10.0, 6.0), (300, 20.0, 12.0)])
def test_engines_give_up_before_they_are_killed(deadline: float, openai: float, local: float) -> None:
    """Their own time is a share of the deadline, and never more than an answer takes at all."""
    options = reader_options(keyed(("openai", "rapidocr", "tesseract"), deadline))

    assert deadline == options.deadline_seconds
    assert openai == pytest.approx(options.options["openai"]["seconds"])
    for name in ("rapidocr", "tesseract"):
        assert local == pytest.approx(options.options[name]["seconds"])


def test_an_installed_engine_is_handed_its_options_and_nothing_else(tmp_path: Path) -> None:
    """One that does not know of a time of its own would refuse to be given it."""
    packed = tmp_path / "dodos-1.dist-info"
    packed.mkdir()
    (packed / "METADATA").write_text("Metadata-Version: 2.1\nName: dodos\nVersion: 1\n")
    (packed / "entry_points.txt").write_text("[matricula_watcher.engines]\ndodo = dodos:create\n")

    told = subprocess.run(
        [sys.executable, "-c", INSTALLED],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "{'dodo': {'wings': 2}}" == told.stdout.strip()


def test_an_unknown_engine_is_refused_with_those_there_are() -> None:
    """The process ends with 78, and the remedy lists what can be written."""
    with pytest.raises(SettingsInvalid, match="'tesserect'") as caught:
        reader_options(Settings(reading=ReadingSettings(engines=("tesserect",))))

    assert 78 == caught.value.exit_code
    assert caught.value.hint.startswith("Set [reading] engines to some of: ")
    assert {"openai", "tesseract"} <= set(caught.value.hint.rstrip(".").replace(":", ",").split(", "))


def test_sinks_stand_under_their_names(hands: Hands) -> None:
    """Each is built of its own options, signed or not, in the order of the file."""
    settings = Settings(
        sinks=(
            SinkSettings(name="office", url="https://office.example/", secret=SIGNED),
            SinkSettings(name="gate", url="https://gate.example/"),
        )
    )

    sinks = sinks_of(settings, hands.clocks)

    assert [("office", "office"), ("gate", "gate")] == [(name, sink.name) for name, sink in sinks.items()]
    assert {} == sinks_of(Settings(), hands.clocks)


@pytest.mark.parametrize(
    "wrong",
    [
        SinkSettings(name="gate", kind="pigeon", url="https://gate.example/"),
        SinkSettings(name="gate", url="http://gate.example/"),
        SinkSettings(name="gate", url="https://gate.example/", secret=SecretStr("whsec_short")),
    ],
    ids=["kind", "address", "secret"],
)
def test_a_sink_that_cannot_be_built_is_refused(wrong: SinkSettings, hands: Hands) -> None:
    """Nothing starts with a receiver of an unknown kind, an open address or a secret that cannot sign."""
    with pytest.raises(SettingsInvalid, match="gate"):
        sinks_of(Settings(sinks=(wrong,)), hands.clocks)
