"""The facts that travel along the line: frozen, without behaviour, printable in a log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Kind = Literal["plate", "vin", "trailer_id"]
Writer = Literal["open", "none", "unknown"]
Ending = Literal["whole", "cut", "foreign"]
TimeSource = Literal["sidecar", "arrival", "exif", "mtime"]

NO_PLATE = "NO_DETECTADA"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one file from another at the same path: device, inode, size in bytes, mtime in nanoseconds."""

    device: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """This file was there, like this, at one look.

    Attributes:
        path: Relative to the inbox, as the bytes the file system gave.
        identity: Device, inode, size and mtime.
        ctime_ns: Change time in nanoseconds.
        links: Number of hard links.
        writer: Whether somebody has it open for writing: `unknown` where the lease test is not available.
        ending: `whole` (a JPEG or PNG with its end marker), `cut` (empty or begun but not ended), `foreign` (neither).
        form: `jpg` or `png` by its first bytes, empty if neither.
        network: It lies on a network mount, where leases prove nothing.

    """

    path: bytes
    identity: Identity
    ctime_ns: int
    links: int
    writer: Writer
    ending: Ending
    form: str = ""
    network: bool = False


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the JSON beside an image says; with *error* set, only that it could not be used.

    Attributes:
        path: Relative to the inbox.
        identity: Which file it was.
        extra: Unknown keys, kept as one JSON object in text.
        error: Empty, or a sentence saying what is wrong with it.

    """

    path: bytes = b""
    identity: Identity | None = None
    propietario: str = ""
    tipo_vehiculo: str = ""
    observacion: str = ""
    camera_id: str = ""
    timestamp: datetime | None = None
    type: Kind = "plate"
    language: str = ""
    regions: tuple[str, ...] = ()
    extra: str = "{}"
    error: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """It is whole and has been quiet long enough; or, with *rejection* set, it never will be."""

    image: Sighting
    sidecar: Sidecar | None = None
    rejection: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """It is in the journal and has its name for ever.

    Attributes:
        name: `matricula_YYYYMMDD_HHMMSS.jpg`; of a quarantined item, its path below `data/quarantine/`.
        source: Where it came from, relative to the inbox.
        identity: Which file it was there.
        digest: SHA-256 of its bytes, in hexadecimal.
        temporary: Name of the hidden copy in `uploads/` before it has its own name.
        camera: The camera's id: the sidecar's, else the first-level sub-folder, else empty.
        kind: What is to be read from it.
        sidecar: Its sidecar, if there was one.
        arrived_at: When it landed in the inbox, with zone.
        captured_at: The time that the name and `fecha_hora` show, with zone.
        time_source: Where that time was taken from.
        duplicate_of: Name of the first image with the same bytes, empty if there is none.

    """

    name: str
    source: bytes
    identity: Identity
    digest: str
    temporary: str
    camera: str
    kind: Kind
    sidecar: Sidecar | None
    arrived_at: datetime
    captured_at: datetime
    time_source: TimeSource
    duplicate_of: str = ""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Its bytes are durable in `uploads/` at *path*."""

    image: Image
    path: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Pixels that we decoded ourselves, within limits: all that an engine ever sees.

    Attributes:
        width: In pixels, after the turn that EXIF asks for.
        height: Likewise.
        pixels: RGB, 8 bits a channel, row by row, `height * width * 3` bytes; empty in the network child.
        encoded: A JPEG that we re-encoded, for engines that send it somewhere; empty for local ones.

    """

    width: int
    height: int
    pixels: bytes = field(default=b"", repr=False)
    encoded: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of an engine beside the picture."""

    kind: Kind = "plate"
    language: str = ""
    regions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One text that an engine considered; *confidence* is 0 to 1, or none if the engine has no idea."""

    text: str
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """An engine answered, or all of them saw nothing.

    Attributes:
        text: The cleaned text, or none.
        confidence: 0 to 1, or none if the engine has no idea.
        engine: Who said it; empty if nobody did.
        box: x, y, width, height in pixels of the picture.
        orientation: Degrees by which the text is turned clockwise.
        candidates: Other texts considered, best first.
        seconds: How long it took.
        code: An error code, if something kept the reading from being better.
        review: A person should look at it.
        tried: The engines that were asked, in order.
        note: A sentence that an engine has for the operator; it is logged, not kept.

    """

    text: str | None
    confidence: float | None = None
    engine: str = ""
    box: tuple[int, int, int, int] | None = None
    orientation: int | None = None
    candidates: tuple[Candidate, ...] = ()
    seconds: float = 0.0
    code: str = ""
    review: bool = False
    tried: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one line of the register; *repeated* if an earlier attempt may have written it.

    A row that was there before, and was removed, brings its old *id*; a new one has none yet.
    """

    fecha_hora: str
    matricula: str
    propietario: str
    tipo_vehiculo: str
    observacion: str
    imagen: str
    repeated: bool = False
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """This is the row, and the body of every notification; *plate* is the text of its `matricula` cell."""

    id: int
    plate: str
    image: Image
    reading: Reading
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Task:
    """This act is owed to this image, and this is attempt number *attempts* at it.

    Attributes:
        id: Of the act in the journal.
        act: `store`, `quarantine`, `release`, `read`, `register` or `notify/<sink>`.
        attempts: Counted before the attempt is made, so a crash counts too.
        strikes: How many of them, made alone, ended without an explanation.
        alone: It was claimed alone.
        record_id: The id of the row, once there is one.
        recorded_at: When it was appended.

    """

    id: int
    act: str
    attempts: int
    strikes: int
    alone: bool
    image: Image
    reading: Reading | None = None
    record_id: int | None = None
    recorded_at: datetime | None = None
