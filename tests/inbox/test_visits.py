"""What becomes of one candidate, with all that may lie beside it."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.inbox.doors import put
from tests.journal.items import IMAGE
from tests.makers import Hands, jpeg, png
from tests.refusals import meddling, refused, unprivileged
from watcher.arrivals import Arrivals, Patience
from watcher.inbox.notices import Notices
from watcher.inbox.visits import Answer, Visits
from watcher.model import Arrival, Image, Sidecar

JSON = b'{"propietario": "Juan P\xc3\xa9rez"}'
PHOTO = b"cam.jpg"


class Yard:
    """Visits to the inbox below *root*, by a clock that the test turns."""

    def __init__(self, root: bytes, hands: Hands, patience: Patience | None = None) -> None:
        self.root, self.hands = root, hands
        self.arrivals = Arrivals(patience or Patience())
        self.admitted: dict[bytes, Image] = {}
        self.visits = Visits(
            root,
            self.arrivals,
            Notices(),
            network=frozenset,
            clocks=hands.clocks,
            latest_from=self._latest_from,
        )

    def _latest_from(self, paths: Sequence[bytes]) -> Image | None:
        return next((self.admitted[path] for path in paths if path in self.admitted), None)

    def put(self, path: bytes, data: bytes) -> bytes:
        """Put a file there in one piece."""
        return put(self.root, path, data)

    def visit(self, path: bytes = PHOTO) -> Answer:
        """Visit *path* once."""
        return self.visits.visit(path, self.hands.monotonic)

    def outcome(self, path: bytes = PHOTO, seconds: float = 9.0) -> Arrival | None:
        """Visit *path* in rounds until something became of it or the time is up."""
        end = self.hands.monotonic + seconds
        while True:
            self.visits.begin()
            answer = self.visit(path)
            if not isinstance(answer, float) or self.hands.monotonic + answer > end:
                return answer if isinstance(answer, Arrival) else None
            self.hands.turn(answer)

    def sidecar(self, path: bytes = PHOTO, seconds: float = 9.0) -> Sidecar | None:
        """Return the sidecar with which *path* arrives."""
        arrival = self.outcome(path, seconds)
        assert arrival is not None
        assert "" == arrival.rejection
        return arrival.sidecar


@pytest.fixture
def yard(root: bytes, hands: Hands) -> Yard:
    """Give an empty inbox."""
    return Yard(root, hands)


# Photos


def test_a_whole_photo_arrives_after_a_moment(yard: Yard) -> None:
    """Settling and waiting for a sidecar take six tenths of a second; afterwards it is forgotten."""
    yard.put(PHOTO, jpeg())
    began = yard.hands.monotonic

    arrival = yard.outcome()

    assert arrival is not None
    assert (PHOTO, None, "") == (arrival.image.path, arrival.sidecar, arrival.rejection)
    assert 0.55 < yard.hands.monotonic - began < 0.75
    assert 0 == len(yard.arrivals)


def test_a_cut_photo_is_rejected_in_the_end(yard: Yard) -> None:
    """And forgotten, so that what is sent in its place begins anew."""
    yard.put(PHOTO, jpeg()[:-2])

    arrival = yard.outcome(seconds=200.0)

    assert arrival is not None
    assert "truncated" == arrival.rejection
    assert 0 == len(yard.arrivals)


def test_what_is_gone_or_no_file_is_dropped(yard: Yard) -> None:
    """It is forgotten, and what is no file is named once."""
    target = yard.put(PHOTO, jpeg())
    assert isinstance(yard.visit(), float)
    os.unlink(target)
    assert yard.visit() is None
    os.symlink(b"/etc/passwd", target)

    with capture_logs() as logs:
        assert yard.visit() is None
        assert yard.visit() is None

    assert [("inbox.ignored", PHOTO, "symlink")] == [(line["event"], line["path"], line["reason"]) for line in logs]
    assert 0 == len(yard.arrivals)


def test_a_photo_that_cannot_be_looked_at_is_dropped(yard: Yard) -> None:
    """The next listing finds it again; nobody is told that it is broken."""
    yard.put(PHOTO, jpeg())
    assert isinstance(yard.visit(), float)

    assert refused("openat", errno.EIO, yard.visit) is None

    assert 0 == len(yard.arrivals)
    assert yard.outcome() is not None


def test_a_photo_that_changes_during_its_wait_waits_anew(yard: Yard) -> None:
    """Between settling and leaving it is looked at each time."""
    target = yard.put(PHOTO, jpeg())
    assert yard.outcome(seconds=0.3) is None

    with open(target, "ab") as file:
        file.write(bytes(8))
    assert yard.outcome(seconds=0.5) is None
    with open(target, "ab") as file:
        assert yard.outcome(seconds=99.0) is None
        file.write(b"x")

    assert yard.outcome() is not None


# Sidecars


@pytest.mark.parametrize("name", [b"cam.json", b"cam.jpg.json", b"cam.JSON", b"cam.jpg.JSON"])
@pytest.mark.parametrize("when", ["before", "with", "after"])
def test_a_sidecar_goes_with_its_photo(yard: Yard, name: bytes, when: str) -> None:
    """Whichever of its names it has, and whether it comes before the photo, with it or a little after."""
    if when == "before":
        yard.put(name, JSON)
        yard.hands.turn(60.0)
    yard.put(PHOTO, jpeg())
    if when == "after":
        assert yard.outcome(seconds=0.4) is None
    yard.put(name, JSON)

    sidecar = yard.sidecar(seconds=0.55)

    assert sidecar is not None
    assert (name, "Juan Pérez", "") == (sidecar.path, sidecar.propietario, sidecar.error)
    assert sidecar.identity is not None
    assert len(JSON) == sidecar.identity.size


def test_the_longer_name_wins(yard: Yard) -> None:
    """`NAME.EXT.json` is meant for this photo and no other."""
    for name in (b"cam.json", b"cam.jpg.json"):
        yard.put(name, JSON)
    yard.put(PHOTO, jpeg())

    sidecar = yard.sidecar()

    assert sidecar is not None
    assert b"cam.jpg.json" == sidecar.path


def test_a_sidecar_in_another_folder_is_another_photos(yard: Yard) -> None:
    """Folders are cameras."""
    yard.put(b"gate/cam.json", JSON)
    yard.put(PHOTO, jpeg())
    yard.put(b"gate/deep/cam.jpg", jpeg())

    assert yard.sidecar() is None
    assert yard.sidecar(b"gate/deep/cam.jpg") is None


def test_one_sidecar_goes_to_one_photo(yard: Yard) -> None:
    """`STEM.json` goes to the first that is ready, also when two are in the same round."""
    yard.put(b"cam.json", JSON)
    yard.put(b"cam.jpg", jpeg())
    yard.put(b"cam.png", png())
    for path in (b"cam.jpg", b"cam.png"):
        assert isinstance(yard.visit(path), float)
    yard.hands.turn(1.0)
    assert isinstance(yard.visit(b"cam.jpg"), float)
    yard.hands.turn(1.0)

    first, second = yard.visit(b"cam.jpg"), yard.visit(b"cam.png")

    assert isinstance(first, Arrival)
    assert isinstance(second, Arrival)
    assert first.sidecar is not None
    assert second.sidecar is None
    assert yard.sidecar(b"cam.png") is not None, "in the next round it is free"


def test_a_half_written_sidecar_is_waited_for(yard: Yard) -> None:
    """Without its end it is no sidecar yet; with it, it goes at once."""
    yard.put(PHOTO, jpeg())
    yard.put(b"cam.json", JSON[:-1])
    assert yard.outcome(seconds=1.9) is None

    with open(os.path.join(yard.root, b"cam.json"), "ab") as file:
        file.write(JSON[-1:])
    sidecar = yard.sidecar(seconds=1.2)

    assert sidecar is not None
    assert "" == sidecar.error


def test_a_sidecar_that_stays_broken_goes_with_its_error(yard: Yard) -> None:
    """The photo has its row all the same."""
    yard.put(PHOTO, jpeg())
    yard.put(b"cam.json", JSON[:-1])

    sidecar = yard.sidecar()

    assert sidecar is not None
    assert sidecar.error
    assert sidecar.identity is not None


def test_a_sidecar_that_is_held_open_is_left_behind_in_the_end(yard: Yard) -> None:
    """Ten minutes are enough; then the photo goes without it, and nothing half-written is read."""
    yard.put(PHOTO, jpeg())
    target = yard.put(b"cam.json", JSON)
    with open(target, "ab"):
        assert yard.outcome(seconds=590.0) is None
        assert yard.sidecar(seconds=20.0) is None
    assert os.path.exists(target)
    assert 0 == len(yard.arrivals)


def test_visits_to_its_sidecar_do_not_keep_a_photo_waiting(yard: Yard) -> None:
    """Every listing finds the sidecar and has it visited: how long it has been quiet is not forgotten by that."""
    yard.put(PHOTO, jpeg())
    yard.put(b"cam.json", JSON[:-1])
    for _ in range(50):
        assert PHOTO == yard.visit(b"cam.json")
        answer = yard.visit()
        if isinstance(answer, Arrival):
            return
        yard.hands.turn(0.25)

    pytest.fail("it never arrived")


@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder"])
def test_what_is_called_like_a_sidecar_and_is_none_is_no_sidecar(yard: Yard, kind: str) -> None:
    """Nothing is read through a link, and nothing waits on a pipe."""
    target = os.path.join(yard.root, b"cam.json")
    if kind == "symlink":
        os.symlink(b"/etc/passwd", target)
    else:
        (os.mkfifo if kind == "fifo" else os.mkdir)(target)
    yard.put(PHOTO, jpeg())

    assert yard.sidecar() is None


def test_a_bad_sidecar_does_not_hide_a_good_one(yard: Yard) -> None:
    """The other name is tried too."""
    os.symlink(b"/etc/passwd", os.path.join(yard.root, b"cam.jpg.json"))
    yard.put(b"cam.json", JSON)
    yard.put(PHOTO, jpeg())

    assert yard.sidecar() is not None


def test_a_sidecar_that_cannot_be_looked_at_costs_no_row(yard: Yard) -> None:
    """What the disk says of a sidecar is not said of its photo."""
    yard.put(PHOTO, jpeg())
    assert isinstance(yard.visit(), float)
    yard.hands.turn(1.0)
    yard.put(b"cam.json", JSON)

    def fail() -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    # Root and photo are opened, then the root once more.
    answer = meddling(os.open, fail, yard.visit, call=4)

    assert isinstance(answer, Arrival)
    assert answer.sidecar is None


def test_a_sidecar_that_may_not_be_read_costs_no_row(commons: Path, hands: Hands) -> None:
    """The photo goes without it, and the operator is told of it when it is alone."""
    yard = Yard(os.fsencode(commons), hands)
    os.chmod(yard.put(PHOTO, jpeg()), 0o644)
    os.chmod(yard.put(b"cam.json", JSON), 0o600)
    os.chmod(yard.put(b"lone.json", JSON), 0o600)

    def look() -> None:
        assert yard.sidecar() is None
        with capture_logs() as logs:
            assert yard.visit(b"lone.json") is None
        assert [(b"lone.json", "unreadable")] == [(line["path"], line["reason"]) for line in logs]

    assert unprivileged(look)


@pytest.mark.parametrize("call", range(1, 7))
def test_a_sidecar_that_is_replaced_while_it_is_taken_is_looked_at_again(yard: Yard, call: int) -> None:
    """Whenever during the visit it is replaced: what was judged is what is read, or the photo waits a moment longer."""
    yard.put(PHOTO, jpeg())
    yard.put(b"cam.json", JSON)
    assert yard.outcome(seconds=0.15) is None
    yard.hands.turn(1.0)

    answer = meddling(os.open, lambda: yard.put(b"cam.json", b'{"propietario": "Ana Maria"}'), yard.visit, call=call)

    assert isinstance(answer, float)
    sidecar = yard.sidecar()
    assert sidecar is not None
    assert "Ana Maria" == sidecar.propietario


# Lone sidecars


def admitted(path: bytes, yard: Yard, *, seconds: float, sidecar: Sidecar | None = None) -> None:
    """Have an image from *path* admitted so many *seconds* before the file `cam.json` landed."""
    landed = datetime.fromtimestamp(os.stat(os.path.join(yard.root, b"cam.json")).st_ctime, UTC)
    yard.admitted[path] = replace(IMAGE, source=path, arrived_at=landed - timedelta(seconds=seconds), sidecar=sidecar)


@pytest.mark.parametrize(
    ("seconds", "late"),
    [(0.001, True), (59.0, True), (61.0, False), (-5.0, False)],
    ids=["at once", "in time", "much later", "before"],
)
def test_a_sidecar_is_late_if_its_photo_has_just_gone_without(yard: Yard, seconds: float, *, late: bool) -> None:
    """Within a minute after it; any other waits for a photo that is still to come."""
    yard.put(b"cam.json", JSON)
    admitted(PHOTO, yard, seconds=seconds)

    arrival = yard.outcome(b"cam.json", seconds=60.0)

    assert ("late_sidecar" if late else None) == (arrival.rejection if arrival else None)


def test_a_sidecar_is_not_late_for_a_photo_that_had_one(yard: Yard) -> None:
    """A camera that always uses one name has sent the sidecar of its next photo first."""
    yard.put(b"cam.json", JSON)
    admitted(PHOTO, yard, seconds=5.0, sidecar=Sidecar())

    assert yard.outcome(b"cam.json", seconds=60.0) is None


def test_an_orphan_is_rejected_after_an_hour(yard: Yard) -> None:
    """With few visits until then."""
    yard.put(b"cam.json", JSON)
    visits = 0

    def count(seconds: float) -> Answer:
        nonlocal visits
        end = yard.hands.monotonic + seconds
        while yard.hands.monotonic < end:
            visits += 1
            answer = yard.visit(b"cam.json")
            if not isinstance(answer, float):
                return answer
            yard.hands.turn(answer)
        return None

    assert count(3500.0) is None
    arrival = count(200.0)

    assert isinstance(arrival, Arrival)
    assert "orphan_sidecar" == arrival.rejection
    assert visits < 120


def test_a_lone_sidecar_that_is_being_written_is_left_alone(yard: Yard) -> None:
    """Whether late or not."""
    target = yard.put(b"cam.json", JSON)
    admitted(PHOTO, yard, seconds=5.0)

    with open(target, "ab"):
        assert yard.outcome(b"cam.json", seconds=99.0) is None


def test_a_sidecar_beside_a_photo_that_settles_is_not_alone(yard: Yard) -> None:
    """It is neither late nor an orphan, however long the photo takes: whoever looks at it is sent to the photo."""
    yard.put(b"cam.json", JSON)
    admitted(PHOTO, yard, seconds=5.0)
    yard.put(PHOTO, jpeg()[:-2])

    assert PHOTO == yard.visit(b"cam.json")


def test_a_sidecar_that_has_just_been_given_sends_nobody_to_its_photo(yard: Yard) -> None:
    """That photo has arrived and waits to be written down: there is nothing to see for now."""
    for name in (b"cam.json", b"cam.jpg.json"):
        yard.put(name, JSON)
    yard.put(PHOTO, jpeg())
    assert isinstance(yard.outcome(seconds=1.0), Arrival)

    assert yard.visit(b"cam.jpg.json") is None
    assert yard.visit(b"cam.json") is None


def test_a_lone_sidecar_that_leaves_is_forgotten(yard: Yard) -> None:
    """Nothing is kept of what is gone."""
    target = yard.put(b"cam.json", JSON)
    assert isinstance(yard.visit(b"cam.json"), float)
    os.unlink(target)

    assert yard.visit(b"cam.json") is None
    assert 0 == len(yard.arrivals)


def test_a_photo_that_leaves_takes_the_history_of_its_sidecar_along(yard: Yard) -> None:
    """Memory does not grow with what comes and goes."""
    photo, sidecar = yard.put(PHOTO, jpeg()), yard.put(b"cam.json", JSON[:-1])
    assert yard.outcome(seconds=1.0) is None
    assert 2 == len(yard.arrivals)
    os.unlink(photo)
    os.unlink(sidecar)

    assert yard.visit() is None
    assert 0 == len(yard.arrivals)
