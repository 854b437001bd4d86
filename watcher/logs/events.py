"""The closed list of event names: each is `module.participle` and part of the interface, like a column name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EVENTS: Mapping[str, str] = MappingProxyType(
    {
        # the process
        "daemon.started": "The process begins: folders and process id.",
        "daemon.ready": "The inbox is watched and the first look at it is done.",
        "daemon.reloaded": "The configuration was read again and holds from now on.",
        "daemon.reload_refused": "The configuration was read again and is wrong; the old one still holds.",
        "daemon.stopping": "No more photos are taken in, by which signal if by one; each lane finishes what it is at.",
        "daemon.stopped": "The process ends; threads that hang are left behind and named.",
        "daemon.failed": "The process cannot go on and ends; reason and remedy are said.",
        "settings.warned": "A setting is allowed but probably not what was meant, or needs a restart.",
        # the inbox
        "inbox.watching": "File events are heard.",
        "inbox.polling": "No file events can be had there; the folder is looked at regularly.",
        "inbox.rebuilt": "The watch was lost and stands again.",
        "inbox.overflowed": "File events were lost; a look at the whole inbox makes up for them.",
        "inbox.unreachable": "The inbox cannot be looked at; nothing is taken in until it can.",
        "inbox.reachable": "The inbox can be looked at again.",
        "inbox.unwritable": "We have no right to remove files from a folder, so nothing is taken from it.",
        "inbox.ignored": "Something that is not a plain file lies there and is left alone.",
        "inbox.look_failed": "A single file could not be looked at.",
        # taking in
        "intake.admitted": "An image has its name for ever and is written down.",
        "intake.stored": "Its bytes are safe under that name, and the source is gone.",
        "intake.changed": "A file changed while it was being copied; it is not an arrival yet.",
        "intake.gone": "The file was withdrawn before it was stored; its name is free again.",
        "intake.released": "A source that could not be removed before was removed.",
        "intake.quarantined": "A file that can never be taken in was moved to the quarantine.",
        "intake.duplicated": "The same bytes again: moved to the quarantine, with the name of the first image.",
        "intake.resume_failed": "A file in the quarantine became whole, but its folder does not take it back.",
        "intake.resumed": "A file in the quarantine became whole and is taken in after all.",
        "intake.pruned": "A file was removed from the quarantine for its age or for the room it took.",
        "intake.sidecar_late": "A sidecar came after its image had been taken in; it is kept in the quarantine.",
        # reading
        "reading.finished": "The reading of an image is settled.",
        "reading.engine_answered": "One engine gave its answer.",
        "reading.engine_noted": "An engine answered and has something to say about how.",
        "reading.engine_refused": "An engine will never read this picture; the next one is asked.",
        "reading.engine_unavailable": "An engine could not be asked; the next one is.",
        "reading.engine_skipped": "An engine is configured but cannot work at all, and is not asked.",
        "breaker.opened": "An engine failed so often that it is left in peace for a while.",
        "breaker.closed": "That engine works again.",
        "child.started": "A child process was started.",
        "child.retired": "A child process ended as planned and is replaced.",
        "child.lost": "A child process died or was killed at its deadline.",
        # the register
        "register.appended": "An image has its row: the one line that tells its whole story.",
        "register.mended": "A half-written line of ours at the end was cut off.",
        "register.ended": "The last line of another program lacked its end; it was ended, not cut.",
        "register.rewritten": "Another program wrote the file; the number of rows that are missing is said.",
        "register.repaired": "Rows that another program removed are owed again.",
        # telling others
        "notify.delivered": "A receiver took a record.",
        # what moves the line
        "journal.opened": "The journal is open.",
        "worker.crashed": "An act met an error that nobody foresaw; it is tried again.",
        "worker.deferred": "An act cannot be done now; it is tried again after a pause.",
        "worker.parked": "An act is set aside for a person; `retry` takes it up again.",
        "worker.stalled": "A lane cannot work at all at the moment and tries again after a pause.",
    }
)
