"""What must be true of the folders and of this machine, checked at start and by `doctor`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from watcher.inbox.mounts import current_network_devices
from watcher.settings import FolderSettings

_LOW_SHARE = 0.05
_LOW_BYTES = 1 << 30
_FEW_WATCHES = 8192
_CAP_LEASE = 28


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: *level* is `ok`, `warning` or `error`."""

    what: str
    level: str
    says: str
    remedy: str = ""


def check(folders: FolderSettings) -> Iterator[Finding]:
    """Yield what was found of each folder: whether it is there, ours to use, local, and has room."""
    for name, folder in folders:
        yield from _folder(name, folder)


def check_machine() -> Iterator[Finding]:
    """Yield what was found of the kernel's limits and of our rights."""
    watches = int(Path("/proc/sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))
    if watches < _FEW_WATCHES:
        yield Finding(
            "watches",
            "warning",
            f"The kernel allows {watches} watched folders.",
            "Raise fs.inotify.max_user_watches; folders beyond it are listed every two seconds instead.",
        )
    else:
        yield Finding("watches", "ok", f"The kernel allows {watches} watched folders.")
    if os.geteuid() == 0 or _may_lease():
        yield Finding("leases", "ok", "Photos that are still being written can be told from whole ones at once.")
    else:
        yield Finding(
            "leases",
            "warning",
            "Files of other users cannot be tested for writers (no CAP_LEASE), so photos settle for 2 seconds.",
            "Run it as the service that comes with it, or own the files.",
        )


def _folder(name: str, folder: Path) -> Iterator[Finding]:
    called = f"[folders] {name}"
    if not folder.is_dir():
        yield Finding(called, "error", f"{folder} is not a folder.", "Create it, or set another in [folders].")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        yield Finding(
            called, "error", f"{folder} cannot be read and written by us.", f"chown or chmod {folder} for the service."
        )
        return
    if name != "inbox" and folder.stat().st_dev in current_network_devices():
        yield Finding(
            called,
            "error",
            f"{folder} lies on a network mount, where nothing written is safe from a power cut.",
            "Set a folder on a local disk; only the inbox may be a share.",
        )
        return
    yield _room(called, folder)


def _room(called: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    says = f"{folder}: {usage.free / (1 << 30):.1f} GiB free."
    if usage.free < min(_LOW_BYTES, _LOW_SHARE * usage.total):
        return Finding(called, "warning", says, "Make room: photos wait in the inbox when the disk is full.")
    return Finding(called, "ok", says)


def _may_lease() -> bool:
    """Return whether we hold CAP_LEASE, by the effective capabilities in /proc/self/status."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_LEASE & 1)
    return False
