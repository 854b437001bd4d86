"""Which mounted file systems live on another machine, where events and leases prove nothing."""

from __future__ import annotations

import os
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK_TYPES = frozenset(
    {"9p", "afs", "ceph", "cifs", "davfs", "glusterfs", "lustre", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs"}
)
_DEVICE, _AFTER_OPTIONS = 2, 6


def network_devices(mountinfo: str) -> frozenset[int]:
    """Return the device numbers of network mounts in *mountinfo*, the text of `/proc/self/mountinfo`.

    FUSE counts as a network: what changes behind it is not announced. The format is that of proc_pid_mountinfo(5):
    the file system's type follows a lone hyphen after the optional fields.
    """
    devices = set()
    # Names in it may hold what `splitlines` takes for the end of a line.
    for line in filter(None, mountinfo.split("\n")):
        fields = line.split(" ")
        kind = fields[fields.index("-", _AFTER_OPTIONS) + 1]
        if kind in _NETWORK_TYPES or kind == "fuse" or kind.startswith("fuse."):
            major, minor = fields[_DEVICE].split(":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)


def current_network_devices() -> frozenset[int]:
    """Return the device numbers of the network mounts that this process sees now."""
    return network_devices(MOUNTINFO.read_bytes().decode("utf-8", "surrogateescape"))
