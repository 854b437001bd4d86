"""The configuration: where it comes from, what wins, and what an operator is told when it is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from watcher.errors import SettingsInvalid
from watcher.settings import (
    PLACES,
    EngineSettings,
    FolderSettings,
    ReadingSettings,
    Settings,
    SinkSettings,
    check_folders,
    environment,
    find,
    load,
)

SHIPPED = Path(__file__).parent.parent / "config" / "watcher.toml"
SINK = 'name = "gate"\nurl = "https://gate.example/plates"\n'


def loaded(
    tmp_path: Path,
    text: str = "",
    variables: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Return the settings of a file that holds *text*."""
    path = tmp_path / "given.toml"
    path.write_text(text, encoding="utf-8")
    return load(config=path, environment=variables or {}, overrides=overrides)


def refused(
    tmp_path: Path,
    text: str = "",
    variables: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> list[str]:
    """Return the sentences with which the settings of a file that holds *text* are refused."""
    with pytest.raises(SettingsInvalid) as caught:
        loaded(tmp_path, text, variables, overrides)
    assert caught.value.exit_code == 78
    return caught.value.reason.splitlines()


def sections(model: type[BaseModel] = Settings, above: str = "") -> dict[str, set[str]]:
    """Return the keys of every section as they stand in the file."""
    found: dict[str, set[str]] = {above: set()}
    for name, field in model.model_fields.items():
        kind = SinkSettings if name == "sinks" else field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found |= sections(kind, f"{above}.{name}".strip("."))
        else:
            found[above].add(name)
    return {section: keys for section, keys in found.items() if keys}


def shown() -> dict[str, set[str]]:
    """Return the keys that the shipped file shows under each section, set or behind a `#`."""
    found: dict[str, set[str]] = {}
    section = ""
    for line in SHIPPED.read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"(?:# )?\[+([a-z.]+)\]+", line):
            section = head[1]
        elif key := re.match(r"(?:# )?([a-z_]+) = ", line):
            found.setdefault(section, set()).add(key[1])
    return found


class TestDefaults:
    """What holds when nobody says anything."""

    def test_no_source(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a file and without variables everything has its default, and the folders are absolute."""
        monkeypatch.chdir(tmp_path)

        settings = load(config=None, environment={}, places=())

        assert (tmp_path / "inbox", tmp_path / "uploads", tmp_path / "data") == tuple(dict(settings.folders).values())
        assert ("openai", "rapidocr", "tesseract") == settings.reading.engines
        assert (None, None, 0.5) == (
            settings.inbox.settle_seconds,
            settings.inbox.incomplete_after_seconds,
            settings.inbox.sidecar_wait_seconds,
        )
        assert () == settings.sinks

    def test_shipped_file_is_the_defaults(self) -> None:
        """The file as shipped changes nothing, and shows every default that is a fixed value."""
        shipped = load(config=SHIPPED, environment={})
        said = tomllib.loads(SHIPPED.read_text(encoding="utf-8"))

        assert load(config=None, environment={}, places=()) == shipped
        assert shipped.model_dump(mode="json", exclude_none=True, exclude={"folders", "sinks"}) == {
            section: keys for section, keys in said.items() if section != "folders"
        }

    def test_shipped_file_shows_every_key(self) -> None:
        """Every key of every section occurs in the shipped file, and no other."""
        assert sections() == shown()

    def test_shipped_example_of_a_sink(self, tmp_path: Path) -> None:
        """The example of a sink in the shipped file works once the `#` in front of it is taken away."""
        _, _, example = SHIPPED.read_text(encoding="utf-8").partition("# [[sinks]]\n")

        (sink,) = loaded(tmp_path, "[[sinks]]\n" + re.sub("^# ?", "", example, flags=re.MULTILINE)).sinks

        assert "gate" == sink.name
        defaults = SinkSettings(name=sink.name, url=sink.url, secret=sink.secret, ca_file=sink.ca_file)
        assert defaults == sink

    def test_the_price_stands_beside_the_setting(self) -> None:
        """The shipped file says what a photo costs where its price is decided."""
        about = SHIPPED.read_text(encoding="utf-8").split("[engines.openai]")[-1].split("[engines.tesseract]")[0]

        assert all(figure in about for figure in ("36,835", "0.0055", "2,833", "0.0004", "2,448", "0.00025"))

    def test_frozen(self) -> None:
        """Nobody can change settings after they were checked."""
        settings = Settings()

        with pytest.raises(ValidationError):
            settings.logs.__setattr__("level", "debug")
        with pytest.raises(ValidationError):
            settings.__setattr__("sinks", ())

    def test_no_source_behind_our_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment of the process is not read unless it is handed over."""
        monkeypatch.setenv("WATCHER_LOGS__LEVEL", "debug")

        assert "info" == Settings().logs.level
        assert "info" == load(config=None, environment={}, places=()).logs.level
        assert "debug" == load(config=None, environment=environment(), places=()).logs.level


class TestFile:
    """Which file is read, and what is said of one that cannot be."""

    def test_order(self, tmp_path: Path) -> None:
        """The command line names the file before the variable does, and that before the usual places."""
        there, other = tmp_path / "there.toml", tmp_path / "other.toml"
        there.touch()
        other.touch()
        named = {"WATCHER_CONFIG": "named.toml"}

        assert Path("given.toml") == find(config=Path("given.toml"), environment=named, places=(there,))
        assert Path("named.toml") == find(config=None, environment=named, places=(there,))
        assert there == find(config=None, environment={"WATCHER_CONFIG": ""}, places=(tmp_path / "no", there, other))
        assert find(config=None, environment={}, places=(tmp_path / "no",)) is None

    def test_usual_places(self) -> None:
        """A checkout has its own file; an installed program has one under /etc."""
        assert (Path("config/watcher.toml"), Path("/etc/matricula-watcher/watcher.toml")) == PLACES

    def test_place_is_read(self, tmp_path: Path) -> None:
        """The file in a usual place is read when nobody names another."""
        path = tmp_path / "watcher.toml"
        path.write_text("[reading]\nreaders = 5\n")

        assert 5 == load(config=None, environment={}, places=(path,)).reading.readers

    @pytest.mark.parametrize("by_variable", [True, False])
    def test_named_file_is_missing(self, tmp_path: Path, *, by_variable: bool) -> None:
        """A file that was named must be there, whoever named it."""
        path = tmp_path / "missing.toml"

        with pytest.raises(SettingsInvalid) as caught:
            load(
                config=None if by_variable else path,
                environment={"WATCHER_CONFIG": str(path)} if by_variable else {},
                places=(SHIPPED,),
            )

        expected = f"The file {path} cannot be read (No such file or directory); correct its path or its rights."
        assert expected == caught.value.reason

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("[inbox]\nwatch = = 1\n", "Invalid value (at line 2, column 9)"),
            ("[inbox]\nwatch = 'poll'\nwatch = 'auto'", "Cannot overwrite a value (at line 3, column 15)"),
            ("a = 1\n[inbox", "Expected ']' at the end of a table declaration (at line 2, column 7)"),
            ("[inbox]\nignore = [\n", "Invalid value (at line 3, column 1)"),
        ],
    )
    def test_broken(self, tmp_path: Path, text: str, expected: str) -> None:
        """Of broken TOML the line and the column are said, even where it simply ends."""
        assert [f"The file {tmp_path / 'given.toml'} is not TOML: {expected}; correct it there."] == refused(
            tmp_path, text
        )

    def test_nested_too_deeply(self, tmp_path: Path) -> None:
        """A file of brackets ends in a sentence, not in a trace."""
        (only,) = refused(tmp_path, "a = " + "[" * 5000)

        assert "nested too deeply" in only

    def test_byte_order_mark(self, tmp_path: Path) -> None:
        """What an editor under Windows saves is read."""
        assert "poll" == loaded(tmp_path, "\ufeff[inbox]\r\nwatch = 'poll'\r\n").inbox.watch

    def test_other_encoding(self, tmp_path: Path) -> None:
        """A file in Latin-1 is refused with the place of the first letter that shows it."""
        path = tmp_path / "latin.toml"
        path.write_bytes("[folders]\n# año\n".encode("latin-1"))

        with pytest.raises(SettingsInvalid, match="is not UTF-8 at byte 13; save it as UTF-8"):
            load(config=path, environment={})

    def test_unreadable_place(self, tmp_path: Path) -> None:
        """A usual place that we may not look into is said, not passed over in silence."""
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o700)
        program = (
            "import sys; from pathlib import Path; from watcher.errors import SettingsInvalid\n"
            "from watcher.settings import load\n"
            "try: load(config=None, environment={}, places=(Path(sys.argv[1]),))\n"
            "except SettingsInvalid as error: sys.stdout.write(error.reason)"
        )
        nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

        said = subprocess.run(
            [*nobody, sys.executable, "-c", program, str(closed / "watcher.toml")],
            capture_output=True,
            text=True,
            check=True,
            cwd=SHIPPED.parent.parent,
        )

        assert "cannot be read (Permission denied)" in said.stdout

    def test_impossible_place(self, tmp_path: Path) -> None:
        """So is one that no disk can hold."""
        with pytest.raises(SettingsInvalid, match="File name too long"):
            load(config=None, environment={}, places=(tmp_path / ("x" * 300),))

    def test_the_file_is_named(self, tmp_path: Path) -> None:
        """Whoever is told of a wrong key is told in which file it stands."""
        with pytest.raises(SettingsInvalid) as caught:
            loaded(tmp_path, "[inbox]\nwatch = 1\n")

        assert f"The file is {tmp_path / 'given.toml'}." == caught.value.hint


class TestForce:
    """Who wins when two say different things."""

    def test_command_line_over_variable_over_file(self, tmp_path: Path) -> None:
        """The command line wins over the environment, that over the file; each key by itself."""
        settings = loaded(
            tmp_path,
            "[logs]\nlevel = 'error'\nplates = 'mask'\nformat = 'json'\n",
            {"WATCHER_LOGS__LEVEL": "warning", "WATCHER_LOGS__PLATES": "show"},
            {"logs": {"level": "debug", "plates": None}},
        )

        assert ("debug", "show", "json") == (settings.logs.level, settings.logs.plates, settings.logs.format)

    @pytest.mark.parametrize(
        ("missing", "expected"),
        [
            ((), "line"),
            (("line",), "variable"),
            (("line", "variable"), "credential"),
            (("line", "variable", "credential"), "openai"),
        ],
    )
    def test_the_key(self, tmp_path: Path, missing: tuple[str, ...], expected: str) -> None:
        """The key is taken from the command line, our variable, the credential, `OPENAI_API_KEY`, the file."""
        (tmp_path / "openai-api-key").write_text("" if "credential" in missing else "credential\n")
        variables = {"OPENAI_API_KEY": " openai\n", "CREDENTIALS_DIRECTORY": str(tmp_path)}
        if "variable" not in missing:
            variables["WATCHER_ENGINES__OPENAI__API_KEY"] = "variable"
        overrides = {} if "line" in missing else {"engines": {"openai": {"api_key": "line"}}}

        settings = loaded(tmp_path, "[engines.openai]\napi_key = 'file'\n", variables, overrides)

        assert expected == settings.engines.secrets()["openai"]

    @pytest.mark.parametrize("variables", [{}, {"OPENAI_API_KEY": "  "}])
    def test_the_key_in_the_file(self, tmp_path: Path, variables: dict[str, str]) -> None:
        """A key in the file holds where nobody else has one."""
        settings = loaded(tmp_path, "[engines.openai]\napi_key = 'file'\n", variables)

        assert {"openai": "file"} == settings.engines.secrets()

    def test_secret_of_a_sink(self, tmp_path: Path) -> None:
        """The credential that carries the name of a sink signs its deliveries; the file signs the others."""
        (tmp_path / "webhook-gate").write_text("whsec_credential\n")
        text = f"[[sinks]]\n{SINK}secret='whsec_file'\n[[sinks]]\n{SINK.replace('gate', 'yard')}secret='whsec_yard'\n"

        settings = loaded(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path)})

        secrets = [sink.secret.get_secret_value() for sink in settings.sinks if sink.secret]
        assert ["whsec_credential", "whsec_yard"] == secrets

    def test_credential_stays_in_its_folder(self, tmp_path: Path) -> None:
        """The name of a sink cannot lead to a file elsewhere."""
        folder = tmp_path / "credentials"
        (folder / "webhook-").mkdir(parents=True)
        (tmp_path / "outside").write_text("would be refused")

        problems = refused(
            tmp_path, '[[sinks]]\nname = "/../../outside"\nurl = "http://x"\n', {"CREDENTIALS_DIRECTORY": str(folder)}
        )

        assert 1 == len(problems)
        assert "must be a name of small letters" in problems[0]

    @pytest.mark.parametrize("content", [b"two words", b"two\nlines", b"\x00", "llave-ñ".encode(), b"\xff"])
    def test_bad_credential(self, tmp_path: Path, content: bytes) -> None:
        """A credential that no header could carry is refused by its name, without being shown."""
        (tmp_path / "openai-api-key").write_bytes(content)

        problems = refused(tmp_path, "", {"CREDENTIALS_DIRECTORY": str(tmp_path)})

        assert [
            (
                "The credential openai-api-key must be plain characters on one line, without spaces;"
                " write it anew, with nothing else in the file."
            )
        ] == problems

    def test_unreadable_credential(self, tmp_path: Path) -> None:
        """A credential that cannot be read is said; it is not the same as none."""
        (tmp_path / "openai-api-key").mkdir()

        problems = refused(tmp_path, "", {"CREDENTIALS_DIRECTORY": str(tmp_path)})

        assert [
            "The credential openai-api-key cannot be read (Is a directory); look at LoadCredential= in the unit."
        ] == problems

    def test_section_over_nonsense(self, tmp_path: Path) -> None:
        """What a variable says holds even if the file has no section there to put it into."""
        assert "poll" == loaded(tmp_path, "inbox = 3", {"WATCHER_INBOX__WATCH": "poll"}).inbox.watch


class TestVariables:
    """`WATCHER_SECTION__KEY`."""

    def test_every_kind(self, tmp_path: Path) -> None:
        """Numbers, truths, lists in both spellings, sinks and engines of others can be set."""
        settings = loaded(
            tmp_path,
            "",
            {
                "WATCHER_INBOX__SETTLE_SECONDS": "1.5",
                "WATCHER_REGISTER__REPAIR_MISSING": "true",
                "WATCHER_READING__ENGINES": "mine, tesseract",
                "WATCHER_INBOX__IGNORE": '["a,b", "c d"]',
                "WATCHER_ENGINES__TESSERACT__PSM": "6,7",
                "WATCHER_ENGINES__MINE__SOME__THING": "3",
                "WATCHER_SINKS": '[{"name": "gate", "url": "https://gate.example"}]',
                "WATCHER_PLATES__COUNTRIES": "es, Pt",
                "WATCHER_NONSENSE": "",
                "WATCHER_LEAN": "1",
            },
        )

        assert 1.5 == settings.inbox.settle_seconds
        assert settings.register.repair_missing
        assert ("mine", "tesseract") == settings.reading.engines
        assert ("a,b", "c d") == settings.inbox.ignore
        assert {"psm": (6, 7)} == settings.engines.options("tesseract")
        assert {"some": {"thing": "3"}} == settings.engines.options("mine")
        assert "gate" == settings.sinks[0].name
        assert ("ES", "PT") == settings.plates.countries

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("WATCHER_INBOX_SETTLE_SECONDS", "did you mean WATCHER_INBOX__SETTLE_SECONDS?"),
            ("WATCHER_INBOX__SETLE_SECONDS", "did you mean WATCHER_INBOX__SETTLE_SECONDS?"),
            ("WATCHER_ENGINES__OPENAI__MODEL", "did you mean WATCHER_ENGINES__OPENAI__MODELS?"),
            ("WATCHER_CONFG", "did you mean WATCHER_CONFIG?"),
            ("WATCHER_SINK", "did you mean WATCHER_SINKS?"),
            ("WATCHER_ZZZ", "unset it."),
        ],
    )
    def test_misspelt(self, tmp_path: Path, name: str, remedy: str) -> None:
        """A variable that sets nothing is an error, and the one that was meant is named."""
        assert [f"{name} is not a setting; {remedy}"] == refused(tmp_path, "", {name: "1"})

    def test_wrong_value(self, tmp_path: Path) -> None:
        """A wrong value is told by the name of the variable, not by that of the key in the file."""
        problems = refused(
            tmp_path,
            "[reading]\nreaders = 4\n",
            {"WATCHER_READING__READERS": "many", "WATCHER_READING__ENGINES": "tesseract,Mine", "WATCHER_SINKS": "[1"},
        )

        assert [
            (
                "WATCHER_READING__ENGINES must be a name of small letters, digits and _;"
                ' correct it, or leave it out for the default, ["openai", "rapidocr", "tesseract"].'
            ),
            (
                "WATCHER_READING__READERS must be a valid integer, unable to parse string as an integer;"
                " correct it, or leave it out for the default, 2."
            ),
            "WATCHER_SINKS must be a list such as a,b or one in JSON; correct it, or leave it out for the default, [].",
        ] == problems

    def test_wrong_value_on_the_command_line(self, tmp_path: Path) -> None:
        """A wrong value from the command line is told as such."""
        (only,) = refused(tmp_path, "[logs]\nlevel = 'info'", None, {"logs": {"level": "loud"}})

        assert only.startswith("[logs] level on the command line must be 'debug', 'info', ")

    def test_wrong_key_inside_an_engine(self, tmp_path: Path) -> None:
        """What is wrong inside the options of an engine that is not ours is told too."""
        (only,) = refused(tmp_path, "", None, {"engines": {"mine": {3: 1}}})

        assert "[engines.mine] 3 on the command line must be a valid string; correct it." == only

    def test_wrong_sink(self, tmp_path: Path) -> None:
        """Of sinks that come from a variable, the variable is named."""
        sinks = '[{"name": "gate", "url": "http://x"}, {"name": "yard"}]'

        problems = refused(tmp_path, f"[[sinks]]\n{SINK}", {"WATCHER_SINKS": sinks})

        assert ["WATCHER_SINKS url (number 2) is missing; add it."] == problems


class TestSentences:
    """What is said of wrong settings."""

    def test_all_at_once(self, tmp_path: Path) -> None:
        """Problems of every kind and source are told together, each in a line of its own."""
        problems = refused(
            tmp_path,
            "watch = 'poll'\n_x = 1\n[folders]\ndata = 'inbox/data'\n[inbox]\nsetle_seconds = 3\nmax_megabytes = 0\n"
            "[engines.opanai]\nx = 1\n[[sinks]]\nname = 'A'\n[[sinks]]\nnmae = 'b'\nurl = 'ftp://x'\n",
            {"WATCHER_LOGS__LEVEL": "loud", "WATCHER_LOG__LEVEL": "info", "OPENAI_API_KEY": "a b"},
        )

        assert [
            "WATCHER_LOG__LEVEL is not a setting; did you mean WATCHER_LOGS__LEVEL?",
            (
                "[_x] is not a setting; remove it, or write one of folders, inbox, reading, engines, plates,"
                " quarantine, register, logs, sinks."
            ),
            "[inbox] max_megabytes must be greater than 0; correct it, or leave it out for the default, 20.",
            "[inbox] setle_seconds is not a setting; did you mean [inbox] settle_seconds?",
            (
                "OPENAI_API_KEY must be plain characters on one line, without spaces;"
                " correct it, or leave it out for the default."
            ),
            (
                "WATCHER_LOGS__LEVEL must be 'debug', 'info', 'warning', 'error' or 'critical';"
                ' correct it, or leave it out for the default, "info".'
            ),
            "[[sinks]] name (number 1) must be a name of small letters, digits, - and _; correct it.",
            "[[sinks]] url (number 1) is missing; add it.",
            "[[sinks]] name (number 2) is missing; add it.",
            (
                "[[sinks]] url (number 2) must be an address that begins with https:// or http:// and holds neither a"
                " user name nor a #; correct it."
            ),
            "[[sinks]] nmae (number 2) is not a setting; did you mean [[sinks]] name (number 2)?",
            "[watch] is not a setting; write it as [inbox] watch.",
            "[folders] data lies inside [folders] inbox; put them beside each other.",
            "[engines.opanai] is for an engine that is not asked; did you mean [engines.openai]?",
        ] == problems

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("inbox = 3", "[inbox] must be a section;"),
            ("reading = 3", "[reading] must be a section;"),
            ("engines.mine = 3", "[engines.mine] must be a section;"),
            ("engines.openai = 3", "[engines.openai] must be a section;"),
            ("sinks = 3", "[[sinks]] must be a valid list; correct it, or leave it out for the default, []."),
            ("sinks = [3]", "[[sinks]] (number 1) must be a section;"),
            (
                "[inbox]\nignore = 3",
                "[inbox] ignore must be a valid list; correct it, or leave it out for the default.",
            ),
            ("[inbox]\nignore = ['a/b']", "[inbox] ignore must be a file name or shell pattern without a slash;"),
            ("[inbox]\ntimestamps = ['gps']", "[inbox] timestamps must be 'sidecar', 'arrival', 'exif' or 'mtime';"),
            ("[reading]\nengines = ['a', 'a']", "[reading] engines must not name anything twice;"),
            ("[reading]\nreaders = true", "[reading] readers must be a number;"),
            ("[reading]\nreaders = 65", "[reading] readers must be less than or equal to 64;"),
            ("[reading]\nbelievable = 80", "[reading] believable must be less than or equal to 1;"),
            ("[reading]\ndeadline_seconds = 0", "[reading] deadline_seconds must be greater than 0;"),
            ("[inbox]\nsettle_seconds = -1", "[inbox] settle_seconds must be greater than or equal to 0;"),
            ("[inbox]\nsettle_seconds = inf", "[inbox] settle_seconds must be "),
            ("[inbox]\nsettle_seconds = nan", "[inbox] settle_seconds must be "),
            ("[inbox]\nduplicate_window_hours = 1e9", "[inbox] duplicate_window_hours must be less than or equal to "),
            ("[engines.openai]\nmodels = []", "[engines.openai] models must name at least one;"),
            ("[engines.openai]\nlong_side = 1", "[engines.openai] long_side must be greater than or equal to 64;"),
            ("[engines.openai]\nbase_url = 'https://me:word@x'", "[engines.openai] base_url must be an address that"),
            ("[engines.openai]\nbase_url = 'https://x\\ny'", "[engines.openai] base_url must be an address that"),
            ("[engines.openai]\napi_key = 3", "[engines.openai] api_key must be a valid string;"),
            ("[engines.mine]\napi_key = 'a b'", "[engines.mine] api_key must be plain characters on one line,"),
            ("[engines.tesseract]\npsm = [0]", "[engines.tesseract] psm must be greater than or equal to 3;"),
            ("[plates]\ncountries = ['Spain']", "[plates] countries must be codes of countries, such as ES (Spain)"),
            ("[plates]\ncountries = ['ES', 'UK']", "[plates] countries must be codes of countries, such as "),
            ("[plates]\ncountries = ['?']", "[plates] countries must be codes of countries, such as ES (Spain);"),
            ("[plates]\ncountries = ['es', 'ES']", "[plates] countries must not name anything twice;"),
            ('[folders]\ndata = "a\\u0000b"', "[folders] data must not contain a NUL character;"),
            (f"[[sinks]]\n{SINK}[[sinks]]\n{SINK}kind='mail'", "[[sinks]] must each have a name of their own;"),
            ("__pydantic_self__ = 3", "[__pydantic_self__] is not a setting;"),
            ("_secrets_dir = '/etc'", "[_secrets_dir] is not a setting;"),
        ],
    )
    def test_one(self, tmp_path: Path, text: str, expected: str) -> None:
        """Each wrong value gives one sentence that begins with its key and has a remedy."""
        (only,) = refused(tmp_path, text)

        assert only.startswith(expected)
        assert only.endswith(".")
        assert "; " in only

    @pytest.mark.parametrize(
        "key",
        [
            "[logs]\nlevel",
            "[inbox]\nwatch",
            "[inbox]\nsettle_seconds",
            "[reading]\nengines",
            "[engines.openai]\nbase_url",
            "[engines.openai]\nmodels",
            "[plates]\ncountries",
            "[plates]\nseparators",
            "[[sinks]]\nname",
            "[[sinks]]\nsecret",
            "zzz",
        ],
    )
    def test_no_value_is_repeated(self, tmp_path: Path, key: str) -> None:
        """A secret that was written in the wrong place does not come back in the message."""
        secret = "sk-Proj 0123456789ABCDEF/#@"

        problems = refused(tmp_path, f'{key} = "{secret}"\n')

        assert "0123456789ABCDEF" not in "\n".join(problems)

    @pytest.mark.parametrize("name", ["inbox", "uploads", "data"])
    def test_secrets_are_not_printed(self, tmp_path: Path, name: str) -> None:
        """Printing the settings shows no secret, not even that of an engine that is not ours."""
        settings = loaded(
            tmp_path,
            f"[folders]\n{name} = 'x'\n[engines.mine]\napi_key = 'sesame'\n[[sinks]]\n{SINK}secret = 'sesame'\n",
        )

        assert "sesame" not in repr(settings) + str(settings)
        assert {"mine": "sesame"} == settings.engines.secrets()


class TestEngines:
    """Who reads, with which options."""

    @pytest.mark.parametrize("text", ["engines = ['openai']", "engines = 'openai'"])
    def test_only_openai_without_a_key(self, tmp_path: Path, text: str) -> None:
        """With nobody else to ask, a missing key is an error that says where the key goes."""
        assert [
            '[reading] engines asks only openai, which has no key; set OPENAI_API_KEY or add "rapidocr".'
        ] == refused(tmp_path, f"[reading]\n{text}\n")

    def test_only_openai_with_a_key(self, tmp_path: Path) -> None:
        """With a key, openai may be the only one."""
        settings = loaded(tmp_path, "[reading]\nengines = ['openai']\n", {"OPENAI_API_KEY": "sk"})

        assert ("openai",) == settings.reading.engines

    @pytest.mark.parametrize("engines", ["[]", "['openai', 'tesseract']"])
    def test_openai_among_others_without_a_key(self, tmp_path: Path, engines: str) -> None:
        """With somebody else to ask, or nobody wanted, a missing key is no error."""
        assert {} == loaded(tmp_path, f"[reading]\nengines = {engines}\n").engines.secrets()

    def test_options(self) -> None:
        """An engine is handed its options without its key, and nobody can change them through it."""
        engines = EngineSettings.model_validate(
            {"mine": {"a": 1, "api_key": "k"}, "openai": {"api_key": SecretStr("s")}}
        )

        engines.options("mine")["a"] = 2

        assert {"a": 1} == engines.options("mine")
        assert {"models", "base_url", "detail", "long_side"} == set(engines.options("openai"))
        assert {} == engines.options("copy")
        assert {"mine": "k", "openai": "s"} == engines.secrets()

    def test_section_of_an_engine_that_rests(self, tmp_path: Path) -> None:
        """The options of an engine that is not asked at the moment may stay in the file."""
        settings = loaded(
            tmp_path, "[engines.abacus]\nx = 1\n[engines.openai2]\ny = 1\n[reading]\nengines = ['openai2']"
        )

        assert {"x": 1} == settings.engines.options("abacus")
        assert {"y": 1} == settings.engines.options("openai2")

    def test_engines_that_there_are_not(self, tmp_path: Path) -> None:
        """Where it is known which engines there are, all others are told, with the other mistakes, and each once."""
        path = tmp_path / "given.toml"
        path.write_text(
            "[engines.foo]\nx = 1\n[engines.magic]\n[engines.mine]\n[inbox]\nwach = 'poll'\n", encoding="utf-8"
        )
        variables = {"WATCHER_READING__ENGINES": "magic,magic,teseract,mine,A b,openai"}
        with pytest.raises(SettingsInvalid) as caught:
            load(config=path, environment=variables, engines=["mine", "yours"])

        assert [
            (
                "WATCHER_READING__ENGINES names magic, which is no engine;"
                " set it to some of mine, openai, rapidocr, tesseract, yours."
            ),
            "WATCHER_READING__ENGINES names teseract, which is no engine; did you mean tesseract?",
            "[engines.foo] is for an engine that there is not; remove it, or install that engine.",
            "[inbox] wach is not a setting; did you mean [inbox] watch?",
        ] == sorted(line for line in caught.value.reason.splitlines() if "must" not in line)

    def test_engines_that_there_are(self, tmp_path: Path) -> None:
        """An engine of others may be asked, or rest, with its options; the shipped list is always right."""
        path = tmp_path / "given.toml"
        path.write_text("[engines.mine]\nx = 1\n[engines.yours]\n", encoding="utf-8")

        assert {"x": 1} == load(config=path, environment={}, engines=["mine", "yours"]).engines.options("mine")
        variables = {"WATCHER_READING__ENGINES": "mine"}
        assert ("mine",) == load(config=path, environment=variables, engines=["mine", "yours"]).reading.engines

    def test_section_of_the_local_reader(self, tmp_path: Path) -> None:
        """There is nothing to set in it; where countries go is said."""
        assert {} == loaded(tmp_path, "[engines.rapidocr]\n").engines.options("rapidocr")
        assert [
            "[engines.rapidocr] countries is not a setting; write it as [plates] countries.",
            "[engines.rapidocr] threads is not a setting; remove it.",
        ] == refused(tmp_path, "[engines.rapidocr]\ncountries = ['ES']\nthreads = 2\n")


class TestFolders:
    """Where things are."""

    def test_relative(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative folder lies below the working directory at the time of loading, an absolute one where it says."""
        monkeypatch.chdir(tmp_path)

        folders = loaded(tmp_path, "[folders]\ninbox = 'in'\ndata = '/srv/data'\n").folders

        assert (tmp_path / "in", Path("/srv/data")) == (folders.inbox, folders.data)

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (
                "timeout_seconds = 10.5",
                "timeout_seconds must be less than or equal to 10; correct it, or leave it out for the default, 10.",
            ),
            (
                "ca_file = 'gate.pem'",
                "ca_file must be a path that begins with a slash; correct it, or leave it out for the default.",
            ),
        ],
    )
    def test_bounds_of_a_sink(self, tmp_path: Path, line: str, expected: str) -> None:
        """No delivery may outlast an orderly stop, and certificates are found from every folder."""
        assert [f"[[sinks]] {expected}".replace(" must", " (number 1) must")] == refused(
            tmp_path, f"[[sinks]]\n{SINK}{line}\n"
        )

    def test_certificates_of_a_sink(self, tmp_path: Path) -> None:
        """A receiver of one's own may have certificates of one's own."""
        (sink,) = loaded(tmp_path, f"[[sinks]]\n{SINK}ca_file = '/etc/gate.pem'\n").sinks

        assert Path("/etc/gate.pem") == sink.ca_file

    @pytest.mark.parametrize(
        ("inbox", "uploads", "data", "expected"),
        [
            ("/a", "/b", "/c", []),
            ("/a", "/ab", "/abc", []),
            ("/a", "/x/../a/", "/c", ["[folders] inbox and [folders] uploads are both /a; give each its own."]),
            ("/a", "/a/b", "/c", ["[folders] uploads lies inside [folders] inbox; put them beside each other."]),
            ("/c/a", "/b", "/c", ["[folders] inbox lies inside [folders] data; put them beside each other."]),
        ],
    )
    def test_apart(self, inbox: str, uploads: str, data: str, expected: list[str]) -> None:
        """No two folders may be the same or one inside the other, however they are written."""
        folders = FolderSettings(inbox=Path(inbox), uploads=Path(uploads), data=Path(data))

        assert expected == check_folders(folders)


class TestAnything:
    """Whatever an operator writes, he gets settings or sentences."""

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.dictionaries(
            st.sampled_from(["inbox", "reading", "engines", "sinks", "logs", "folders", "_x", "zz"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: (
                    st.lists(inner) | st.dictionaries(st.sampled_from(["watch", "engines", "name", "x"]), inner)
                ),
            ),
        )
    )
    def test_overrides(self, overrides: dict[str, Any]) -> None:
        """No nesting of values makes anything but settings or an error with whole sentences."""
        try:
            settings = load(config=None, environment={}, overrides=overrides, places=())
        except SettingsInvalid as error:
            assert all(line.endswith((".", "?")) for line in error.reason.splitlines())  # noqa: PT017 - either will do
        else:
            assert isinstance(settings.reading, ReadingSettings)


def test_relative_folders_belong_to_the_home_and_the_file_is_looked_for_there(tmp_path: Path) -> None:
    """`./run` names its checkout as home: relative folders and the file lie below it, absolute folders stay."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "watcher.toml").write_text('[folders]\ndata = "kept"\nuploads = "/srv/photos"\n')

    folders = load(config=None, environment={"WATCHER_HOME": str(tmp_path)}).folders

    assert (tmp_path / "inbox", Path("/srv/photos"), tmp_path / "kept") == (
        folders.inbox,
        folders.uploads,
        folders.data,
    )
