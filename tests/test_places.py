"""What is found of the folders and of the machine before anything is begun."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.refusals import unprivileged
from watcher import places
from watcher.settings import FolderSettings


@pytest.fixture
def folders(tmp_path: Path) -> FolderSettings:
    """Give three folders beside each other."""
    for name in ("inbox", "uploads", "data"):
        (tmp_path / name).mkdir()
    return FolderSettings(inbox=tmp_path / "inbox", uploads=tmp_path / "uploads", data=tmp_path / "data")


def proc(folder: Path, *, watches: str, capabilities: str) -> Path:
    """Make a /proc that says so."""
    (folder / "sys/fs/inotify").mkdir(parents=True)
    (folder / "sys/fs/inotify/max_user_watches").write_text(watches + "\n")
    (folder / "self").mkdir()
    (folder / "self/status").write_text(f"Name:\tcaf\udce9\nCapEff:\t{capabilities}\n", errors="surrogateescape")
    return folder


def wrong(found: list[places.Finding]) -> list[str]:
    """Return what is wrong, each as what it is about."""
    return [finding.what for finding in found if finding.level == "error"]


def test_good_folders_are_fine(folders: FolderSettings) -> None:
    """Each folder has one finding that says how much room there is."""
    found = list(places.check(folders))

    assert ["[folders] inbox", "[folders] uploads", "[folders] data"] == [finding.what for finding in found]
    assert [] == wrong(found)
    assert all("GiB free" in finding.says for finding in found)


def test_a_folder_that_is_missing_or_none_is_named(folders: FolderSettings) -> None:
    """Both the missing folder and the file in the place of one are errors with a remedy."""
    folders.inbox.rmdir()
    folders.data.rmdir()
    folders.data.touch()

    found = list(places.check(folders))

    assert ["[folders] inbox", "[folders] data"] == wrong(found)
    assert all(finding.remedy for finding in found if finding.level == "error")


def test_only_the_inbox_may_be_a_share(folders: FolderSettings) -> None:
    """What is promised of uploads and data holds on a local disk only."""
    found = list(places.check(folders, network=frozenset({folders.data.stat().st_dev})))

    assert ["[folders] uploads", "[folders] data"] == wrong(found)
    assert "network" in found[1].says


@pytest.mark.parametrize("target", ["inbox", "inbox/deep/er", "."])
def test_links_do_not_hide_that_folders_overlap(folders: FolderSettings, tmp_path: Path, target: str) -> None:
    """Uploads that lie in the inbox, or around it, would be taken in again and again."""
    (folders.inbox / "deep/er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / target)
    linked = folders.model_copy(update={"uploads": tmp_path / "link"})

    assert "[folders] inbox" in wrong(list(places.check(linked)))


def test_mounts_do_not_hide_that_folders_overlap(folders: FolderSettings, tmp_path: Path) -> None:
    """A bind mount is another path to the same folder."""
    (tmp_path / "bound").mkdir()
    command = ["mount", "--bind", str(folders.inbox), str(tmp_path / "bound")]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        bound = folders.model_copy(update={"uploads": tmp_path / "bound"})

        assert "[folders] inbox" in wrong(list(places.check(bound)))
    finally:
        subprocess.run(["umount", str(tmp_path / "bound")], check=True)


def test_a_disk_that_is_nearly_full_is_a_warning(folders: FolderSettings, tmp_path: Path) -> None:
    """Less than a gibibyte, or a twentieth of a small disk, is worth a word and no reason to stop."""
    (tmp_path / "small").mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(tmp_path / "small")]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        small = folders.model_copy(update={"uploads": tmp_path / "small"})
        assert "ok" == list(places.check(small))[1].level

        (tmp_path / "small/photo").write_bytes(bytes(98_000))

        assert "warning" == list(places.check(small))[1].level
    finally:
        subprocess.run(["umount", str(tmp_path / "small")], check=True)


def test_folders_that_are_not_ours_are_named(commons: Path) -> None:
    """A folder that may be read only, and one inside a folder that may not be entered, are errors, not traces."""
    for name, mode in (("inbox", 0o777), ("uploads", 0o755), ("closed", 0o700)):
        (commons / name).mkdir()
        (commons / name).chmod(mode)
    (commons / "closed/data").mkdir()
    folders = FolderSettings(inbox=commons / "inbox", uploads=commons / "uploads", data=commons / "closed/data")

    def examine() -> None:
        found = list(places.check(folders))

        assert ["ok", "error", "error"] == [finding.level for finding in found]
        assert "cannot be read and written by us" in found[1].says
        assert "is not a folder" in found[2].says

    assert unprivileged(examine)


@pytest.mark.parametrize(
    ("watches", "capabilities", "levels"),
    [
        ("65536", "0000000010000000", ["ok", "ok"]),
        ("100", "0000000010000000", ["warning", "ok"]),
        ("65536", "00000000a80425fb", ["ok", "warning"]),
    ],
    ids=["fine", "few watches", "no leases"],
)
def test_the_limits_of_the_kernel_are_told(tmp_path: Path, watches: str, capabilities: str, levels: list[str]) -> None:
    """Too few watches, and no CAP_LEASE (as in most containers, root or not), are worth a word."""
    found = list(places.check_machine(proc(tmp_path, watches=watches, capabilities=capabilities)))

    assert levels == [finding.level for finding in found]
    assert all(bool(finding.remedy) == (finding.level == "warning") for finding in found)


def test_a_kernel_that_says_nothing_is_no_fault(tmp_path: Path) -> None:
    """A /proc without these files gives warnings and no trace; the real one gives findings too."""
    assert ["warning", "warning"] == [finding.level for finding in places.check_machine(tmp_path)]
    assert ["watches", "leases"] == [finding.what for finding in places.check_machine()]
