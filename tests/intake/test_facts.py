"""What is written down of an arrival."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.makers import NOON
from watcher.intake.facts import camera_of, kept_out, stem_of, taken_in
from watcher.journal import Admission
from watcher.model import Arrival, Identity, Sidecar, Sighting

SEEN = Sighting(b"gate/7.PNG", Identity(1, 2, 300, 4), 5, 1, "none", "whole", "png")


def admissions(sidecar: Sidecar | None) -> list[Admission]:
    """Return what follows from the arrival of one photo of 310 bytes with that sidecar."""
    return taken_in(Arrival(SEEN, sidecar), temporary=".t", digest="d", size=310, captured=(NOON, "sidecar"), now=NOON)


def test_an_image_bears_what_its_sidecar_says() -> None:
    """Camera and kind come from the sidecar, the form from the bytes, the size from the copy."""
    [item] = admissions(Sidecar(camera_id="north", type="vin"))

    assert ("north", "vin") == (item.image.camera, item.image.kind)
    assert ("png", "", "7.png") == (item.form, item.reason, item.stem)
    assert (310, "d", ".t") == (item.image.identity.size, item.image.digest, item.image.temporary)
    assert (NOON, "sidecar", NOON) == (item.image.captured_at, item.image.time_source, item.image.arrived_at)


@pytest.mark.parametrize("sidecar", [None, Sidecar()])
def test_without_a_word_from_the_sidecar_the_folder_is_the_camera(sidecar: Sidecar | None) -> None:
    """The first-level sub-folder names the camera, and a plate is looked for."""
    [item] = admissions(sidecar)

    assert ("gate", "plate") == (item.image.camera, item.image.kind)


def test_a_bad_sidecar_is_an_item_of_its_own() -> None:
    """The photo is taken in with the error on it; the sidecar itself goes to the quarantine under its own name."""
    bad = Sidecar(path=b"gate/7.json", identity=Identity(1, 3, 9, 4), error="It is empty.")
    photo, card = admissions(bad)

    assert ("", bad) == (photo.reason, photo.image.sidecar)
    assert ("sidecar_error", b"gate/7.json", bad.identity) == (card.reason, card.image.source, card.image.identity)
    assert ("", "", "7.json", bad) == (card.image.digest, card.image.temporary, card.stem, card.image.sidecar)


def test_a_rejected_file_bears_its_arrival() -> None:
    """It is not opened any more, so no other time is asked for."""
    item = kept_out(SEEN, "truncated", NOON)

    assert ("truncated", "7.png", "gate", NOON) == (item.reason, item.stem, item.image.camera, item.image.captured_at)


def test_only_the_first_level_is_the_camera() -> None:
    """Cameras have a folder each and may make more in it; strange bytes in its name can be printed."""
    assert "gate" == camera_of(b"gate/2026/03/7.jpg")
    assert "" == camera_of(b"7.jpg")
    assert "caf\\xe9" == camera_of(b"caf\xe9/7.jpg")


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        (b"gate/cam 7.JPG", "cam 7.jpg"),
        (b"Dahua[M][0@0][0].jpg", "Dahua_M__0_0__0_.jpg"),
        ("señal.jpeg".encode(), "señal.jpeg"),
        (b"a\nb\x1b[31m.jpg", "a_b__31m.jpg"),
        (b"caf\xe9.jpg", "caf_xe9.jpg"),
        (b"=cmd|'/c calc'!A0.jpg", "c calc__A0.jpg"),
        (b"x.reason.json", "x_reason.json"),
        (b"noending", "noending"),
    ],
)
def test_the_old_name_is_recognisable_and_harmless(path: bytes, stem: str) -> None:
    """Letters and digits of any language stay; what a terminal, a shell or a spreadsheet would act on does not."""
    assert stem == stem_of(path)


@given(st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name))
def test_any_name_becomes_a_short_harmless_one(path: bytes) -> None:
    """Whatever the bytes, the result fits into a file name, contains nothing strange and is no reason file."""
    stem = stem_of(path)

    assert len(stem.encode()) <= 100 + 32
    assert all(character.isalnum() or character in "-_. " for character in stem)
    assert not ("1_" + stem).endswith(".reason.json")
