"""What a conversation consists of: messages, what happens to them, and what is missing."""

import dataclasses
from typing import assert_never

from qscp import frames
from qscp.frames import Reaction
from qscp_client.core.outbox import Entry, EntryKind

__all__ = [
    "Amending",
    "Amendment",
    "Item",
    "Message",
    "Missing",
    "amended",
    "amendment_of",
    "message_of",
    "stored_item",
    "told_message",
]

Amending = frames.Edit | frames.Redact | frames.React
"""What happens to a message, as the server tells it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """A message of a conversation."""

    seq: int
    id: str
    sender: str
    body: str
    time_ms: int
    erased: bool = False
    live: bool = False
    """Whether it was stored just now."""
    here: bool = False
    """Whether it is your own and was pending in this client until now."""
    reply_to: int = 0
    """The seq of the message that it answers; 0 if there is none."""
    mentions: tuple[str, ...] = ()
    edited: bool = False
    reactions: tuple[Reaction, ...] = ()

    @property
    def last(self) -> int:
        """As of `Missing`."""
        return self.seq


@dataclasses.dataclass(frozen=True, slots=True)
class Amendment:
    """Something that happened to a message: it was edited or redacted, or somebody reacted to it."""

    seq: int
    id: str
    sender: str
    kind: EntryKind
    target: int
    """The seq of the message."""
    body: str
    """The new text, or the reaction."""
    time_ms: int
    live: bool = False
    here: bool = False
    """As of `Message`."""
    erased: bool = False
    """Whether the new text is gone by now."""
    before: str = ""
    """Of an edit: what the text was before, if it was shown here."""
    count: int | None = None
    """How many people have the reaction now; None if only that is known that you have it, or not."""
    folded: bool = False
    """Whether the message is shown only now, as this left it, so that there is nothing to tell."""

    @property
    def last(self) -> int:
        """As of `Missing`."""
        return self.seq


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Messages that this device is not told."""

    seq: int
    """The first of them."""
    last: int
    reason: str


Item = Message | Amendment | Missing


def amended(message: Message, amendment: Amendment, me: str) -> Message:
    """The message as an amendment leaves it.

    Args:
        message: The message.
        amendment: What happens to it.
        me: Your name.
    """
    match amendment.kind:
        case EntryKind.EDIT:
            return dataclasses.replace(
                message, body=amendment.body, edited=True, erased=message.erased or amendment.erased
            )
        case EntryKind.REDACT:
            return dataclasses.replace(message, body="", erased=True, reactions=())
        case _:
            return dataclasses.replace(message, reactions=_reactions(message, amendment, me))


def _reactions(message: Message, amendment: Amendment, me: str) -> tuple[Reaction, ...]:
    """Set the reaction, never count it: what is told again may have been in the message already."""
    is_there = amendment.kind is EntryKind.REACT
    reactions = {each.text: (each.count, each.mine) for each in message.reactions}
    count, mine = reactions.get(amendment.body, (0, False))
    if amendment.count is not None:
        count = amendment.count
    elif is_there is not mine:
        count += 1 if is_there else -1
    reactions[amendment.body] = (count, is_there if amendment.sender == me else mine)
    return tuple(Reaction(text, count, mine) for text, (count, mine) in reactions.items() if count > 0)


def message_of(frame: frames.Chat, *, here: bool) -> Message:
    """A message as the server tells it.

    Args:
        frame: The message.
        here: Whether it was pending in this client until now.
    """
    return Message(
        frame.seq,
        frame.id,
        frame.sender,
        frame.body,
        frame.time,
        erased=frame.erased,
        live=frame.origin == "live",
        here=here,
        reply_to=frame.reply_to or 0,
        mentions=frame.mentions,
        edited=frame.edited is not None,
        reactions=frame.reactions,
    )


def told_message(told: frames.Message) -> Message:
    """A message of a page of history."""
    return Message(
        told.seq,
        told.id,
        told.sender,
        told.body,
        told.time,
        erased=told.erased,
        reply_to=told.reply_to or 0,
        mentions=told.mentions,
        edited=told.edited is not None,
        reactions=told.reactions,
    )


def amendment_of(frame: Amending, *, here: bool, folded: bool) -> Amendment:
    """What happened to a message, as the server tells it; `here` and `folded` as of `Amendment`."""
    erased, count = False, None
    match frame:
        case frames.Edit():
            kind, body, erased = EntryKind.EDIT, frame.body, frame.erased
        case frames.React():
            kind, body = EntryKind.UNREACT if frame.removed else EntryKind.REACT, frame.text
            count = frame.count
        case frames.Redact():
            kind, body = EntryKind.REDACT, ""
        case _:
            assert_never(frame)
    return Amendment(
        frame.seq,
        frame.id,
        frame.sender,
        kind,
        frame.target,
        body,
        frame.time,
        live=frame.origin == "live",
        here=here,
        erased=erased,
        count=count,
        folded=folded,
    )


def stored_item(entry: Entry, ack: frames.ChatAck, me: str) -> Message | Amendment:
    """What was in the outbox, now that the server has stored it.

    Args:
        entry: As it was typed.
        ack: Its place.
        me: Your name.
    """
    if entry.kind is EntryKind.CHAT:
        return Message(ack.seq, ack.id, me, entry.body, ack.time, live=True, here=True, reply_to=entry.target)
    body = "" if entry.kind is EntryKind.REDACT else entry.body
    return Amendment(ack.seq, ack.id, me, entry.kind, entry.target, body, ack.time, live=True, here=True)
