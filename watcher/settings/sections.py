"""The sections of the configuration: every key, its kind, its bounds and its default."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from watcher.model import TimeSource
from watcher.settings.kinds import (
    Address,
    Brief,
    Country,
    Deadline,
    EngineName,
    File,
    Folder,
    Listed,
    Long,
    Mode,
    Options,
    Pattern,
    Seconds,
    Secret,
    Share,
    Side,
    SinkName,
    Size,
    Some,
    Threads,
    Word,
)

LITTER = (
    *("*.part", "*.filepart", "*.partial", "*.tmp", "*.temp", "*.crdownload", "*.download", "*~"),
    *(".in.*.", ".pureftpd-upload.*", "._*", ".DS_Store", ".stfolder", ".stversions", ".Trash-*"),
    *("@eaDir", "#recycle", "Thumbs.db", "desktop.ini"),
)


class FolderSettings(BaseModel, frozen=True, extra="forbid", validate_default=True):
    """`[folders]`: absolute paths; the operator may write them relative to the working directory.

    Attributes:
        inbox: Where photos are dropped.
        uploads: Where they are kept under their own name.
        data: The register, the journal and the quarantine.

    """

    inbox: Folder = Path("inbox")
    uploads: Folder = Path("uploads")
    data: Folder = Path("data")


class InboxSettings(BaseModel, frozen=True, extra="forbid"):
    """`[inbox]`: when a dropped photo is taken in.

    Attributes:
        watch: Whether file events wake us (`native`), only scans do (`poll`), or each folder is judged (`auto`).
        settle_seconds: How long a photo must not change; none: 0.1 with a lease, 2 without, 5 on a network mount.
        incomplete_after_seconds: How long a photo without its end is waited for; none: 120 with a lease, 600 without.
        sidecar_wait_seconds: How long a photo waits for a sidecar that is not there yet.
        max_megabytes: A larger file is quarantined; one is 2**20 bytes.
        max_megapixels: A larger picture is never decoded; one is 10**6 pixels.
        ignore: Shell patterns of file and folder names that are left alone.
        timestamps: Where the time of a photo is taken from: the first of these that has one, else its arrival.
        duplicate_window_hours: How long the same bytes count as a repeat; 0 is never.

    """

    watch: Literal["auto", "native", "poll"] = "auto"
    settle_seconds: Seconds | None = None
    incomplete_after_seconds: Seconds | None = None
    sidecar_wait_seconds: Seconds = 0.5
    max_megabytes: Size = 20
    max_megapixels: Size = 50
    ignore: Listed[Pattern] = LITTER
    timestamps: Listed[TimeSource] = ("sidecar", "arrival")
    duplicate_window_hours: Long = 24


class ReadingSettings(BaseModel, frozen=True, extra="forbid"):
    """`[reading]`: who reads plates.

    Attributes:
        engines: The names of the engines, in the order in which they are asked; empty: nothing is read.
        readers: How many photos are read at a time.
        deadline_seconds: How long one engine may take over one photo.
        believable: From this confidence on, 0 to 1, no further engine is asked.

    """

    engines: Listed[EngineName] = ("openai", "rapidocr", "tesseract")
    readers: Threads = 2
    deadline_seconds: Deadline = 30
    believable: Share = 0.85


class OpenaiSettings(BaseModel, frozen=True, extra="forbid"):
    """`[engines.openai]`: the vision model, at OpenAI or at a server that speaks the same language.

    Attributes:
        models: The next one is used when one is refused as unknown or retired.
        base_url: Where the API is.
        detail: How closely the model looks.
        long_side: Pictures are shrunk to this many pixels before they are sent.
        api_key: The key; without one the engine is skipped.

    """

    models: Some[Word] = ("gpt-4o-mini", "gpt-6-luna")
    base_url: Address = "https://api.openai.com/v1"
    detail: Literal["low", "high", "auto", "original"] = "high"
    long_side: Side = 1280
    api_key: Secret = None


class RapidocrSettings(BaseModel, frozen=True, extra="forbid"):
    """`[engines.rapidocr]`: nothing to set; which plates it expects stands in `[plates]`."""


class TesseractSettings(BaseModel, frozen=True, extra="forbid"):
    """`[engines.tesseract]`: *psm* are page segmentation modes, tried in turn until one sees what can be a plate."""

    psm: Some[Mode] = (11, 6)


class EngineSettings(BaseModel, frozen=True, extra="allow"):
    """`[engines.<name>]`: the options of each engine; those of engines not listed here are checked by the engine."""

    __pydantic_extra__: dict[str, Options] = Field(init=False)

    openai: OpenaiSettings = OpenaiSettings()
    rapidocr: RapidocrSettings = RapidocrSettings()
    tesseract: TesseractSettings = TesseractSettings()

    def options(self, name: str) -> dict[str, Any]:
        """Return the options of the engine called *name* as plain values, without its key; empty if there are none."""
        return {key: value for key, value in dict(dict(self).get(name, {})).items() if key != "api_key"}

    def secrets(self) -> dict[str, str]:
        """Return the key, in clear, of every engine that has one."""
        keys = {name: dict(section).get("api_key") for name, section in self}
        return {name: key.get_secret_value() for name, key in keys.items() if key is not None}


class PlateSettings(BaseModel, frozen=True, extra="forbid"):
    """`[plates]`: what a plate looks like.

    Attributes:
        countries: Where the vehicles come from (ISO 3166); empty: anywhere.
        separators: Whether hyphens that are printed on a plate are kept.

    """

    countries: Listed[Country] = ()
    separators: bool = False


class QuarantineSettings(BaseModel, frozen=True, extra="forbid"):
    """`[quarantine]`: how many *days* its files stay, and how many *megabytes* of them (2**20 bytes); old ones go."""

    days: Long = 30
    megabytes: Size = 1024


class RegisterSettings(BaseModel, frozen=True, extra="forbid"):
    """`[register]`: *repair_missing* is whether rows that another program removed are written again."""

    repair_missing: bool = False


class LogSettings(BaseModel, frozen=True, extra="forbid"):
    """`[logs]`: `auto` chooses the *format* by where the lines go; those below the *level* are not written.

    *plates* are shown or masked.
    """

    format: Literal["auto", "json", "journal", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    plates: Literal["show", "mask"] = "show"


class SinkSettings(BaseModel, frozen=True, extra="forbid"):
    """`[[sinks]]`: one receiver that is told of every row.

    Attributes:
        name: Unique; part of the act `notify/<name>`, so renaming a sink leaves its owed acts behind.
        kind: The module that tells it.
        url: Where it listens.
        secret: What deliveries are signed with; none: they are not signed.
        timeout_seconds: How long one delivery may take; an orderly stop waits for it.
        allow_private: Whether the address may lead into the local network or to this machine, and do without TLS.
        ca_file: Certificates to trust instead of the system's, as PEM.

    """

    name: SinkName
    kind: EngineName = "webhook"
    url: Address
    secret: Secret = None
    timeout_seconds: Brief = 10
    allow_private: bool = False
    ca_file: File | None = None


def _named(sinks: tuple[SinkSettings, ...]) -> tuple[SinkSettings, ...]:
    if len({sink.name for sink in sinks}) < len(sinks):
        raise ValueError("must each have a name of their own")
    return sinks


with warnings.catch_warnings():
    # pydantic minds that `register` hides a method of Python's abstract classes, which nobody calls on settings.
    warnings.filterwarnings("ignore", message='Field name "register"', category=UserWarning)

    class Settings(BaseSettings):
        """The whole configuration, checked. Made by `load`; made by hand it holds the defaults."""

        model_config = SettingsConfigDict(
            frozen=True, extra="forbid", env_prefix="WATCHER_", env_nested_delimiter="__", enable_decoding=False
        )

        folders: FolderSettings = Field(default_factory=FolderSettings)
        inbox: InboxSettings = InboxSettings()
        reading: ReadingSettings = ReadingSettings()
        engines: EngineSettings = EngineSettings()
        plates: PlateSettings = PlateSettings()
        quarantine: QuarantineSettings = QuarantineSettings()
        register: RegisterSettings = RegisterSettings()
        logs: LogSettings = LogSettings()
        sinks: Annotated[Listed[SinkSettings], AfterValidator(_named)] = ()

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
            init_settings: PydanticBaseSettingsSource,
            *_: Any,
            **_others: Any,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Take what is handed over and nothing else: `load` has merged the sources, and knows who said what."""
            return (init_settings,)
