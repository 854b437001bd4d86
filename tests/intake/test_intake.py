"""Admission and storing: what is owned, what is left alone, and what one bad file cannot do to the others."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, jpeg, png
from tests.premises import LARGEST, Premises, digest, look_below, seen, sidecar_of
from tests.refusals import meddling, refused, unprivileged
from watcher.errors import StorageUnavailable
from watcher.intake import TEMPORARY, Intake, Stored
from watcher.model import Arrival, Identity, Image, Sighting, StoredImage


@pytest.fixture
def premises(tmp_path: Path) -> Iterator[Premises]:
    """Give an empty line on the disk, at the time of its folders."""
    line = Premises(tmp_path, Hands(wall=tmp_path.stat().st_ctime + 1))
    yield line
    line.close()


def secured(premises: Premises, *arrivals: Arrival) -> list[Image]:
    """Secure *arrivals*, none of which may have changed or failed, and give each a name as the journal would."""
    result = premises.intake.secure(arrivals)
    assert (0, None) == (result.changed, result.error)
    return [replace(item.image, name=f"photo_{number}.jpg") for number, item in enumerate(result.items)]


# Admission


def test_photos_are_copied_and_written_down(premises: Premises) -> None:
    """Each copy has the bytes, the digest is that of the bytes, and the sources are not touched."""
    premises.drop("a.jpg", jpeg(1))
    premises.drop("gate/b.PNG", png(2))
    first, second = secured(premises, premises.arrival("a.jpg"), premises.arrival("gate/b.PNG"))

    assert {first.temporary: digest(jpeg(1)), second.temporary: digest(png(2))} == premises.photos()
    assert (digest(jpeg(1)), digest(png(2))) == (first.digest, second.digest)
    assert ("", "gate") == (first.camera, second.camera)
    assert all(image.temporary.startswith(TEMPORARY) for image in (first, second))
    assert ["a.jpg", "gate/b.PNG"] == premises.waiting()
    assert premises.intake.taken(first.temporary)


def test_rejected_files_and_bad_sidecars_are_not_copied(premises: Premises) -> None:
    """They are only named; what is to be moved is moved later."""
    premises.drop("a.jpg", b"text")
    premises.drop("b.jpg", jpeg(1))
    premises.drop("b.json", b"{")
    bad = replace(sidecar_of(premises.inbox, "b.json"), error="not JSON")
    result = premises.intake.secure(
        [premises.arrival("a.jpg", rejection="not_an_image"), premises.arrival("b.jpg", bad)]
    )

    assert ["not_an_image", "", "sidecar_error"] == [item.reason for item in result.items]
    assert 1 == len(premises.photos())


def test_a_photo_that_grew_too_large_is_rejected(premises: Premises) -> None:
    """It grew beyond the limit after the last look, or the limit was lowered: nothing of it is kept."""
    premises.drop("a.jpg", jpeg(1))
    premises.intake.adopt(["arrival"], 100)
    [item] = premises.intake.secure([premises.arrival("a.jpg")]).items

    assert ("too_large", b"a.jpg") == (item.reason, item.image.source)
    assert {} == premises.photos()


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite(path: Path) -> None:
    before = path.stat()
    path.write_bytes(jpeg(9)[: before.st_size].ljust(before.st_size, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    path.unlink()
    path.write_bytes(jpeg(9))


@pytest.mark.parametrize("moment", [os.open, os.pread, os.fsync])
@pytest.mark.parametrize("change", [_grow, _rewrite, _replace, Path.unlink])
def test_what_changes_meanwhile_is_no_arrival_yet(
    premises: Premises, moment: object, change: Callable[[Path], None]
) -> None:
    """Before, during or after the copy, even with size and mtime kept: the copy goes, the other photo stays."""
    path = premises.drop("a.jpg", jpeg(1))
    premises.drop("b.jpg", jpeg(2))
    arrivals = [premises.arrival("a.jpg"), premises.arrival("b.jpg")]
    result = meddling(moment, lambda: change(path), lambda: premises.intake.secure(arrivals))

    assert (1, None) == (result.changed, result.error)
    assert [b"b.jpg"] == [item.image.source for item in result.items]
    assert [digest(jpeg(2))] == list(premises.photos().values())


def test_what_somebody_opened_meanwhile_is_no_arrival_yet(premises: Premises) -> None:
    """It has not changed, but it may: nobody may have it open for writing once the copy is done."""
    path = premises.drop("a.jpg", jpeg(1))
    arrival = premises.arrival("a.jpg")
    with path.open("ab"):
        result = premises.intake.secure([arrival])

    assert ([], 1) == (result.items, result.changed)
    assert {} == premises.photos()


def test_a_photo_that_cannot_be_read_holds_up_nobody(premises: Premises) -> None:
    """The memory of this process opens like a file and fails like bad sectors: the others are taken in."""
    path = premises.drop("a.jpg", jpeg(1))
    intake = Intake(
        inbox=Path("/"),
        uploads=premises.uploads,
        look=look_below(Path("/")),
        clocks=premises.hands.clocks,
        timestamps=["arrival"],
        largest=LARGEST,
    )
    status = Path(f"/proc/{os.getpid()}/mem").stat()
    identity = Identity(status.st_dev, status.st_ino, 0, status.st_mtime_ns)
    memory = Sighting(f"proc/{os.getpid()}/mem".encode(), identity, status.st_ctime_ns, 1, "none", "whole", "jpg")
    photo = seen(Path("/"), str(path)[1:])
    with capture_logs() as logs:
        result = intake.secure([Arrival(memory), Arrival(photo)])

    assert [("inbox.look_failed", memory.path)] == [(line["event"], line["path"]) for line in logs]
    assert (0, None) == (result.changed, result.error), "nor is it worth another look at once"
    assert [photo.path] == [item.image.source for item in result.items]
    assert [digest(jpeg(1))] == list(premises.photos().values())


def test_a_photo_that_does_not_fit_holds_up_nobody(premises: Premises) -> None:
    """One is larger than a file may become here; the others are taken in, and the trouble is told."""
    premises.drop("big.jpg", jpeg(1, (300, 300)))
    premises.drop("small.jpg", jpeg(2))
    arrivals = [premises.arrival("big.jpg"), premises.arrival("small.jpg")]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        result = premises.intake.secure(arrivals)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert result.error is not None
    assert ("file_limit", 0) == (result.error.code, result.changed)
    assert [b"small.jpg"] == [item.image.source for item in result.items]
    assert [digest(jpeg(2))] == list(premises.photos().values())


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_nothing_behind(premises: Premises, call: str, number: int) -> None:
    """Whatever fails while photos are copied, no copy stays, and it is said what failed."""
    premises.drop("a.jpg", jpeg(1))
    premises.drop("b.jpg", jpeg(2))
    arrivals = [premises.arrival("a.jpg"), premises.arrival("b.jpg")]

    def act() -> object:
        try:
            return premises.intake.secure(arrivals).error
        except StorageUnavailable as error:
            return error

    error = refused(call, number, act)
    assert isinstance(error, StorageUnavailable)
    assert error.code in {"disk_full", "io_error"}
    assert {} == premises.photos()
    assert 2 == len(premises.intake.secure(arrivals).items)


@pytest.mark.parametrize("moment", [os.pread, os.fsync])
def test_an_interruption_leaves_nothing_behind(premises: Premises, moment: object) -> None:
    """Nor does an error that nobody foresaw."""
    premises.drop("a.jpg", jpeg(1))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        meddling(moment, interrupt, lambda: premises.intake.secure([premises.arrival("a.jpg")]))
    assert {} == premises.photos()


def test_an_inbox_out_of_reach_is_told(premises: Premises) -> None:
    """The folder of a photo cannot be opened any more: that is no change of the photo."""
    premises.drop("a.jpg", jpeg(1))
    arrival = premises.arrival("a.jpg")
    premises.uploads.chmod(0o777)
    premises.inbox.chmod(0o700)
    folders = [premises.inbox, *premises.inbox.parents]
    modes = [folder.stat().st_mode for folder in folders]
    for folder in folders[1:]:
        folder.chmod(folder.stat().st_mode | 0o005)

    def act() -> None:
        error = premises.intake.secure([arrival]).error
        assert error is not None
        assert "no_rights" == error.code

    try:
        assert unprivileged(act)
    finally:
        for folder, mode in zip(folders, modes, strict=True):
            folder.chmod(mode)


def test_uploads_that_are_not_there_are_told(premises: Premises) -> None:
    """A disk that is not mounted is a trouble that heals, not an error in the program."""
    premises.uploads.rmdir()
    for act in (
        lambda: premises.intake.secure([]),
        lambda: premises.intake.store([]),
        lambda: premises.intake.sweep(frozenset()),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            act()
        assert "unreachable" == caught.value.code
    premises.uploads.write_bytes(b"a file")
    with pytest.raises(StorageUnavailable):
        premises.intake.discard([])


def test_copies_that_nobody_knows_are_swept(premises: Premises) -> None:
    """At start, those of a killed run; what an owed act still needs, and what is not ours, stays."""
    premises.drop("a.jpg", jpeg(1))
    [image] = secured(premises, premises.arrival("a.jpg"))
    (premises.uploads / f"{TEMPORARY}stray").write_bytes(b"x")
    (premises.uploads / ".hidden").write_bytes(b"x")

    assert 1 == premises.intake.sweep(frozenset([image.temporary]))
    assert {image.temporary, ".hidden"} == set(premises.photos())
    premises.intake.discard([image, replace(image, temporary="")])
    assert {".hidden"} == set(premises.photos())


# Storing


def test_photos_are_stored_and_their_sources_go(premises: Premises) -> None:
    """The bytes stand under the name, sidecar and source are gone; asked again, nothing more happens."""
    premises.drop("a.jpg", jpeg(1))
    premises.drop("a.json", b"{}")
    premises.drop("gate/b.jpg", jpeg(2))
    images = secured(
        premises, premises.arrival("a.jpg", sidecar_of(premises.inbox, "a.json")), premises.arrival("gate/b.jpg")
    )
    expected = [Stored(StoredImage(image, str(premises.uploads / image.name))) for image in images]

    assert expected == premises.intake.store(images)
    assert {"photo_0.jpg": digest(jpeg(1)), "photo_1.jpg": digest(jpeg(2))} == premises.photos()
    assert [] == premises.waiting()
    assert expected == premises.intake.store(images)


def test_a_withdrawn_photo_is_given_up_alone(premises: Premises) -> None:
    """Its copy was lost with the power and its source was taken back; its neighbours in the batch are stored."""
    premises.drop("a.jpg", jpeg(1))
    premises.drop("b.jpg", jpeg(2))
    images = secured(premises, premises.arrival("a.jpg"), premises.arrival("b.jpg"))
    (premises.uploads / images[0].temporary).unlink()
    (premises.inbox / "a.jpg").unlink()
    first, second = premises.intake.store(images)

    assert Stored(None) == first
    assert Stored(StoredImage(images[1], str(premises.uploads / "photo_1.jpg"))) == second


def test_a_taken_name_holds_up_one_photo(premises: Premises) -> None:
    """A foreign file stands at the name of one: it fails alone, and neither its source nor the file is touched."""
    premises.drop("a.jpg", jpeg(1))
    premises.drop("b.jpg", jpeg(2))
    images = secured(premises, premises.arrival("a.jpg"), premises.arrival("b.jpg"))
    (premises.uploads / "photo_0.jpg").write_bytes(b"foreign")
    first, second = premises.intake.store(images)

    assert isinstance(first, StorageUnavailable)
    assert "name_taken" == first.code
    assert isinstance(second, Stored)
    assert ["a.jpg"] == premises.waiting()
    assert b"foreign" == (premises.uploads / "photo_0.jpg").read_bytes()


def test_nothing_is_released_before_its_name_is_durable(premises: Premises) -> None:
    """The folder cannot be synced: the source stays, and the next attempt recognises what was done."""
    premises.drop("a.jpg", jpeg(1))
    images = secured(premises, premises.arrival("a.jpg"))

    with pytest.raises(StorageUnavailable):
        refused("fsync", errno.EIO, lambda: premises.intake.store(images))
    assert ["a.jpg"] == premises.waiting()
    [result] = premises.intake.store(images)
    assert isinstance(result, Stored)
    assert [] == premises.waiting()


def test_a_source_that_has_to_stay_is_marked(premises: Premises) -> None:
    """The photo is stored all the same; what is left is released later."""
    path = premises.drop("a.jpg", jpeg(1))
    images = secured(premises, premises.arrival("a.jpg"))
    with path.open("ab"):
        [result] = premises.intake.store(images)
        assert [True] == premises.intake.release(images)

    assert Stored(StoredImage(images[0], str(premises.uploads / "photo_0.jpg")), leftover=True) == result
    assert [False] == premises.intake.release(images)
    assert [] == premises.waiting()


def test_a_removal_that_is_not_durable_is_told(premises: Premises) -> None:
    """Else a power cut brings the source back after it was forgotten."""
    premises.drop("a.jpg", jpeg(1))
    images = secured(premises, premises.arrival("a.jpg"))

    with pytest.raises(StorageUnavailable):
        refused("fsync", errno.EIO, lambda: premises.intake.release(images))
    assert [False] == premises.intake.release(images)


def test_a_source_that_was_replaced_stays(premises: Premises) -> None:
    """A camera that always uses one name has written the next photo before we removed the last one."""
    premises.drop("cam.jpg", jpeg(1))
    images = secured(premises, premises.arrival("cam.jpg"))
    premises.drop("cam.jpg", jpeg(2))
    [result] = premises.intake.store(images)

    assert isinstance(result, Stored)
    assert not result.leftover
    assert jpeg(2) == (premises.inbox / "cam.jpg").read_bytes()
    assert {"photo_0.jpg": digest(jpeg(1))} == premises.photos()
