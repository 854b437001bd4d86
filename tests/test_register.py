"""The register: one row per image, exactly once, whatever crashes, whoever else writes, however full the disk is."""

from __future__ import annotations

import csv
import errno
import fcntl
import os
import resource
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from tests.refusals import counted, killed, meddling, refused, unprivileged
from watcher.cells import BOM, HEADER_LINE, line_of
from watcher.errors import RegisterForeign, RegisterSuspended, StorageUnavailable
from watcher.model import Row
from watcher.register import HEADER, Line, Register, registros_lock
from watcher.register.file import blocks

LF, CRLF = b"\n", b"\r\n"


def image(number: int) -> str:
    """Return the name of image *number*."""
    return f"matricula_20260304_{number:06d}.jpg"


def a_row(number: int, *, repeated: bool = False) -> Row:
    """Return a row for image *number*, with something to quote in it."""
    return Row("2026-03-04 15:30:45", f"AB{number}", "Juan Pérez", "Sedan", 'Dice "hola", ñ', image(number), repeated)


def line(number: int, identifier: int, ending: bytes = LF) -> bytes:
    """Return the line of image *number*."""
    return line_of(a_row(number), identifier, ending)


def append(
    register: Register, numbers: Iterable[int], *, repeated: bool = False, owed: Sequence[int] = ()
) -> list[int]:
    """Append the rows of the images *numbers*; the journal remembers no id, and owes these rows and *owed*."""
    numbers = list(numbers)
    rows = [a_row(number, repeated=repeated) for number in numbers]
    return register.append(rows, highest_id=0, owed=lambda: map(a_row, [*owed, *numbers]))


def never() -> Iterable[Row]:
    """Stand for a journal that is not to be asked."""
    pytest.fail("the journal was asked for what is owed")


def table(path: Path) -> list[list[str]]:
    """Return the rows below the header as any reader of CSV sees them."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header, *rows = csv.reader(file, strict=True)
    assert list(HEADER) == header
    return rows


def entries(path: Path) -> list[tuple[int, str]]:
    """Return id and image of each row."""
    return [(int(cells[0]), cells[-1]) for cells in table(path)]


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def register(tmp_path: Path) -> Register:
    """Give a register in an empty folder."""
    return Register(tmp_path)


# Appending


def test_the_first_rows_make_the_file(register: Register) -> None:
    """Header and rows in UTF-8 with LF ends and no byte order mark, ids from one, not for everybody's eyes."""
    ids = register.append([a_row(1), a_row(2)], highest_id=0, owed=never)

    assert [1, 2] == ids
    assert HEADER_LINE + line(1, 1) + line(2, 2) == register.path.read_bytes()
    assert not register.path.stat().st_mode & 0o137


def test_rows_are_added_at_the_end(register: Register) -> None:
    """Each batch goes below the last, in order, by this process and the next."""
    append(register, [1])
    append(register, [2, 3])

    assert [4] == append(Register(register.path.parent), [4])
    assert [(1, image(1)), (2, image(2)), (3, image(3)), (4, image(4))] == entries(register.path)


def test_no_rows_are_fine(register: Register) -> None:
    """A batch of nothing makes a file with a header and nothing more."""
    assert [] == append(register, [])
    assert [] == append(register, [])
    assert HEADER_LINE == register.path.read_bytes()


def test_ids_of_deleted_rows_do_not_come_back(register: Register) -> None:
    """The next id is above what the file holds and above what the journal remembers."""
    append(register, [1])

    assert [8, 9] == register.append([a_row(2), a_row(3)], highest_id=7, owed=never)
    assert [10] == register.append([a_row(4)], highest_id=3, owed=never)


@pytest.mark.parametrize(
    ("before", "opening", "ending"),
    [
        (b"", HEADER_LINE, LF),
        (BOM, HEADER_LINE, LF),
        (HEADER_LINE, b"", LF),
        (HEADER_LINE[:-1], LF, LF),
        (BOM + HEADER_LINE, b"", LF),
        (HEADER_LINE[:-1] + CRLF, b"", CRLF),
        (HEADER_LINE[:-1] + b"\r", LF, CRLF),
        (BOM + HEADER_LINE[:-1] + CRLF + line(8, 0, CRLF), b"", CRLF),
        (HEADER_LINE + b"\n\n" + line(8, 0) + b"\n", b"", LF),
        (HEADER_LINE + line(8, 0)[:-1], LF, LF),
        (HEADER_LINE[:-1] + CRLF + line(8, 0, CRLF)[:-2], CRLF, CRLF),
        (HEADER_LINE[:-1] + CRLF + line(8, 0, CRLF)[:-1], LF, CRLF),
        (HEADER_LINE + line(8, 0) + b"a note", LF, LF),
        (HEADER_LINE + b"Mu\xf1oz,\xff\xfe" + LF, b"", LF),
        (HEADER_LINE + b"x" * 3_000_000, LF, LF),
        (HEADER_LINE + bytes(70_000), LF, LF),
        (HEADER_LINE.replace(b"id,", b'"id",'), b"", LF),
    ],
)
def test_files_that_others_edited_are_kept_as_they_are(
    register: Register, before: bytes, opening: bytes, ending: bytes
) -> None:
    """Line ends, byte order mark, blank lines, notes, foreign bytes stay; a line without an end is ended, not cut."""
    register.path.write_bytes(before)

    assert [1] == append(register, [1])
    assert [2] == append(register, [2])

    assert before + opening + line(1, 1, ending) + line(2, 2, ending) == register.path.read_bytes()
    assert not (register.path.parent / "registros.csv.torn").exists()


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"41,a\n", 42),
        (b'"41",a\n', 42),
        (b"41,a\n7,a\n", 42),
        (b"0041,a\n", 42),
        (b"9999999999999999,a\n41,a\n", 42),
        (b"x,a\n-5,a\n 7,a\n1.5,a\n", 1),
        ("٤١,a\n".encode(), 1),
        (b"a,41,b\n", 1),
        (b'5,"an open quotation mark,a\n41,a\n', 42),
        (b"41,a", 42),
    ],
)
def test_ids_in_the_file_are_respected(register: Register, lines: bytes, expected: int) -> None:
    """The highest number in a first cell counts, wherever it stands; what no journal could hold does not."""
    register.path.write_bytes(HEADER_LINE + lines)

    assert [expected] == append(register, [1])


def test_other_people_can_append_in_between(register: Register) -> None:
    """Lines that were added by another program are read before the next id is given, without a warning."""
    append(register, [1])
    with capture_logs() as logs:
        for number in (40, 50):
            with registros_lock(register.path.parent), register.path.open("ab") as file:
                file.write(line(number, number))
            append(register, [number + 1])

    assert [(1, 1), (40, 40), (41, 41), (50, 50), (51, 51)] == [
        (number, int(name[19:25])) for number, name in entries(register.path)
    ]
    assert [] == logs


# Rows that may be there already


def test_a_repeated_row_keeps_its_line_and_its_id(register: Register) -> None:
    """What a crash may have written is looked up first; what is not there is added, with the ids in order."""
    append(register, [1, 2, 3])

    ids = register.append(
        [a_row(2, repeated=True), a_row(4, repeated=True), a_row(5), a_row(1, repeated=True)], highest_id=3, owed=never
    )

    assert [2, 4, 5, 1] == ids
    assert [1, 2, 3, 4, 5] == [number for number, _ in entries(register.path)]


def test_names_that_begin_alike_are_told_apart(register: Register) -> None:
    """The first, second and third image of one second are three images."""
    names = ["matricula_20260304_153045.jpg", "matricula_20260304_153045_2.jpg", "matricula_20260304_153045.png"]
    rows = [Row("", "", "", "", "", name, repeated=True) for name in names]

    for index, row in enumerate(rows):
        assert [index + 1] == register.append([row], highest_id=0, owed=never)

    assert [3, 1, 2] == register.append([rows[2], rows[0], rows[1]], highest_id=0, owed=never)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (b'5,"2026","X","","","",' + image(1).encode() + b"\n", 5),
        (b'5,2026,X,,,,"' + image(1).encode() + b'"\r\n', 5),
        (b'5,2026,"X,,,,' + image(1).encode() + b"\n", 5),
        (b"5,2026,X,,,two, cells," + image(1).encode() + b"\n", 5),
        (b"5,2026,X,,,," + image(1).encode() + b",seen,,\n", 5),
        (b"5,2026,Mu\xf1oz,,,," + image(1).encode() + b"\n", 5),
        (b"5,2026,X,,,," + image(1).encode(), 5),
        (b"4,a\n" * 400_000 + b"5,2026,X,,,," + image(1).encode() + b"\n" + b"4,a\n" * 400_000, 5),
        (b"5,2026,X,,,," + image(1).encode() + b"\n6,2026,X,,,," + image(1).encode() + b"\n", 6),
        (b"," + image(1).encode() + b"\n", 1),
        (b"9,a\n,2026,X,,,," + image(1).encode() + b"\n", 10),
    ],
)
def test_a_row_is_found_in_whatever_state_its_line_is(register: Register, theirs: bytes, expected: int) -> None:
    """Quoted anew, widened, damaged or in the middle of a long file: the row is there, so it is not written again."""
    register.path.write_bytes(HEADER_LINE + theirs)

    assert [expected] == register.append([a_row(1, repeated=True)], highest_id=0, owed=list)
    assert register.path.read_bytes().rstrip() == (HEADER_LINE + theirs).rstrip()


@pytest.mark.parametrize(
    "theirs",
    [
        b"5,2026,X,,," + image(1).encode() + b",matricula_20260101_000000.jpg\n",
        b"5,2026,X,,,,x" + image(1).encode() + b"\n",
        b"5,2026,X,,,," + image(1).encode() + b".bak\n",
        b'5,2026,"X,,,,matricula_x.jpg\n6,"' + image(1).encode() + b'",,,,,b\n',
        b"\0\0\0,X,,,," + image(1).encode() + b"\n",
    ],
)
def test_a_name_elsewhere_is_not_a_row(register: Register, theirs: bytes) -> None:
    """Only the last cell says whose row it is: no remark, no part of a name, not what a power cut left of a line."""
    register.path.write_bytes(HEADER_LINE + theirs)

    append(register, [1], repeated=True)

    assert register.path.read_bytes().startswith(HEADER_LINE + theirs)
    assert register.path.read_bytes().endswith(image(1).encode() + b"\n")
    assert len(register.path.read_bytes()) > len(HEADER_LINE + theirs)


def test_rows_are_found_across_a_long_file(register: Register) -> None:
    """Rows far apart are found together, and a remark that names one does not stand for it."""
    far, near = line(1, 1), line(2, 2)
    remark = b"9,2026,X,,," + image(1).encode() + b"," + image(3).encode() + b"\n"
    register.path.write_bytes(HEADER_LINE + far + b"4,a\n" * 400_000 + near + remark)

    assert [2, 1] == append(register, [2, 1], repeated=True)
    assert [1] == append(register, [1], repeated=True)


def test_a_stray_quotation_mark_hides_nothing(register: Register) -> None:
    """A reader of the whole file would see one endless row; each of the rows below the mark is found all the same."""
    append(register, range(100))
    register.path.write_bytes(register.path.read_bytes().replace(b"AB3,", b'AB3,"', 1))

    assert list(range(1, 101)) == append(register, range(100), repeated=True)


def test_a_row_that_was_found_is_synced(register: Register) -> None:
    """Its writer may have died before its sync, so finding it is not enough."""
    append(register, [1])

    with pytest.raises(StorageUnavailable):
        refused("fsync", errno.EIO, lambda: append(register, [1], repeated=True))

    assert [(1, image(1))] == entries(register.path)


def test_what_is_synced(register: Register) -> None:
    """The file for each batch; its folder if the file is new to this process; a half line before it goes."""
    assert counted(os.fsync, lambda: append(register, [1])) == 2
    assert counted(os.fsync, lambda: append(register, [2, 3])) == 1
    assert counted(os.fsync, lambda: append(register, [2], repeated=True)) == 1
    rewrite(register.path, register.path.read_bytes(), in_place=False)
    with capture_logs():
        assert counted(os.fsync, lambda: append(register, [4])) == 2
        assert counted(os.fsync, lambda: append(Register(register.path.parent), [5])) == 2
        with register.path.open("ab") as file:
            file.write(line(6, 6)[:30])
        assert counted(os.fsync, lambda: append(register, [6], repeated=True)) == 4


def rewrite(path: Path, content: bytes, *, in_place: bool) -> None:
    """Write the file anew as other programs do."""
    if in_place:
        path.write_bytes(content)
    else:
        path.with_name("new").write_bytes(content)
        path.with_name("new").replace(path)


# Whose file it is


def make_fifo(path: Path) -> None:
    """Put a fifo at *path*."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """Put a socket at *path*, by a name short enough for one."""
    with socket.socket(socket.AF_UNIX) as server, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        descriptor = os.open(folder, os.O_PATH)
        server.bind(f"/proc/self/fd/{descriptor}/s")
        os.close(descriptor)
        os.rename(Path(folder) / "s", path)


def make_link(path: Path) -> None:
    """Put a link to a good register at *path*."""
    path.with_name("real.csv").write_bytes(HEADER_LINE)
    path.symlink_to("real.csv")


FOREIGN: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: path.write_bytes(HEADER_LINE.replace(b",", b";")), "semicolons"),
    (lambda path: path.write_bytes(HEADER_LINE.decode().encode("utf-16")), "UTF-16"),
    (lambda path: path.write_bytes(b"fecha,hora\n1,2\n"), "'fecha,hora'"),
    (lambda path: path.write_bytes(b"\n"), "first line"),
    (Path.mkdir, "folder"),
    (make_link, "link"),
    (lambda path: path.symlink_to("nowhere"), "link"),
    (make_fifo, "no regular file"),
    (make_socket, "socket"),
]


@pytest.mark.parametrize(("make", "reason"), FOREIGN)
def test_a_foreign_file_stops_the_start(register: Register, make: Callable[[Path], object], reason: str) -> None:
    """At start the process says what stands there and what to do, and touches nothing."""
    make(register.path)
    before = register.path.lstat()

    with pytest.raises(RegisterForeign, match=reason) as caught:
        register.check()

    assert str(register.path) in caught.value.reason
    assert "verify --repair" in caught.value.hint
    assert before == register.path.lstat()


@pytest.mark.parametrize(("make", "reason"), FOREIGN)
def test_a_foreign_file_suspends_the_lane(register: Register, make: Callable[[Path], object], reason: str) -> None:
    """While it runs the act is put off and nothing is touched; once the file is moved away, it goes on."""
    append(register, [1])
    register.path.unlink()
    make(register.path)
    before = register.path.lstat()

    with pytest.raises(RegisterSuspended, match=reason) as caught:
        append(register, [2])
    with pytest.raises(RegisterSuspended, match=reason):
        next(register.lines())

    assert "verify --repair" in caught.value.hint
    assert before == register.path.lstat()
    register.path.rename(register.path.with_name("theirs"))
    append(register, [2])
    assert [image(2)] == [name for _, name in entries(register.path)]


@pytest.mark.parametrize("content", [None, b"", BOM, HEADER_LINE, HEADER_LINE[:5], BOM + HEADER_LINE + line(1, 1)[:9]])
def test_looking_changes_nothing(register: Register, content: bytes | None) -> None:
    """The look at start makes no file, no lock, and mends nothing; a file that is missing, empty or torn is ours."""
    if content is not None:
        register.path.write_bytes(content)

    register.check()

    assert ([] if content is None else ["registros.csv"]) == os.listdir(register.path.parent)
    assert content is None or content == register.path.read_bytes()


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """A mount that is gone puts the rows off; nothing is made in its place."""
    register = Register(tmp_path / "data")

    for act in (register.check, lambda: append(register, [1]), lambda: list(register.lines())):
        with pytest.raises(StorageUnavailable, match="not there") as caught:
            act()
        assert caught.value.code == "unreachable"
    assert not (tmp_path / "data").exists()


def test_missing_rights_put_the_rows_off() -> None:
    """A file made read-only by hand is no reason to die: it is told, and works again once it is writable."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)  # noqa: S103 (nobody has to get in)
        register = Register(Path(folder))
        register.path.write_bytes(HEADER_LINE)
        register.path.chmod(0o444)

        def try_it() -> None:
            register.check()
            with pytest.raises(StorageUnavailable) as caught:
                append(register, [1])
            assert caught.value.code == "no_rights"

        assert unprivileged(try_it)
        register.path.chmod(0o666)
        assert unprivileged(lambda: append(register, [1]))
        assert [(1, image(1))] == entries(register.path)


# Half lines


@pytest.mark.parametrize("length", [*range(1, len(line(9, 2)))])
def test_a_half_line_of_ours_is_cut(register: Register, length: int) -> None:
    """Wherever a crash cut the line of a row that is owed, it goes, is kept beside the file, and is written anew."""
    register.path.write_bytes(HEADER_LINE + line(1, 1) + line(9, 2)[:length])

    with capture_logs() as logs:
        assert [2] == append(register, [3], owed=[5, 9])
        assert [3] == append(register, [9], repeated=True)

    assert HEADER_LINE + line(1, 1) + line(3, 2) + line(9, 3) == register.path.read_bytes()
    assert line(9, 2)[:length] + b"\n" == (register.path.parent / "registros.csv.torn").read_bytes()
    assert [("register.mended", length)] == [(entry["event"], entry["bytes"]) for entry in logs]


@pytest.mark.parametrize("start", [b"", BOM])
def test_a_half_header_is_written_anew(register: Register, start: bytes) -> None:
    """A crash while the very first line was written leaves a file that is still ours."""
    for length in range(1, len(HEADER_LINE) - 1, 3):
        register.path.write_bytes(start + HEADER_LINE[:length])

        with capture_logs():
            assert [1] == append(Register(register.path.parent), [1])

        assert start + HEADER_LINE + line(1, 1) == register.path.read_bytes()


@pytest.mark.parametrize("tail", [line(9, 2)[:-1], line(9, 2)[:25], b"9;", b"a note", b"\0x"])
def test_a_line_without_an_end_that_is_not_owed_is_ended(register: Register, tail: bytes) -> None:
    """An editor that leaves out the last line ending must not cost a row."""
    register.path.write_bytes(HEADER_LINE + tail)

    with capture_logs() as logs:
        append(register, [3], owed=[5])

    assert register.path.read_bytes().startswith(HEADER_LINE + tail + b"\n")
    assert [("register.ended", len(tail))] == [(entry["event"], entry["bytes"]) for entry in logs]


def test_the_journal_is_asked_only_about_half_lines(register: Register) -> None:
    """A backlog of a hundred thousand rows is not listed for each batch."""
    register.append([a_row(1)], highest_id=0, owed=never)
    register.append([a_row(1, repeated=True), a_row(2)], highest_id=0, owed=never)


def test_half_lines_are_all_kept(register: Register) -> None:
    """What was cut off is added to what was cut off before."""
    for length in (10, 20):
        with register.path.open("ab") as file:
            file.write((b"" if file.tell() else HEADER_LINE) + line(9, 2)[:length])
        with capture_logs():
            append(register, [], owed=[9])

    kept = line(9, 2)[:10] + b"\n" + line(9, 2)[:20] + b"\n"
    assert kept == (register.path.parent / "registros.csv.torn").read_bytes()


# Disks that are full or fail


@pytest.mark.parametrize("room", range(0, len(line(2, 2) + line(3, 3)), 7))
def test_a_batch_that_does_not_fit_leaves_nothing(register: Register, room: int) -> None:
    """Wherever the write breaks off, the file is as it was before the batch, and the batch fits once there is room."""
    append(register, [1])
    before = register.path.read_bytes()

    with file_limit(len(before) + room), pytest.raises(StorageUnavailable) as caught:
        append(register, [2, 3])

    assert caught.value.code in {"disk_full", "file_limit"}
    assert before == register.path.read_bytes()
    with capture_logs() as logs:
        assert [2, 3] == append(register, [2, 3], repeated=True)
    assert before + line(2, 2) + line(3, 3) == register.path.read_bytes()
    assert [] == logs


@pytest.mark.parametrize("before", [None, b"", BOM, HEADER_LINE + b"a note"])
@pytest.mark.parametrize("room", [0, 1, 40, len(HEADER_LINE), 100])
def test_a_first_batch_that_does_not_fit_can_be_repeated(register: Register, before: bytes | None, room: int) -> None:
    """The same holds for the header and for what ends another's line."""
    if before is not None:
        register.path.write_bytes(before)

    with file_limit(len(before or b"") + room), capture_logs(), pytest.raises(StorageUnavailable):
        append(register, [1, 2])

    assert (before or b"") == register.path.read_bytes()
    assert [1, 2] == append(register, [1, 2], repeated=True)
    register.path.write_bytes(register.path.read_bytes().replace(b"a note\n", b""))
    assert [(1, image(1)), (2, image(2))] == entries(register.path)


def test_a_batch_that_cannot_be_synced_leaves_nothing(register: Register) -> None:
    """After a failed sync nobody knows what is on the disk: the rows go, and are written anew the next time."""
    append(register, [1])
    before = register.path.read_bytes()

    with pytest.raises(StorageUnavailable) as caught:
        refused("fsync", errno.EIO, lambda: append(register, [2, 3]))

    assert caught.value.code == "io_error"
    assert before == register.path.read_bytes()
    assert [2, 3] == append(register, [2, 3], repeated=True)


def test_a_new_file_whose_name_cannot_be_synced_is_not_trusted(register: Register) -> None:
    """A row is only reported once the name of its file would survive a power cut too, in every process anew."""
    with pytest.raises(StorageUnavailable):
        refused("fsync", errno.EIO, lambda: append(register, [1]))

    assert [1] == append(register, [1], repeated=True)


def test_the_fault_is_told_even_if_nothing_can_be_taken_back(register: Register) -> None:
    """A disk that refuses the write and the cut is reported for the write; the next attempt mends what is left."""
    append(register, [1])
    size = register.path.stat().st_size

    with file_limit(size + 30), pytest.raises(StorageUnavailable):
        refused("ftruncate", errno.EIO, lambda: append(register, [2, 3]))

    assert register.path.stat().st_size == size + 30
    with capture_logs() as logs:
        assert [2, 3] == append(register, [2, 3], repeated=True)
    assert ["register.mended"] == [entry["event"] for entry in logs]
    assert [1, 2, 3] == [number for number, _ in entries(register.path)]


@pytest.mark.parametrize("call", ["openat", "flock", "write", "ftruncate", "fsync", "lseek"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("before", [None, HEADER_LINE[:9], HEADER_LINE + line(1, 1) + line(2, 2)[:30]])
def test_any_fault_of_any_call_heals(register: Register, call: str, number: int, before: bytes | None) -> None:
    """Whatever the kernel refuses, rows are put off or done, never half done, and the same process goes on after."""
    if before is not None:
        register.path.write_bytes(before)
    append_it = partial(append, register, [2, 3], repeated=True)

    with capture_logs(), suppress(StorageUnavailable):
        refused(call, number, append_it)
    with capture_logs():
        ids = append_it()

    assert [(ids[0], image(2)), (ids[1], image(3))] == entries(register.path)[-2:]
    assert len(ids) + (before is not None and line(1, 1) in before) == len(entries(register.path))


def test_a_half_line_that_cannot_be_kept_is_not_cut(register: Register) -> None:
    """Nothing is cut before it is safe beside the file."""
    append(register, [1])
    with register.path.open("ab") as file:
        file.write(line(2, 2)[:30])
    before = register.path.read_bytes()

    with pytest.raises(StorageUnavailable), capture_logs():
        refused("fsync", errno.EIO, lambda: append(register, [2]))

    assert before == register.path.read_bytes()


# Crashes


def settle(folder: Path, numbers: Sequence[int]) -> list[int]:
    """Do what the next process does: look, then append what is owed as repeated rows, one at a time."""
    register = Register(folder)
    register.check()
    with capture_logs():
        return [append(register, [number], repeated=True, owed=numbers)[0] for number in numbers]


BEGINNINGS = [
    None,
    b"",
    HEADER_LINE + line(1, 1),
    HEADER_LINE[:20],
    BOM + HEADER_LINE[:-1] + CRLF + line(1, 1, CRLF)[:-2],
    HEADER_LINE + line(1, 1) + line(2, 2)[:30],
]


@pytest.mark.parametrize("before", BEGINNINGS)
def test_a_kill_at_any_act_costs_nothing_and_repeats_nothing(tmp_path: Path, before: bytes | None) -> None:
    """Killed before each act on the disk and done again: each image has one row, and the rows of others stay."""
    at = 0
    survived = True
    while survived:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        if before is not None:
            (folder / "registros.csv").write_bytes(before)
        register = Register(folder)

        survived = killed(partial(append, register, [2, 3, 4]), at)
        ids = settle(folder, [2, 3, 4])

        rows = entries(register.path)
        assert [(number, image(each)) for number, each in zip(ids, [2, 3, 4], strict=True)] == rows[-3:]
        assert len({number for number, _ in rows}) == len(rows) == len({name for _, name in rows})
    assert at > 5


def test_a_kill_in_the_middle_of_a_write_costs_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """The kernel took any number of bytes of a batch before the kill: each image has one row afterwards."""
    number = _number_of_the_write(tmp_path)
    for room in range(0, len(HEADER_LINE + line(1, 1) + line(2, 2) + line(3, 3)), 7):
        folder = tmp_path / str(room)
        folder.mkdir()
        register = Register(folder)

        assert killed(partial(append, register, [1, 2, 3]), number, room=room)
        assert room == register.path.stat().st_size
        settle(folder, [1, 2, 3])

        assert [(1, image(1)), (2, image(2)), (3, image(3))] == entries(register.path)


def _number_of_the_write(folder: Path) -> int:
    """Return the number, among the acts on the disk, of the first that makes the file grow."""
    for number in range(2, 50):
        probe = folder / f"probe{number}"
        probe.mkdir()
        killed(partial(append, Register(probe), [1]), number)
        if (probe / "registros.csv").exists() and (probe / "registros.csv").stat().st_size:
            return number - 1
    pytest.fail("nothing was written")


class Life(RuleBasedStateMachine):
    """Batches, crashes, restarts, editors and other programs in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.register = Register(Path(self.folder.name))
        self.path = self.register.path
        self.owed: list[int] = []
        self.done: dict[int, int] = {}
        self.others: list[bytes] = []
        self.made = 0

    def _bytes(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    @rule(count=st.integers(1, 4))
    def owe(self, count: int) -> None:
        """More images have been read."""
        self.owed += range(self.made + 1, self.made + count + 1)
        self.made += count

    @precondition(lambda self: self.owed)
    @rule()
    def finish(self) -> None:
        """The batch is appended and remembered."""
        with capture_logs():
            ids = append(self.register, self.owed, repeated=True)
        self.done |= dict(zip(self.owed, ids, strict=True))
        self.owed = []

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        """The process dies after any number of bytes of the batch, and another one starts."""
        before = len(self._bytes())
        with capture_logs():
            append(self.register, self.owed, repeated=True)
        after = len(self._bytes())
        if after > before:
            os.truncate(self.path, data.draw(st.integers(before, after)))
        self.register = Register(self.path.parent)

    @rule()
    def restart(self) -> None:
        """The process ends and starts again."""
        self.register = Register(self.path.parent)

    @precondition(lambda self: self._bytes().startswith(HEADER_LINE) and self._bytes().endswith(b"\n"))
    @rule(ended=st.booleans(), identifier=st.integers(0, 30))
    def another_appends(self, *, ended: bool, identifier: int) -> None:
        """Another program adds a line of its own, perhaps without an end."""
        text = b"%d,note %d" % (identifier, len(self.others))
        self.others.append(text)
        with self.path.open("ab") as file:
            file.write(text + (b"\n" if ended else b""))

    @precondition(lambda self: len(self._bytes()) > len(HEADER_LINE) and not self.owed)
    @rule()
    def an_editor_saves(self) -> None:
        """An editor writes the file anew, without the last line ending."""
        copy = self.path.with_name("copy")
        copy.write_bytes(self._bytes().rstrip(b"\n"))
        copy.replace(self.path)

    @invariant()
    def everything_holds(self) -> None:
        """Each finished image has exactly one line under its id; other people's lines are all there."""
        lines = [line for line in self.register.lines() if line.ok]
        for number, identifier in self.done.items():
            assert [identifier] == [line.id for line in lines if line.image == image(number)]
        present = self._bytes().split(b"\n")
        for text in self.others:
            assert present.count(text) == 1

    def teardown(self) -> None:
        """Remove the folder."""
        self.folder.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


# The lock


@contextmanager
def held(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the lock as another program does; give what lets it go."""
    lock = os.open(folder / "registros.csv.lock", os.O_RDWR | os.O_CREAT, 0o660)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)
    finally:
        os.close(lock)


def test_another_holder_is_waited_for(tmp_path: Path) -> None:
    """A program that lets go in time delays a row, and nothing more."""
    waits: list[float] = []
    with held(tmp_path) as let_go:

        def wait(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 3:
                let_go()

        assert [1] == append(Register(tmp_path, wait=wait), [1])

    assert len(waits) == 3


@pytest.mark.parametrize("patience", [0, 0.2, 5])
def test_patience_has_an_end(tmp_path: Path, patience: float) -> None:
    """A program that keeps the lock puts the rows off, and who it is can be found out."""
    waits: list[float] = []
    with held(tmp_path):
        register = Register(tmp_path, patience=patience, wait=waits.append)
        with pytest.raises(StorageUnavailable, match=r"registros\.csv\.lock") as caught:
            append(register, [1])

    assert caught.value.code == "register_locked"
    assert caught.value.hint
    assert patience <= sum(waits) < patience + 1
    assert not register.path.exists()
    assert [1] == append(register, [1])


def test_a_lock_that_was_removed_is_no_lock(tmp_path: Path) -> None:
    """If somebody tidies the lock file away just then, the new one is taken, which is what everybody else locks."""
    lock = tmp_path / "registros.csv.lock"
    waits: list[float] = []

    def enter() -> int:
        with registros_lock(tmp_path, wait=waits.append):
            return lock.stat().st_nlink

    assert meddling(fcntl.flock, lock.unlink, enter) == 1
    assert len(waits) == 1


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """Neither taking the lock in vain nor a foreign file nor a row leaks a descriptor."""
    register = Register(tmp_path, patience=0)
    before = len(os.listdir("/proc/self/fd"))

    append(register, [1])
    next(register.lines())
    register.path.write_bytes(b"x\n")
    with pytest.raises(RegisterSuspended):
        append(register, [2])
    register.path.unlink()
    with pytest.raises(StorageUnavailable):
        refused("flock", errno.ENOLCK, lambda: append(register, [2]))
    with held(tmp_path), pytest.raises(StorageUnavailable):
        append(register, [2])

    assert before == len(os.listdir("/proc/self/fd"))


def test_the_lock_is_let_go(register: Register) -> None:
    """Neither a row nor a fault keeps other programs out."""
    append(register, [1])
    with registros_lock(register.path.parent, patience=0):
        pass
    register.path.write_bytes(b"theirs\n")
    with pytest.raises(RegisterSuspended):
        append(register, [2])
    with registros_lock(str(register.path.parent), patience=0):
        pass


def test_nothing_is_lost_between_programs_that_take_the_lock(tmp_path: Path) -> None:
    """A program that writes the whole file anew under the lock, again and again, costs no row and repeats no id."""
    register = Register(tmp_path)
    append(register, [0])
    child = os.fork()
    if not child:
        for _ in range(200):
            with registros_lock(tmp_path):
                (tmp_path / "new").write_bytes(register.path.read_bytes())
                (tmp_path / "new").replace(register.path)
        os._exit(0)

    with capture_logs():
        for number in range(1, 100):
            append(register, [number])
    os.waitpid(child, 0)

    assert [(number + 1, image(number)) for number in range(100)] == entries(register.path)


# Programs that do not take the lock


def test_somebody_who_appends_just_before_us_is_read_the_next_time(register: Register) -> None:
    """A line that slips in between our look and our write gets no second reader, but its id is not given again."""
    append(register, [1])

    def slip_in() -> None:
        with register.path.open("ab") as file:
            file.write(line(9, 90))

    with capture_logs() as logs:
        assert [2] == meddling(os.write, slip_in, lambda: append(register, [2]))
        assert [91] == append(register, [3])

    assert [1, 90, 2, 91] == [number for number, _ in entries(register.path)]
    assert [] == logs


def test_what_somebody_appended_behind_us_is_not_cut(register: Register) -> None:
    """When a batch is taken back, a line that came after it would go too: then it stays, and is found later."""
    append(register, [1])

    def slip_in() -> None:
        with register.path.open("ab") as file:
            file.write(line(9, 90))

    def fail() -> None:
        refused("fsync", errno.EIO, lambda: meddling(os.lseek, slip_in, lambda: append(register, [2])))

    with pytest.raises(StorageUnavailable):
        fail()

    assert [(1, image(1)), (2, image(2)), (90, image(9))] == entries(register.path)
    assert [2] == append(register, [2], repeated=True)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize(
    ("kept", "missing"), [([1, 2, 3], 1), ([], 4), ([1, 2, 4], 1), ([2, 3, 4], 1), ([1, 2, 3, 3, 3, 3], 0)]
)
def test_a_file_that_was_written_anew_is_noticed(
    register: Register, kept: list[int], missing: int, *, in_place: bool
) -> None:
    """Rows that another program dropped are counted and the remedy is named; ids go on above what is left."""
    append(register, [1, 2])
    append(register, [3])
    append(register, [4])
    rewrite(register.path, HEADER_LINE + b"".join(line(number, number) for number in kept), in_place=in_place)

    with capture_logs() as logs:
        assert [max([*kept, 0]) + 1] == append(register, [5])
        append(register, [6])

    [entry] = logs
    assert entry["event"] == "register.rewritten"
    assert entry["log_level"] == "warning"
    assert (4, len(kept), missing) == (entry["rows_before"], entry["rows_after"], entry["missing"])
    assert "verify --repair" in entry["hint"]


def test_a_file_that_vanished_is_begun_anew(register: Register) -> None:
    """Somebody who removes the file gets a new one, and the journal's ids go on."""
    append(register, [1, 2])
    register.path.unlink()

    with capture_logs() as logs:
        assert [3] == register.append([a_row(3)], highest_id=2, owed=never)

    assert [("register.rewritten", 2)] == [(entry["event"], entry["missing"]) for entry in logs]
    assert [(3, image(3))] == entries(register.path)


def test_a_change_that_keeps_the_length_is_read_again(register: Register) -> None:
    """A correction in the middle that changes no length is not missed, and dropped rows do not hide behind it."""
    append(register, range(1, 10))
    register.path.write_bytes(register.path.read_bytes().replace(line(1, 1), b"x" * (len(line(1, 1)) - 1) + b"\n"))
    os.utime(register.path, ns=(0, 0))

    with capture_logs() as logs:
        append(register, [10])

    assert [("register.rewritten", 1)] == [(entry["event"], entry["missing"]) for entry in logs]


def test_a_touch_is_no_change(register: Register) -> None:
    """A new time of change alone, as a restore or a touch leaves, is read again and not complained about."""
    append(register, [1, 2, 3])
    os.utime(register.path, ns=(0, 0))

    with capture_logs() as logs:
        assert [4] == append(register, [4])

    assert [] == logs


@pytest.mark.parametrize("longest", [1, 100, 5000, 900_000])
def test_blocks_are_whole_lines(tmp_path: Path, longest: int) -> None:
    """However the lines lie, every block begins and ends with a line, and together they are the file."""
    lengths = [number * 600_011 % longest for number in range(7_000_000 // (longest + 8) + 3)]
    content = b"".join(b"%07d" % length + b"x" * length + b"\n" for length in lengths) + b"no end"
    (tmp_path / "file").write_bytes(content)

    with (tmp_path / "file").open("rb") as file:
        found = list(blocks(file.fileno(), 0, len(content)))

    assert content == b"".join(reversed(found))
    assert all(block.endswith(b"\n") for block in found[1:])
    assert len(found) > 1


def bytes_read() -> int:
    """Return how many bytes this thread has read so far."""
    return int(Path("/proc/thread-self/io").read_text().split()[1])


def test_a_long_register_is_not_read_again(register: Register) -> None:
    """Once a process has seen the file, a row costs as little below a hundred thousand rows as below none."""
    register.path.write_bytes(HEADER_LINE + b"".join(line(number, number) for number in range(1, 100_001)))
    append(register, [100_001])
    before = bytes_read()

    for number in range(100_002, 100_012):
        assert [number] == append(register, [number])

    assert bytes_read() - before < 10 * 5000


# Reading


def test_lines_are_listed(register: Register) -> None:
    """Number as in an editor, id, name, and whether all is well; blank lines are no lines."""
    register.path.write_bytes(BOM + HEADER_LINE + line(1, 1) + b"\r\n" + b"a note\n" + line(2, 7)[:-1])

    expected = [Line(2, 1, image(1), ok=True), Line(4, None, "a note", ok=False), Line(5, 7, image(2), ok=True)]

    assert expected == list(register.lines())


def test_lines_are_those_of_the_moment(register: Register) -> None:
    """What is appended while somebody reads is not part of what is read, and can be appended: the lock is free."""
    append(register, range(5))

    lines = register.lines()
    first = next(lines)
    append(register, range(5, 10))

    assert [1, 2, 3, 4, 5] == [each.id for each in (first, *lines)]


def test_no_file_has_no_lines(register: Register) -> None:
    """Reading makes nothing, not even a lock."""
    assert [] == list(register.lines())
    assert [] == os.listdir(register.path.parent)


def test_a_file_that_goes_away_while_it_is_waited_for_is_told(register: Register) -> None:
    """Somebody who removes the file just then gets no list of nothing, from which all rows would seem to be missing."""
    append(register, [1])

    with pytest.raises(StorageUnavailable, match=r"registros\.csv is not there"):
        meddling(fcntl.flock, register.path.unlink, lambda: next(register.lines()))


def test_an_endless_line_is_read_in_pieces(register: Register) -> None:
    """Rubbish without line ends takes no memory, and does not shift the numbers."""
    register.path.write_bytes(HEADER_LINE + b"x" * 2_500_000 + b"\n" + line(1, 1))

    lines = list(register.lines())

    assert [2, 2, 2, 3] == [each.number for each in lines]
    assert [False, False, False, True] == [each.ok for each in lines]


def test_reading_waits_for_the_lock(tmp_path: Path) -> None:
    """Nobody reads in the middle of another program's change."""
    append(Register(tmp_path), [1])

    with held(tmp_path), pytest.raises(StorageUnavailable):
        next(Register(tmp_path, patience=0).lines())
