"""The service: its unit, its user and folders, and its installation into a scratch tree."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.checkouts import SOURCE

SYSTEMD = SOURCE / "systemd"
UNIT = SYSTEMD / "matricula-watcher.service"
DROP_INS = sorted(SYSTEMD.glob("*.conf.example"))
PROGRAM = "/opt/matricula-watcher/.venv/bin/matricula-watcher"

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")


def settings() -> dict[str, list[str]]:
    """Return every setting of the unit, with its values in order."""
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def analyze(folder: Path, *words: str, drop_ins: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on a copy of the unit whose program exists, with *drop_ins* beside it."""
    copy = folder / UNIT.name
    copy.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true"))
    for drop_in in drop_ins:
        place = folder / f"{UNIT.name}.d" / drop_in.name.removesuffix(".example")
        place.parent.mkdir(exist_ok=True)
        shutil.copy(drop_in, place)
    command = ["systemd-analyze", *words, str(copy)]
    environment = os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def install(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the installation into a tree of its own."""
    command = [str(SYSTEMD / "install"), "--root", str(root), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def below(root: Path) -> list[str]:
    """Return every file in a tree."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_there_is_one_unit() -> None:
    """There is exactly one service file, and its drop-ins are examples until somebody copies them."""
    assert ["matricula-watcher.service"] == [path.name for path in SYSTEMD.glob("*.service")]
    assert ["network-share.conf.example", "vsftpd.conf.example"] == [path.name for path in DROP_INS]


@needs_systemd
def test_unit_is_understood(tmp_path: Path) -> None:
    """Debian's systemd understands every line of the unit: it has nothing to say about it."""
    done = analyze(tmp_path, "verify")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@needs_systemd
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.name)
def test_drop_in_is_understood(tmp_path: Path, drop_in: Path) -> None:
    """It understands every line of the examples, too."""
    done = analyze(tmp_path, "verify", drop_ins=(drop_in,))

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


@needs_systemd
def test_drop_in_that_is_not_understood(tmp_path: Path) -> None:
    """These checks look at drop-ins at all: a misspelt line in one is told."""
    wrong = tmp_path / "wrong.conf.example"
    wrong.write_text("[Service]\nReadWritePath=/srv\n")
    folder = tmp_path / "units"
    folder.mkdir()

    assert "ReadWritePath" in analyze(folder, "verify", drop_ins=(wrong,)).stderr


@needs_systemd
def test_unit_is_confined(tmp_path: Path) -> None:
    """The exposure that systemd-analyze counts is at most 1.5 of 10, where an open unit has 9.6."""
    done = analyze(tmp_path, "security", "--offline=true", "--threshold=15")

    assert 0 == done.returncode, done.stdout
    assert 1 == analyze(tmp_path, "security", "--offline=true", "--threshold=1").returncode


@needs_systemd
def test_unit_keeps_what_the_lease_needs(tmp_path: Path) -> None:
    """The one capability is CAP_LEASE, and nothing takes away its worth on files of other users."""
    items = json.loads(analyze(tmp_path, "security", "--offline=true", "--json=short").stdout)
    granted = [item["name"] for item in items if item["name"].startswith("CapabilityBoundingSet=") and not item["set"]]
    unit = settings()

    assert ["CapabilityBoundingSet=~CAP_LEASE"] == granted
    assert ["CAP_LEASE"] == unit["AmbientCapabilities"]
    assert "PrivateUsers" not in unit


def test_unit_and_program_agree() -> None:
    """Readiness and life signs come from the main process, 78 is not started again, a reload is SIGHUP."""
    unit = settings()

    assert ("notify", "main") == (unit["Type"][0], unit["NotifyAccess"][0])
    assert ("on-failure", "78") == (unit["Restart"][0], unit["RestartPreventExitStatus"][0])
    assert ["/bin/kill -HUP $MAINPID"] == unit["ExecReload"]
    assert [f"{PROGRAM} --config /etc/matricula-watcher/watcher.toml run"] == unit["ExecStart"]
    # The daemon itself takes up to 15 s to end.
    assert int(unit["TimeoutStopSec"][0]) > 15
    assert int(unit["WatchdogSec"][0]) > 0


def test_key_is_optional() -> None:
    """The service starts without a key: an empty line stands in where the file of the key is not there."""
    unit = settings()

    assert ["openai-api-key:/etc/matricula-watcher/credentials/openai-api-key"] == unit["LoadCredential"]
    assert [r"openai-api-key:\n"] == unit["SetCredential"]


def test_folders_of_the_unit() -> None:
    """Inbox, uploads and data lie under one path that the unit may write, its state, which is its working directory."""
    unit = settings()
    (line,) = re.findall(
        r"^u (\S+) .* (/\S+)$", (SYSTEMD / "matricula-watcher.sysusers.conf").read_text(), re.MULTILINE
    )

    assert ["matricula-watcher"] == unit["StateDirectory"]
    assert ["/var/lib/matricula-watcher"] == unit["WorkingDirectory"]
    assert "ReadWritePaths" not in unit
    assert (unit["User"][0], unit["WorkingDirectory"][0]) == line


def test_install_tells_what_it_would_do(tmp_path: Path) -> None:
    """A dry run names every file and changes nothing."""
    done = install(tmp_path, "--dry-run")

    assert 0 == done.returncode
    assert [] == list(tmp_path.iterdir())
    assert [
        "etc/matricula-watcher/watcher.toml",
        "etc/systemd/system/matricula-watcher.service",
        "etc/sysusers.d/matricula-watcher.conf",
        "etc/tmpfiles.d/matricula-watcher.conf",
        "usr/local/bin/matricula-watcher",
    ] == sorted(re.findall(rf"^write {re.escape(str(tmp_path))}/(\S+)$", done.stdout, re.MULTILINE))


def test_install_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    """A misspelt option stops it before anything is done."""
    done = install(tmp_path, "--dryrun")

    assert 1 == done.returncode
    assert "what is --dryrun?" in done.stderr
    assert [] == list(tmp_path.iterdir())


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to other users")


@needs_systemd
@needs_root
def test_install(tmp_path: Path) -> None:
    """Installed into a tree: user, folders with their rights, settings, command and unit, each in its place."""
    done = install(tmp_path)
    state = tmp_path / "var/lib/matricula-watcher"
    service = re.findall(r"^matricula-watcher:x?:?(\d+):(\d+)", (tmp_path / "etc/passwd").read_text(), re.MULTILINE)
    owner = tuple(map(int, service[0]))

    assert 0 == done.returncode, done.stderr
    for name, mode in {"": 0o750, "inbox": 0o2770, "uploads": 0o750, "data": 0o750}.items():
        found = (state / name).stat()
        assert (mode, *owner) == (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)
    assert 0o40700 == (tmp_path / "etc/matricula-watcher/credentials").stat().st_mode
    config = tmp_path / "etc/matricula-watcher/watcher.toml"
    assert (0o100640, 0, owner[1]) == (config.stat().st_mode, config.stat().st_uid, config.stat().st_gid)
    assert (SOURCE / "config/watcher.toml").read_bytes() == config.read_bytes()
    assert os.access(tmp_path / "usr/local/bin/matricula-watcher", os.X_OK)


@needs_systemd
@needs_root
def test_installed_paths_are_those_of_the_checkout(tmp_path: Path) -> None:
    """Unit and command start the program of the checkout that was installed, wherever that lies."""
    install(tmp_path)

    for name in ("etc/systemd/system/matricula-watcher.service", "usr/local/bin/matricula-watcher"):
        text = (tmp_path / name).read_text()
        assert f"{SOURCE}/.venv/bin/matricula-watcher" in text
        assert "/opt/" not in text.replace(str(SOURCE), "")


@needs_systemd
@needs_root
def test_install_again_keeps_the_settings(tmp_path: Path) -> None:
    """Installing a newer release renews the unit and leaves settings and state as they are."""
    install(tmp_path)
    config = tmp_path / "etc/matricula-watcher/watcher.toml"
    unit = tmp_path / "etc/systemd/system/matricula-watcher.service"
    photo = tmp_path / "var/lib/matricula-watcher/inbox/a.jpg"
    config.write_text("# mine\n")
    unit.write_text("# old\n")
    photo.write_text("photo")
    before = below(tmp_path)

    assert 0 == install(tmp_path).returncode
    assert "# mine\n" == config.read_text()
    assert "photo" == photo.read_text()
    assert "[Service]" in unit.read_text()
    assert before == below(tmp_path)


def test_installed_command_uses_the_folders_of_the_service() -> None:
    """The installed command reads the settings of the service, and root works as its user."""
    text = (SYSTEMD / "matricula-watcher").read_text()

    assert f"WATCHER_HOME={settings()['WorkingDirectory'][0]} " in text
    assert "WATCHER_CONFIG=/etc/matricula-watcher/watcher.toml\n" in text
    assert "--reuid matricula-watcher --regid matricula-watcher --init-groups" in text
