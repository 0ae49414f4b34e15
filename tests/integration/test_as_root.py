"""Commands of root on the store of another user: nothing of root's is left there."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from qscpd.errors import ExitCode
from tests.support.daemon import Daemon, supervised
from tests.support.ports import free_port
from tests.support.programs import unmeasured
from tests.support.users import passable
from tests.support.waiting import PATIENCE_S

_USER = 54321
"""The daemon's user, for which the system has no name."""

_LOW = 443
_FIRST_FREE = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())

_ROOT = Path(__file__).parents[2]

_WATCHED = """
import os, sys

class Watch:
    "Refuse each import while another user acts: that user might have no right to read the module."
    def find_spec(self, name, path=None, target=None):
        if os.geteuid(): print(f"late import of {name}", file=sys.stderr); os._exit(99)

sys.meta_path.insert(0, Watch())
from qscpd.cli import main
main()
"""

COMMANDS = [
    ("checkconfig",),
    ("listusers",),
    ("adduser", "carol", "--generate"),
    ("passwd", "alice", "--generate"),
    ("lock", "alice"),
    ("unlock", "alice"),
    ("room", "create", "dev", "--owner", "alice"),
    ("room", "list"),
    ("room", "export", "dev"),
    ("export", "alice"),
    ("backup", "backups"),
    ("confirmclock",),
    ("room", "delete", "dev", "--yes"),
    ("deluser", "alice", "--yes"),
    ("erase", "bob", "--yes"),
]


def run(place: Path, *arguments: str, code: str = "") -> "subprocess.CompletedProcess[str]":
    """Run a command in an installation as root."""
    program = ["-c", code] if code else ["-m", "qscpd"]
    return subprocess.run(
        [sys.executable, *program, "-c", "config/qscpd.yaml", *arguments],
        capture_output=True,
        check=False,
        text=True,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        timeout=PATIENCE_S,
    )


def owners(place: Path) -> set[tuple[int, int]]:
    """Return the owners of everything that is the daemon's."""
    return {(path.stat().st_uid, path.stat().st_gid) for path in (place / "var", *(place / "var").iterdir())}


@contextmanager
def reachable() -> Iterator[None]:
    """Let every user pass to this Python and the checkout for a while."""
    with ExitStack() as stack:
        for needed in (sys.base_prefix, sys.prefix, _ROOT):
            stack.enter_context(passable(Path(needed)))
        yield


@pytest.fixture
def place() -> Iterator[Path]:
    """An installation of root's, whose store belongs to another user."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user; run the tests as root")
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        place.chmod(0o755)
        (place / "config").mkdir()
        subprocess.run(
            [sys.executable, "-m", "qscpd", "-c", "config/qscpd.yaml", "init", "--dev"],
            check=True,
            capture_output=True,
            cwd=place,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        config = place / "config/qscpd.yaml"
        text = re.sub("listen: .*", f'listen: ["127.0.0.1:{free_port()}"]', config.read_text())
        config.write_text(text + "  format: json\nlogin: {argon2: {memory: 8KiB, iterations: 1}}\n")
        for name in ("alice", "bob"):
            assert run(place, "adduser", name, "--generate").returncode == ExitCode.OK
        for path in (place / "var", *(place / "var").iterdir()):
            os.chown(path, _USER, _USER)
        os.chown(place / "certs/server.key", 0, _USER)
        (place / "certs/server.key").chmod(0o640)
        yield place


def test_every_command_leaves_the_owner(place: Path) -> None:
    """With the daemon stopped, a command of root works on the store as its owner, and imports before."""
    for command in COMMANDS:
        done = run(place, *command, code=_WATCHED)
        assert done.returncode == ExitCode.OK, (command, done.stderr)
        assert owners(place) == {(_USER, _USER)}, command


def test_the_daemon_of_root_becomes_the_owner(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store, journal, log and socket belong to the owner; then the service itself can use them."""
    for name in os.environ.keys() - unmeasured().keys():  # that user can't write coverage's files
        monkeypatch.delenv(name)
    with reachable():
        with supervised(Daemon(place / "var", place / "config/qscpd.yaml", debug=False)) as daemon:
            warning = daemon.wait_for_log("daemon.user")
            assert (warning["level"], warning["user"]) == ("warning", str(_USER))
            status = Path(f"/proc/{daemon.process.pid}/status").read_text()
            assert re.findall(r"^Uid:.*|^Gid:.*|^Groups:.*", status, re.MULTILINE) == [
                f"Uid:\t{_USER}\t{_USER}\t{_USER}\t{_USER}",
                f"Gid:\t{_USER}\t{_USER}\t{_USER}\t{_USER}",
                f"Groups:\t{_USER} ",
            ]
            assert {"qscpd.db-wal", "sessions.log", "admin.sock"} <= {
                p.name for p in (place / "var").iterdir()
            }
            assert owners(place) == {(_USER, _USER)}
        assert owners(place) == {(_USER, _USER)}
        if _FIRST_FREE > _LOW:
            done = run(place, "run", "--set", f"server.listen=127.0.0.1:{_LOW}")
            assert done.returncode == ExitCode.PERMISSION
            assert f"127.0.0.1:{_LOW}: user {_USER} can't use a port this low" in done.stderr


def test_a_daemon_of_root_that_its_user_can_not_read(place: Path) -> None:
    """A program in a closed directory is refused before anything is made."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    (closed / "qscpd").symlink_to(_ROOT / "qscpd")
    (closed / "qscp").symlink_to(_ROOT / "qscp")
    before = sorted((place / "var").iterdir())
    code = f"import sys; sys.path.insert(0, {str(closed)!r}); from qscpd.cli import main; main()"
    done = run(place, "run", code=code)
    assert done.returncode == ExitCode.PERMISSION
    assert f"belongs to user {_USER}, who can't enter " in done.stderr
    assert sorted((place / "var").iterdir()) == before


def test_the_layout_of_certbot(place: Path) -> None:
    """Root can read live/ and archive/, the daemon can't; `checkconfig` of root says so, as `run` would."""
    for name in ("live", "archive"):
        (place / name).mkdir(mode=0o700)
    for name in ("server.pem", "server.key"):
        (place / "certs" / name).rename(place / "archive" / name)
        (place / "live" / name).symlink_to(f"../archive/{name}")
    settings = ("--set", "tls.certificate=live/server.pem", "--set", "tls.key=live/server.key")
    for name in ("live", "archive"):
        done = run(place, "checkconfig", *settings)
        assert done.returncode == ExitCode.PERMISSION
        assert "no problems" not in done.stdout
        for line in done.stderr.splitlines():
            assert f"user {_USER} can't enter {place / name} (mode 0700, owner root)" in line
        (command, _) = re.findall("`(.*)`", done.stderr)
        subprocess.run(["sh", "-c", command], check=True)
    done = run(place, "checkconfig", *settings)
    assert done.returncode == ExitCode.OK
    assert f"no problems (checked as user {_USER})" in done.stdout


def test_a_low_port_needs_the_unit(place: Path) -> None:
    """Root could listen there, the daemon can't, unless the unit allows it."""
    if _FIRST_FREE <= _LOW:
        pytest.skip("every user can use low ports here; run sysctl net.ipv4.ip_unprivileged_port_start=1024")
    done = run(place, "checkconfig", "--set", f"server.listen=127.0.0.1:{_LOW}")
    assert done.returncode == ExitCode.PERMISSION
    assert f"127.0.0.1:{_LOW}: user {_USER} can't use a port this low" in done.stderr
    assert run(place, "checkconfig").returncode == ExitCode.OK


def test_a_stopped_process_is_no_status(place: Path) -> None:
    """A real daemon that hangs: `status` ends with the code for one that is not running."""
    for path in (place / "var", *(place / "var").iterdir()):
        os.chown(path, 0, 0)
    with supervised(Daemon(place / "var", place / "config/qscpd.yaml", debug=False)) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        done = run(place, "status")
        daemon.process.send_signal(signal.SIGCONT)
    assert done.returncode == ExitCode.NOT_RUNNING
    assert f"`kill -CONT {daemon.process.pid}`" in done.stderr
