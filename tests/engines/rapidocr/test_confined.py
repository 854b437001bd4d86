"""The local reader where it lives: without a network, within the limits of its child, and silent."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from tests.plate_photos import draw, photo
from watcher.child.process import _ENVIRONMENT
from watcher.model import Request
from watcher.reader import Desk, ReaderOptions

ROOT = Path(__file__).parents[3]
PLATE, READ = "1234 BCD", "1234-BCD"
ALONE = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from tests.plate_photos import draw, pixels_of
from watcher.engines import load
from watcher.model import Request
assert ["lo"] == [name for _, name in socket.if_nameindex()], "there is a network"
engine = load("rapidocr", {})
said, read = engine.probe(), engine.read(pixels_of(draw(sys.argv[2])), Request())
with open("found", "w") as file:
    print(read.text, said, sep="\\n", file=file)
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not installed")
def test_needs_no_network(tmp_path: Path) -> None:
    """In a network namespace that nothing leads out of, it reads a plate, and nothing but that comes out of it."""
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True, check=False, timeout=60)
    if tried.returncode:
        pytest.skip("this machine does not let us make a network namespace")

    told = subprocess.run(
        [*alone, sys.executable, "-I", "-c", ALONE, str(ROOT), PLATE],
        cwd=tmp_path,
        env=_ENVIRONMENT | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (0, "", "") == (told.returncode, told.stdout, told.stderr)
    assert ["found"] == [path.name for path in tmp_path.rglob("*")]
    text, said = (tmp_path / "found").read_text().splitlines()
    assert READ == text
    assert "onnxruntime" in said


def test_reads_within_its_limits() -> None:
    """In its child, which opens no socket and has its share of memory, it reads one photo after another, silently."""
    with closing(Desk(ReaderOptions(engines=("rapidocr",)))) as desk:
        (seat,) = desk.seats
        for _ in range(3):
            desk.open(photo(PLATE))
            assert READ == seat.read(Request()).text
        process = desk._pixels._process

        assert process is not None
        assert "" == process.last_words()
        assert 1 == len(list(Path(f"/proc/{process.pid}/task").iterdir()))


def test_reads_the_largest_photo() -> None:
    """The largest photo that is let in, turned by its EXIF, is read again and again within the memory of the child."""
    exif, file = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = 6  # to be turned to the right
    lying = draw(PLATE).resize((8660, 5773)).transpose(Image.Transpose.ROTATE_90)
    lying.save(file, "JPEG", quality=80, exif=exif)
    with closing(Desk(ReaderOptions(engines=("rapidocr",)))) as desk:
        (seat,) = desk.seats
        for _ in range(2):
            assert (8660, 5773) == desk.open(file.getvalue())
            assert READ == seat.read(Request()).text
