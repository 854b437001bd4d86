"""Tests of watcher.verify: journal, register and photos are compared, and rows come back."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from tests.makers import Hands, eventually, jpeg
from tests.premises import Premises
from watcher import verify
from watcher.clocks import Clocks, real_clocks
from watcher.errors import RegisterSuspended, StorageUnavailable
from watcher.journal.listing import Listing
from watcher.lock import locked
from watcher.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of the premises in `tmp_path`."""
    return load(config=None, environment={"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "[]"})


@pytest.fixture
def premises(tmp_path: Path, hands: Hands) -> Iterator[Premises]:
    """Give a line that has registered three photos."""
    premises = Premises(tmp_path, hands)
    premises.open()
    for number in range(3):
        premises.drop(f"{number}.jpg", jpeg(number))
    premises.work()
    assert 3 == len(premises.rows())
    yield premises
    premises.close()


def edit(premises: Premises, change: Callable[[list[bytes]], object]) -> None:
    """Change the lines of the register, the header being the first, as an editor does."""
    path = premises.data / "registros.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    edited = path.with_name("edited.csv")
    edited.write_bytes(b"".join(lines))
    edited.rename(path)


def found(settings: Settings) -> list[tuple[str, str]]:
    """Return code and object of each difference."""
    return [(difference.code, difference.what) for difference in verify.compare(settings)]


def names(premises: Premises) -> list[str]:
    """Return the names of the images that have rows, in the order of these."""
    return [row[-1] for row in premises.rows()]


def test_agreement(premises: Premises, settings: Settings) -> None:
    """What the line wrote agrees, hidden files in `uploads` being nobody's business."""
    (premises.uploads / ".tmp-1").write_bytes(b"")
    assert [] == found(settings)


def test_nothing_at_all(settings: Settings) -> None:
    """Before the first start there is nothing that could differ, and nothing is made."""
    settings.folders.data.mkdir()

    assert [] == found(settings)
    assert [] == os.listdir(settings.folders.data)


def test_rows(premises: Premises, settings: Settings) -> None:
    """A row that is gone, one that is there twice and one that nobody knows are told by the name of their image."""
    gone, twice, _ = names(premises)

    def change(lines: list[bytes]) -> None:
        lines.append(lines[2])
        lines.append(lines[1].replace(gone.encode(), b"stranger.jpg"))
        del lines[1]

    edit(premises, change)

    assert [("row_missing", gone), ("row_twice", twice), ("row_unknown", "stranger.jpg")] == found(settings)


def test_under_way(premises: Premises, settings: Settings) -> None:
    """A photo that is still on its way has neither row nor photo to miss."""
    premises.drop("3.jpg", jpeg(3))
    premises.hands.turn(1.0)
    premises.admitted("3.jpg")
    with closing(Listing(premises.data)) as listing:
        assert [True, True, True, False] == [recorded for _, recorded in listing.names()]

    assert [] == found(settings)


def test_broken_line(premises: Premises, settings: Settings) -> None:
    """A line of too few cells is told by its number, counted from the header."""
    edit(premises, lambda lines: lines.insert(2, b"7,half a row\n"))
    (difference,) = verify.compare(settings)

    assert ("line_broken", "3") == (difference.code, difference.what)
    expected = {
        "code": "line_broken",
        "what": "3",
        "says": "Line 3 of registros.csv does not parse as seven cells.",
    }
    assert expected == verify.facts(difference)


def test_photos(premises: Premises, settings: Settings) -> None:
    """A photo that is gone, and one that nobody knows, are told."""
    gone = names(premises)[1]
    (premises.uploads / gone).rename(premises.uploads / "stranger.jpg")

    assert {("photo_missing", gone), ("photo_unknown", "stranger.jpg")} == set(found(settings))


def test_no_folder_of_photos(premises: Premises, settings: Settings) -> None:
    """Without the folder every photo is gone."""
    premises.uploads.rename(premises.uploads.with_name("elsewhere"))
    assert [("photo_missing", name) for name in names(premises)] == found(settings)


def test_unlisted_photos(premises: Premises, settings: Settings) -> None:
    """A folder that cannot be listed is no folder of missing photos."""
    premises.uploads.rename(premises.uploads.with_name("elsewhere"))
    premises.uploads.write_bytes(b"")

    with pytest.raises(StorageUnavailable) as caught:
        found(settings)
    assert "cannot be listed: Not a directory." in caught.value.reason
    assert "Run this as the user of the daemon." == caught.value.hint


def test_foreign_register(premises: Premises, settings: Settings) -> None:
    """With another's file in its place, no row is called missing."""
    (premises.data / "registros.csv").write_text("name,price\n")

    with pytest.raises(RegisterSuspended) as caught:
        found(settings)
    assert "register_foreign" == caught.value.code


def test_repair(premises: Premises, settings: Settings) -> None:
    """Missing rows come back as they were; what else differs is left to a person."""
    before = premises.rows()
    edit(premises, lambda lines: [lines.pop(1), lines.pop(1)])
    (premises.uploads / "stranger.jpg").write_bytes(jpeg())
    verify.repair(settings, list(verify.compare(settings)), premises.hands.clocks)

    assert sorted(before) == sorted(premises.rows())
    assert [("photo_unknown", "stranger.jpg")] == found(settings)


def test_repair_nothing(premises: Premises, settings: Settings) -> None:
    """Where no row is missing, none is written."""
    before = (premises.data / "registros.csv").read_bytes()
    verify.repair(settings, [], premises.hands.clocks)

    assert before == (premises.data / "registros.csv").read_bytes()


def test_repair_beside_a_daemon(premises: Premises, settings: Settings) -> None:
    """While a daemon runs, the row is owed to it, and the command returns when it has been written."""
    row = premises.rows()[0]
    edit(premises, lambda lines: lines.pop(1))
    differences = list(verify.compare(settings))
    with closing(Listing(premises.data)) as listing, locked(premises.data), ThreadPoolExecutor(1) as pool:
        repair = pool.submit(verify.repair, settings, differences, real_clocks())
        assert eventually(lambda: {"register": 1} == listing.counts().owed)
        assert row not in premises.rows()
        assert not repair.done()
        premises.work()
        repair.result(10.0)

    assert row in premises.rows()


def test_repair_beside_a_daemon_that_hangs(premises: Premises, settings: Settings) -> None:
    """A daemon that does not write it in its time is not waited for; the row stays owed."""
    edit(premises, lambda lines: lines.pop(1))
    differences = list(verify.compare(settings))
    ticks = count(0.0, 8.0)
    with locked(premises.data):
        verify.repair(settings, differences, Clocks(partial(next, ticks), lambda: premises.hands.wall))

    assert next(ticks) > 20.0
    assert 2 == len(premises.rows())
    assert 1 == len(premises.questions.owed("register"))
