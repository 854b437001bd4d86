"""The README is true: what it tells people to type works, and what it names exists."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main
from PIL import Image

from tests.makers import eventually, jpeg
from tests.scripted_openai import KEY, Scripted, says
from watcher import demo, errors, sidecar
from watcher.cli import SOME_FAILED, app
from watcher.model import Sidecar
from watcher.settings import load

SOURCE = Path(__file__).resolve().parent.parent
README = (SOURCE / "README.md").read_text(encoding="utf-8")
PATIENCE = 60.0
AS_ROOT = "<!-- as root -->\n"
FENCED = re.compile(r"^(<!-- as root -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = typer.main.get_group(app).commands


def blocks(kind: str) -> list[tuple[bool, str]]:
    """Return the fenced blocks of one *kind* in order, and of each whether it is for root."""
    return [(bool(mark), text) for mark, found, text in FENCED.findall(README) if found == kind]


def environment(**more: str) -> dict[str, str]:
    """Return the machine's environment without what could change the program or name another copy of it."""
    strange = ("WATCHER_", "OPENAI_", "PYTHON", "VIRTUAL_ENV", "GIT_")
    return {name: value for name, value in os.environ.items() if not name.startswith(strange)} | more


class Clone:
    """A clone of this repository in which a set-up seems to have been made, from what this machine has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        trusting = folder.parent / "gitconfig"
        trusting.write_text("[safe]\n\tdirectory = *\n", encoding="ascii")
        subprocess.run(
            ["git", "clone", "-q", "--no-hardlinks", str(SOURCE), str(folder)],
            env=environment(GIT_CONFIG_GLOBAL=str(trusting), GIT_CONFIG_NOSYSTEM="1"),
            check=True,
            timeout=PATIENCE,
        )
        self._prepare()

    def sh(self, script: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Type *script* in the clone."""
        return subprocess.run(
            ["sh", "-euc", script],
            cwd=self.folder,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE,
            check=False,
        )

    def well(self, script: str, **more: str) -> str:
        """Type *script*, which must end well, and return what it prints."""
        done = self.sh(script, **more)
        assert 0 == done.returncode, (script, done.stdout, done.stderr)
        return done.stdout

    def drop(self, name: str, data: bytes | None = None, *, number: int = 0) -> None:
        """Put a photo into the inbox: *data*, or else a drawn one."""
        aside = self.folder / name
        if data is None:
            demo.draw(demo.VEHICLES[number], aside)
        else:
            aside.write_bytes(data)
        aside.rename(self.folder / "inbox" / name)

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the register."""
        register = self.folder / "data" / "registros.csv"
        if not register.exists():
            return []
        with register.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def visible(self, folder: str) -> list[str]:
        """Return the names in a folder, hidden ones left out."""
        return sorted(path.name for path in (self.folder / folder).iterdir() if not path.name.startswith("."))

    def _prepare(self) -> None:
        """Make `.venv`: this interpreter, the packages that it has, and the program as it stands in the clone."""
        home = self.folder / ".venv"
        packages = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        packages.mkdir(parents=True)
        (home / "bin").mkdir()
        python = home / "bin" / "python"
        python.symlink_to(os.path.realpath(sys.executable))
        (home / "pyvenv.cfg").write_text(f"home = {Path(python.resolve()).parent}\n", encoding="utf-8")
        (packages / "here.pth").write_text(f"{self.folder}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
        program = home / "bin" / "matricula-watcher"
        start = 'import sys; from watcher.cli import main; sys.argv[0] = "matricula-watcher"; main()'
        program.write_text(f"#!/bin/sh\nexec {shlex.quote(str(python))} -c '{start}' \"$@\"\n", encoding="utf-8")
        program.chmod(0o755)
        lock = "requirements.lock"
        self.well(f"checkout=$PWD; . ./.setup.sh; stamp {lock} >.venv/{lock}; up_to_date {lock}")


# What each block does, in the order of the README


def _demo(clone: Clone, block: str) -> None:
    assert "Rows right: all three." in clone.well(block)


def _watch(clone: Clone, block: str) -> None:
    """Start the daemon, drop a photo, see its row come, and press Ctrl+C, which a whole group of processes hears."""
    with subprocess.Popen(
        ["sh", "-euc", f"exec {block}"],  # a shell without a terminal would die of Ctrl+C itself
        cwd=clone.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            clone.drop("gate.jpg")
            assert eventually(lambda: len(clone.rows()) == 1 or process.poll() is not None, PATIENCE)
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert 0 == process.returncode, said
    (row,) = clone.rows()
    assert "1234BCD" == row["matricula"]
    assert [row["imagen"]] == clone.visible("uploads")
    assert [] == clone.visible("inbox")


def _once(clone: Clone, block: str) -> None:
    """Work off a photo with the sidecar of the README, and one without a plate."""
    ((_, facts),) = blocks("json")
    (clone.folder / "inbox" / "cam7.json").write_text(facts, encoding="utf-8")
    clone.drop("cam7.jpg", number=1)
    clone.drop("noise.jpg", jpeg(1))
    clone.well(block)
    rows = {row["propietario"]: row for row in clone.rows()[1:]}
    assert {"Juan Pérez", ""} == set(rows)
    assert ("5678FGH", "2026-03-04 15:30:45") == (rows["Juan Pérez"]["matricula"], rows["Juan Pérez"]["fecha_hora"])
    assert "matricula_20260304_153045.jpg" == rows["Juan Pérez"]["imagen"]
    assert "NO_DETECTADA" == rows[""]["matricula"]
    assert [] == clone.visible("inbox")


def _read(clone: Clone, block: str) -> None:
    """Read with a key; the server that is asked stands on loopback."""
    assert "sk-…" in block
    demo.draw(demo.VEHICLES[0], clone.folder / "photo.jpg")
    before = clone.rows()
    with Scripted(says("1234 BCD")) as server:
        said = clone.well(block.replace("sk-…", KEY), WATCHER_ENGINES__OPENAI__BASE_URL=server.url)
        assert [f"Bearer {KEY}"] == [asked.headers["authorization"] for asked in server.asked]
        assert ["gpt-4o-mini"] == [asked.body["model"] for asked in server.asked]
    assert re.match(r"photo\.jpg: 1234BCD\b.* by openai", said), said
    assert before == clone.rows()
    assert (clone.folder / "photo.jpg").exists()


def _annotate(clone: Clone, block: str) -> None:
    """Find what was read on the same photo drawn in a picture that anybody can open."""
    before = clone.rows()
    assert "1234BCD" in clone.well(block)
    with Image.open(clone.folder / "look.png") as picture:
        assert "PNG" == picture.format
    assert before == clone.rows()


def _review(clone: Clone, block: str) -> None:
    """See in the list the photo on which no plate was found."""
    doubtful = [row["imagen"] for row in clone.rows() if row["matricula"] == "NO_DETECTADA"]
    listed = re.findall(r"matricula_\S+", clone.well(block))
    assert set(doubtful) <= set(listed)
    assert len(listed) < len(clone.rows())


def _doctor(clone: Clone, block: str) -> None:
    """Hear of the folders and the engines that nothing is wrong."""
    said = clone.well(block)
    assert {"[folders] inbox", "register", "journal", "tesseract"} <= set(
        re.findall(r"^ok +(\S+(?: \S+)?)", said, re.MULTILINE)
    )


def _status(clone: Clone, block: str) -> None:
    """See the words of the table, and the three photos."""
    said = clone.well(block)
    (words,) = re.findall(r"^\| `\./run status` \| (.*) \|$", README, re.MULTILINE)
    assert [] == [word for word in words.split(", ") if not re.search(rf"^{word}\b", said, re.MULTILINE)]
    assert re.search(r"^registered +3$", said, re.MULTILINE), said


def _install(clone: Clone, block: str) -> None:
    """Hear what an installation would do; the unit that is enabled is the one that is installed."""
    install, enable = block.splitlines()
    here = install.replace("/opt/matricula-watcher", shlex.quote(str(clone.folder)))
    assert here != install
    planned = clone.well(f"{here} --dry-run")
    *systemctl, unit = enable.split()
    assert ["systemctl", "enable", "--now"] == systemctl
    assert f"write /etc/systemd/system/{unit}.service" in planned.splitlines()
    if os.geteuid() == 0 and shutil.which("systemd-sysusers"):
        tree = clone.folder.parent / "tree"
        tree.mkdir()
        clone.well(f"{here} --root {shlex.quote(str(tree))}")
        (start,) = re.findall(
            r"^ExecStart=(.+?) --config", (tree / f"etc/systemd/system/{unit}.service").read_text(), re.MULTILINE
        )
        assert os.access(start, os.X_OK)
        assert clone.folder in Path(start).parents


def _check(clone: Clone, block: str) -> None:
    """See that the script is there and finds tests. It runs this very test, so it cannot be run here."""
    clone.well("sh -n " + block)
    assert os.access(clone.folder / block.strip(), os.X_OK)
    pytest = "env -u PYTEST_XDIST_WORKER .venv/bin/python -m pytest -q -p no:cacheprovider"
    found = clone.well(f"{pytest} --collect-only tests/acceptance")
    assert "tests/acceptance/test_day.py::" in found


RUNS: dict[str, Callable[[Clone, str], None]] = {
    "./run demo": _demo,
    "./run": _watch,
    "./run once": _once,
    "./run read photo.jpg": _read,
    "./run read --annotate look.png photo.jpg": _annotate,
    "./run records --review": _review,
    "./run doctor": _doctor,
    "./run status": _status,
    "systemctl enable --now matricula-watcher": _install,
    "./check": _check,
}
"""By its last line, what is done with a block and must hold after it."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not (SOURCE / ".git").exists(), reason="this is no checkout, so it cannot be cloned")
@pytest.mark.skipif(shutil.which("tesseract") is None, reason="without tesseract, ./run would install it")
def test_every_block_does_what_is_said(tmp_path: Path) -> None:
    """Typed one after the other in a fresh clone, the blocks leave what the README says."""
    clone = Clone(tmp_path / "my clone")

    for _, block in blocks("sh"):
        RUNS[block.splitlines()[-1]](clone, block)


def test_no_block_is_left_out() -> None:
    """Every block that people may type is run by the test above, once and in this order; nothing else is fenced."""
    assert list(RUNS) == [block.splitlines()[-1] for _, block in blocks("sh")]
    assert {"", "sh", "json"} == {kind for _, kind, _ in FENCED.findall(README)}
    assert 2 * len(FENCED.findall(README)) == len(re.findall(r"^ *(?:```|~~~)", README, re.MULTILINE))
    assert [_install] == [RUNS[block.splitlines()[-1]] for root, block in blocks("sh") if root]


def test_every_command_exists_and_is_named() -> None:
    """The table has every command of the program and no other, with options that they have."""
    table = dict(re.findall(r"^\| `\./run(?: (\w+))?([^`]*)` \|", README, re.MULTILINE))
    shown = {block.split()[1] for _, block in blocks("sh") if re.fullmatch(r"\./run \w+\n", block)}
    options = {name: {flag for option in command.params for flag in option.opts} for name, command in COMMANDS.items()}

    assert set(COMMANDS) == {name or "run" for name in table} | shown
    for name, arguments in table.items():
        assert set(re.findall(r"--[a-z-]+", arguments)) <= options[name or "run"]
    for name, words in re.findall(r"`(?:\./run |matricula-watcher )?(\w+)((?: (?:--[a-z-]+|NAME))*)`", README):
        assert name not in COMMANDS or set(re.findall(r"--[a-z-]+", words)) <= options[name]
    assert {"read", "status", "records", "explain", "verify", "doctor"} <= {
        name for name, flags in options.items() if "--json" in flags
    }


def test_every_exit_code_exists_and_is_named() -> None:
    """The codes that are named are those that the program can end with."""
    (sentence,) = re.findall(r"Exit codes: (.*?)\.$", README, re.MULTILINE | re.DOTALL)
    named = {int(code) for code in re.findall(r"\b\d+\b", sentence)}
    fatal = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Fatal)
    }
    wrong = subprocess.run([sys.executable, "-m", "watcher.cli", "nonsense"], capture_output=True, check=False)

    assert {0, SOME_FAILED, wrong.returncode, *fatal} == named


def test_the_sidecar_is_a_good_one() -> None:
    """The example is read without an error, and every field of it counts."""
    ((_, facts),) = blocks("json")

    read = sidecar.parse(facts.encode(), zone=UTC, now=datetime(2026, 3, 5, tzinfo=UTC))

    assert ("", "{}") == (read.error, read.extra)
    assert (
        Sidecar(
            propietario="Juan Pérez",
            tipo_vehiculo="Sedan",
            observacion="Entrega",
            camera_id="gate-2",
            timestamp=datetime(2026, 3, 4, 15, 30, 45, tzinfo=UTC),
        )
        == read
    )


def test_every_setting_exists() -> None:
    """Settings that are named as in the file or as variables are settings of the program."""
    settings = load(config=SOURCE / "config/watcher.toml", environment={}).model_dump()
    as_key = re.findall(r"`\[(\w+)\](?: (\w+))?`", README)
    as_variable = re.findall(r"\bWATCHER_([A-Z]+)__([A-Z_]+)\b", README)

    assert as_key
    assert as_variable
    for section, key in [*as_key, *((section.lower(), key.lower()) for section, key in as_variable)]:
        assert section in settings
        assert not key or key in settings[section]


def test_every_file_is_there() -> None:
    """Links that stay here, and files of the repository that are named, lead somewhere."""
    links = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    named = re.findall(r"`(?:\./)?((?:config|systemd|tests|watcher)/[\w./-]+|run|check)`", README)

    assert links
    assert [] == [path for path in (*links, *named) if not (SOURCE / path.partition("#")[0]).exists()]
