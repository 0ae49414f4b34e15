"""Export of an account's conversations, or of a room, as JSON Lines.

An account's export has the account, its conversations, and their messages by conversation and seq.
A room's export has the room, its people, its moderation log, and its messages by seq. `docs/backup.md`
describes the fields.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from qscp import __version__
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import Account, ConversationRow, LogRow, MessageRow
from qscpd.domain.rooms import Membership, RoomRow
from qscpd.store.base import StoreReader

EXPORT_FORMAT: Final = 1
"""Version of the format; it changes when the meaning of a line does, not with new fields or types."""

_encode: Final = msgspec.json.Encoder().encode

Names = Mapping[int, str]
Fields = dict[str, object]


def export_lines(reader: StoreReader, account: Account) -> Iterator[bytes]:
    """Yield the lines of an account's export, each with its newline, from one snapshot of the store."""
    names = reader.account_names()
    yield _line(
        {
            **_head("account", reader),
            "account": _account_id(account.id),
            "name": names.get(account.id, account.name),
            "state": account.state.value,
            "created": account.created_ms,
        }
    )
    for row in reader.conversations(account.id):
        yield _line(
            {
                "type": "conversation",
                "conversation": conversation_id(row.id),
                **_with(row),
                "first_seq": row.first_seq,
                "last_seq": row.last_seq,
                "read": row.read,
                "delivered": row.delivered,
            }
        )
    for block in reader.blocks(account.id):
        blocked = {"name": names.get(block.blocked, ""), "account": _account_id(block.blocked)}
        yield _line({"type": "block", **blocked, "time": block.time_ms})
    for found in reader.export(account.id):
        yield _line(_message(found.conversation, found.message, names))


def export_room_lines(reader: StoreReader, room: RoomRow) -> Iterator[bytes]:
    """Yield the lines of a room's export, each with its newline, from one snapshot of the store."""
    names = reader.account_names()
    yield _line(
        {
            **_head("room", reader),
            "conversation": conversation_id(room.id),
            "name": room.name,
            "kind": room.kind.value,
            "history": room.history.value,
            "state": room.state.value,
            "topic": room.topic,
            "slow": room.slow_s,
            "created": room.created_ms,
            "first_seq": room.first_seq,
            "last_seq": room.last_seq,
        }
    )
    for account, membership in sorted(reader.memberships(room.id).items()):
        yield _line(_person(account, membership, names))
    for row in reversed(reader.room_log(room.id)):
        yield _line(_entry(row, names))
    for message in reader.export_room(room.id):
        yield _line(_message(room.id, message, names))


def _head(kind: str, reader: StoreReader) -> Fields:
    """Return the first fields of every export."""
    return {
        "type": kind,
        "format": EXPORT_FORMAT,
        "program": f"qscpd {__version__}",
        "exported": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "epoch": reader.epoch(),
    }


def _with(row: ConversationRow) -> Fields:
    if row.peer is None:
        return {"kind": "room", "with": row.name}
    return {"kind": "pair", "with": row.name, "with_account": _account_id(row.peer)}


def _person(account: int, membership: Membership, names: Names) -> Fields:
    fields: Fields = {
        "type": "person",
        "name": names.get(account, ""),
        "account": _account_id(account),
        "role": membership.role.value if membership.role is not None else "",
    }
    if membership.role is not None:
        fields["since"] = membership.since
    if membership.invited_by is not None:
        fields |= _who("invited_by", membership.invited_by or None, names)
    if membership.muted_until_ms:
        fields["muted_until"] = membership.muted_until_ms
    if membership.banned_until_ms:
        fields["banned_until"] = membership.banned_until_ms
    return fields


def _entry(row: LogRow, names: Names) -> Fields:
    fields: Fields = {
        "type": "log",
        "time": row.time_ms,
        **_who("by", row.actor, names),
        "action": row.action,
    }
    if row.target is not None:
        fields |= _who("user", row.target, names)
    if row.seq is not None:
        fields["seq"] = row.seq
    if row.until_ms is not None:
        fields["until"] = row.until_ms
    if row.text:
        fields["text"] = row.text
    return fields


def _message(conversation: int, message: MessageRow, names: Names) -> Fields:
    """Return the fields of a message or an event of one; empty fields are left out."""
    meta = message.meta
    fields: Fields = {
        "type": meta.kind or "message",
        "conversation": conversation_id(conversation),
        "seq": message.seq,
        "id": message.id,
        "time": message.time_ms,
        **_who("from", message.sender, names),
    }
    if meta.target:
        fields["target"] = meta.target
    match meta.kind:
        case "redact":
            return fields
        case "react":
            return fields | {
                "reaction": message.body or "",
                "removed": meta.removed,
                "erased": message.body is None,
            }
    fields |= {"body": message.body or "", "erased": message.body is None}
    if meta.reply_to:
        fields["reply_to"] = meta.reply_to
    if meta.mentions:
        fields["mentions"] = _people(meta.mentions, names)
    if meta.edited_ms:
        fields["edited"] = meta.edited_ms
    if meta.reactions:
        fields["reactions"] = {text: _people(each, names) for text, each in meta.reactions.items()}
    return fields


def _who(field: str, account: int | None, names: Names) -> Fields:
    """Return name and id of an account, as a name can be reused; the operator has neither."""
    if account is None:
        return {field: ""}
    return {field: names.get(account, ""), f"{field}_account": _account_id(account)}


def _people(accounts: Iterable[int], names: Names) -> list[Fields]:
    return [{"name": names.get(each, ""), "account": _account_id(each)} for each in accounts]


def _account_id(account: int) -> str:
    return f"a{account}"


def _line(fields: Fields) -> bytes:
    return _encode(fields) + b"\n"
