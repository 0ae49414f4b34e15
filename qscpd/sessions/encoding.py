"""Stored messages as frames: live, replayed, and in a page of history."""

from collections.abc import Mapping, Sequence

from qscp import frames
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import NO_META, MessageMeta, MessageRow

__all__ = ["history_message", "pushed"]


def pushed(
    conversation: int,
    message: MessageRow,
    *,
    to: str,
    origin: frames.Origin,
    names: Mapping[int, str],
    viewer: int = 0,
) -> frames.ServerFrame:
    """A message, or what happened to one, as it is told.

    Args:
        conversation: Where it is.
        message: The message; of an edit, with the text that its message has.
        to: The name that it was sent to, as the receiver sees it.
        origin: Whether it was stored just now.
        names: Names of accounts, by id.
        viewer: Account id of the receiver; nobody's while there can't be any reactions yet.
    """
    place = (conversation_id(conversation), message.seq, message.id, names.get(message.sender, ""), to)
    meta, time_ms = message.meta, message.time_ms
    match meta.kind:
        case "edit":
            mentions = _names(meta.mentions, names)
            gone = message.body is None
            return frames.Edit(
                *place, meta.target, message.body or "", time_ms, origin, mentions=mentions, erased=gone
            )
        case "redact":
            return frames.Redact(*place, meta.target, time_ms, origin)
        case "react":
            return frames.React(
                *place,
                meta.target,
                message.body or "",
                time_ms,
                origin,
                removed=meta.removed,
                count=meta.count,
            )
    chat = frames.Chat(*place, message.body or "", time_ms, origin, erased=message.body is None)
    if meta is not NO_META:
        _add(chat, meta, names, viewer)
    return chat


def history_message(message: MessageRow, names: Mapping[int, str], viewer: int) -> frames.Message:
    """A message in a page of history, which is as the events left it."""
    sender = names.get(message.sender, "")
    told = frames.Message(
        message.seq, message.id, sender, message.body or "", message.time_ms, erased=message.body is None
    )
    if message.meta is not NO_META:
        _add(told, message.meta, names, viewer)
    return told


def _add(
    told: frames.Chat | frames.Message, meta: MessageMeta, names: Mapping[int, str], viewer: int
) -> None:
    told.reply_to = meta.reply_to or None
    told.mentions = _names(meta.mentions, names)
    told.edited = meta.edited_ms or None
    told.reactions = tuple(
        frames.Reaction(text, len(people), viewer in people) for text, people in meta.reactions.items()
    )


def _names(accounts: Sequence[int], names: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(names.get(account, "") for account in accounts)
