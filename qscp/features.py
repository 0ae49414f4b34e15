"""Names of the optional parts of QSCP/1, as `auth` and `auth_ack` list them."""

from typing import Final

__all__ = ["FEATURES", "READ_RECEIPTS", "TYPING"]

READ_RECEIPTS: Final = "read_receipts"
"""Send `read` positions of a pair to the other member, if both have switched it on."""

TYPING: Final = "typing"
"""Send `typing` frames."""

FEATURES: Final = frozenset({READ_RECEIPTS, TYPING})
"""All features that this package knows."""
