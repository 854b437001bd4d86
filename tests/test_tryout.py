"""Tests of watcher.tryout: reading photos without a line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.makers import Hands, jpeg
from tests.misbehaving.engines import install
from watcher import tryout
from watcher.chain import Chain, forged
from watcher.errors import SettingsInvalid, WatcherError
from watcher.reader import ReaderOptions
from watcher.settings import load

ROOT = str(Path(__file__).parent.parent)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Give a photo."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg())
    return path


def answers(home: Path, *images: Path, engines: str = "[]", **variables: str) -> list[dict[str, Any]]:
    """Return what is read on *images* with these settings."""
    environment = {"WATCHER_HOME": str(home), "WATCHER_READING__ENGINES": engines} | variables
    return list(tryout.readings(load(config=None, environment=environment), images, Hands().clocks))


def asked(engine: str, options: Mapping[str, Any], photo: Path, drawing: Path | None = None) -> dict[str, Any]:
    """Return what an engine that behaves in its own way makes of *photo*."""
    paths = (ROOT, install(photo.parent))
    chain = Chain(forged(ReaderOptions((engine,), options={engine: options}, paths=paths), 0.5, lambda: 0.0))
    try:
        return tryout._answer(chain, photo, len(jpeg()), drawing)
    finally:
        chain.close()


def test_no_engine(tmp_path: Path, photo: Path) -> None:
    """With nobody to ask, every photo says so, and where to change that."""
    answer, again = answers(tmp_path, photo, photo)

    assert answer == again
    assert os.fspath(photo) == answer["file"]
    assert ("engine_unavailable", None) == (answer["code"], answer["plate"])
    assert "[reading] engines" in answer["error"]


def test_objections(tmp_path: Path) -> None:
    """What could be no photo is told from what is missing, in the order asked, and nothing is opened."""
    os.mkfifo(tmp_path / "pipe.jpg")
    images = tmp_path, tmp_path / "pipe.jpg", tmp_path / "gone.jpg"
    told = answers(tmp_path, *images)

    assert [os.fspath(path) for path in images] == [answer["file"] for answer in told]
    assert ["not_a_file", "not_a_file", "unreadable"] == [answer["code"] for answer in told]
    assert "The photo cannot be read: No such file or directory. Check its name and folder." == told[2]["error"]


def test_largest(tmp_path: Path) -> None:
    """A file of one byte more than the inbox takes is not read either, with the setting to change."""
    for size in (1 << 20, (1 << 20) + 1):
        (tmp_path / f"{size}.jpg").write_bytes(bytes(size))
    images = sorted(tmp_path.iterdir())
    told = answers(tmp_path, *images, WATCHER_INBOX__MAX_MEGABYTES="1")

    assert ["engine_unavailable", "too_large"] == [answer["code"] for answer in told]
    assert "[inbox] max_megabytes" in told[1]["error"]


def test_unreadable_picture(tmp_path: Path) -> None:
    """A file that is no picture is a failure, told by its code and by a sentence with the remedy."""
    path = tmp_path / "text.jpg"
    path.write_text("This is no photo.")
    (answer,) = answers(tmp_path, path, engines='["tesseract"]')

    assert answer["error"].startswith("This is no JPEG or PNG that can be decoded. Open it in a viewer")
    assert ("image_unreadable", None, True) == (answer["code"], answer["plate"], answer["review"])
    assert tryout.is_failed(answer)


def test_large_picture(tmp_path: Path, photo: Path) -> None:
    """A picture of more pixels than the settings allow names the setting."""
    variables = {"WATCHER_INBOX__MAX_MEGAPIXELS": "0.0001"}
    (answer,) = answers(tmp_path, photo, engines='["tesseract"]', **variables)

    assert ("too_many_pixels", None) == (answer["code"], answer["plate"])
    assert "[inbox] max_megapixels" in answer["error"]


def test_a_refusal_that_did_not_matter(photo: Path) -> None:
    """An engine that refuses a picture which could be decoded makes no picture of it that is none."""
    answer = asked("refuses", {}, photo)

    assert ("content_filter", False) == (answer["code"], "error" in answer)


def test_unknown_engine(tmp_path: Path, photo: Path) -> None:
    """An engine that does not exist is an error of the settings, and the known ones are named."""
    with pytest.raises(SettingsInvalid) as caught:
        answers(tmp_path, photo, engines='["teseract2"]')
    assert "There is no engine 'teseract2'." == caught.value.reason
    assert "tesseract" in caught.value.hint


def test_plate(photo: Path) -> None:
    """A plate is answered with who read it, and has no error."""
    answer = asked("answers", {"text": "1234 BCD"}, photo)

    assert "error" not in answer
    assert ("1234BCD", "answers", None) == (answer["plate"], answer["engine"], answer["code"])
    assert not tryout.is_failed(answer)


def test_link(photo: Path) -> None:
    """The photo may be a link, which the inbox would not take."""
    link = photo.with_name("link.jpg")
    link.symlink_to(photo.name)
    assert "1234BCD" == asked("answers", {"text": "1234BCD"}, link)["plate"]


def test_crash(photo: Path) -> None:
    """A photo that the reader's process dies of is told as that."""
    answer = asked("crashes", {}, photo)

    assert ("reader_crashed", None) == (answer["code"], answer["plate"])
    assert answer["error"].startswith("The reader's process ended: ")


def test_away(photo: Path) -> None:
    """An engine that cannot be asked is told with its remedy."""
    answer = asked("away", {}, photo)

    assert "engine_unavailable" == answer["code"]
    assert "Fetch it." in answer["error"]


def test_drawing(photo: Path) -> None:
    """The photo is drawn with what was read on it, or with nothing, beside what is answered anyway."""
    for text in ("1234BCD", None):
        out = photo.with_name(f"{text}.png")
        answer = asked("answers", {"text": text}, photo, out)
        with Image.open(out) as image:
            assert ("PNG", 640) == (image.format, image.width)
        assert (text, os.fspath(out)) == (answer["plate"], answer["drawing"])
        assert not tryout.is_failed(answer)
        shutil.rmtree(photo.parent / "misbehaving-1.0.dist-info")


def test_drawing_that_cannot_be_made(photo: Path) -> None:
    """What was read is answered all the same, with the reason; a file that has come in the meantime stays."""
    out = photo.with_name("out.png")
    out.write_text("mine")
    there = asked("answers", {"text": "1234BCD"}, photo, out)
    shutil.rmtree(photo.parent / "misbehaving-1.0.dist-info")
    photo.write_bytes(jpeg()[:-300])
    broken = asked("answers", {"text": "1234BCD"}, photo, photo.with_name("other.png"))

    assert ("1234BCD", None, True) == (there["plate"], there["drawing"], tryout.is_failed(there))
    assert "File exists" in there["drawing_error"]
    assert "mine" == out.read_text()
    assert ("image_unreadable", None, True) == (broken["code"], broken["drawing"], tryout.is_failed(broken))
    assert "cannot be decoded" in broken["drawing_error"]
    assert not photo.with_name("other.png").exists()


def test_places_for_a_drawing(tmp_path: Path, photo: Path) -> None:
    """Neither our own folders nor a file that is there are written to, however they are called, and nothing is read."""
    for name in ("inbox", "uploads", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "uploads" / "cam1").mkdir()
    (tmp_path / "link").symlink_to("uploads")
    (tmp_path / "there.png").symlink_to("nowhere")
    settings = load(config=None, environment={"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "[]"})
    said = []
    for name in ("inbox/a.png", "link/cam1/a.png", "data/a.png", "there.png", "a.jpg", "nowhere/a.png"):
        with pytest.raises(WatcherError) as caught:
            next(tryout.readings(settings, [photo], Hands().clocks, drawing=tmp_path / name))
        said.append(caught.value.reason)
        assert "drawing_refused" == caught.value.code

    words = ("[folders] inbox", "[folders] uploads", "[folders] data", "there already", "PNG", "no folder")
    assert all(word in reason for word, reason in zip(words, said, strict=True)), said


def test_a_drawing_needs_something_to_read(tmp_path: Path, photo: Path) -> None:
    """Where nobody can be asked, nothing is drawn, and the answer is what it always is."""
    settings = load(config=None, environment={"WATCHER_HOME": str(tmp_path), "WATCHER_READING__ENGINES": "[]"})
    (answer,) = tryout.readings(settings, [photo], Hands().clocks, drawing=tmp_path / "a.png")

    assert ("engine_unavailable", False) == (answer["code"], "drawing" in answer)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        ({"plate": "1234BCD", "code": None}, False),
        ({"plate": "1234BCD", "code": "engine_unavailable"}, False),
        ({"plate": None, "code": None}, False),
        ({"plate": None, "code": "engine_unavailable"}, True),
        ({"plate": "1234BCD", "code": None, "error": ""}, True),
        ({"plate": "1234BCD", "code": None, "drawing": "a.png"}, False),
        ({"plate": "1234BCD", "code": None, "drawing": None, "drawing_error": "It is full."}, True),
    ],
)
def test_failed(answer: dict[str, Any], *, failed: bool) -> None:
    """Only an answer that says neither that there is a plate nor that there is none is a failure."""
    assert failed == tryout.is_failed(answer)
