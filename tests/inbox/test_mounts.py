"""Network mounts, as the kernel lists them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from watcher.inbox.mounts import current_network_devices, network_devices

LINE = "36 35 {device} / /mnt/caf\\040{name} rw,noatime{options} - {kind} //server/share rw"


@pytest.mark.parametrize("options", ["", " master:1", " shared:1 master:2 propagate_from:3"])
@pytest.mark.parametrize(
    ("kind", "network"),
    [
        ("cifs", True),
        ("smb3", True),
        ("nfs", True),
        ("nfs4", True),
        ("9p", True),
        ("fuse", True),
        ("fuse.sshfs", True),
        ("ext4", False),
        ("tmpfs", False),
        ("fuseblk", False),
        ("fusectl", False),
        ("overlay", False),
    ],
)
def test_network_mounts_are_told_from_local_ones(kind: str, options: str, *, network: bool) -> None:
    """By their kind; FUSE counts, as what changes behind it is not announced, a local disk through FUSE does not."""
    line = LINE.format(device="0:52", name="x", options=options, kind=kind)

    assert (frozenset({os.makedev(0, 52)}) if network else frozenset()) == network_devices(line)


def test_a_path_that_looks_like_a_kind_is_no_kind() -> None:
    """Spaces in paths are escaped, and a folder called - nfs is not a share."""
    lines = [
        LINE.format(device="8:1", name="\\040-\\040nfs\\040", options="", kind="ext4"),
        LINE.format(device="0:99", name="y", options="", kind="nfs4"),
        LINE.format(device="0:99", name="z", options="", kind="nfs4"),
    ]

    assert {os.makedev(0, 99)} == network_devices("\n".join(lines) + "\n")
    assert frozenset() == network_devices("")


@pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r", "\udcff"])
def test_a_mount_with_an_odd_name_is_one_line(character: str) -> None:
    """Any user may mount something somewhere, and the kernel escapes little."""
    line = LINE.format(device="0:99", name=character, options="", kind="fuse.x")

    assert {os.makedev(0, 99)} == network_devices(f"{line}\n{line}\n")


def test_a_real_mount_with_an_odd_name_is_no_trouble(tmp_path: Path) -> None:
    """Neither is the one way of reading the list that Python takes for granted: a lone CR is no end of a line."""
    odd = tmp_path / "a\rb\u2028c\x85d"
    odd.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "x", odd], check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        assert odd.stat().st_dev not in current_network_devices()
    finally:
        subprocess.run(["umount", odd], check=True)


def test_the_mounts_of_this_machine_can_be_read() -> None:
    """Whatever they are, the root is not among them here."""
    assert os.stat("/").st_dev not in current_network_devices()
