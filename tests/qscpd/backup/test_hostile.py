"""Backups from an attacker: `verify` and `restore` read and run nothing else, print no controls, and end."""

import contextlib
import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from qscpd.backup import find_problems, make_backup, prune_backups, read_manifest, restore_backup
from qscpd.backup.content import printable
from qscpd.config import LoadedConfig
from qscpd.errors import QscpdError
from qscpd.store.sqlite.migrations import MIGRATIONS
from tests.support.backups import forge

FILES = ["manifest.json", "qscpd.db", "qscpd.yaml", "server.pem", "server.key", "ca.pem", "ca.key"]


def link(path: Path) -> None:
    """Put a symbolic link to a file with the right content in the place of a file."""
    path.rename(path.with_name("aside"))
    path.symlink_to("aside")


def dangling(path: Path) -> None:
    """Put a symbolic link to nothing in the place of a file."""
    path.unlink()
    path.symlink_to("/nowhere/at/all")


def loop(path: Path) -> None:
    """Put a symbolic link to itself in the place of a file."""
    path.unlink()
    path.symlink_to(path.name)


def fifo(path: Path) -> None:
    """Put a pipe that nobody writes to in the place of a file."""
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    """Put a link to an endless device in the place of a file."""
    path.unlink()
    path.symlink_to("/dev/zero")


def listener(path: Path) -> None:
    """Put a socket in the place of a file."""
    path.unlink()
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def directory(path: Path) -> None:
    """Put a directory in the place of a file."""
    path.unlink()
    path.mkdir()


def refused(backup: Path, into: Path) -> str:
    """Check that neither `verify` nor `restore` accepts a backup; return the first problem."""
    problems = find_problems(backup)
    assert problems
    assert all(each.isprintable() and len(each) < 1100 for each in problems)
    with pytest.raises(QscpdError) as caught:
        restore_backup(backup, into)
    assert str(caught.value).isprintable()
    assert not into.exists() or not any(into.iterdir())
    return problems[0]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [link, dangling, loop, fifo, device, listener, directory])
def test_only_regular_files_are_read(
    backup: Path, tmp_path: Path, change: Callable[[Path], None], name: str
) -> None:
    """A link is not followed, a pipe not waited for, a device not read: the file is named."""
    change(backup / name)
    problem = refused(backup, tmp_path / "new")
    assert problem.startswith(f"{backup / name}: ")
    kind = "symbolic link" if change in (link, dangling, loop, device) else ""
    assert kind in problem


def test_a_hard_link_is_copied(backup: Path, tmp_path: Path) -> None:
    """A backup of hard links, as some programs make them, is restored into files of their own."""
    for name in FILES:
        os.link(backup / name, tmp_path / name)
    assert find_problems(backup) == []
    restore_backup(backup, tmp_path / "new")
    for path in (tmp_path / "new").rglob("*.*"):
        assert not path.is_file() or path.stat().st_nlink == 1


def test_a_pipe_is_no_obstacle_to_prune(loaded: LoadedConfig, tmp_path: Path) -> None:
    """A folder whose manifest is a pipe is no backup to `prune`."""
    backups = [make_backup(tmp_path / "many", loaded) for _ in range(2)]
    fifo(backups[0] / "manifest.json")
    assert prune_backups(tmp_path / "many", 1).kept == [backups[1]]


# --- what is printed

BAD = "\x1b]0;owned\x07\r\n\u202e\x9b31m"


@pytest.mark.parametrize(
    "changes",
    [
        {"version": BAD, "format": 2},
        {"version": BAD, "schema": 99},
        {"epoch": BAD},
        {BAD: BAD, "schema": BAD},
        {"files": [{"name": BAD, "size": 1, "sha256": BAD}]},
        {"files": [{"name": "../../etc/shadow", "size": 1, "sha256": ""}]},
        {"files": [{"name": "qscpd.db\0", "size": 1, "sha256": ""}]},
        {"files": [{"name": "qscpd.db", "size": 1, "sha256": "", BAD: 1}]},
    ],
)
def test_a_manifest_prints_nothing_harmful(backup: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    """No text of a manifest reaches the terminal as it is, and no name leads out of the backup."""
    forge(backup, **changes)
    refused(backup, tmp_path / "new")


def test_a_whole_backup_prints_nothing_harmful(backup: Path) -> None:
    """So if nothing is wrong with it."""
    forge(backup, version=BAD, created=BAD)
    assert find_problems(backup) == []
    manifest = read_manifest(backup)
    assert (manifest.version, manifest.created) == (printable(BAD), printable(BAD))
    assert printable(BAD).isprintable()


def test_a_configuration_prints_nothing_harmful(backup: Path, tmp_path: Path) -> None:
    """Keys and values of a configuration are printed with escapes."""
    (backup / "qscpd.yaml").write_text('server:\n  "li\\e[2Jsten": "\\e]0;x\\a"\n')
    forge(backup)
    assert "<U+001B>[2J" in " ".join(find_problems(backup))
    refused(backup, tmp_path / "new")


@pytest.mark.parametrize(
    "content",
    [
        b'{"x": ' + b"[" * 60_000,
        b'{"format": ' + b"9" * 60_000,
        b'{"format": 1, "x": "' + b"x" * 2_000_000 + b'"}',
        b"\xff\xfe",
        b"",
    ],
)
def test_a_manifest_of_any_size_and_depth(backup: Path, tmp_path: Path, content: bytes) -> None:
    """A manifest is small and flat; another one is refused."""
    (backup / "manifest.json").write_bytes(content)
    assert "is not a manifest" in refused(backup, tmp_path / "new")


def test_sizes_are_those_of_the_manifest(backup: Path, tmp_path: Path) -> None:
    """A file with another size is not read, however large it is."""
    with (backup / "qscpd.db").open("r+b") as file:
        file.truncate(1 << 42)
    assert f"has {1 << 42} bytes" in refused(backup, tmp_path / "new")


@pytest.mark.parametrize("name", ["qscpd.yaml", "server.key"])
def test_only_the_store_is_large(backup: Path, tmp_path: Path, name: str) -> None:
    """Other files are read at once, so a manifest that calls one large is refused."""
    manifest = json.loads((backup / "manifest.json").read_text())
    for file in manifest["files"]:
        if file["name"] == name:
            file["size"] = 1 << 42
    (backup / "manifest.json").write_text(json.dumps(manifest))
    with (backup / name).open("r+b") as opened:
        opened.truncate(1 << 42)
    assert name in refused(backup, tmp_path / "new")


def test_a_key_is_not_tested_for_primes(backup: Path, tmp_path: Path) -> None:
    """A key whose numbers do not fit, which can take minutes to find out, is only compared."""
    key = rsa.generate_private_key(65537, 2048)
    numbers = key.private_numbers()
    forged = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    (backup / "server.key").write_bytes(
        forged.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    forge(backup)
    assert "does not match" in refused(backup, tmp_path / "new")


# --- the store


@contextlib.contextmanager
def changed(backup: Path) -> Iterator[sqlite3.Connection]:
    """Change the store of a backup, and give the manifest the right hash."""
    with contextlib.closing(sqlite3.connect(backup / "qscpd.db", isolation_level=None)) as db:
        yield db
    forge(backup)


@pytest.mark.parametrize(
    ("sql", "named"),
    [
        ('CREATE TRIGGER "tr\x1b[2J" AFTER INSERT ON accounts BEGIN DELETE FROM chunks; END', "trigger"),
        ("CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM chunks; END", "trigger t"),
        ("CREATE VIEW secrets AS SELECT * FROM accounts", "view secrets"),
        ("CREATE TABLE notes (text TEXT)", "table notes"),
        ("CREATE INDEX more ON accounts (lower(name))", "index more"),
        ("CREATE VIRTUAL TABLE other USING fts5 (body)", "table other"),
        ("CREATE TABLE generated (a, b AS (abs(a)))", "table generated"),
        ("ALTER TABLE accounts ADD COLUMN more TEXT DEFAULT ('x')", "table accounts"),
        ("DROP INDEX account_names", "index account_names"),
        ("DROP TABLE words", "words"),
        (
            "ALTER TABLE accounts RENAME TO hidden; CREATE VIEW accounts AS SELECT * FROM hidden",
            "is another one",
        ),
    ],
)
@pytest.mark.parametrize("newer", [False, True])
def test_a_foreign_schema_is_refused(backup: Path, tmp_path: Path, sql: str, named: str, newer: bool) -> None:
    """Triggers, views, and tables and indexes that qscpd does not make so are named, and nothing runs."""
    with changed(backup) as db:
        db.executescript(sql)
        if newer:
            db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    problem = refused(backup, tmp_path / "new")
    if not newer:
        assert "its schema is none of qscpd" in problem
        assert named in problem


def test_statistics_of_an_operator_are_no_problem(backup: Path) -> None:
    """The tables that ANALYZE makes are SQLite's own."""
    with changed(backup) as db:
        db.execute("ANALYZE")
    assert find_problems(backup) == []


def test_a_view_behind_the_kind_of_a_table(backup: Path, tmp_path: Path) -> None:
    """What an object is called in the schema does not matter: its SQL is compared."""
    with changed(backup) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("CREATE TABLE notes (text TEXT)")
        db.execute(
            "UPDATE sqlite_schema SET sql = 'CREATE TRIGGER t AFTER INSERT ON accounts BEGIN SELECT 1; END', "
            "rootpage = 0 WHERE name = 'notes'"
        )
    refused(backup, tmp_path / "new")


def test_a_value_of_any_size(backup: Path, tmp_path: Path) -> None:
    """A value that no version writes is not read into memory."""
    with changed(backup) as db:
        db.execute("UPDATE chunks SET messages = zeroblob(200000000)")
    assert "too big" in refused(backup, tmp_path / "new")


def test_a_text_in_the_store_prints_nothing_harmful(backup: Path, tmp_path: Path) -> None:
    """The epoch of a store is printed if it is another one than in the manifest."""
    with changed(backup) as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'epoch'", (BAD,))
    assert "epoch is" in refused(backup, tmp_path / "new")


@pytest.mark.parametrize("kind", ["account", "room"])
def test_a_name_prints_nothing_harmful(backup: Path, tmp_path: Path, kind: str) -> None:
    """A name that the daemon never gives is refused: commands print the names of a restored store."""
    with changed(backup) as db:
        if kind == "account":
            db.execute("UPDATE accounts SET name = ? WHERE id = 1", (BAD,))
        else:
            db.execute(
                "INSERT INTO conversations (id, last_seq, last_ms, first_seq) "
                "SELECT max(id) + 1, 0, 0, 1 FROM conversations"
            )
            db.execute(
                "INSERT INTO rooms (conversation, name, kind, history, topic, slow_s, state, created_ms) "
                "SELECT max(id), ?, 'open', 'full', '', 0, 'active', 0 FROM conversations",
                (f"#{BAD}",),
            )
    assert f"it has a name that no {kind} can have: " in refused(backup, tmp_path / "new")
