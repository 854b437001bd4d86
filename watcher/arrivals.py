"""Decide from repeated looks which images, with which sidecar, have finished arriving.

Pure: looks and the monotonic time are arguments. What is remembered here is only how long each file has been quiet;
forgetting it costs a little patience and never a photo.
"""

from __future__ import annotations

from dataclasses import dataclass

from watcher.model import Identity, Sighting

_SIDECAR_PATIENCE = 2.0
"""Seconds that a sidecar which does not parse must be quiet before it counts as broken rather than half-written."""
_ORPHAN_SECONDS = 3600.0
_NETWORK_LOOKS = 3
_HOPEFUL_LOOKS = 25
"""A whole file takes fewer to arrive, whatever the settings; one that needs more is held up by something."""
_SHORTEST = 0.1
_LONGEST_CHANGING = 1.0
_LONGEST_CUT = 5.0
_LONE_SHORTEST, _LONE_LONGEST = 2.0, 60.0
"""Bounds of the pauses between two looks, in seconds: they grow, so that what never arrives costs little."""
_TICK = 0.001


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a file must be quiet, in seconds, by what is known of its writers.

    Attributes:
        settle: One figure for all three that follow, if the operator set one.
        settle_leased: Where a lease proves that nobody is writing.
        settle_unleased: Where the lease test is not available.
        settle_network: On a network mount, where it proves nothing.
        incomplete: One figure for both that follow, if the operator set one.
        incomplete_leased: After this, a file without an end will never get one.
        incomplete_unleased: Likewise where the lease test is not available.
        sidecar: How long a settled image waits for its sidecar.
        largest: Bytes above which a file is too large.

    """

    settle: float | None = None
    settle_leased: float = 0.1
    settle_unleased: float = 2.0
    settle_network: float = 5.0
    incomplete: float | None = None
    incomplete_leased: float = 120.0
    incomplete_unleased: float = 600.0
    sidecar: float = 0.5
    largest: int = 20 * 1024 * 1024

    def settling(self, sighting: Sighting) -> float:
        """Return the seconds that *sighting* must be quiet before it counts as settled."""
        if self.settle is not None:
            return self.settle
        if sighting.network:
            return self.settle_network
        return self.settle_leased if sighting.writer == "none" else self.settle_unleased

    def completing(self, sighting: Sighting) -> float:
        """Return the seconds of quiet after which *sighting* will never become whole."""
        if self.incomplete is not None:
            return self.incomplete
        leased = sighting.writer == "none" and not sighting.network
        return self.incomplete_leased if leased else self.incomplete_unleased


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one more look means: *settled*, *rejection* (a code), or neither: look again in *again* seconds."""

    settled: bool = False
    rejection: str = ""
    again: float = 0.0


@dataclass(slots=True)
class _Quiet:
    """One file's history: its last sighting, when it was first seen, and since when it has looked like this.

    *looks* counts the looks since then, *visits* all of them.
    """

    sighting: Sighting
    first: float
    since: float
    looks: int = 1
    visits: int = 1


class Arrivals:
    """The histories of all files that are being looked at."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._quiet: dict[bytes, _Quiet] = {}

    def __len__(self) -> int:
        return len(self._quiet)

    def last(self, path: bytes) -> Sighting | None:
        """Return the last sighting of *path*, if it is remembered."""
        quiet = self._quiet.get(path)
        return None if quiet is None else quiet.sighting

    def forget(self, path: bytes) -> None:
        """Forget *path*: it was admitted, withdrawn, or somebody else's turn has come."""
        self._quiet.pop(path, None)

    def imminent(self, path: bytes) -> bool:
        """Return whether the image at *path* is whole and should arrive any moment, as far as its last look told."""
        quiet = self._quiet.get(path)
        if quiet is None or quiet.visits > _HOPEFUL_LOOKS:
            return False
        return quiet.sighting.ending == "whole" and quiet.sighting.writer != "open" and quiet.sighting.links == 1

    def see_image(self, sighting: Sighting, now: float) -> Verdict:
        """Return what this look at an image means at monotonic time *now*."""
        quiet = self._seen(sighting, now)
        age = now - quiet.since
        patience = self.patience
        settling = patience.settling(sighting)
        if sighting.writer == "open" or age < settling or (sighting.network and quiet.looks < _NETWORK_LOOKS):
            return Verdict(again=_settling_pause(quiet, settling, now))
        final = _final(sighting, patience.largest)
        if final:
            return Verdict(rejection=final)
        if sighting.ending == "whole" and sighting.links == 1:
            return Verdict(settled=True)
        left = patience.completing(sighting) - age
        if left <= 0:
            return Verdict(rejection=_never(sighting))
        return Verdict(again=_within(age / 2, _SHORTEST, min(left, _LONGEST_CUT)))

    def see_sidecar(self, sighting: Sighting | None, image: bytes, now: float) -> Verdict:
        """Return whether the settled *image* can go with the sidecar seen beside it, or without if none is.

        One that is still being written when its image has waited as long as for a broken upload is rejected: the image
        goes without it.
        """
        quiet = self._quiet[image]
        waited = now - quiet.since - self.patience.settling(quiet.sighting)
        if sighting is None:
            patience = self.patience.sidecar
            left = patience - waited
            return Verdict(settled=True) if left <= 0 else Verdict(again=_within(patience / 8, _SHORTEST, left))
        verdict = self._sidecar_quiet(sighting, now)
        if not verdict.settled and waited >= self.patience.completing(sighting):
            return Verdict(rejection="unfinished_sidecar")
        return verdict

    def see_lone_sidecar(self, sighting: Sighting, now: float, *, late: bool) -> Verdict:
        """Return what becomes of a sidecar without an image: *late* if its image was admitted without it."""
        verdict = self._sidecar_quiet(sighting, now)
        if not verdict.settled:
            return verdict
        if late:
            return Verdict(rejection="late_sidecar")
        age = now - self._quiet[sighting.path].since
        if age >= _ORPHAN_SECONDS:
            return Verdict(rejection="orphan_sidecar")
        return Verdict(again=_within(age / 4, _LONE_SHORTEST, _LONE_LONGEST))

    def _sidecar_quiet(self, sighting: Sighting, now: float) -> Verdict:
        quiet = self._seen(sighting, now)
        settling = self.patience.settling(sighting)
        if sighting.ending != "whole":
            settling = max(settling, _SIDECAR_PATIENCE)
        if sighting.writer == "open" or now - quiet.since < settling:
            return Verdict(again=_settling_pause(quiet, settling, now))
        return Verdict(settled=True)

    def _seen(self, sighting: Sighting, now: float) -> _Quiet:
        """Remember the look; quiet begins anew when the file changed or somebody has it open for writing."""
        quiet = self._quiet.get(sighting.path)
        if quiet is None:
            quiet = self._quiet[sighting.path] = _Quiet(sighting, first=now, since=now)
            return quiet
        if sighting.writer == "open" or _look_of(sighting) != _look_of(quiet.sighting):
            quiet.since, quiet.looks = now, 0
        quiet.sighting = sighting
        quiet.looks += 1
        quiet.visits += 1
        return quiet


def _look_of(sighting: Sighting) -> tuple[Identity, int]:
    return sighting.identity, sighting.ctime_ns


def _final(sighting: Sighting, largest: int) -> str:
    """Return the code of what no further byte can mend, if any."""
    if sighting.identity.size > largest:
        return "too_large"
    return "not_an_image" if sighting.ending == "foreign" else ""


def _never(sighting: Sighting) -> str:
    """Return the code of what might have been mended, and was not in time."""
    if sighting.links != 1:
        return "hard_linked"
    return "truncated" if sighting.identity.size else "empty"


def _settling_pause(quiet: _Quiet, settling: float, now: float) -> float:
    """Return the seconds to the next look at what changed lately: the longer it takes, the fewer looks it gets."""
    pause = _within((now - quiet.first) / 10, _SHORTEST, _LONGEST_CHANGING)
    left = quiet.since + settling - now
    if quiet.sighting.writer == "open" or left <= 0:
        return pause
    return max(_TICK, min(left, max(pause, settling / 4)))


def _within(value: float, least: float, most: float) -> float:
    return max(_TICK, min(max(value, least), most))
