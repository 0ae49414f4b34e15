"""Names of the optional parts of QSCP/1, as `auth` and `auth_ack` list them."""

from typing import Final

__all__ = ["BLOCK", "FEATURES", "READ_RECEIPTS", "TYPING"]

BLOCK: Final = "block"
"""Block users, and receive which ones you block."""

READ_RECEIPTS: Final = "read_receipts"
"""Send `read` positions of a pair to the other member, if both have switched it on."""

TYPING: Final = "typing"
"""Send `typing` frames."""

FEATURES: Final = frozenset({BLOCK, READ_RECEIPTS, TYPING})
"""All features that this package knows."""
