"""Content of upgraded stores, compared with what the program of the old schema read."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from qscpd.errors import StoreDamagedError
from qscpd.store.damage import DamagedPlace
from qscpd.store.sqlite import chunks, conversion
from qscpd.store.sqlite.chunks import place_of
from qscpd.store.sqlite.database import Database
from tests.support.old_stores import FIXTURES, dump, expected, fixture, make_old, query, read_stored

COPIED = (
    "accounts",
    "conversations",
    "positions",
    "rooms",
    "standings",
    "room_log",
    "blocks",
)
"""Tables whose rows are as they were; those of schema 5."""


def upgrade(path: Path) -> list[DamagedPlace]:
    """Upgrade a store; return what was damaged."""
    damage: list[DamagedPlace] = []
    Database(path, on_damage=damage.append).close()
    return damage


def run(path: Path, sql: str) -> None:
    """Run statements on a file."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(sql)


def rows_of_table(path: Path, table: str) -> list[tuple[Any, ...]]:
    """Return all rows of a table."""
    return query(path, f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - ours


def readable(items: list[Any]) -> list[Any]:
    """Return the messages among stored items; a range of damage is two numbers."""
    return [each for each in items if len(each) > 2]


@pytest.mark.parametrize("name", ["schema4", "schema5"])
def test_messages_are_as_they_were(tmp_path: Path, name: str) -> None:
    """Seqs, times, senders, ids, texts and what belongs to messages are as the old program read them."""
    path = make_old(tmp_path / "q.db", name)
    damage = upgrade(path)
    known = expected(name)["items"]
    assert read_stored(path).rows == {number: readable(items) for number, items in known.items()}
    ranges = [(int(number), *each) for number, items in known.items() for each in items if len(each) == 2]
    assert (
        [(place.conversation, place.first, place.last) for place in damage]
        == ranges
        == [
            (5, 10, 12),
            (5, 19, 21),
        ]
    )


@pytest.mark.parametrize("name", ["schema4", "schema5"])
@pytest.mark.parametrize("bound", [1, 400, 2000])
def test_chunks_are_joined_and_divided(
    tmp_path: Path, name: str, bound: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of a conversation fill the bound, none is larger, and none reaches over a hole."""
    path = make_old(tmp_path / "q.db", name)
    monkeypatch.setattr(chunks, "BOUND", bound)
    upgrade(path)
    stored = read_stored(path)
    assert stored.rows == {each: readable(items) for each, items in expected(name)["items"].items()}
    assert all(size <= bound or count == 1 for _, _, count, size in stored.chunks)
    holes = {(5, 10), (5, 19)}
    for (one, first, count, size), (other, second, _, behind) in zip(
        stored.chunks, stored.chunks[1:], strict=False
    ):
        if one == other:
            assert (first + count == second) is ((one, first + count) not in holes)
            # A chunk that was divided leaves small parts.
            assert second != first + count or size + behind > bound // 2


def test_a_large_bound_joins_everything(tmp_path: Path) -> None:
    """Without a hole, a small conversation is one chunk."""
    path = make_old(tmp_path / "q.db", "schema5")
    upgrade(path)
    assert [each[:3] for each in read_stored(path).chunks] == [
        (1, 5, 20),
        (2, 1, 3),
        (3, 1, 8),
        (4, 1, 3),
        (5, 1, 9),
        (5, 13, 6),
        (5, 22, 14),
        (6, 1, 1),
        (7, 1, 1),
    ]


@pytest.mark.parametrize("name", ["schema4", "schema5"])
def test_tables_are_as_they_were(tmp_path: Path, name: str) -> None:
    """Rows and the highest ids ever used are those of the old file, and its epoch and clock."""
    path = make_old(tmp_path / "q.db", name)
    tables = [each for each in COPIED if each != "blocks" or name == "schema5"]
    before = {each: rows_of_table(path, each) for each in tables}
    sequences = query(path, "SELECT * FROM sqlite_sequence WHERE name <> 'chunks' ORDER BY name")
    upgrade(path)
    assert {each: rows_of_table(path, each) for each in tables} == before
    assert query(path, "SELECT * FROM sqlite_sequence WHERE seq > 0 ORDER BY name") == sequences
    meta = dict(query(path, "SELECT * FROM meta"))
    assert sorted(meta) == ["clock", "epoch", "folded"]
    assert (meta["epoch"], meta["folded"]) == (expected(name)["epoch"], "0")


@pytest.mark.parametrize("name", ["schema1", "schema2", "schema4", "schema5"])
def test_message_ids_are_complete(tmp_path: Path, name: str) -> None:
    """Each message has its id in the index, those before as they were; also messages of unindexed chunks."""
    path = make_old(tmp_path / "q.db", name)
    before = set() if name == "schema1" else set(query(path, "SELECT * FROM sent_ids"))
    upgrade(path)
    after = set(query(path, "SELECT * FROM sent_ids"))
    assert before < after
    ids = {(conversation, seq, key.hex()) for _, key, _, conversation, seq, _ in after}
    for number, rows in read_stored(path).rows.items():
        for row in rows:
            assert (int(number), row[0], row[3]) in ids
    assert query(path, "SELECT * FROM id_runs") == []


@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_the_search_index_is_complete(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every text is found by its words, whatever the size of a step; those of deleted texts are not."""
    monkeypatch.setattr(conversion, "_STEP", step)
    path = make_old(tmp_path / "q.db", "schema5")
    upgrade(path)

    def places(word: str) -> list[tuple[int, int]]:
        rows = query(path, f"SELECT rowid FROM words WHERE words MATCH '{word}'")  # noqa: S608 - ours
        return [(place >> chunks.SEQ_BITS, place & 0xFFFF) for (place,) in rows]

    found = expected("schema5")["search"]
    for word in ("FRUH", "cherry", "melon", "fresh", "plum", "apple", "quince", "bob"):
        visible = {
            tuple(each)
            for key, hits in found.items()
            for each in hits
            if key.split(" ", 1)[1] in (word, f"edited {word}")
        }
        assert set(places(word)) == visible
    assert places("writes") == []
    run(path, "INSERT INTO words (words) VALUES ('integrity-check')")


@pytest.mark.parametrize("name", FIXTURES)
def test_nothing_of_the_old_form_is_left(tmp_path: Path, name: str) -> None:
    """The file is whole, has the schema of a new one, and no progress of the old indexes."""
    path = make_old(tmp_path / "q.db", name)
    upgrade(path)
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    assert query(path, "PRAGMA foreign_key_check") == []
    keys = {key for (key,) in query(path, "SELECT key FROM meta")}
    assert keys <= {"clock", "epoch", "folded"}
    assert ("chunks",) not in query(path, "SELECT name FROM sqlite_sequence")


def test_a_text_that_was_deleted_is_not_in_the_new_file(tmp_path: Path) -> None:
    """Free pages of the old file, which can have erased texts, are not copied."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(
        path,
        """
        PRAGMA secure_delete = OFF;
        CREATE TABLE x (y);
        INSERT INTO x VALUES ('a secret of frank');
        DROP TABLE x
        """,
    )
    assert b"a secret of frank" in path.read_bytes()
    upgrade(path)
    assert b"a secret of frank" not in path.read_bytes()


def test_the_old_file_does_not_need_to_be_rewritten_any_more(tmp_path: Path) -> None:
    """A rewriting that an erasure has asked for is done by the upgrade."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "INSERT INTO meta VALUES ('compact', '1')")
    upgrade(path)
    assert query(path, "SELECT * FROM meta WHERE key = 'compact'") == []


# --- what the seqs of a chunk rest on


def test_a_chunk_behind_a_hole_needs_a_witness(tmp_path: Path) -> None:
    """Where the ids of a chunk behind a hole are unknown, its seqs could be wrong: it is left out."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "DELETE FROM sent_ids WHERE conversation = 5")
    damage = upgrade(path)
    assert [row[0] for row in read_stored(path).rows["5"]][7:12] == [8, 9, 16, 17, 18]
    assert [(place.first, place.last) for place in damage] == [(10, 15), (19, 21)]


def test_an_unindexed_chunk_behind_a_hole_is_left_out(tmp_path: Path) -> None:
    """A chunk that no index has seen is no witness of itself."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "DELETE FROM chunks WHERE conversation = 5 AND last_seq = 34")
    assert [(place.first, place.last) for place in upgrade(path)][2:] == [(32, 35)]
    assert read_stored(path).rows["5"][-1][0] == 31


def test_a_mark_of_missing_messages_confirms_the_next_chunk(tmp_path: Path) -> None:
    """An empty chunk stands for a hole: the seqs behind it are certain without a witness."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(
        path,
        """
        DELETE FROM sent_ids;
        INSERT INTO chunks (id, conversation, last_seq, messages) VALUES (0, 5, 12, x'')
        """,
    )
    assert [(place.first, place.last) for place in upgrade(path)] == [(10, 12), (19, 21)]
    assert [row[0] for row in read_stored(path).rows["5"]][8:11] == [9, 13, 14]


def test_a_copy_of_a_chunk_in_a_wrong_place_is_left_out(tmp_path: Path) -> None:
    """Of two chunks with the same seqs, the one that the ids confirm is kept."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(
        path,
        """
        INSERT INTO chunks (id, conversation, last_seq, messages)
        SELECT -1, 5, 5, messages FROM chunks WHERE conversation = 5 AND last_seq = 30
        """,
    )
    upgrade(path)
    known = readable(expected("schema5")["items"]["5"])
    assert read_stored(path).rows["5"] == known


def test_pruned_messages_are_left_out(tmp_path: Path) -> None:
    """Messages before the first one of a conversation are neither stored nor found, also of a cut chunk."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "UPDATE conversations SET first_seq = 10 WHERE id = 1")
    upgrade(path)
    assert [row[0] for row in read_stored(path).rows["1"]] == list(range(10, 25))
    places = [place for (place,) in query(path, "SELECT rowid FROM words WHERE words MATCH 'many OR plum'")]
    assert min(places) == place_of(1, 10)


def test_chunks_above_the_last_seq_are_left_out(tmp_path: Path) -> None:
    """A conversation ends where its row says."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "UPDATE conversations SET last_seq = 22 WHERE id = 1")
    upgrade(path)
    assert read_stored(path).rows["1"][-1][0] == 22


def test_a_chunk_of_no_conversation_is_refused(tmp_path: Path) -> None:
    """A chunk whose conversation does not exist is damage of another kind: the store stays as it is."""
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "INSERT INTO chunks (conversation, last_seq, messages) VALUES (99, 1, x'90')")
    before = dump(path)
    with pytest.raises(StoreDamagedError, match="foreign key check failed"):
        upgrade(path)
    assert dump(path) == before


def test_fixtures_are_of_their_schema() -> None:
    """Each fixture says which schema it is of."""
    for name in FIXTURES:
        assert f"PRAGMA user_version = {name[6]};" in fixture(name).read_text()


# --- damaged pages


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with several pages of each kind, which is too large to be checked when it is opened."""
    monkeypatch.setattr("qscpd.store.sqlite.opening._CHECKED_SIZE", 0)
    path = make_old(tmp_path / "q.db", "schema5")
    run(path, "PRAGMA journal_mode = DELETE")
    return path


def fill(path: Path, count: int) -> list[int]:
    """Add a conversation of many chunks, with their ids; return its seqs."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        number = db.execute(
            "INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (1, 3, ?, 1) RETURNING id",
            (count,),
        ).fetchone()[0]
        for seq in range(1, count + 1):
            key = f"{seq:032x}"
            blob = chunks.pack([(seq, 1, key, "x" * 200)])
            db.execute(
                "INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)", (number, seq, blob)
            )
            values = (1, bytes.fromhex(key), b"12345678", number, seq, seq)
            db.execute("INSERT INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)", values)
        db.execute("UPDATE meta SET value = '100000' WHERE key = 'ids_indexed'")
        db.commit()
    return list(range(1, count + 1))


def damage_page(path: Path, table: str, nth: int) -> None:
    """Overwrite one of the pages that have the rows of a table."""
    sql = f"SELECT pageno FROM dbstat WHERE name = '{table}' AND pagetype = 'leaf' ORDER BY path"  # noqa: S608 - ours
    try:
        pages = query(path, sql)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    assert len(pages) > nth + 1
    with path.open("r+b") as file:
        file.seek((pages[nth][0] - 1) * 4096)
        file.write(b"\xff" * 4096)


def test_a_damaged_page_of_chunks_is_a_gap(large: Path) -> None:
    """What SQLite can't read is left out, and everything before and behind it is kept."""
    seqs = fill(large, 200)
    damage_page(large, "chunks", 5)
    damage = upgrade(large)
    found = [row[0] for row in read_stored(large).rows["8"]]
    lost = sorted(set(seqs) - set(found))
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert 5 < len(lost) < 30
    assert [each.first for each in damage if each.conversation == 8] == lost
    assert read_stored(large).rows["1"][0][0] == 5


def test_a_damaged_page_of_message_ids_loses_those(large: Path) -> None:
    """The ids before and behind a damaged page are kept, and so are all messages."""
    fill(large, 400)
    damage_page(large, "sent_ids", 2)
    damage = upgrade(large)
    assert [each.problem for each in damage if not each.conversation] != []
    assert len(read_stored(large).rows["8"]) == 400
    kept = {seq for (seq,) in query(large, "SELECT seq FROM sent_ids WHERE conversation = 8")}
    assert 300 < len(kept) < 400
    assert {1, 400} <= kept


def test_a_damaged_page_of_accounts_stops_the_upgrade(large: Path) -> None:
    """A store that would lose an account stays as it is."""
    fill(large, 10)
    with contextlib.closing(sqlite3.connect(large)) as db:
        rows = [(f"user{n}", "x" * 100) for n in range(200)]
        db.executemany(
            "INSERT INTO accounts (name, state, password_hash, created_ms) VALUES (?, 'active', ?, 1)", rows
        )
        db.commit()
    damage_page(large, "accounts", 2)
    before = large.read_bytes()
    with pytest.raises(StoreDamagedError, match="restore it from a backup"):
        upgrade(large)
    assert large.read_bytes() == before
    assert sorted(each.name for each in large.parent.iterdir()) == ["q.db"]
