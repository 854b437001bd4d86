"""Tests of watcher.child: real child processes that behave, break, and fight back."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.makers import eventually
from watcher.child import cell, messages
from watcher.child.parent import Child, Limits
from watcher.child.process import Process, _fate, _send
from watcher.child.scratch import Scratch
from watcher.errors import (
    ChildLost,
    Deferred,
    EngineRefused,
    EngineUnavailable,
    SettingsInvalid,
    SinkUnavailable,
    WatcherError,
)

ROOT = str(Path(__file__).parent.parent)
SECONDS = 20.0
"""For a call that is to answer; much longer than it takes."""
WORKER = "tests.misbehaving.workers:worker"
LIMITS = Limits(memory_bytes=512 << 20, cpu_seconds=10, file_bytes=4 << 20)
SECRET = {"key": "sk-very-secret"}

Call = Callable[..., tuple[dict[str, Any], bytes]]


def child(target: str = WORKER, *, limits: Limits = LIMITS, **more: Any) -> Child:
    """Return a child that works on *target*."""
    return Child(
        target,
        more.pop("options", {}),
        limits=limits,
        retire_after=more.pop("retire_after", 100),
        paths=(ROOT,),
        **more,
    )


@pytest.fixture
def worker() -> Iterator[Child]:
    """Give a child that knows a secret."""
    with closing(child(secret=SECRET)) as made:
        yield made


def lost(call: Callable[[], object]) -> ChildLost:
    """Return the loss that *call* ends with."""
    with pytest.raises(ChildLost) as caught:
        call()
    return caught.value


def gone(pid: int, *, within: float = 10.0) -> bool:
    """Say whether the process ends in time; one that waits for somebody to ask for its exit code has ended."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        threading.Event().wait(0.01)
    return False


class TestCalls:
    """A child that behaves."""

    def test_answers(self, worker: Child) -> None:
        """Head and blob go there and back unchanged, whatever is in them."""
        arguments = {"text": "matrícula \x00 \ud800", "list": [1, 2.5, None, True], "empty": {}}
        blob = bytes(range(256))
        found, answer = worker.call("echo", arguments, blob, seconds=SECONDS)

        assert arguments == found["said"]
        assert blob == answer

    def test_carries_large_photos(self, worker: Child) -> None:
        """A photo of 20 MB fits through the pipe both ways."""
        photo = os.urandom(1 << 20) * 20

        assert photo == worker.call("echo", {}, photo, seconds=SECONDS)[1]

    def test_stays_warm(self, worker: Child) -> None:
        """The second call is answered by the same process; nothing is started before the first."""
        assert worker.generation == 0
        first, second = (worker.call("echo", {}, seconds=SECONDS)[0] for _ in range(2))

        assert (1, 2) == (first["calls"], second["calls"])
        assert first["pid"] == second["pid"]

    def test_sees_nothing_of_ours(self, worker: Child) -> None:
        """It inherits no environment and no descriptor, has no secret on its command line, and nothing to read."""
        seen, _ = worker.call("surroundings", {}, seconds=SECONDS)
        environment = seen["environment"]

        ones = {"OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "ORT_DISABLE_TELEMETRY"}

        assert {"PATH", "LANG", "TMPDIR"} | ones == set(environment) - {"LC_CTYPE"}
        assert {"1"} == {environment[name] for name in ones}
        assert "secret" not in seen["arguments"] + json.dumps(environment)
        assert SECRET == seen["secret"]
        assert 6 >= len(seen["descriptors"])  # three usual ones, two pipes, and the one that lists them
        assert (True, os.getpid(), "") == (seen["session"], seen["parent"], seen["input"])

    def test_is_given_what_it_needs(self) -> None:
        """Options reach the worker, and further variables its environment."""
        with closing(child(options={"size": 5}, environment={"HTTPS_PROXY": "http://proxy"})) as made:
            seen, _ = made.call("surroundings", {}, seconds=SECONDS)

        assert ({"size": 5}, "http://proxy") == (seen["options"], seen["environment"]["HTTPS_PROXY"])

    def test_has_a_folder_of_its_own(self, worker: Child) -> None:
        """What a call leaves in TMPDIR is gone after the end, even a nest of folders too deep to walk."""
        found, _ = worker.call("stores", {"megabytes": 1, "depth": 300}, seconds=SECONDS)
        folder = Path(found["file"]).parent

        assert folder.is_dir()
        worker.close()
        assert not folder.exists()

    def test_survives_a_nest_without_end(self, worker: Child) -> None:
        """Folders nested so deep that nothing can remove them do not break the parent."""
        found, _ = worker.call("stores", {"megabytes": 0, "depth": 2000}, seconds=SECONDS)
        worker.close()

        subprocess.run(["rm", "-rf", str(Path(found["file"]).parent)], check=True)

    def test_takes_printing_for_what_it_is(self, worker: Child) -> None:
        """What libraries print does not get between the answers, however much it is."""
        with capture_logs() as logs:
            assert b"answer" == worker.call("prints", {}, b"answer", seconds=SECONDS)[1]
            assert b"again" == worker.call("prints", {}, b"again", seconds=SECONDS)[1]

        assert ["child.started"] == [line["event"] for line in logs]


class TestScratch:
    """The private folders of children, and of those that nobody could tidy up."""

    @pytest.fixture(autouse=True)
    def _elsewhere(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look away from the folders of children that live."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def test_made_and_removed(self, tmp_path: Path) -> None:
        """A folder is ours alone, and gone with everything in it."""
        scratch = Scratch()
        Path(scratch.path, "left").write_text("behind", encoding="utf-8")

        assert (tmp_path, 0o700) == (Path(scratch.path).parent, Path(scratch.path).stat().st_mode & 0o777)
        scratch.remove()
        assert [] == list(tmp_path.iterdir())

    def test_of_the_dead(self, tmp_path: Path) -> None:
        """A folder whose maker is dead is removed by the next; one that was just made may not be locked yet."""
        for name in ("matricula-watcher-old", "matricula-watcher-new", "something-else"):
            (tmp_path / name).mkdir()
        for name in ("matricula-watcher-old", "something-else"):
            os.utime(tmp_path / name, (0, 0))
        scratch = Scratch()

        assert {"matricula-watcher-new", "something-else", Path(scratch.path).name} == set(os.listdir(tmp_path))
        scratch.remove()

    def test_of_the_living(self, tmp_path: Path) -> None:
        """A folder whose maker lives stays, however old it is; so do a link and a file of that name."""
        first = Scratch()
        os.utime(first.path, (0, 0))
        (tmp_path / "matricula-watcher-link").symlink_to(tmp_path)
        (tmp_path / "matricula-watcher-file").touch()
        second = Scratch()

        assert 4 == len(list(tmp_path.iterdir()))
        first.remove()
        second.remove()

    def test_that_cannot_be_locked(self, tmp_path: Path) -> None:
        """Without a descriptor for its lock no folder is left behind."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                Scratch()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert [] == list(tmp_path.iterdir())


class TestErrors:
    """Errors that the worker raises."""

    @pytest.mark.parametrize(
        ("which", "kind", "code"),
        [
            ("unavailable", EngineUnavailable, "resting"),
            ("sink", SinkUnavailable, "sink_unavailable"),
            ("refused", EngineRefused, "image_unreadable"),
        ],
    )
    def test_come_back_as_they_were(self, worker: Child, which: str, kind: type[WatcherError], code: str) -> None:
        """An error of ours keeps its class and its words, and the child lives on."""
        before = worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        with pytest.raises(kind) as caught:
            worker.call("raises", {"which": which}, seconds=SECONDS)

        assert (kind, code) == (type(caught.value), caught.value.code)
        assert before == worker.call("echo", {}, seconds=SECONDS)[0]["pid"]

    def test_keep_hint_and_pause(self, worker: Child) -> None:
        """The remedy and the pause asked for arrive."""
        with pytest.raises(EngineUnavailable) as caught:
            worker.call("raises", {"which": "unavailable"}, seconds=SECONDS)

        assert ("Not now.", "Wait.", 7.5) == (caught.value.reason, caught.value.hint, caught.value.retry_after)

    @pytest.mark.parametrize("which", ["fatal", "family", "bug", "memory", "recursion"])
    def test_of_other_kinds_lose_the_child(self, worker: Child, which: str) -> None:
        """Nothing that a child raises can stop the process or pretend to be something else."""
        loss = lost(partial(worker.call, "raises", {"which": which}, seconds=SECONDS))

        assert not loss.late
        assert 1 == worker.generation
        assert 1 == worker.call("echo", {}, seconds=SECONDS)[0]["calls"]

    def test_are_told_with_their_trace(self, worker: Child) -> None:
        """The trace of a bug is in the log, once; the secret is in neither log nor error."""
        with capture_logs() as logs:
            loss = lost(partial(worker.call, "raises", {"which": "bug"}, seconds=SECONDS))
        (line,) = [line for line in logs if line["event"] == "child.lost"]

        assert "It broke: KeyError: '[secret]'" == str(loss)
        assert "in raises" in line["tail"]
        assert SECRET["key"] not in str(logs)

    def test_of_the_factory(self) -> None:
        """A worker that cannot be made says why, in the first call; one that breaks loses the child."""
        target = "tests.misbehaving.workers:stillborn"
        with (
            closing(child(target, options={"kindly": True})) as made,
            pytest.raises(EngineUnavailable, match="installed"),
        ):
            made.call("echo", {}, seconds=SECONDS)
        with closing(child(target, secret=SECRET)) as made:
            assert "It broke: KeyError: '[secret]'" == str(lost(partial(made.call, "echo", {}, seconds=SECONDS)))
        with closing(child("tests.misbehaving.nobody:home")) as made:
            assert "ModuleNotFoundError" in str(lost(partial(made.call, "echo", {}, seconds=SECONDS)))

    def test_of_a_call_to_nobody(self, worker: Child) -> None:
        """A method that does not exist is a bug like another."""
        assert "AttributeError" in str(lost(partial(worker.call, "vanish", {}, seconds=SECONDS)))


class TestLoss:
    """Children that die, and children that have to."""

    @pytest.mark.parametrize("method", ["hangs", "spins"])
    def test_deadline(self, worker: Child, method: str) -> None:
        """A call that takes longer than it may is killed and said to be late, and the next one works."""
        worker.call("echo", {}, seconds=SECONDS)
        started = time.monotonic()
        loss = lost(partial(worker.call, method, {}, seconds=0.3))

        assert loss.late
        assert 0.3 <= time.monotonic() - started < 5
        assert 1 == worker.call("echo", {}, seconds=SECONDS)[0]["calls"]

    def test_deadline_of_one_that_does_not_read(self, worker: Child) -> None:
        """A message that is never taken does not hold us up either."""
        worker.call("echo", {}, seconds=SECONDS)
        pid = worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        os.kill(pid, signal.SIGSTOP)

        assert lost(partial(worker.call, "echo", {}, bytes(1 << 20), seconds=0.3)).late
        assert gone(pid)

    def test_deadline_of_one_that_drips(self) -> None:
        """The deadline is for everything together: a byte now and then does not put it off."""
        process = Process({})
        hello = {"target": "tests.misbehaving.workers:dripping", "options": {}, "secret": {}, "calls": 1}
        hello |= {"paths": [ROOT], "parent": os.getpid(), "limits": vars_of(LIMITS)}
        with pytest.raises(TimeoutError):
            process.exchange(messages.pack(hello), time.monotonic() + 1.0)

        assert "It ended by SIGKILL." == process.end()

    @pytest.mark.parametrize(
        ("method", "reason"), [("crashes", "It ended by SIGSEGV."), ("leaves", "It ended with exit code 3.")]
    )
    def test_death(self, worker: Child, method: str, reason: str) -> None:
        """A child that dies in a call is told from one that is late, and how it died is said."""
        loss = lost(partial(worker.call, method, {}, seconds=SECONDS))

        assert (reason, False) == (str(loss), loss.late)

    def test_last_words(self, worker: Child) -> None:
        """One line is logged for a loss, with the end of standard error."""
        with capture_logs() as logs:
            lost(partial(worker.call, "leaves", {}, seconds=SECONDS))
        (line,) = [line for line in logs if line["event"] == "child.lost"]

        assert ("goodbye", WORKER, False) == (line["tail"], line["child"], line["late"])

    def test_death_between_calls(self, worker: Child) -> None:
        """A child that is killed while it has nothing to do is replaced, and the next call is answered."""
        pid = worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        with capture_logs() as logs:
            os.kill(pid, signal.SIGKILL)
            assert gone(pid)
            assert 1 == worker.generation

        assert pid != worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        assert ["It ended by SIGKILL."] == [line["reason"] for line in logs]

    def test_death_unnoticed(self, worker: Child) -> None:
        """The same is true where nobody asked in between."""
        pid = worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)

        assert 1 == worker.call("echo", {}, seconds=SECONDS)[0]["calls"]

    def test_death_while_it_is_told(self, worker: Child) -> None:
        """A child that dies before it has taken the whole message is lost at once."""
        pid = worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(0.2, os.kill, (pid, signal.SIGKILL))
        timer.start()
        loss = lost(partial(worker.call, "echo", {}, bytes(1 << 20), seconds=60))
        timer.join()

        assert ("It ended by SIGKILL.", False) == (str(loss), loss.late)

    def test_nobody_listens(self) -> None:
        """To a child that closed its input nothing more is sent; that it is gone shows elsewhere."""
        listening, speaking = os.pipe()
        os.close(listening)
        with open(speaking, "wb", buffering=0) as pipe:
            assert b"" == bytes(_send(pipe, memoryview(b"hello")))

    def test_fates(self) -> None:
        """Also of a process that hangs in the kernel something can be said."""
        assert "It could not be ended." == _fate(None)

    def test_processor_time(self) -> None:
        """A call that uses more processor time than it may ends, also after others that used some."""
        with closing(child(limits=Limits(512 << 20, 1, 1 << 20))) as made:
            made.call("echo", {}, seconds=SECONDS)
            assert "It used up its processor time." == str(lost(partial(made.call, "spins", {}, seconds=SECONDS)))

    def test_processor_time_of_each_call(self) -> None:
        """The time is for one call: many that are short may use more in all."""
        with closing(child(limits=Limits(512 << 20, 1, 1 << 20))) as made:
            for _ in range(4):
                made.call("toils", {"seconds": 0.5}, seconds=SECONDS)

            assert 0 == made.generation

    def test_memory(self, worker: Child) -> None:
        """A call that asks for more memory than it may have breaks on it, and the parent does not."""
        assert "It broke: MemoryError" == str(lost(partial(worker.call, "fills", {}, seconds=SECONDS)))

    def test_file_size(self, worker: Child) -> None:
        """A file may not grow beyond its limit."""
        loss = lost(partial(worker.call, "stores", {"megabytes": 5, "depth": 0}, seconds=SECONDS))

        assert "File too large" in str(loss)

    def test_no_network(self, worker: Child) -> None:
        """Neither the child nor a program that it starts can open a socket, unless it may."""
        assert {"here": False, "elsewhere": False} == worker.call("connects", {}, seconds=SECONDS)[0]
        with closing(child(limits=Limits(512 << 20, 10, 1 << 20, network=True))) as made:
            assert {"here": True, "elsewhere": True} == made.call("connects", {}, seconds=SECONDS)[0]

    def test_what_is_left_behind(self, worker: Child) -> None:
        """A process that a call leaves behind ends with the child."""
        pid = worker.call("breeds", {"dies": False}, seconds=SECONDS)[0]["pid"]

        assert Path(f"/proc/{pid}").exists()
        worker.close()
        assert gone(pid)

    def test_death_behind_open_pipes(self, worker: Child) -> None:
        """The end of a child is noticed at once, also if somebody it left behind keeps its pipes open."""
        loss = lost(partial(worker.call, "breeds", {"dies": True}, seconds=60))

        assert ("It ended with exit code 0.", False) == (str(loss), loss.late)

    def test_start_that_fails(self, worker: Child) -> None:
        """Without descriptors no child can be started: that may pass, and it costs nothing else."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, hard))
        try:
            with pytest.raises(Deferred) as caught:
                worker.call("echo", {}, seconds=SECONDS)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert "child_not_started" == caught.value.code
        assert 1 == worker.call("echo", {}, seconds=SECONDS)[0]["calls"]


class TestYouth:
    """Whether a child that is lost ever did any work."""

    def test_never_worked(self) -> None:
        """A child that is lost over and over without an answer is young, however often it was started."""
        with closing(child()) as made:
            assert [True, True] == [lost(partial(made.call, "leaves", {}, seconds=SECONDS)).young for _ in range(2)]

    @pytest.mark.parametrize("which", ["refused", "unavailable"])
    def test_refusing_is_work(self, worker: Child, which: str) -> None:
        """A child that only ever answered with an error of ours works."""
        with pytest.raises(WatcherError):
            worker.call("raises", {"which": which}, seconds=SECONDS)

        assert not lost(partial(worker.call, "leaves", {}, seconds=SECONDS)).young

    def test_worked_before(self, worker: Child) -> None:
        """One that answered once is not young any more, also after it was replaced."""
        worker.call("echo", {}, seconds=SECONDS)

        assert [False, False] == [lost(partial(worker.call, "leaves", {}, seconds=SECONDS)).young for _ in range(2)]


class TestLies:
    """Children that were taken over: they say what they like, and must not get anything by it."""

    @pytest.mark.parametrize(
        "answer",
        [
            b"\xff\xff\xff\xff\xff\xff\xff\xff",
            struct.pack(">II", 2, messages.BLOB_BYTES + 1),
            messages.pack({"found": {}}) * 2,
            struct.pack(">II", 4, 0) + b"null",
            struct.pack(">II", 9, 0) + b'{"a":NaN}',
            struct.pack(">II", 5, 0) + b"\xff\xfe\xfd\xfc\xfb",
            struct.pack(">II", 400_000, 0) + b"[" * 400_000,
            messages.pack({}),
            messages.pack({"found": [1]}),
            messages.pack({"trace": 5}),
            messages.pack({"trace": " \n"}),
            messages.pack({"error": "EngineUnavailable"}),
            messages.pack({"error": {"class": "SystemExit"}}),
            messages.pack({"error": {"class": ["EngineUnavailable"]}}),
            messages.pack({"error": {"class": "SettingsInvalid", "reason": "Stop."}}),
        ],
    )
    def test_nonsense(self, worker: Child, answer: bytes) -> None:
        """An answer that is none loses the child, and nothing else."""
        loss = lost(partial(worker.call, "writes", {}, answer, seconds=SECONDS))

        assert "It answered nonsense" in str(loss)
        assert not loss.late
        assert 1 == worker.call("echo", {}, seconds=SECONDS)[0]["calls"]

    @pytest.mark.parametrize("method", ["answers_nan", "answers_list"])
    def test_answers_that_cannot_be_sent(self, worker: Child, method: str) -> None:
        """A worker that returns what it should not is a bug in the worker."""
        assert "It broke" in str(lost(partial(worker.call, method, {}, seconds=SECONDS)))

    def test_endless_answer(self, worker: Child) -> None:
        """An answer without end is cut where it becomes too long."""
        assert "It answered nonsense" in str(lost(partial(worker.call, "floods", {"where": "replies"}, seconds=60)))

    def test_endless_noise(self, worker: Child) -> None:
        """Standard error without end neither fills a pipe nor our memory, and does not put off the deadline."""
        with capture_logs() as logs:
            loss = lost(partial(worker.call, "floods", {"where": "noise"}, seconds=0.5))

        assert loss.late
        assert 4000 >= max(len(line.get("tail", "")) for line in logs)

    def test_trace_is_bounded(self, worker: Child) -> None:
        """However long a trace is, and whatever characters it pretends, it can be logged."""
        answer = messages.pack({"trace": "\ud800" * 100_000})
        with capture_logs() as logs:
            loss = lost(partial(worker.call, "writes", {}, answer, seconds=SECONDS))
        tail = logs[-1]["tail"]

        assert 400 > len(str(loss).encode())
        assert 4000 == len(tail.encode())


class TestLife:
    """From the first call to the last."""

    def test_retires(self) -> None:
        """A child that has answered enough calls is replaced when it is told to rest, and not before."""
        with closing(child(retire_after=2)) as made:
            calls = []
            for rest in (False, False, True, True):
                calls.append(made.call("echo", {}, seconds=SECONDS)[0]["calls"])
                if rest:
                    made.rest()

            assert [1, 2, 3, 1] == calls
            assert 1 == made.generation

    def test_rest_without_a_process(self, worker: Child) -> None:
        """Nothing happens to a child that was never started."""
        worker.rest()

        assert 0 == worker.generation

    def test_discard(self, worker: Child) -> None:
        """A child that is not trusted any more is replaced, and the reason is logged; without one nothing happens."""
        worker.discard("It had none.")
        worker.call("echo", {}, seconds=SECONDS)
        with capture_logs() as logs:
            worker.discard("It lied.")

        assert ["It lied."] == [line["reason"] for line in logs]
        assert 1 == worker.call("echo", {}, seconds=SECONDS)[0]["calls"]

    def test_close_cuts_a_call_short(self, worker: Child) -> None:
        """Another thread can end a call that runs, at once and without a word in the log."""
        pid = worker.call("echo", {}, seconds=SECONDS)[0]["pid"]
        with capture_logs() as logs:
            timer = threading.Timer(0.2, worker.close)
            timer.start()
            loss = lost(partial(worker.call, "hangs", {}, seconds=60))
            timer.join()

        assert not loss.late
        assert [] == logs
        assert gone(pid)

    def test_closed_for_good(self, worker: Child) -> None:
        """A closed child is not started again, and can be closed twice."""
        worker.close()
        worker.close()

        assert "The child was closed." == str(lost(partial(worker.call, "echo", {}, seconds=SECONDS)))

    @pytest.mark.parametrize("method", ["hangs", "echo"])
    def test_dies_with_its_parent(self, method: str) -> None:
        """When the parent is killed its child ends, whether it works or waits."""
        program = f"""
import sys
sys.path.insert(0, {ROOT!r})
from watcher.child.parent import Child, Limits
child = Child({WORKER!r}, {{}}, limits=Limits(1 << 29, 10, 1 << 20), retire_after=9, paths=({ROOT!r},))
print(child.call("surroundings", {{}}, seconds=20)[0]["environment"]["TMPDIR"], child._process.pid, flush=True)
child.call({method!r}, {{}}, seconds=60)
sys.stdin.read()
"""
        with subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as parent:
            assert parent.stdout
            line = next(text for text in iter(parent.stdout.readline, "") if text.startswith("/"))
            folder, _, pid = line.rpartition(" ")
            assert method != "hangs" or eventually(Path(folder, "hanging").exists)
            parent.kill()

        assert gone(int(pid))
        assert Path(folder).is_dir()
        os.utime(folder, (0, 0))
        with closing(child()) as another:
            another.call("echo", {}, seconds=SECONDS)
        assert not Path(folder).exists()

    def test_parent_that_is_dead_already(self) -> None:
        """A child whose parent died before it could ask to be told ends by itself."""
        process = Process({})
        hello = {"target": WORKER, "options": {}, "secret": {}, "calls": 1, "paths": [ROOT], "parent": 1}
        with pytest.raises(EOFError):
            process.exchange(messages.pack(hello | {"limits": vars_of(LIMITS)}), time.monotonic() + SECONDS)

        assert "It ended with exit code 0." == process.end()

    def test_end_of_input(self) -> None:
        """A child whose standard input ends leaves by itself."""
        process = Process({})
        process._pipes[0].close()
        assert gone(process.pid)
        process.end()

        assert "EOFError" in process.last_words()


def vars_of(limits: Limits) -> dict[str, object]:
    """Return *limits* as the first message carries them."""
    return {name: getattr(limits, name) for name in ("memory_bytes", "cpu_seconds", "file_bytes", "network")}


class TestMessages:
    """What the two say to each other."""

    @given(
        st.dictionaries(
            st.text(),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            ),
        ),
        st.binary(),
        st.integers(min_value=0, max_value=7),
    )
    def test_there_and_back(self, head: dict[str, Any], blob: bytes, cut: int) -> None:
        """Any head and blob come out as they went in, and the length is known from the first eight bytes on."""
        message = messages.pack(head, blob)

        assert (head, blob) == messages.unpack(message)
        assert (head, blob) == messages.receive(io.BytesIO(message + b"more"))
        assert len(message) == messages.length(message)
        assert messages.length(message[:cut]) is None

    @pytest.mark.parametrize("head", [b'{"a": NaN}', b'{"a": -Infinity}', b"[]", b"5", b"{", b"\xff\xff"])
    def test_heads_that_are_none(self, head: bytes) -> None:
        """What is no JSON object, or holds what is no number, is refused."""
        with pytest.raises(ValueError, match=r"."):
            messages.unpack(struct.pack(">II", len(head), 0) + head)

    def test_end(self) -> None:
        """The end of a stream is told from a message."""
        with pytest.raises(EOFError):
            messages.receive(io.BytesIO(b"\x00\x00"))

    @given(st.integers() | st.floats() | st.none() | st.text() | st.booleans())
    def test_pauses(self, pause: object) -> None:
        """Whatever a child asks for, the pause is one that makes sense, or none."""
        error = messages.error_in({"class": "EngineUnavailable", "retry_after": pause})
        assert isinstance(error, EngineUnavailable)

        assert error.retry_after is None or 0 <= error.retry_after <= 86_400

    @pytest.mark.parametrize("code", ["", "Engine", "x" * 41, "a b", "drop-table", 5, None])
    def test_codes(self, code: object) -> None:
        """A code that is none is replaced by that of the class."""
        error = messages.error_in({"class": "EngineRefused", "code": code, "reason": "\ud800" + "x" * 3000})

        assert ("image_unreadable", 2000) == (error.code, len(error.reason))
        assert error.reason.encode()

    @pytest.mark.parametrize(
        "error",
        [
            EngineUnavailable("Not now.", hint="Wait.", code="resting", retry_after=7.5),
            EngineRefused("Never."),
            SinkUnavailable("Away."),
        ],
    )
    def test_errors_there_and_back(self, error: WatcherError) -> None:
        """An error of ours comes out as it went in."""
        back = messages.error_in(json.loads(json.dumps(messages.error_out(error))))

        assert type(error) is type(back)
        assert messages.error_out(error) == messages.error_out(back)


class TestCell:
    """The loop of a child, in this process."""

    def answers(self, target: str, *calls: tuple[str, dict[str, Any]], **options: Any) -> list[dict[str, Any]]:
        """Return the heads that the loop answers to a factory and some calls."""
        commands = io.BytesIO(b"".join(messages.pack({"method": name, "arguments": said}) for name, said in calls))
        replies = io.BytesIO()
        hello = {"target": target, "options": options, "secret": {}, "limits": {"cpu_seconds": 1 << 20}}
        cell.work(commands, replies, hello, offline=True)
        replies.seek(0)
        heads = []
        while replies.tell() < len(replies.getbuffer()):
            heads.append(messages.receive(replies)[0])
        return heads

    def test_answers(self) -> None:
        """It answers to its making and to every call, errors included, and ends with its input."""
        made, first, refused, broken = self.answers(
            WORKER, ("echo", {"a": 1}), ("raises", {"which": "refused"}), ("raises", {"which": "bug"})
        )

        assert {"found": {"offline": True}} == made
        assert {"a": 1} == first["found"]["said"]
        assert "EngineRefused" == refused["error"]["class"]
        assert "KeyError" in broken["trace"]

    def test_warm(self) -> None:
        """What can be done early is done before the first call; of what breaks then, nothing is said."""
        early = [("echo", {}), ("raises", {"which": "bug"}), ("raises", {"which": "fatal"}), ("echo", {})]
        made, called = self.answers(WORKER, ("echo", {}), early=early)

        assert {"found": {"offline": True}} == made
        assert 3 == called["found"]["calls"]

    def test_without_a_worker(self) -> None:
        """It ends when there is nobody to work."""
        assert ["trace"] == [*self.answers("tests.misbehaving.nobody:home", ("echo", {}))[0]]

    def test_fatal_errors_do_not_travel(self) -> None:
        """Only what may come back does: a child cannot stop its parent."""
        (_, head) = self.answers(WORKER, ("raises", {"which": "fatal"}))

        assert SettingsInvalid.__name__ == head["error"]["class"]
        with pytest.raises(ValueError, match="unknown class"):
            messages.error_in(head["error"])


def test_a_hidden_process_is_closed_to_its_own_user() -> None:
    """The kernel lets nobody but root look into a process that hid itself."""
    script = (
        "import ctypes\n"
        "from watcher.child.privacy import hide\n"
        "dumpable = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)\n"
        "print(dumpable(), hide(), dumpable())\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "1 True 0" == done.stdout.strip()
