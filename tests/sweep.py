"""Kill a line at its n-th side effect, start it again, and see whether every promise was kept.

A program of its own, `python -m tests.sweep SCENARIO`: it imports everything once and then forks for every life and
every death, without threads of its own. Side effects are not put into the product but seen from outside: the profiler
of the interpreter tells of every call of a builtin that writes, names, removes or syncs, of every transaction, and of
`give_name`, whose system call goes past it. Dying after one effect is the same as dying before the next.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from tests.makers import Hands, jpeg, png
from tests.premises import DAY, Premises, digest, digests
from watcher import durable
from watcher.intake import Secured
from watcher.journal import connection
from watcher.model import Arrival, Record, Row
from watcher.register import HEADER

MEMORY = Path("/dev/shm")  # noqa: S108 (a name of its own is made in it)
EFFECTS = frozenset(
    {
        os.write,
        os.fsync,
        os.link,
        os.unlink,
        os.rename,
        os.replace,
        os.ftruncate,
        os.truncate,
        os.mkdir,
        os.rmdir,
        os.utime,
        os.open,
    }
)
ROWS = b"id,fecha_hora,matricula,propietario,tipo_vehiculo,observacion,imagen\n"
OLD_ROW = b"41,2025-01-01 00:00:00,AB12,,,,by_hand.jpg"
ROOMS = (1, len(ROWS) - 5, len(ROWS) + 1, len(ROWS) + 30, len(ROWS + OLD_ROW) + 2, len(ROWS + OLD_ROW) + 40)
TURNS = 40


# What is dropped, and what must come of it


@dataclass(frozen=True)
class Scenario:
    """What lies in the inbox at first, what the camera does after a death, and what must be there in the end.

    Attributes:
        drops: Path and bytes of each file, in order.
        rows: Owner by digest of every photo that must have its row.
        kept: Reason and digest of every file that must be in the quarantine.
        again: What the camera drops once the photos of *drops* are written down, over what lies there.
        before: Prepares the folders.
        old_rows: Lines of others, which must still be there.
        window: Of duplicates, in seconds.
        seconds: Between two turns.
        far: The inbox is on another file system.
        new: Nothing is there yet, neither journal nor quarantine.
        cut: A power cut took the copy of a photo that was just written down.

    """

    drops: tuple[tuple[str, bytes], ...]
    rows: dict[str, str]
    kept: tuple[tuple[str, str], ...] = ()
    again: tuple[tuple[str, bytes], ...] = ()
    before: Callable[[Path], object] = lambda _: None
    old_rows: tuple[bytes, ...] = ()
    window: float = DAY
    seconds: float = 1.0
    far: bool = False
    new: bool = False
    cut: bool = False


def owned_by(name: str) -> bytes:
    """Return a sidecar."""
    return json.dumps({"propietario": name}).encode()


def register_with(content: bytes) -> Callable[[Path], object]:
    """Return what puts a register there."""

    def put(root: Path) -> None:
        (root / "data/registros.csv").write_bytes(content)

    return put


ONE, TWO, CUT = jpeg(1), jpeg(2), jpeg(3)[:400]
BAD = b'{"propietario": '
BURST = tuple((f"gate/{number}.jpg", jpeg(100 + number)) for number in range(16))
PLAIN = Scenario((("a.jpg", ONE),), {digest(ONE): ""})
SCENARIOS = {
    "plain": replace(PLAIN, new=True),
    "no window": replace(PLAIN, window=0.0),
    "sidecar": Scenario((("a.json", owned_by("Ana")), ("a.jpg", ONE)), {digest(ONE): "Ana"}),
    "bad sidecar": Scenario(
        (("a.json", BAD), ("a.jpg", ONE)), {digest(ONE): ""}, kept=(("sidecar_error", digest(BAD)),), window=0.0
    ),
    "png": Scenario((("gate/b.PNG", png(2)),), {digest(png(2)): ""}),
    "unfinished line": Scenario(
        (("a.jpg", ONE),), {digest(ONE): ""}, before=register_with(ROWS + OLD_ROW), old_rows=(OLD_ROW,)
    ),
    "duplicate": Scenario(
        (("a.jpg", ONE), ("b.json", owned_by("Eva")), ("b.jpg", ONE)),
        {digest(ONE): ""},
        kept=(("duplicate", digest(ONE)),),
    ),
    "truncated": Scenario(
        (("gate/t.jpg", CUT), ("a.jpg", ONE)), {digest(ONE): ""}, kept=(("truncated", digest(CUT)),), seconds=45.0
    ),
    "lost copy": replace(PLAIN, window=0.0, cut=True),
    "late sidecar": Scenario(
        (("a.jpg", ONE),),
        {digest(ONE): ""},
        again=(("a.json", owned_by("Ana")),),
        kept=(("late_sidecar", digest(owned_by("Ana"))),),
    ),
    "other file system": Scenario(
        (("t.jpg", CUT), ("a.json", owned_by("Ana")), ("a.jpg", ONE), ("b.json", BAD), ("b.jpg", TWO)),
        {digest(ONE): "Ana", digest(TWO): ""},
        kept=(("truncated", digest(CUT)), ("sidecar_error", digest(BAD))),
        seconds=45.0,
        far=True,
    ),
    "one name": Scenario(
        (("cam.json", owned_by("Ana")), ("cam.jpg", ONE)),
        {digest(ONE): "Ana", digest(TWO): "Eva"},
        again=(("cam.json", owned_by("Eva")), ("cam.jpg", TWO)),
    ),
    "one name, one sidecar": Scenario(
        (("cam.json", owned_by("Ana")), ("cam.jpg", ONE)),
        {digest(ONE): "Ana", digest(TWO): ""},
        again=(("cam.jpg", TWO),),
    ),
    "burst": Scenario(
        (*BURST, ("gate/3.json", owned_by("Ana")), ("gate/7.json", owned_by("Eva"))),
        {digest(data): {3: "Ana", 7: "Eva"}.get(number, "") for number, (_, data) in enumerate(BURST)},
        window=0.0,
    ),
}


# A life


class Witness:
    """A receiver that notes outside of the line, at once and for ever, what it was told."""

    name = "witness"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, record: Record, key: str) -> None:
        """Note *record*."""
        line = json.dumps([record.id, record.image.name, record.plate, key]).encode() + b"\n"
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(file, line)
        os.close(file)

    def told(self) -> list[list[Any]]:
        """Return everything that was noted."""
        return [json.loads(line) for line in self._path.read_bytes().splitlines()] if self._path.exists() else []


Mutate = Callable[[Premises], dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where one line lives through its lives; *inbox* may be on another file system."""

    root: Path
    inbox: Path
    scenario: Scenario
    mutate: Mutate

    def opened(self, *, life: int) -> Premises:
        """Return the line as it is put together at the start of a life, each of which is a minute after the last."""
        hands = Hands(wall=time.time() + 60.0 * life)
        witness = Witness(self.root / "witness")
        premises = Premises(self.root, hands, sinks=[witness], window=self.scenario.window, inbox=self.inbox)
        for part, stand_in in self.mutate(premises).items():
            setattr(premises, part, stand_in)
        premises.assemble()
        return premises

    def live(self, life: int) -> list[str]:
        """Open the line and work until nothing is left to do; return what is wrong then."""
        premises = self.opened(life=life)
        premises.open()
        for _ in range(TURNS):
            premises.work(1, seconds=self.scenario.seconds)
            if not premises.waiting() and not premises.questions.totals()[1] and not self.drop_again():
                break
        complaints = list(self.complaints(premises))
        premises.close()
        return complaints

    def lose_copies(self) -> None:
        """Write down all photos, and lose their copies."""
        premises = self.opened(life=0)
        premises.open()
        for path, _ in self.scenario.drops:
            premises.admitted(path)
        for name in premises.photos():
            (premises.uploads / name).unlink()
        premises.close()

    def drop_again(self) -> bool:
        """Let the camera go on, if it has not yet and the journal knows its first photos; return whether it did."""
        mark = self.root / "again"
        if not self.scenario.again or mark.exists() or not self._is_written_down():
            return False
        # The camera does not die with us.
        watching = sys.getprofile()
        sys.setprofile(None)
        mark.touch()
        for path, data in self.scenario.again:
            dropped(self.inbox / path, data)
        sys.setprofile(watching)
        return True

    def _is_written_down(self) -> bool:
        path = self.root / "data/journal.sqlite3"
        wanted = [digest(data) for path, data in self.scenario.drops if path.endswith("jpg")]
        if not path.exists():
            return False
        db = sqlite3.connect(path)
        try:
            known = {row[0] for row in db.execute("SELECT digest FROM images")}
        except sqlite3.OperationalError:
            known = set()
        db.close()
        return known.issuperset(wanted)

    # The promises

    def complaints(self, premises: Premises) -> Iterator[str]:
        """Yield every promise that was broken."""
        yield from self._files(premises)
        yield from self._journal(premises)
        malformed = list(self._register(premises))
        yield from malformed or self._announcements(premises)

    def _files(self, premises: Premises) -> Iterator[str]:
        photos, expected = premises.photos(), self.scenario.rows
        if premises.waiting():
            yield f"left in the inbox: {premises.waiting()}"
        if sorted(photos.values()) != sorted(expected):
            yield f"lost or doubled in uploads: {photos}"
        kept = sorted(
            (item.reason, digests(premises.quarantine.folder / item.reason)[item.name])
            for item in premises.quarantine.items()
        )
        if kept != sorted(self.scenario.kept):
            yield f"in the quarantine: {kept}"
        items = {path.name for path in premises.quarantine.folder.rglob("*") if path.is_file()}
        if {name for name in items if name + ".reason.json" not in items and not name.endswith(".reason.json")}:
            yield f"without a reason: {items}"
        if len(items) != 2 * len(kept):
            yield f"reasons or temporaries left in the quarantine: {items}"
        strays = [
            path.name for folder in (premises.uploads, premises.data, premises.inbox) for path in folder.rglob(".*")
        ]
        if strays:
            yield f"temporaries left: {strays}"

    def _register(self, premises: Premises) -> Iterator[str]:
        path = premises.data / "registros.csv"
        raw = path.read_bytes() if path.exists() else b""
        if not raw.startswith(",".join(HEADER).encode() + b"\n") or not raw.endswith(b"\n"):
            yield f"not a register: {raw!r}"
        for line in self.scenario.old_rows:
            if raw.count(line + b"\n") != 1:
                yield f"the row of another was lost: {line!r}"
        rows = [row for row in premises.rows() if row[-1] != "by_hand.jpg"]
        if any(len(row) != len(HEADER) for row in rows):
            yield f"malformed: {raw!r}"
            return
        photos, expected = premises.photos(), self.scenario.rows
        if sorted(row[6] for row in rows) != sorted(photos):
            yield f"rows {[row[6] for row in rows]} for {sorted(photos)}"
        if len({row[0] for row in rows}) != len(rows):
            yield f"ids: {[row[0] for row in rows]}"
        for row in rows:
            photo = photos.get(row[6], "")
            if (row[2], row[3]) != (photo[:7].upper(), expected.get(photo)):
                yield f"wrong in the row of {photo[:7]}: {row}"

    def _journal(self, premises: Premises) -> Iterator[str]:
        with premises.connection.turn(writing=False) as db:
            sound = db.execute("PRAGMA integrity_check").fetchone()[0]
            open_acts = [tuple(row) for row in db.execute("SELECT act, status FROM tasks WHERE status <> 'done'")]
        if sound != "ok":
            yield f"the journal is broken: {sound}"
        if open_acts:
            yield f"still owed: {open_acts}"

    def _announcements(self, premises: Premises) -> Iterator[str]:
        told = Witness(self.root / "witness").told()
        rows = {(int(row[0]), row[6], row[2]) for row in premises.rows() if row[-1] != "by_hand.jpg"}
        if {tuple(one[:3]) for one in told} != rows:
            yield f"announced {told} of {rows}"
        if len({tuple(one[:3]) for one in told}) != len({one[3] for one in told}):
            yield f"keys: {told}"


def dropped(path: Path, data: bytes) -> None:
    """Put a file into the inbox in one piece."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(".dropping")
    hidden.write_bytes(data)
    hidden.rename(path)


# A death


class Death:
    """Ends this process right before its side effect number *at*, counted from 1; counts only, if that is 0.

    With *room*, effect number *at* is let through as far as files of that many bytes go, if it is a write.
    """

    def __init__(self, at: int, room: int | None = None) -> None:
        self.count = 0
        self.writes: list[int] = []
        self._at = at
        self._room = room

    def watch(self, frame: FrameType, event: str, function: Any) -> None:
        """Be told by the interpreter of a call."""
        if not _is_effect(frame, event, function):
            return
        self.count += 1
        if function is os.write and frame.f_code.co_name != "send":
            self.writes.append(self.count)
        if self.count != self._at:
            return
        if self._room is None:
            os.kill(os.getpid(), signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self._room or 0, self._room or 0))
        self._at, self._room = self.count + 1, None


def _is_effect(frame: FrameType, event: str, function: Any) -> bool:
    if event == "call":
        return frame.f_code is durable.give_name.__code__
    if event != "c_call":
        return False
    if function in EFFECTS:
        # Opening changes something only where it makes a file; those places have the flag in a constant of theirs.
        return function is not os.open or frame.f_code.co_name in {"opened", "opened_register", "_attempt", "send"}
    called = frame.f_code
    if (
        getattr(function, "__qualname__", "").startswith("Connection.exec")
        and called.co_filename == connection.__file__
    ):
        return called.co_name != "turn" or bool(frame.f_locals["writing"])
    return False


def in_child(act: Callable[[], Any]) -> Any:
    """Return what *act* returns in a process of its own, none if it was killed.

    Raises:
        RuntimeError: It failed by itself.

    """
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(read)
            answer = json.dumps(act())
            status = 0
        except BaseException:  # noqa: BLE001 (whatever it is, the child must end here)
            answer = traceback.format_exc()
        sys.setprofile(None)
        with os.fdopen(write, "w") as pipe:
            pipe.write(answer)
        os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None
    if status:
        raise RuntimeError(answer)
    return json.loads(answer)


# Sweeping


@dataclass(frozen=True)
class Figures:
    """What came of a sweep: side effects of one undisturbed life, lines that were killed, and broken promises."""

    scenario: str
    points: int
    runs: int
    complaints: list[str]


class Sweep:
    """All deaths of one scenario, in copies of the folder *old*; *most* bounds how many."""

    def __init__(self, name: str, mutate: Mutate, most: int, old: Path) -> None:
        self.name = name
        self._scenario = SCENARIOS[name]
        self._mutate = mutate
        self._most = most
        self._runs = 0
        self._old = old

    def once(self) -> Figures:
        """Die at every point, each time in a new place."""
        with self._placed() as place:
            points, _, complaints = in_child(lambda: self._counted(place))
        if not complaints:
            complaints = self._first_complaint([[at] for at in _sample(points, self._most)])
        return Figures(self.name, points, self._runs, complaints)

    def twice(self) -> Figures:
        """Die, and die again on the way back."""
        with self._placed() as place:
            points, _, complaints = in_child(lambda: self._counted(place))
        side = max(2, int(self._most**0.5))
        ways = [[first, second] for first in _sample(points, side) for second in _sample(points, side)]
        found = complaints or self._first_complaint(ways)
        return Figures(f"{self.name}, twice", points, self._runs, found)

    def torn(self) -> Figures:
        """Die in the middle of every write."""
        with self._placed() as place:
            _, writes, complaints = in_child(lambda: self._counted(place))
        ways = [[at, room] for at in writes for room in ROOMS]
        chosen = [ways[number - 1] for number in _sample(len(ways), self._most)]
        found = complaints or self._first_complaint(chosen, torn=True)
        return Figures(f"{self.name}, torn writes", len(writes), self._runs, found)

    def _counted(self, place: Place) -> tuple[int, list[int], list[str]]:
        death = Death(0)
        sys.setprofile(death.watch)
        complaints = place.live(0)
        sys.setprofile(None)
        return death.count, death.writes, complaints

    def _first_complaint(self, ways: Sequence[Sequence[int]], *, torn: bool = False) -> list[str]:
        for way in ways:
            self._runs += 1
            complaints = self._way(way, torn=torn)
            if complaints:
                return [f"{self.name}, died at {way}: {complaint}" for complaint in complaints]
        return []

    def _way(self, way: Sequence[int], *, torn: bool) -> list[str]:
        deaths = [Death(way[0], way[1])] if torn else [Death(at) for at in way]
        with self._placed() as place:
            for life, death in enumerate(deaths):
                in_child(lambda life=life, death=death: _doomed(place, life, death))  # type: ignore[misc]
                place.drop_again()
            found: list[str] = in_child(lambda: place.live(len(deaths)))
        return found

    @contextmanager
    def _placed(self) -> Iterator[Place]:
        near, far = _file_systems()
        with tempfile.TemporaryDirectory(dir=near) as here, tempfile.TemporaryDirectory(dir=far) as there:
            root = Path(here)
            inbox = Path(there) if self._scenario.far else root / "inbox"
            if not self._scenario.new:
                shutil.copytree(self._old, root, dirs_exist_ok=True)
            self._scenario.before(root)
            for path, data in self._scenario.drops:
                dropped(inbox / path, data)
            place = Place(root, inbox, self._scenario, self._mutate)
            if self._scenario.cut:
                in_child(place.lose_copies)
            yield place


def make_old(root: Path) -> None:
    """Make the folders of a line that has run before and had nothing to do."""
    premises = Premises(root, Hands(wall=time.time()))
    premises.open()
    premises.close()


def _doomed(place: Place, life: int, death: Death) -> None:
    sys.setprofile(death.watch)
    place.live(life)
    sys.setprofile(None)


def _sample(points: int, most: int) -> list[int]:
    """Return up to *most* of the numbers 1 to *points*, evenly spread, the first and the last among them."""
    if points <= most:
        return list(range(1, points + 1))
    return sorted({1 + round(index * (points - 1) / (most - 1)) for index in range(most)})


def _file_systems() -> tuple[str | None, str | None]:
    """Return where to work, in memory if that can be had, and a folder that is elsewhere."""
    return (str(MEMORY), None) if os.access(MEMORY, os.W_OK) else (None, None)


def has_two_file_systems() -> bool:
    """Return whether there are two."""
    near, far = (Path(one or tempfile.gettempdir()) for one in _file_systems())
    return near.stat().st_dev != far.stat().st_dev


# Lines with a fault built in, made of the parts of ours: each must be found out


class StandIn:
    """Stands in for a *real* part, but for the methods that are given."""

    def __init__(self, real: object, **methods: Callable[..., Any]) -> None:
        self._real = real
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        """Return the method that was given, or what the real part has."""
        return self._methods[name] if name in self._methods else getattr(self._real, name)


def forgetful(line: Premises) -> dict[str, Any]:
    """Make a register that is never told that a row may be there."""

    def append(rows: Sequence[Row], **words: Any) -> list[int]:
        return real.append([replace(row, repeated=False) for row in rows], **words)

    real = line.register
    return {"register": StandIn(real, append=append)}


def blunt(line: Premises) -> dict[str, Any]:
    """Make a register that takes half a line of ours for one of another."""

    def append(rows: Sequence[Row], **words: Any) -> list[int]:
        return real.append(rows, **words | {"owed": list})

    real = line.register
    return {"register": StandIn(real, append=append)}


def hasty(line: Premises) -> dict[str, Any]:
    """Make an intake that removes the source before the journal knows."""

    def secure(arrivals: Sequence[Arrival]) -> Secured:
        secured = real.secure(arrivals)
        for item in secured.items:
            (line.inbox / os.fsdecode(item.image.source)).unlink()
        return secured

    real = line.intake
    return {"intake": StandIn(real, secure=secure)}


def untidy(line: Premises) -> dict[str, Any]:
    """Make an intake that leaves copies lying about."""
    return {"intake": StandIn(line.intake, sweep=lambda _: 0)}


def asleep(line: Premises) -> dict[str, Any]:
    """Make a journal that does not take over what the last run had in hand."""
    return {"journal": StandIn(line.journal, adopt=lambda: 0)}


def blind(line: Premises) -> dict[str, Any]:
    """Make a journal that says that nothing is unfinished."""
    return {"questions": StandIn(line.questions, unfinished=lambda _: [])}


MUTANTS: dict[str, Callable[[Premises], dict[str, Any]]] = {
    "none": lambda _: {},
    **{mutant.__name__: mutant for mutant in (forgetful, blunt, hasty, untidy, asleep, blind)},
}


def drop_event(_logger: object, _method: str, _event: object) -> str:
    """Say nothing."""
    raise structlog.DropEvent


def main() -> None:
    """Sweep as the command line says, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--way", choices=["once", "twice", "torn"], default="once")
    parser.add_argument("--mutant", choices=MUTANTS, default="none")
    parser.add_argument("--most", type=int, default=10**6, help="how many deaths at most")
    chosen = parser.parse_args()
    structlog.configure(processors=[drop_event])
    # Breaking a lease sends it, and its default is to end the process.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(dir=_file_systems()[0]) as folder:
        in_child(lambda: make_old(Path(folder)))
        sweep = Sweep(chosen.scenario, MUTANTS[chosen.mutant], chosen.most, Path(folder))
        figures: Figures = getattr(sweep, chosen.way)()
    json.dump(asdict(figures), sys.stdout)


if __name__ == "__main__":
    main()
