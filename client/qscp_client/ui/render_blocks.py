"""Blocked users as lines of text: the list of them, and what of theirs is folded."""

from qscp_client.core.events import BlocksListed, MessagesFolded, Place
from qscp_client.text import Kind, Line, clean
from qscp_client.ui.render_notices import count_messages


def describe_blocks(event: BlocksListed) -> Line:
    """Return whom you block."""
    names = ", ".join(clean(name) for name in event.names)
    text = f"You block: {names}. /unblock NAME ends it." if names else "You block no one."
    return Line(Kind.NOTICE, "", text)


def describe_folded(event: MessagesFolded) -> Line:
    """Return the line that stands for messages of blocked users."""
    senders = ", ".join(clean(name) for name in event.senders)
    count = count_messages(event.count, "more" if event.more else "")
    where = "" if event.place is Place.THIS_CHAT else f" in {clean(event.room)}"
    return Line(Kind.NOTICE, "", f"[{count} from {senders} (blocked){where}]")
