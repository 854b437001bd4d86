"""The logs: one event a line whatever is in it, nothing secret, and never the reason why an act fails."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import os
import re
import socket
import string
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TextIO

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from watcher.logs import EVENTS, Lines, configure, destination
from watcher.logs.journald import datagram
from watcher.logs.values import DEEPEST, HIDDEN, LONGEST, MOST
from watcher.model import NO_PLATE, Picture, Reading

PACKAGE = Path(__file__).parent.parent / "watcher"
NASTY = "a\nb\r\x1b[31m\x07\x00\x9b\u2028\u202e\ud800\udcff\"'\\"

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _unchanged() -> Iterator[None]:
    """Leave logging as it was."""
    root, ours = logging.getLogger(), logging.getLogger("watcher")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    structlog.reset_defaults()


def set_up(
    stream: TextIO,
    *,
    format: Literal["auto", "json", "journal", "console"] = "json",  # noqa: A002 - named after the setting
    level: str = "debug",
    plates: Literal["show", "mask"] = "show",
    environment: dict[str, str] | None = None,
    journal: str = "/nonexistent",
    strict: bool = False,
) -> None:
    """Configure the logs with what a test does not care about filled in.

    The handlers with which pytest listens are taken away: they fail over lines that ours does not mind.
    """
    root = logging.getLogger()
    root.handlers[:] = [handler for handler in root.handlers if isinstance(handler, Lines)]
    configure(
        format=format,
        level=level,
        plates=plates,
        stream=stream,
        environment=environment or {},
        socket=journal,
        strict=strict,
    )


def entries(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return what was written, each line of which must be one JSON object."""
    lines = stream.getvalue().split("\n")
    assert "" == lines.pop()
    found = [json.loads(line) for line in lines]
    assert all(isinstance(entry, dict) for entry in found)
    return found


def written(**values: Any) -> dict[str, Any]:
    """Return the entry that comes out as JSON when *values* are logged."""
    stream = io.StringIO()
    set_up(stream)
    log.info("register.appended", **values)
    (entry,) = entries(stream)
    return entry


def unpacked(message: bytes) -> dict[str, str]:
    """Return the fields of a datagram in the native protocol of the journal."""
    found = {}
    while message:
        name, equals, rest = message.partition(b"\n")[0].partition(b"=")
        if equals:
            found[name.decode()] = rest.decode()
            message = message[len(name) + 1 + len(rest) + 1 :]
        else:
            size = struct.unpack("<Q", message[len(name) + 1 : len(name) + 9])[0]
            value = message[len(name) + 9 : len(name) + 9 + size]
            assert size == len(value)
            assert b"\n" == message[len(name) + 9 + size :][:1]
            found[name.decode()] = value.decode()
            message = message[len(name) + 10 + size :]
    return found


def trip(message: str) -> None:
    """Fail."""
    raise ValueError(message)


class TestEvents:
    """The closed list of names."""

    def test_sentences(self) -> None:
        """Every name is `module.participle` and has a sentence that says what it means."""
        for name, sentence in EVENTS.items():
            assert re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", name)
            assert re.fullmatch(r"[A-Z].*\.", sentence)

    def test_every_event_is_declared(self) -> None:
        """Every event that the program logs is a literal name from the list."""
        levels = {"debug", "info", "warning", "error", "critical", "exception"}
        calls = [
            (path.name, call)
            for path in PACKAGE.rglob("*.py")
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr in levels
            and isinstance(call.func.value, ast.Name)
            and call.func.value.id == "log"
        ]

        names = {(path, ast.literal_eval(call.args[0])) for path, call in calls}

        assert names
        assert set() == {(path, name) for path, name in names if name not in EVENTS}

    def test_strict(self) -> None:
        """In tests, a name that is not declared raises where it is logged; otherwise it is simply written."""
        stream = io.StringIO()
        set_up(stream, strict=True)
        log.info("daemon.ready")

        with pytest.raises(ValueError, match=r"'daemon\.redy' is not in watcher\.logs\.EVENTS"):
            log.info("daemon.redy")

        set_up(stream)
        log.info("daemon.redy")
        assert ["daemon.ready", "daemon.redy"] == [entry["event"] for entry in entries(stream)]

    def test_strict_leaves_libraries_alone(self) -> None:
        """What libraries say is not on our list and need not be."""
        stream = io.StringIO()
        set_up(stream, strict=True)

        logging.getLogger("watchdog.observers").warning("Inotify queue overflowed")

        assert ["Inotify queue overflowed"] == [entry["event"] for entry in entries(stream)]


class TestJson:
    """What a machine reads."""

    def test_keys(self) -> None:
        """An entry begins with time, level and event; the time is UTC, ISO 8601 with a Z."""
        before = datetime.now(UTC)

        entry = written(image="m.jpg", plate="ABC1234")

        assert ["timestamp", "level", "event", "image", "plate"] == list(entry)
        assert ("info", "register.appended", "m.jpg", "ABC1234") == tuple(entry.values())[1:]
        assert entry["timestamp"].endswith("Z")
        assert before <= datetime.fromisoformat(entry["timestamp"]) <= datetime.now(UTC)

    def test_bound_keys(self) -> None:
        """What is bound to a logger or to the context is in every line."""
        stream = io.StringIO()
        set_up(stream)

        with structlog.contextvars.bound_contextvars(act="read"):
            log.bind(image="m.jpg").warning("worker.deferred")

        assert [("m.jpg", "read", "warning")] == [(e["image"], e["act"], e["level"]) for e in entries(stream)]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (b"caf\xe9 caf\xc3\xa9", "caf\\xe9 café"),
            (os.fsdecode(b"caf\xe9"), "caf\\xe9"),
            (PurePosixPath("a/b"), "a/b"),
            (1.23456, 1.235),
            (float("nan"), "nan"),
            (float("-inf"), "-inf"),
            (2**63, "0x8000000000000000"),
            (True, True),
            (None, None),
            ((1, 2.00049), [1, 2.0]),
            ({"b": {3: (b"x",)}}, {"b": {"3": ["x"]}}),
            (datetime(2026, 3, 4, 15, 30, 45, tzinfo=UTC), "2026-03-04T15:30:45+00:00"),
            (ValueError("no"), "ValueError: no"),
            ("x\ty", "x\ty"),
            ("\x1b[31m\x9b\u202e\ud83d", "\\x1b[31m\\x9b\\u202e\\ud83d"),
            (range(10**9), "range(0, 1000000000)"),
        ],
    )
    def test_values(self, value: object, expected: object) -> None:
        """Every value comes out plain: bytes and control characters escaped, floats rounded, nothing but JSON."""
        assert expected == written(value=value)["value"]

    def test_facts(self) -> None:
        """A fact is shown field by field, but never the pixels in it."""
        entry = written(reading=Reading("ABC"), picture=Picture(2, 1, pixels=b"123456"), kind=Reading)

        assert "ABC" == entry["reading"]["text"]
        assert {"width": 2, "height": 1} == entry["picture"]
        assert "<class 'watcher.model.Reading'>" == entry["kind"]

    def test_long(self) -> None:
        """Neither a long value nor a long list nor deep nesting makes a long line."""
        nested: list[object] = []
        nested.append(nested)

        entry = written(text_="x" * 10**6, many=list(range(10**6)), deep=nested, wide={str(n): n for n in range(1000)})

        assert "x" * LONGEST + "… (1000000 characters)" == entry["text_"]
        assert list(range(MOST)) == entry["many"]
        assert MOST == len(entry["wide"])
        assert "[nested too deeply]" in json.dumps(entry["deep"])
        assert 2 * DEEPEST >= json.dumps(entry["deep"]).count("[")

    def test_huge_number(self) -> None:
        """A number with more digits than Python is willing to print is shown in hexadecimal."""
        assert written(value=10**5000)["value"].startswith("0x")

    def test_unprintable(self) -> None:
        """An object that cannot be printed does not fail the act that logs it."""

        class Mute:
            def __str__(self) -> str:
                raise RuntimeError("no words")

        assert "<str-error 'no words'>" == written(value=Mute())["value"]

    def test_another_encoding(self, tmp_path: Path) -> None:
        """In a stream that cannot carry every letter, letters are escaped the way JSON does it."""
        path = tmp_path / "log"
        with path.open("w", encoding="latin-1") as stream:
            set_up(stream)
            log.info("register.appended", value="ñ€")

        (line,) = path.read_bytes().splitlines()
        assert b"\\u20ac" in line
        assert "ñ€" == json.loads(line)["value"]

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        st.dictionaries(
            st.text(min_size=1).filter(lambda key: not key.startswith("_")).map("k{}".format),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats()
                | st.binary()
                | st.text(st.characters(exclude_categories=())),
                lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner),
            ),
        ),
        st.text(st.characters(exclude_categories=())),
    )
    def test_anything(self, values: dict[str, Any], event: str) -> None:
        """Whatever is logged makes exactly one line, which is a JSON object, prints harmlessly and is valid UTF-8."""
        stream = io.StringIO()
        set_up(stream)

        log.info(event, **values)

        (entry,) = entries(stream)
        assert {key for key in values if key.isidentifier()} <= entry.keys()
        assert stream.getvalue().encode()
        assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u202e]", stream.getvalue()[:-1])


class TestTraces:
    """Errors that nobody foresaw."""

    @pytest.mark.parametrize("format_", ["json", "console", "journal"])
    def test_no_local_variables(self, format_: Literal["json", "console", "journal"]) -> None:
        """A trace names files, lines and the error, never what variables held."""
        stream = io.StringIO()
        set_up(stream, format=format_)

        secret = bytes.fromhex("736573616d65").decode()

        def fail(hidden: str) -> None:
            trip("it broke" if hidden else "")

        try:
            fail(secret)
        except ValueError:
            log.exception("worker.crashed")

        assert "it broke" in stream.getvalue()
        assert "test_logs.py" in stream.getvalue()
        assert "ValueError" in stream.getvalue()
        assert "sesame" not in stream.getvalue()

    def test_as_data(self) -> None:
        """As JSON a trace is data, in which a secret in the message is hidden too."""
        stream = io.StringIO()
        set_up(stream)

        try:
            trip("refused sk-1234567890abcdef")
        except ValueError:
            log.exception("worker.crashed")

        (entry,) = entries(stream)
        assert [("ValueError", f"refused sk-{HIDDEN}")] == [(e["exc_type"], e["exc_value"]) for e in entry["exception"]]
        assert "test_as_data" == entry["exception"][0]["frames"][0]["name"]

    def test_stack(self) -> None:
        """A stack can be asked for."""
        assert "test_stack" in written(stack_info=True)["stack"]


class TestSecrets:
    """What must never be in a log."""

    @pytest.mark.parametrize(
        "value",
        [
            "sk-proj-0123456789abcdef",
            "Incorrect API key provided: sk-0123456789abcdef.",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "Authorization: Bearer 0123456789abcdef",
            "{'authorization': 'Token 0123456789abcdef'}",
            "api_key=0123456789abcdef",
            'api-key: "0123456789abcdef"',
            "password=0123456789abcdef next",
            "bearer 0123456789abcdef",
            "https://me:0123456789abcdef@gate.example/x",
            b"sk-0123456789abcdef",
            ["sk-0123456789abcdef"],
            {"deep": {"Authorization": "Token 0123456789abcdef"}},
            {"x-api-key": "0123456789abcdef"},
            {"sk-0123456789abcdef": 1},
            {"webhook-signature": ["v1,0123456789abcdef"]},
            ValueError("sk-0123456789abcdef"),
            "x" * (LONGEST - 10) + " sk-0123456789abcdef",
        ],
    )
    def test_in_a_value(self, value: object) -> None:
        """Keys, signatures and passwords are hidden wherever in a value they stand."""
        shown = json.dumps(written(value=value)["value"])

        assert "456789" not in shown
        assert "MfKQ" not in shown

    @pytest.mark.parametrize(
        "key", ["api_key", "secret", "Authorization", "openai_api_key", "password", "token", "x_token"]
    )
    def test_under_a_key(self, key: str) -> None:
        """What such a key names is hidden, whatever it is; that there is none may be seen."""
        assert HIDDEN == written(**{key: "sesame"})[key]
        assert HIDDEN == written(**{key: {"a": ["sesame"]}})[key]
        assert written(**{key: None})[key] is None

    @pytest.mark.parametrize(
        "value", ["risk-assessment-of-today", "desk-0001.jpg", "a secretary", "https://a.example/x@y"]
    )
    def test_no_more_than_that(self, value: str) -> None:
        """Ordinary words and file names stay readable, and a count of tokens is no token."""
        entry = written(value=value, prompt_tokens=7)

        assert (value, 7) == (entry["value"], entry["prompt_tokens"])

    def test_masked_plates(self) -> None:
        """With `plates = "mask"` nothing that was read is written, at whatever depth; whether there was one, is."""
        stream = io.StringIO()
        set_up(stream, plates="mask")
        reading = Reading("ABC1234", candidates=())

        log.info("register.appended", plate="ABC1234", matricula="ABC1234", reading=reading, deep=[{"text": "ABC1234"}])
        log.info("register.appended", plate=NO_PLATE, matricula="", text=None, candidates=["ABC1234"])

        found, nothing = entries(stream)
        assert "ABC1234" not in stream.getvalue()
        assert [HIDDEN, HIDDEN] == [found["plate"], found["matricula"]]
        assert [NO_PLATE, "", None] == [nothing["plate"], nothing["matricula"], nothing["text"]]

    def test_shown_plates(self) -> None:
        """With `plates = "show"` they are written."""
        entry = written(plate="ABC1234", text="B")

        assert ("ABC1234", "B") == (entry["plate"], entry["text"])


class TestLevels:
    """What is written at all."""

    def test_ours(self) -> None:
        """Our lines are written from the level on that is set, which can change while we run."""
        stream = io.StringIO()
        set_up(stream, level="warning")
        log.info("daemon.ready")
        log.warning("settings.warned")
        set_up(stream, level="debug")
        log.debug("child.started")

        assert ["settings.warned", "child.started"] == [entry["event"] for entry in entries(stream)]

    @pytest.mark.parametrize(("level", "expected"), [("debug", ["warning", "error"]), ("error", ["error"])])
    def test_libraries(self, level: str, expected: list[str]) -> None:
        """Lines of libraries go the same way from `warning` on, even if a library wants more of itself."""
        stream = io.StringIO()
        set_up(stream, level=level)
        library = logging.getLogger("test_logs.library")
        library.setLevel(logging.DEBUG)

        for severity in ("info", "warning", "error"):
            getattr(library, severity)("GET %s", "https://me:word@gate.example\nx")

        assert expected == [entry["level"] for entry in entries(stream)]
        assert {f"GET https://{HIDDEN}@gate.example\nx"} == {entry["event"] for entry in entries(stream)}
        assert {"test_logs.library"} == {entry["logger"] for entry in entries(stream)}

    def test_once(self) -> None:
        """Configured again, lines go to the new stream alone, and once."""
        before, after = io.StringIO(), io.StringIO()
        set_up(before)
        set_up(after)

        log.info("daemon.ready")

        assert "" == before.getvalue()
        assert 1 == len(entries(after))
        assert 1 == sum(isinstance(handler, Lines) for handler in logging.getLogger().handlers)


class TestBrokenStreams:
    """Nowhere to write to."""

    def test_closed(self) -> None:
        """A closed stream fails nobody."""
        stream = io.StringIO()
        set_up(stream)
        stream.close()

        log.error("worker.crashed")

    def test_broken_pipe(self) -> None:
        """A pipe whose reader went away fails nobody."""
        reader, writer = os.pipe()
        os.close(reader)
        stream = os.fdopen(writer, "w")
        set_up(stream)

        log.error("worker.crashed")

        with contextlib.suppress(BrokenPipeError):
            stream.close()

    def test_full_disk(self) -> None:
        """A full disk fails nobody."""
        stream = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, and that is expected
        set_up(stream)

        log.error("worker.crashed")

        with contextlib.suppress(OSError):
            stream.close()

    def test_broken_line_of_a_library(self) -> None:
        """A library that formats its message wrongly fails nobody."""
        stream = io.StringIO()
        set_up(stream)

        logging.getLogger("library").warning("%d photos", "many")
        log.info("daemon.ready")

        assert ["daemon.ready"] == [entry["event"] for entry in entries(stream)]


class TestConsole:
    """What a person reads."""

    @pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
    def test_terminal(self, environment: dict[str, str], *, coloured: bool) -> None:
        """In a terminal lines are coloured, unless the person does not want it; nothing logged can move the cursor."""
        master, slave = os.openpty()
        with os.fdopen(slave, "w") as stream:
            set_up(stream, format="auto", environment=environment)
            log.info("inbox.ignored", path=NASTY.encode("utf-8", "surrogatepass"), name=NASTY)
            logging.getLogger("library").warning(NASTY)
            shown = ""
            while shown.count("\r\n") < 2:  # a terminal hands over what it has, which may be less
                shown += os.read(master, 65536).decode()
        os.close(master)

        assert coloured == ("\x1b[" in shown)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown) if coloured else shown
        assert 2 == plain.count("\r\n")
        assert set() == {mark for mark in plain.replace("\r\n", "") if not mark.isprintable()}
        assert 3 == plain.count("\\x1b[31m")

    def test_not_a_terminal(self) -> None:
        """Asked for by name, the same lines go uncoloured into a file, traces and all."""
        stream = io.StringIO()
        set_up(stream, format="console")

        try:
            trip("it\nbroke")
        except ValueError:
            log.exception("worker.crashed", image="m.jpg")

        first, *trace = stream.getvalue().splitlines()
        assert re.fullmatch(r"\S+Z \[error    \] worker\.crashed +image=m\.jpg", first)
        assert "Traceback (most recent call last):" == trace[0]


class TestJournal:
    """What systemd's journal keeps."""

    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Iterator[socket.socket]:
        """Return a socket that listens where a journal would."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(str(tmp_path / "journal"))
            listening.settimeout(10)
            yield listening

    def test_fields(self, receiver: socket.socket) -> None:
        """An entry carries the standard fields and ours, so that one picture can be followed by its name."""
        set_up(io.StringIO(), format="journal", journal=receiver.getsockname())

        log.warning(
            "worker.deferred", image="m.jpg", act="read", seconds=1.5, reason="not now", tried=("a",), code=None
        )

        fields = unpacked(receiver.recv(65536))
        assert (
            'worker.deferred image=m.jpg act=read seconds=1.5 reason="not now" tried="[\\"a\\"]"' == fields["MESSAGE"]
        )
        assert ("4", "matricula-watcher") == (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"])
        assert (__file__, "test_fields") == (fields["CODE_FILE"], fields["CODE_FUNC"])
        assert 0 < int(fields["CODE_LINE"])
        own = {name: value for name, value in fields.items() if name.startswith("WATCHER_")}
        assert {
            "WATCHER_EVENT": "worker.deferred",
            "WATCHER_IMAGE": "m.jpg",
            "WATCHER_ACT": "read",
            "WATCHER_SECONDS": "1.5",
            "WATCHER_REASON": "not now",
            "WATCHER_TRIED": '["a"]',
        } == own

    @pytest.mark.parametrize(
        ("level", "priority"),
        [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2), ("strange", 6)],
    )
    def test_priorities(self, level: str, priority: int) -> None:
        """Our levels are those of syslog."""
        assert str(priority) == unpacked(datagram({"event": "x", "level": level}))["PRIORITY"]

    def test_libraries(self, receiver: socket.socket) -> None:
        """Lines of libraries name the place they come from too."""
        set_up(io.StringIO(), format="journal", journal=receiver.getsockname())

        logging.getLogger("library").error("first\nsecond")

        fields = unpacked(receiver.recv(65536))
        assert ("first\nsecond logger=library", "3") == (fields["MESSAGE"], fields["PRIORITY"])
        assert (__file__, "library") == (fields["CODE_FILE"], fields["WATCHER_LOGGER"])

    def test_nothing_can_be_forged(self, receiver: socket.socket) -> None:
        """A value with line breaks stays one value; keys become names that the journal accepts."""
        set_up(io.StringIO(), format="journal", journal=receiver.getsockname())

        log.info("inbox.ignored", path="x\nPRIORITY=0\nMESSAGE=forged", **{"a b\nc=d" + "e" * 99: "f", "ñ": NASTY})

        fields = unpacked(receiver.recv(65536))
        assert ("6", "x\nPRIORITY=0\nMESSAGE=forged") == (fields["PRIORITY"], fields["WATCHER_PATH"])
        assert fields["MESSAGE"].startswith("inbox.ignored path=")
        assert all(set(name) <= set(string.ascii_uppercase + string.digits + "_") for name in fields)
        assert 64 == max(map(len, fields))

    def test_trace(self, receiver: socket.socket) -> None:
        """A trace stands below the message, in lines."""
        set_up(io.StringIO(), format="journal", journal=receiver.getsockname())

        try:
            trip("it broke")
        except ValueError:
            log.exception("worker.crashed")

        message = unpacked(receiver.recv(65536))["MESSAGE"].splitlines()
        assert ["worker.crashed", "Traceback (most recent call last):"] == message[:2]
        assert "ValueError: it broke" == message[-1]

    @pytest.mark.parametrize("there", [True, False])
    def test_refused(self, receiver: socket.socket, *, there: bool) -> None:
        """A line that the journal does not take, too long or no journal at all, goes to the stream as JSON."""
        stream = io.StringIO()
        set_up(stream, format="journal", journal=receiver.getsockname() if there else "/nonexistent/journal")

        log.info("register.appended", many=[["x" * LONGEST] * MOST] * 4 if there else [])

        assert ["register.appended"] == [entry["event"] for entry in entries(stream)]


class TestDestination:
    """Where lines go when nobody says."""

    def test_journal(self, tmp_path: Path) -> None:
        """To the journal if the stream is what systemd connected to it, and only then."""
        with (tmp_path / "out").open("w") as stream, (tmp_path / "other").open("w") as other:
            status = os.fstat(stream.fileno())
            environment = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}

            assert "journal" == destination(stream, environment)
            assert "json" == destination(other, environment)
            assert "json" == destination(stream, {})

    def test_no_file(self) -> None:
        """As JSON if there is no file behind the stream."""
        assert "json" == destination(io.StringIO(), {"JOURNAL_STREAM": "1:2"})
