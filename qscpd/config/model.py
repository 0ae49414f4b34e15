"""Every setting with its type, range and default.

The key in the file is the field's name without its unit, because there the value
carries it: `timeout_s` is written `timeout: 30s`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from qscp import DEFAULT_PORT
from qscpd.config.values import Choice, Duration, FilePath, Integer, ListenAddress, Listeners, Size

__all__ = [
    "AddressPolicy",
    "Argon2Config",
    "Config",
    "HistoryConfig",
    "LimitsConfig",
    "ListenAddress",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "LoginConfig",
    "ServerConfig",
    "StoreConfig",
    "TlsConfig",
]

_SOCKET_PATH_LIMIT: Final = 107
"""`sun_path` of unix(7) has 108 bytes with its final zero."""

_KIB: Final = 1 << 10
_GIB: Final = 1 << 30

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
AddressPolicy = Literal["always", "failures", "truncated", "never"]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where the daemon is reached, and how it ends."""

    listen: Annotated[tuple[ListenAddress, ...], Listeners()] = (
        ListenAddress("0.0.0.0", DEFAULT_PORT),  # noqa: S104 - a chat server is there to be reached
        ListenAddress("::", DEFAULT_PORT),
    )
    """Addresses and ports to accept connections on."""
    admin_socket: Annotated[Path, FilePath(_SOCKET_PATH_LIMIT)] = Path("/run/qscpd/admin.sock")
    """The unix socket on which `qscpd adduser` and the like reach a running daemon."""
    max_connections: Annotated[int, Integer(1, 1_000_000)] = 4096
    """Connections at once, logged in or not; one more is closed right away."""
    shutdown_grace_s: Annotated[float, Duration(0.1, 600)] = 10.0
    """How long a stopping daemon waits for its sessions to end in an orderly way."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The certificate that the daemon shows."""

    certificate: Annotated[Path, FilePath()] = Path("/etc/qscpd/certs/server.pem")
    """PEM file: the server's certificate, then intermediate ones if there are any."""
    key: Annotated[Path, FilePath()] = Path("/etc/qscpd/certs/server.key")
    """PEM file: the certificate's private key, without a passphrase, closed to other users."""
    handshake_timeout_s: Annotated[float, Duration(0.1, 600)] = 10.0
    """From connecting to the end of the TLS handshake."""


@dataclass(frozen=True, slots=True)
class Argon2Config:
    """The cost of a password hash; the defaults are OWASP's for argon2id."""

    memory_kib: Annotated[int, Size(8, 4 * _GIB // _KIB, unit=_KIB)] = 19456
    """Memory for one hash."""
    iterations: Annotated[int, Integer(1, 1000)] = 2
    """Passes over the memory."""
    parallelism: Annotated[int, Integer(1, 64)] = 1
    """Lanes, and with them threads, of one hash."""


@dataclass(frozen=True, slots=True)
class LoginConfig:
    """How a connection becomes a session."""

    timeout_s: Annotated[float, Duration(0.1, 3600)] = 30.0
    """From the end of the handshake to a good `auth`."""
    attempts: Annotated[int, Integer(1, 100)] = 3
    """Failed logins on one connection before it is closed."""
    workers: Annotated[int, Integer(1, 64)] = 2
    """Threads that check passwords; more than the processor's cores only slow each other down."""
    queue: Annotated[int, Integer(1, 100_000)] = 1024
    """Logins that may wait for a worker; one more is told to come back later."""
    argon2: Argon2Config = field(default_factory=Argon2Config)
    """The cost of a password hash."""


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What a session may cost."""

    output_queue_bytes: Annotated[int, Size(64 * _KIB, _GIB)] = 256 * _KIB
    """Unsent output of one connection above which it is cut; at least one line."""
    output_stall_s: Annotated[float, Duration(0.1, 3600)] = 10.0
    """How long a peer may take nothing of what waits for it."""
    ping_after_s: Annotated[float, Duration(0.1, 3600)] = 30.0
    """Silence after which the server pings; two unanswered pings end the session."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where accounts and messages are kept."""

    path: Annotated[Path, FilePath()] = Path("/var/lib/qscpd/qscpd.db")
    """The SQLite file; its lock and its journal are beside it."""


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """How much of each conversation is kept."""

    keep_for_s: Annotated[float, Duration(0, 100 * 366 * 86400)] = 0.0
    """Messages older than this are removed; 0 keeps them forever."""
    keep_messages: Annotated[int, Integer(0, 2**31)] = 0
    """Messages kept in a conversation, the newest ones; 0 keeps all."""
    edit_within_s: Annotated[float, Duration(0, 100 * 366 * 86400)] = 86400.0
    """How long after it was written a message may be edited by who wrote it; 0 never."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is written down, and where."""

    format: Annotated[LogFormat, Choice(get_args(LogFormat))] = "auto"
    """Form of the daemon's own log on stderr: `auto` is text at a terminal, else JSON."""
    level: Annotated[LogLevel, Choice(get_args(LogLevel))] = "info"
    """The least important thing that the daemon's own log tells."""
    session_log: Annotated[Path, FilePath()] = Path("/var/log/qscpd/sessions.log")
    """One JSON line for each begin and end of a session and each login, good or not."""
    addresses: Annotated[AddressPolicy, Choice(get_args(AddressPolicy))] = "always"
    """When a peer's address is in the logs: always, for failed logins only, cut to its network, or never."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the daemon is told."""

    server: ServerConfig = field(default_factory=ServerConfig)
    """Where the daemon is reached, and how it ends."""
    tls: TlsConfig = field(default_factory=TlsConfig)
    """The certificate that the daemon shows."""
    login: LoginConfig = field(default_factory=LoginConfig)
    """How a connection becomes a session."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """What a session may cost."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """Where accounts and messages are kept."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """How much of each conversation is kept."""
    log: LogConfig = field(default_factory=LogConfig)
    """What is written down, and where."""
