"""A terminal in which the real program runs as under somebody's hands."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from typing import Self

from tests.acceptance.house import PATIENCE, PROGRAM, House

_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """Runs the program with *arguments* in a terminal of its own, which it controls."""

    def __init__(self, house: House, *arguments: str, program: Sequence[str] = PROGRAM) -> None:
        self._ours, theirs = os.openpty()
        self._hear, self._say = os.pipe()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.process = subprocess.Popen(
            [*program, "--config", str(house.config), *arguments],
            cwd=house.root,
            env=house.environment({"TERM": "xterm"}),
            preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 - it only makes system calls
            pass_fds=(theirs,),
        )
        os.close(theirs)
        self._shown = b""
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(PATIENCE)
        self.hang_up()

    @property
    def shown(self) -> str:
        """What the program has written so far, without colours and moves of the cursor."""
        return _SEQUENCE.sub("", self._shown.decode(errors="replace")).replace("\r\n", "\n")

    def wait(self) -> int:
        """Return the exit code once the program has ended and all it wrote is shown."""
        code = self.process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        return code

    def type(self, keys: bytes) -> None:
        """Press *keys*."""
        os.write(self._ours, keys)

    def hang_up(self) -> None:
        """Take the terminal away, as a connection that breaks does; may be called again."""
        if self._ours >= 0:
            os.close(self._say)
            self._thread.join(PATIENCE)
            os.close(self._hear)
            os.close(self._ours)
            self._ours = -1

    def _listen(self) -> None:
        """Take what is shown until the program has closed its side, or the terminal is to be taken away."""
        while self._ours in select.select([self._ours, self._hear], [], [])[0]:
            try:
                self._shown += os.read(self._ours, 4096)
            except OSError:  # nobody is at the other side any more
                return
