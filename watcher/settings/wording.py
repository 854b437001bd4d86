"""Say what is wrong with a setting in one sentence: the key as the operator wrote it, and the remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from watcher.settings.sections import Settings, SinkSettings

PREFIX = "WATCHER_"
LONGEST = 60
"""Characters of a default that is told in a sentence."""

Where = tuple[str | int, ...]
"""The way to a setting: `("inbox", "watch")`, `("engines", "openai", "models", 0)`, `("sinks", 1, "url")`."""


@dataclass(frozen=True, slots=True)
class Source:
    """One who was asked for settings: what it says, nested by section, and how a setting is called there."""

    says: dict[str, Any]
    call: Callable[[Where], str]


def in_file(where: Where) -> str:
    """Return the setting at *where* as it stands in the file: `[inbox] watch`, `[[sinks]] url (number 2)`."""
    if where[0] == "sinks":
        return "[[sinks]]" + _of_a_sink(where)
    depth = 2 if where[0] == "engines" else 1
    section = ".".join(str(step) for step in where[:depth])
    return f"[{section}]" + "".join(f" {step}" for step in where[depth : depth + 1])


def as_variable(where: Where) -> str:
    """Return the name of the environment variable that sets the setting at *where*."""
    if where[0] == "sinks":
        return f"{PREFIX}SINKS" + _of_a_sink(where)
    return PREFIX + "__".join(str(step).upper() for step in where if isinstance(step, str))


def known(model: type[BaseModel] = Settings, above: Where = ()) -> Iterator[Where]:
    """Yield the way to every setting that has a name of its own; `sinks` is one."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from known(kind, (*above, name))
        else:
            yield (*above, name)


def dig(says: object, where: Where) -> object:
    """Return what stands at *where* in nested dictionaries and lists; none if nothing does."""
    for step in where:
        if isinstance(says, dict):
            says = says.get(step)
        elif isinstance(says, list) and isinstance(step, int) and step < len(says):
            says = says[step]
        else:
            return None
    return says


def called(where: Where, sources: Sequence[Source]) -> str:
    """Return the name of the setting at *where* in the first source that says something about it."""
    ways = [where[:length] for length in range(len(where), 0, -1)]
    first = next(source for way in ways for source in sources if dig(source.says, way) is not None)
    return first.call(where)


def sentence(error: ErrorDetails, sources: Sequence[Source]) -> str:
    """Return what *error* says, without the value: it could be a secret that was written in the wrong place."""
    where = error["loc"]
    key = called(where, sources)
    match error["type"]:
        case "extra_forbidden":
            return unknown(key, where)
        case "missing":
            return f"{key} is missing; add it."
        case "model_type" | "dict_type":
            return f"{key} must be a section; write its settings below a line with its name in brackets."
        case _:
            message = error["msg"].removeprefix("Value error, ").replace("Input should", "must")
            return f"{key} {message.replace('tuple', 'list')}; {_remedy(where)}."


def unknown(key: str, where: Where) -> str:
    """Say that there is no setting at *where*, and which one was probably meant."""
    name = str(where[-1])
    beside = list(_fields([step for step in where[:-1] if isinstance(step, str)]))
    if close := difflib.get_close_matches(name, beside, n=1):
        return f"{key} is not a setting; did you mean {in_file((*where[:-1], close[0]))}?"
    if elsewhere := [way for way in known() if way[-1] == name]:
        return f"{key} is not a setting; write it as {in_file(elsewhere[0])}."
    others = f", or write one of {', '.join(beside)}" if beside else ""
    return f"{key} is not a setting; remove it{others}."


def unknown_variable(name: str) -> str:
    """Say that the environment variable *name* sets nothing, and which one was probably meant."""
    ours = [as_variable(way).removeprefix(PREFIX) for way in (*known(), ("config",))]
    close = difflib.get_close_matches(name.removeprefix(PREFIX), ours, n=1)
    return f"{name} is not a setting; " + (f"did you mean {PREFIX}{close[0]}?" if close else "unset it.")


def _of_a_sink(where: Where) -> str:
    """Return ` url (number 2)` for `("sinks", 1, "url")`."""
    return "".join(f" {step}" for step in where[2:3]) + "".join(f" (number {int(step) + 1})" for step in where[1:2])


def _fields(section: Sequence[str]) -> Mapping[str, FieldInfo]:
    """Return the settings of a section; none if it is that of an engine that is not ours."""
    model: type[BaseModel] = Settings
    for name in section:
        if name == "sinks":
            return SinkSettings.model_fields
        if name not in model.model_fields:
            return {}
        model = cast("type[BaseModel]", model.model_fields[name].annotation)
    return model.model_fields


def _remedy(where: Where) -> str:
    """Return what to do about a wrong value: leave it out where there is a default, and which one that is."""
    *above, name = (step for step in where if isinstance(step, str))
    field = _fields(above).get(name)
    if field is None or field.is_required():
        return "correct it"
    default = "" if field.default is None else json.dumps(field.default, default=str)
    return "correct it, or leave it out for the default" + (f", {default}" if 0 < len(default) < LONGEST else "")
