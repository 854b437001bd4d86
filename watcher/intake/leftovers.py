"""Tell a newcomer from what is left of an image whose source could not be removed yet. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from watcher.model import Arrival, Identity, Image


def same_file(one: Identity, other: Identity) -> bool:
    """Return whether two looks at one path saw the same file; its device does not count, as shares change it."""
    return (one.inode, one.size, one.mtime_ns) == (other.inode, other.size, other.mtime_ns)


def is_leftover(unfinished: Iterable[Image], path: bytes, identity: Identity, digest: str = "") -> bool:
    """Return whether the file at *path* is what is left of an image that is not done with its source yet.

    It is if device, inode, size and mtime are the same, or path, size and digest: inodes are reused at once and network
    shares change their device number, so neither alone proves anything.
    """
    return any(
        image.identity == identity or (digest and (image.identity.size, image.digest) == (identity.size, digest))
        for image in unfinished
        if image.source == path
    )


def fresh(arrivals: Iterable[Arrival], unfinished: Sequence[Image]) -> Iterator[Arrival]:
    """Yield those of *arrivals* that are no leftovers; without its sidecar if that went with another image already."""
    taken = [(image.sidecar.path, image.sidecar.identity) for image in unfinished if image.sidecar]
    taken += [(image.source, image.identity) for image in unfinished]
    for arrival in arrivals:
        if is_leftover(unfinished, arrival.image.path, arrival.image.identity):
            continue
        sidecar = arrival.sidecar
        if sidecar is None or sidecar.identity is None:
            yield arrival
        elif any(path == sidecar.path and one and same_file(one, sidecar.identity) for path, one in taken):
            yield replace(arrival, sidecar=None)
        else:
            taken.append((sidecar.path, sidecar.identity))
            yield arrival
