"""QSCP/1, the Quick Stream Chat Protocol, sans-I/O.

Daemon and client share this package. It reads no clock, opens no socket and
draws no random numbers: bytes come in, frames come out, and the other way round.
`docs/protocol.md` is the specification; `qscp.connection` is the place to start reading.
"""

from typing import Final

__all__ = ["ALPN", "DEFAULT_PORT", "PROTOCOL_VERSION", "__version__"]

__version__ = "0.1.0"

ALPN: Final = "qscp/1"
"""The name offered and demanded in the TLS handshake (RFC 7301)."""

DEFAULT_PORT: Final = 7727
"""TCP port of `qscpd`. Unassigned at IANA."""

PROTOCOL_VERSION: Final = 1
"""The one version of the protocol that this package speaks."""
