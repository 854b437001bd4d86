"""A copy of the checkout's scripts whose every tool from outside is a stand-in that only notes how it was called."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).resolve().parent.parent
SCRIPTS = ("run", "check", ".setup.sh", ".ci/run", "systemd/install", "systemd/matricula-watcher")
PLAIN = (
    "pyproject.toml",
    "requirements.lock",
    "requirements-lean.lock",
    "requirements-dev.lock",
    "config/watcher.toml",
)
UNITS = ("matricula-watcher.service", "matricula-watcher.sysusers.conf", "matricula-watcher.tmpfiles.conf")
TOOLS = (
    "sh",
    "bash",
    "env",
    "true",
    "echo",
    "cat",
    "cmp",
    "dirname",
    "readlink",
    "flock",
    "id",
    "rm",
    "mv",
    "mkdir",
    "chmod",
    "sed",
    "ln",
)
NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")

PROGRAM = """#!/bin/sh
printf '%s\\0' "$$" "$(pwd -P)" "$WATCHER_HOME" "$@"
"""

# Makes a virtual environment as far as anybody here looks, with a uv that installs the program.
PYTHON = """#!/bin/sh
printf 'python %s\\n' "$*" >>"$NOTES"
case "$*" in
-I*) echo "$0" ;;
'-m venv'*) rm -rf .venv; mkdir -p .venv/bin; ln -s "$0" .venv/bin/python ;;
*'uv.lock') echo "a word of pip's"; [ -z "${NO_UV_PACKAGE-}" ] && ln -s "$BIN/uv-here" .venv/bin/uv ;;
esac
"""
UV = """#!/bin/sh
printf 'uv %s\\n' "$*" >>"$NOTES"
case "$*" in
*sync*) [ -z "${UV_FAILS-}" ] ;;
*--editable*) ln -sf "$PROGRAM" .venv/bin/matricula-watcher ;;
esac
"""
APT = """#!/bin/sh
printf 'apt-get %s\\n' "$*" >>"$NOTES"
case "$*" in
*update*) exit 100 ;;
*tesseract-ocr*) ln -s /bin/true "$BIN/tesseract" ;;
esac
"""
SUDO = """#!/bin/sh
printf 'sudo %s\\n' "$*" >>"$NOTES"
shift
exec "$@"
"""
TOOL = """#!/bin/sh
printf '%s %s\\n' "${0##*/}" "$*" >>"$NOTES"
[ "${0##*/}" != "${FAILING-}" ]
"""


class Started(NamedTuple):
    """How the program was started: its process id, the folder it stands in, its home, its arguments."""

    pid: int
    cwd: str
    home: str
    arguments: list[str]


def started(out: str) -> Started:
    """Read what the stand-in for the program prints."""
    pid, cwd, home, *arguments = out.split("\0")[:-1]
    return Started(int(pid), cwd, home, arguments)


class Checkout:
    """A checkout at *folder*, and a `PATH` with nothing on it but the shell's tools and *programs*, all stand-ins."""

    def __init__(self, folder: Path, *, programs: Iterable[str] = ("tesseract", "python3")) -> None:
        self.folder = folder
        self.bin = folder.parent / "bin"
        self.notes = folder.parent / "notes"
        for name in (*SCRIPTS, *PLAIN, *(f"systemd/{unit}" for unit in UNITS)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, folder / name)
        self.bin.mkdir()
        self.notes.touch()
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
        texts = {"python3": PYTHON, "apt-get": APT, "sudo": SUDO}
        for name in programs:
            self.provide(self.bin / name, texts.get(name, TOOL))
        self.provide(self.bin / "uv-here", UV)
        self.program = self.provide(folder.parent / "program", PROGRAM)

    @property
    def environment(self) -> dict[str, str]:
        """What the scripts are started with."""
        return {"PATH": str(self.bin), "BIN": str(self.bin), "NOTES": str(self.notes), "PROGRAM": str(self.program)}

    @property
    def calls(self) -> list[str]:
        """Every call of a stand-in so far, in order."""
        return self.notes.read_text().splitlines()

    @staticmethod
    def provide(path: Path, text: str) -> Path:
        """Write a program."""
        path.write_text(text)
        path.chmod(0o755)
        return path

    def prepare(self, *, dev: bool = False) -> None:
        """Make `.venv` what a set-up would leave, and forget how."""
        names = ["requirements.lock", *(["requirements-dev.lock"] if dev else [])]
        script = f'. ./.setup.sh; set_up "$PWD" {" ".join(names)}'
        subprocess.run(
            ["sh", "-euc", script], cwd=self.folder, env=self.environment, check=True, capture_output=True, timeout=30
        )
        self.notes.write_text("")

    def start(
        self, *command: str | Path, cwd: Path | None = None, as_nobody: bool = False, **more: str
    ) -> subprocess.Popen[str]:
        """Start *command* with nothing to read; it must be waited for."""
        drop = NOBODY if as_nobody and os.geteuid() == 0 else ()
        return subprocess.Popen(
            [*(shutil.which(word) or word for word in drop[:1]), *drop[1:], *map(str, command)],
            cwd=cwd or self.folder,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def call(
        self, *command: str | Path, cwd: Path | None = None, as_nobody: bool = False, **more: str
    ) -> tuple[int, str, str]:
        """Run *command* to its end and return its exit code, output and complaints."""
        with self.start(*command, cwd=cwd, as_nobody=as_nobody, **more) as process:
            out, err = process.communicate(timeout=30)
            return process.returncode, out, err
