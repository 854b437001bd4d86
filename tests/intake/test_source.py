"""The file in the inbox: opened, recognised and removed only if it is the one that was seen."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.makers import NOON, jpeg
from tests.premises import digest, drop, look_below, seen, sidecar_of
from tests.refusals import refused, unprivileged
from watcher.errors import StorageUnavailable
from watcher.intake.source import Sources, is_readable, remove_source
from watcher.model import Identity, Image, Sidecar, Sighting

BYTES = jpeg(1)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """Give the files of an inbox at *tmp_path*."""
    return Sources(os.fsencode(tmp_path), look_below(tmp_path))


@pytest.fixture
def commons() -> Iterator[Path]:
    """Give a folder that everybody may use."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o777)
        yield Path(path)


def image_of(root: Path, path: str, sidecar: Sidecar | None = None) -> Image:
    """Return the image that the file at *path* became."""
    return Image(
        name="matricula_20260304_120000.jpg",
        source=os.fsencode(path),
        identity=seen(root, path).identity,
        digest=digest((root / path).read_bytes()),
        temporary=".incoming-1",
        camera="",
        kind="plate",
        sidecar=sidecar,
        arrived_at=NOON,
        captured_at=NOON,
        time_source="arrival",
    )


# Opening


def test_what_was_seen_is_opened(tmp_path: Path, sources: Sources) -> None:
    """The descriptor is that of the file, in a sub-folder too, and is closed afterwards."""
    drop(tmp_path, "gate/a.jpg", BYTES)
    with sources.opened(seen(tmp_path, "gate/a.jpg")) as file:
        assert file is not None
        assert BYTES == os.pread(file, 1 << 20, 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)


def _removed(path: Path) -> None:
    path.unlink()


def _replaced(path: Path) -> None:
    drop(path.parent, path.name, jpeg(2))


def _appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _without_its_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def _in_a_linked_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))
    path.parent.symlink_to("elsewhere")


@pytest.mark.parametrize(
    "change", [_removed, _replaced, _appended, _linked, _a_folder, _without_its_folder, _in_a_linked_folder]
)
def test_another_file_is_not_opened(tmp_path: Path, sources: Sources, change: Callable[[Path], None]) -> None:
    """Whatever stands there by now is not what was seen, and no link is followed."""
    path = drop(tmp_path, "gate/a.jpg", BYTES)
    before = seen(tmp_path, "gate/a.jpg")
    change(path)

    with sources.opened(before) as file:
        assert file is None


def test_a_failing_disk_is_no_change(tmp_path: Path, sources: Sources) -> None:
    """That the file cannot be opened does not mean that it is another: the act waits."""
    drop(tmp_path, "a.jpg", BYTES)
    before = seen(tmp_path, "a.jpg")

    def opened() -> None:
        with sources.opened(before):
            pass

    with pytest.raises(StorageUnavailable) as caught:
        refused("openat", errno.EIO, opened)
    assert "io_error" == caught.value.code
    with pytest.raises(OSError, match="Unknown error"):
        refused("openat", 530, opened)


def test_a_failing_look_is_told(tmp_path: Path) -> None:
    """An inbox that is out of reach is not one without photos."""

    def look(_: bytes) -> Sighting | None:
        raise OSError(errno.ESTALE, "stale")

    with pytest.raises(StorageUnavailable) as caught:
        Sources(os.fsencode(tmp_path), look).look(b"a.jpg")
    assert "unreachable" == caught.value.code


# Looking again


def test_only_what_looks_the_same_is_unchanged(tmp_path: Path, sources: Sources) -> None:
    """Identity and change time, and nobody writing: a file that was only opened for writing counts as changed."""
    path = drop(tmp_path, "a.jpg", BYTES)
    before = seen(tmp_path, "a.jpg")

    assert sources.is_unchanged(before)
    with path.open("ab"):
        assert not sources.is_unchanged(before)
    assert sources.is_unchanged(before)
    assert not sources.is_unchanged(replace(before, ctime_ns=1))
    assert not sources.is_unchanged(replace(before, identity=replace(before.identity, mtime_ns=1)))
    path.unlink()
    assert not sources.is_unchanged(before)


def test_what_cannot_be_looked_at_is_not_unchanged(tmp_path: Path) -> None:
    """A look that fails right after the copy proves nothing."""
    drop(tmp_path, "a.jpg", BYTES)

    def look(_: bytes) -> Sighting | None:
        raise OSError(errno.EIO, "broken")

    assert not Sources(os.fsencode(tmp_path), look).is_unchanged(seen(tmp_path, "a.jpg"))


# Removing


def test_photo_and_sidecar_go(tmp_path: Path, sources: Sources) -> None:
    """Both are removed, and their folder is to be synced."""
    drop(tmp_path, "gate/a.jpg", BYTES)
    drop(tmp_path, "gate/a.json", b"{}")
    image = image_of(tmp_path, "gate/a.jpg", sidecar_of(tmp_path, "gate/a.json"))
    changed: set[bytes] = set()

    assert sources.release(image, changed)
    assert {b"gate"} == changed
    assert [] == list((tmp_path / "gate").iterdir())
    assert sources.release(image, changed), "once more, as after a crash"


@pytest.mark.parametrize("change", [_replaced, _appended])
def test_another_photo_stays(tmp_path: Path, sources: Sources, change: Callable[[Path], None]) -> None:
    """What came to the same path meanwhile is a newcomer."""
    path = drop(tmp_path, "gate/a.jpg", BYTES)
    image = image_of(tmp_path, "gate/a.jpg")
    change(path)
    changed: set[bytes] = set()

    assert sources.release(image, changed)
    assert path.exists()
    assert set() == changed


def test_another_photo_of_the_same_size_stays(tmp_path: Path, sources: Sources) -> None:
    """Where the size is the same the bytes decide."""
    path = drop(tmp_path, "a.jpg", BYTES)
    image = image_of(tmp_path, "a.jpg")
    drop(tmp_path, "a.jpg", BYTES[::-1])

    assert sources.release(image, set())
    assert BYTES[::-1] == path.read_bytes()


def test_a_leftover_with_other_numbers_goes(tmp_path: Path, sources: Sources) -> None:
    """After a share was mounted anew device and inode differ, and the bytes tell that it is the same photo."""
    path = drop(tmp_path, "a.jpg", BYTES)
    drop(tmp_path, "a.json", b"{}")
    card = sidecar_of(tmp_path, "a.json")
    assert card.identity is not None
    card = replace(card, identity=replace(card.identity, device=99))
    image = replace(image_of(tmp_path, "a.jpg", card), identity=Identity(99, 98, len(BYTES), 97))

    assert sources.release(image, set())
    assert not path.exists()
    assert [] == list(tmp_path.iterdir())


def test_another_sidecar_stays(tmp_path: Path, sources: Sources) -> None:
    """The camera has written the next one already, which belongs to the next photo."""
    drop(tmp_path, "a.jpg", BYTES)
    drop(tmp_path, "a.json", b"{}")
    image = image_of(tmp_path, "a.jpg", sidecar_of(tmp_path, "a.json"))
    drop(tmp_path, "a.json", b'{"propietario": "Ana"}')

    assert sources.release(image, set())
    assert ["a.json"] == [path.name for path in tmp_path.iterdir()]


def test_a_bad_sidecar_is_left_to_the_quarantine(tmp_path: Path, sources: Sources) -> None:
    """It is an item of its own and is moved, not removed."""
    drop(tmp_path, "a.jpg", BYTES)
    drop(tmp_path, "a.json", b"{")
    image = image_of(tmp_path, "a.jpg", replace(sidecar_of(tmp_path, "a.json"), error="not JSON"))

    assert sources.release(image, set())
    assert ["a.json"] == [path.name for path in tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["a.jpg", "a.json"])
def test_what_is_being_written_to_stays(tmp_path: Path, sources: Sources, name: str) -> None:
    """Somebody has it open for writing: whether it will change is not known, so it is tried again later."""
    drop(tmp_path, "a.jpg", BYTES)
    drop(tmp_path, "a.json", b"{}")
    image = image_of(tmp_path, "a.jpg", sidecar_of(tmp_path, "a.json"))
    with (tmp_path / name).open("ab"):
        assert not sources.release(image, set())
    assert (tmp_path / "a.jpg").exists(), "the sidecar goes first, so without it the photo waits as well"
    assert sources.release(image, set())
    assert [] == list(tmp_path.iterdir())


def test_what_cannot_be_opened_any_more_goes_all_the_same(tmp_path: Path) -> None:
    """Removing needs no right to read: a look that sees nothing does not leave the photo behind for ever."""
    path = drop(tmp_path, "a.jpg", BYTES)
    image = image_of(tmp_path, "a.jpg")

    assert Sources(os.fsencode(tmp_path), lambda _: None).release(image, set())
    assert not path.exists()


@pytest.mark.parametrize("change", [_linked, _a_folder, _without_its_folder, _in_a_linked_folder])
def test_what_is_no_photo_any_more_stays(tmp_path: Path, sources: Sources, change: Callable[[Path], None]) -> None:
    """The photo is gone; what stands there, or where its folder was, is not ours to remove and costs no retry."""
    path = drop(tmp_path, "gate/a.jpg", BYTES)
    image = image_of(tmp_path, "gate/a.jpg")
    change(path)

    assert sources.release(image, set())


def test_without_rights_it_stays(commons: Path) -> None:
    """A folder in which we may remove nothing: the photo stays behind and that is known."""
    drop(commons, "gate/a.jpg", BYTES)
    (commons / "gate").chmod(0o755)
    image = image_of(commons, "gate/a.jpg")

    def act() -> None:
        with capture_logs() as logs:
            assert not Sources(os.fsencode(commons), look_below(commons)).release(image, set())
        assert [("inbox.unwritable", b"gate")] == [(line["event"], line["folder"]) for line in logs]

    assert unprivileged(act)
    assert (commons / "gate/a.jpg").exists()


def test_what_cannot_be_compared_stays(tmp_path: Path) -> None:
    """The bytes of a possible leftover cannot be read: it is tried again later."""
    path = drop(tmp_path, "a.jpg", BYTES)
    image = replace(image_of(tmp_path, "a.jpg"), identity=Identity(9, 9, len(BYTES), 9))
    before = seen(tmp_path, "a.jpg")
    sources = Sources(os.fsencode(tmp_path), lambda _: before)

    assert not refused("openat", errno.EIO, lambda: sources.release(image, set()))
    assert path.exists()


def test_removing_takes_the_same_file_only(tmp_path: Path) -> None:
    """A file of another identity stays; so does what lies in a folder that is gone."""
    drop(tmp_path, "gate/a.json", b"{}")
    identity = seen(tmp_path, "gate/a.json").identity
    root = os.fsencode(tmp_path)

    assert set() == remove_source(root, b"gate/a.json", replace(identity, mtime_ns=1))
    assert set() == remove_source(root, b"none/a.json", identity)
    assert {b"gate"} == remove_source(root, b"gate/a.json", replace(identity, device=9))
    assert set() == remove_source(root, b"gate/a.json", identity)


# Syncing


def test_folders_that_went_need_no_sync(tmp_path: Path, sources: Sources) -> None:
    """A sub-folder that its sender removed right after us is no trouble."""
    (tmp_path / "gate").mkdir()
    (tmp_path / "file").touch()

    sources.sync([b"", b"gate", b"gone", b"file"])


def test_a_sync_that_fails_is_told(sources: Sources) -> None:
    """Then nothing may be remembered as removed."""
    with pytest.raises(StorageUnavailable):
        refused("fsync", errno.EIO, lambda: sources.sync([b""]))


def test_a_file_that_cannot_be_read_is_told_from_others(tmp_path: Path) -> None:
    """The memory of this process is a file that opens and does not read, like one on bad sectors."""
    path = drop(tmp_path, "a.jpg", BYTES)
    for name, expected in (str(path), True), ("/proc/self/mem", False):
        descriptor = os.open(name, os.O_RDONLY)
        assert expected == is_readable(descriptor)
        os.close(descriptor)
