"""Disk acts: what they do, what they refuse, and what is left of them when the power goes."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.refusals import killed, meddling, refused
from watcher import durable
from watcher.durable.names import _next_data
from watcher.errors import ImageRejected, StorageUnavailable
from watcher.model import Identity

PHOTO = b"\xff\xd8" + bytes(range(256)) * 3000 + b"\xff\xd9"
SHA256 = hashlib.sha256(PHOTO).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """Give a descriptor of an empty folder on the disk."""
    with durable.opened_folder(os.fsencode(tmp_path)) as descriptor:
        yield descriptor


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Give an empty folder on another file system than *tmp_path*."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as path:
        if Path(path).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("everything lies on one file system here")
        yield Path(path)


@pytest.fixture
def away(elsewhere: Path) -> Iterator[int]:
    """Give a descriptor of *elsewhere*."""
    with durable.opened_folder(os.fsencode(elsewhere)) as descriptor:
        yield descriptor


def identity_of(path: Path) -> Identity:
    """Return the identity of the file at *path*."""
    status = path.lstat()
    return Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def names(path: Path) -> list[str]:
    """Return what lies in the folder at *path*, hidden files included."""
    return sorted(entry.name for entry in path.iterdir())


# Troubles


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EFBIG, "file_limit"),
        (errno.EROFS, "read_only"),
        (errno.EIO, "io_error"),
        (errno.EUCLEAN, "io_error"),
        (errno.EMFILE, "out_of_files"),
        (errno.ENFILE, "out_of_files"),
        (errno.ENOMEM, "out_of_memory"),
        (errno.ESTALE, "unreachable"),
        (errno.ETIMEDOUT, "unreachable"),
        (errno.ENODEV, "unreachable"),
        (errno.ENOTCONN, "unreachable"),
        (errno.EHOSTDOWN, "unreachable"),
        (errno.EACCES, "no_rights"),
        (errno.EPERM, "no_rights"),
        (errno.EINTR, "busy"),
        (errno.EBUSY, "busy"),
    ],
)
def test_trouble_that_heals_has_a_code_a_sentence_and_a_remedy(number: int, code: str) -> None:
    """What a disk can do becomes an error that names the thing, the kernel's word for it, and what to do."""
    with pytest.raises(StorageUnavailable) as caught, durable.storage("uploads"):
        raise OSError(number, os.strerror(number))

    assert code == caught.value.code
    assert "uploads" in caught.value.reason.lower()
    assert os.strerror(number) in caught.value.reason
    assert caught.value.reason[0].isupper()
    assert caught.value.reason.endswith(".")
    assert caught.value.hint.endswith(".")
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize("fault", [FileExistsError, FileNotFoundError, NotADirectoryError])
def test_answers_about_names_pass(fault: type[OSError]) -> None:
    """Who asked for a name must hear that it is taken, missing or no folder."""
    number = {FileExistsError: errno.EEXIST, FileNotFoundError: errno.ENOENT, NotADirectoryError: errno.ENOTDIR}[fault]

    with pytest.raises(fault), durable.storage("uploads"):
        raise OSError(number, os.strerror(number))


def test_faults_of_our_own_pass() -> None:
    """An OSError without a number and errors of other kinds are not dressed up as trouble with a disk."""
    with pytest.raises(OSError, match="made up"), durable.storage("uploads"):
        raise OSError("made up")
    with pytest.raises(ZeroDivisionError), durable.storage("uploads"):
        raise ZeroDivisionError


def test_what_was_judged_inside_is_not_judged_again() -> None:
    """The innermost name of the place is the one the operator reads."""
    with pytest.raises(StorageUnavailable, match="Inbox"), durable.storage("uploads"), durable.storage("inbox"):
        raise OSError(errno.ESTALE, "")


# Folders


def test_a_folder_below_the_root_is_opened(tmp_path: Path) -> None:
    """Relative paths lead down, whatever bytes they hold and however many slashes."""
    inner = os.fsencode(tmp_path) + b"/a/caf\xe9\n"
    os.makedirs(inner)

    with durable.opened_folder(os.fsencode(tmp_path), b"a//caf\xe9\n/") as folder:
        assert os.path.samestat(os.stat(inner), os.fstat(folder))
        assert not os.get_inheritable(folder)


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    """An operator may link the inbox itself to another place."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    with durable.opened_folder(str(tmp_path / "link")) as folder:
        assert os.path.samestat((tmp_path / "real").stat(), os.fstat(folder))


@pytest.mark.parametrize("path", [b"link", b"link/inner", b"inner/link", b"file", b"fifo"])
def test_nothing_below_the_root_is_followed(tmp_path: Path, path: bytes) -> None:
    """A sub-folder that was swapped for a link leads nowhere, at any depth; nor do files and fifos."""
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    for link in ("link", "inner/link"):
        (root / link).symlink_to(tmp_path / "outside")
    (root / "file").touch()
    os.mkfifo(root / "fifo")

    with pytest.raises(NotADirectoryError), durable.opened_folder(str(root), path):
        pytest.fail("it was opened")


@pytest.mark.parametrize("path", [b"..", b"inner/..", b"inner/../..", b"/", b"/etc"])
def test_nothing_leads_out_of_the_root(tmp_path: Path, path: bytes) -> None:
    """A path that would leave its folder is a mistake of ours, not a folder."""
    (tmp_path / "inner").mkdir()

    with pytest.raises(ValueError, match="stay below"), durable.opened_folder(str(tmp_path), path):
        pytest.fail("it was opened")


def test_a_missing_folder_is_said_to_be_missing(tmp_path: Path) -> None:
    """The caller can tell a folder that is gone from one it must not enter."""
    with pytest.raises(FileNotFoundError), durable.opened_folder(str(tmp_path), b"a/b"):
        pytest.fail("it was opened")


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """Neither success nor failure nor an error inside leaks a descriptor."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))

    for path in (b"a/b", b"a/b/c", b"x"):
        with suppress(FileNotFoundError, KeyError), durable.opened_folder(str(tmp_path), path):
            raise KeyError

    assert before == len(os.listdir("/proc/self/fd"))


def test_folders_are_made_once_with_those_above(tmp_path: Path) -> None:
    """Making a folder again is harmless, and others cannot look into it."""
    path = tmp_path / "quarantine" / "truncated"

    durable.make_folder(path)
    durable.make_folder(path)

    assert path.is_dir()
    assert not stat.S_IMODE(path.stat().st_mode) & 0o027


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    """What is no folder is not replaced by one."""
    (tmp_path / "quarantine").touch()

    with pytest.raises(FileExistsError):
        durable.make_folder(tmp_path / "quarantine")


@pytest.mark.parametrize(("number", "forgiven"), [(errno.EINVAL, True), (errno.EOPNOTSUPP, True), (errno.EIO, False)])
def test_only_inability_to_sync_a_folder_is_forgiven(folder: int, number: int, *, forgiven: bool) -> None:
    """A file system that cannot sync folders is taken as it is; a disk that fails is not."""
    with ExitStack() as stack:
        if not forgiven:
            stack.enter_context(pytest.raises(OSError, match=os.strerror(number)))
        refused("fsync", number, lambda: durable.sync_folder(folder))


# Copies


def copied(path: Path, folder: int, *, limit: int = 10_000_000) -> tuple[str, int]:
    """Copy the file at *path* to `copy`."""
    with path.open("rb") as source:
        return durable.copy(source.fileno(), folder, "copy", limit=limit)


def test_a_copy_has_the_bytes_and_their_digest(tmp_path: Path, folder: int) -> None:
    """The copy is a new file of ours, private to the group, with the digest of what was really written."""
    (tmp_path / "source").write_bytes(PHOTO)

    found = copied(tmp_path / "source", folder)

    assert (SHA256, len(PHOTO)) == found
    assert PHOTO == (tmp_path / "copy").read_bytes()
    assert not (tmp_path / "copy").stat().st_mode & 0o137
    assert SHA256 == durable.digest(folder, "copy")


def test_a_copy_begins_at_the_beginning_and_moves_nothing(tmp_path: Path, folder: int) -> None:
    """Where others have read to in the same descriptor neither matters nor changes."""
    (tmp_path / "source").write_bytes(PHOTO)

    with (tmp_path / "source").open("rb", buffering=0) as source:
        source.seek(1000)
        durable.copy(source.fileno(), folder, "copy", limit=len(PHOTO))
        assert source.tell() == 1000

    assert PHOTO == (tmp_path / "copy").read_bytes()


def test_an_empty_file_has_an_empty_copy(tmp_path: Path, folder: int) -> None:
    """Nothing to copy is not an error here."""
    (tmp_path / "source").touch()

    assert (hashlib.sha256().hexdigest(), 0) == copied(tmp_path / "source", folder)
    assert (tmp_path / "copy").read_bytes() == b""


def test_a_copy_replaces_nothing(tmp_path: Path, folder: int) -> None:
    """A name that is taken stays with its owner, even if it is a link to nowhere."""
    (tmp_path / "source").write_bytes(PHOTO)
    (tmp_path / "copy").symlink_to("nowhere")

    with pytest.raises(FileExistsError):
        copied(tmp_path / "source", folder)

    assert names(tmp_path) == ["copy", "source"]


@pytest.mark.parametrize("limit", [0, 1, len(PHOTO) - 1])
def test_more_than_the_limit_is_rejected_and_leaves_nothing(tmp_path: Path, folder: int, limit: int) -> None:
    """A file that grows behind our back cannot fill the disk."""
    (tmp_path / "source").write_bytes(PHOTO)

    with pytest.raises(ImageRejected) as caught:
        copied(tmp_path / "source", folder, limit=limit)

    assert caught.value.code == "too_large"
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize("room", [0, 1, 4096, len(PHOTO) - 1])
def test_a_copy_that_does_not_fit_leaves_nothing(tmp_path: Path, folder: int, room: int) -> None:
    """Wherever the room ends, short writes included, the fault is told and the half copy is gone."""
    (tmp_path / "source").write_bytes(PHOTO)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))

    try:
        with pytest.raises(StorageUnavailable) as caught, durable.storage("uploads"):
            copied(tmp_path / "source", folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert caught.value.code == "file_limit"
    assert names(tmp_path) == ["source"]


def test_the_first_fault_is_the_one_told(tmp_path: Path, folder: int) -> None:
    """That the half copy could not be removed either does not hide why there is one."""
    (tmp_path / "source").write_bytes(PHOTO)

    with pytest.raises(ImageRejected):
        refused("unlinkat", errno.EROFS, lambda: copied(tmp_path / "source", folder, limit=1))


# Syncing


def fsyncs(act: Callable[[], object]) -> bool:
    """Return whether *act* fails if nothing can be synced."""
    try:
        refused("fsync", errno.EIO, act)
    except OSError as fault:
        return fault.errno == errno.EIO
    return False


def test_files_are_synced_and_failure_is_told(tmp_path: Path, folder: int) -> None:
    """Each way of syncing reaches the disk and says so if the disk refuses."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(PHOTO)

    durable.sync_file(folder, "a")
    durable.sync_files(folder, ["a", b"b"])
    durable.sync_folder(folder)

    assert fsyncs(lambda: durable.sync_file(folder, "a"))
    assert fsyncs(lambda: durable.sync_files(folder, ["a", "b"]))
    assert fsyncs(lambda: durable.sync_folder(folder))


def test_the_head_start_may_be_refused(tmp_path: Path, folder: int) -> None:
    """Where writing cannot be begun early, copying is the same, and syncing does all of it."""
    (tmp_path / "source").write_bytes(PHOTO)

    digest, _ = refused("sync_file_range", errno.ENOSYS, lambda: copied(tmp_path / "source", folder))

    assert hashlib.sha256(PHOTO).hexdigest() == digest


@pytest.mark.parametrize("missing", [[0], [20], [0, 20], range(21)])
def test_a_missing_file_cannot_be_synced(tmp_path: Path, folder: int, missing: Sequence[int]) -> None:
    """Who syncs files of which a power cut took some must hear of it, wherever they stand among the others."""
    for number in set(range(21)) - set(missing):
        (tmp_path / str(number)).write_bytes(PHOTO)

    with pytest.raises(FileNotFoundError) as caught:
        durable.sync_files(folder, [str(number) for number in range(21)])

    assert str(missing[0]) == caught.value.filename


def test_every_file_is_synced_once(tmp_path: Path, folder: int) -> None:
    """Syncing many at once leaves none out and does none twice."""
    photos = [f"photo{number:02}" for number in range(40)]
    for name in photos:
        (tmp_path / name).write_bytes(PHOTO)
    synced: list[str] = []

    def watch(frame: FrameType, event: str, function: object) -> None:
        if event == "c_call" and function is os.fsync:
            synced.append(frame.f_locals["name"])

    threading.setprofile(watch)
    try:
        durable.sync_files(folder, photos)
    finally:
        threading.setprofile(None)

    assert photos == sorted(synced)


# Names


def by_link(act: Callable[[], None]) -> None:
    """Do *act* on a kernel that cannot rename without replacing."""
    refused("renameat2", errno.EINVAL, act)


def plainly(act: Callable[[], None]) -> None:
    """Do *act* on this kernel."""
    act()


@pytest.mark.parametrize("way", [plainly, by_link])
def test_a_name_is_given(tmp_path: Path, folder: int, way: Callable[[Callable[[], None]], None]) -> None:
    """The temporary becomes the name, be it one act or two."""
    (tmp_path / ".tmp").write_bytes(PHOTO)
    before = identity_of(tmp_path / ".tmp")

    way(lambda: durable.give_name(folder, ".tmp", b"na\xefve\n"))

    assert [b"na\xefve\n"] == os.listdir(os.fsencode(tmp_path))
    assert before == identity_of(Path(os.fsdecode(os.fsencode(tmp_path) + b"/na\xefve\n")))


@pytest.mark.parametrize("way", [plainly, by_link])
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_name_is_never_taken_from_another(
    tmp_path: Path, folder: int, way: Callable[[Callable[[], None]], None], kind: str
) -> None:
    """Whatever stands there, it stays, and so does the temporary."""
    (tmp_path / ".tmp").write_bytes(PHOTO)
    name = tmp_path / "name"
    {"file": name.touch, "link": lambda: name.symlink_to(".tmp"), "folder": name.mkdir}[kind]()
    before = identity_of(name)

    with pytest.raises(FileExistsError):
        way(lambda: durable.give_name(folder, ".tmp", "name"))

    assert before == identity_of(name)
    assert names(tmp_path) == [".tmp", "name"]


@pytest.mark.parametrize("way", [plainly, by_link])
def test_a_name_for_nothing_is_told(folder: int, way: Callable[[Callable[[], None]], None]) -> None:
    """A temporary that is gone is said to be gone."""
    with pytest.raises(FileNotFoundError):
        way(lambda: durable.give_name(folder, ".tmp", "name"))


def test_a_name_half_given_is_completed(tmp_path: Path, folder: int) -> None:
    """A crash between the two acts leaves two names of one file; a repeat takes the first away."""
    (tmp_path / ".tmp").write_bytes(PHOTO)
    os.link(tmp_path / ".tmp", tmp_path / "name")

    by_link(lambda: durable.give_name(folder, ".tmp", "name"))

    assert names(tmp_path) == ["name"]


def test_a_name_is_given_in_another_folder(tmp_path: Path, folder: int) -> None:
    """Source and target may lie in different folders."""
    (tmp_path / "a").write_bytes(PHOTO)
    (tmp_path / "inner").mkdir()

    with durable.opened_folder(str(tmp_path), b"inner") as inner:
        durable.give_name(folder, "a", "b", target_folder=inner)

    assert names(tmp_path / "inner") == ["b"]


def test_a_fault_of_a_rename_has_its_number(tmp_path: Path, folder: int) -> None:
    """A full disk met by a rename is told as one."""
    (tmp_path / "a").touch()

    with pytest.raises(StorageUnavailable, match="No space left"), durable.storage("uploads"):
        refused("renameat2", errno.ENOSPC, lambda: durable.give_name(folder, "a", "b"))


# Moving


def test_a_file_is_moved(tmp_path: Path, folder: int) -> None:
    """On one file system it is the same file under another name."""
    (tmp_path / "a").write_bytes(PHOTO)
    before = identity_of(tmp_path / "a")

    durable.move(folder, "a", folder, "b")

    assert names(tmp_path) == ["b"]
    assert before == identity_of(tmp_path / "b")


def test_moving_replaces_nothing(tmp_path: Path, folder: int) -> None:
    """A name that is taken is told, and both files stay."""
    (tmp_path / "a").write_bytes(PHOTO)
    (tmp_path / "b").touch()

    with pytest.raises(FileExistsError):
        durable.move(folder, "a", folder, "b")

    assert names(tmp_path) == ["a", "b"]
    assert PHOTO == (tmp_path / "a").read_bytes()


def test_a_moved_file_was_synced_first(tmp_path: Path, folder: int) -> None:
    """A name must not outlive its bytes: what cannot be synced is not moved."""
    (tmp_path / "a").write_bytes(PHOTO)

    assert fsyncs(lambda: durable.move(folder, "a", folder, "b"))
    assert names(tmp_path) == ["a"]


def test_a_file_is_carried_to_another_file_system(tmp_path: Path, folder: int, elsewhere: Path, away: int) -> None:
    """The bytes and the time of the last change arrive, the source goes, nothing hidden stays."""
    (tmp_path / "a").write_bytes(PHOTO)
    before = identity_of(tmp_path / "a")

    durable.move(folder, "a", away, b"b")

    assert names(tmp_path) == []
    assert names(elsewhere) == ["b"]
    assert PHOTO == (elsewhere / "b").read_bytes()
    assert before.mtime_ns == identity_of(elsewhere / "b").mtime_ns


def test_a_full_disk_keeps_the_source(tmp_path: Path, folder: int, elsewhere: Path, away: int) -> None:
    """What cannot be carried stays where it is, and no half copy does."""
    (tmp_path / "a").write_bytes(PHOTO)

    with pytest.raises(OSError, match="No space left"):
        refused("write", errno.ENOSPC, lambda: durable.move(folder, "a", away, "b"))

    assert names(tmp_path) == ["a"]
    assert names(elsewhere) == []


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_carrying_replaces_nothing(tmp_path: Path, folder: int, elsewhere: Path, away: int, kind: str) -> None:
    """A name that is taken by something else is told, and both stay."""
    (tmp_path / "a").write_bytes(PHOTO)
    name = elsewhere / "b"
    {"file": name.touch, "link": lambda: name.symlink_to(tmp_path / "a"), "folder": name.mkdir}[kind]()
    before = identity_of(name)

    with pytest.raises(FileExistsError):
        durable.move(folder, "a", away, "b")

    assert PHOTO == (tmp_path / "a").read_bytes()
    assert before == identity_of(name)
    assert names(elsewhere) == ["b"]


def test_a_file_carried_but_not_removed_is_only_removed(
    tmp_path: Path, folder: int, elsewhere: Path, away: int
) -> None:
    """A crash before the source went leaves two files; a repeat ends the act even if the disk is full by now."""
    for path in (tmp_path / "a", elsewhere / "b"):
        path.write_bytes(PHOTO)

    refused("write", errno.ENOSPC, lambda: durable.move(folder, "a", away, "b"))

    assert names(tmp_path) == []
    assert PHOTO == (elsewhere / "b").read_bytes()


def test_a_crash_at_any_point_of_carrying_is_mended_by_a_repeat(
    tmp_path: Path, folder: int, elsewhere: Path, away: int
) -> None:
    """Killed before each act on the disk and done again, the file is there once, whole, and nothing else."""
    at = 1
    (tmp_path / "a").write_bytes(PHOTO)
    while killed(lambda: durable.move(folder, "a", away, "b"), at):
        if (elsewhere / "b").exists():
            assert PHOTO == (elsewhere / "b").read_bytes()
        if (tmp_path / "a").exists():
            durable.move(folder, "a", away, "b")

        assert names(tmp_path) == []
        assert names(elsewhere) == ["b"]
        assert PHOTO == (elsewhere / "b").read_bytes()
        (elsewhere / "b").unlink()
        (tmp_path / "a").write_bytes(PHOTO)
        at += 1

    assert at > 10


def test_holes_stay_holes(tmp_path: Path, folder: int, elsewhere: Path, away: int) -> None:
    """A file that claims a terabyte with a few bytes in it takes a few blocks on the other disk, and no time."""
    with (tmp_path / "a").open("wb") as file:
        for place in (0, 1 << 30, (1 << 40) - 7):
            file.seek(place)
            file.write(b"photo")
        file.truncate(1 << 40)

    durable.move(folder, "a", away, "b")

    status = (elsewhere / "b").stat()
    assert status.st_size == 1 << 40
    assert status.st_blocks * 512 < 1 << 20
    with (elsewhere / "b").open("rb") as file:
        for place in (0, 1 << 30, (1 << 40) - 7):
            file.seek(place)
            assert file.read(5) == b"photo"


@pytest.mark.parametrize(("number", "expected"), [(errno.EINVAL, 5), (errno.EOPNOTSUPP, 5), (errno.ENXIO, 10)])
def test_every_byte_is_read_where_holes_cannot_be_found(tmp_path: Path, number: int, expected: int) -> None:
    """Where the file system cannot say, all is data; where it says that only a hole is left, nothing is."""
    (tmp_path / "a").write_bytes(PHOTO)

    with (tmp_path / "a").open("rb") as source:
        assert expected == refused("lseek", number, lambda: _next_data(source.fileno(), 5, 10))


def test_a_disk_that_fails_while_holes_are_sought_is_told(tmp_path: Path) -> None:
    """A disk that fails is not mistaken for one without holes."""
    (tmp_path / "a").write_bytes(PHOTO)

    with (tmp_path / "a").open("rb") as source, pytest.raises(OSError, match="Input/output error"):
        refused("lseek", errno.EIO, lambda: _next_data(source.fileno(), 5, 10))


@pytest.mark.parametrize(
    ("moment", "size"), [(os.ftruncate, 0), (os.ftruncate, 2 * len(PHOTO)), (os.utime, 10), (os.utime, len(PHOTO))]
)
def test_a_source_written_to_while_it_is_carried_stays(
    tmp_path: Path, elsewhere: Path, away: int, moment: object, size: int
) -> None:
    """A sender that resumes during the copy keeps its file, whole or not; the half copy goes; it is tried again."""
    (tmp_path / "a").write_bytes(PHOTO)
    os.utime(tmp_path / "a", ns=(0, 0))

    with (
        pytest.raises(StorageUnavailable) as caught,
        durable.storage("the quarantine"),
        durable.opened_folder(str(tmp_path)) as folder,
    ):
        meddling(moment, lambda: os.truncate(tmp_path / "a", size), lambda: durable.move(folder, "a", away, "b"))

    assert caught.value.code == "busy"
    assert size == (tmp_path / "a").stat().st_size
    assert names(elsewhere) == []


def test_a_newcomer_at_the_place_of_a_carried_file_stays(
    tmp_path: Path, folder: int, elsewhere: Path, away: int
) -> None:
    """A photo that takes the place of the source after it was copied is not removed in its stead."""
    (tmp_path / "a").write_bytes(PHOTO)
    (tmp_path / "new").write_bytes(b"newcomer")

    def swap() -> None:
        (tmp_path / "new").replace(tmp_path / "a")

    # The third is that of the folder, when the copy has its name.
    meddling(os.fsync, swap, lambda: durable.move(folder, "a", away, "b"), call=3)

    assert (tmp_path / "a").read_bytes() == b"newcomer"
    assert PHOTO == (elsewhere / "b").read_bytes()


# Removing


def test_the_same_file_is_removed(tmp_path: Path, folder: int) -> None:
    """What still looks like what we saw goes."""
    (tmp_path / "a").write_bytes(PHOTO)

    assert durable.remove_if_same(folder, "a", identity_of(tmp_path / "a"))
    assert names(tmp_path) == []


@pytest.mark.parametrize("change", ["size", "mtime", "inode", "link"])
def test_another_file_is_not_removed(tmp_path: Path, folder: int, change: str) -> None:
    """A photo that took the place of ours is a newcomer, and so is ours with other bytes."""
    path = tmp_path / "a"
    path.write_bytes(PHOTO)
    seen = identity_of(path)
    if change == "size":
        os.truncate(path, 10)
    elif change == "mtime":
        os.utime(path, ns=(0, seen.mtime_ns + 1))
    else:
        path.rename(tmp_path / "b")
        if change == "inode":
            path.write_bytes(PHOTO)
        else:
            path.symlink_to("b")

    assert not durable.remove_if_same(folder, "a", seen)
    assert "a" in names(tmp_path)


def test_what_is_gone_is_not_removed_again(tmp_path: Path, folder: int) -> None:
    """Removing twice is harmless, and says which of the two did it."""
    (tmp_path / "a").touch()
    seen = identity_of(tmp_path / "a")

    durable.remove(folder, "a")
    durable.remove(folder, b"a")

    assert not durable.remove_if_same(folder, "a", seen)


def test_missing_rights_to_remove_are_told(tmp_path: Path, folder: int) -> None:
    """Whoever may not remove a file hears of it: it is owed as an act of its own."""
    (tmp_path / "a").touch()
    seen = identity_of(tmp_path / "a")

    with pytest.raises(PermissionError):
        refused("unlinkat", errno.EACCES, lambda: durable.remove_if_same(folder, "a", seen))
    with pytest.raises(PermissionError):
        refused("unlinkat", errno.EACCES, lambda: durable.remove(folder, "a"))


# Whole new files


def test_a_new_file_is_whole_and_durable(tmp_path: Path, folder: int) -> None:
    """It has all its bytes and its name, nothing hidden stays, and a disk that cannot sync is told."""
    durable.write_new(folder, "a.json", b"{}")

    assert (tmp_path / "a.json").read_bytes() == b"{}"
    assert names(tmp_path) == ["a.json"]
    assert fsyncs(lambda: durable.write_new(folder, "b.json", b"{}"))
    assert names(tmp_path) == ["a.json"]


def test_a_new_file_replaces_nothing(tmp_path: Path, folder: int) -> None:
    """The one that stands there stays as it is."""
    (tmp_path / "a").write_bytes(b"first")

    with pytest.raises(FileExistsError):
        durable.write_new(folder, "a", b"second")

    assert (tmp_path / "a").read_bytes() == b"first"
    assert names(tmp_path) == ["a"]


def test_the_longest_name_can_be_written(tmp_path: Path, folder: int) -> None:
    """The hidden name needs no more room than the name itself may have."""
    durable.write_new(folder, "n" * 255, b"{}")

    assert names(tmp_path) == ["n" * 255]


def test_a_crash_while_writing_leaves_all_or_nothing(tmp_path: Path, folder: int) -> None:
    """Killed before each act on the disk, the name is absent or whole, and a repeat tidies up."""
    at = 1
    while killed(lambda: durable.write_new(folder, "a", PHOTO), at):
        if (tmp_path / "a").exists():
            with pytest.raises(FileExistsError):
                durable.write_new(folder, "a", PHOTO)
        else:
            durable.write_new(folder, "a", PHOTO)

        assert PHOTO == (tmp_path / "a").read_bytes()
        assert names(tmp_path) == ["a"]
        (tmp_path / "a").unlink()
        at += 1

    assert at > 5


@given(data=st.binary(max_size=2000))
def test_any_bytes_come_back(data: bytes) -> None:
    """What is written is what is read, and its digest is the digest of the bytes."""
    with tempfile.TemporaryDirectory() as path, durable.opened_folder(path) as folder:
        durable.write_new(folder, "a", data)

        assert data == (Path(path) / "a").read_bytes()
        assert hashlib.sha256(data).hexdigest() == durable.digest(folder, "a")
