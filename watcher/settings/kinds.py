"""The kinds of value that a setting can have, and what is said of one that is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from watcher.formats import countries, nearest

ENGINE = r"[a-z][a-z0-9_]{0,62}"
"""What the name of an engine must match."""

Item = TypeVar("Item")


def listed(value: object) -> object:
    """Split the text of an environment variable, `a, b` or a JSON list; leave anything else alone."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be a list such as a,b or one in JSON") from None
    return [word.strip() for word in value.split(",") if word.strip()]


def secret(value: object) -> object:
    """Return a secret without the white space around it, or none if nothing is left.

    A key with a line break in it fails at call time and looks like a fault of the network.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be plain characters on one line, without spaces")
    return text or None


def discreet(options: dict[str, Any]) -> dict[str, Any]:
    """Return *options* with the key among them, if there is one, kept from being printed."""
    try:
        key = secret(options.get("api_key"))
    except ValueError as error:
        raise ValueError(f"api_key {error}") from None
    others = {name: value for name, value in options.items() if name != "api_key"}
    return others if key is None else {**others, "api_key": SecretStr(str(key))}


def distinct(values: tuple[Item, ...]) -> tuple[Item, ...]:
    """Refuse a list that names something twice."""
    if any(value in values[:index] for index, value in enumerate(values)):
        raise ValueError("must not name anything twice")
    return values


def filled(values: tuple[Item, ...]) -> tuple[Item, ...]:
    """Refuse an empty list."""
    if not values:
        raise ValueError("must name at least one")
    return values


def number(value: object) -> object:
    """Refuse `true` where a number belongs; pydantic would take it for 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic collects no other kind of error
    return value


def absolute(path: Path) -> Path:
    """Return *path* below the working directory, unless it is absolute already."""
    if "\0" in str(path):
        raise ValueError("must not contain a NUL character")
    return path.absolute()


def whole(path: Path) -> Path:
    """Refuse a path that is not absolute: it would lead elsewhere from every folder."""
    if not path.is_absolute() or "\0" in str(path):
        raise ValueError("must be a path that begins with a slash")
    return path


def country(text: str) -> str:
    """Return the code of a country in capitals; refuse one whose plates are not known, and name the nearest ones."""
    code = text.strip().upper()
    if code not in countries():
        close = " or ".join(f"{one} ({countries()[one]})" for one in nearest(code))
        raise ValueError(f"must be codes of countries, such as {close or 'ES (Spain)'}")
    return code


def shaped(pattern: str, words: str) -> AfterValidator:
    """Return a check that a text matches *pattern* from end to end; *words* tell what it must be."""

    def check(text: str) -> str:
        if not text.isprintable() or not re.fullmatch(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


Listed = Annotated[tuple[Item, ...], BeforeValidator(listed), AfterValidator(distinct)]
Some = Annotated[Listed[Item], AfterValidator(filled)]
Seconds = Annotated[float, BeforeValidator(number), Field(ge=0, le=31 * 86_400, allow_inf_nan=False)]
Deadline = Annotated[float, BeforeValidator(number), Field(gt=0, le=3_600, allow_inf_nan=False)]
Brief = Annotated[float, BeforeValidator(number), Field(gt=0, le=10, allow_inf_nan=False)]
Long = Annotated[float, BeforeValidator(number), Field(ge=0, le=36_525, allow_inf_nan=False)]
Size = Annotated[float, BeforeValidator(number), Field(gt=0, le=2**40, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(number), Field(ge=0, le=1, allow_inf_nan=False)]
Threads = Annotated[int, BeforeValidator(number), Field(ge=1, le=64)]
Side = Annotated[int, BeforeValidator(number), Field(ge=64, le=16_384)]
Mode = Annotated[int, BeforeValidator(number), Field(ge=3, le=13)]
Folder = Annotated[Path, AfterValidator(absolute)]
File = Annotated[Path, AfterValidator(whole)]
Secret = Annotated[SecretStr | None, BeforeValidator(secret)]
Options = Annotated[dict[str, Any], AfterValidator(discreet)]
Word = Annotated[str, shaped(r"\S+", "one word")]
Pattern = Annotated[str, shaped(r"[^/]+", "a file name or shell pattern without a slash")]
EngineName = Annotated[str, shaped(ENGINE, "a name of small letters, digits and _")]
SinkName = Annotated[str, shaped(r"[a-z0-9][a-z0-9_-]{0,62}", "a name of small letters, digits, - and _")]
Country = Annotated[str, AfterValidator(country)]
Address = Annotated[
    str,
    shaped(
        r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/?#@:\[\]\\]+)(:\d{1,5})?([/?][^\s#]*)?",
        "an address that begins with https:// or http:// and holds neither a user name nor a #",
    ),
]
