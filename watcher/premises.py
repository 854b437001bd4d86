"""The folders that the process works in: made where they are missing, and refused where no promise can be kept."""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from watcher import places
from watcher.errors import DiskUnusable, SettingsInvalid
from watcher.settings import FolderSettings

log = structlog.get_logger()


def prepare(folders: FolderSettings) -> None:
    """Make *folders* and look at them; warn about those that soon may not do.

    Raises:
        SettingsInvalid: One cannot be used.
        DiskUnusable: One lies on a disk that is mounted read-only, or does not answer.

    """
    for folder in folders.inbox, folders.uploads, folders.data:
        _make(folder)
    found = list(places.check(folders))
    wrong = [finding for finding in found if finding.level == "error"]
    if wrong:
        raise SettingsInvalid(
            " ".join(finding.says for finding in wrong), hint=" ".join(finding.remedy for finding in wrong)
        )
    for finding in found:
        if finding.level == "warning":
            log.warning("settings.warned", reason=f"{finding.says} {finding.remedy}")


def _make(folder: Path) -> None:
    if not places.answers(folder):
        raise DiskUnusable(f"The folder {folder} does not answer.", hint="Look at the share or the disk behind it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fixed = os.statvfs(folder).f_flag & os.ST_RDONLY
    except OSError as error:
        raise SettingsInvalid(
            f"The folder {folder} cannot be used: {error.strerror}.", hint="Create it, or set another in [folders]."
        ) from error
    if fixed:
        raise DiskUnusable(f"The folder {folder} is mounted read-only.", hint="Look at its disk, and mount it anew.")
