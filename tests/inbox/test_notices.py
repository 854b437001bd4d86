"""What is said of entries that are left alone: once."""

from __future__ import annotations

from structlog.testing import capture_logs

from watcher.inbox.notices import Notices


def test_everything_is_said_once() -> None:
    """The same link, folder or kind of file is named in one line, not at every listing."""
    with capture_logs() as logs:
        notices = Notices()
        for _ in range(3):
            notices.ignored(b"a/cam.jpg", "symlink", 1, 2)
            notices.ignored(b"a/cam2.jpg", "fifo", 1, 3)
            notices.ignored(b"a/deep", "too_deep")
            notices.unwritable(b"a")
            notices.unwritable(b"")

    assert [
        {"event": "inbox.ignored", "path": b"a/cam.jpg", "reason": "symlink", "log_level": "warning"},
        {"event": "inbox.ignored", "path": b"a/cam2.jpg", "reason": "fifo", "log_level": "warning"},
        {"event": "inbox.ignored", "path": b"a/deep", "reason": "too_deep", "log_level": "warning"},
        {"event": "inbox.unwritable", "folder": b"a", "log_level": "warning"},
        {"event": "inbox.unwritable", "folder": b".", "log_level": "warning"},
    ] == logs


def test_files_of_another_kind_are_said_once_for_each_ending() -> None:
    """A camera that leaves a film with every photo is one line, and names the first."""
    with capture_logs() as logs:
        notices = Notices()
        for name in (b"a.mp4", b"b.mp4", b"c.MP4", b"d.txt", b"README"):
            notices.ignored(name, "suffix")

    assert [b"a.mp4", b"d.txt", b"README"] == [line["path"] for line in logs]


def test_after_some_thousand_nothing_more_is_said() -> None:
    """A stranger fills neither our memory nor the log."""
    with capture_logs() as logs:
        notices = Notices(most=3)
        for number in range(10):
            notices.ignored(b"%d.jpg" % number, "symlink")
            notices.unwritable(b"%d" % number)

    assert 3 == len(logs)
