"""A camera uploads by FTP to a real vsftpd, in all the ways in which that goes well and badly."""

from __future__ import annotations

import ftplib
import io
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.house import PATIENCE, House
from tests.makers import eventually, jpeg

VSFTPD = shutil.which("vsftpd", path=os.environ.get("PATH", "") + ":/usr/sbin")
USER = "ftp"  # vsftpd's package makes it
PHOTO = jpeg(7, (640, 480))

pytestmark = pytest.mark.skipif(
    VSFTPD is None or os.geteuid() != 0, reason="vsftpd is not installed, or we are not root and cannot start it"
)


class Camera:
    """An FTP client as cameras have one."""

    def __init__(self, port: int) -> None:
        self.ftp = ftplib.FTP(timeout=PATIENCE)  # noqa: S321 (cameras speak plain FTP; this one stays on loopback)
        self.ftp.connect("127.0.0.1", port)
        self.ftp.login("anonymous", "camera@example.org")

    def upload(self, name: str, data: bytes, *, rest: int | None = None) -> None:
        """Upload *data* as *name*, from the offset *rest* on."""
        self.ftp.storbinary(f"STOR {name}", io.BytesIO(data), rest=rest)

    def begin(self, name: str) -> socket.socket:
        """Begin an upload and return its data connection."""
        return self.ftp.transfercmd(f"STOR {name}")


Connect = Callable[[], Camera]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A house whose inbox is the upload folder of the FTP user."""
    root = tmp_path / "ftp"
    root.mkdir()
    house = House(tmp_path, "[inbox]\nincomplete_after_seconds = 1.0\n", inbox=root / "cam1")
    user = pwd.getpwnam(USER)
    os.chown(house.inbox, user.pw_uid, user.pw_gid)
    for folder in (root, *root.parents):
        if str(folder).startswith("/tmp/pytest"):  # noqa: S108 (the folders above belong to the machine)
            folder.chmod(0o755)
    return house


@pytest.fixture
def port(house: House, tmp_path: Path) -> Iterator[int]:
    """Run vsftpd on a port of its own, as a camera's server is set up; it takes uploads and resumes them."""
    assert VSFTPD is not None
    port = _free_port()
    empty = tmp_path / "empty"
    empty.mkdir()
    config = tmp_path / "vsftpd.conf"
    config.write_text(
        f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\nrun_as_launching_user=NO\n"
        "anonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\n"
        f"anon_other_write_enable=YES\nanon_umask=022\nanon_root={house.inbox.parent}\nftp_username={USER}\n"
        f"no_anon_password=YES\nsecure_chroot_dir={empty}\nseccomp_sandbox=NO\nxferlog_enable=NO\n"
        f"vsftpd_log_file={tmp_path}/vsftpd.log\n",
        encoding="ascii",
    )
    server = subprocess.Popen([VSFTPD, str(config)], stdin=subprocess.DEVNULL)
    try:
        assert eventually(partial(_answers, port), PATIENCE)
        yield port
    finally:
        server.terminate()
        server.wait(PATIENCE)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    """Give a function that connects one more camera; all of them hang up at the end."""
    cameras: list[Camera] = []

    def connected() -> Camera:
        cameras.append(Camera(port))
        return cameras[-1]

    yield connected
    for camera in cameras:
        camera.ftp.close()


def _stored(house: House, row: dict[str, str]) -> bytes:
    return (house.uploads / row["imagen"]).read_bytes()


def test_a_whole_upload_becomes_a_row(house: House, connect: Connect) -> None:
    """An upload that ends well is taken in with its bytes."""
    with house.running():
        connect().upload("cam1/one.jpg", PHOTO)
        (row,) = house.wait_rows(1)

    assert PHOTO == _stored(house, row)


def test_a_slow_upload_is_waited_for(house: House, connect: Connect) -> None:
    """While the server still has the file open nothing is taken, however long the camera pauses."""
    with house.running():
        camera = connect()
        data = camera.begin("cam1/slow.jpg")
        data.sendall(PHOTO[:-2000])
        assert eventually((house.inbox / "slow.jpg").exists)
        # Twice as long as a file that nobody writes would be given.
        assert not eventually(lambda: house.rows() or house.said("intake.quarantined"), 2.0)
        data.sendall(PHOTO[-2000:])
        data.close()
        camera.ftp.voidresp()
        (row,) = house.wait_rows(1)

    assert PHOTO == _stored(house, row)


def test_an_upload_cut_half_way_is_quarantined(house: House, connect: Connect) -> None:
    """A connection that breaks leaves half a photo, which never becomes a row."""
    with house.running():
        camera = connect()
        data = camera.begin("cam1/cut.jpg")
        data.sendall(PHOTO[: len(PHOTO) // 2])
        data.close()
        camera.ftp.close()
        house.wait_quarantine("truncated")

    assert [] == house.rows()
    assert house.is_empty()


def test_an_upload_that_is_resumed_in_time_becomes_one_row(house: House, connect: Connect) -> None:
    """The second half, sent with REST before the patience is over, completes the photo."""
    house.config.write_text(
        house.config.read_text(encoding="utf-8").replace("incomplete_after_seconds = 1.0", ""), encoding="utf-8"
    )
    with house.running():
        half = len(PHOTO) // 2
        connect().upload("cam1/resumed.jpg", PHOTO[:half])
        assert not eventually(house.rows, 0.7)
        connect().upload("cam1/resumed.jpg", PHOTO[half:], rest=half)
        (row,) = house.wait_rows(1)

    assert PHOTO == _stored(house, row)


def test_a_camera_that_overwrites_its_file_loses_no_photo(house: House, connect: Connect) -> None:
    """Two photos under one name, the second sent over the first as soon as that was taken, are two rows."""
    with house.running():
        connect().upload("cam1/live.jpg", PHOTO)
        house.wait_rows(1)
        connect().upload("cam1/live.jpg", jpeg(8, (640, 480)))
        rows = house.wait_rows(2)

    assert [PHOTO, jpeg(8, (640, 480))] == [_stored(house, row) for row in rows]


def test_an_upload_renamed_into_place_is_taken_under_its_last_name(house: House, connect: Connect) -> None:
    """A camera that uploads as .part and renames at the end gets one row."""
    with house.running():
        camera = connect()
        camera.upload("cam1/x.jpg.part", PHOTO)
        assert not eventually(house.rows, 0.5)
        camera.ftp.rename("cam1/x.jpg.part", "cam1/x.jpg")
        (row,) = house.wait_rows(1)

    assert PHOTO == _stored(house, row)
