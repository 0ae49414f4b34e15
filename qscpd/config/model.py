"""Model of the configuration: every setting with its type, range and default.

A key in the file is the field's name without its unit, because the value has the unit:
`timeout_s` is written `timeout: 30s`.
"""

from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from qscp import DEFAULT_PORT
from qscp.limits import ROOMS_LIMIT
from qscpd.config.listen import ListenAddress, Listeners
from qscpd.config.values import (
    Choice,
    Duration,
    FilePath,
    Integer,
    Network,
    Networks,
    Size,
)

_SOCKET_PATH_LIMIT: Final = 107
"""`sun_path` of unix(7) has 108 bytes with its final zero."""

_KIB: Final = 1 << 10
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30

LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]
AddressPolicy = Literal["always", "failures", "truncated", "never"]


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Addresses of the daemon, and its shutdown."""

    listen: Annotated[tuple[ListenAddress, ...], Listeners()] = (
        ListenAddress("0.0.0.0", DEFAULT_PORT),  # noqa: S104 - a chat server is there to be reached
        ListenAddress("::", DEFAULT_PORT),
    )
    """Addresses and ports to accept connections on."""
    admin_socket: Annotated[Path, FilePath(_SOCKET_PATH_LIMIT)] = Path("/run/qscpd/admin.sock")
    """Unix socket by which commands such as `qscpd adduser` reach a running daemon."""
    max_connections: Annotated[int, Integer(1, 1_000_000)] = 4096
    """Simultaneous connections, logged in or not; further ones are closed at once."""
    shutdown_grace_s: Annotated[float, Duration(0.1, 600)] = 10.0
    """Time that a stopping daemon waits for its sessions to end."""


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """The server's certificate."""

    certificate: Annotated[Path, FilePath()] = Path("/etc/qscpd/certs/server.pem")
    """PEM file: the server's certificate, then any intermediate ones."""
    key: Annotated[Path, FilePath()] = Path("/etc/qscpd/certs/server.key")
    """PEM file: the private key, without a passphrase and unreadable to other users."""
    handshake_timeout_s: Annotated[float, Duration(0.1, 600)] = 10.0
    """Time from connecting to the end of the TLS handshake."""


@dataclass(frozen=True, slots=True)
class Argon2Config:
    """Cost of a password hash; the defaults are OWASP's for argon2id."""

    memory_kib: Annotated[int, Size(8, 4 * _GIB // _KIB, unit=_KIB)] = 19456
    """Memory for one hash."""
    iterations: Annotated[int, Integer(1, 1000)] = 2
    """Passes over the memory."""
    parallelism: Annotated[int, Integer(1, 64)] = 1
    """Lanes, and so threads, of one hash."""


@dataclass(frozen=True, slots=True)
class PenaltyConfig:
    """Penalties of addresses before the login; the defaults of each kind are OpenSSH's."""

    auth_fail_s: Annotated[float, Duration(0, 3600)] = 5.0
    """What a failed login adds to the penalty of its address; 0 adds nothing."""
    no_login_s: Annotated[float, Duration(0, 3600)] = 1.0
    """What a connection that ends without trying to log in adds."""
    timeout_s: Annotated[float, Duration(0, 3600)] = 10.0
    """What a connection that runs into `tls.handshake_timeout` or `login.timeout` adds."""
    threshold_s: Annotated[float, Duration(0.1, 86400)] = 30.0
    """A penalty is in force from here on, until it has run out."""
    longest_s: Annotated[float, Duration(0.1, 86400)] = 600.0
    """Longest penalty."""


@dataclass(frozen=True, slots=True)
class LoginConfig:
    """Login of a connection."""

    timeout_s: Annotated[float, Duration(0.1, 3600)] = 30.0
    """Time from the end of the handshake to a successful login."""
    attempts: Annotated[int, Integer(1, 100)] = 3
    """Failed logins on one connection before it is closed."""
    workers: Annotated[int, Integer(1, 64)] = 2
    """Threads that check passwords; more than the processor has cores does not help."""
    queue: Annotated[int, Integer(1, 100_000)] = 1024
    """Logins that can wait for a worker; beyond, the address with most of them is refused as `busy`."""
    queue_per_address: Annotated[int, Integer(1, 100_000)] = 64
    """Logins of one address that can wait; does not apply to `allow`."""
    connections_per_address: Annotated[int, Integer(1, 1_000_000)] = 64
    """Connections of one address that are not logged in; and one for each account that was."""
    connections_per_allowed: Annotated[int, Integer(1, 1_000_000)] = 2048
    """The same for an address of `allow`."""
    allow: Annotated[tuple[Network, ...], Networks()] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    """Networks that get no penalties and more connections: local proxies, offices, monitoring."""
    drop_start: Annotated[int, Integer(1, 1_000_000)] = 1024
    """Connections that are not logged in from which some are dropped at random."""
    drop_rate: Annotated[int, Integer(0, 100)] = 30
    """Chance in per cent that one is dropped then; it grows up to `drop_full`."""
    drop_full: Annotated[int, Integer(1, 1_000_000)] = 3072
    """Connections that are not logged in from which each new one replaces another."""
    account_delay_s: Annotated[float, Duration(0, 10)] = 1.0
    """Longest delay of logins of an account under attack, from places where it was not used before."""
    penalty: PenaltyConfig = field(default_factory=PenaltyConfig)
    """Penalties of addresses before the login; the defaults of each kind are OpenSSH's."""
    argon2: Argon2Config = field(default_factory=Argon2Config)
    """Cost of a password hash."""


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Limits of a session and of an account."""

    output_queue_bytes: Annotated[int, Size(64 * _KIB, _GIB)] = 1024 * _KIB
    """Queued output above which a session catches up instead of getting messages live; at least one line."""
    output_stall_s: Annotated[float, Duration(0.1, 3600)] = 10.0
    """Time after which a peer that reads none of its output is disconnected."""
    ping_after_s: Annotated[float, Duration(0.1, 3600)] = 30.0
    """Silence after which the server sends a ping; two unanswered pings end the session."""
    messages_per_second: Annotated[int, Integer(1, 1_000_000)] = 100
    """Messages and events of an account; beyond it and the burst, its sessions are read more slowly."""
    message_burst: Annotated[int, Integer(10, 10_000_000)] = 1000
    """Messages and events that an account can send at once after a pause."""
    bytes_per_second: Annotated[int, Size(64 * _KIB, _GIB)] = _MIB
    """Input of an account; beyond it and the burst, its sessions are read more slowly."""
    byte_burst: Annotated[int, Size(64 * _KIB, _GIB)] = 8 * _MIB
    """Input that an account can send at once after a pause; at least one line."""
    requests_per_second: Annotated[int, Integer(1, 1_000_000)] = 20
    """Requests of an account; beyond it and the burst, its sessions are read more slowly."""
    request_burst: Annotated[int, Integer(10, 10_000_000)] = 200
    """Requests that an account can send at once after a pause."""
    sessions_per_account: Annotated[int, Integer(1, 100_000)] = 20
    """Logged-in sessions of an account; a device that logs in again counts once."""
    rooms_per_account: Annotated[int, Integer(0, ROOMS_LIMIT)] = 50
    """Rooms that an account has created and owns; with 0 only the operator creates rooms."""
    joins_per_hour: Annotated[int, Integer(1, 1_000_000)] = 200
    """Rooms that an account joins or creates in an hour."""
    invitations_per_day: Annotated[int, Integer(1, 1_000_000)] = 200
    """Invitations that an account sends in a day."""
    stored_per_day_bytes: Annotated[int, Size(_MIB, 1024 * _GIB)] = _GIB
    """Bytes that an account stores in a day: messages, events and changes of rooms."""


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Location of accounts and messages."""

    path: Annotated[Path, FilePath()] = Path("/var/lib/qscpd/qscpd.db")
    """SQLite file; its lock and its journal are beside it."""


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """Retention of conversations, and editing."""

    keep_for_s: Annotated[float, Duration(0, 100 * 366 * 86400)] = 0.0
    """Messages older than this are removed; 0 keeps them forever."""
    keep_messages: Annotated[int, Integer(0, 2**31)] = 0
    """Newest messages kept in each conversation; 0 keeps all."""
    edit_within_s: Annotated[float, Duration(0, 100 * 366 * 86400)] = 86400.0
    """Time for which senders can edit a message; 0 means never."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Logs of the daemon."""

    format: Annotated[LogFormat, Choice(get_args(LogFormat))] = "auto"
    """Format of the daemon's log on stderr: `auto` is text at a terminal, otherwise JSON."""
    level: Annotated[LogLevel, Choice(get_args(LogLevel))] = "info"
    """Lowest level of the daemon's log."""
    session_log: Annotated[Path, FilePath()] = Path("/var/log/qscpd/sessions.log")
    """File with one JSON line for each session's begin and end, and each login, successful or not."""
    lines_per_minute: Annotated[int, Integer(1, 1_000_000)] = 10
    """Lines of one kind that an address, or an account, can cause in a minute; the rest are counted."""
    addresses: Annotated[AddressPolicy, Choice(get_args(AddressPolicy))] = "always"
    """Peer addresses in the logs: always, for failed logins only, truncated to the network, or never."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    server: ServerConfig = field(default_factory=ServerConfig)
    """Addresses of the daemon, and its shutdown."""
    tls: TlsConfig = field(default_factory=TlsConfig)
    """The server's certificate."""
    login: LoginConfig = field(default_factory=LoginConfig)
    """Login of a connection."""
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    """Limits of a session and of an account."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """Location of accounts and messages."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Retention of conversations, and editing."""
    log: LogConfig = field(default_factory=LogConfig)
    """Logs of the daemon."""
