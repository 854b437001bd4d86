"""Read and check the configuration once, and say everything that is wrong with it at once.

Whoever comes first wins: the command line, `WATCHER_<SECTION>__<KEY>`, systemd credentials, `OPENAI_API_KEY`, the
file, the defaults. Nobody else reads the environment or the file; each part is handed its section, frozen.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from watcher.errors import SettingsInvalid
from watcher.settings.kinds import ENGINE, listed
from watcher.settings.sections import (
    EngineSettings,
    FolderSettings,
    InboxSettings,
    LogSettings,
    OpenaiSettings,
    PlateSettings,
    QuarantineSettings,
    RapidocrSettings,
    ReadingSettings,
    RegisterSettings,
    Settings,
    SinkSettings,
    TesseractSettings,
)
from watcher.settings.sources import (
    PLACES,
    credential,
    environment,
    find,
    from_file,
    from_variables,
    merged,
    with_secrets,
)
from watcher.settings.wording import Source, as_variable, called, dig, in_file, sentence, unknown

__all__ = [
    "PLACES",
    "EngineSettings",
    "FolderSettings",
    "InboxSettings",
    "LogSettings",
    "OpenaiSettings",
    "PlateSettings",
    "QuarantineSettings",
    "RapidocrSettings",
    "ReadingSettings",
    "RegisterSettings",
    "Settings",
    "SinkSettings",
    "TesseractSettings",
    "check_folders",
    "environment",
    "find",
    "load",
]

_KEY = ("engines", "openai", "api_key")


def load(
    *,
    config: Path | None,
    environment: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    places: Sequence[Path] = PLACES,
    reading: bool = True,
    engines: Collection[str] | None = None,
) -> Settings:
    """Return the configuration.

    Args:
        config: The file named on the command line.
        environment: The variables of the process; one that is empty counts as not set. `WATCHER_HOME` is the folder
            to which relative folders and *places* belong; without it they belong to the working directory.
        overrides: What the command line sets, nested as in the file; a value of none sets nothing.
        places: Where the file is looked for when nobody names one.
        reading: Plates are to be read, so somebody must be able to.
        engines: Those there are, by name; any other is a mistake. With none, it is not looked at which there are.

    Raises:
        SettingsInvalid: Its reason names every problem there is, one sentence a line.

    """
    problems: list[str] = []
    home = Path(environment.get("WATCHER_HOME", ""))
    path = find(config=config, environment=environment, places=[home / place for place in places])
    sources = (
        Source(merged({}, overrides or {}), lambda where: f"{in_file(where)} on the command line"),
        Source(from_variables(environment, problems), as_variable),
        Source(_keyed(credential("openai-api-key", environment, problems)), lambda _: "The credential openai-api-key"),
        Source(_keyed(environment.get("OPENAI_API_KEY", "").strip()), lambda _: "OPENAI_API_KEY"),
        Source(with_secrets(from_file(path, problems), environment, problems), in_file),
    )
    says: dict[str, Any] = functools.reduce(merged, (source.says for source in reversed(sources)), {})
    says = _at_home(says, home)
    problems += [*_checked(says, sources), *_checked_engines(says, sources, engines)]
    problems += _without_reader(says, sources) if reading else ()
    if problems:
        raise SettingsInvalid("\n".join(problems), hint=f"The file is {path}." if path else "")
    return Settings(**says)


def check_folders(folders: FolderSettings) -> list[str]:
    """Return a sentence for every two folders that are the same or one inside the other; touches no disk."""
    return list(_overlaps(folders))


def _overlaps(folders: FolderSettings) -> Iterator[str]:
    for (one, first), (other, second) in combinations(folders, 2):
        here, there = Path(os.path.normpath(first)), Path(os.path.normpath(second))
        if here == there:
            yield f"[folders] {one} and [folders] {other} are both {here}; give each its own."
        elif there in here.parents:
            yield f"[folders] {one} lies inside [folders] {other}; put them beside each other."
        elif here in there.parents:
            yield f"[folders] {other} lies inside [folders] {one}; put them beside each other."


def _at_home(says: dict[str, Any], home: Path) -> dict[str, Any]:
    """Return *says* with relative folders below *home*: the checkout for `./run`, else the working directory."""
    given = says.get("folders", {})
    if home == Path() or not isinstance(given, dict):
        return says
    wanted = dict.fromkeys(FolderSettings.model_fields) | given
    folders = {name: str(home / (place or name)) for name, place in wanted.items() if isinstance(place or name, str)}
    return says | {"folders": given | folders}


def _keyed(key: str | None) -> dict[str, Any]:
    return {"engines": {"openai": {"api_key": key}}} if key else {}


def _checked(says: dict[str, Any], sources: Sequence[Source]) -> Iterator[str]:
    """Yield a sentence for everything that is wrong with what all sources together say."""
    # A key with an underscore in front would be an option of the library's constructor, not a setting.
    yield from (unknown(in_file((key,)), (key,)) for key in says if key.startswith("_"))
    try:
        Settings(**{key: value for key, value in says.items() if not key.startswith("_")})
    except ValidationError as error:
        yield from (sentence(one, sources) for one in error.errors(include_url=False, include_input=False))
    with contextlib.suppress(ValidationError):
        yield from check_folders(FolderSettings.model_validate(says.get("folders", {})))


def _checked_engines(says: dict[str, Any], sources: Sequence[Source], known: Collection[str] | None) -> Iterator[str]:
    """Yield a sentence for every engine that there is not, and for every section of options that none will ask for."""
    asked = [str(name) for name in _asked(says)]
    names = {*EngineSettings.model_fields, *(known or ())}
    if known is not None:
        missing = [name for name in asked if name not in names and re.fullmatch(ENGINE, name)]
        yield from (_no_engine(name, sources, sorted(names)) for name in dict.fromkeys(missing))
    names.update(asked)
    sections = dig(says, ("engines",))
    for section in sections if isinstance(sections, dict) else ():
        if section in names:
            continue
        key = called(("engines", section), sources)
        if close := difflib.get_close_matches(section, sorted(names), n=1, cutoff=0.8):
            yield f"{key} is for an engine that is not asked; did you mean [engines.{close[0]}]?"
        elif known is not None:
            yield f"{key} is for an engine that there is not; remove it, or install that engine."


def _no_engine(name: str, sources: Sequence[Source], known: Sequence[str]) -> str:
    """Return that there is no engine *name*, and which one was probably meant."""
    key = called(("reading", "engines"), sources)
    close = difflib.get_close_matches(name, known, n=1)
    remedy = f"did you mean {close[0]}?" if close else f"set it to some of {', '.join(known)}."
    return f"{key} names {name}, which is no engine; {remedy}"


def _without_reader(says: dict[str, Any], sources: Sequence[Source]) -> Iterator[str]:
    """Yield a sentence if nobody can read."""
    if _asked(says) == ["openai"] and not dig(says, _KEY):
        key = called(("reading", "engines"), sources)
        yield f'{key} asks only openai, which has no key; set OPENAI_API_KEY or add "rapidocr".'


def _asked(says: dict[str, Any]) -> list[object]:
    """Return the engines that are to be asked, whatever somebody wrote there."""
    asked: object = dig(says, ("reading", "engines"))
    with contextlib.suppress(ValueError):
        asked = listed(asked)
    return list(asked) if isinstance(asked, list | tuple) else list(ReadingSettings().engines)
