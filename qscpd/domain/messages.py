"""Message rules: who can write, what an amendment makes of its message, which id is a retry. Pure.

An amendment is an edit, a redaction or a reaction. It takes a seq of its own, so that a device that was
offline gets it like a message. The message that it targets is replaced in the same transaction, so that it
is read later as it is then. The new text of an edit is in the message only: erased there, it is gone.
"""

import hashlib
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple, assert_never

import msgspec

from qscp.errors import ErrorCode
from qscp.limits import REACTIONS_LIMIT
from qscp.rooms import PERMISSIONS, RANKS, RoomRole
from qscpd.domain.blocks import contact_refusal
from qscpd.domain.model import MessageMeta, MessageRow, NewMessage, Refused
from qscpd.domain.moderation import LogEntry
from qscpd.domain.rooms import FOREVER_MS, Membership, RoomRow, first_visible, refusal

# --- who can write


def misdirected(message: NewMessage) -> Refused:
    """Return the refusal of a message whose recipient is not that of the conversation it names.

    The name of the recipient was given to another account or room since the client learned it.
    """
    return Refused(ErrorCode.UNKNOWN_RECIPIENT if message.recipient > 0 else ErrorCode.UNKNOWN_ROOM)


def pair_refusal(
    message: NewMessage, last_seq: int, blockers: AbstractSet[int] = frozenset()
) -> Refused | None:
    """Return why a message or amendment can't be stored in a pair's conversation; None if it can.

    A block does not prevent a redaction: users can delete what they wrote.

    Args:
        message: The message.
        last_seq: Of the conversation.
        blockers: Those of the two accounts that block the other one.
    """
    if blockers and message.meta.kind != "redact":
        code = contact_refusal(message.sender, blockers)
        if code is not None:
            return Refused(code)
    return _target_refusal(message, 1, last_seq)


def room_refusal(
    message: NewMessage,
    room: RoomRow,
    membership: Membership,
    *,
    last_seq: int,
    waited_ms: int | None,
    now_ms: int,
) -> Refused | None:
    """Return why a message or amendment can't be stored in a room; None if it can.

    Args:
        message: The message.
        room: The room.
        membership: The sender's.
        last_seq: Of the conversation.
        waited_ms: Time since the sender's last message was stored, as far as slow mode remembers it.
        now_ms: Milliseconds since 1970-01-01 UTC by the steady time.
    """
    amends = bool(message.meta.kind)
    code = refusal(room, membership, now_ms, reacts=amends)
    if code is ErrorCode.MUTED:
        forever = membership.muted_until_ms >= FOREVER_MS
        return Refused(code, None if forever else (membership.muted_until_ms - now_ms) / 1000)
    if code is not None:
        return Refused(code)
    if room.slow_s and waited_ms is not None and not amends:
        wait_ms = room.slow_s * 1000 - waited_ms
        if wait_ms > 0 and RANKS[membership.role] < RANKS[RoomRole.MODERATOR]:
            return Refused(ErrorCode.SLOW_MODE, wait_ms / 1000)
    return _target_refusal(message, first_visible(room, membership), last_seq)


def _target_refusal(message: NewMessage, first: int, last_seq: int) -> Refused | None:
    about = message.meta.target or message.meta.reply_to
    return Refused(ErrorCode.UNKNOWN_MESSAGE) if about and not first <= about <= last_seq else None


# --- amendments


class Amendment(NamedTuple):
    """An allowed amendment."""

    message: MessageRow
    """The target afterwards."""
    body: str | None
    """Of the amendment's own row."""
    meta: MessageMeta
    """Of the amendment's own row."""
    logged: LogEntry | None = None
    """The moderation log's entry about it."""


def amend(
    event: NewMessage,
    target: MessageRow,
    *,
    actor: Membership,
    author: Membership,
    time_ms: int,
    now_ms: int,
    edit_within_ms: int,
) -> Amendment | Refused:
    """Return what an amendment makes of its target, or why it is refused.

    Args:
        event: The edit, redaction or reaction.
        target: Its target.
        actor: The sender's membership; of a pair `NO_MEMBERSHIP`.
        author: The membership of the target's author; of a pair `NO_MEMBERSHIP`.
        time_ms: The amendment's time.
        now_ms: The steady time; see `qscpd.domain.clock`.
        edit_within_ms: How long after its time a message can be edited.
    """
    if target.meta.kind or target.body is None:
        return Refused(ErrorCode.UNKNOWN_MESSAGE)
    match event.meta.kind:
        case "edit":
            return _edit(event, target, time_ms, late=max(0, now_ms - target.time_ms) >= edit_within_ms)
        case "redact":
            return _redact(event, target, actor, author)
        case _:
            return _react(event, target)


def _edit(event: NewMessage, target: MessageRow, time_ms: int, *, late: bool) -> Amendment | Refused:
    if target.sender != event.sender:
        return Refused(ErrorCode.NOT_ALLOWED)
    if late:
        return Refused(ErrorCode.TOO_LATE)
    meta = msgspec.structs.replace(target.meta, edited_ms=time_ms, mentions=event.meta.mentions)
    return Amendment(
        target._replace(body=event.body, meta=meta),
        None,
        MessageMeta(kind="edit", target=target.seq, digest=digest(event.body)),
    )


def _redact(
    event: NewMessage, target: MessageRow, actor: Membership, author: Membership
) -> Amendment | Refused:
    logged = None
    if target.sender != event.sender:
        if not _may_redact(actor.role, author.role):
            return Refused(ErrorCode.NOT_ALLOWED)
        logged = LogEntry("redact", event.sender, target.sender, seq=target.seq, text=event.body)
    return Amendment(
        target._replace(body=None, meta=MessageMeta(reply_to=target.meta.reply_to)),
        None,
        MessageMeta(kind="redact", target=target.seq),
        logged,
    )


def _may_redact(actor: RoomRole | None, author: RoomRole | None) -> bool:
    if RANKS[actor] < RANKS[PERMISSIONS["redact"]]:
        return False
    return actor is RoomRole.OWNER or RANKS[actor] > RANKS[author]


def _react(event: NewMessage, target: MessageRow) -> Amendment | Refused:
    text, removed = event.body, event.meta.removed
    reactions = dict(target.meta.reactions)
    before = reactions.get(text, ())
    if (event.sender in before) is not removed:
        return Refused(ErrorCode.UNCHANGED)
    users = tuple(each for each in before if each != event.sender)
    if not removed:
        users += (event.sender,)
    reactions[text] = users
    if not users:
        del reactions[text]
    if len(reactions) > REACTIONS_LIMIT:
        return Refused(ErrorCode.TOO_MANY_REACTIONS)
    return Amendment(
        target._replace(meta=msgspec.structs.replace(target.meta, reactions=reactions)),
        text,
        MessageMeta(kind="react", target=target.seq, removed=removed, count=len(users)),
    )


def as_seen(row: MessageRow, find: Callable[[int], MessageRow | None], first: int = 1) -> MessageRow:
    """Return a row with what is current: an edit with its message's text, a reaction with its count.

    Args:
        row: The row.
        find: Returns the message with a seq; None if it was pruned.
        first: The first seq that the member can see. Edits of earlier messages have no text.
    """
    meta = row.meta
    if meta.kind == "react":
        message = find(meta.target)
        users = message.meta.reactions.get(row.body or "", ()) if message is not None else ()
        return row._replace(meta=msgspec.structs.replace(meta, count=len(users)))
    if meta.kind == "edit":
        message = find(meta.target) if meta.target >= first else None
        if message is None:
            return row._replace(body=None, meta=msgspec.structs.replace(meta, mentions=()))
        current = msgspec.structs.replace(meta, mentions=message.meta.mentions)
        return row._replace(body=message.body, meta=current)
    return row


def erased(row: MessageRow, account: int) -> MessageRow | None:
    """Return a message without what an account wrote in it or added to it; None if there is nothing."""
    if row.sender == account and (row.body is not None or row.meta.digest):
        meta = msgspec.structs.replace(row.meta, reactions={}, mentions=(), digest=b"")
        return row._replace(body=None, meta=meta)
    if any(account in users for users in row.meta.reactions.values()):
        left = {
            text: tuple(each for each in users if each != account)
            for text, users in row.meta.reactions.items()
        }
        reactions = {text: users for text, users in left.items() if users}
        return row._replace(meta=msgspec.structs.replace(row.meta, reactions=reactions))
    return None


# --- message ids


def digest(text: str) -> bytes:
    """Return what is kept of a text to recognise it again."""
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def id_hash(recipient: int, text: str, meta: MessageMeta) -> bytes:
    """Return what is kept of a message to recognise a retry under the same id.

    Args:
        recipient: As in `NewMessage`.
        text: The text as it was sent.
        meta: As it was sent or as it is stored; both give the same hash.
    """
    match meta.kind:
        case "":
            return digest(f"{recipient}\n{text}")
        case "edit":
            what = (meta.digest or digest(text)).hex()
        case "redact":
            what = ""
        case "react":
            what = f"{meta.removed} {text}"
        case _:
            assert_never(meta.kind)
    return digest(f"{recipient} {meta.kind} {meta.target}\n{what}")


def repeats(message: NewMessage, recipient: int, stored_hash: bytes) -> bool:
    """Return whether a message is the one that was stored under its id.

    Args:
        message: The message. Its own recipient does not matter: the name can have another holder now.
        recipient: The stored one's recipient, who has or had the name that the message was sent to.
        stored_hash: The stored one's `id_hash`.
    """
    return stored_hash == id_hash(recipient, message.body, message.meta)
