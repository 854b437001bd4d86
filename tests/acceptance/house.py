"""A house to try the real program in: its folders, its configuration, its process."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.makers import eventually

PROGRAM = (sys.executable, "-m", "watcher.cli")
AS_NOBODY = (sys.executable, str(Path(__file__).with_name("as_nobody.py")))
PATIENCE = 30.0
"""Seconds that the real program may take on a busy machine; what it takes is not the question here."""


class House:
    """Folders and configuration at *root*; *more* is TOML added to the configuration."""

    def __init__(self, root: Path, more: str = "", *, engines: str = "[]", inbox: Path | None = None) -> None:
        self.root = root
        self.inbox = inbox or root / "inbox"
        self.uploads = root / "uploads"
        self.data = root / "data"
        self.register = self.data / "registros.csv"
        self.quarantine = self.data / "quarantine"
        for folder in (self.inbox, self.uploads, self.data):
            folder.mkdir(parents=True, exist_ok=True)
        self.config = root / "watcher.toml"
        self.config.write_text(
            f'[folders]\ninbox = "{self.inbox}"\nuploads = "{self.uploads}"\ndata = "{self.data}"\n'
            f"[reading]\nengines = {engines}\n{more}",
            encoding="utf-8",
        )
        self.log = root / "log"

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment in which nothing of the machine's own settings counts; *more* is added to it.

        A `PYTHONPATH` among it comes after ours.
        """
        foreign = ("WATCHER_", "OPENAI_", "CREDENTIALS_", "NOTIFY_", "JOURNAL_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        added = dict(more or {})
        paths = [str(Path(__file__).parents[2]), *filter(None, [added.pop("PYTHONPATH", "")])]
        return kept | {"PYTHONPATH": os.pathsep.join(paths)} | added

    def command(
        self, *arguments: str, program: Sequence[str] = PROGRAM, config: bool = True, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, with the configuration named before it unless *config* is false."""
        named = ("--config", str(self.config)) if config else ()
        return subprocess.run(
            [*program, *named, *arguments],
            cwd=self.root,
            env=self.environment(more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=PATIENCE * 2,
            check=False,
        )

    def ask(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json that ends with *code*, and return its one object."""
        (answer,) = self.ask_all(*arguments, code=code)
        return answer

    def ask_all(self, *arguments: str, code: int = 0, **more: str) -> list[dict[str, Any]]:
        """Run a command with --json that ends with *code*, and return its objects, one a line."""
        answer = self.command(*arguments, "--json", program=PROGRAM, config=True, **more)
        assert code == answer.returncode, answer.stderr
        return [json.loads(line) for line in answer.stdout.splitlines()]

    def start(self, **more: str) -> Daemon:
        """Start the daemon and return once it is ready."""
        return Daemon(self, more)

    @contextmanager
    def running(self, **more: str) -> Iterator[Daemon]:
        """Run the daemon while the block lasts; it must end well."""
        with self.start(**more) as daemon:
            yield daemon
            assert 0 == daemon.stop(), self.events()

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of the register."""
        if not self.register.exists():
            return []
        with self.register.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def wait_rows(self, number: int) -> list[dict[str, str]]:
        """Return the rows once there are *number* of them."""
        assert eventually(lambda: len(self.rows()) >= number, PATIENCE), (self.rows(), self.events())
        return self.rows()

    def wait_quarantine(self, reason: str, number: int = 1) -> list[Path]:
        """Return the reason files of the quarantine once there are *number* of them."""
        folder = self.quarantine / reason

        def found() -> list[Path]:
            files = sorted(folder.glob("*.reason.json"))
            return [file for file in files if (folder / file.name.removesuffix(".reason.json")).exists()]

        assert eventually(lambda: len(found()) >= number, PATIENCE), self.events()
        return found()

    def events(self) -> list[dict[str, Any]]:
        """Return what was logged, a dictionary a line."""
        if not self.log.exists():
            return []
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines() if line]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of one *event*."""
        return [line for line in self.events() if line["event"] == event]

    def is_empty(self) -> bool:
        """Whether no file is left in the inbox."""
        return not [path for path in self.inbox.rglob("*") if not path.is_dir()]


class Daemon:
    """The real program, `run`, in a process of its own."""

    def __init__(self, house: House, more: Mapping[str, str]) -> None:
        self._house = house
        ready = len(house.said("daemon.ready"))
        self._log = house.log.open("ab")
        self.process = subprocess.Popen(
            [*PROGRAM, "--config", str(house.config), "run"],
            cwd=house.root,
            env=house.environment(more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        assert eventually(lambda: self.process.poll() is not None or len(house.said("daemon.ready")) > ready, PATIENCE)
        assert None is self.process.poll(), house.events()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program alone."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it as a service manager does; return its exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()
        self.process.wait(PATIENCE)
