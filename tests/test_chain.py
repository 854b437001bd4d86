"""Tests of watcher.chain: engines behind shared breakers, and new links between two photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.makers import Hands, eventually, jpeg
from tests.misbehaving.engines import AFAR, install
from tests.records import RECORD
from watcher.chain import Chain, Links, forged
from watcher.child.parent import Limits
from watcher.errors import ChildLost, EngineUnavailable, StorageUnavailable
from watcher.model import Request, StoredImage
from watcher.reader import ReaderOptions

ROOT = str(Path(__file__).parent.parent)
SMALL = Limits(memory_bytes=512 << 20, cpu_seconds=20, file_bytes=1 << 20)
SAYS = {"answers": {"text": "1234-BCD"}}

Options = Mapping[str, Mapping[str, Any]]
Forge = Callable[[Options], Links]
Make = Callable[[Links], Chain]


@pytest.fixture
def forge(tmp_path: Path, hands: Hands) -> Forge:
    """Give a way to forge links of misbehaving engines with their options."""
    paths = (ROOT, install(tmp_path))

    def forge(engines: Options) -> Links:
        afar = frozenset(name for name in engines if name.endswith(AFAR))
        options = ReaderOptions(
            tuple(engines), networked=afar, options=engines, paths=paths, pixels=SMALL, deadline_seconds=40.0
        )
        return forged(options, 0.5, lambda: hands.monotonic)

    return forge


@pytest.fixture
def make() -> Iterator[Make]:
    """Give a way to make chains; all are closed in the end."""
    chains: list[Chain] = []

    def make(links: Links) -> Chain:
        chains.append(Chain(links))
        return chains[-1]

    yield make
    for chain in chains:
        chain.close()


@pytest.fixture
def photo(tmp_path: Path) -> str:
    """Give the path of a photo."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg())
    return str(path)


def unavailable(chain: Chain, photo: str) -> EngineUnavailable:
    """Return why not one engine could be asked."""
    with pytest.raises(EngineUnavailable) as caught:
        chain.read_file(photo, Request())
    return caught.value


def test_no_engine(forge: Forge, make: Make) -> None:
    """Without an engine nothing takes time, and a photo is not even opened."""
    chain = make(forge({}))
    reading = chain.read_file("/nowhere", Request())

    assert (False, 0.0) == (chain.waits, chain.slowest)
    assert (None, (), "", False) == (reading.text, reading.tried, reading.code, reading.review)


def test_slowest(forge: Forge, make: Make) -> None:
    """The slower of what is at work and of what is wanted counts: three calls and starts for each engine."""
    chain = make(forge(SAYS))
    assert 3 * (40.0 + 30.0) == chain.slowest

    chain.adopt(forge(SAYS | {"away": {}}))
    assert 2 * 3 * (40.0 + 30.0) == chain.slowest
    chain.adopt(forge({}))
    assert 3 * (40.0 + 30.0) == chain.slowest


def test_ask(forge: Forge, make: Make, photo: str) -> None:
    """A stored photo is read as the kind of picture that it is said to be."""
    links = forge({"answers": {"text": "1234"}})
    plate = replace(RECORD.image, kind="plate")

    reading = make(links).ask(StoredImage(plate, photo))
    assert ("1234", "answers", ("answers",)) == (reading.text, reading.engine, reading.tried)


def test_ask_without_a_sidecar(forge: Forge, make: Make, photo: str) -> None:
    """A photo that nothing is said about is read all the same."""
    chain = make(forge(SAYS))
    assert "1234BCD" == chain.ask(StoredImage(replace(RECORD.image, sidecar=None), photo)).text


def test_adopt_keeps_children(forge: Forge, make: Make, photo: str) -> None:
    """Links with the same options change what is made of an answer, with the children that are there."""
    links = forge(SAYS)
    chain = make(links)
    assert "1234BCD" == chain.read_file(photo, Request()).text
    desk = chain._desk

    chain.adopt(replace(links, separators=True))
    assert "1234-BCD" == chain.read_file(photo, Request()).text
    assert desk is chain._desk


def test_adopt_other_engines(forge: Forge, make: Make, photo: str) -> None:
    """Other engines are asked from the next photo on, and the children of the old ones are gone."""
    links = forge(SAYS)
    chain = make(links)
    chain.read_file(photo, Request())
    desk = chain._desk
    options = replace(links.options, options={"answers": {"text": "9876XYZ"}})

    chain.adopt(forged(options, 0.5, lambda: 0.0))
    assert "9876XYZ" == chain.read_file(photo, Request()).text
    with pytest.raises(ChildLost):
        desk.open_file(photo)


def test_shared_breakers(forge: Forge, make: Make, photo: str, hands: Hands) -> None:
    """An engine that asked one reader for a pause is left alone by the other one too, with its remedy."""
    links = forge({"away": {}})
    one, other = make(links), make(links)

    assert "It is not here. Fetch it." in str(unavailable(one, photo))
    hands.turn(2.0)
    assert "away is left alone for 3 s: It is not here. Fetch it." in str(unavailable(other, photo))


def test_shared_notes(forge: Forge, make: Make, photo: str) -> None:
    """What the engine of every reader tells the operator is logged once."""
    links = forge({"answers": {"text": "1234BCD", "note": "The model old is refused."}})
    with capture_logs() as logs:
        for chain in (make(links), make(links)):
            chain.read_file(photo, Request())

    assert ["The model old is refused."] == [log["reason"] for log in logs if log["event"] == "reading.engine_noted"]


def test_new_links_try_at_once(forge: Forge, make: Make, photo: str) -> None:
    """What an operator has just set is tried without waiting for the old breaker."""
    links = forge({"away": {}})
    chain = make(links)
    unavailable(chain, photo)

    chain.adopt(forged(links.options, links.believable, lambda: 0.0))
    assert "left alone" not in str(unavailable(chain, photo))


def test_a_person_has_it_tried_at_once(forge: Forge, make: Make, photo: str) -> None:
    """An engine that is left alone is asked again, by every reader."""
    links = forge({"away": {}})
    one, other = make(links), make(links)
    unavailable(one, photo)

    one.forgive()
    assert "left alone" not in str(unavailable(other, photo))


def test_no_photo(forge: Forge, make: Make, tmp_path: Path) -> None:
    """A photo that the disk does not give is the fault of the disk, not of an engine."""
    with pytest.raises(StorageUnavailable) as caught:
        make(forge(SAYS)).read_file(str(tmp_path / "gone.jpg"), Request())
    assert ("storage_unavailable", "Check the disk and the rights.") == (caught.value.code, caught.value.hint)


def test_closed(forge: Forge, make: Make, photo: str) -> None:
    """A closed chain stays closed, whatever it is to adopt."""
    chain = make(forge(SAYS))
    chain.close()
    chain.adopt(forge({"answers": {}}))

    with pytest.raises(ChildLost) as caught:
        chain.read_file(photo, Request())
    assert not caught.value.late


def test_closed_meanwhile(forge: Forge, make: Make, photo: str) -> None:
    """A networked engine that is cut short by the end was not unavailable: the photo is given back."""
    chain = make(forge({"hangs" + AFAR: {}}))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(chain.read_file, photo, Request())
        assert eventually(lambda: chain._desk._network._process is not None)
        chain.close()
        error = answer.exception(20)

    assert isinstance(error, ChildLost)
    assert ("It was cut short.", False) == (str(error), error.late)
