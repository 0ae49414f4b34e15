import contextlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qscp import __version__
from qscpd.domain.model import AccountState, Mark, MessageMeta, NewMessage, PositionKind
from qscpd.domain.rooms import FOREVER_MS, RoomChange
from qscpd.errors import NotFoundError, StoreError, UsageError
from qscpd.export import EXPORT_FORMAT, export_lines, export_room_lines
from qscpd.store import open_reader, store_url
from qscpd.store.base import StoreReader
from qscpd.store.sqlite.store import SqliteStore
from tests.support.stores import clock_of, rows_of

ALICE, BOB, CAROL = 1, 2, 3


def message_id(number: int) -> str:
    """Return a message id."""
    return f"{number:032x}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with three accounts and two conversations."""
    times: Iterator[int] = itertools.repeat(999)
    with contextlib.closing(SqliteStore(tmp_path / "q.db", clock=clock_of(lambda: next(times)))) as store:
        times = itertools.count(1000)
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
    """A reader in a snapshot of the current state."""
    del store
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader, reader.snapshot():
        yield reader


def exported(reader: StoreReader, name: str, account: int | None = None) -> list[dict[str, Any]]:
    """Return the lines of an export."""
    lines = list(export_lines(reader, reader.find_account(name, account)))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_an_export_has_the_conversations_of_a_user(reader: StoreReader) -> None:
    """An export has the account, its conversations, and all messages of both sides."""
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


def test_an_export_has_no_conversations_of_others(reader: StoreReader) -> None:
    """Conversations of others, and their names, are not in the export."""
    assert "psst" not in str(exported(reader, "alice"))
    assert [each["body"] for each in exported(reader, "carol")[2:]] == ["psst"]


def test_an_account_without_conversations(store: SqliteStore, tmp_path: Path) -> None:
    """The export of an account without conversations is the account alone."""
    store.add_account("dan", "x")
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        assert [line["type"] for line in exported(reader, "dan")] == ["account"]


def test_an_export_is_a_snapshot(reader: StoreReader, store: SqliteStore) -> None:
    """Messages stored during the export are not in it."""
    lines = export_lines(reader, reader.find_account("alice"))
    first = [next(lines), next(lines)]
    store.append(
        [NewMessage(ALICE, BOB, message_id(5), "later"), NewMessage(ALICE, CAROL, message_id(6), "new")]
    )
    assert len([*first, *lines]) == 5


def test_an_erased_message_is_marked(store: SqliteStore, tmp_path: Path) -> None:
    """An erased message keeps its seq, time and sender."""
    store.delete_account("bob")
    while store.housekeeping.erase_step(BOB):
        pass
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        messages = exported(reader, "alice")[2:]
    assert [(each["seq"], each["body"], each["erased"]) for each in messages] == [
        (1, "hi\nbob \u2603", False),
        (2, "", True),
        (3, "bye", False),
    ]


def test_the_export_of_a_deleted_account(store: SqliteStore, tmp_path: Path) -> None:
    """A deleted account can be exported by id, and by name unless the name was reused."""
    store.delete_account("alice")
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        assert exported(reader, "alice")[0]["state"] == "deleted"
    store.add_account("alice", "x", reuse_name=True)
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        assert (exported(reader, "alice")[0]["account"], len(exported(reader, "alice"))) == ("a4", 1)
        assert (exported(reader, "", 1)[0]["account"], len(exported(reader, "", 1))) == ("a1", 5)


def test_an_ambiguous_name_of_deleted_accounts(store: SqliteStore) -> None:
    """A name of several deleted accounts is refused with their ids."""
    store.delete_account("alice")
    store.add_account("alice", "x", reuse_name=True)
    store.delete_account("alice")
    with pytest.raises(UsageError, match="several deleted accounts; choose one with --id: a1, a4"):
        store.find_account("alice")
    assert store.find_account("", 4).state is AccountState.DELETED


def test_unknown_accounts_are_not_found(reader: StoreReader) -> None:
    """Unknown names and ids are not found."""
    with pytest.raises(NotFoundError, match="account zoe not found"):
        reader.find_account("zoe")
    with pytest.raises(NotFoundError, match="account a77 not found"):
        reader.find_account("alice", 77)


def test_a_missing_store_is_an_error(tmp_path: Path) -> None:
    """Exporting from a missing store raises an error with its path, and creates no file."""
    with pytest.raises(StoreError, match=r"q.db: No such file or directory"):
        open_reader(store_url(tmp_path / "q.db"))
    assert list(tmp_path.iterdir()) == []


def test_a_reader_does_not_change_the_store(store: SqliteStore, tmp_path: Path) -> None:
    """A reader does not change the store, even as its only user."""
    store.close()
    content = (tmp_path / "q.db").read_bytes()
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        exported(reader, "alice")
    assert (tmp_path / "q.db").read_bytes() == content


# --- amendments, replies and mentions


def listed_account(name: str, account: int) -> dict[str, str]:
    """Return the export's form of an account."""
    return {"name": name, "account": f"a{account}"}


def store_amendments(store: SqliteStore, recipient: int) -> None:
    """Store three messages of alice, and each kind of amendment of them."""
    first = len(rows_of(store, -recipient if recipient < 0 else 1))
    at = [first + number for number in range(1, 4)]
    messages = [
        NewMessage(ALICE, recipient, message_id(10), "hello @bob", MessageMeta(mentions=(BOB,))),
        NewMessage(ALICE, recipient, message_id(11), "wrong", MessageMeta(reply_to=at[0])),
        NewMessage(ALICE, recipient, message_id(12), "secret"),
        NewMessage(ALICE, recipient, message_id(13), "right", MessageMeta(kind="edit", target=at[1])),
        NewMessage(ALICE, recipient, message_id(14), "", MessageMeta(kind="redact", target=at[2])),
        NewMessage(ALICE, recipient, message_id(15), "+1", MessageMeta(kind="react", target=at[0])),
        NewMessage(ALICE, recipient, message_id(16), "-1", MessageMeta(kind="react", target=at[0])),
        NewMessage(
            ALICE, recipient, message_id(17), "-1", MessageMeta(kind="react", target=at[0], removed=True)
        ),
    ]
    outcomes, _ = store.append(messages)
    assert all(getattr(each, "seq", 0) for each in outcomes), outcomes


def without(lines: list[dict[str, Any]], *fields: str) -> list[dict[str, Any]]:
    """Return the lines of messages without their common fields."""
    common = ("conversation", "id", "time", "from", "from_account", *fields)
    return [{key: value for key, value in line.items() if key not in common} for line in lines]


def expected_lines(first: int) -> list[dict[str, Any]]:
    """Return the expected lines of `store_amendments`, from a seq on."""
    return [
        {
            "type": "message",
            "seq": first,
            "body": "hello @bob",
            "erased": False,
            "mentions": [listed_account("bob", BOB)],
            "reactions": {"+1": [listed_account("alice", ALICE)]},
        },
        {"type": "message", "seq": first + 1, "body": "right", "erased": False, "reply_to": first},
        {"type": "message", "seq": first + 2, "body": "", "erased": True},
        {"type": "edit", "seq": first + 3, "target": first + 1, "body": "right", "erased": False},
        {"type": "redact", "seq": first + 4, "target": first + 2},
        {
            "type": "react",
            "seq": first + 5,
            "target": first,
            "reaction": "+1",
            "removed": False,
            "erased": False,
        },
        {
            "type": "react",
            "seq": first + 6,
            "target": first,
            "reaction": "-1",
            "removed": False,
            "erased": False,
        },
        {
            "type": "react",
            "seq": first + 7,
            "target": first,
            "reaction": "-1",
            "removed": True,
            "erased": False,
        },
    ]


@pytest.fixture
def editable(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store that allows edits, with alice, bob and carol."""
    clock = iter(range(999, 10_000))  # opening the store reads it once
    with contextlib.closing(
        SqliteStore(tmp_path / "q.db", clock=clock_of(lambda: next(clock)), edit_within_ms=10**6)
    ) as store:
        for name in ("alice", "bob", "carol"):
            store.add_account(name, "x")
        yield store


def test_amendments_of_a_pair_are_exported(editable: SqliteStore, tmp_path: Path) -> None:
    """Edits, redactions, reactions, replies and mentions are in both exports; old texts are not."""
    editable.append([NewMessage(BOB, ALICE, message_id(1), "hi")])
    store_amendments(editable, BOB)
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        for name in ("alice", "bob"):
            lines = exported(reader, name)[3:]
            assert lines[1]["edited"] > lines[1]["time"] - 1
            assert without(lines, "edited") == expected_lines(2)
            assert "wrong" not in str(lines)
            assert "secret" not in str(lines)


def test_a_room_in_the_exports_of_its_members(editable: SqliteStore, tmp_path: Path) -> None:
    """Each export has only messages that the member can see; that of a non-member has none."""
    editable.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
    editable.append([NewMessage(ALICE, -1, message_id(1), "before")])
    editable.change_room(RoomChange(action="join", room="#dev", actor=BOB))
    store_amendments(editable, -1)
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader:
        conversation = exported(reader, "bob")[1]
        assert (conversation["kind"], conversation["with"]) == ("room", "#dev")
        assert (conversation["first_seq"], conversation["last_seq"]) == (2, 9)
        assert without(exported(reader, "bob")[2:], "edited") == expected_lines(2)
        assert exported(reader, "alice")[2]["body"] == "before"
        assert len(exported(reader, "carol")) == 1


# --- rooms


def room_exported(path: Path, name: str = "#dev") -> list[dict[str, Any]]:
    """Return the lines of a room's export."""
    with contextlib.closing(open_reader(store_url(path))) as reader:
        lines = list(export_room_lines(reader, reader.find_room(name)))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_the_export_of_a_room(editable: SqliteStore, tmp_path: Path) -> None:
    """A room's export has its settings, memberships, moderation log, messages and amendments."""
    for action, actor, target, fields in (
        ("create", None, ALICE, {"text": "Talk"}),
        ("join", BOB, None, {}),
        ("mute", ALICE, BOB, {"seconds": 1, "text": "loud"}),
        ("ban", None, CAROL, {}),
        ("unban", ALICE, CAROL, {}),
        ("invite", None, CAROL, {}),
        ("set", ALICE, None, {"seconds": 7}),
    ):
        change = RoomChange(action=action, room="#dev", actor=actor, target=target, **fields)
        editable.change_room(change)
    store_amendments(editable, -1)
    room, *lines = room_exported(tmp_path / "q.db")
    assert room.pop("exported").endswith("Z")
    assert room == {
        "type": "room",
        "format": EXPORT_FORMAT,
        "program": f"qscpd {__version__}",
        "epoch": editable.epoch(),
        "conversation": "c1",
        "name": "#dev",
        "kind": "open",
        "history": "joining",
        "state": "active",
        "topic": "Talk",
        "slow": 7,
        "created": editable.find_room("#dev").created_ms,
        "first_seq": 1,
        "last_seq": 8,
    }
    muted = editable.memberships(1)[BOB].muted_until_ms
    assert lines[:3] == [
        {"type": "person", **listed_account("alice", ALICE), "role": "owner", "since": 1},
        {"type": "person", **listed_account("bob", BOB), "role": "member", "since": 1, "muted_until": muted},
        {"type": "person", **listed_account("carol", CAROL), "role": "", "invited_by": ""},
    ]
    log = [{key: value for key, value in line.items() if key not in ("type", "time")} for line in lines[3:9]]
    alice, bob, carol = (
        {"user": name, "user_account": f"a{number}"}
        for number, name in enumerate(("alice", "bob", "carol"), 1)
    )
    by_alice = {"by": "alice", "by_account": "a1"}
    assert log == [
        {"by": "", "action": "create", **alice, "text": "Talk"},
        {**by_alice, "action": "mute", **bob, "until": muted, "text": "loud"},
        {"by": "", "action": "ban", **carol, "until": FOREVER_MS},
        {**by_alice, "action": "unban", **carol},
        {"by": "", "action": "invite", **carol},
        {**by_alice, "action": "set", "text": "slow 7 s"},
    ]
    assert {line["type"] for line in lines[3:9]} == {"log"}
    assert without(lines[9:], "edited") == expected_lines(1)


def test_a_redaction_by_a_moderator(editable: SqliteStore, tmp_path: Path) -> None:
    """The export of a redacted message has a log entry with sender and reason, and no text."""
    editable.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
    editable.change_room(RoomChange(action="join", room="#dev", actor=BOB))
    editable.append([NewMessage(BOB, -1, message_id(1), "canary")])
    editable.append([NewMessage(ALICE, -1, message_id(2), "rude", MessageMeta(kind="redact", target=1))])
    lines = room_exported(tmp_path / "q.db")
    entry = lines[4]
    assert (entry["action"], entry["by"], entry["user"], entry["seq"], entry["text"]) == (
        "redact",
        "alice",
        "bob",
        1,
        "rude",
    )
    assert [(line["type"], line.get("target"), line.get("erased")) for line in lines[5:]] == [
        ("message", None, True),
        ("redact", 1, None),
    ]
    assert "canary" not in str(lines)


def test_deleted_accounts_in_the_export_of_a_room(editable: SqliteStore, tmp_path: Path) -> None:
    """A room's export has deleted accounts with name, id and messages, without text once erased."""
    editable.change_room(RoomChange(action="create", room="#dev", actor=BOB))
    editable.change_room(RoomChange(action="join", room="#dev", actor=ALICE))
    editable.change_room(RoomChange(action="topic", room="#dev", actor=BOB, text="x"))
    editable.append([NewMessage(ALICE, -1, message_id(1), "hi @bob", MessageMeta(mentions=(BOB,)))])
    editable.append([NewMessage(BOB, -1, message_id(2), "+1", MessageMeta(kind="react", target=1))])
    editable.delete_account("bob")
    _, member, *lines = room_exported(tmp_path / "q.db")
    assert (member["name"], member["role"]) == ("alice", "owner")
    message, reaction = lines[-2:]
    assert message["mentions"] == message["reactions"]["+1"] == [listed_account("bob", BOB)]
    assert (reaction["from"], reaction["from_account"], reaction["reaction"]) == ("bob", "a2", "+1")
    assert {line["by"] for line in lines if line["type"] == "log"} == {"", "bob"}
    while editable.housekeeping.erase_step(BOB):
        pass
    message, reaction = room_exported(tmp_path / "q.db")[-2:]
    assert "reactions" not in message
    assert (reaction["reaction"], reaction["erased"]) == ("", True)


def test_hostile_texts_stay_one_line(editable: SqliteStore, tmp_path: Path) -> None:
    """Any text stays on one line, and decodes unchanged."""
    editable.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
    for number, body in enumerate(("\n\n", '"},{"', "\u2028\u2029", "{}\t\\", "\U0001f468\u200d\U0001f469")):
        editable.append([NewMessage(ALICE, -1, message_id(number), body)])
        assert room_exported(tmp_path / "q.db")[-1]["body"] == body


def test_a_deleted_room_can_t_be_exported(editable: SqliteStore) -> None:
    """A deleted room is not found, even before its messages are removed."""
    editable.change_room(RoomChange(action="create", room="#dev", actor=ALICE))
    editable.change_room(RoomChange(action="delete", room="#dev", actor=None))
    with pytest.raises(NotFoundError, match="room #dev not found"):
        editable.find_room("#dev")


def test_an_export_has_the_blocks_of_the_user(store: SqliteStore, tmp_path: Path) -> None:
    """An export names what the account blocks, with the names of now, and not who blocks the account."""
    store.block(ALICE, BOB)
    store.block(CAROL, ALICE)
    store.delete_account("bob")
    store.add_account("bob", "x", reuse_name=True)
    with contextlib.closing(open_reader(store_url(tmp_path / "q.db"))) as reader, reader.snapshot():
        found = [line for line in exported(reader, "alice") if line["type"] == "block"]
        assert exported(reader, "bob")[1:] == []
    assert [(line["name"], line["account"]) for line in found] == [("bob~1", "a2")]
    assert found[0]["time"] >= 1000
