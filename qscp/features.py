"""Names of the optional parts of QSCP/1, as `auth` and `auth_ack` list them."""

from typing import Final

__all__ = ["BLOCK", "FEATURES", "LAZY_HISTORY", "LOGIN_PRESENCE", "READ_RECEIPTS", "TYPING"]

BLOCK: Final = "block"
"""Block users, and receive which ones you block."""

LAZY_HISTORY: Final = "lazy_history"
"""Begin a conversation without a position at its end; the client loads its messages by `history`."""

LOGIN_PRESENCE: Final = "login_presence"
"""Set the presence of a session in `auth`, and appear offline without a gap."""

READ_RECEIPTS: Final = "read_receipts"
"""Send `read` positions of a pair to the other member, if both have switched it on."""

TYPING: Final = "typing"
"""Send `typing` frames."""

FEATURES: Final = frozenset({BLOCK, LAZY_HISTORY, LOGIN_PRESENCE, READ_RECEIPTS, TYPING})
"""All features that this package knows."""
