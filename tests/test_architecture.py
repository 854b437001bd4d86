"""The shape of the product: who imports whom, who may do what to the world, and what must not exist.

A rule that is broken says so in one sentence for each place. The lists at the top are the rules themselves: a new room
is put on its line in `LINES`; a new place for a side effect goes into `EFFECTS`, with its reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.sources import PACKAGE, ROOT, Module, Use, modules
from watcher.logs import EVENTS


def words(text: str) -> frozenset[str]:
    """Return the words of *text*."""
    return frozenset(text.split())


LINES = tuple(
    words(line)
    for line in """
        cli demo
        doctor layout progress session tryout verify
        daemon reports
        premises vitals
        bootstrap places
        chain keeper mending options worker
        flow lanes
        chambers chronicle inbox intake notify reader reading register verdicts
        arrivals breaker cells child drawings durable engines images journal pictures plates service sidecar sinks wire
        facts lock logs settings signals
        clocks deadline formats model
        errors
    """.strip().splitlines()
)
"""Top to bottom: a room, which is a module or a folder, imports only from lines below its own."""


@dataclass(frozen=True)
class Effect:
    """Something done to the world: the *names* that do it, and the *places* that may, each with its reason.

    A place is a file, or a folder with a slash at its end.
    """

    what: str
    names: frozenset[str]
    places: Mapping[str, str]


EFFECTS = (
    Effect(
        "writes, names, removes or syncs files",
        words("""os.rename os.renames os.replace os.link os.symlink os.unlink os.remove os.rmdir os.removedirs
            os.truncate os.ftruncate os.fsync os.fdatasync os.sync os.write os.pwrite os.writev
            os.copy_file_range os.sendfile
            os.chmod os.fchmod os.chown os.fchown os.utime os.mkdir os.makedirs os.mkfifo os.O_CREAT os.O_WRONLY
            os.O_RDWR os.O_TRUNC os.O_APPEND os.O_TMPFILE shutil.rmtree shutil.copy shutil.copy2 shutil.copyfile
            shutil.copytree tempfile ctypes"""),
        {
            "durable/": "the disk acts that survive a power cut",
            "register/": "appends to its own file, and cuts its own half line",
            "child/": "the private folder of a child, and the limits it sets on itself",
            "lock.py": "the lock, with a process id in it",
            "premises.py": "the runtime folders",
            "demo.py": "plays the camera",
        },
    ),
    Effect(
        "lists folders or hears file events",
        words("os.scandir os.listdir os.walk os.fwalk glob watchdog"),
        {
            "inbox/": "looks at the inbox",
            "intake/": "sweeps its own copies in uploads/, and bounds the quarantine",
            "verify.py": "compares uploads/ with the journal",
            "demo.py": "looks at what came out",
        },
    ),
    Effect("talks to SQLite", words("sqlite3"), {"journal/": "the journal"}),
    Effect(
        "starts, limits or kills processes",
        words("""subprocess multiprocessing concurrent.futures.ProcessPoolExecutor resource pty os.fork os.forkpty
            os.system os.popen os.kill os.killpg os.execv os.execve os.execvp os.posix_spawn os.spawnv
            os.pidfd_open"""),
        {
            "child/": "child processes",
            "cli.py": "becomes the program that a command is another name for",
            "demo.py": "starts the daemon",
        },
    ),
    Effect(
        "talks to a network",
        words("socket ssl httpx2 httpcore2 openai http.client urllib.request ftplib smtplib requests asyncio"),
        {
            "engines/openai/": "asks the API, in the network child",
            "sinks/webhook/": "tells the receiver",
            "service.py": "the datagram socket of the service manager",
            "logs/journald.py": "the datagram socket of the journal",
        },
    ),
    Effect(
        "uses threads, signals, locks or selectors",
        words("threading _thread concurrent.futures.ThreadPoolExecutor signal fcntl select selectors queue"),
        {
            "daemon.py": "the life of the process: its threads and what ends them",
            "signals.py": "hears the signals in a thread of its own",
            "lock.py": "one process per data folder",
            "bootstrap.py": "makes the bell that the inbox rings for the keeper",
            "lanes.py": "the bell of a worker's loop",
            "inbox/": "the observer's event, and the lease test",
            "child/": "waits for pipes, kills its children, is told to end",
            "register/": "the lock beside the register",
            "durable/": "waits for the disk on several files at once",
            "journal/": "one connection, used by all lanes",
            "breaker.py": "its count, shared by the readers",
            "deadline.py": "bounds a look at a share that may be dead",
            "verify.py": "waits for the daemon to write rows",
            "demo.py": "ends the daemon",
        },
    ),
    Effect(
        "asks what time it is, or waits",
        words("""time.time time.time_ns time.localtime time.gmtime time.strftime time.sleep datetime.datetime.now
            datetime.datetime.utcnow datetime.datetime.today datetime.date.today"""),
        {
            "clocks.py": "the clocks that are handed to everybody else",
            "register/": "the default for how it waits for its lock; tests hand in their own",
            "demo.py": "waits for the daemon",
        },
    ),
    Effect(
        "asks the monotonic clock",
        words("time.monotonic time.monotonic_ns time.perf_counter time.process_time"),
        {
            "clocks.py": "the clocks that are handed to everybody else",
            "child/": "the deadline of a call",
            "engines/": "how long a reading took, and its deadline",
            "reading.py": "how long a reading took",
            "notify.py": "how long a delivery took",
            "sinks/": "the deadline of a delivery",
            "demo.py": "waits for the daemon",
        },
    ),
    Effect(
        "reads the environment",
        words("os.environ os.environb os.getenv os.putenv"),
        {"settings/": "the configuration", "demo.py": "starts the daemon without the settings of this one"},
    ),
    Effect(
        "writes to standard output or a terminal",
        words("print input typer.echo typer.secho rich sys.stdout sys.stderr sys.stdin"),
        {"cli.py": "the commands", "progress.py": "the progress bar of `once`", "demo.py": "says what it shows"},
    ),
    Effect(
        "touches pixels",
        words("PIL pytesseract rapidocr onnxruntime numpy cv2"),
        {
            "pictures.py": "decodes and encodes, in a child",
            "drawings.py": "draws what was read on the picture, in a child",
            "engines/": "read, in a child",
            "demo.py": "paints the plates that it shows",
        },
    ),
)

WRITING_METHODS = words("write_text write_bytes touch symlink_to hardlink_to mkdir rmdir rename")
"""Methods of paths that write, whatever they are called on; `unlink` and `replace` have other meanings too."""

LAZY = {
    "engines/__init__.py": "an engine is imported where it is configured",
    "sinks/__init__.py": "likewise a sink",
    "child/cell.py": "a child is told by name what it runs",
}
"""Files that may import by name or inside a function."""

BROAD = {
    "worker.py": "the one place that catches what it does not know",
    "child/cell.py": "the loop in the child, which answers with the trace",
    "daemon.py": "a thread cannot raise in the main thread: it hands over what the main thread then raises",
}
"""Files that may catch everything and go on; elsewhere it must be raised again."""

LONG_MODULE, LONG_FUNCTION = 250, 50
TOO_LONG: Mapping[str, str] = {}
"""Files, and functions as `file:name`, that may be longer in lines, each with its reason."""

UNTESTED = {"model": "facts without behaviour"}
"""Rooms without a test file of their own, each with its reason."""

MUST_NOT_EXIST = words("shutil.move eval exec compile pickle marshal typing.TYPE_CHECKING")
SAYS_NOTHING = words("utils helpers common base constants manager handler misc")
CLASSES_THAT_SAY_NOTHING = ("Manager", "Service", "Handler", "Processor", "Helper")
EVERYTHING = words("Exception BaseException")
LEVELS = words("debug info warning warn error critical exception fatal log msg")

ALL = modules()
ROOMS = sorted({module.room for module in ALL} - {""})


def agree(complaints: Iterable[str]) -> None:
    """Fail with all *complaints*, one a line, if there are any."""
    if said := "\n".join(complaints):
        pytest.fail(said, pytrace=False)


def line_of(room: str) -> int:
    """Return the line that *room* is on, counted from the top."""
    return next((number for number, rooms in enumerate(LINES) if room in rooms), -1)


def lies_in(module: Module, place: str) -> bool:
    """Whether *module* is the file *place*, or lies in that folder."""
    return module.path == place or (place.endswith("/") and module.path.startswith(place))


def all_uses(module: Module) -> Iterator[Use]:
    """Yield the uses of *module*; writing through a path, or opening to write, counts as `os.write`."""
    yield from module.uses()
    for call in module.calls():
        by_method = isinstance(call.func, ast.Attribute) and call.func.attr in WRITING_METHODS
        if by_method or opens_to_write(module, call):
            yield Use("os.write", call.lineno)


def opens_to_write(module: Module, call: ast.Call) -> bool:
    """Whether *call* is an `open`, built in or a method, with a mode that writes."""
    name = module.named(call.func)
    if name not in {"open", "io.open", "os.fdopen"} and not re.fullmatch(r"\..*open", name):
        return False
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    modes = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return any(re.fullmatch(r"[rwaxbt+]*[wax+][rwaxbt+]*", mode) for mode in modes)


def test_every_room_has_its_line() -> None:
    """Every module and folder of the package is on exactly one line, and every room on a line exists."""
    listed = [room for line in LINES for room in line]

    agree(f"Put {room} on its line in LINES, tests/test_architecture.py." for room in ROOMS if room not in listed)
    agree(f"{room} does not exist; take it out of LINES." for room in listed if room not in ROOMS)
    agree(f"{room} is on two lines." for room in ROOMS if listed.count(room) > 1)


def test_the_map_names_every_room() -> None:
    """`CONTRIBUTING.md` holds the living map: a room that is not on it cannot be found."""
    said = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

    agree(f"Put `{room}` on the map in CONTRIBUTING.md." for room in ROOMS if not re.search(f"`{room}(/|`)", said))


def test_imports_go_down() -> None:
    """No room imports from its own line or from one above it."""
    agree(
        f"{module.path}:{line} imports {room}, which is not on a line below {module.room}."
        for module in ALL
        for room, line in module.rooms_imported()
        if line_of(room) <= line_of(module.room)
    )


def test_no_imports_run_in_circles() -> None:
    """The files inside one folder do not import each other in a circle either."""
    files = {module.dotted for module in ALL}
    graph = {
        module.dotted: {name if (name := use.name) in files else name.rpartition(".")[0] for use in module.imports()}
        & files
        for module in ALL
    }
    clear: set[str] = set()

    def circles(dotted: str, way: tuple[str, ...]) -> Iterator[str]:
        if dotted in way:
            yield " imports ".join((*way[way.index(dotted) :], dotted))
        elif dotted not in clear:
            for below in sorted(graph[dotted]):
                yield from circles(below, (*way, dotted))
            clear.add(dotted)

    agree(circle for dotted in graph for circle in circles(dotted, ()))


def test_imports_stand_at_the_top() -> None:
    """No import hides in a function or a condition, behind a dot or behind a name, but where a list says why."""
    wrong = []
    for module in ALL:
        if module.path not in LAZY:
            top = {node.lineno for node in module.tree.body}
            hidden = (use for use in module.imports() if use.line not in top or use.name.startswith("."))
            named = (use for use in module.uses() if use.within(words("importlib.import_module __import__")))
            wrong += [f"{module.path}:{use.line} hides an import." for use in (*hidden, *named)]

    agree(wrong)


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.what)
def test_side_effects_stay_where_they_belong(effect: Effect) -> None:
    """Each kind of effect on the world has the places that may have it, and no other has."""
    agree(
        f"{module.path}:{use.line} uses {use.name}: only a place in EFFECTS {effect.what}."
        for module in ALL
        if not any(lies_in(module, place) for place in effect.places)
        for use in all_uses(module)
        if use.within(effect.names)
    )


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.what)
def test_no_leave_is_kept_that_nobody_needs(effect: Effect) -> None:
    """A single file that no longer has an effect loses the leave for it."""
    used = {module.path for module in ALL for use in all_uses(module) if use.within(effect.names)}

    agree(
        f"{place} no longer {effect.what}; take it out of EFFECTS."
        for place in effect.places
        if place not in used and not place.endswith("/")
    )


def logged() -> Iterator[tuple[Module, ast.Call, str]]:
    """Yield every call of a logger, with the event if it is literal, or else nothing."""
    for module in ALL:
        for call in module.calls():
            if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS:
                first = call.args[0] if call.args else None
                if ast.unparse(call.func.value).rpartition(".")[2] == "log":
                    yield module, call, str(first.value) if isinstance(first, ast.Constant) else ""


def test_every_logger_is_called_log() -> None:
    """So that the rules for event names see every line that is logged."""
    agree(
        f"{module.path}:{call.lineno} gets a logger that is not called log."
        for module in ALL
        for call in module.calls()
        if module.named(call.func) == "structlog.get_logger" and "\nlog = structlog.get_logger()\n" not in module.text
    )


def test_event_names_are_literal_and_declared() -> None:
    """What is logged has a literal name from the closed list, and its data are keys."""
    agree(
        f"{module.path}:{call.lineno} logs {ast.unparse(call)[:60]!r}, which is not in watcher.logs.EVENTS."
        for module, call, event in logged()
        if event not in EVENTS or len(call.args) > 1
    )


def test_every_declared_event_is_logged() -> None:
    """The closed list holds nothing that is never said; each name is `module.participle` and has a sentence."""
    used = {event for _, _, event in logged()}

    agree(
        f"{name} is not `module.participle`." for name in EVENTS if not re.fullmatch(r"[a-z]+\.[a-z]+(_[a-z]+)*", name)
    )
    agree(f"{name} needs a sentence." for name, said in EVENTS.items() if not re.fullmatch(r"[A-Z].*\.", said))
    agree(f"{name} is never logged; take it out of EVENTS." for name in EVENTS if name not in used)


def test_everything_public_says_what_it_is() -> None:
    """Every module, every class and every public function that is not inside another one has a docstring."""
    wrong = [f"{module.path} has no docstring." for module in ALL if not ast.get_docstring(module.tree)]
    for module in ALL:
        inside = {id(one) for node in module.functions() for one in ast.walk(node) if one is not node}
        public = [node for node in module.functions() if not node.name.startswith("_") and id(node) not in inside]
        wrong += [
            f"{module.path}:{node.lineno} {node.name} has no docstring."
            for node in (*public, *module.classes())
            if not ast.get_docstring(node)
        ]

    agree(wrong)


def test_names_say_something() -> None:
    """Modules are named after what they hold, classes after what they are."""
    agree(
        f"{module.path} could hold anything; name it after what it holds."
        for module in ALL
        if {part.strip("_") for part in module.dotted.split(".")} & SAYS_NOTHING
    )
    agree(
        f"{module.path}:{node.lineno} calls a class {node.name}; name it after what it is."
        for module in ALL
        for node in module.classes()
        if node.name.endswith(CLASSES_THAT_SAY_NOTHING)
    )


def test_what_must_not_exist_does_not() -> None:
    """No `shutil.move`, no code from data, no asynchronous twin, no `global`, no assertion in the place of an error."""
    agree(
        f"{module.path}:{use.line} uses {use.name}."
        for module in ALL
        for use in module.uses()
        if use.within(MUST_NOT_EXIST)
    )
    agree(
        f"{module.path}:{node.lineno} has {ast.unparse(node).splitlines()[0]!r}."
        for module in ALL
        for node in module.nodes
        if isinstance(node, ast.Global | ast.AsyncFunctionDef | ast.Assert)
    )


def test_nothing_of_ours_is_inherited() -> None:
    """Our classes are put together and not derived from each other; errors are."""
    ours = {f"{module.dotted}.{node.name}" for module in ALL for node in module.classes()}

    agree(
        f"{module.path}:{node.lineno} derives {node.name} from {base}."
        for module in ALL
        if module.room != "errors"
        for node in module.classes()
        for base in (module.named(one) or f"{module.dotted}.{ast.unparse(one)}" for one in node.bases)
        if base in ours and not base.startswith(f"{PACKAGE}.errors.")
    )


def test_only_listed_places_catch_everything() -> None:
    """What is caught without being known is raised again, but where a list says why not."""
    agree(
        f"{module.path}:{node.lineno} catches everything and goes on."
        for module in ALL
        if module.path not in BROAD
        for node in module.handlers()
        if node.type is None or {one.id for one in ast.walk(node.type) if isinstance(one, ast.Name)} & EVERYTHING
        if ast.unparse(node.body[-1]) != "raise"
    )
    agree(
        f"{module.path}:{call.lineno} suppresses everything."
        for module in ALL
        for call in module.calls()
        if module.named(call.func) == "contextlib.suppress" and {module.named(one) for one in call.args} & EVERYTHING
    )


def test_nothing_caught_is_passed_over() -> None:
    """An `except` does something; where there is nothing to do, `contextlib.suppress` says so."""
    agree(
        f"{module.path}:{node.lineno} catches something and does nothing; let contextlib.suppress say so."
        for module in ALL
        for node in module.handlers()
        if {ast.unparse(one) for one in node.body} <= {"pass", "..."}
    )


def test_modules_and_functions_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    """A module has at most 250 lines and a function at most 50, but those with a reason, which are printed."""
    lengths = {module.path: len(module.text.splitlines()) for module in ALL}
    functions = {
        f"{module.path}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module in ALL
        for node in module.functions()
    }
    long = {name: length for name, length in lengths.items() if length > LONG_MODULE}
    long |= {name: length for name, length in functions.items() if length > LONG_FUNCTION}
    with capsys.disabled():
        for name in sorted(long.keys() & TOO_LONG.keys()):
            print(f"\n{name} has {long[name]} lines: {TOO_LONG[name]}")  # noqa: T201 (it is the point)

    agree(f"{name} has {length} lines." for name, length in long.items() if name not in TOO_LONG)
    agree(f"{name} is short now; take it out of TOO_LONG." for name in TOO_LONG if name not in long)


def test_every_room_has_its_tests() -> None:
    """A room has the test file of its name, or some in a folder of its name; an adapter has its own."""
    tests = ROOT / "tests"
    files = [module.path.removesuffix(".py").removesuffix("/__init__").split("/") for module in ALL]
    adapters = {tuple(parts[:2]) for parts in files if parts[0] in {"engines", "sinks"} and len(parts) > 1}

    agree(
        f"Write tests/test_{room}.py."
        for room in ROOMS
        if room not in UNTESTED
        if not (tests / f"test_{room}.py").is_file() and not any((tests / room).glob("test_*.py"))
    )
    agree(
        f"Write tests/{kind}/test_{name}.py."
        for kind, name in sorted(adapters)
        if not (tests / kind / f"test_{name}.py").is_file()
    )


def test_every_test_says_what_it_proves() -> None:
    """Every test of this project has a docstring; none sleeps, and none puts something in the place of our code."""
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        module = Module("tests", path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        tests = [node for node in module.functions() if node.name.startswith("test_")]
        wrong += [
            f"{module.path}:{node.lineno} {node.name} does not say what it proves."
            for node in tests
            if not ast.get_docstring(node)
        ]
        gone = (use for use in module.uses() if use.within(words("time.sleep unittest.mock")))
        wrong += [f"{module.path}:{use.line} uses {use.name}." for use in gone]

    agree(wrong)


SAMPLE = Module(
    "watcher.sample",
    "sample.py",
    "import os.path as where, os\nfrom os import rename as give\nfrom datetime import datetime\nimport xml.dom\n"
    "def f(socket, p):\n    give(1); os.path.join(); datetime.now(); socket.send(); xml.dom.x(); print()\n"
    "    p.write_text(''); open(p, 'rb'); open(p, mode='a'); p.open('w+'); p.open('r'); where.join('w')\n",
)


def test_the_reader_of_sources_sees_through_imports() -> None:
    """Names are followed to what they were imported from; a variable that is called like a module is no use of it."""
    names = {use.name for use in SAMPLE.uses()}

    assert {"os.rename", "os.path.join", "datetime.datetime.now", "xml.dom.x", "print"} <= names
    assert not any(use.within(words("socket")) for use in SAMPLE.uses())
    assert Use("os.path.join", 1).within(words("os.path"))
    assert not Use("os.pathconf", 1).within(words("os.path"))


def test_the_reader_of_sources_sees_writing_through_paths() -> None:
    """Opening to write counts as writing and opening to read does not; methods of paths that write do."""
    lines = [use.line for use in all_uses(SAMPLE) if use.name == "os.write"]
    expected = [7, 7, 7]

    assert expected == lines
