"""A hidden copy gets its name for ever: once, without replacing anything, and again after any crash."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.intake.test_source import image_of
from tests.makers import jpeg
from tests.premises import drop, look_below
from tests.refusals import killed, meddling, refused
from watcher import durable
from watcher.errors import StorageUnavailable
from watcher.intake.naming import named
from watcher.intake.source import Look, Sources
from watcher.model import Image

BYTES = jpeg(1)
NAME, COPY = "matricula_20260304_120000.jpg", ".incoming-1"


@dataclass
class Scene:
    """An inbox with one photo, the image that it became, and its hidden copy in *uploads*, open as *folder*."""

    inbox: Path
    uploads: Path
    folder: int
    image: Image

    def name(self, look: Look | None = None) -> bool:
        """Give the copy its name."""
        return named(self.folder, self.image, Sources(os.fsencode(self.inbox), look or look_below(self.inbox)))

    def contents(self) -> dict[str, bytes]:
        """Return what lies in *uploads*."""
        return {path.name: path.read_bytes() for path in self.uploads.iterdir()}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Set the scene."""
    inbox, uploads = tmp_path / "inbox", tmp_path / "uploads"
    drop(inbox, "a.jpg", BYTES)
    uploads.mkdir()
    (uploads / COPY).write_bytes(BYTES)
    with durable.opened_folder(os.fsencode(uploads)) as folder:
        yield Scene(inbox, uploads, folder, image_of(inbox, "a.jpg"))


def test_the_copy_gets_its_name(scene: Scene) -> None:
    """And asked once more, as after a crash, sees that it has it."""
    assert scene.name()
    assert {NAME: BYTES} == scene.contents()
    assert scene.name()
    assert {NAME: BYTES} == scene.contents()


def test_half_a_link_is_finished(scene: Scene) -> None:
    """Where renaming without replacing takes two steps, a crash in between leaves both names of one file."""
    os.link(scene.uploads / COPY, scene.uploads / NAME)

    assert scene.name()
    assert {NAME: BYTES} == scene.contents()


@pytest.mark.parametrize("with_copy", [True, False])
@pytest.mark.parametrize(
    "put",
    [
        lambda target: target.write_bytes(b"other"),
        lambda target: target.write_bytes(BYTES[::-1]),
        lambda target: target.mkdir(),
        lambda target: target.symlink_to("other"),
        lambda target: target.symlink_to("nowhere"),
        os.mkfifo,
    ],
    ids=["file", "file of the same size", "folder", "link", "dangling link", "fifo"],
)
def test_nothing_is_ever_replaced(scene: Scene, put: Callable[[Path], object], *, with_copy: bool) -> None:
    """Somebody put something else at that name: it stays, and so does the photo, until a person has moved it."""
    target = scene.uploads / NAME
    (scene.uploads / "other").write_bytes(BYTES)
    put(target)
    before = target.lstat()
    if not with_copy:
        (scene.uploads / COPY).unlink()

    with pytest.raises(StorageUnavailable) as caught:
        scene.name()
    assert "name_taken" == caught.value.code
    assert before.st_ino == target.lstat().st_ino
    assert with_copy == (scene.uploads / COPY).exists()


def test_a_copy_that_a_power_cut_took_is_made_again(scene: Scene) -> None:
    """The source is still there, since it is only removed after the copy has its name."""
    (scene.uploads / COPY).unlink()

    assert scene.name()
    assert {NAME: BYTES} == scene.contents()


@pytest.mark.parametrize("other", [None, jpeg(2), BYTES[::-1], BYTES + b"grown"])
def test_what_was_withdrawn_is_given_up(scene: Scene, other: bytes | None) -> None:
    """Copy and source are both gone, or another file stands there: nothing is kept of what it was."""
    (scene.uploads / COPY).unlink()
    (scene.inbox / "a.jpg").unlink()
    if other is not None:
        drop(scene.inbox, "a.jpg", other)

    assert not scene.name()
    assert {} == scene.contents()


def test_what_is_replaced_after_the_look_is_given_up(scene: Scene) -> None:
    """Between the look and the copy another file came: it is not taken for the one that was seen."""
    (scene.uploads / COPY).unlink()
    before = look_below(scene.inbox)(b"a.jpg")
    drop(scene.inbox, "a.jpg", BYTES[::-1])

    assert not scene.name(lambda _: before)
    assert {} == scene.contents()


def test_what_grows_during_the_copy_is_given_up(scene: Scene) -> None:
    """Somebody goes on writing while we copy: it is not the photo any more that was written down."""
    (scene.uploads / COPY).unlink()
    before = look_below(scene.inbox)(b"a.jpg")

    def grow() -> None:
        with (scene.inbox / "a.jpg").open("ab") as file:
            file.write(b"more")

    assert not meddling(os.pread, grow, lambda: scene.name(lambda _: before))
    assert {} == scene.contents()


@pytest.mark.parametrize(("call", "number"), [("write", errno.ENOSPC), ("fsync", errno.EIO), ("renameat2", errno.EIO)])
def test_a_copy_that_is_not_durable_gets_no_name(scene: Scene, call: str, number: int) -> None:
    """Copied again and not synced: the source is still needed, so it is not stored yet, and nothing is left of it."""
    (scene.uploads / COPY).unlink()
    # The first name is refused as well, but then because there is nothing to be named.
    with pytest.raises(OSError, match=os.strerror(number)):
        refused(call, number, scene.name)

    assert {} == scene.contents()
    assert scene.name()
    assert {NAME: BYTES} == scene.contents()


def test_half_a_copy_is_never_taken_for_the_photo(scene: Scene) -> None:
    """Killed at any point while the copy is made again, the next attempt makes it anew."""
    (scene.uploads / COPY).unlink()
    at = 1
    while killed(scene.name, at):
        assert BYTES == scene.contents().get(NAME, BYTES)
        assert scene.name()
        assert BYTES == scene.contents()[NAME]
        (scene.uploads / NAME).unlink()
        at += 1

    assert at > 4
    assert {NAME: BYTES} == scene.contents()


def test_a_failing_disk_is_no_withdrawal(scene: Scene) -> None:
    """The inbox cannot be read at the moment: the image is not given up."""
    (scene.uploads / COPY).unlink()
    with pytest.raises(StorageUnavailable):
        refused("openat", errno.EIO, scene.name)
