"""Ask each source what it says: the environment, the credentials of systemd, the file."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_settings import EnvSettingsSource

from watcher.settings.kinds import secret
from watcher.settings.sections import EngineSettings, Settings
from watcher.settings.wording import PREFIX, as_variable, dig, known, unknown_variable

PLACES = (Path("config/watcher.toml"), Path("/etc/matricula-watcher/watcher.toml"))
"""Where the file is looked for when nobody names one: in a checkout, then as installed."""

_OURS = "|".join(EngineSettings.model_fields).upper()
_FREE = re.compile(rf"WATCHER_ENGINES__(?!(?:{_OURS})__)[A-Z][A-Z0-9_]*?__[A-Z0-9_]+")
_OTHERS = {"WATCHER_CONFIG", "WATCHER_HOME", "WATCHER_LEAN"}  # the last is for the set-up
_SINK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def environment() -> dict[str, str]:
    """Return the environment of this process: the only place where it is read."""
    return dict(os.environ)


def find(*, config: Path | None, environment: Mapping[str, str], places: Sequence[Path] = PLACES) -> Path | None:
    """Return the file that is read: *config*, else `WATCHER_CONFIG`, else the first of *places* that is there.

    None stands for the defaults. A file that was named is returned whether it is there or not.
    """
    if config is not None:
        return config
    if named := environment.get("WATCHER_CONFIG"):
        return Path(named)
    return next((place for place in places if _is_there(place)), None)


def from_variables(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """Return what the `WATCHER_*` variables say; those that set nothing are *problems*, empty ones are not set."""
    ours = {as_variable(way) for way in known()}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and value}
    understood = {name: value for name, value in given.items() if name in ours or _FREE.fullmatch(name)}
    problems += [unknown_variable(name) for name in sorted(given.keys() - understood.keys() - _OTHERS)]
    source = EnvSettingsSource(Settings)
    source.env_vars = {name.lower(): value for name, value in understood.items()}
    return source()


def from_file(path: Path | None, problems: list[str]) -> dict[str, Any]:
    """Return what the TOML file at *path* says; nothing, and a problem, if it cannot be read or understood."""
    if path is None:
        return {}
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except OSError as error:
        problems.append(f"The file {path} cannot be read ({error.strerror}); correct its path or its rights.")
    except UnicodeDecodeError as error:
        problems.append(f"The file {path} is not UTF-8 at byte {error.start}; save it as UTF-8.")
    except ValueError as error:
        end = f"at line {text.count(chr(10)) + 1}, column {len(text) - text.rfind(chr(10))}"
        wrong = str(error).replace("at end of document", end)
        problems.append(f"The file {path} is not TOML: {wrong}; correct it there.")
    except RecursionError:
        problems.append(f"The file {path} is not a configuration: its brackets are nested too deeply; correct them.")
    return {}


def credential(name: str, environment: Mapping[str, str], problems: list[str]) -> str | None:
    """Return the systemd credential *name* without the white space around it; none if there is none or it is empty."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        return None
    try:
        return str(secret((Path(folder) / name).read_text(encoding="utf-8", errors="replace")) or "") or None
    except FileNotFoundError:
        return None
    except OSError as error:
        problems.append(
            f"The credential {name} cannot be read ({error.strerror}); look at LoadCredential= in the unit."
        )
    except ValueError as error:
        problems.append(f"The credential {name} {error}; write it anew, with nothing else in the file.")
    return None


def with_secrets(says: dict[str, Any], environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    """Return what the file *says*, each sink signed with the credential `webhook-<its name>` where there is one."""
    sinks = says.get("sinks")
    if not isinstance(sinks, list):
        return says
    names = [name if isinstance(name := dig(sink, ("name",)), str) else "" for sink in sinks]
    found = [
        credential(f"webhook-{name}", environment, problems) if _SINK_NAME.fullmatch(name) else None for name in names
    ]
    signed = [sink if key is None else {**sink, "secret": key} for sink, key in zip(sinks, found, strict=True)]
    return {**says, "sinks": signed}


def merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return *below* with what *above* says put over it, section by section; a value of none says nothing."""
    result = dict(below)
    for key, value in above.items():
        if isinstance(value, Mapping):
            old = result.get(key)
            result[key] = merged(old if isinstance(old, dict) else {}, value)
        elif value is not None:
            result[key] = value
    return result


def _is_there(place: Path) -> bool:
    """Say whether there is a file, or something that keeps us from seeing one: reading it will say what."""
    try:
        return place.exists()
    except OSError:
        return True
