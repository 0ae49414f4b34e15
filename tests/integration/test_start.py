"""Daemons that can't start: one sentence, and the documented exit code."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from qscpd.store.sqlite.lock import StoreLock
from qscpd.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from tests.support.daemon import Daemon, StartDaemon, add_accounts, running_daemon, write_config
from tests.support.waiting import PATIENCE_S


def refused(directory: Path, authority: AuthorityFiles, *settings: str) -> tuple[int, str]:
    """Run a daemon that can't start; return its exit code and its standard error."""
    config = write_config(directory, authority)
    overrides = [argument for setting in settings for argument in ("--set", setting)]
    process = subprocess.run(
        [sys.executable, "-m", "qscpd", "run", "-c", config, *overrides],
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )
    assert process.stdout == ""
    return process.returncode, process.stderr


def one_sentence(text: str) -> str:
    """Return a text, which must be a single line and no traceback."""
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    return text


def garbage(path: Path) -> None:
    """Write a file that is not a database."""
    path.touch(mode=0o600)
    path.write_bytes(b"not a database, but long enough to be looked at " * 20)


def directory(path: Path) -> None:
    """Make a directory where a file should be."""
    path.mkdir()


def damaged(path: Path) -> None:
    """Make a store, and overwrite the middle of it."""
    add_accounts(path, {f"user{n}": "password" for n in range(500)})
    content = bytearray(path.read_bytes())
    content[4096:12288] = os.urandom(8192)
    path.write_bytes(content)


def test_port_in_use(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A port in use is reported with its address."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        code, text = refused(tmp_path, authority, f"server.listen=127.0.0.1:{port}")
    assert code == ExitCode.FAILED
    assert f"127.0.0.1:{port}: the port is in use" in one_sentence(text)


def test_a_second_daemon(start_daemon: StartDaemon, tmp_path: Path, authority: AuthorityFiles) -> None:
    """A second daemon on the same store is refused, and the first one goes on."""
    daemon = start_daemon()
    code, text = refused(tmp_path, authority)
    assert code == ExitCode.FAILED
    assert "another qscpd process is using this store" in one_sentence(text)
    assert daemon.run("status").returncode == 0


def test_an_admin_socket_in_use(daemon: Daemon, tmp_path: Path, authority: AuthorityFiles) -> None:
    """An admin socket in use is reported, and the other daemon keeps it."""
    path = daemon.directory / "admin.sock"
    code, text = refused(tmp_path, authority, f"server.admin_socket={path}")
    assert code == ExitCode.EXISTS
    assert str(path) in one_sentence(text)
    assert daemon.run("status").returncode == 0


@pytest.mark.parametrize("broken", ["certificate", "key"])
def test_a_broken_certificate(tmp_path: Path, authority: AuthorityFiles, broken: str) -> None:
    """A missing or invalid file is reported with its path."""
    path = tmp_path / "broken.pem"
    code, text = refused(tmp_path, authority, f"tls.{broken}={path}")
    assert code == ExitCode.CONFIG
    assert str(path) in one_sentence(text)
    path.touch(mode=0o600)
    code, text = refused(tmp_path, authority, f"tls.{broken}={path}")
    assert code == ExitCode.CONFIG
    assert str(path) in one_sentence(text)


def test_a_key_open_to_the_world(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A key that all users can read is refused, with the command that helps."""
    key = tmp_path / "server.key"
    key.write_bytes(authority.key.read_bytes())
    key.chmod(0o644)
    code, text = refused(tmp_path, authority, f"tls.key={key}")
    assert code == ExitCode.PERMISSION
    assert "chmod 600" in one_sentence(text)


def test_files_that_others_can_change(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A configuration or CA key that others can change is refused by `run`, with the command that helps."""
    certs = AuthorityFiles(tmp_path / "certs")
    shutil.copytree(authority.directory, certs.directory)
    certs.ca_key.chmod(0o644)
    code, text = refused(tmp_path, certs)
    assert code == ExitCode.PERMISSION
    assert f"`chmod 600 {certs.ca_key}`" in one_sentence(text)
    certs.ca_key.chmod(0o600)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    code, text = refused(tmp_path / "open", certs)
    assert code == ExitCode.PERMISSION
    assert f"`chmod o-w {tmp_path / 'open'}`" in one_sentence(text)


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o666])
def test_a_store_open_to_others(tmp_path: Path, authority: AuthorityFiles, mode: int) -> None:
    """A store that others can read or change is refused, with the command after which it is served."""
    store = tmp_path / "qscpd.db"
    add_accounts(store, {"alice": "correct horse"})
    store.chmod(mode)
    code, text = refused(tmp_path, authority)
    assert code == ExitCode.PERMISSION
    assert f"(mode {mode:04o}); run `chmod 600 {store}`" in one_sentence(text)
    store.chmod(0o600)
    with running_daemon(tmp_path, authority):
        assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("qscpd.db*")} == {0o600}


def test_a_directory_open_to_others(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A directory where others can put a journal beside the store is refused."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var").chmod(0o777)
    code, text = refused(tmp_path, authority, f"store.path={tmp_path}/var/qscpd.db")
    assert code == ExitCode.PERMISSION
    assert f"`chmod o-w {tmp_path}/var`" in one_sentence(text)
    assert list((tmp_path / "var").iterdir()) == []


def test_an_empty_store(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A file without content in the place of the store is a lost store, never a new one."""
    store = tmp_path / "qscpd.db"
    store.touch(mode=0o600)
    code, text = refused(tmp_path, authority)
    assert code == ExitCode.FAILED
    assert f"{store}: the file is empty, so its content was lost. Restore a backup" in one_sentence(text)
    assert store.stat().st_size == 0


def test_a_new_store(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A store without an account can be one in the place of a lost one: the log says so until it has some."""
    store = tmp_path / "qscpd.db"
    add_accounts(store, {})
    with running_daemon(tmp_path, authority) as daemon:
        found = daemon.wait_for_log("store.new")
        assert found["level"] == "warning"
        assert found["found"].startswith(f"{store}: a new store, which never had an account")
    add_accounts(store, {"alice": "correct horse"})
    with running_daemon(tmp_path, authority) as daemon:
        assert "store.new" not in [line["event"] for line in daemon.log]


def test_an_upgraded_store(tmp_path: Path, authority: AuthorityFiles) -> None:
    """The log has the progress of the migration and its end, with the copy that it left."""
    store = tmp_path / "qscpd.db"
    with contextlib.closing(sqlite3.connect(store)) as old:
        old.executescript(MIGRATIONS[0])
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
    store.chmod(0o600)
    with running_daemon(tmp_path, authority) as daemon:
        progress = daemon.wait_for_log("store.migrating")
        found = daemon.wait_for_log("store.migrated")
    assert (progress["level"], progress["store"]) == ("info", str(store))
    assert (found["level"], f"{store}.schema1" in found["found"]) == ("info", True)


@pytest.mark.parametrize("damage", [garbage, directory, damaged])
def test_a_damaged_store(tmp_path: Path, authority: AuthorityFiles, damage: Callable[[Path], None]) -> None:
    """A damaged store is reported, and left as it is."""
    path = tmp_path / "qscpd.db"
    damage(path)
    before = path.read_bytes() if path.is_file() else b""
    code, text = refused(tmp_path, authority)
    assert code == ExitCode.FAILED
    assert str(path) in one_sentence(text)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_missing_directories(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A missing directory of the store or the session log is reported."""
    code, text = refused(tmp_path, authority, f"store.path={tmp_path}/nowhere/qscpd.db")
    assert code == ExitCode.FAILED
    assert "nowhere/qscpd.db" in one_sentence(text)
    code, text = refused(tmp_path, authority, f"log.session_log={tmp_path}/nowhere/sessions.log")
    assert code == ExitCode.FAILED
    assert "nowhere/sessions.log" in one_sentence(text)


def test_a_failed_start_leaves_nothing_behind(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A failed start releases the lock, and leaves no socket and no journal."""
    refused(tmp_path, authority, f"log.session_log={tmp_path}/nowhere/sessions.log")
    with StoreLock(tmp_path / "qscpd.db"):
        assert not (tmp_path / "admin.sock").exists()
        assert not (tmp_path / "qscpd.db-wal").exists()
