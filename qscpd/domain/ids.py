"""The form of a conversation's id on the wire: to a client it is opaque, to us it is a number."""

import re
from typing import Final

__all__ = ["conversation_id", "parse_conversation"]

_CONVERSATION: Final = re.compile(r"c([1-9][0-9]{0,14})")


def conversation_id(conversation: int) -> str:
    """The form of a conversation's id on the wire."""
    return f"c{conversation}"


def parse_conversation(text: str) -> int | None:
    """The conversation that an id on the wire means; None if it can't be one of ours."""
    match = _CONVERSATION.fullmatch(text)
    return int(match[1]) if match else None
