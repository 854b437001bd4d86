"""What can go wrong, named after what happens next.

Every error carries a *code* (a short word used in logs, reason files and JSON), a *reason* (a sentence for the
operator) and, where an operator can do something, a *hint* (the remedy).
"""

from __future__ import annotations


class WatcherError(Exception):
    """Something this program expects to go wrong, with a code, a reason and perhaps a remedy."""

    code = "internal_error"

    def __init__(self, reason: str, *, hint: str = "", code: str = "") -> None:
        """Take the *reason* and the *hint* as whole sentences; *code* narrows the code of the class."""
        super().__init__(reason)
        self.reason = reason
        self.hint = hint
        if code:
            self.code = code

    def __str__(self) -> str:
        """Return the reason, followed by the remedy if there is one."""
        return f"{self.reason} {self.hint}".strip()


class Deferred(WatcherError):
    """Not now: the act is given back and tried again after a growing pause, or after *retry_after* seconds."""

    code = "deferred"

    def __init__(self, reason: str, *, hint: str = "", code: str = "", retry_after: float | None = None) -> None:
        """Take the pause the other side asked for, in seconds, as *retry_after*."""
        super().__init__(reason, hint=hint, code=code)
        self.retry_after = retry_after


class EngineUnavailable(Deferred):
    """This engine could not be asked, or gave no usable answer; the next one is asked."""

    code = "engine_unavailable"


class SinkUnavailable(Deferred):
    """The receiver could not be reached or asked us to come back later."""

    code = "sink_unavailable"


class StorageUnavailable(Deferred):
    """A disk is full, read-only or failing."""

    code = "storage_unavailable"


class RegisterSuspended(Deferred):
    """The register is not ours at the moment; its lane waits and the others go on."""

    code = "register_foreign"


class Rejected(WatcherError):
    """Never, this item."""

    code = "rejected"


class ImageRejected(Rejected):
    """This file can never be admitted: it is quarantined under its code."""

    code = "not_an_image"


class EngineRefused(Rejected):
    """This engine will never read this picture; the next one is asked."""

    code = "image_unreadable"


class DeliveryRefused(Rejected):
    """The receiver will never take this delivery; the act is parked."""

    code = "delivery_refused"


class Fatal(WatcherError):
    """The process cannot go on; it ends with *exit_code* and the service manager decides."""

    code = "fatal"
    exit_code = 70


class SettingsInvalid(Fatal):
    """The configuration cannot be used; starting again would not help (exit 78)."""

    code = "settings_invalid"
    exit_code = 78


class AlreadyRunning(Fatal):
    """Another process works on this data folder (exit 75)."""

    code = "already_running"
    exit_code = 75


class JournalUnusable(Fatal):
    """The journal is not a database, is corrupt or has an unknown schema (exit 74)."""

    code = "journal_unusable"
    exit_code = 74


class DiskUnusable(Fatal):
    """At the start, a disk is full, read-only or failing: starting again helps once that is mended (exit 74)."""

    code = "storage_unavailable"
    exit_code = 74


class RegisterForeign(Fatal):
    """The register that stands in the data folder is not ours (exit 74, at start only)."""

    code = "register_foreign"
    exit_code = 74


class LineBroken(Fatal):
    """The acts of many different images failed in a row: it is us, not them (exit 70)."""

    code = "line_broken"


class ChildLost(Exception):
    """A child process died or was killed at its deadline; *late* tells which, *young* that it never did any work."""

    def __init__(self, reason: str, *, late: bool, young: bool = False) -> None:
        """Take what is known of the end as *reason*."""
        super().__init__(reason)
        self.late = late
        self.young = young
