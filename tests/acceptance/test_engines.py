"""The real program, SDK and Tesseract, while the service on the network behaves and misbehaves."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from PIL import Image

from tests.acceptance.house import PATIENCE, House
from tests.makers import eventually, jpeg
from tests.scripted_openai import KEY, Asked, Scripted, Step, fails, says
from watcher.demo import VEHICLES, draw

BOTH = '["openai", "tesseract"]'
CLEAR = VEHICLES[0]
PLATE = CLEAR.plate
"""What Tesseract makes of every photo that is drawn here."""
PAGE = Step(body=b"<html>Bad gateway</html>", content_type="text/html")
NOTHING = Step(body=b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[]}')
ENDLESS = replace(says("9999 ZZZ"), body=says("9999 ZZZ").body + b" " * 20_000)

# Tesseract takes its time on a machine that is busy with other tests.
pytestmark = pytest.mark.timeout(300)

Facts = tuple[str, str, str, bool]
"""Plate, engine, code and review mark of a row."""
WELL: Facts = ("9999ZZZ", "openai", "", False)


class Gate:
    """A house whose engine on the network is *server*, with one reader unless *reading* says otherwise."""

    def __init__(
        self, root: Path, server: Scripted, *, engines: str = BOTH, reading: str = "readers = 1", more: str = ""
    ) -> None:
        self.server = server
        self.house = House(
            root,
            f'{reading}\n[logs]\nlevel = "debug"\n[engines.openai]\nbase_url = "{server.url}"\n{more}',
            engines=engines,
        )
        self._numbers = count(1)
        self._workshop = root / "workshop"
        self._workshop.mkdir()

    def drop(self) -> None:
        """Drop one more clear photo, unlike those before it."""
        number = next(self._numbers)
        path = self._workshop / f"{number}.jpg"
        draw(replace(CLEAR, colour=(120, 20 + number, 40)), path)
        path.rename(self.house.inbox / path.name)

    def read(self) -> None:
        """Drop one more photo and wait for its row."""
        before = len(self.house.rows())
        self.drop()
        self.house.wait_rows(before + 1)

    def facts(self) -> list[Facts]:
        """Return plate, engine, code and review mark of every row."""
        return [(r["plate"], r["engine"], r["code"], r["review"]) for r in self.records()]

    def records(self) -> list[dict[str, Any]]:
        """Return all records, in the order of their rows."""
        lines = self.command("records", "--json").splitlines()
        return sorted(map(json.loads, lines), key=lambda record: int(record["id"]))

    def command(self, *arguments: str) -> str:
        """Run a command as somebody who has the key and return what it says."""
        answer = self.house.command(*arguments, OPENAI_API_KEY=KEY)
        assert 0 == answer.returncode, answer.stderr
        return answer.stdout

    def asked(self) -> list[Asked]:
        """Return the questions that the server was asked."""
        return [asked for asked in self.server.asked if asked.method == "POST"]

    def wait(self, holds: Callable[[], object]) -> None:
        """Wait until something *holds*."""
        assert eventually(holds, PATIENCE), self.house.events()

    def children(self, target: str) -> list[int]:
        """Return the process ids of all children of that kind that were started, the last one last."""
        started = self.house.said("child.started")
        return [line["pid"] for line in started if line["child"] == f"watcher.chambers:{target}"]


def test_a_right_answer_becomes_the_row(tmp_path: Path) -> None:
    """The answer of the first engine is cleaned and recorded, and no other engine is asked."""
    with Scripted(says("9999 zzz")) as server:
        gate = Gate(tmp_path, server)
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.read()

    (record,) = gate.records()
    assert [WELL] == gate.facts()
    assert ["openai"] == record["tried"]
    assert "9999ZZZ" == gate.house.rows()[0]["matricula"]
    (asked,) = gate.asked()
    assert ("/v1/chat/completions", f"Bearer {KEY}") == (asked.path, asked.headers["authorization"])


def test_a_plate_below_believable_is_recorded_and_marked_for_a_person(tmp_path: Path) -> None:
    """The best answer is the row all the same, and the list, the log and the story say that it is in doubt."""
    unsure, sure = (says("9999 ZZZ", probabilities=[logprob] * 8) for logprob in (-0.1, 0.0))
    with Scripted(unsure, sure) as server:
        gate = Gate(tmp_path, server, engines='["openai"]')
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.read()
            gate.read()
        (listed,) = gate.command("records", "--review").splitlines()
        (told,) = map(json.loads, gate.command("records", "--review", "--json").splitlines())
        story = gate.command("explain", told["image"])

    assert ["9999ZZZ", "9999ZZZ"] == [row["matricula"] for row in gate.house.rows()]
    assert [("9999ZZZ", "openai", "", True), WELL] == gate.facts()
    assert listed.split()[0] == "1"
    assert listed.endswith("  review: not sure")
    assert (1, "9999ZZZ", True, 0.5) == (told["id"], told["plate"], told["review"], round(told["confidence"], 1))
    assert "; review True" in story
    assert [(0.5, True), (1.0, False)] == [
        (round(line["confidence"], 1), line["review"]) for line in gate.house.said("register.appended")
    ]


def test_what_else_was_considered_is_kept_for_a_person(tmp_path: Path) -> None:
    """Where no engine is sure the most confident one makes the row, and the others' answers are told with theirs."""
    with Scripted(says("9999 ZZZ", probabilities=[-0.1] * 8)) as server:
        gate = Gate(tmp_path, server, reading="readers = 1\nbelievable = 1.0")
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.read()
        listed = gate.command("records", "--review")
        (record,) = gate.records()
        story = gate.command("explain", record["image"])
        read = gate.command("read", f"uploads/{record['image']}")

    assert [(PLATE, "tesseract", "", True)] == gate.facts()
    assert "9999ZZZ" in [candidate["text"] for candidate in record["candidates"]]
    assert "  review: not sure, or " in listed
    assert "  doubtful, or " in read
    assert all("9999ZZZ (0.50)" in said for said in (listed, story, read))


def test_what_is_sent_is_a_small_picture_without_what_the_camera_wrote_into_it(tmp_path: Path) -> None:
    """A photo of 2560 pixels with place, time and camera in its EXIF leaves as a JPEG of 1280 pixels without them."""
    exif = Image.Exif()
    exif[0x010F] = "Hikvision"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (40.0, 25.0, 1.0)
    draw(CLEAR, tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn:
        drawn.resize((2560, 1920)).save(tmp_path / "drawn.jpg", exif=exif, comment=b"at the gate")
    sent = (tmp_path / "drawn.jpg").read_bytes()
    assert b"Hikvision" in sent
    with Scripted(says("9999 ZZZ")) as server:
        gate = Gate(tmp_path, server)
        with gate.house.running(OPENAI_API_KEY=KEY):
            (tmp_path / "drawn.jpg").rename(gate.house.inbox / "cam1.jpg")
            (row,) = gate.house.wait_rows(1)

    assert sent == (gate.house.uploads / row["imagen"]).read_bytes()
    (asked,) = gate.asked()
    (url,) = (part["image_url"]["url"] for part in asked.body["messages"][0]["content"] if part["type"] == "image_url")
    kind, _, data = url.partition(",")
    assert "data:image/jpeg;base64" == kind
    received = base64.b64decode(data)
    with Image.open(io.BytesIO(received)) as picture:
        assert ("JPEG", (1280, 960)) == (picture.format, picture.size)
        assert {} == dict(picture.getexif())
        assert not {"exif", "comment", "xmp"} & set(picture.info)
    assert b"Hikvision" not in received
    assert "cam1" not in json.dumps(asked.body["messages"][0]["content"][0])


def test_whatever_the_service_answers_there_is_a_row_by_tesseract(tmp_path: Path) -> None:
    """Errors, nonsense and refusals lead to the next engine with their code; Tesseract alone is never sure.

    One photo is one request: nothing is asked again behind our back. Between the cases the service is well, so that it
    is never left alone.
    """
    unavailable = (PLATE, "tesseract", "engine_unavailable", True)
    refused = (PLATE, "tesseract", "content_filter", True)
    read = (PLATE, "tesseract", "", True)
    cases = [
        (fails(500), unavailable),
        (fails(429), (PLATE, "tesseract", "rate_limited", True)),
        (PAGE, unavailable),
        (says("9999 ZZZ"), WELL),
        (NOTHING, unavailable),
        (Step(way="cut", body=says("9999 ZZZ").body), unavailable),
        (fails(400, "Your image is unsafe", code="content_policy_violation"), refused),
        (says(None, refusal="I cannot help with that."), read),
        (says("Lo siento, no puedo ver ninguna matrícula en esta imagen."), read),
        (says("NO_DETECTADA"), read),
    ]
    with Scripted(*(step for step, _ in cases)) as server:
        gate = Gate(tmp_path, server)
        with gate.house.running(OPENAI_API_KEY=KEY):
            for number in range(1, len(cases) + 1):
                gate.drop()
                gate.house.wait_rows(number)
                assert number == len(gate.asked())

    assert [facts for _, facts in cases] == gate.facts()
    assert [] == gate.house.said("breaker.opened")
    assert [] == gate.house.said("child.lost")


def test_a_service_that_says_not_now_is_left_alone_until_the_settings_are_read_again(tmp_path: Path) -> None:
    """A refused key, an empty account and Retry-After cost one request each; the next photo is not offered at all."""
    cases = [
        (fails(401), "unauthorized", 600.0),
        (fails(402), "insufficient_credits", 600.0),
        (fails(403), "forbidden", 600.0),
        (fails(429, Retry_After="3600"), "rate_limited", 3600.0),
    ]
    with Scripted(*(step for step, _, _ in cases), says("9999 ZZZ")) as server:
        gate = Gate(tmp_path, server)
        with gate.house.running(OPENAI_API_KEY=KEY) as daemon:
            for number in range(1, len(cases) + 1):
                gate.read()
                gate.read()
                assert number == len(gate.asked())
                daemon.signal(signal.SIGHUP)
                gate.wait(partial(_reloaded, gate.house, number))
            gate.read()

    rows = [(PLATE, "tesseract", code, True) for _, code, _ in cases for _ in "12"]
    assert [*rows, WELL] == gate.facts()
    opened = [(line["code"], line["seconds"]) for line in gate.house.said("breaker.opened")]
    assert [(code, seconds) for _, code, seconds in cases] == opened


def _reloaded(house: House, times: int) -> bool:
    return times == len(house.said("daemon.reloaded"))


def test_a_service_that_keeps_failing_is_left_alone_for_a_minute(tmp_path: Path) -> None:
    """After five failures in a row photos go straight to Tesseract, and the log says so once."""
    with Scripted(fails(500)) as server:
        gate = Gate(tmp_path, server)
        with gate.house.running(OPENAI_API_KEY=KEY):
            for _ in range(7):
                gate.drop()
            gate.house.wait_rows(7)

    assert {(PLATE, "tesseract", "engine_unavailable", True)} == set(gate.facts())
    assert 5 == len(gate.asked())
    (opened,) = gate.house.said("breaker.opened")
    assert ("warning", 60.0) == (opened["level"], opened["seconds"])


def test_a_service_that_does_not_finish_holds_no_row_for_long(tmp_path: Path) -> None:
    """One that says nothing, or a byte now and then for a quarter of an hour, is left before the deadline.

    The child gives up by itself instead of being killed, so the photo after these finds it warm.
    """
    deadline, took = 9.0, []
    hangs, drips = replace(ENDLESS, way="hang"), replace(ENDLESS, way="drip")
    with Scripted(says("9999 ZZZ"), hangs, drips, says("9999 ZZZ")) as server:
        gate = Gate(tmp_path, server, reading=f"readers = 1\ndeadline_seconds = {deadline}")
        with gate.house.running(OPENAI_API_KEY=KEY):
            for _ in range(4):
                began = time.monotonic()
                gate.read()
                took.append(time.monotonic() - began)

    unavailable = (PLATE, "tesseract", "engine_unavailable", True)
    assert [WELL, unavailable, unavailable, WELL] == gate.facts()
    assert max(took) < deadline * 1.5 + 2
    assert 4 == len(gate.asked())
    assert 1 == len(gate.children("network"))


def test_while_one_call_hangs_the_other_reader_goes_on(tmp_path: Path) -> None:
    """A photo whose answer does not come holds up nobody but itself."""
    with Scripted(Step(way="hang"), says("9999 ZZZ")) as server:
        gate = Gate(tmp_path, server, reading="readers = 2\ndeadline_seconds = 600")
        with gate.house.start(OPENAI_API_KEY=KEY):
            gate.drop()
            gate.wait(lambda: 1 == len(gate.asked()))
            for _ in range(3):
                gate.read()

            assert [WELL] * 3 == gate.facts()
    assert 4 == len(gate.asked())


def test_alone_it_is_waited_for_and_the_row_comes_by_itself(tmp_path: Path) -> None:
    """With no other engine a photo is not given up: it is stored, and read when the service is well again."""
    with Scripted(fails(500), fails(503), says("9999 ZZZ")) as server:
        gate = Gate(tmp_path, server, engines='["openai"]')
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.read()

    assert [WELL] == gate.facts()
    assert 3 == len(gate.asked())
    deferred = [(line["act"], line["seconds"]) for line in gate.house.said("worker.deferred")]
    assert [("read", 1.0), ("read", 2.0)] == deferred


def test_retry_does_not_wait_until_the_pause_is_over(tmp_path: Path) -> None:
    """After several failures the pause is long; the command that hastens it makes the daemon ask at once."""
    with Scripted(*[fails(500)] * 4, says("9999 ZZZ")) as server:
        gate = Gate(tmp_path, server, engines='["openai"]')
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.drop()
            gate.wait(lambda: 4 == len(gate.house.said("worker.deferred")))
            began = time.monotonic()
            assert [] == gate.house.rows()
            gate.command("retry")
            gate.house.wait_rows(1)
            seconds = time.monotonic() - began

    assert [WELL] == gate.facts()
    assert seconds < gate.house.said("worker.deferred")[-1]["seconds"]


def test_a_model_that_is_gone_is_named_once_and_the_next_one_asked(tmp_path: Path) -> None:
    """The rows are as good as ever; a single warning tells the operator which model to replace."""
    old = {"gpt-old": fails(404, "The model `gpt-old` does not exist", code="model_not_found")}
    with Scripted(says("9999 ZZZ"), by_model=old) as server:
        gate = Gate(tmp_path, server, more='models = ["gpt-old", "gpt-new"]')
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.read()
            gate.read()

    assert [WELL] * 2 == gate.facts()
    assert ["gpt-old", "gpt-new", "gpt-new"] == [asked.body["model"] for asked in gate.asked()]
    (warning,) = [line for line in gate.house.events() if "gpt-old" in json.dumps(line)]
    assert ("reading.engine_noted", "warning") == (warning["event"], warning["level"])


def test_the_key_is_nowhere_but_on_the_wire(tmp_path: Path) -> None:
    """Neither command lines nor children's environments have it, nor anything that is written.

    The service hangs on the first photo, so that both children can be looked at, and puts the key into its complaint
    about the second one.
    """
    key = f"gateway-{uuid4().hex}"  # not of a form that the log would strike by itself
    with Scripted(Step(way="hang"), fails(401, f"Incorrect API key provided: {key}")) as server:
        gate = Gate(tmp_path, server, reading="readers = 2", more="[inbox]\nincomplete_after_seconds = 0.2\n")
        with gate.house.start(OPENAI_API_KEY=key) as daemon:
            (gate.house.inbox / "cut.jpg").write_bytes(jpeg()[:-100])
            gate.drop()
            gate.wait(gate.asked)
            gate.drop()
            gate.house.wait_rows(1)
            gate.house.wait_quarantine("truncated")
            children = gate.children("pixels") + gate.children("network")
            shown = {pid: _shown(pid, "cmdline", "environ") for pid in children}
            lines = _shown(daemon.process.pid, "environ")
            assert key in lines, "this look would not find it anywhere"
            everywhere = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if key in _shown(pid)]

    assert 4 == len(shown)
    assert all("OMP_THREAD_LIMIT" in text and key not in text for text in shown.values())
    assert [] == everywhere
    assert {f"Bearer {key}"} == {asked.headers["authorization"] for asked in gate.asked()}
    assert "Incorrect API key provided" in gate.house.log.read_text(encoding="utf-8")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"log", "registros.csv", "journal.sqlite3"} <= {path.name for path in files}
    assert [] == [path for path in files if key.encode() in path.read_bytes()]


def _shown(pid: int, *names: str) -> str:
    """Return what others can see of a process: its command line unless *names* say otherwise."""
    text = ""
    for name in names or ("cmdline",):
        with suppress(OSError):
            text += Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    return text


def test_a_child_that_is_killed_while_it_reads_costs_nothing_but_time(tmp_path: Path) -> None:
    """The child of the pixels is killed in the middle of Tesseract: another reads the photo, and there is one row."""
    with Scripted() as server:
        gate = Gate(tmp_path, server, engines='["tesseract"]')
        with gate.house.running():
            gate.drop()
            gate.wait(lambda: gate.children("pixels"))
            (pid,) = gate.children("pixels")
            gate.wait(lambda: _shown(pid, f"task/{pid}/children"))
            os.kill(pid, signal.SIGKILL)
            gate.house.wait_rows(1)

    assert [(PLATE, "tesseract", "", True)] == gate.facts()
    assert 1 == len(gate.house.rows())
    (lost,) = gate.house.said("child.lost")
    assert (pid, False) == (lost["pid"], lost["late"])
    assert 2 == len(gate.children("pixels"))


def test_a_child_that_is_killed_while_it_asks_gives_way_to_the_next_engine(tmp_path: Path) -> None:
    """The child of the network is killed while the service hangs: Tesseract reads the photo, marked for review."""
    with Scripted(Step(way="hang")) as server:
        gate = Gate(tmp_path, server)
        with gate.house.running(OPENAI_API_KEY=KEY):
            gate.drop()
            gate.wait(gate.asked)
            os.kill(gate.children("network")[-1], signal.SIGKILL)
            gate.house.wait_rows(1)

    assert [(PLATE, "tesseract", "engine_crashed", True)] == gate.facts()
    assert re.search("SIGKILL", gate.house.said("reading.engine_unavailable")[0]["reason"])
