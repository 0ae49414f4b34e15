"""Frames that answer a login, and the limits and retention that it announces."""

from qscp.frames.base import Count, Part, Seconds, ServerFrame


class Limits(Part):
    """Limits of the server; a missing field means that there is no such limit, or an older server."""

    line: Count
    """Bytes in a line."""
    body: Count
    """Bytes in a message body."""
    messages_per_second: Count | None = None
    message_burst: Count | None = None
    bytes_per_second: Count | None = None
    byte_burst: Count | None = None
    requests_per_second: Count | None = None
    request_burst: Count | None = None
    sessions: Count | None = None
    rooms: Count | None = None
    """Rooms that the account has created and owns."""
    joins_per_hour: Count | None = None
    invitations_per_day: Count | None = None
    stored_per_day: Count | None = None
    """Bytes."""


class Retention(Part):
    """Retention of each conversation; a missing field means no limit."""

    seconds: Count | None = None
    """Older messages are removed."""
    messages: Count | None = None
    """Only this many newest messages are kept."""


class AuthAck(ServerFrame, tag="auth_ack", kw_only=True):
    """The login succeeded."""

    _shown = ("user", "account", "session")
    user: str
    account: str
    """Id of the account: opaque and never reused."""
    session: str
    protocol: Count
    features: list[str]
    """Features that the server supports; those that the client named too are on."""
    limits: Limits
    retention: Retention
    epoch: str
    """Id of the history. If it changed, the store was restored: discard all positions."""
    hidden: bool = False
    """Whether others see the user as offline, because another session of theirs asked for that."""


class AuthNack(ServerFrame, tag="auth_nack"):
    """The login failed; another `auth` can follow."""

    _shown = ("code",)
    code: str
    message: str
    retry_after: Seconds | None = None
    """Seconds until the next attempt makes sense."""
