"""Names of the optional parts of QSCP/1, as `auth` and `auth_ack` list them."""

from typing import Final

__all__ = ["BLOCK", "FEATURES", "LOGIN_PRESENCE", "READ_RECEIPTS", "TYPING"]

BLOCK: Final = "block"
"""Block users, and receive which ones you block."""

LOGIN_PRESENCE: Final = "login_presence"
"""Set the presence of a session in `auth`, and appear offline without a gap."""

READ_RECEIPTS: Final = "read_receipts"
"""Send `read` positions of a pair to the other member, if both have switched it on."""

TYPING: Final = "typing"
"""Send `typing` frames."""

FEATURES: Final = frozenset({BLOCK, LOGIN_PRESENCE, READ_RECEIPTS, TYPING})
"""All features that this package knows."""
