"""Build frames from stored rows: live, replayed, and in a page of history."""

from collections.abc import Mapping, Sequence

from qscp import frames
from qscpd.domain.ids import conversation_id
from qscpd.domain.model import NO_META, MessageMeta, MessageRow


def frame_for_row(
    conversation: int,
    message: MessageRow,
    *,
    to: str,
    origin: frames.Origin,
    names: Mapping[int, str],
    viewer: int = 0,
) -> frames.ServerFrame:
    """Return the frame of a message, edit, redaction or reaction.

    Args:
        conversation: Its conversation.
        message: The row; an edit's has the text that the edited message has now.
        to: The name of its recipient, as the receiver sees it.
        origin: `live` if it was stored just now, else `replay`.
        names: Names of accounts, by id.
        viewer: Account id of the receiver; 0 for a message so new that it has no reactions.
    """
    place = (conversation_id(conversation), message.seq, message.id, names.get(message.sender, ""), to)
    meta, time_ms = message.meta, message.time_ms
    match meta.kind:
        case "edit":
            mentions = names_of(meta.mentions, names)
            erased = message.body is None
            return frames.Edit(
                *place, meta.target, message.body or "", time_ms, origin, mentions=mentions, erased=erased
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
        _add_meta(chat, meta, names, viewer)
    return chat


def history_message(message: MessageRow, names: Mapping[int, str], viewer: int) -> frames.Message:
    """Return a message for a page of history, with its edits and reactions applied."""
    sender = names.get(message.sender, "")
    shown = frames.Message(
        message.seq, message.id, sender, message.body or "", message.time_ms, erased=message.body is None
    )
    if message.meta is not NO_META:
        _add_meta(shown, message.meta, names, viewer)
    return shown


def _add_meta(
    message: frames.Chat | frames.Message, meta: MessageMeta, names: Mapping[int, str], viewer: int
) -> None:
    message.reply_to = meta.reply_to or None
    message.mentions = names_of(meta.mentions, names)
    message.edited = meta.edited_ms or None
    message.reactions = tuple(
        frames.Reaction(text, len(senders), viewer in senders) for text, senders in meta.reactions.items()
    )


def names_of(accounts: Sequence[int], names: Mapping[int, str]) -> tuple[str, ...]:
    """Return the names of accounts, in their order."""
    return tuple(names.get(account, "") for account in accounts)
