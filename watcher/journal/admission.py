"""Give an arrival its name for ever, and owe it its first act."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from watcher.journal.columns import image_columns
from watcher.model import Image


@dataclass(frozen=True, slots=True)
class Admission:
    """An image about to be named: *form* is `jpg` or `png`; a *reason* sends it to that folder of the quarantine.

    A quarantined item keeps *stem*, the escaped beginning of its old name, in its new one.
    """

    image: Image
    form: str
    reason: str = ""
    stem: str = ""


def judged(db: sqlite3.Connection, item: Admission, now: float, window_seconds: float) -> Admission:
    """Return *item*, as a duplicate if the same bytes were admitted less than *window_seconds* from *now*."""
    if item.reason:
        return item
    first = db.execute(
        "SELECT name FROM images WHERE digest = ? AND reason = '' AND admitted_at > ? AND admitted_at < ?"
        " ORDER BY id LIMIT 1",
        (item.image.digest, now - window_seconds, now + window_seconds),
    ).fetchone()
    if first is None:
        return item
    return replace(item, image=replace(item.image, duplicate_of=first["name"]), reason="duplicate")


def admit(db: sqlite3.Connection, item: Admission, now: float, taken: Callable[[str], bool]) -> Image:
    """Insert *item* under a name that neither the journal nor the disk knows, with its first act; return its image."""
    moment = item.image.arrived_at if item.reason else item.image.captured_at
    second = moment.astimezone().strftime("%Y%m%d_%H%M%S")
    stamp = f"quarantine {second}" if item.reason else second
    last = db.execute("SELECT max(sequence) FROM images WHERE stamp = ?", (stamp,)).fetchone()[0]
    sequence = (last or 0) + 1
    while taken(name := _name(item, second, sequence)):
        sequence += 1
    image = replace(item.image, name=name)
    columns = image_columns(image) | {
        "stamp": stamp,
        "sequence": sequence,
        "reason": item.reason,
        "admitted_at": now,
    }
    marks = ", ".join(f":{column}" for column in columns)
    row = db.execute(f"INSERT INTO images ({', '.join(columns)}) VALUES ({marks}) RETURNING id", columns).fetchone()
    owe(db, row["id"], "quarantine" if item.reason else "store")
    return image


def _name(item: Admission, second: str, sequence: int) -> str:
    if item.reason:
        return f"{item.reason}/{second}_{sequence}_{item.stem}"
    return f"matricula_{second}{'' if sequence == 1 else f'_{sequence}'}.{item.form}"


def owe(db: sqlite3.Connection, image: int, act: str) -> None:
    """Owe *act* to the image with this id, unless it was owed before."""
    db.execute(
        "INSERT INTO tasks (image, act, status) VALUES (?, ?, 'owed') ON CONFLICT (image, act) DO NOTHING",
        (image, act),
    )
