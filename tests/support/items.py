"""Timeline items for tests, with the fields that matter to them."""

from qscp_client.core.messages import Amendment, Message
from qscp_client.core.outbox import EntryKind

__all__ = ["amendment", "message"]


def message(
    seq: int, *, sender: str = "bob", body: str = "hi", mentions: tuple[str, ...] = (), live: bool = True
) -> Message:
    """Return a message to alice."""
    return Message(seq, f"{seq:032x}", sender, body, 1000 + seq, mentions=mentions, live=live)


def amendment(
    seq: int, target: int, kind: EntryKind = EntryKind.EDIT, *, sender: str = "bob", body: str = "new"
) -> Amendment:
    """Return an edit, a redaction or a reaction."""
    return Amendment(seq, f"{seq:032x}", sender, kind, target, body, 1000 + seq, live=True)
