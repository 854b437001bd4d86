"""The folders are made, and those that cannot keep a promise are refused before anything is begun."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from watcher.errors import DiskUnusable, SettingsInvalid
from watcher.premises import prepare
from watcher.settings import FolderSettings

Mount = Callable[[Path, str], None]


@pytest.fixture
def folders(tmp_path: Path) -> FolderSettings:
    """Give three folders that are not there yet, nor is the one above them."""
    above = tmp_path / "not" / "yet"
    return FolderSettings(inbox=above / "inbox", uploads=above / "uploads", data=above / "data")


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Give a way to mount an empty disk with options; whoever may not mount skips the test."""
    mounted: list[Path] = []

    def made(folder: Path, options: str) -> None:
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("nothing can be mounted here")
        mounted.append(folder)

    yield made
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_missing_folders_are_made_and_left_alone_later(folders: FolderSettings) -> None:
    """A first start makes all three; the next one changes nothing in them."""
    prepare(folders)
    photo = folders.inbox / "a.jpg"
    photo.write_bytes(b"photo")
    prepare(folders)

    assert ["data", "inbox", "uploads"] == sorted(path.name for path in folders.inbox.parent.iterdir())
    assert b"photo" == photo.read_bytes()


def test_a_file_in_the_place_of_a_folder_is_refused(folders: FolderSettings) -> None:
    """It is named, kept and answered with 78 and a remedy."""
    folders.uploads.parent.mkdir(parents=True)
    folders.uploads.write_text("kept")

    with pytest.raises(SettingsInvalid) as caught:
        prepare(folders)

    assert f"The folder {folders.uploads} cannot be used: File exists." == caught.value.reason
    assert (78, "Create it, or set another in [folders].") == (caught.value.exit_code, caught.value.hint)
    assert "kept" == folders.uploads.read_text()


def test_everything_that_is_wrong_is_said_at_once(folders: FolderSettings) -> None:
    """Three names of one folder are three errors in one answer, with as many remedies."""
    folders.inbox.mkdir(parents=True)
    folders.uploads.symlink_to(folders.inbox)
    folders.data.symlink_to(folders.inbox)

    with pytest.raises(SettingsInvalid) as caught:
        prepare(folders)

    assert 3 == caught.value.reason.count("are one folder")
    assert 3 == caught.value.hint.count("folders beside each other.")


def test_a_disk_that_is_mounted_read_only_is_no_fault_of_the_settings(folders: FolderSettings, mount: Mount) -> None:
    """Starting again helps once the disk is mended, so the process ends with 74 and not with 78."""
    mount(folders.data, "ro")

    with pytest.raises(DiskUnusable) as caught:
        prepare(folders)

    assert f"The folder {folders.data} is mounted read-only." == caught.value.reason
    assert (74, "Look at its disk, and mount it anew.") == (caught.value.exit_code, caught.value.hint)


def test_a_disk_with_little_room_is_a_warning(folders: FolderSettings, mount: Mount) -> None:
    """The start goes on, and the log says what to do; folders with room say nothing."""
    mount(folders.uploads, "size=100k")
    (folders.uploads / "photo").write_bytes(b"x" * 100 * 1024)

    with capture_logs() as lines:
        prepare(folders)

    about = [line for line in lines if str(folders.uploads) in line["reason"]]
    assert [("settings.warned", "warning")] == [(line["event"], line["log_level"]) for line in about]
    assert about[0]["reason"].endswith("GiB free. Make room: photos wait in the inbox when the disk is full.")
