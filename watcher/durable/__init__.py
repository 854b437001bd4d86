"""Disk acts that survive a power cut: copy, give a name, move, remove, sync. Linux only.

Every act takes an open folder and the name of one file in it, never a path, so that nobody can swap a folder under it.
An act may be repeated after a crash at any point. What fails raises OSError, which `storage` turns into an error with a
remedy. An fsync that failed is never simply tried again, since the kernel has forgotten the bytes by then: the caller
does everything anew.
"""

from watcher.durable.files import copy, digest, remove, remove_if_same, sync_file, sync_files
from watcher.durable.folders import make_folder, opened_folder, sync_folder
from watcher.durable.names import TEMPORARY, give_name, move, write_new
from watcher.durable.troubles import storage

__all__ = [
    "TEMPORARY",
    "copy",
    "digest",
    "give_name",
    "make_folder",
    "move",
    "opened_folder",
    "remove",
    "remove_if_same",
    "storage",
    "sync_file",
    "sync_files",
    "sync_folder",
    "write_new",
]
