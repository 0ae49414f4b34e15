"""QSCP/1, the Quick Stream Chat Protocol, sans-I/O.

Daemon and client share this package. It reads no clock, opens no socket and
draws no random numbers: it turns bytes into frames and frames into bytes.
`docs/protocol.md` is the specification; `qscp.connection` is the place to start reading.
"""

from typing import Final

__all__ = ["ALPN", "DEFAULT_PORT", "PROTOCOL_VERSION", "__version__"]

__version__ = "0.1.0"

ALPN: Final = "qscp/1"
"""Protocol name that the TLS handshake offers and demands (RFC 7301)."""

DEFAULT_PORT: Final = 7727
"""Default TCP port of `qscpd`; unassigned at IANA."""

PROTOCOL_VERSION: Final = 1
"""Protocol version of this package."""
