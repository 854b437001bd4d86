"""Run a command as nobody: root imports everything first, for the interpreter may lie where nobody may not look."""

from __future__ import annotations

import encodings.utf_8_sig
import os

from watcher import cli

assert encodings.utf_8_sig.__name__

if __name__ == "__main__":
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    cli.main()
