import contextlib
import logging
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscpd.domain.model import (
    AccountState,
    ConversationRow,
    Keep,
    MessageRow,
    NewMessage,
    Refused,
    StoredMessage,
)
from qscpd.domain.rooms import DeniedError, RoomChange
from qscpd.errors import StoreDamagedError, StoreFullError
from qscpd.store import open_reader, store_url
from qscpd.store.sqlite import conversion
from qscpd.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from qscpd.store.sqlite.reader import SqliteReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.old_stores import FIXTURES, dump, fixture, make_old, version
from tests.support.searches import search_page
from tests.support.smalldisk import fill, largest_file, small_disk
from tests.support.stores import rows_of

TIME = 1_732_000_000_000
TIME_2 = 1_740_000_010_000


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A store made by the first version."""
    return make_old(tmp_path / "q.db", "schema1")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A store from before rooms: it has conversations of pairs only."""
    return make_old(tmp_path / "q.db", "schema2")


@pytest.fixture
def rooms(tmp_path: Path) -> Path:
    """A store from before blocks: it has a pair and a room."""
    return make_old(tmp_path / "q.db", "schema3_with_pair")


def old_id(number: int) -> str:
    """Return the id of a message in the oldest store."""
    return f"0192f0c1a{number:03x}7000800000000000{number:04x}"


def id_2(number: int) -> str:
    """Return the id of a message in the store from before rooms."""
    return f"01952000a{number:03x}7000800000000000{number:04x}"


def test_the_first_step_is_frozen() -> None:
    """The first migration step makes the same schema as the first version."""
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as old,
        contextlib.closing(sqlite3.connect(":memory:")) as new,
    ):
        old.executescript(fixture("schema1").read_text())
        new.executescript(MIGRATIONS[0])
        sql = "SELECT name, replace(sql, '    ', '') FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
        assert old.execute(sql).fetchall() == new.execute(sql).fetchall()


def test_the_oldest_store_keeps_its_messages(old: Path) -> None:
    """Accounts, messages with seqs and times, and the seqs of conversations survive an upgrade."""
    with contextlib.closing(SqliteStore(old)) as store:
        assert [(each.name, each.state) for each in store.accounts()] == [
            ("alice", AccountState.ACTIVE),
            ("bob", AccountState.LOCKED),
        ]
        assert rows_of(store, 1) == [
            MessageRow(1, TIME, 1, old_id(1), "the first letter"),
            MessageRow(2, TIME + 5, 2, old_id(2), "an answer, früh"),
            MessageRow(3, TIME + 5, 1, old_id(3), "third\nwith two lines"),
            MessageRow(4, TIME + 20, 1, old_id(5), "fourth"),
            MessageRow(5, TIME + 21, 1, old_id(6), "fifth"),
        ]
        assert [row[:2] + row[3:] for row in store.conversations(2)] == [
            (1, 1, 1, 5, 0, 0, False),
            (2, 3, 1, 1, 0, 0, True),
        ]
        assert len(store.epoch()) == 16
    assert version(old) == len(MIGRATIONS)


def test_the_oldest_store_works_after_the_upgrade(old: Path) -> None:
    """After the upgrade seqs continue, old ids are known, and old messages are found."""
    with contextlib.closing(SqliteStore(old)) as store:
        outcomes, _ = store.append(
            [
                NewMessage(1, 2, old_id(5), "fourth"),
                NewMessage(1, 2, old_id(3), "something else"),
                NewMessage(1, 2, "f" * 32, "sixth"),
            ]
        )
        new = outcomes[2]
        assert isinstance(new, StoredMessage)
        assert list(outcomes) == [
            StoredMessage(1, 4, TIME + 20, new=False),
            Refused(),
            StoredMessage(1, 6, new.time_ms),
        ]
        while store.housekeeping.step(Keep()):
            pass
        found, complete, _ = search_page(store, 2, ["FRUH"], limit=5)
        assert ([each.message.seq for each in found], complete) == ([2], True)


def test_the_second_step_is_frozen() -> None:
    """The first two migration steps make the same schema as the version before rooms."""
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as old,
        contextlib.closing(sqlite3.connect(":memory:")) as new,
    ):
        old.executescript(fixture("schema2").read_text())
        new.executescript("".join(MIGRATIONS[:2]))
        sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
        assert old.execute(sql).fetchall() == new.execute(sql).fetchall()


def test_the_third_step_is_frozen() -> None:
    """The first three migration steps make the same schema as the first version with rooms."""
    with (
        contextlib.closing(sqlite3.connect(":memory:")) as old,
        contextlib.closing(sqlite3.connect(":memory:")) as new,
    ):
        old.executescript(fixture("schema3").read_text())
        new.executescript("".join(MIGRATIONS[:3]))
        sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
        assert old.execute(sql).fetchall() == new.execute(sql).fetchall()


def test_an_upgraded_room_knows_who_created_it(tmp_path: Path) -> None:
    """A room from before counts for the user who created it; one of the operator for nobody."""
    path = make_old(tmp_path / "q.db", "schema3")
    with contextlib.closing(SqliteStore(path)) as store:
        rows = store._db.read("SELECT conversation, name, founder FROM rooms ORDER BY conversation")
        assert rows == [(1, "#dev", 1), (2, "#news", None), (3, "#old", 1), (4, "#old", 2)]
        assert store.memberships(1)[3].invited_by == 1
        with pytest.raises(DeniedError, match="The limit is 1"):
            store.change_room(RoomChange(action="create", room="#more", actor=1, most_owned=1))
        store.change_room(RoomChange(action="create", room="#more", actor=1, most_owned=2))
        store.change_room(RoomChange(action="leave", room="#dev", actor=3))
        assert store.memberships(1)[3].declined_until_ms > 0
    assert version(path) == len(MIGRATIONS)


def test_a_store_of_pairs_keeps_everything(pairs: Path) -> None:
    """Accounts, messages, first seqs, tombstones, positions, ids, words and the epoch survive."""
    before = {line for line in dump(pairs) if line.startswith("INSERT") and "sqlite_" not in line}
    with contextlib.closing(SqliteStore(pairs)) as store:
        assert version(pairs) == len(MIGRATIONS)
        assert store.epoch() == "00112233aabbccdd"
        assert [each.name for each in store.accounts()] == ["alice", "bob"]
        assert rows_of(store, 1) == [
            MessageRow(2, TIME_2, 2, id_2(2), "an answer, früh"),
            MessageRow(3, TIME_2 + 5, 1, id_2(4), "fourth"),
            MessageRow(4, TIME_2 + 5, 2, id_2(5), "fifth"),
            MessageRow(5, TIME_2 + 10, 1, id_2(6), "sixth, not indexed"),
        ]
        assert rows_of(store, 2) == [MessageRow(1, TIME_2, 3, id_2(3), None)]
        assert store.conversations(1) == [ConversationRow(1, 2, "bob", 2, 5, 0, 0)]
        assert store.conversations(2) == [
            ConversationRow(1, 1, "alice", 2, 5, 1, 2),
            ConversationRow(2, 3, "carol", 1, 1, 0, 0, deleted=True),
        ]
        found, complete, _ = search_page(store, 1, ["FRUH"], limit=5)
        assert ([each.message.seq for each in found], complete) == ([2], True)
        assert store.rooms() == []
    after = set(dump(pairs))
    rewritten = ('"conversations"', "words", '"chunks"')
    lost = {line for line in before - after if not any(each in line for each in rewritten)}
    assert lost == {"INSERT INTO \"meta\" VALUES('ids_indexed','3');"}


def test_a_store_of_pairs_works_after_the_upgrade(pairs: Path) -> None:
    """Numbers of conversations and seqs continue, old ids are known, and a room can be created."""
    with contextlib.closing(SqliteStore(pairs)) as store:
        outcomes, _ = store.append(
            [
                NewMessage(1, 2, id_2(1), "the first letter"),
                NewMessage(1, 2, id_2(6), "sixth, not indexed"),
                NewMessage(3, 2, id_2(3), "from somebody who goes"),
                NewMessage(2, 1, id_2(5), "something else"),
            ]
        )
        assert list(outcomes) == [
            StoredMessage(1, 1, TIME_2, new=False),
            StoredMessage(1, 5, TIME_2 + 10, new=False),
            StoredMessage(2, 1, TIME_2, new=False),
            Refused(),
        ]
        room = store.change_room(RoomChange(action="create", room="#dev", actor=1)).room
        assert room.id == 3
        assert store.add_account("dan", "x").id == 4
        outcomes, _ = store.append(
            [
                NewMessage(1, -3, f"{1:032x}", "in the room"),
                NewMessage(1, 4, f"{2:032x}", "in a new pair"),
                NewMessage(1, 2, f"{3:032x}", "in the old one"),
            ]
        )
        assert [(each.conversation, each.seq) for each in outcomes if isinstance(each, StoredMessage)] == [
            (3, 1),
            (4, 1),
            (1, 6),
        ]


def test_a_store_of_rooms_keeps_everything(rooms: Path) -> None:
    """Every row of a store from before blocks survives, and nobody is blocked in it."""
    added = {'"rooms"': ",1);", '"standings"': ",0);"}  # its founder; no declined invitation
    before = {
        line.removesuffix(");") + added.get(line.split()[2], ");")
        for line in dump(rooms)
        if line.startswith("INSERT") and not any(each in line for each in ("words", "chunks", "ids_indexed"))
    }
    with contextlib.closing(SqliteStore(rooms)) as store:
        assert version(rooms) == len(MIGRATIONS)
        assert store.blocks() == []
        assert [each.name for each in store.accounts()] == ["alice", "bob", "carol"]
        assert store.account_names()[3] == "carol~1"
        assert [each.action for each in store.room_log(2)] == ["mute", "invite", "create"]
    assert before - set(dump(rooms)) == set()
    assert version(rooms.with_name("q.db.schema3")) == 3


def test_a_store_of_rooms_works_after_the_upgrade(rooms: Path) -> None:
    """After the upgrade old ids are known, also under a block; new messages are refused."""
    with contextlib.closing(SqliteStore(rooms)) as store:
        store.block(2, 1)
        outcomes, _ = store.append(
            [
                NewMessage(1, 2, "0199c82cc00170008000000000000001", "the first letter"),
                NewMessage(1, 2, "f" * 32, "another one"),
                NewMessage(1, 4, "e" * 32, "to carol"),
            ]
        )
        assert list(outcomes[:2]) == [
            StoredMessage(1, 1, 1_760_000_000_025, new=False),
            Refused(ErrorCode.NOT_ACCEPTED),
        ]
        assert isinstance(outcomes[2], StoredMessage)


@pytest.mark.parametrize("schema", FIXTURES)
def test_an_upgraded_store_has_the_schema_of_a_new_one(tmp_path: Path, schema: str) -> None:
    """An upgraded store has the same tables, indexes and foreign keys, and enforces them."""
    new = tmp_path / "new.db"
    SqliteStore(new).close()
    old = make_old(tmp_path / "old.db", schema)
    with contextlib.closing(SqliteStore(old)) as store:
        assert store._db.read("PRAGMA foreign_keys") == [(1,)]
        assert store._db.read("PRAGMA foreign_key_check") == []
        assert store._db.read("PRAGMA integrity_check") == [("ok",)]
        for row in (
            "positions (account, conversation) VALUES (1, 99)",
            "conversations (low, high, last_seq, last_ms) VALUES (1, 99, 0, 0)",
            "rooms VALUES (99, '#more', 'open', 'full', '', 0, 'active', 0, NULL)",
            "blocks VALUES (1, 99, 0)",
            "blocks VALUES (1, 99, 0)",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
                store._db.connection.execute(f"INSERT INTO {row}")
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            store._db.connection.execute(
                "INSERT INTO conversations (low, last_seq, last_ms) VALUES (1, 0, 0)"
            )
    schemas = []
    for path in (old, new):
        with contextlib.closing(sqlite3.connect(path)) as db:
            sql = "SELECT name, sql FROM sqlite_schema ORDER BY name"
            schemas.append([(name, " ".join((text or "").split())) for name, text in db.execute(sql)])
    assert schemas[0] == schemas[1]


def test_dangling_references_stop_the_upgrade(pairs: Path) -> None:
    """A store whose foreign key check fails is refused and left unchanged."""
    with contextlib.closing(sqlite3.connect(pairs)) as db:
        db.execute("INSERT INTO positions (account, conversation) VALUES (1, 77)")
        db.commit()
    before = dump(pairs)
    with pytest.raises(StoreDamagedError, match="foreign key check failed"):
        SqliteStore(pairs)
    assert dump(pairs) == before
    assert version(pairs) == 2


def test_a_copy_of_the_store_of_pairs_is_kept(pairs: Path) -> None:
    """The copy of a store from before rooms has the number of its schema in its name."""
    SqliteStore(pairs).close()
    assert version(pairs.with_name("q.db.schema2")) == 2


def test_a_copy_is_kept_before_a_migration(old: Path) -> None:
    """The copy of the old file is complete, readable by its owner only, and a single file."""
    before = dump(old)
    SqliteStore(old).close()
    copy = old.with_name("q.db.schema1")
    assert dump(copy) == before
    assert version(copy) == 1
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(each.name for each in old.parent.iterdir()) == ["q.db", "q.db.schema1"]


def test_a_new_and_a_current_store_keep_no_copy(tmp_path: Path) -> None:
    """Opening a new or current store makes no copy."""
    SqliteStore(tmp_path / "q.db").close()
    SqliteStore(tmp_path / "q.db").close()
    assert [each.name for each in tmp_path.iterdir()] == ["q.db"]


def test_an_unfinished_copy_is_replaced(old: Path) -> None:
    """The remains of an interrupted copy of an earlier version are replaced by the next one."""
    old.with_name("q.db.schema1.part").write_text("half")
    SqliteStore(old).close()
    assert sorted(each.name for each in old.parent.iterdir()) == ["q.db", "q.db.schema1"]


def test_a_disk_too_full_for_the_copy_changes_nothing(tmp_path: Path) -> None:
    """If the new file does not fit on the disk, nothing is migrated and no part of it stays."""
    with small_disk(tmp_path / "disk", 256) as disk:
        old = make_old(disk / "q.db", "schema1")
        before = dump(old)
        filler = fill(disk, leave=40_000)
        with pytest.raises(StoreFullError, match="no room on the disk"):
            SqliteStore(old)
        assert not list(disk.glob("*.part"))
        assert not list(disk.glob("*.schema1"))
        filler.unlink()
        assert dump(old) == before
        SqliteStore(old).close()
        assert version(old) == len(MIGRATIONS)


def test_a_copy_that_can_not_grow_changes_nothing(old: Path) -> None:
    """A quota, or a limit on the size of files, is reported as a full disk is."""
    with contextlib.closing(sqlite3.connect(old)) as db:  # the largest of the files
        db.execute("INSERT INTO accounts VALUES (99, ?, 'locked', 'x', 1)", ("z" * 40_000,))
        db.commit()
    before = dump(old)
    with (
        largest_file(old.stat().st_size - 1),
        pytest.raises(
            StoreFullError, match="no room on the disk, or in its quota, for the store in its new form"
        ),
    ):
        SqliteStore(old)
    assert [each.name for each in old.parent.iterdir()] == [old.name]
    assert dump(old) == before


def test_a_step_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing step leaves the store as it was; the next open can try again."""
    before = dump(old)
    with monkeypatch.context() as patch:
        patch.setattr(conversion, "MIGRATIONS", (*MIGRATIONS, "SELECT 1 FROM nowhere;"))
        with pytest.raises(Exception, match="no such table"):
            SqliteStore(old)
    assert dump(old) == before
    SqliteStore(old).close()
    assert version(old) == len(MIGRATIONS)


def test_a_kill_during_the_upgrade_changes_nothing(old: Path) -> None:
    """A process that dies between two steps leaves the file unchanged."""
    before = dump(old)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from qscpd.store.sqlite.conversion import Conversion\n"
        "from qscpd.store.sqlite.database import Database\n"
        "Conversion._check_references = lambda self: os._exit(9)\n"
        "Database(Path(sys.argv[1]))\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(old)], check=False, cwd=Path.cwd())
    assert killed.returncode == 9
    assert dump(old) == before
    SqliteStore(old).close()
    assert version(old) == len(MIGRATIONS)


def test_an_upgrade_is_a_finding(old: Path) -> None:
    """The log and the command that migrates say from where, to where, and what was kept; only once."""
    with contextlib.closing(SqliteStore(old)) as store:
        (found,) = store.findings
    assert (found.event, found.level, found.daemon_only) == ("migrated", logging.INFO, False)
    assert found.text.startswith(f"{old}: was brought from schema 1 to {len(MIGRATIONS)} in ")
    assert f"the store as it was is {old}.schema1" in found.text
    with contextlib.closing(SqliteStore(old)) as store:
        assert store.findings == ()


def test_a_new_store_is_no_upgrade(tmp_path: Path) -> None:
    """A store that is made with the newest schema has nothing to report."""
    with contextlib.closing(SqliteStore(tmp_path / "new.db")) as store:
        assert store.findings == ()


def test_a_newer_schema_is_refused(old: Path) -> None:
    """Neither the store nor the reader opens a newer schema; the file is unchanged."""
    with contextlib.closing(sqlite3.connect(old)) as db:
        db.execute("PRAGMA user_version = 99")
    content = old.read_bytes()
    for open_it in (SqliteStore, SqliteReader):
        with pytest.raises(StoreDamagedError, match=r"made by a newer qscpd \(schema 99, this one knows"):
            open_it(old)
    assert old.read_bytes() == content


def test_a_reader_refuses_an_older_schema(old: Path) -> None:
    """A reader does not migrate an older schema; its error names `qscpd run`."""
    with pytest.raises(StoreDamagedError, match=r"made by an older qscpd \(schema 1.*`qscpd run`"):
        open_reader(store_url(old))
    assert version(old) == 1


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    """Neither the store nor the reader opens another program's database; the file is unchanged."""
    path = tmp_path / "q.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")
    content = path.read_bytes()
    for open_it in (SqliteStore, SqliteReader):
        with pytest.raises(StoreDamagedError, match="a database of another program"):
            open_it(path)
    assert path.read_bytes() == content
    assert int.from_bytes(b"QSCP", "big") == APPLICATION_ID


def test_an_empty_file_is_no_store(tmp_path: Path) -> None:
    """Reading and writing refuse an empty file; after it is deleted, a store is made."""
    path = tmp_path / "q.db"
    path.touch(mode=0o600)
    with pytest.raises(StoreDamagedError, match="the file is empty"):
        open_reader(store_url(path))
    with pytest.raises(StoreDamagedError, match="the file is empty"):
        SqliteStore(path)
    assert path.read_bytes() == b""
    path.unlink()
    SqliteStore(path).close()
    open_reader(store_url(path)).close()
    assert version(path) == len(MIGRATIONS)
