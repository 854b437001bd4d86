"""Every benchmark still runs: each once, in a tiny form. What they measure is not judged here."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.bench import accuracy, answers, burst, latency, measuring, million, readers, rest, start
from tests.bench.measuring import Figure, Section
from tests.bench.scores import miss_line
from tests.makers import jpeg
from tests.plate_photos import photo
from watcher import images

PLATE = "1234BCD"
CLEAR = photo("1234 BCD")


def has_figures(section: Section) -> bool:
    """Whether everything in *section* was measured and is said in words."""
    return bool(section.title) and all(
        re.match(r"\d", figure.value) and "nan" not in figure.value for figure in section.figures
    )


def test_a_photo_is_whole_and_has_its_size_and_no_twin(tmp_path: Path) -> None:
    """What the benchmarks feed the line is taken for real photos, of the size that was asked for."""
    for size in (2_000, 240_000):
        path = tmp_path / str(size)
        path.write_bytes(measuring.photo(1, size))
        with path.open("rb") as file:
            assert ("whole", "jpg") == images.ending(file.fileno(), size)
        assert abs(path.stat().st_size - size) <= 4

    assert measuring.photo(1, 2_000) != measuring.photo(2, 2_000)


def test_rows_are_counted_as_they_come(tmp_path: Path) -> None:
    """The header is no row, and a register that is not there has none."""
    rows = measuring.Rows(tmp_path / "rows")

    assert 0 == rows.count()
    (tmp_path / "rows").write_text("id,imagen\n1,a\n")
    assert (1, 1) == (rows.count(), rows.count())
    with (tmp_path / "rows").open("a") as file:
        file.write("2,b\n3,c\n")
    assert 3 == rows.count()
    with pytest.raises(TimeoutError):
        rows.wait(4, 0.01)


def test_shares_and_histograms_say_how_values_are_distributed() -> None:
    """The nearest rank is taken, and every step has its line with its count."""
    values = [0.1 * number for number in range(1, 101)]

    assert [5.0, 9.5, 10.0] == [round(measuring.share(values, part), 3) for part in (0.5, 0.95, 1.0)]
    assert ["0.000 s  ##### 10", "1.000 s", "2.000 s  #     1"] == [
        line.strip() for line in measuring.histogram([0.0] * 10 + [2.5], step=1.0, width=5).splitlines()
    ]


def test_the_table_is_markdown() -> None:
    """One line for each figure with the load of the machine, the notes below."""
    table = measuring.table([Section("burst", [Figure("rows a second", "151", "≥ 150")], "# 1", load=1.26)])

    assert "| burst | 1.3 | rows a second | 151 | ≥ 150 |" in table.splitlines()
    assert "```\n# 1\n```\n" in table


def test_burst(tmp_path: Path) -> None:
    """A burst of a few photos is measured, beside the bare loops."""
    assert has_figures(burst.measure(tmp_path, photos=5, size=3_000, floor=2))


def test_answers(tmp_path: Path) -> None:
    """The wait for answers is measured with a stand-in for the API."""
    assert has_figures(answers.measure(tmp_path, photos=3, readers=1, seconds=0.05))


def test_latency(tmp_path: Path) -> None:
    """All three ways of one photo are measured."""
    assert all(map(has_figures, latency.measure(tmp_path, photos=1, size=3_000, longest_pause=0.1)))


def test_start(tmp_path: Path) -> None:
    """Both kinds of start are measured."""
    assert all(map(has_figures, start.measure(tmp_path, starts=1, waiting=5, seconds=0.2)))


def test_rest(tmp_path: Path) -> None:
    """The cost of doing nothing is measured."""
    assert has_figures(rest.measure(tmp_path, seconds=0.2, photos=2))


def test_million(tmp_path: Path) -> None:
    """A full register and a full journal are made, used by the real daemon, and measured."""
    assert all(map(has_figures, million.measure(tmp_path, rows=50, appended=2, photos=2)))


@pytest.fixture
def plates(tmp_path: Path) -> Path:
    """Give a folder with two labelled photos in one sub-folder and one in another; only the last shows its plate."""
    rows = [["file", "x", "y", "w", "h", "plate"]]
    for file, plate, data in (("eu/1.jpg", "AB1", jpeg(1)), ("eu/2.jpg", "AB1", jpeg(2)), ("us/1.jpg", PLATE, CLEAR)):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(data)
        rows.append([file, "0", "0", "9", "9", plate])
    with (tmp_path / "labels.csv").open("w", newline="") as file_of_labels:
        csv.writer(file_of_labels).writerows(rows)
    return tmp_path


def test_accuracy(plates: Path) -> None:
    """Photos of two folders are read through the real desk, whose processes are watched, and told in every form."""
    report = accuracy.measure(plates, accuracy.settings_for("tesseract"), most=1, starts=1)
    figures = accuracy.section(report).figures
    objects = [json.loads(line) for line in accuracy.as_json(report, misses=True)]
    text = accuracy.as_text(report).splitlines()

    assert ["eu, 1 photos", "us, 1 photos", "all, 2 photos"] == [figure.what for figure in figures]
    assert figures[0].value.startswith("exact 0.0%, O as 0 0.0%, nothing 100.0%, wrong 0.0%, median ")
    assert figures[1].value.startswith("exact 100.0%, O as 0 100.0%, nothing 0.0%, wrong 0.0%, median ")
    assert report.peak > 10
    assert all(answer.cpu > 0 and answer.seconds > 0 for answer in report.answers)
    assert ["eu", "us", "all"] == [one["group"] for one in objects[:-1]]
    assert ("eu/1.jpg", "AB1", None) == tuple(objects[-1]["miss"][key] for key in ("file", "plate", "read"))
    assert ["exact", "0.0%", "100.0%", "50.0%"] == text[2].split()
    assert text[-1].startswith("tesseract: first answer of a fresh process after ")
    assert "| exact | 0.0% | 100.0% | 50.0% |" in accuracy.as_text(report, markdown=True).splitlines()


def test_accuracy_where_nobody_can_be_asked(plates: Path) -> None:
    """A photo for which no engine could be asked has failed, which is neither nothing nor wrong."""
    nowhere = "http://127.0.0.1:9/v1"
    config = plates / "watcher.toml"
    config.write_text(f'[engines.openai]\napi_key = "sk-x"\nbase_url = "{nowhere}"\n', encoding="utf-8")
    report = accuracy.measure(plates, accuracy.settings_for("openai", config), most=1, starts=1)

    assert [(1.0, 0.0, 0.0, 0.0)] * 3 == [
        (score.failed, score.nothing, score.wrong, score.exact) for score in report.scores
    ]
    assert "AB1 was read as failed" in miss_line(report.misses[0])


def test_readers(plates: Path) -> None:
    """The line with its two readers is measured beside two processes that only ask the engine."""
    assert has_figures(readers.measure(plates / "work", engine="tesseract", photos=4))
    given = readers.measure(plates / "more", engine="tesseract", photos=3, plates=plates)
    assert has_figures(given)
    assert "3 photos" in given.title
