"""The scripts: `run`, `check`, `.ci/run` and the set-up they share, without any network."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checkouts import SOURCE, TOOL, Checkout, Started, started

LOCKS = ("requirements.lock", "requirements-lean.lock", "requirements-dev.lock")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """Give a checkout in a folder with spaces in its name, with nothing set up."""
    return Checkout(tmp_path / "my cameras" / "matricula watcher")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user can enter and change."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def pins(lock: str) -> dict[str, str]:
    """Return the version of every package in a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (SOURCE / lock).read_text(), re.MULTILINE))


def project() -> dict[str, dict[str, list[str]]]:
    """Return what pyproject.toml says."""
    return tomllib.loads((SOURCE / "pyproject.toml").read_text())


def test_run_becomes_the_program(checkout: Checkout) -> None:
    """`run` is replaced by the program, so that signals reach it, and hands over its arguments as they are."""
    checkout.prepare()
    words = ["read", "a  b", "", "*", "--flag=$HOME", "-"]
    with checkout.start(checkout.folder / "run", *words) as process:
        out, err = process.communicate(timeout=30)

    assert Started(process.pid, str(checkout.folder), str(checkout.folder), words) == started(out)
    assert "" == err


def test_run_without_arguments(checkout: Checkout) -> None:
    """With no argument, `run` starts the daemon."""
    checkout.prepare()

    assert ["run"] == started(checkout.call(checkout.folder / "run")[1]).arguments


def test_run_leaves_the_caller_where_they_are(checkout: Checkout, tmp_path: Path) -> None:
    """Photos are named from where the caller stands; the settings by the checkout, or by where they say."""
    checkout.prepare()
    there = started(checkout.call(checkout.folder / "run", cwd=tmp_path)[1])

    assert (str(tmp_path), str(checkout.folder)) == (there.cwd, there.home)
    assert "/srv/x" == started(checkout.call(checkout.folder / "run", WATCHER_HOME="/srv/x")[1]).home


@pytest.mark.parametrize("way", ["link to run", "link to folder", "sh run", "./run"])
def test_run_finds_its_checkout(checkout: Checkout, tmp_path: Path, way: str) -> None:
    """However `run` is called, it is the same checkout, under its true path."""
    checkout.prepare()
    (tmp_path / "run it").symlink_to(checkout.folder / "run")
    (tmp_path / "linked").symlink_to(checkout.folder)
    ways: dict[str, list[str | Path]] = {
        "link to run": [tmp_path / "run it"],
        "link to folder": [tmp_path / "linked" / "run"],
        "sh run": ["sh", "run"],
        "./run": ["./run"],
    }
    code, out, err = checkout.call(*ways[way], CDPATH=str(tmp_path))

    assert (0, "") == (code, err)
    assert str(checkout.folder) == started(out).home


def test_first_run(checkout: Checkout) -> None:
    """The first `run` makes .venv from the lock, says so on standard error alone, and checks every hash."""
    code, out, err = checkout.call(checkout.folder / "run", "status")
    python = checkout.bin / "python3"

    assert 0 == code
    assert ["status"] == started(out).arguments
    assert f"matricula-watcher: making .venv with {python}" in err
    assert "a word of pip's" in err
    assert [
        "python -m venv --clear .venv",
        "python -m pip -q install --require-hashes -r .venv/uv.lock",
        "uv -q pip sync --python .venv/bin/python --require-hashes --compile-bytecode requirements.lock",
        "uv -q pip install --python .venv/bin/python --offline --no-cache --no-deps --editable .",
    ] == [call for call in checkout.calls if "-I -c" not in call]


def test_only_uv_is_installed_by_pip(checkout: Checkout) -> None:
    """What pip is given is uv's part of the lock, whole, with its hashes."""
    checkout.prepare()
    lines = (checkout.folder / ".venv" / "uv.lock").read_text().splitlines()

    assert f"uv=={pins('requirements.lock')['uv']} \\" == lines[0]
    assert len(lines) > 10
    assert all(line.startswith("    --hash=sha256:") for line in lines[1:])
    assert not lines[-1].endswith("\\")


def test_second_run_is_quick(checkout: Checkout) -> None:
    """Once all is there, `run` calls no tool and says nothing."""
    checkout.prepare()
    code, _, err = checkout.call(checkout.folder / "run")

    assert (0, "", []) == (code, err, checkout.calls)


def test_unfinished_venv_is_made_anew(checkout: Checkout) -> None:
    """A .venv whose set-up was interrupted is not trusted."""
    (checkout.folder / ".venv" / "bin").mkdir(parents=True)
    (checkout.folder / ".venv" / "bin" / "python").symlink_to(checkout.bin / "python3")

    assert 0 == checkout.call(checkout.folder / "run")[0]
    assert "python -m venv --clear .venv" in checkout.calls


def test_failed_set_up_is_not_remembered(checkout: Checkout) -> None:
    """A set-up that failed half-way ends `run` with 1, and the next one starts over."""
    code, out, err = checkout.call(checkout.folder / "run", NO_UV_PACKAGE="yes")

    assert (1, "") == (code, out)
    assert "the set-up failed" in err
    assert 0 == checkout.call(checkout.folder / "run")[0]
    assert 2 == checkout.calls.count("python -m venv --clear .venv")


def test_copied_checkout_gets_its_own_venv(checkout: Checkout) -> None:
    """A checkout that was copied or moved does not run the code of the old one."""
    checkout.prepare()
    copy = checkout.folder.parent / "copy"
    subprocess.run(["cp", "-a", checkout.folder, copy], check=True)

    assert str(copy) == started(checkout.call(copy / "run")[1]).home
    assert "python -m venv --clear .venv" in checkout.calls


def test_vanished_interpreter(checkout: Checkout) -> None:
    """A .venv whose interpreter was removed by an upgrade is made anew."""
    checkout.prepare()
    (checkout.folder / ".venv" / "bin" / "python").unlink()
    (checkout.folder / ".venv" / "bin" / "python").symlink_to("/nowhere/python3.11")

    assert 0 == checkout.call(checkout.folder / "run")[0]
    assert "python -m venv --clear .venv" in checkout.calls


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_changed_lock_renews_the_packages(checkout: Checkout, name: str) -> None:
    """After an update, the packages and the program are renewed in the .venv that is there."""
    checkout.prepare()
    with (checkout.folder / name).open("a") as file:
        file.write("# newer\n")

    assert 0 == checkout.call(checkout.folder / "run")[0]
    assert ["uv -q pip sync", "uv -q pip install"] == [" ".join(call.split()[:4]) for call in checkout.calls]


def test_lean_set_up(checkout: Checkout) -> None:
    """WATCHER_LEAN=1 leaves the local reader out, says so once, is kept, and does not reach the program."""
    Checkout.provide(checkout.program, '#!/bin/sh\necho "${WATCHER_LEAN-unset}"\n')
    first = checkout.call(checkout.folder / "run", WATCHER_LEAN="1")
    installed = [call for call in checkout.calls if "sync" in call]
    checkout.notes.write_text("")

    assert (0, "unset\n") == first[:2]
    assert 1 == first[2].count("without the local reader rapidocr from now on; WATCHER_LEAN=0 brings it back.\n")
    assert [True] == [call.endswith(" requirements-lean.lock") for call in installed]
    for again in ("", "1"):
        assert (0, "unset\n", "") == checkout.call(checkout.folder / "run", WATCHER_LEAN=again)
    assert [] == checkout.calls


def test_lean_set_up_taken_back(checkout: Checkout) -> None:
    """WATCHER_LEAN=0 adds the local reader to the .venv that is there, and is the last word; 1 takes it out again."""
    checkout.prepare()
    for lean, lock in (("1", "requirements-lean.lock"), ("0", "requirements.lock")):
        checkout.call(checkout.folder / "run", WATCHER_LEAN=lean)
        assert ["uv -q pip sync", "uv -q pip install"] == [" ".join(call.split()[:4]) for call in checkout.calls]
        assert checkout.calls[0].endswith(f" {lock}")
        checkout.notes.write_text("")
    assert (0, "") == checkout.call(checkout.folder / "run")[::2]
    assert [] == checkout.calls


def test_lean_set_up_that_is_neither(checkout: Checkout) -> None:
    """Any other value is refused, with both that there are, before anything is done."""
    code, out, err = checkout.call(checkout.folder / "run", WATCHER_LEAN="yes")

    assert (1, "", []) == (code, out, checkout.calls)
    assert "WATCHER_LEAN is 1, without the local reader rapidocr, or 0, with it; not 'yes'.\n" in err


def test_start_during_a_set_up(checkout: Checkout) -> None:
    """A second start waits for the set-up that is going on, and then has nothing left to do."""
    checkout.prepare()
    stamp = checkout.folder / ".venv" / "requirements.lock"
    aside = stamp.rename(checkout.folder / "aside")
    held = os.open(checkout.folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with checkout.start(checkout.folder / "run") as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        aside.rename(stamp)
        os.close(held)
        out, _ = process.communicate(timeout=30)

    assert f"matricula-watcher: waiting for another set-up of {checkout.folder}\n" == first
    assert 0 == process.returncode
    assert ["run"] == started(out).arguments
    assert [] == [call for call in checkout.calls if "venv" in call]


def test_program_does_not_hold_the_set_up(checkout: Checkout) -> None:
    """The lock of the set-up is let go before the program starts."""
    Checkout.provide(checkout.program, '#!/bin/sh\nflock -n "$WATCHER_HOME" echo free\n')

    assert (0, "free\n") == checkout.call(checkout.folder / "run")[:2]


def test_pip_when_uv_cannot(checkout: Checkout) -> None:
    """Where uv reaches nobody, pip is asked, with the mirrors of its own configuration and the same hashes."""
    code, _, err = checkout.call(checkout.folder / "run", UV_FAILS="yes")

    assert 0 == code
    assert "uv could not; trying pip" in err
    assert "python -m pip -q install --require-hashes --no-deps -r requirements.lock" in checkout.calls


def test_no_apt(tmp_path: Path) -> None:
    """Where nothing can be installed, `run` names what it lacks and exits with 1."""
    checkout = Checkout(tmp_path / "checkout", programs=["python3"])
    code, out, err = checkout.call(checkout.folder / "run")

    assert (1, "") == (code, out)
    assert "install what these packages of Debian hold: tesseract-ocr\n" in err


def test_user_who_may_not_install(open_folder: Path) -> None:
    """A user who may not install gets the one line to type, with all that is missing, and exit code 1."""
    checkout = Checkout(open_folder / "checkout", programs=["apt-get"])
    code, out, err = checkout.call(checkout.folder / "run", as_nobody=True)
    line = "sudo apt-get update && sudo apt-get install --no-install-recommends tesseract-ocr python3 python3-venv\n"

    assert (1, "") == (code, out)
    # A Python beside the one on PATH may be good enough.
    assert line in err or line.replace(" python3 python3-venv", "") in err
    assert [] == checkout.calls


def test_user_who_may_install(open_folder: Path) -> None:
    """Where sudo asks no password, what is missing is installed with it, even if not all lists can be renewed."""
    checkout = Checkout(open_folder / "checkout", programs=["apt-get", "sudo", "python3"])
    for path in (checkout.folder, checkout.bin, checkout.notes):
        path.chmod(0o777)
    code, out, err = checkout.call(checkout.folder / "run", as_nobody=True)

    assert 0 == code, err
    assert ["run"] == started(out).arguments
    assert "matricula-watcher: installing tesseract-ocr with apt-get" in err
    assert "not all package lists could be renewed" in err
    words = "install -y --no-install-recommends tesseract-ocr"
    assert [words] == [call[-len(words) :] for call in checkout.calls if call.startswith("apt-get") and "-y" in call]


@pytest.fixture
def checked(checkout: Checkout) -> Checkout:
    """Give a checkout that is set up for its tests, with tools that only note their calls."""
    checkout.prepare(dev=True)
    for name in ("ruff", "mypy", "pytest"):
        Checkout.provide(checkout.folder / ".venv" / "bin" / name, TOOL)
    return checkout


@pytest.mark.parametrize("script", ["check", ".ci/run"])
def test_check(checked: Checkout, script: str) -> None:
    """`check` lints, type-checks and tests, in that order, wherever it is called from; `.ci/run` does the same."""
    code, out, _ = checked.call(checked.folder / script, cwd=checked.folder.parent)
    calls = [call for call in checked.calls if not call.startswith("apt-get")]

    assert (0, "") == (code, out)
    assert ["ruff check --quiet", "ruff format --check --quiet", "mypy ", "pytest -n 2"] == calls


def test_check_hands_over_its_arguments(checked: Checkout) -> None:
    """Arguments of `check` go to pytest."""
    checked.call(checked.folder / "check", "--long", "tests/test_x.py")

    assert "pytest -n 2 --long tests/test_x.py" == checked.calls[-1]


@pytest.mark.parametrize("tool", ["ruff", "mypy", "pytest"])
def test_check_fails_with_its_tools(checked: Checkout, tool: str) -> None:
    """If any of its tools fails, so does `check`, at once."""
    code, _, _ = checked.call(checked.folder / "check", FAILING=tool)

    assert 1 == code
    assert checked.calls[-1].startswith(tool)


def test_check_installs_what_only_tests_need(checkout: Checkout) -> None:
    """`run` leaves out what only tests need; `check` adds it to the same .venv, and `run` keeps it."""
    checkout.prepare()
    for name in ("ruff", "mypy", "pytest"):
        Checkout.provide(checkout.folder / ".venv" / "bin" / name, TOOL)
    checkout.call(checkout.folder / "check")

    assert checkout.calls[0].endswith(" requirements.lock requirements-dev.lock")
    checkout.notes.write_text("")
    assert 0 == checkout.call(checkout.folder / "run")[0]
    assert [] == checkout.calls


def test_check_without_the_programs_of_some_tests(checked: Checkout) -> None:
    """Programs that only some tests need and that cannot be had cost those tests, and are named."""
    code, _, err = checked.call(checked.folder / "check", PATH=str(checked.bin))
    named = re.findall(r"the tests that need these packages are skipped:(.*)", err)

    assert 0 == code
    assert all(set(words.split()) <= {"bindfs", "faketime", "strace", "systemd", "vsftpd"} for words in named)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_has_hashes_and_no_address(lock: str) -> None:
    """Every package of a lock has its hashes; where they come from is the machine's own business."""
    text = (SOURCE / lock).read_text()
    entries = re.split(r"\n(?=\S)", text.split("\n", 2)[2].strip())

    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index" not in text


def test_locks_hold_what_the_project_asks_for() -> None:
    """Everything that pyproject.toml asks for is locked, in a version within its range, and the locks agree."""
    run, lean, dev = map(pins, LOCKS)
    asked, groups = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"], project()["dependency-groups"]
    needs, local = [*asked["dependencies"], *groups["setup"]], asked["optional-dependencies"]["rapidocr"]
    wanted = [(run, [*needs, *local]), (lean, needs), (dev, groups["dev"])]

    for lock, requirements in wanted:
        for requirement in map(Requirement, requirements):
            assert requirement.specifier.contains(lock[canonicalize_name(requirement.name)]), requirement
    for other in (lean, dev):
        assert {name: run[name] for name in run.keys() & other.keys()} == {
            name: other[name] for name in run.keys() & other.keys()
        }


def test_lean_lock_leaves_the_local_reader_out() -> None:
    """It holds nothing that the whole one does not, and nothing of what the local reader needs."""
    run, lean = set(pins("requirements.lock")), set(pins("requirements-lean.lock"))

    assert lean < run
    assert not {"rapidocr", "onnxruntime", "numpy", "opencv-python-headless"} & lean


def test_builder_comes_with_the_locked_uv() -> None:
    """The locked uv can build the project by itself, so that installing it asks nothing of any network."""
    (builder,) = map(Requirement, project()["build-system"]["requires"])

    assert "uv-build" == canonicalize_name(builder.name)
    assert builder.specifier.contains(pins("requirements.lock")["uv"])
