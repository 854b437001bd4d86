"""Tests of watcher.mending: rows that another program removed are owed again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, jpeg
from tests.premises import Premises
from watcher.errors import RegisterSuspended
from watcher.journal.listing import Listing
from watcher.mending import Mender


@pytest.fixture
def premises(tmp_path: Path, hands: Hands) -> Iterator[Premises]:
    """Give a line that has registered two photos."""
    premises = Premises(tmp_path, hands)
    premises.open()
    for number in range(2):
        premises.drop(f"{number}.jpg", jpeg(number))
    premises.work()
    assert 2 == len(premises.rows())
    yield premises
    premises.close()


def mender_of(premises: Premises, *, wanted: bool = True) -> Mender:
    """Return a mender of its register."""
    return Mender(premises.register, premises.journal, Listing(premises.data), wanted=wanted)


def remove_row(premises: Premises, number: int = 0) -> list[str]:
    """Remove a row as an editor does, which puts another file in its place; return the row."""
    path = premises.data / "registros.csv"
    row, lines = premises.rows()[number], path.read_bytes().splitlines(keepends=True)
    del lines[1 + number]
    edited = path.with_name("edited.csv")
    edited.write_bytes(b"".join(lines))
    edited.rename(path)
    return row


def owed(premises: Premises) -> int:
    """Return how many rows are owed."""
    return len(premises.questions.owed("register"))


def test_first_look(premises: Premises) -> None:
    """A row that was removed while nobody was here comes back under its id."""
    row = remove_row(premises)
    mender = mender_of(premises)
    with capture_logs() as logs:
        assert [] == mender.look()
    mender.close()
    premises.work()

    assert [{"event": "register.repaired", "log_level": "warning", "rows": 1}] == logs
    assert row in premises.rows()
    assert 2 == len(premises.rows())


def test_an_id_of_another_row(premises: Premises) -> None:
    """Somebody numbered the rows anew: the one that comes back gets the next id, in the file and in the journal."""
    row = remove_row(premises)
    path = premises.data / "registros.csv"
    path.write_text(path.read_text().replace("\n2,", "\n1,"))
    mender = mender_of(premises)
    mender.look()
    premises.work()
    records = [(record.id, record.image.name) for record in Listing(premises.data).records()]
    mender.close()

    assert ["1", "3"] == [row[0] for row in premises.rows()]
    assert [3, row[-1]] == [int(premises.rows()[1][0]), premises.rows()[1][-1]]
    assert (3, row[-1]) in records


def test_a_damaged_row(premises: Premises) -> None:
    """Its line stands, whatever somebody wrote into it, so it is not missing."""
    path = premises.data / "registros.csv"
    path.write_text(path.read_text().replace("\n1,", '\n"1,'))
    mender = mender_of(premises)
    mender.look()
    mender.close()

    assert 0 == owed(premises)


def test_nothing_missing(premises: Premises) -> None:
    """Where every row stands, nothing is owed and nothing said."""
    mender = mender_of(premises)
    with capture_logs() as logs:
        mender.look()
    mender.close()

    assert (0, []) == (owed(premises), logs)


def test_not_wanted(premises: Premises) -> None:
    """Rows stay removed unless the settings want them back, which a reload can change."""
    remove_row(premises)
    mender = mender_of(premises, wanted=False)
    mender.look()
    assert 0 == owed(premises)

    mender.adopt(wanted=True)
    mender.look()
    mender.close()
    assert 1 == owed(premises)


def test_rewritten(premises: Premises) -> None:
    """It compares again when the register was seen to be rewritten, and not before."""
    mender = mender_of(premises)
    mender.look()
    row = remove_row(premises)
    mender.look()
    assert 0 == owed(premises)

    premises.drop("2.jpg", jpeg(2))
    premises.work()
    mender.look()
    mender.close()
    assert 1 == owed(premises)
    premises.work()
    assert row in premises.rows()


def test_foreign_register(premises: Premises) -> None:
    """A register that is not ours tells nothing: no row is owed for it, and the look is made again."""
    (premises.data / "registros.csv").write_text("name,price\n")
    mender = mender_of(premises)
    for _ in range(2):
        with pytest.raises(RegisterSuspended) as caught:
            mender.look()
    mender.close()

    assert "register_foreign" == caught.value.code
    assert "verify --repair" in caught.value.hint
    assert 0 == owed(premises)


def test_as_a_feeder(premises: Premises) -> None:
    """As a feeder it admits nothing, and lets its lane wait for the bell."""
    mender = mender_of(premises)
    mender.admit([])
    mender.close()

    assert (10.0, 0) == (mender.pause(), owed(premises))
