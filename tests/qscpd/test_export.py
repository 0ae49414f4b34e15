import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qscp import __version__
from qscpd.errors import NotFoundError, StoreError, UsageError
from qscpd.export import EXPORT_FORMAT, export_lines
from qscpd.store import open_reader
from qscpd.store.base import AccountState, Mark, NewMessage, PositionKind, StoreReader
from qscpd.store.sqlite import SqliteStore

ALICE, BOB, CAROL = 1, 2, 3


def message_id(number: int) -> str:
    """Return an id."""
    return f"{number:032x}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store in use, with three people and two of three possible conversations."""
    clock = iter(range(1000, 10_000))
    with contextlib.closing(SqliteStore(tmp_path / "q.db", clock_ms=lambda: next(clock))) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        store.append([NewMessage(ALICE, BOB, message_id(1), "hi\nbob \u2603")])
        store.append(
            [NewMessage(BOB, ALICE, message_id(2), "hi"), NewMessage(BOB, CAROL, message_id(3), "psst")]
        )
        store.append([NewMessage(ALICE, BOB, message_id(4), "bye")])
        store.append([], [Mark(ALICE, 1, PositionKind.READ, 2), Mark(BOB, 1, PositionKind.DELIVERED, 3)])
        yield store


@pytest.fixture
def reader(store: SqliteStore, tmp_path: Path) -> Iterator[StoreReader]:
    """A look into it as it is now."""
    del store
    with contextlib.closing(open_reader(tmp_path / "q.db")) as reader:
        yield reader


def exported(reader: StoreReader, name: str, account: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of an export."""
    lines = list(export_lines(reader, reader.find_account(name, account)))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_everything_of_a_person_s_conversations(reader: StoreReader) -> None:
    """The account, then conversations, then messages: their own and those of the other one."""
    account, conversation, *messages = exported(reader, "alice")
    assert account.pop("exported").endswith("Z")
    assert account == {
        "type": "account",
        "format": EXPORT_FORMAT,
        "program": f"qscpd {__version__}",
        "epoch": reader.epoch(),
        "account": "a1",
        "name": "alice",
        "state": "active",
        "created": 1000,
    }
    assert conversation == {
        "type": "conversation",
        "conversation": "c1",
        "kind": "pair",
        "with": "bob",
        "with_account": "a2",
        "first_seq": 1,
        "last_seq": 3,
        "read": 2,
        "delivered": 3,
    }
    assert messages[0] == {
        "type": "message",
        "conversation": "c1",
        "seq": 1,
        "id": message_id(1),
        "time": 1003,
        "from": "alice",
        "from_account": "a1",
        "body": "hi\nbob \u2603",
        "erased": False,
    }
    assert [(each["seq"], each["from"], each["body"]) for each in messages[1:]] == [
        (2, "bob", "hi"),
        (3, "alice", "bye"),
    ]


def test_nothing_of_other_people_s_conversations(reader: StoreReader) -> None:
    """What two others say to each other is in neither a third one's export nor its names."""
    assert "psst" not in str(exported(reader, "alice"))
    assert [each["body"] for each in exported(reader, "carol")[2:]] == ["psst"]


def test_somebody_who_never_talked(store: SqliteStore, tmp_path: Path) -> None:
    """Their export is the account alone."""
    store.add_account("dan", "x")
    with contextlib.closing(open_reader(tmp_path / "q.db")) as reader:
        assert [line["type"] for line in exported(reader, "dan")] == ["account"]


def test_an_export_has_one_state(reader: StoreReader, store: SqliteStore) -> None:
    """What is stored while it is written is not in it."""
    lines = export_lines(reader, reader.find_account("alice"))
    first = [next(lines), next(lines)]
    store.append(
        [NewMessage(ALICE, BOB, message_id(5), "later"), NewMessage(ALICE, CAROL, message_id(6), "new")]
    )
    assert len([*first, *lines]) == 5


def test_an_erased_message_is_said_to_be_erased(store: SqliteStore, tmp_path: Path) -> None:
    """Its place, its time and who wrote it are there."""
    store.delete_account("bob")
    while store.erase_step(BOB):
        pass
    with contextlib.closing(open_reader(tmp_path / "q.db")) as reader:
        messages = exported(reader, "alice")[2:]
    assert [(each["seq"], each["body"], each["erased"]) for each in messages] == [
        (1, "hi\nbob \u2603", False),
        (2, "", True),
        (3, "bye", False),
    ]


def test_a_deleted_account_can_be_exported(store: SqliteStore, tmp_path: Path) -> None:
    """By its name while nobody else has it, and always by its id."""
    store.delete_account("alice")
    with contextlib.closing(open_reader(tmp_path / "q.db")) as reader:
        assert exported(reader, "alice")[0]["state"] == "deleted"
    store.add_account("alice", "x", reuse_name=True)
    with contextlib.closing(open_reader(tmp_path / "q.db")) as reader:
        assert (exported(reader, "alice")[0]["account"], len(exported(reader, "alice"))) == ("a4", 1)
        assert (exported(reader, "", 1)[0]["account"], len(exported(reader, "", 1))) == ("a1", 5)


def test_a_name_that_several_deleted_accounts_had(store: SqliteStore) -> None:
    """The error says which there are."""
    store.delete_account("alice")
    store.add_account("alice", "x", reuse_name=True)
    store.delete_account("alice")
    with pytest.raises(UsageError, match="several deleted accounts; say which with --id: a1, a4"):
        store.find_account("alice")
    assert store.find_account("", 4).state is AccountState.DELETED


def test_nobody_is_found(reader: StoreReader) -> None:
    """Neither a name nor an id that nobody has."""
    with pytest.raises(NotFoundError, match="there is no account zoe"):
        reader.find_account("zoe")
    with pytest.raises(NotFoundError, match="no account with the id a77"):
        reader.find_account("alice", 77)


def test_no_store_to_read(tmp_path: Path) -> None:
    """A store that is not there is a sentence, and is not made."""
    with pytest.raises(StoreError, match=r"q.db: No such file or directory"):
        open_reader(tmp_path / "q.db")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_leaves_the_store_alone(store: SqliteStore, tmp_path: Path) -> None:
    """Also when it is the only one who uses it."""
    store.close()
    content = (tmp_path / "q.db").read_bytes()
    with contextlib.closing(open_reader(tmp_path / "q.db")) as reader:
        exported(reader, "alice")
    assert (tmp_path / "q.db").read_bytes() == content
