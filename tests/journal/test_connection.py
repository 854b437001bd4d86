"""The journal's file and its one connection, on disks and in company that are not always kind."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.makers import eventually
from tests.refusals import refused, unprivileged
from watcher.errors import JournalUnusable, StorageUnavailable
from watcher.journal.connection import APPLICATION, FILE, SCHEMA_VERSION, Connection

OTHER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute(sys.argv[2])
print("there", flush=True)
sys.stdin.read()
"""
MARK = "INSERT INTO images VALUES ({0}, '{0}', NULL, NULL, '', x'', '', '', 0, '0', '', '', '', '', NULL, '', '', '', '', 0, NULL, NULL, NULL)"  # noqa: E501 (one row, as plain as can be)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """Give a connection to a new journal."""
    opened = Connection(tmp_path)
    yield opened
    opened.close()


def mark(connection: Connection, number: int) -> None:
    """Write image *number*."""
    with connection.turn(writing=True) as db:
        db.execute(MARK.format(number))


def mark_many(connection: Connection, numbers: Iterable[int]) -> None:
    """Write some images, each in a turn of its own."""
    for number in numbers:
        mark(connection, number)


def marks(connection: Connection) -> list[int]:
    """Return the numbers of the images there are."""
    with connection.turn(writing=False) as db:
        return [row[0] for row in db.execute("SELECT id FROM images ORDER BY id")]


def files(folder: Path) -> dict[str, bytes]:
    """Return what lies in *folder*."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def foreign(path: Path, *statements: str) -> None:
    """Make a database of another program at *path*."""
    db = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        db.execute(statement)
    db.close()


# What a turn promises


def test_what_a_turn_returned_from_is_synced(connection: Connection, tmp_path: Path) -> None:
    """WAL with synchronous = FULL: anything less broke the promises when the power was cut."""
    with connection.turn(writing=False) as db:
        said = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
        keys = db.execute("PRAGMA foreign_keys").fetchone()[0]

    assert {"journal_mode": "wal", "synchronous": 2} == said
    assert 1 == keys
    assert (tmp_path / FILE).exists()


def test_a_turn_that_fails_leaves_nothing(connection: Connection) -> None:
    """Whatever is raised inside undoes all of it, and the next turn works."""
    mark(connection, 1)

    def fail() -> None:
        with connection.turn(writing=True) as db:
            db.execute(MARK.format(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert [1] == marks(connection)
    mark(connection, 3)
    assert [1, 3] == marks(connection)


def test_a_fault_of_ours_is_no_trouble_with_the_disk(connection: Connection) -> None:
    """A statement that breaks a rule is a bug to be seen, not something to be waited out."""
    mark(connection, 1)

    def repeat() -> None:
        with connection.turn(writing=True) as db:
            db.execute(MARK.format(2))
            db.execute(MARK.format(1))

    with pytest.raises(sqlite3.IntegrityError):
        repeat()
    with pytest.raises(sqlite3.OperationalError, match="syntax"), connection.turn(writing=True) as db:
        db.execute("NONSENSE")

    assert [1] == marks(connection)


def test_threads_take_turns(connection: Connection) -> None:
    """Four threads write at once; nothing is lost and nobody is told that it is busy."""
    threads = [
        threading.Thread(target=mark_many, args=(connection, range(start, start + 20)))
        for start in (100, 200, 300, 400)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 80 == len(marks(connection))


def test_a_closed_connection_opens_again(connection: Connection) -> None:
    """Closing is no end: the next turn begins anew."""
    mark(connection, 1)
    connection.close()
    connection.close()

    assert [1] == marks(connection)


@pytest.mark.parametrize("name", [b"100% ?mode=ro#x", b"caf\xe9", b"line\nbreak", b"'quote' & \"more\""])
def test_any_folder_will_do(tmp_path: Path, name: bytes) -> None:
    """The name of a folder is never taken for part of an address."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    folder.mkdir()
    connection = Connection(folder)
    mark(connection, 1)
    connection.close()

    assert [FILE] == os.listdir(folder)
    assert [1] == marks(Connection(folder, reading_only=True))


# What cannot be a journal


def spoiled(path: Path) -> None:
    """Write rubbish over the middle of a journal with something in it."""
    connection = Connection(path.parent)
    for number in range(50):
        mark(connection, number)
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"rubbish" * 8000)


@pytest.mark.parametrize("reading_only", [False, True])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b"id,fecha_hora,matricula\n" * 100), "cannot be read"),
        (spoiled, "cannot be read"),
        (lambda path: foreign(path, "CREATE TABLE recipes (name)"), "another program"),
        (lambda path: foreign(path, "CREATE TABLE images (name)", "PRAGMA user_version = 1"), "another program"),
        (lambda path: foreign(path, "PRAGMA application_id = 7"), "another program"),
        (
            lambda path: foreign(path, f"PRAGMA application_id = {APPLICATION}", "PRAGMA user_version = 99"),
            "schema 99; this program knows 1",
        ),
    ],
    ids=["text", "rubbish", "foreign", "foreign with our words", "foreign and empty", "newer"],
)
def test_what_is_no_journal_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], says: str, *, reading_only: bool
) -> None:
    """Text, rubbish, another program's database and a newer schema are said, with a remedy, and not touched."""
    make(tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    connection = Connection(tmp_path, reading_only=reading_only)

    with pytest.raises(JournalUnusable, match=says) as caught:
        marks(connection)

    connection.close()
    assert caught.value.hint
    assert str(tmp_path / FILE) in caught.value.reason
    assert before == (tmp_path / FILE).read_bytes()


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    """A crash between making the file and writing into it is nothing to mend by hand."""
    (tmp_path / FILE).touch()
    foreign(tmp_path / FILE, "PRAGMA journal_mode = WAL")

    assert [] == marks(Connection(tmp_path))


def test_two_may_make_it_at_once(tmp_path: Path) -> None:
    """Those that find no journal make one together; one that finds it locked tries again, and no worse is thought."""
    connections = [Connection(tmp_path) for _ in range(8)]

    def insist(one: Connection, number: int) -> None:
        while True:
            with contextlib.suppress(StorageUnavailable):
                return mark(one, number)

    threads = [threading.Thread(target=insist, args=(one, number)) for number, one in enumerate(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(8)) == marks(connections[0])
    for one in connections:
        one.close()


# What may heal


def test_a_lock_of_another_process_is_waited_for_and_then_deferred(connection: Connection, tmp_path: Path) -> None:
    """Whoever holds the journal for long makes us come back later, and stops nobody for good."""
    mark(connection, 1)
    command = [sys.executable, "-c", OTHER, str(tmp_path / FILE), "BEGIN IMMEDIATE"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert b"there\n" == other.stdout.readline()

        with pytest.raises(StorageUnavailable, match="locked"):
            mark(connection, 2)
        assert [1] == marks(connection)

        other.communicate()

    mark(connection, 2)
    assert [1, 2] == marks(connection)


@pytest.mark.parametrize(
    ("call", "number", "says"),
    [
        ("pwrite64", errno.ENOSPC, "full"),
        ("pwrite64", errno.EIO, "disk I/O error"),
        ("pwrite64", errno.EROFS, "disk I/O error"),
        ("fdatasync", errno.EIO, "disk I/O error"),
        ("fdatasync", errno.ENOSPC, "disk I/O error"),
        ("openat", errno.EMFILE, "unable to open"),
    ],
)
def test_a_failing_disk_is_deferred_and_begun_anew(connection: Connection, call: str, number: int, says: str) -> None:
    """Full, failing, read-only, out of descriptors: the turn fails, and after the fault the next one works."""
    mark(connection, 1)
    if call == "openat":
        connection.close()

    with pytest.raises(StorageUnavailable, match=says) as caught:
        refused(call, number, lambda: mark(connection, 2))

    assert caught.value.hint
    mark(connection, 3)
    assert {1, 3} <= set(marks(connection))


def test_a_failure_in_the_midst_undoes_what_came_before(connection: Connection) -> None:
    """A transaction that is too large for the disk leaves nothing of itself."""
    mark(connection, 1)

    def write() -> None:
        with connection.turn(writing=True) as db:
            for at in range(10, 5000):
                db.execute(MARK.format(at))

    with pytest.raises(StorageUnavailable):
        refused("pwrite64", errno.ENOSPC, write)

    assert [1] == marks(connection)


def test_a_log_that_could_not_be_synced_is_written_anew(connection: Connection, tmp_path: Path) -> None:
    """A sync that failed may never be believed again: on opening, the log's content is moved into the database."""
    mark(connection, 1)
    with pytest.raises(StorageUnavailable):
        refused("fdatasync", errno.EIO, lambda: mark(connection, 2))

    seen = marks(connection)

    with (tmp_path / FILE).open("rb") as file:
        assert file.read(16).startswith(b"SQLite format 3")
    assert 0 == (tmp_path / f"{FILE}-wal").stat().st_size
    immutable = sqlite3.connect(f"{(tmp_path / FILE).as_uri()}?mode=ro&immutable=1", uri=True)
    assert seen == [row[0] for row in immutable.execute("SELECT id FROM images ORDER BY id")]
    immutable.close()


def test_a_small_disk_that_is_full_heals(tmp_path: Path) -> None:
    """On a real file system without room the turn is deferred, and works once there is room."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    connection = Connection(folder)
    try:
        mark(connection, 1)
        filler = folder / "filler"
        with pytest.raises(OSError, match="space"), filler.open("wb", buffering=0) as file:
            file.writelines([bytes(4096)] * 200)
        with pytest.raises(StorageUnavailable):
            mark(connection, 2)
        filler.unlink()

        mark(connection, 3)

        assert [1, 3] == marks(connection)
    finally:
        connection.close()
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_a_file_that_is_not_ours_to_write_is_deferred(commons: Path, mode: int) -> None:
    """Wrong rights are said with a remedy; the daemon goes on trying until they are mended."""
    connection = Connection(commons)
    mark(connection, 1)
    connection.close()
    (commons / FILE).chmod(mode)
    commons.chmod(0o777)

    def write() -> None:
        with pytest.raises(StorageUnavailable):
            mark(Connection(commons), 2)

    assert unprivileged(write)


def test_a_folder_that_is_gone_is_deferred(tmp_path: Path) -> None:
    """The data folder may lie on a disk that was unplugged."""
    with pytest.raises(StorageUnavailable, match="unable to open"):
        marks(Connection(tmp_path / "nowhere"))


# Only reading


def test_reading_creates_nothing(tmp_path: Path) -> None:
    """No folder, no journal, an empty file and half a journal all read as empty, and stay as they are."""
    assert [] == marks(Connection(tmp_path / "nowhere", reading_only=True))
    assert [] == marks(Connection(tmp_path, reading_only=True))
    assert {} == files(tmp_path)

    (tmp_path / FILE).touch()
    assert [] == marks(Connection(tmp_path, reading_only=True))
    assert {FILE: b""} == files(tmp_path)

    foreign(tmp_path / FILE, "PRAGMA journal_mode = WAL")
    before = files(tmp_path)
    assert [] == marks(Connection(tmp_path, reading_only=True))
    assert before == files(tmp_path)


def test_reading_a_journal_at_rest_creates_nothing(tmp_path: Path) -> None:
    """Not even the two files that SQLite keeps beside a journal in use."""
    connection = Connection(tmp_path)
    mark(connection, 1)
    connection.close()
    before = files(tmp_path)
    reader = Connection(tmp_path, reading_only=True)

    assert [1] == marks(reader)
    with pytest.raises(StorageUnavailable, match="readonly"):
        mark(reader, 2)

    reader.close()
    assert before == files(tmp_path)


def test_a_reader_beside_a_writer_sees_what_is_written(connection: Connection, tmp_path: Path) -> None:
    """A reader keeps up, whether it came before the journal, before the writer or after it."""
    reader = Connection(tmp_path, reading_only=True)
    assert [] == marks(reader)
    mark(connection, 1)
    assert [1] == marks(reader)
    connection.close()
    reader.close()
    assert [1] == marks(reader)
    mark(connection, 2)
    assert [1, 2] == marks(reader)
    mark(connection, 3)
    assert [1, 2, 3] == marks(reader)
    reader.close()


def test_what_a_killed_writer_left_is_read(tmp_path: Path) -> None:
    """Its last transactions are in the log beside the journal, which the reader leaves there."""
    child = os.fork()
    if not child:
        mark(Connection(tmp_path), 1)
        os._exit(0)
    os.waitpid(child, 0)
    log = (tmp_path / f"{FILE}-wal").read_bytes()
    assert log

    reader = Connection(tmp_path, reading_only=True)
    assert [1] == marks(reader)
    reader.close()

    assert log == (tmp_path / f"{FILE}-wal").read_bytes()
    assert [1] == marks(Connection(tmp_path))


@pytest.mark.parametrize("running", [False, True])
def test_who_may_only_read_can_read(commons: Path, *, running: bool) -> None:
    """Reading rights are enough, beside a daemon or without one; nothing is created."""
    connection = Connection(commons)
    mark(connection, 1)
    if not running:
        connection.close()
    for path in commons.iterdir():
        path.chmod(0o644)
    before = sorted(os.listdir(commons))

    def read() -> None:
        assert [1] == marks(Connection(commons, reading_only=True))

    assert unprivileged(read)
    assert before == sorted(os.listdir(commons))
    connection.close()


@pytest.mark.parametrize("closed", ["file", "folder"])
def test_who_may_not_read_is_told(commons: Path, closed: str) -> None:
    """No rights on the file, or on its folder, is a sentence with a remedy and never a row of zeros."""
    connection = Connection(commons)
    mark(connection, 1)
    connection.close()
    (commons / FILE if closed == "file" else commons).chmod(0o700 if closed == "folder" else 0o600)

    def read() -> None:
        with pytest.raises(StorageUnavailable, match="journal") as caught:
            marks(Connection(commons, reading_only=True))
        assert caught.value.hint

    assert unprivileged(read)


# Other processes


def test_what_another_process_writes_is_noticed(connection: Connection, tmp_path: Path) -> None:
    """A command beside the daemon changes the number that the daemon watches; what it writes itself does not."""
    mark(connection, 1)
    before = connection.changed()
    mark(connection, 2)
    assert before == connection.changed()

    command = [sys.executable, "-c", OTHER, str(tmp_path / FILE), "DELETE FROM images WHERE id = 2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert eventually(lambda: connection.changed() != before)
        other.communicate()

    assert [1] == marks(connection)


def test_the_file_says_whose_it_is(connection: Connection, tmp_path: Path) -> None:
    """`file` and any SQLite tool can tell a journal of ours, and its schema, by the header alone."""
    mark(connection, 1)
    connection.close()
    header = (tmp_path / FILE).read_bytes()[:100]

    assert APPLICATION == int.from_bytes(header[68:72])
    assert SCHEMA_VERSION == int.from_bytes(header[60:64])
