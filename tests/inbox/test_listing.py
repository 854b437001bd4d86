"""What is found in an inbox by names and kinds alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import cast

import pytest

from tests.inbox.doors import put
from tests.refusals import counted, meddling, refused, unprivileged
from watcher.inbox.listing import Found, Ignore, Survey, _found, image_names, survey, walk
from watcher.settings.sections import LITTER

ALL = Ignore(())


def listed(root: bytes, ignore: Sequence[str] = ()) -> list[tuple[str, bytes]]:
    """Return what is found, folders left out, in order."""
    return sorted((found.what, found.path) for found in walk(root, Ignore(ignore)) if found.what != "folder")


def others(root: bytes) -> dict[bytes, str]:
    """Return why each of the other entries is none."""
    return {found.path: found.why for found in walk(root, ALL) if found.what == "other"}


# Names


def test_photos_and_sidecars_are_told_by_their_endings(root: bytes) -> None:
    """In any case; everything else is named as what it is not."""
    for name in (b"a.jpg", b"b.JPG", b"c.JpEg", b"d.png", b"e.json", b"f.JSON", b"g.txt", b"h", b"jpg", b"i.jpg.part"):
        put(root, name, b"x")

    assert [
        *(("image", name) for name in (b"a.jpg", b"b.JPG", b"c.JpEg", b"d.png")),
        *(("other", name) for name in (b"g.txt", b"h", b"i.jpg.part", b"jpg")),
        *(("sidecar", name) for name in (b"e.json", b"f.JSON")),
    ] == listed(root)
    assert {"suffix"} == set(others(root).values())


@pytest.mark.parametrize(
    "name",
    [
        b".hidden.jpg",
        b".jpg",
        b".json",
        b"a.jpg.part",
        b"a.JPG.FilePart",
        b"x.tmp",
        b"x.crdownload",
        b".in.a.jpg.",
        b".pureftpd-upload.123",
        b"._a.jpg",
        b"Thumbs.db",
        b"desktop.ini",
        b"a.jpg~",
        b"@eaDir/a.jpg",
        b"gate/@eaDir/deep/a.jpg",
        b".stversions/a.jpg",
        b"#recycle/a.jpg",
        b"caf\xe9.part",
        b"line\nbreak.part",
    ],
)
def test_litter_is_passed_over_without_a_word(root: bytes, name: bytes) -> None:
    """Hidden entries and what matches a pattern, folders with all that is in them."""
    put(root, name, b"x")

    assert [] == listed(root, LITTER)


def test_patterns_are_the_operators(root: bytes) -> None:
    """They are about whole names, in any case; without any, only what is hidden is passed over."""
    for name in (b"keep.jpg", b"TEST-1.jpg", b"x[1].jpg", b"atest-2.jpg"):
        put(root, name, b"x")

    assert [b"atest-2.jpg", b"keep.jpg"] == [path for _, path in listed(root, ["test-*", "x[[]1].jpg"])]
    assert 4 == len(listed(root))


@pytest.mark.parametrize(
    "name", [b"a\nb.jpg", b"caf\xe9.jpg", b"-rf.jpg", b"x" * 251 + b".jpg", "🚗.jpg".encode(), b" .jpg", b"%n.jpg"]
)
def test_names_come_as_bytes(root: bytes, name: bytes) -> None:
    """Just as the file system has them, in folders too."""
    put(root, name, b"x")
    put(root, os.path.splitext(name)[0] + b"/" + name, b"x")

    assert {name, os.path.splitext(name)[0] + b"/" + name} == {path for _, path in listed(root)}


@pytest.mark.parametrize(
    ("sidecar", "images"),
    [
        (b"gate/cam7.jpg.json", {b"gate/cam7.jpg"}),
        (b"cam7.PNG.json", {b"cam7.PNG"}),
        (b"cam7.json", {b"cam7" + end for end in (b".jpg", b".JPG", b".jpeg", b".JPEG", b".png", b".PNG")}),
        (b"cam7.JSON", {b"cam7" + end for end in (b".jpg", b".JPG", b".jpeg", b".JPEG", b".png", b".PNG")}),
    ],
)
def test_a_sidecar_belongs_to_the_images_it_is_called_like(sidecar: bytes, images: set[bytes]) -> None:
    """`NAME.EXT.json` to one, `STEM.json` to whichever is there."""
    assert images == set(image_names(sidecar))


# Kinds and folders


def test_what_is_no_file_is_named(root: bytes) -> None:
    """Links, pipes and folders that are called like photos are left alone, and nothing in them is listed."""
    os.symlink(b"/etc/passwd", os.path.join(root, b"link.jpg"))
    os.symlink(b"/etc", os.path.join(root, b"etc"))
    os.mkfifo(os.path.join(root, b"pipe.jpg"))
    put(root, b"folder.jpg/a.jpg", b"x")

    assert {b"link.jpg": "symlink", b"etc": "symlink", b"pipe.jpg": "special", b"folder.jpg": "folder"} == others(root)
    assert [] == [path for what, path in listed(root) if what == "image"]


def test_folders_are_walked_sixteen_deep(root: bytes) -> None:
    """Cameras make up to seven; what lies deeper is said and not walked."""
    path = b""
    for _ in range(18):
        put(root, path + b"a.jpg", b"x")
        path += b"d/"

    images = [path for what, path in listed(root) if what == "image"]

    assert 17 == len(images)
    assert 16 == max(path.count(b"/") for path in images)
    assert {b"/".join([b"d"] * 17): "too_deep"} == others(root)


def test_every_folder_that_was_opened_is_told(root: bytes) -> None:
    """The inbox itself included, so that watches can be compared with them; those on a network mount are marked."""
    put(root, b"a/b/c.jpg", b"x")
    here = frozenset({os.stat(root).st_dev})

    assert {b"", b"a", b"a/b"} == {found.path for found in walk(root, ALL) if found.what == "folder"}
    assert {"network"} == {found.why for found in walk(root, ALL, here) if found.what == "folder"}


def test_walking_is_lazy(root: bytes) -> None:
    """Of a backlog only what is asked for is read, and stopping in the midst closes everything."""
    for number in range(300):
        put(root, b"%d/a.jpg" % number, b"x")
    before = len(os.listdir("/proc/self/fd"))

    listing = walk(root, ALL)

    assert 2 >= counted(os.scandir, lambda: list(islice(listing, 3)))
    listing = iter(())
    assert before == len(os.listdir("/proc/self/fd"))


# Trouble


def test_a_root_that_is_gone_is_raised(root: bytes) -> None:
    """Nothing and nowhere are not the same."""
    os.rmdir(root)

    with pytest.raises(FileNotFoundError):
        list(walk(root, ALL))
    with pytest.raises(FileNotFoundError):
        survey(root, ALL)


def test_a_folder_that_leaves_meanwhile_is_no_news(root: bytes) -> None:
    """Cameras clean up; a folder that became a file or a link is not followed either."""
    for name in (b"a", b"b", b"c"):
        os.mkdir(os.path.join(root, name))
    put(root, b"z.jpg", b"x")
    listing = walk(root, ALL)
    first = [next(listing) for _ in range(2)]
    for name in (b"a", b"b", b"c"):
        os.rmdir(os.path.join(root, name))
    put(root, b"b", b"x")
    os.symlink(b"/etc", os.path.join(root, b"c"))

    assert {Found(b"", "folder"), Found(b"z.jpg", "image")} == {*first, *listing}


def test_a_folder_that_cannot_be_listed_does_not_hide_the_others(root: bytes) -> None:
    """It is told, with what the kernel says."""
    put(root, b"a/x.jpg", b"x")
    listing = walk(root, ALL)
    next(listing)

    rest = refused("openat", errno.EIO, lambda: list(listing))

    assert [Found(b"a", "unlistable", os.strerror(errno.EIO))] == rest


class Faulty:
    """An entry of a file system that does not list kinds, and fails when it is asked for one."""

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        """Fail."""
        raise OSError(errno.EIO, str(follow_symlinks))


def test_an_entry_whose_kind_nobody_knows_does_not_hide_the_others() -> None:
    """It is told as unreadable, and the listing goes on."""
    entry = cast("os.DirEntry[str]", Faulty())

    assert Found(b"a/b.jpg", "other", "unreadable") == _found(b"a/b.jpg", b"b.jpg", entry)


def test_folders_from_which_nothing_may_be_removed_are_told(commons: Path) -> None:
    """Their photos stay, as they could only be taken again and again; what may be taken beside them is."""
    root = os.fsencode(commons)
    for name, mode in ((b"mine", 0o777), (b"theirs", 0o755), (b"closed", 0o700), (b"blind", 0o733), (b"flat", 0o766)):
        put(root, name + b"/a.jpg", b"x")
        os.chmod(os.path.join(root, name), mode)
    os.chmod(root, 0o777)  # noqa: S103 (a drop box)

    def look() -> None:
        assert [
            ("image", b"mine/a.jpg"),
            ("unlistable", b"blind"),
            ("unlistable", b"closed"),
            ("unwritable", b"flat"),
            ("unwritable", b"theirs"),
        ] == listed(root)
        assert (1, 0, 4) == _numbers(survey(root, ALL))
        assert survey(root, ALL).first_unwritable in {b"blind", b"closed", b"flat", b"theirs"}

    assert unprivileged(look)


# Survey


def test_a_survey_counts_what_waits(root: bytes) -> None:
    """Photos, the age of the oldest, the size of the largest, sidecars that are alone, and what is never taken."""
    for name in (b"b.jpg", b"gate/a.jpg", b"b.json", b"c.json", b"gate/b.jpg.json", b"d.txt"):
        put(root, name, b"x" * len(name))
    os.symlink(b"b.jpg", os.path.join(root, b"link.jpg"))
    oldest = min(os.stat(os.path.join(root, name)).st_ctime for name in (b"b.jpg", b"gate/a.jpg"))

    assert Survey(waiting=2, ignored=2, oldest=oldest, largest=10, alone=2) == survey(root, ALL)
    assert Survey(0, 0, None) == survey(os.path.join(root, b"gate/.."), Ignore(["*"]))


def test_what_leaves_while_it_is_surveyed_is_not_counted(root: bytes) -> None:
    """A photo that was taken in meanwhile, or that became something else, does not wait."""
    first, second = put(root, b"a.jpg", b"x"), put(root, b"b.jpg", b"x")

    def leave() -> None:
        for path in (first, second):
            os.unlink(path)
        os.mkfifo(first)
        os.mkfifo(second)
        os.unlink(second)

    seen = meddling(os.lstat, leave, lambda: survey(root, ALL))

    assert Survey(0, 0, None) == seen


def _numbers(seen: Survey) -> tuple[int, int, int]:
    return seen.waiting, seen.ignored, seen.unwritable
