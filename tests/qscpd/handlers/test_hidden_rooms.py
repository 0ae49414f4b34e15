"""A closed room and no room are the same to users who may not know of it: all requests take the same way."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self
from unittest import mock

import msgspec
import pytest

from qscp import frames
from qscp.rooms import ROOM_FIELDS, HistoryFrom, RoomKind
from qscpd.domain.model import NewMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store.housekeeper import Housekeeper
from qscpd.store.sqlite.database import DatabaseReader, Row
from qscpd.store.sqlite.store import SqliteStore
from tests.support.in_process_server import InProcessServer, make_accounts
from tests.support.stores import housekeep

ALICE = 1
HIDDEN, NONE = "#board", "#borad"

VALUES: dict[str, object] = {
    "body": "hello @alice",
    "text": "tea",
    "query": "tea",
    "target": 1,
    "seq": 1,
    "user": "alice",
    "role": "moderator",
    "seconds": 60,
    "kind": "open",
    "history": "full",
    "positions": [],
}
"""A value for each field that a request needs."""

REVEALING = {"create"}
"""Actions that tell whether a name is taken; `docs/protocol.md` says so."""

STORE_CALLS = ("append", "known", "change_rooms")


def _fields(kind: type[frames.ClientFrame]) -> dict[str, object]:
    """Return the fields that a frame must have, with a place for the room."""
    fields: dict[str, object] = {}
    for field in msgspec.structs.fields(kind):
        if field.name in ("to", "room"):
            fields[field.name] = "ROOM"
        elif field.name == "conversation":
            fields[field.name] = "CONVERSATION"
        elif field.name == "id":
            fields[field.name] = "ID"
        elif field.required:
            fields[field.name] = VALUES[field.name]
    return fields


def _requests() -> Iterator[tuple[str, type[frames.ClientFrame], dict[str, object]]]:
    """Yield a request of each kind that names a room or a conversation; for `room`, one for each action."""
    for kind in frames.CLIENT_FRAMES:
        names = {field.name for field in msgspec.structs.fields(kind)}
        if not names & {"to", "room", "conversation", "positions"}:
            continue
        if kind is frames.RoomRequest:
            for action, (needed, allowed) in ROOM_FIELDS.items():
                if action in REVEALING:
                    continue
                for given in (needed, needed | allowed):
                    chosen = {name: VALUES.get(name, "") for name in given}
                    yield f"room-{action}-{len(given)}", kind, {"room": "ROOM", "action": action, **chosen}
        elif kind is frames.Resume:
            position = {"conversation": "CONVERSATION", "seq": 1}
            yield "resume", kind, {"positions": [position]}
        else:
            fields = _fields(kind)
            yield kind.__name__, kind, fields
            if {"ROOM", "CONVERSATION"} <= {value for value in fields.values() if isinstance(value, str)}:
                only_room = {key: value for key, value in fields.items() if value != "CONVERSATION"}
                yield f"{kind.__name__}-name", kind, only_room


REQUESTS = [pytest.param(kind, fields, id=name) for name, kind, fields in _requests()]


@contextlib.asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[InProcessServer]:
    """Run a daemon without a network: alice owns a closed room with messages, of which bob knows nothing."""
    make_accounts(folder / "qscpd.db", "alice", "bob")
    store = SqliteStore(folder / "qscpd.db")
    closed = RoomChange(
        action="create", room=HIDDEN, actor=ALICE, kind=RoomKind.CLOSED, history=HistoryFrom.FULL
    )
    store.change_room(closed)
    store.append([NewMessage(ALICE, -1, f"{n:032x}", f"tea {n}") for n in range(1, 4)])
    housekeep(store)
    async with InProcessServer(store) as opened:
        yield opened


def _filled(value: Any, room: str, conversation: str, message_id: str) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_filled(each, room, conversation, message_id) for each in value]
    if isinstance(value, dict):
        return {key: _filled(each, room, conversation, message_id) for key, each in value.items()}
    places = {"ROOM": room, "CONVERSATION": conversation, "ID": message_id}
    return places.get(value, value) if isinstance(value, str) else value


class Recorder:
    """Records what is called in the store, and each statement.

    Attributes:
        calls: The names of the methods and the statements, in order.
    """

    def __init__(self, store: SqliteStore) -> None:
        self.calls: list[str] = []
        self._store = store
        self._inside = False
        self._patches: list[Any] = []
        for name in STORE_CALLS:
            self._patches.append(mock.patch.object(store, name, self._recorded(name, getattr(store, name))))
        for name in ("read", "iterate"):
            original = getattr(DatabaseReader, name)
            self._patches.append(mock.patch.object(DatabaseReader, name, self._query(original)))

    def __enter__(self) -> Self:
        for each in self._patches:
            each.start()
        self._store._db.connection.set_trace_callback(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        for each in self._patches:
            each.stop()
        self._store._db.connection.set_trace_callback(None)

    def _recorded(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **kwargs: object) -> object:
            self.calls.append(name)
            self._inside = True
            try:
                return method(*args, **kwargs)
            finally:
                self._inside = False

        return run

    def _query(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(db: DatabaseReader, sql: str, *values: object) -> list[Row] | Iterator[Row]:
            if db is not self._store._db:
                self.calls.append(sql)
            found: list[Row] | Iterator[Row] = original(db, sql, *values)
            return found

        return run

    def _trace(self, sql: str) -> None:
        if self._inside:  # and not while the store indexes
            self.calls.append(re.sub(r"x?'[^']*'|\b\d+\b", "?", sql))


Outcome = tuple[str, list[str], list[str]]
"""Frames with the names replaced, their types, and what was called in the store."""


async def outcome(
    folder: Path, kind: type[frames.ClientFrame], fields: dict[str, object], name: str, conversation: str
) -> Outcome:
    """Let bob send a request about a room, a message to it and one to alice; return what comes of it."""
    ids = [f"{n:032x}" for n in (10, 11, 12)]
    values = _filled(fields, name, conversation, ids[0])
    request = msgspec.convert({"type": kind.__struct_config__.tag, **values}, kind)
    later = frames.SendChat(name, "later", ids[1]), frames.SendChat("alice", "then", ids[2])
    async with serve(folder) as server:
        bob = await server.visitor("bob")
        bob.frames.clear()
        await server.writer.perform(housekeep)  # whether it is done in between is chance
        with Recorder(server.store) as recorder, mock.patch.object(Housekeeper, "step"):
            bob.send(request)
            if kind is frames.Resume:  # it goes on beside the messages
                await server.settle()
            bob.send(*later)
            await server.settle()
    sent = [each for each in bob.frames if not isinstance(each, frames.ChatAck)]
    answers = msgspec.json.encode(sent).decode()
    answers = answers.replace(name, "ROOM").replace(f'"{conversation}"', '"CONVERSATION"')
    return answers, [each.type for each in bob.frames], recorder.calls


@pytest.mark.parametrize(("kind", "fields"), REQUESTS)
async def test_a_hidden_room_is_no_room(
    tmp_path: Path, kind: type[frames.ClientFrame], fields: dict[str, object]
) -> None:
    """Each request about a hidden room has the answer, the frames and the store calls of one about none."""
    for name in ("hidden", "none"):
        (tmp_path / name).mkdir()
    hidden = await outcome(tmp_path / "hidden", kind, fields, HIDDEN, "c1")
    none = await outcome(tmp_path / "none", kind, fields, NONE, "c9")
    assert hidden == none
    assert "chat_nack" in hidden[1]
    assert "append" in hidden[2]
