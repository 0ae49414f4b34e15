"""Timeline items: messages, amendments (edits, redactions, reactions) and missing ranges. Sans-I/O."""

import dataclasses
from itertools import islice
from typing import assert_never

from qscp import frames
from qscp.frames import Reaction
from qscp.limits import REACTIONS_LIMIT
from qscp_client.core.outbox import Entry, EntryKind

AmendmentFrame = frames.Edit | frames.Redact | frames.React
"""An amendment as the server sends it."""


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
    """True if it was stored just now; False if it was replayed or comes from a page of history."""
    here: bool = False
    """True if it was typed in this client and pending until now."""
    reply_to: int = 0
    """The seq of the message that it replies to; 0 if it is not a reply."""
    mentions: tuple[str, ...] = ()
    edited: bool = False
    reactions: tuple[Reaction, ...] = ()
    as_of: int = dataclasses.field(default=0, compare=False)
    """The seq up to which it has all amendments; those with a higher seq are still to be applied."""
    repeated: bool = False
    """True if it was stored before, so that this might not be its current form: it is shown and not kept."""

    @property
    def last(self) -> int:
        """The last seq that the item covers."""
        return self.seq


@dataclasses.dataclass(frozen=True, slots=True)
class Amendment:
    """An edit, a redaction or a reaction; it has a seq of its own."""

    seq: int
    id: str
    sender: str
    kind: EntryKind
    target: int
    """The seq of the message that it amends."""
    body: str
    """The new text, or the reaction."""
    time_ms: int
    live: bool = False
    here: bool = False
    """As in `Message`."""
    erased: bool = False
    """True if the new text has been erased since."""
    before: str = ""
    """The text before an edit, if this client knows it."""
    mentions: tuple[str, ...] = ()
    """The users that a new text mentions."""
    count: int = 0
    """How many members have the reaction now."""
    folded: bool = False
    """True if its message is shown with the amendment applied."""
    repeated: bool = False
    """As in `Message`."""

    @property
    def last(self) -> int:
        """The last seq that the item covers."""
        return self.seq

    @property
    def has_line(self) -> bool:
        """Whether it is shown in a line of its own: its message doesn't show it, or a pending line ends."""
        return self.here or not self.folded


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """A range of messages that this device does not receive."""

    seq: int
    """The first seq of the range."""
    last: int
    """The last one."""
    reason: str
    """`older` (still on the server), `pruned` (deleted there), `damaged`, or a reason of a newer server."""


Item = Message | Amendment | Missing


def amended(message: Message, amendment: Amendment, me: str) -> Message:
    """Return a message with an amendment applied, unless it has that already, or was deleted.

    Args:
        message: The message before.
        amendment: The edit, redaction or reaction.
        me: Your name.
    """
    if message.erased or amendment.seq <= message.as_of:
        return message
    if amendment.kind is EntryKind.REDACT or amendment.erased:
        return dataclasses.replace(
            message, body="", erased=True, edited=False, mentions=(), reactions=(), as_of=amendment.seq
        )
    if amendment.kind is EntryKind.EDIT:
        text, mentions = amendment.body, amendment.mentions
        return dataclasses.replace(message, body=text, edited=True, mentions=mentions, as_of=amendment.seq)
    return dataclasses.replace(message, reactions=_reactions(message, amendment, me), as_of=amendment.seq)


def _reactions(message: Message, amendment: Amendment, me: str) -> tuple[Reaction, ...]:
    """Return the reactions after one was added or removed.

    The number is set, not incremented: a replayed reaction can already be part of the message.
    """
    reactions = {each.text: (each.count, each.mine) for each in message.reactions}
    _, mine = reactions.get(amendment.body, (0, False))
    is_mine = amendment.kind is EntryKind.REACT if amendment.sender == me else mine
    reactions[amendment.body] = amendment.count, is_mine
    shown = (Reaction(text, count, mine) for text, (count, mine) in reactions.items() if count > 0)
    return tuple(islice(shown, REACTIONS_LIMIT))


def message_from(frame: frames.Chat | frames.Message, *, here: bool = False, as_of: int = 0) -> Message:
    """Return the message that the server sent, live, replayed or in a page of history.

    Args:
        frame: The message as it was sent.
        here: As in `Message`.
        as_of: The last seq of the page; 0 without a page.
    """
    return Message(
        frame.seq,
        frame.id,
        frame.sender,
        frame.body,
        frame.time,
        erased=frame.erased,
        live=isinstance(frame, frames.Chat) and frame.origin == "live",
        here=here,
        reply_to=frame.reply_to or 0,
        mentions=frame.mentions,
        edited=frame.edited is not None,
        reactions=frame.reactions,
        as_of=max(frame.seq, as_of),
    )


def items_from(page: frames.History) -> list[Message | Missing]:
    """Return the messages of a page of history and the gaps among them, by seq."""
    return sorted([*map(message_from, page.messages), *gaps_from(page)], key=lambda item: item.seq)


def gaps_from(page: frames.History) -> list[Missing]:
    """Return the gaps of a page of history."""
    return [Missing(each.first, each.last, each.reason) for each in page.gaps if each.first <= each.last]


def amendment_from(frame: AmendmentFrame, *, here: bool, folded: bool) -> Amendment:
    """Return the amendment that the server sent; `here` and `folded` as in `Amendment`."""
    erased, count = False, 0
    mentions: tuple[str, ...] = ()
    match frame:
        case frames.Edit():
            kind, body, erased, mentions = EntryKind.EDIT, frame.body, frame.erased, frame.mentions
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
        mentions=mentions,
        count=count,
        folded=folded,
    )


def acknowledged(entry: Entry, ack: frames.ChatAck, me: str) -> Message | Amendment:
    """Return an entry of the outbox as a timeline item, now that the server has stored it.

    Args:
        entry: The entry as it was typed.
        ack: The acknowledgement, with its seq and time.
        me: Your name.
    """
    if entry.kind is EntryKind.CHAT:
        return Message(
            *(ack.seq, ack.id, me, entry.body, ack.time),
            live=True,
            here=True,
            reply_to=entry.target,
            mentions=ack.mentions,
            as_of=ack.seq,
            repeated=ack.repeated,
        )
    return Amendment(
        *(ack.seq, ack.id, me, entry.kind, entry.target),
        "" if entry.kind is EntryKind.REDACT else entry.body,
        ack.time,
        live=True,
        here=True,
        mentions=ack.mentions,
        count=ack.count or 0,
        repeated=ack.repeated,
    )
