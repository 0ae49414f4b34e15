"""Rooms, memberships and the moderation log, in SQLite; `qscpd.domain.rooms` decides."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.blocks import contact_refusal
from qscpd.domain.events import RoomChanged
from qscpd.domain.model import LogRow, RoomResult
from qscpd.domain.moderation import LogEntry, log_entry
from qscpd.domain.room_creation import create_room, founder
from qscpd.domain.rooms import (
    NO_MEMBERSHIP,
    Decision,
    DeniedError,
    Membership,
    RoomChange,
    RoomRow,
    RoomState,
    decide,
    is_hidden,
)
from qscpd.domain.succession import depart
from qscpd.errors import NotFoundError
from qscpd.store.sqlite.accounts import AccountReader
from qscpd.store.sqlite.blocks import BlockReader
from qscpd.store.sqlite.database import Database, DatabaseReader
from qscpd.store.sqlite.tail import Tail, merge_last

_ROOM: Final = """
    SELECT r.conversation, r.name, r.kind, r.history, r.topic, r.slow_s, r.state, r.created_ms,
      c.first_seq, c.last_seq,
      (SELECT count(*) FROM standings s WHERE s.conversation = c.id AND s.role IS NOT NULL),
      (SELECT count(*) FROM standings s WHERE s.conversation = c.id AND s.role = 'owner')
    FROM rooms r JOIN conversations c ON c.id = r.conversation
"""

_MEMBERSHIP: Final = "role, since, invited_by, muted_until_ms, banned_until_ms, declined_until_ms"


_MUTES_SOUGHT: Final = 10_000
"""Newest entries of a log among which a mute is sought: some 5 ms. An older one has no reason shown."""


class RoomReader:
    """Reads rooms, memberships and the moderation log.

    Args:
        db: The connection.
        tail: The tail of the connection.
    """

    def __init__(self, db: DatabaseReader, tail: Tail) -> None:
        self._db = db
        self._tail = tail

    def all(self) -> Sequence[RoomRow]:
        """See `StoreReader.rooms`."""
        return self._read("WHERE r.state <> 'deleted' ORDER BY r.name")

    def find(self, name: str) -> RoomRow:
        """See `StoreReader.find_room`."""
        row = self.named(name)
        if row is None:
            raise NotFoundError(f"room {name} not found; `qscpd room list` shows all")
        return row

    def get(self, conversation: int) -> RoomRow:
        """See `StoreReader.room`."""
        return self._read("WHERE r.conversation = ?", conversation)[0]

    def named(self, name: str) -> RoomRow | None:
        """Return the room of a name that is not deleted; None if it does not exist."""
        rows = self._read("WHERE r.name = ? AND r.state <> 'deleted'", name)
        return rows[0] if rows else None

    def _read(self, where: str, *values: object) -> Sequence[RoomRow]:
        """Return rooms, with what is in the tail."""
        with self._db.snapshot():
            return [self._room(row) for row in self._db.read(f"{_ROOM} {where}", *values)]

    def _room(self, row: tuple[Any, ...]) -> RoomRow:
        room = _room(row)
        last_seq, _ = merge_last(self._tail, room.id, room.last_seq, 0)
        return room if last_seq == room.last_seq else room._replace(last_seq=last_seq)

    def visible(self, name: str, account: int | None) -> RoomRow | None:
        """Return the room of a name; None if there is none that an account may know of.

        A hidden room costs what no room costs: the same statements, and no look at its members.

        Args:
            name: The name.
            account: The account; None: the operator, who may know of all.
        """
        sql = "SELECT conversation, kind FROM rooms WHERE name = ? AND state <> 'deleted'"
        number, kind = next(iter(self._db.read(sql, name)), (0, RoomKind.CLOSED))
        membership = self.membership(number, account)
        if account is not None and is_hidden(RoomKind(kind), membership):
            return None
        return self.get(number) if number else None

    def memberships(self, conversation: int) -> Mapping[int, Membership]:
        """See `StoreReader.memberships`."""
        sql = f"SELECT account, {_MEMBERSHIP} FROM standings WHERE conversation = ?"  # noqa: S608 - ours
        return {row[0]: _membership(row[1:]) for row in self._db.read(sql, conversation)}

    def membership(self, conversation: int, account: int | None) -> Membership:
        """Return an account's membership; `NO_MEMBERSHIP` if it has no row."""
        sql = f"SELECT {_MEMBERSHIP} FROM standings WHERE conversation = ? AND account = ?"  # noqa: S608 - ours
        rows = self._db.read(sql, conversation, account)
        return _membership(rows[0]) if rows else NO_MEMBERSHIP

    def known_to(self, account: int) -> list[int]:
        """Return the rooms that are not deleted in which an account has a membership row."""
        sql = """SELECT s.conversation FROM standings s JOIN rooms r ON r.conversation = s.conversation
                 WHERE s.account = ? AND r.state <> 'deleted' ORDER BY s.conversation"""
        return [row[0] for row in self._db.read(sql, account)]

    def count_of(self, account: int | None) -> int:
        """Return the number of rooms that an account is a member of."""
        sql = "SELECT count(*) FROM standings WHERE account = ? AND role IS NOT NULL"
        return int(self._db.read(sql, account)[0][0])

    def owned_by(self, account: int | None) -> int:
        """Return the number of rooms that an account has created and owns, archived ones too."""
        sql = """SELECT count(*) FROM standings s JOIN rooms r ON r.conversation = s.conversation
                 WHERE s.account = ? AND s.role = 'owner' AND r.founder = s.account
                 AND r.state <> 'deleted'"""
        return int(self._db.read(sql, account)[0][0])

    def inviters_of(self, account: int | None) -> Sequence[int]:
        """Return the inviters of an account's open invitations."""
        sql = "SELECT invited_by FROM standings WHERE account = ? AND invited_by IS NOT NULL"
        return [row[0] for row in self._db.read(sql, account)]

    def log(self, conversation: int, before: int | None, limit: int) -> Sequence[LogRow]:
        """See `StoreReader.room_log`."""
        sql = """SELECT id, time_ms, actor, action, target, seq, until_ms, text FROM room_log
                 WHERE conversation = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"""
        return [LogRow(*row) for row in self._db.read(sql, conversation, before, before, limit)]

    def last_mute(self, conversation: int, account: int) -> LogRow | None:
        """See `StoreReader.last_mute`."""
        sql = """SELECT * FROM (
                   SELECT id, time_ms, actor, action, target, seq, until_ms, text FROM room_log
                   WHERE conversation = ? ORDER BY id DESC LIMIT ?
                 ) WHERE action = 'mute' AND target = ? ORDER BY id DESC LIMIT 1"""
        rows = self._db.read(sql, conversation, _MUTES_SOUGHT, account)
        return LogRow(*rows[0]) if rows else None


class ModerationLog:
    """Writes the moderation log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, conversation: int, entry: LogEntry, time_ms: int) -> None:
        """Add an entry to a room's log."""
        with self._db.transaction() as db:
            db.execute(
                "INSERT INTO room_log (conversation, time_ms, actor, action, target, seq, until_ms, text) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation,
                    time_ms,
                    entry.actor,
                    entry.action,
                    entry.target,
                    entry.seq,
                    entry.until_ms,
                    entry.text,
                ),
            )

    def erase_texts(self, account: int) -> None:
        """Erase what an account wrote in the logs of all rooms."""
        with self._db.transaction() as db:
            db.execute("UPDATE room_log SET text = '' WHERE actor = ? AND text <> ''", (account,))


class Rooms:
    """Changes rooms and memberships.

    Args:
        db: The database.
        reader: Reads rooms.
        accounts: Reads accounts.
        blocks: Reads blocks.
        log: The moderation log.
        on_changed: Called inside the transaction with each room after a change.
    """

    def __init__(
        self,
        db: Database,
        reader: RoomReader,
        accounts: AccountReader,
        blocks: BlockReader,
        log: ModerationLog,
        on_changed: Callable[[RoomRow], None],
    ) -> None:
        self._db = db
        self._reader = reader
        self._accounts = accounts
        self._blocks = blocks
        self._log = log
        self._on_changed = on_changed

    def change(self, change: RoomChange) -> RoomResult:
        """Apply a change.

        Raises:
            DeniedError: It is not allowed; nothing was written.
        """
        with self._db.transaction():
            # Since the change was requested, the account of either may have been deleted.
            if not all(each is None or self._accounts.exists(each) for each in (change.actor, change.target)):
                raise DeniedError(ErrorCode.UNKNOWN_USER)
            if change.action == "create":
                return self._create(change, self._reader.named(change.room))
            room = self._reader.visible(change.room, change.actor)
            if room is None:
                raise DeniedError(ErrorCode.UNKNOWN_ROOM)
            decision = decide(
                change,
                room,
                self._reader.membership(room.id, change.actor),
                self._reader.membership(room.id, change.target),
                rooms=self._reader.count_of(change.actor) if change.action == "join" else 0,
                inviters=self._reader.inviters_of(change.target) if change.action == "invite" else (),
                now_ms=self._db.now.steady_ms,
            )
            if change.action == "invite" and (code := self._contact_refusal(change)) is not None:
                raise DeniedError(code)
            memberships = decision.memberships
            if decision.room.state is RoomState.DELETED:
                memberships = dict.fromkeys(self._reader.memberships(room.id), NO_MEMBERSHIP)
            self._write(decision.room, memberships)
            return self._changed(room.id, memberships, log_entry(change, decision.until_ms), change)

    def _contact_refusal(self, change: RoomChange) -> ErrorCode | None:
        """Return why a user can't invite another one, whatever the room allows; None for the operator."""
        if change.actor is None or change.target is None:
            return None
        return contact_refusal(change.actor, self._blocks.blockers(change.actor, change.target))

    def leave_all(self, account: int) -> None:
        """Let a deleted account leave its rooms; each room keeps an owner or is archived."""
        with self._db.transaction():
            for conversation in self._reader.known_to(account):
                room, memberships, entry = depart(
                    self._reader.get(conversation), self._reader.memberships(conversation), account
                )
                self._write(room, memberships)
                self._changed(conversation, memberships, entry)

    def _create(self, change: RoomChange, existing: RoomRow | None) -> RoomResult:
        decision = create_room(
            change,
            existing,
            rooms=self._reader.count_of(founder(change)),
            owned=self._reader.owned_by(change.actor),
            now_ms=self._db.now_ms,
        )
        conversation = self._insert(decision, change.actor)
        return self._changed(conversation, decision.memberships, log_entry(change), change)

    def _insert(self, decision: Decision, creator: int | None) -> int:
        room = decision.room
        with self._db.transaction() as db:
            sql = "INSERT INTO conversations (last_seq, last_ms) VALUES (0, 0) RETURNING id"
            conversation = int(db.execute(sql).fetchall()[0][0])
            db.execute(
                "INSERT INTO rooms VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    conversation,
                    room.name,
                    room.kind,
                    room.history,
                    room.topic,
                    room.slow_s,
                    room.state,
                    room.created_ms,
                    creator,
                ),
            )
            self._write_memberships(conversation, room.last_seq, decision.memberships)
        return conversation

    def _write(self, room: RoomRow, memberships: Mapping[int, Membership]) -> None:
        with self._db.transaction() as db:
            db.execute(
                "UPDATE rooms SET kind = ?, history = ?, topic = ?, slow_s = ?, state = ? "
                "WHERE conversation = ?",
                (room.kind, room.history, room.topic, room.slow_s, room.state, room.id),
            )
            self._write_memberships(room.id, room.last_seq, memberships)

    def _write_memberships(
        self, conversation: int, last_seq: int, memberships: Mapping[int, Membership]
    ) -> None:
        with self._db.transaction() as db:
            for account, membership in memberships.items():
                before = self._reader.membership(conversation, account)
                if membership == NO_MEMBERSHIP:
                    sql = "DELETE FROM standings WHERE conversation = ? AND account = ?"
                    db.execute(sql, (conversation, account))
                else:
                    sql = "REPLACE INTO standings VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                    db.execute(sql, (conversation, account, *membership))
                if before.role is None and membership.role is not None:
                    # Earlier messages do not count as unread for a new member.
                    sql = """INSERT INTO positions (account, conversation, read_seq) VALUES (?, ?, ?)
                             ON CONFLICT DO UPDATE SET read_seq = excluded.read_seq"""
                    db.execute(sql, (account, conversation, last_seq))

    def _changed(
        self,
        conversation: int,
        memberships: Mapping[int, Membership],
        entry: LogEntry | None,
        change: RoomChange | None = None,
    ) -> RoomResult:
        """Log a change, report it, and return the room after it."""
        if entry is not None:
            self._log.add(conversation, entry, self._db.now_ms)
        room = self._reader.get(conversation)
        self._on_changed(room)
        self._db.emit(
            RoomChanged(room, memberships, change, self._mute_of_new_member(room, change, memberships))
        )
        return RoomResult(room, memberships)

    def _mute_of_new_member(
        self, room: RoomRow, change: RoomChange | None, memberships: Mapping[int, Membership]
    ) -> LogRow | None:
        """Return the log's entry about the mute of an account that joins while it is muted."""
        if change is None or change.actor is None or change.action != "join":
            return None
        muted = memberships[change.actor].muted_until_ms > self._db.now.steady_ms
        return self._reader.last_mute(room.id, change.actor) if muted else None


def _room(row: tuple[Any, ...]) -> RoomRow:
    number, name, kind, history, topic, slow_s, state, *rest = row
    return RoomRow(number, name, RoomKind(kind), HistoryFrom(history), topic, slow_s, RoomState(state), *rest)


def _membership(row: tuple[Any, ...]) -> Membership:
    return Membership(RoomRole(row[0]) if row[0] else None, *row[1:])
