"""When a file has finished arriving: every rule, on a clock that the test turns."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.arrivals import Arrivals, Patience, Verdict
from watcher.model import Ending, Identity, Sighting, Writer

WHOLE = Sighting(b"cam7.jpg", Identity(1, 2, 3, 4), 5, links=1, writer="none", ending="whole", form="jpg")
CUT = replace(WHOLE, ending="cut")
JSON = replace(WHOLE, path=b"cam7.json", identity=Identity(1, 3, 3, 4), form="json")
HOUR = 3600.0
START = 1000.0
"""What the monotonic clock shows when a test begins."""


def grown(sighting: Sighting) -> Sighting:
    """Return *sighting* as it looks after one more byte."""
    identity = sighting.identity
    return replace(sighting, identity=replace(identity, size=identity.size + 1), ctime_ns=sighting.ctime_ns + 1)


def images(*looks: tuple[float, Sighting], patience: Patience | None = None) -> Verdict:
    """Return the verdict of the last of some *looks* at an image, each with its time."""
    arrivals = Arrivals(patience or Patience())
    return [arrivals.see_image(sighting, START + now) for now, sighting in looks][-1]


def lone(*looks: tuple[float, Sighting], late: bool = False) -> Verdict:
    """Return the verdict of the last of some *looks* at a sidecar without an image."""
    arrivals = Arrivals(Patience())
    return [arrivals.see_lone_sidecar(sighting, START + now, late=late) for now, sighting in looks][-1]


def waiting(patience: Patience | None = None) -> Arrivals:
    """Return the histories with an image that settled at 0.1."""
    arrivals = Arrivals(patience or Patience())
    arrivals.see_image(WHOLE, START)
    assert arrivals.see_image(WHOLE, START + 0.1).settled
    return arrivals


# Settling


@pytest.mark.parametrize(
    ("sighting", "seconds"),
    [
        (WHOLE, 0.1),
        (replace(WHOLE, writer="unknown"), 2.0),
        (replace(WHOLE, writer="unknown", network=True), 5.0),
        (replace(WHOLE, network=True), 5.0),
    ],
    ids=["lease", "no lease", "network", "network with a lease"],
)
def test_a_whole_file_settles_after_its_time(sighting: Sighting, seconds: float) -> None:
    """How long it must be quiet depends on what is known of its writers; a lease on a network proves nothing."""
    looks = [(0.0, sighting), (seconds / 2, sighting)]

    assert not images(*looks, (seconds - 0.01, sighting)).settled
    assert images(*looks, (seconds, sighting)).settled


def test_the_operator_may_set_one_time_for_all() -> None:
    """`settle_seconds` holds with a lease, without, and on a network."""
    patience = Patience(settle=0.0)

    assert images((0.0, WHOLE), patience=patience).settled
    assert images((0.0, replace(WHOLE, writer="unknown")), patience=patience).settled


def test_a_network_file_is_looked_at_three_times_whatever_the_time() -> None:
    """One look and two more: what a share answers may be minutes old."""
    remote = replace(WHOLE, network=True)
    patience = Patience(settle=0.0)

    assert not images((0.0, remote), patience=patience).settled
    assert not images((0.0, remote), (99.0, remote), patience=patience).settled
    assert images((0.0, remote), (99.0, remote), (99.1, remote), patience=patience).settled


@pytest.mark.parametrize(
    "changed",
    [
        replace(WHOLE, identity=Identity(9, 2, 3, 4)),
        replace(WHOLE, identity=Identity(1, 9, 3, 4)),
        replace(WHOLE, identity=Identity(1, 2, 9, 4)),
        replace(WHOLE, identity=Identity(1, 2, 3, 9)),
        replace(WHOLE, ctime_ns=9),
    ],
    ids=["device", "inode", "size", "mtime", "ctime"],
)
def test_any_change_begins_the_quiet_anew(changed: Sighting) -> None:
    """A file that became another, or was written to, settles from then on."""
    assert not images((0.0, WHOLE), (0.1, changed)).settled
    assert images((0.0, WHOLE), (0.1, changed), (0.25, changed)).settled


def test_an_open_writer_is_never_overruled() -> None:
    """While somebody has it open for writing, it is neither whole nor broken, even after a day."""
    writing = replace(WHOLE, writer="open")

    for ending in get_args(Ending):
        verdict = images((0.0, replace(writing, ending=ending)), (24 * HOUR, replace(writing, ending=ending)))
        assert not verdict.settled
        assert not verdict.rejection
        assert 0 < verdict.again <= 1.0


def test_quiet_begins_when_the_writer_leaves() -> None:
    """The time with a writer does not count as quiet, though not a byte changed."""
    writing = replace(WHOLE, writer="open")

    assert not images((0.0, writing), (99.0, writing), (99.05, WHOLE)).settled
    assert images((0.0, writing), (99.0, writing), (99.2, WHOLE)).settled


def test_a_network_file_that_changed_is_looked_at_three_times_again() -> None:
    """The looks before the change do not count."""
    remote = replace(WHOLE, network=True)
    changed = grown(remote)
    looks = [(0.0, remote), (1.0, remote), (2.0, changed), (9.0, changed)]

    assert not images(*looks).settled
    assert images(*looks, (9.1, changed)).settled


# Never


@pytest.mark.parametrize(
    ("sighting", "code", "seconds"),
    [
        (CUT, "truncated", 120.0),
        (replace(CUT, writer="unknown"), "truncated", 600.0),
        (replace(CUT, network=True), "truncated", 600.0),
        (replace(CUT, identity=Identity(1, 2, 0, 4)), "empty", 120.0),
        (replace(WHOLE, links=2), "hard_linked", 120.0),
    ],
    ids=["lease", "no lease", "network", "empty", "hard link"],
)
def test_what_might_be_mended_is_waited_for(sighting: Sighting, code: str, seconds: float) -> None:
    """A missing end, a missing byte and a second name each get their time before they are a verdict."""
    looks = [(0.0, sighting), (1.0, sighting), (seconds - 0.01, sighting)]

    assert "" == images(*looks).rejection
    assert not images(*looks).settled
    assert code == images(*looks, (seconds, sighting)).rejection


def test_growth_restarts_the_wait() -> None:
    """An upload that goes on after a pause is not broken."""
    assert "" == images((0.0, CUT), (119.0, grown(CUT)), (238.0, grown(CUT))).rejection
    assert "truncated" == images((0.0, CUT), (119.0, grown(CUT)), (239.0, grown(CUT))).rejection


def test_an_upload_that_goes_on_arrives() -> None:
    """A resumed upload that gets its end is an arrival like any other."""
    whole = replace(grown(CUT), ending="whole")

    assert images((0.0, CUT), (100.0, whole), (100.2, whole)).settled


def test_the_operator_may_set_how_long_an_end_is_waited_for() -> None:
    """`incomplete_after_seconds` holds with a lease and without."""
    patience = Patience(incomplete=7.0)

    assert "truncated" == images((0.0, CUT), (7.0, CUT), patience=patience).rejection
    unknown = replace(CUT, writer="unknown")
    assert "truncated" == images((0.0, unknown), (7.0, unknown), patience=patience).rejection


@pytest.mark.parametrize(
    ("sighting", "code"),
    [
        (replace(WHOLE, identity=Identity(1, 2, 20 * 2**20 + 1, 4)), "too_large"),
        (replace(WHOLE, ending="foreign", form=""), "not_an_image"),
        (replace(WHOLE, ending="foreign", links=2), "not_an_image"),
    ],
    ids=["too large", "foreign", "foreign with two names"],
)
def test_what_cannot_be_mended_is_rejected_once_it_is_quiet(sighting: Sighting, code: str) -> None:
    """No further byte helps a file that is too large or no picture; but it may still be about to be replaced."""
    assert "" == images((0.0, sighting)).rejection
    assert code == images((0.0, sighting), (0.1, sighting)).rejection


def test_a_file_of_the_largest_size_is_taken() -> None:
    """The limit itself is allowed."""
    largest = replace(WHOLE, identity=Identity(1, 2, 20 * 2**20, 4))

    assert images((0.0, largest), (0.1, largest)).settled


# Sidecars


def test_an_image_waits_a_little_for_its_sidecar() -> None:
    """The wait begins when the image settled, however late that was noticed."""
    arrivals = waiting()

    assert not arrivals.see_sidecar(None, WHOLE.path, START + 0.1).settled
    assert not arrivals.see_sidecar(None, WHOLE.path, START + 0.59).settled
    assert arrivals.see_sidecar(None, WHOLE.path, START + 0.61).settled


def test_a_wait_of_zero_is_none() -> None:
    """`sidecar_wait_seconds = 0` sends a settled image on at once."""
    assert waiting(Patience(sidecar=0.0)).see_sidecar(None, WHOLE.path, START + 0.1).settled


def test_a_sidecar_goes_as_soon_as_it_settled() -> None:
    """Nothing is waited for once it is there and quiet."""
    arrivals = waiting()

    assert not arrivals.see_sidecar(JSON, WHOLE.path, START + 0.2).settled
    assert arrivals.see_sidecar(JSON, WHOLE.path, START + 0.31).settled


def test_a_sidecar_that_does_not_parse_gets_more_time() -> None:
    """Half of a sidecar may be all there is for a moment; after two seconds it is broken."""
    arrivals, half = waiting(), replace(JSON, ending="cut")

    assert not arrivals.see_sidecar(half, WHOLE.path, START + 0.2).settled
    assert not arrivals.see_sidecar(half, WHOLE.path, START + 2.1).settled
    assert arrivals.see_sidecar(half, WHOLE.path, START + 2.21).settled


def test_a_sidecar_that_is_being_written_is_waited_for_but_not_for_ever() -> None:
    """A writer who never leaves costs the image its sidecar, not its row."""
    arrivals, writing = waiting(), replace(JSON, writer="open")

    early = arrivals.see_sidecar(writing, WHOLE.path, START + 599.0)
    late = arrivals.see_sidecar(writing, WHOLE.path, START + 600.2)

    assert (False, "") == (early.settled, early.rejection)
    assert (False, "unfinished_sidecar") == (late.settled, late.rejection)


def test_a_late_sidecar_is_told_once_it_settled() -> None:
    """It is not moved away while somebody writes it."""
    assert "" == lone((0.0, JSON), late=True).rejection
    assert "late_sidecar" == lone((0.0, JSON), (0.1, JSON), late=True).rejection


def test_an_orphan_waits_an_hour() -> None:
    """Its image may be on a slow way."""
    looks = [(0.0, JSON), (0.1, JSON), (HOUR - 1, JSON)]

    assert "" == lone(*looks).rejection
    assert "orphan_sidecar" == lone(*looks, (HOUR, JSON)).rejection


def test_an_orphan_that_changes_waits_anew() -> None:
    """A camera that rewrites its one sidecar keeps it."""
    assert "" == lone((0.0, JSON), (HOUR - 1, grown(JSON)), (HOUR + 1, grown(JSON))).rejection


# Memory and pauses


def test_what_is_forgotten_begins_anew() -> None:
    """Forgetting costs patience and nothing else."""
    arrivals = waiting()
    assert 1 == len(arrivals)
    assert WHOLE == arrivals.last(WHOLE.path)

    arrivals.forget(WHOLE.path)
    arrivals.forget(b"never seen")

    assert 0 == len(arrivals)
    assert arrivals.last(WHOLE.path) is None
    assert not arrivals.see_image(WHOLE, 99.0).settled


@pytest.mark.parametrize(
    ("sighting", "expected"),
    [
        (WHOLE, True),
        (replace(WHOLE, writer="unknown"), True),
        (replace(WHOLE, writer="open"), False),
        (CUT, False),
        (replace(WHOLE, links=2), False),
    ],
    ids=["whole", "no lease", "open", "cut", "two names"],
)
def test_only_what_should_arrive_any_moment_is_imminent(sighting: Sighting, *, expected: bool) -> None:
    """Whatever may never arrive must not keep others waiting."""
    arrivals = Arrivals(Patience())
    arrivals.see_image(sighting, 0.0)

    assert expected == arrivals.imminent(sighting.path)
    assert not arrivals.imminent(b"never seen")


def test_a_file_that_changes_all_the_time_is_not_imminent_for_ever() -> None:
    """What counts is how often it was looked at, not when it last changed."""
    arrivals, sighting = Arrivals(Patience()), WHOLE
    for now in range(25):
        arrivals.see_image(sighting, now)
        assert arrivals.imminent(WHOLE.path)
        sighting = grown(sighting)

    arrivals.see_image(sighting, 25.0)

    assert not arrivals.imminent(WHOLE.path)


@pytest.mark.parametrize("network", [False, True])
@pytest.mark.parametrize("writer", ["none", "unknown"])
@pytest.mark.parametrize("settle", [None, 0.0, 0.5, 60.0])
@pytest.mark.parametrize("sidecar", [0.0, 0.5, 60.0])
def test_a_whole_file_is_imminent_until_it_arrives(
    writer: Writer, settle: float | None, sidecar: float, *, network: bool
) -> None:
    """Whatever the settings: no ordinary photo needs more looks than are granted."""
    arrivals, now = Arrivals(Patience(settle=settle, sidecar=sidecar)), 1000.0
    sighting = replace(WHOLE, writer=writer, network=network)

    while not (verdict := arrivals.see_image(sighting, now)).settled:
        assert arrivals.imminent(WHOLE.path)
        now += verdict.again
    while not (verdict := arrivals.see_sidecar(None, WHOLE.path, now)).settled:
        assert arrivals.imminent(WHOLE.path)
        now += verdict.again
        arrivals.see_image(sighting, now)

    assert now < 1130.0


@pytest.mark.parametrize(
    ("sighting", "seconds", "again"),
    [
        (WHOLE, 0.0, 0.1),
        (WHOLE, 0.06, 0.04),
        (replace(WHOLE, writer="unknown"), 0.0, 0.5),
        (replace(WHOLE, writer="unknown"), 1.9, 0.1),
        (replace(WHOLE, writer="unknown", network=True), 1.0, 1.25),
        (replace(WHOLE, writer="open"), 0.0, 0.1),
        (replace(WHOLE, writer="open"), 5.0, 0.5),
        (replace(WHOLE, writer="open"), 500.0, 1.0),
        (CUT, 0.12, 0.1),
        (CUT, 4.0, 2.0),
        (CUT, 99.0, 5.0),
        (CUT, 119.0, 1.0),
    ],
)
def test_the_next_look_comes_when_it_may_matter(sighting: Sighting, seconds: float, again: float) -> None:
    """When a wait is over, a little after a writer may have left, and hardly ever at what is probably broken."""
    assert again == pytest.approx(images((0.0, sighting), (seconds, sighting)).again)


@pytest.mark.parametrize(("seconds", "again"), [(1.0, 2.0), (100.0, 25.0), (1000.0, 60.0)])
def test_the_next_look_at_an_orphan_may_wait(seconds: float, again: float) -> None:
    """When its photo comes, it is looked at with that."""
    assert again == pytest.approx(lone((0.0, JSON), (seconds, JSON)).again)


@pytest.mark.parametrize(("sidecar", "seconds", "again"), [(0.5, 0.0, 0.1), (0.5, 0.46, 0.04), (60.0, 0.0, 7.5)])
def test_the_next_look_for_a_sidecar_comes_soon(sidecar: float, seconds: float, again: float) -> None:
    """A few times during the wait, and at its end."""
    arrivals = waiting(Patience(sidecar=sidecar))

    assert again == pytest.approx(arrivals.see_sidecar(None, WHOLE.path, START + 0.1 + seconds).again)


@pytest.mark.parametrize("writer", ["open", "none", "unknown"])
@pytest.mark.parametrize("ending", ["whole", "cut"])
def test_looks_become_rarer(writer: Writer, ending: Ending) -> None:
    """What never arrives is looked at less and less, so that thousands of such files cost little."""
    arrivals, now, looks = Arrivals(Patience(incomplete=1000.0)), 0.0, 0
    sighting = replace(WHOLE, writer=writer, ending=ending, links=2)

    while now < 600.0:
        looks += 1
        now += arrivals.see_image(sighting, now).again

    assert looks < 700


@given(
    st.lists(
        st.tuples(
            st.floats(0, 50),
            st.sampled_from(["open", "none", "unknown"]),
            st.sampled_from(["whole", "cut"]),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_a_look_that_decides_nothing_always_names_a_later_one(
    looks: list[tuple[float, Writer, Ending, bool, bool]],
) -> None:
    """Whatever is seen, and whenever: a file is settled, rejected, or looked at again after a pause that is no spin."""
    arrivals, now, sighting = Arrivals(Patience()), 1000.0, WHOLE
    for wait, writer, ending, network, grows in looks:
        now += wait
        before = grown(sighting) if grows else sighting
        sighting = replace(before, writer=writer, ending=ending, network=network)
        verdict = arrivals.see_image(sighting, now)

        assert 1 == sum([verdict.settled, bool(verdict.rejection), verdict.again > 0])
        assert verdict.again == 0 or 0.001 <= verdict.again <= 5.0
        assert not (writer == "open" and (verdict.settled or verdict.rejection))
