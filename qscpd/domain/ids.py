"""Conversation ids on the wire: opaque to clients, a number to the server."""

import re
from typing import Final

_CONVERSATION: Final = re.compile(r"c([1-9][0-9]{0,14})")


def conversation_id(conversation: int) -> str:
    """Return a conversation's id on the wire."""
    return f"c{conversation}"


def parse_conversation(text: str) -> int | None:
    """Return the conversation that an id on the wire names; None if the id is invalid."""
    match = _CONVERSATION.fullmatch(text)
    return int(match[1]) if match else None
