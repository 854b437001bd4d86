"""One look: what it says of whole files and broken ones, of writers, and of everything that is no file."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.inbox.doors import put
from tests.makers import jpeg, png
from tests.refusals import counted, meddling, refused, unprivileged
from watcher.inbox.looks import Ignored, identity_of, look_at_image, look_at_sidecar, read_sidecar
from watcher.model import Sighting

NOBODY: frozenset[int] = frozenset()
HOLD = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
print("open", flush=True)
sys.stdin.readline()
os.close(file)
print("closed", flush=True)
sys.stdin.readline()
"""


def look(root: bytes, path: bytes = b"cam.jpg") -> Sighting:
    """Look at an image that is there."""
    seen = look_at_image(root, path, NOBODY)
    assert isinstance(seen, Sighting)
    return seen


def ignored(root: bytes, path: bytes = b"cam.jpg") -> str:
    """Look at what is no image, and return what it is."""
    seen = look_at_image(root, path, NOBODY)
    assert isinstance(seen, Ignored)
    status = os.lstat(os.path.join(root, path))
    assert (status.st_dev, status.st_ino) == (seen.device, seen.inode)
    return seen.what


# What is there


def test_a_look_tells_everything(root: bytes) -> None:
    """Who the file is, how it is called, what is in it, and that nobody writes to it."""
    target = put(root, b"gate/cam.jpg", jpeg())
    status = os.stat(target)

    seen = look(root, b"gate/cam.jpg")

    assert (
        Sighting(
            path=b"gate/cam.jpg",
            identity=identity_of(status),
            ctime_ns=status.st_ctime_ns,
            links=1,
            writer="none",
            ending="whole",
            form="jpg",
            network=False,
        )
        == seen
    )
    assert len(jpeg()) == seen.identity.size


@pytest.mark.parametrize(
    ("data", "ending", "form"),
    [
        (jpeg(), "whole", "jpg"),
        (png(), "whole", "png"),
        (jpeg() + bytes(512), "whole", "jpg"),
        (jpeg()[:-2], "cut", "jpg"),
        (jpeg()[:-2] + bytes(2), "cut", "jpg"),
        (png()[:-1], "cut", "png"),
        (b"", "cut", ""),
        (b"GIF89a", "foreign", ""),
    ],
    ids=["jpeg", "png", "padded", "cut", "zero tail", "cut png", "empty", "gif"],
)
def test_the_end_is_looked_for(root: bytes, data: bytes, ending: str, form: str) -> None:
    """Whatever the name says, the bytes tell the form and whether its end is there."""
    put(root, b"cam.jpg", data)

    assert (ending, form) == (look(root).ending, look(root).form)


@pytest.mark.parametrize(
    "name",
    [
        b"line\nbreak.jpg",
        b"caf\xe9.jpg",
        b"-rf.jpg",
        b"$(id).jpg",
        b"%s\x1b[31m.jpg",
        "🚗\u202e.jpg".encode(),
        b"x" * 251 + b".jpg",
        b" .jpg",
        b"a;b|c&d'e\"f.jpg",
    ],
)
def test_any_name_is_looked_at(root: bytes, name: bytes) -> None:
    """Names are bytes and mean nothing."""
    put(root, name, jpeg())
    put(root, b"sub/" + name, jpeg())

    assert name == look(root, name).path
    assert "whole" == look(root, b"sub/" + name).ending


def test_a_name_too_long_to_exist_is_nothing(root: bytes) -> None:
    """A name of 255 bytes has no room for the ending of a sidecar."""
    assert look_at_sidecar(root, b"x" * 251 + b".jpg.json", NOBODY) is None


def test_links_are_counted(root: bytes) -> None:
    """A second name is noticed, and so is its end."""
    target = put(root, b"cam.jpg", jpeg())
    os.link(target, os.path.join(root, b"other.jpg"))
    assert 2 == look(root).links
    os.unlink(os.path.join(root, b"other.jpg"))
    assert 1 == look(root).links


@pytest.mark.parametrize("path", [b"gone.jpg", b"gone/cam.jpg", b"cam.jpg/cam.jpg"])
def test_what_is_gone_is_nothing(root: bytes, path: bytes) -> None:
    """A file that left, a folder that left, and a folder that became a file."""
    put(root, b"cam.jpg", jpeg())

    assert look_at_image(root, path, NOBODY) is None
    assert look_at_sidecar(root, path, NOBODY) is None


# Writers


def test_a_writer_in_another_process_is_seen(root: bytes) -> None:
    """While an upload is open it is `open`, when it is closed it is `none`, whatever is in it."""
    target = put(root, b"cam.jpg", jpeg())
    command = [sys.executable, "-c", HOLD, os.fsdecode(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert b"open\n" == writer.stdout.readline()
        assert ("open", "whole") == (look(root).writer, look(root).ending)

        writer.stdin.write(b"\n")
        writer.stdin.flush()
        assert b"closed\n" == writer.stdout.readline()
        assert "none" == look(root).writer
        writer.communicate(b"\n")


def test_a_mapping_is_a_writer(root: bytes) -> None:
    """Who writes through memory has long closed the file, and is seen all the same."""
    target = put(root, b"cam.jpg", jpeg())
    with open(target, "r+b") as file:
        mapping = mmap.mmap(file.fileno(), 0)
    assert "open" == look(root).writer

    mapping.close()

    assert "none" == look(root).writer


def test_a_reader_is_no_writer(root: bytes) -> None:
    """A viewer that has the photo open holds nothing up."""
    target = put(root, b"cam.jpg", jpeg())
    with open(target, "rb"):
        assert "none" == look(root).writer


def test_looking_leaves_no_lease(root: bytes) -> None:
    """Right after a look anybody may open the file for writing without waiting."""
    target = put(root, b"cam.jpg", jpeg())
    look(root)

    descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
    os.close(descriptor)


def test_files_of_others_have_unknown_writers(commons: Path) -> None:
    """Without CAP_LEASE the kernel tells only the owner."""
    root = os.fsencode(commons)
    put(root, b"cam.jpg", jpeg())
    os.chmod(os.path.join(root, b"cam.jpg"), 0o644)

    assert unprivileged(lambda: _expect("unknown", look(root).writer))


def test_a_lease_on_a_network_mount_is_not_even_asked_for(root: bytes) -> None:
    """NFS and CIFS may refuse it to anybody, which would look like a writer who never leaves."""
    target = put(root, b"cam.jpg", jpeg())
    device = frozenset({os.stat(root).st_dev})
    with open(target, "ab"):
        seen = look_at_image(root, b"cam.jpg", device)

    assert isinstance(seen, Sighting)
    assert (True, "unknown") == (seen.network, seen.writer)


# What is no file


def _symlink(target: bytes) -> None:
    os.symlink(b"/etc/passwd", target)


def _dangling(target: bytes) -> None:
    os.symlink(b"nowhere", target)


def _socket(target: bytes) -> None:
    # The path of a socket has little room.
    folder = os.open(os.path.dirname(target), os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as channel:
        channel.bind(b"/proc/self/fd/%d/" % folder + os.path.basename(target))
    os.close(folder)


def _device(target: bytes) -> None:
    try:
        os.mknod(target, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.close(os.open(target, os.O_RDONLY))
    except PermissionError:
        pytest.skip("no devices can be made here")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (_symlink, "symlink"),
        (_dangling, "symlink"),
        (os.mkfifo, "fifo"),
        (_socket, "socket"),
        (os.mkdir, "folder"),
        (_device, "device"),
    ],
    ids=["symlink", "dangling", "fifo", "socket", "folder", "device"],
)
def test_what_is_no_file_is_named_and_not_read(root: bytes, make: Callable[[bytes], None], what: str) -> None:
    """None of them is followed, waited for or read; the look says what it is."""
    make(os.path.join(root, b"cam.jpg"))

    assert what == ignored(root)


def test_a_file_that_may_not_be_read_is_named(commons: Path) -> None:
    """It stands there for ever, and an operator has to be told why."""
    root = os.fsencode(commons)
    put(root, b"cam.jpg", jpeg())
    os.chmod(os.path.join(root, b"cam.jpg"), 0o600)

    assert unprivileged(lambda: _expect("unreadable", ignored(root)))


def test_a_folder_that_became_a_link_leads_nowhere(root: bytes, tmp_path: Path) -> None:
    """Whoever swaps a sub-folder for a link to elsewhere has nothing read from there."""
    put(os.fsencode(tmp_path), b"secret/cam.jpg", jpeg())
    put(root, b"gate/cam.jpg", jpeg())
    os.unlink(os.path.join(root, b"gate/cam.jpg"))
    os.rmdir(os.path.join(root, b"gate"))
    os.symlink(os.fsencode(tmp_path / "secret"), os.path.join(root, b"gate"))

    assert look_at_image(root, b"gate/cam.jpg", NOBODY) is None
    assert look_at_sidecar(root, b"gate/cam.jpg", NOBODY) is None


@pytest.mark.parametrize(("make", "what"), [(_symlink, "symlink"), (os.mkfifo, "fifo")], ids=["symlink", "fifo"])
def test_a_file_that_is_swapped_while_it_is_opened_is_not_followed(
    root: bytes, make: Callable[[bytes], None], what: str
) -> None:
    """The answer comes from what was opened."""
    target = put(root, b"cam.jpg", jpeg())

    def swap() -> None:
        os.unlink(target)
        make(target)

    seen = meddling(os.open, swap, lambda: look_at_image(root, b"cam.jpg", NOBODY))

    assert isinstance(seen, Ignored)
    assert what == seen.what


def test_a_file_that_vanishes_while_it_is_opened_is_gone(root: bytes) -> None:
    """Between the refusal to open and the question why, it may leave."""
    os.symlink(b"nowhere", os.path.join(root, b"cam.jpg"))

    vanish = meddling(
        os.stat, lambda: os.unlink(os.path.join(root, b"cam.jpg")), lambda: look_at_image(root, b"cam.jpg", NOBODY)
    )

    assert vanish is None


# Trouble


@pytest.mark.parametrize(
    ("call", "number"),
    [
        ("openat", errno.EMFILE),
        ("openat", errno.EIO),
        ("openat", errno.ESTALE),
        ("pread64", errno.EIO),
        ("fcntl", errno.EIO),
    ],
)
def test_trouble_is_raised(root: bytes, call: str, number: int) -> None:
    """What a disk or a share says is neither `gone` nor `broken`."""
    put(root, b"cam.jpg", jpeg())

    with pytest.raises(OSError, match=os.strerror(number)):
        refused(call, number, lambda: look_at_image(root, b"cam.jpg", NOBODY))


def test_trouble_with_what_could_not_be_opened_is_raised(root: bytes) -> None:
    """When nobody can say what stands there, it is not taken for gone."""
    os.symlink(b"nowhere", os.path.join(root, b"cam.jpg"))

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        refused("newfstatat", errno.EIO, lambda: look_at_image(root, b"cam.jpg", NOBODY))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_leases_has_unknown_writers(root: bytes, number: int) -> None:
    """Not every file system has them."""
    put(root, b"cam.jpg", jpeg())

    assert "unknown" == refused("fcntl", number, lambda: look(root)).writer


def test_looks_leave_no_descriptors_open(root: bytes) -> None:
    """Whatever was seen."""
    put(root, b"a/cam.jpg", jpeg())
    put(root, b"cam.jpg.json", b"{}")
    os.mkfifo(os.path.join(root, b"fifo.jpg"))
    before = len(os.listdir("/proc/self/fd"))

    for path in (b"a/cam.jpg", b"gone.jpg", b"gone/cam.jpg", b"fifo.jpg"):
        look_at_image(root, path, NOBODY)
    sidecar = look_at_sidecar(root, b"cam.jpg.json", NOBODY)
    assert isinstance(sidecar, Sighting)
    read_sidecar(root, sidecar)

    assert before == len(os.listdir("/proc/self/fd"))


def test_what_is_unchanged_is_not_read_again(root: bytes) -> None:
    """The second look asks only who writes; one after a change reads."""
    target = put(root, b"cam.jpg", jpeg())
    first = look(root)

    def again() -> Sighting:
        seen = look_at_image(root, b"cam.jpg", NOBODY, first)
        assert isinstance(seen, Sighting)
        return seen

    assert 0 == counted(os.pread, again)
    assert first == again()
    with open(target, "r+b") as file:
        file.truncate(100)
    assert 0 < counted(os.pread, again)
    assert "cut" == again().ending


# Sidecars


@pytest.mark.parametrize(
    ("data", "ending"), [(b'{"propietario": "Ana"}', "whole"), (b'{"propietario": "An', "cut"), (b"", "cut")]
)
def test_a_sidecar_is_whole_or_not(root: bytes, data: bytes, ending: str) -> None:
    """Half-written JSON is told from JSON."""
    put(root, b"cam.json", data)

    seen = look_at_sidecar(root, b"cam.json", NOBODY)

    assert isinstance(seen, Sighting)
    assert (ending, "json", 1) == (seen.ending, seen.form, seen.links)
    assert data == read_sidecar(root, seen)


def test_no_more_of_a_sidecar_is_read_than_is_allowed(root: bytes) -> None:
    """One byte more than the limit says that it is too large."""
    put(root, b"cam.json", b"x" * 200_000)
    seen = look_at_sidecar(root, b"cam.json", NOBODY)
    assert isinstance(seen, Sighting)

    raw = read_sidecar(root, seen)

    assert raw is not None
    assert 64 * 1024 + 1 == len(raw)


def test_another_sidecar_is_not_read_for_the_one_that_was_seen(root: bytes) -> None:
    """Between the look and the reading it may be replaced, vanish, or become a link."""
    target = put(root, b"cam.json", b"{}")
    seen = look_at_sidecar(root, b"cam.json", NOBODY)
    assert isinstance(seen, Sighting)

    put(root, b"cam.json", b'{"propietario": "Ana"}')
    assert read_sidecar(root, seen) is None
    os.unlink(target)
    assert read_sidecar(root, seen) is None
    os.symlink(b"/etc/passwd", target)
    assert read_sidecar(root, seen) is None


def _expect(expected: object, actual: object) -> None:
    assert expected == actual


def test_a_hole_of_terabytes_is_not_looked_into(tmp_path: Path) -> None:
    """One FTP command makes such a file; what is larger than we take is known by its size alone."""
    with (tmp_path / "cam.jpg").open("wb") as file:
        file.write(jpeg())
        file.truncate(1 << 41)

    sighting = look_at_image(os.fsencode(tmp_path), b"cam.jpg", NOBODY, largest=1 << 20)

    assert isinstance(sighting, Sighting)
    assert ("cut", 1 << 41) == (sighting.ending, sighting.identity.size)
