"""Message ids: 128 bits made by the client, as 32 lower-case hexadecimal digits.

To the server an id is opaque and only has to be unique per account. Clients should
make a UUID of version 7 (RFC 9562, section 5.7): ids that rise with time keep the
server's index of ids local, and a new id is recognized without a look-up.
"""

from typing import Final

__all__ = ["is_message_id", "make_message_id"]

_RANDOM_BYTES = 10
_DIGITS: Final = 32


def is_message_id(text: str) -> bool:
    """Return whether the text is a message id in its only valid form."""
    # The round trip is faster than a regular expression, and this runs once per message.
    try:
        return len(text) == _DIGITS and bytes.fromhex(text).hex() == text
    except ValueError:
        return False


def make_message_id(unix_ms: int, random: bytes) -> str:
    """Return an id made from the caller's time and random bytes.

    Args:
        unix_ms: Milliseconds since 1970-01-01 UTC.
        random: 10 bytes from a cryptographic source; 74 of the bits are used.
    """
    if len(random) != _RANDOM_BYTES:
        raise ValueError(f"expected {_RANDOM_BYTES} random bytes, got {len(random)}")
    value = (unix_ms & (1 << 48) - 1) << 80 | int.from_bytes(random, "big")
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant of RFC 9562
    return f"{value:032x}"
