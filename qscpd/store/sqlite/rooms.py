"""Rooms, who is in them, and what was done there, in SQLite; `qscpd.domain.rooms` decides."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from qscp.errors import ErrorCode
from qscp.limits import ROOMS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.model import LogRow, RoomResult
from qscpd.domain.rooms import (
    NO_MEMBERSHIP,
    DeniedError,
    Membership,
    RoomChange,
    RoomRow,
    RoomState,
    decide,
    successor,
)
from qscpd.errors import NotFoundError
from qscpd.store.sqlite.search_index import WordIndex
from qscpd.store.sqlite.tail_cache import ConversationTail

__all__ = ["Rooms"]

_ROOM: Final = """
    SELECT r.conversation, r.name, r.kind, r.history, r.topic, r.slow_s, r.state, r.created_ms,
      c.first_seq, c.last_seq,
      (SELECT count(*) FROM standings s WHERE s.conversation = c.id AND s.role IS NOT NULL),
      (SELECT count(*) FROM standings s WHERE s.conversation = c.id AND s.role = 'owner')
    FROM rooms r JOIN conversations c ON c.id = r.conversation
"""

_STANDING: Final = "role, since, invited_by, muted_until_ms, banned_until_ms"

_UNLOGGED: Final = frozenset({"join", "leave"})
"""What is nobody's moderation."""


class Rooms(WordIndex):
    """Rooms and memberships."""

    _conversations: dict[tuple[int, int], ConversationTail]
    """By pair; of a room, minus its conversation's id twice."""

    # --- looking

    def rooms(self) -> Sequence[RoomRow]:
        """See `Store.rooms`."""
        return [_room(row) for row in self._read(f"{_ROOM} WHERE r.state <> 'deleted' ORDER BY r.name")]

    def find_room(self, name: str) -> RoomRow:
        """See `Store.find_room`."""
        row = self._room_named(name)
        if row is None:
            raise NotFoundError(f"there is no room {name}; `qscpd room list` shows all")
        return row

    def room(self, conversation: int) -> RoomRow:
        """See `Store.room`."""
        rows = self._read(f"{_ROOM} WHERE r.conversation = ?", conversation)
        return _room(rows[0])

    def memberships(self, conversation: int) -> Mapping[int, Membership]:
        """See `Store.memberships`."""
        sql = f"SELECT account, {_STANDING} FROM standings WHERE conversation = ?"  # noqa: S608 - ours
        return {row[0]: _membership(row[1:]) for row in self._read(sql, conversation)}

    def room_log(
        self, conversation: int, before: int | None = None, limit: int = 1_000_000
    ) -> Sequence[LogRow]:
        """See `Store.room_log`."""
        sql = """SELECT id, time_ms, actor, action, target, seq, until_ms, text FROM room_log
                 WHERE conversation = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"""
        return [LogRow(*row) for row in self._read(sql, conversation, before, before, limit)]

    def _room_named(self, name: str) -> RoomRow | None:
        rows = self._read(f"{_ROOM} WHERE r.name = ? AND r.state <> 'deleted'", name)
        return _room(rows[0]) if rows else None

    def _membership_of(self, conversation: int, account: int | None) -> Membership:
        sql = f"SELECT {_STANDING} FROM standings WHERE conversation = ? AND account = ?"  # noqa: S608 - ours
        rows = self._read(sql, conversation, account)
        return _membership(rows[0]) if rows else NO_MEMBERSHIP

    # --- changing

    def change_room(self, change: RoomChange) -> RoomResult:
        """See `Store.change_room`."""
        (outcome,) = self.change_rooms([change])
        if isinstance(outcome, DeniedError):
            raise outcome
        return outcome

    def change_rooms(self, changes: Sequence[RoomChange]) -> Sequence[RoomResult | DeniedError]:
        """See `Store.change_rooms`."""
        outcomes: list[RoomResult | DeniedError] = []
        with self._transaction():
            for change in changes:
                try:
                    outcomes.append(self._change_room(change))
                except DeniedError as error:
                    outcomes.append(error)  # raised before anything was written
        return outcomes

    def _change_room(self, change: RoomChange) -> RoomResult:
        # Between the question and now, the account of one of them may have been deleted.
        if not all(each is None or self._is_there(each) for each in (change.actor, change.target)):
            raise DeniedError(ErrorCode.UNKNOWN_USER)
        room = self._room_named(change.room)
        if change.action == "create":
            return self._create_room(change, room)
        if room is None:
            raise DeniedError(ErrorCode.UNKNOWN_ROOM)
        decision = decide(
            change,
            room,
            self._membership_of(room.id, change.actor),
            self._membership_of(room.id, change.target),
            rooms=self._rooms_of(change.actor) if change.action == "join" else 0,
            now_ms=self._clock_ms(),
        )
        memberships = dict(decision.memberships)
        if decision.room.state is RoomState.DELETED:
            memberships = dict.fromkeys(self.memberships(room.id), NO_MEMBERSHIP)
        self._write_room(decision.room, memberships)
        if change.action not in _UNLOGGED:
            self._log_change(room.id, change, decision.until_ms)
        return self._result(room.id, memberships)

    def _create_room(self, change: RoomChange, existing: RoomRow | None) -> RoomResult:
        owner = change.actor if change.actor is not None else change.target
        assert owner is not None  # noqa: S101 - the command asks for one
        if existing is not None:
            raise DeniedError(ErrorCode.ROOM_EXISTS)
        if self._rooms_of(owner) >= ROOMS_LIMIT:
            raise DeniedError(ErrorCode.TOO_MANY_ROOMS)
        sql = "INSERT INTO conversations (last_seq, last_ms) VALUES (0, 0) RETURNING id"
        conversation = self._db.execute(sql).fetchall()[0][0]
        self._db.execute(
            "INSERT INTO rooms VALUES (?, ?, ?, ?, ?, 0, ?, ?)",
            (
                conversation,
                change.room,
                change.kind or RoomKind.OPEN,
                change.history or HistoryFrom.JOINING,
                change.text,
                RoomState.ACTIVE,
                self._clock_ms(),
            ),
        )
        memberships = {owner: Membership(role=RoomRole.OWNER)}
        self._write_memberships(conversation, 0, memberships)
        self._log_change(conversation, change, None)
        return self._result(conversation, memberships)

    def _result(self, conversation: int, memberships: Mapping[int, Membership]) -> RoomResult:
        """What a room is after a change; whoever writes in it is told, too."""
        room = self.room(conversation)
        end = self._conversations.get((-conversation, -conversation))
        if end is not None and end.room is not None:
            end.room.renew(room)
        return RoomResult(room, memberships)

    def _write_room(self, room: RoomRow, memberships: Mapping[int, Membership]) -> None:
        self._db.execute(
            "UPDATE rooms SET kind = ?, history = ?, topic = ?, slow_s = ?, state = ? WHERE conversation = ?",
            (room.kind, room.history, room.topic, room.slow_s, room.state, room.id),
        )
        self._write_memberships(room.id, room.last_seq, memberships)

    def _write_memberships(
        self, conversation: int, last_seq: int, memberships: Mapping[int, Membership]
    ) -> None:
        for account, membership in memberships.items():
            before = self._membership_of(conversation, account)
            if membership == NO_MEMBERSHIP:
                sql = "DELETE FROM standings WHERE conversation = ? AND account = ?"
                self._db.execute(sql, (conversation, account))
            else:
                sql = "REPLACE INTO standings VALUES (?, ?, ?, ?, ?, ?, ?)"
                self._db.execute(sql, (conversation, account, *membership))
            if before.role is None and membership.role is not None:
                # Nothing from before is unread to who just came.
                sql = """INSERT INTO positions (account, conversation, read_seq) VALUES (?, ?, ?)
                         ON CONFLICT DO UPDATE SET read_seq = excluded.read_seq"""
                self._db.execute(sql, (account, conversation, last_seq))

    def _rooms_of(self, account: int | None) -> int:
        sql = "SELECT count(*) FROM standings WHERE account = ? AND role IS NOT NULL"
        return int(self._read(sql, account)[0][0])

    def _leave_everything(self, account: int) -> None:
        """A deleted account leaves its rooms, and each room keeps an owner or is archived."""
        super()._leave_everything(account)
        rows = self._db.execute("SELECT conversation, role FROM standings WHERE account = ?", (account,))
        for conversation, role in rows.fetchall():
            room = self.room(conversation)
            if room.state is RoomState.DELETED:
                continue
            memberships = {account: NO_MEMBERSHIP}
            if role == RoomRole.OWNER and room.owners == 1:
                others = {
                    other: membership
                    for other, membership in self.memberships(conversation).items()
                    if membership.role is not None and other != account
                }
                heir = successor(others.items())
                if heir is None:
                    room = room._replace(state=RoomState.ARCHIVED)
                    self._log(conversation, actor=None, action="archive", target=None)
                else:
                    memberships[heir] = others[heir]._replace(role=RoomRole.OWNER)
                    self._log(conversation, actor=None, action="role", target=heir, text=RoomRole.OWNER)
            self._write_room(room, memberships)
            self._result(conversation, memberships)

    # --- the log of moderation

    def _log_change(self, conversation: int, change: RoomChange, until_ms: int | None) -> None:
        self._log(
            conversation,
            actor=change.actor,
            action=change.action,
            target=change.target,
            until_ms=until_ms,
            text=_describe(change),
        )

    def _log(
        self,
        conversation: int,
        *,
        actor: int | None,
        action: str,
        target: int | None,
        seq: int | None = None,
        until_ms: int | None = None,
        text: str = "",
    ) -> None:
        """Add to a room's log; inside a transaction."""
        self._db.execute(
            "INSERT INTO room_log (conversation, time_ms, actor, action, target, seq, until_ms, text) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (conversation, self._clock_ms(), actor, action, target, seq, until_ms, text),
        )


def _describe(change: RoomChange) -> str:
    """What a change was, besides whom it was about: for people who read the log."""
    match change.action:
        case "role":
            return str(change.role)
        case "set" | "create":
            slow = None if change.seconds is None else f"slow {change.seconds} s"
            history = change.history and f"history {change.history}"
            return ", ".join(each for each in (change.kind, history, slow, change.text) if each)
        case _:
            return change.text


def _room(row: tuple[Any, ...]) -> RoomRow:
    number, name, kind, history, topic, slow_s, state, *rest = row
    return RoomRow(number, name, RoomKind(kind), HistoryFrom(history), topic, slow_s, RoomState(state), *rest)


def _membership(row: tuple[Any, ...]) -> Membership:
    return Membership(RoomRole(row[0]) if row[0] else None, *row[1:])
