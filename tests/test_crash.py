"""Die at the n-th side effect, for every n, and come back: nothing lost, nothing doubled, nothing left lying about."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sweep import MUTANTS, SCENARIOS, has_two_file_systems

ROOT = Path(__file__).resolve().parent.parent
SHORT, LONG = 40, 10**6


def swept(scenario: str, *, way: str = "once", most: int, mutant: str = "none") -> dict[str, Any]:
    """Sweep in a process of its own, and return the figures."""
    if SCENARIOS[scenario].far and not has_two_file_systems():
        pytest.skip("everything lies on one file system here")
    done = subprocess.run(
        [sys.executable, "-m", "tests.sweep", scenario, "--way", way, "--mutant", mutant, "--most", str(most)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )
    assert not done.returncode, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def say(figures: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Say what was done, and fail with what came out."""
    with capsys.disabled():
        sys.stdout.write(f"\n{figures['scenario']}: {figures['points']} points, {figures['runs']} deaths survived")
    assert not figures["complaints"], "\n".join(figures["complaints"])


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_crash_at_any_side_effect_costs_nothing(
    scenario: str, capsys: pytest.CaptureFixture[str], *, long: bool
) -> None:
    """Killed before each of its side effects, the next start does what is left: every promise is kept."""
    say(swept(scenario, most=LONG if long else SHORT), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["sidecar", "one name", "bad sidecar", "burst"])
def test_a_crash_on_the_way_back_costs_nothing(
    scenario: str, capsys: pytest.CaptureFixture[str], *, long: bool
) -> None:
    """Starting after a crash is starting: killed a second time, at any point, it is the same."""
    say(swept(scenario, way="twice", most=900 if long else 16), capsys)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["sidecar", "unfinished line", "truncated", "lost copy"])
def test_a_crash_in_the_middle_of_a_write_costs_nothing(
    scenario: str, capsys: pytest.CaptureFixture[str], *, long: bool
) -> None:
    """Half a photo, half a reason or half a row is recognised and made good; the lines of others are not touched."""
    say(swept(scenario, way="torn", most=LONG if long else SHORT // 2), capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mutant", "scenario", "way"),
    [
        ("forgetful", "plain", "once"),
        ("hasty", "plain", "once"),
        ("untidy", "plain", "once"),
        ("asleep", "plain", "once"),
        ("blind", "burst", "once"),
        ("blunt", "sidecar", "torn"),
    ],
)
def test_the_sweep_finds_what_is_broken(mutant: str, scenario: str, way: str) -> None:
    """A line with a fault built in works as long as nothing goes wrong, and is found out by dying."""
    figures = swept(scenario, way=way, most=LONG, mutant=mutant)

    assert mutant in MUTANTS
    assert figures["runs"] > 0, f"it is broken without a crash: {figures['complaints']}"
    assert figures["complaints"]
