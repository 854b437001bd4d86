"""What every command starts from: its settings, read when it asks for them, and its log."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from watcher import engines, logs
from watcher.clocks import Clocks
from watcher.daemon import Daemon
from watcher.settings import Settings, load


class Session:
    """One run of a command. *config* may be given before the command or after it, where it wins.

    Attributes:
        environment: The variables of the process.
        config: The file that the command line named so far.
        loud: The log is what people watch, so that it is where an error is told as well.

    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.config: Path | None = None
        self.loud = False

    def settings(self, config: Path | None = None, *, reading: bool = True) -> Settings:
        """Read the settings; one who is not *reading* plates needs no key.

        Raises:
            SettingsInvalid: They cannot be used.

        """
        self.config = config or self.config
        return load(config=self.config, environment=self.environment, reading=reading, engines=engines.names())

    def listen(self, settings: Settings, stream: TextIO, *, level: str = "") -> None:
        """Let *stream* have the log of a command that works, at the level of the settings if none is given."""
        self.loud = not level
        logs.configure(
            format=settings.logs.format,
            level=level or settings.logs.level,
            plates=settings.logs.plates,
            stream=stream,
            environment=self.environment,
        )

    def quiet(self, config: Path | None, stream: TextIO, *, reading: bool = False) -> Settings:
        """Read the settings for a command that answers on standard output and logs only trouble to *stream*."""
        settings = self.settings(config, reading=reading)
        self.listen(settings, stream, level="warning")
        return settings

    def daemon(self, settings: Settings, stream: TextIO, clocks: Clocks, **more: Any) -> Daemon:
        """Return a daemon whose log goes to *stream*, at whichever level its settings say; *more* is for its making."""
        return Daemon(
            settings,
            clocks=clocks,
            environment=self.environment,
            again=self.settings,
            adopted=lambda changed: self.listen(changed, stream),
            terminal=os.isatty(0),
            **more,
        )
