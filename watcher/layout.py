"""How facts look to people: plain lines of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Facts = Mapping[str, Any]


def record_line(facts: Facts) -> str:
    """Return one line for one record."""
    confidence = "" if facts["confidence"] is None else f"{facts['confidence']:.2f}"
    doubt = f"  review{': ' + facts['code'] if facts['code'] else ''}" if facts["review"] else ""
    return (
        f"{facts['id']:>6}  {facts['fecha_hora']}  {facts['plate']:<13} {confidence:<5} {facts['engine']:<10}"
        f" {facts['image']}{doubt}"
    )


def difference_line(facts: Facts) -> str:
    """Return one line for one difference that `verify` found."""
    return f"{facts['code']}: {facts['says']}"


def reading_line(facts: Facts) -> str:
    """Return one line for one photo that was read."""
    if "error" in facts:
        return f"{facts['file']}: {facts['error']}"
    confidence = "" if facts["confidence"] is None else f" ({facts['confidence']:.2f})"
    others = [candidate["text"] for candidate in facts["candidates"] if candidate["text"] != facts["plate"]]
    doubt = f"  doubtful{', or ' + ', '.join(others) if others else ''}" if facts["review"] else ""
    engine = f" by {facts['engine']}" if facts["engine"] else ""
    return f"{facts['file']}: {facts['plate'] or 'no plate'}{confidence}{engine} in {facts['seconds']:.2f} s{doubt}"


def status_lines(facts: Facts) -> str:
    """Return how things stand, a line each."""
    oldest = facts["oldest_waiting_seconds"]
    rows = [
        ("daemon", f"running, process {facts['running']}" if facts["running"] is not None else "not running"),
        ("inbox", facts["inbox"] + ("" if facts["reachable"] else "  CANNOT BE REACHED")),
        ("waiting", f"{facts['waiting']}" + ("" if oldest is None else f"  (oldest {oldest:.0f} s)")),
        *((key, _sum(facts[key])) for key in ("owed", "parked", "quarantined")),
        ("ignored", str(facts["ignored"])),
        ("registered", str(facts["recorded"])),
        *((f"! {act}", reason) for act, reason in facts["held_up_by"].items()),
    ]
    return "\n".join(f"{name:<12} {value}" for name, value in rows)


def _sum(numbers: Mapping[str, int]) -> str:
    details = ", ".join(f"{name} {number}" for name, number in numbers.items())
    return f"{sum(numbers.values())}" + (f"  ({details})" if details else "")


def story_lines(facts: Facts) -> str:
    """Return the story of one photo, its acts below it."""
    lines = [f"{key:<14} {value}" for key, value in facts.items() if key not in {"acts", "reading"} and value]
    if facts["reading"]:
        reading = {key: value for key, value in facts["reading"].items() if value not in (None, [], (), False)}
        lines.append("reading        " + ", ".join(f"{key} {value}" for key, value in reading.items()))
    for act in facts["acts"]:
        wait = f", due in {act['due_in_seconds']:.0f} s" if act["due_in_seconds"] else ""
        reason = f": {act['reason']}" if act["reason"] else ""
        lines.append(f"  {act['act']:<18} {act['status']}, attempt {act['attempts']}{wait}{reason}")
    return "\n".join(lines)


def finding_line(facts: Facts) -> str:
    """Return one line for one finding of the doctor."""
    remedy = f"  → {facts['remedy']}" if facts["remedy"] else ""
    return f"{facts['level']:<8} {facts['what']:<18} {facts['says']}{remedy}"
