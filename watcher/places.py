"""What must be true of the folders and of this machine, checked at start, by `doctor` and by `status`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from watcher.deadline import answer_within
from watcher.inbox.mounts import current_network_devices
from watcher.settings import FolderSettings

_ANSWER_SECONDS = 5.0
_LOW_SHARE = 0.05
_LOW_BYTES = 1 << 30
_LEAST_ROOM = 1 << 16
"""Bytes that the journal and the register need to grow at all."""
_FEW_WATCHES = 8192
_CAP_LEASE = 28
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: *level* is `ok`, `warning` or `error`."""

    what: str
    level: str
    says: str
    remedy: str = ""


def check(folders: FolderSettings, network: frozenset[int] | None = None) -> Iterator[Finding]:
    """Yield what was found of each folder: is it there, ours to use, local, apart from the others, with room?

    *network* holds the device numbers of network mounts, those of this machine by default.
    """
    for name, folder in folders:
        yield _folder(name, folder, current_network_devices() if network is None else network)
    for (one, first), (other, second) in combinations(folders, 2):
        if _is_inside(first, second) or _is_inside(second, first):
            yield Finding(
                f"[folders] {one}",
                "error",
                f"By a link or a mount, {first} and {second} are one folder, or one lies inside the other.",
                f"Give [folders] {one} and [folders] {other} folders beside each other.",
            )


def obstacles(folders: FolderSettings, largest: int, *, rights: bool) -> Iterator[Finding]:
    """Yield what keeps a photo of *largest* bytes from being registered: no room or, if asked, no *rights*.

    A folder that is not there yet is none: it is made at the start.
    """
    said = set()
    for name, folder, needed in (("uploads", folders.uploads, largest), ("data", folders.data, 0)):
        try:
            seen = os.statvfs(folder)
            disk = folder.stat().st_dev
        except OSError:
            continue
        says, remedy = _obstacle(folder, seen, max(needed, _LEAST_ROOM))
        if rights and not says and not _is_ours(folder):
            says, remedy = _not_ours(folder)
        # One disk under both folders is told once.
        if says and (disk, remedy) not in said:
            said.add((disk, remedy))
            yield Finding(f"[folders] {name}", "error", says, remedy)


def _obstacle(folder: Path, seen: os.statvfs_result, needed: int) -> tuple[str, str]:
    """Return what is wrong with *folder* and what to do about it; both empty if *needed* bytes can be written there."""
    free = seen.f_bavail * seen.f_frsize
    # A file system that makes room for file names as it goes has no number of them.
    if free < needed or (seen.f_files and not seen.f_favail):
        what = f"{free / (1 << 20):.1f} MiB" if free < needed else "no more files"
        return f"The disk of {folder} is full ({what} free).", "Make room: photos wait until there is some."
    if seen.f_flag & os.ST_RDONLY:
        return f"{folder} is mounted read-only.", "Look at its disk, and mount it anew."
    return "", ""


def answers(folder: Path) -> bool:
    """Return whether *folder* says within seconds that it is there, or that it is not; a dead share says nothing."""
    return answer_within(_ANSWER_SECONDS, lambda: os.path.isdir(folder) or True) is True


def check_machine(proc: Path = _PROC) -> Iterator[Finding]:
    """Yield what was found of the kernel's limits and of our rights, as *proc* tells them."""
    watches = _words(proc / "sys/fs/inotify/max_user_watches", "0")
    if int(watches) < _FEW_WATCHES:
        yield Finding(
            "watches",
            "warning",
            f"The kernel allows {watches} watched folders.",
            "Raise fs.inotify.max_user_watches; an inbox with more folders is listed every two seconds instead.",
        )
    else:
        yield Finding("watches", "ok", f"The kernel allows {watches} watched folders.")
    if _may_lease(proc):
        yield Finding("leases", "ok", "Photos that are still being written can be told from whole ones at once.")
    else:
        yield Finding(
            "leases",
            "warning",
            "Files of other users cannot be tested for writers (no CAP_LEASE), so photos settle for 2 seconds.",
            "Run it as the service that comes with it, or own the files.",
        )


def _folder(name: str, folder: Path, network: frozenset[int]) -> Finding:
    called = f"[folders] {name}"
    if not answers(folder):
        return Finding(called, "error", f"{folder} does not answer.", "Look at the share or the disk behind it.")
    # os.path answers where Path raises: a folder inside one that we may not enter.
    if not os.path.isdir(folder):
        return Finding(called, "error", f"{folder} is not a folder.", "Create it, or set another in [folders].")
    if not _is_ours(folder):
        return Finding(called, "error", *_not_ours(folder))
    if name != "inbox" and folder.stat().st_dev in network:
        return Finding(
            called,
            "error",
            f"{folder} lies on a network mount, where nothing written is safe from a power cut.",
            "Set a folder on a local disk; only the inbox may be a share.",
        )
    return _room(called, folder)


def _is_ours(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)


def _not_ours(folder: Path) -> tuple[str, str]:
    return f"{folder} cannot be read and written by us.", f"chown or chmod {folder} for the service."


def _room(called: str, folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    says = f"{folder}: {usage.free / (1 << 30):.1f} GiB free."
    if usage.free < min(_LOW_BYTES, _LOW_SHARE * usage.total):
        return Finding(called, "warning", says, "Make room: photos wait in the inbox when the disk is full.")
    return Finding(called, "ok", says)


def _is_inside(inner: Path, outer: Path) -> bool:
    """Return whether *inner* is *outer* or lies in it, by what the folders are and not by how they are called."""
    try:
        real = inner.resolve()
        return any(os.path.samefile(folder, outer) for folder in (real, *real.parents))
    except OSError:
        return False


def _may_lease(proc: Path) -> bool:
    """Return whether we hold CAP_LEASE, by our effective capabilities."""
    for line in _words(proc / "self/status", "").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_LEASE & 1)
    return False


def _words(path: Path, otherwise: str) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return otherwise
