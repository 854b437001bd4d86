"""How facts look to people: plain lines of text, in which nothing from outside can move a cursor or break a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from watcher.facts import counted
from watcher.model import NO_PLATE

Facts = Mapping[str, Any]

_MOST_OTHERS = 5


def plain(value: object) -> str:
    """Return *value* as text in which line breaks and what cannot be printed are written as escapes."""
    text = str(value)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def welcome(inbox: Path, data: Path) -> str:
    """Return what `run` says to whoever started it in a terminal."""
    return f"Drop photos into {plain(inbox)}/ and see them become rows in {plain(data)}/registros.csv."


def outcome_line(facts: Facts) -> str:
    """Return how `once` ended."""
    if not facts["reachable"]:
        return "The inbox cannot be looked at; see `status` and `doctor`."
    left = (
        (facts["waiting"], f"{facts['waiting']} still in the inbox"),
        (facts["owed"], f"{counted(facts['owed'], 'act')} owed"),
        (facts["parked"], f"{counted(facts['parked'], 'act')} parked"),
        (facts["quarantined"], f"{facts['quarantined']} set aside in the quarantine"),
    )
    registered = f"{counted(facts['recorded'], 'photo')} registered"
    return "; ".join((registered, *(what for number, what in left if number)))


def retried(number: int) -> str:
    """Return what `retry` did."""
    return f"{counted(number, 'act')} will be tried again now." if number else "Nothing waits or is set aside."


def record_line(facts: Facts) -> str:
    """Return one line for one record."""
    confidence = "" if facts["confidence"] is None else f"{facts['confidence']:.2f}"
    doubt = f"  review: {', or '.join((_why(facts), *_others(facts)))}" if facts["review"] else ""
    return plain(
        f"{facts['id']:>6}  {facts['fecha_hora']}  {facts['plate']:<13} {confidence:<5} {facts['engine']:<10}"
        f" {facts['image']}{doubt}"
    )


def _why(facts: Facts) -> str:
    """Return why a person should look at a record, in a word or two."""
    return str(facts["code"] or ("no plate" if facts["plate"] == NO_PLATE else "not sure"))


def _others(facts: Facts) -> list[str]:
    """Return, as one piece of text if there is any, what else was considered, each with its confidence."""
    others = [_candidate(one) for one in facts["candidates"] if one["text"] != facts["plate"]]
    return [", ".join(others[:_MOST_OTHERS])] if others else []


def _candidate(facts: Facts) -> str:
    return f"{facts['text']}{_sure(facts)}"


def _sure(facts: Facts) -> str:
    return "" if facts["confidence"] is None else f" ({facts['confidence']:.2f})"


def difference_line(facts: Facts) -> str:
    """Return one line for one difference that `verify` found."""
    return plain(f"{facts['code']}: {facts['says']}")


def repaired(before: int, after: int) -> str:
    """Return what `verify --repair` did about so many differences *before* it."""
    left = f"{counted(after, 'difference')} {'is' if after == 1 else 'are'} left for a person"
    written = f"{counted(before - after, 'row')} {'was' if before - after == 1 else 'were'} written again"
    return f"{written}; {left if after else 'nothing differs any more'}."


def reading_line(facts: Facts) -> str:
    """Return one line for one photo that was read."""
    if "error" in facts:
        return plain("  ".join(filter(None, (f"{facts['file']}: {facts['error']}", facts["code"], _drawing(facts)))))
    engine = f" by {facts['engine']}" if facts["engine"] else ""
    read = f"{facts['file']}: {facts['plate'] or 'no plate'}{_sure(facts)}{engine} in {facts['seconds']:.2f} s"
    others = _others(facts)
    doubt = ", or ".join(("doubtful", *others)) if facts["review"] else "".join(f"rather than {one}" for one in others)
    return plain("  ".join(filter(None, (read, doubt, facts["code"], _drawing(facts)))))


def _drawing(facts: Facts) -> str:
    """Return where the photo was drawn with what was read on it, or why it was not; empty if nobody asked."""
    if facts.get("drawing_error"):
        return f"not drawn: {facts['drawing_error']}"
    return f"drawn in {facts['drawing']}" if facts.get("drawing") else ""


def status_lines(facts: Facts) -> str:
    """Return how things stand, a line each."""
    oldest = facts["oldest_waiting_seconds"]
    rows = [
        ("daemon", "not running" if facts["running"] is None else _running(facts["running"])),
        ("inbox", facts["inbox"] + ("" if facts["reachable"] else "  CANNOT BE REACHED")),
        ("waiting", f"{facts['waiting']}" + ("" if oldest is None else f"  (oldest {oldest:.0f} s)")),
        *([("sidecars", f"{facts['lone_sidecars']} without a photo")] if facts["lone_sidecars"] else []),
        *((key, _sum(facts[key])) for key in ("owed", "parked", "quarantined")),
        ("ignored", str(facts["ignored"])),
        ("registered", str(facts["recorded"])),
        *((f"! {act}", reason) for act, reason in facts["held_up_by"].items()),
        *((f"! {one['what']}", f"{one['says']} {one['remedy']}") for one in facts["obstacles"]),
    ]
    return "\n".join(plain(f"{name:<12} {value}") for name, value in rows)


def _running(process: int) -> str:
    return f"running, process {process}" if process else "running"


def _sum(numbers: Mapping[str, int]) -> str:
    details = ", ".join(f"{name} {number}" for name, number in numbers.items())
    return f"{sum(numbers.values())}" + (f"  ({details})" if details else "")


def story_lines(facts: Facts) -> str:
    """Return the story of one photo, its acts below it."""
    lines = [f"{key:<14} {value}" for key, value in facts.items() if key not in {"acts", "reading"} and value]
    if facts["reading"]:
        lines.append(f"{'reading':<14} {_reading(facts['reading'])}")
    for act in facts["acts"]:
        wait = f", due in {act['due_in_seconds']:.0f} s" if act["due_in_seconds"] else ""
        reason = f": {act['reason']}" if act["reason"] else ""
        lines.append(f"  {act['act']:<18} {act['status']}, attempt {act['attempts']}{wait}{reason}")
    return "\n".join(map(plain, lines))


def _reading(facts: Facts) -> str:
    """Return what is there of a reading, with its candidates as they were read."""
    told = {key: value for key, value in facts.items() if value is not None and value is not False and value != ()}
    others = ", ".join(map(_candidate, facts["candidates"]))
    lists = {"candidates": others, "tried": ", ".join(facts["tried"]), "confidence": f"{facts['confidence'] or 0:.2f}"}
    return "; ".join(f"{key} {lists.get(key, value)}" for key, value in told.items())


def finding_line(facts: Facts) -> str:
    """Return one line for one finding of the doctor."""
    remedy = f"  -> {facts['remedy']}" if facts["remedy"] else ""
    return plain(f"{facts['level']:<8} {facts['what']:<18} {facts['says']}{remedy}")
