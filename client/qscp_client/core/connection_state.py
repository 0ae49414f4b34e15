"""State of the connection, as it is shown."""

import dataclasses
import enum
from typing import Self


class ConnectionState(enum.Enum):
    """Whether there is a connection, and whether the server answers."""

    ONLINE = enum.auto()
    WAITING = enum.auto()
    """An answer of the server is late."""
    CONNECTING = enum.auto()
    OFFLINE = enum.auto()
    """The next try has a time."""


@dataclasses.dataclass(frozen=True, slots=True)
class Connection:
    """The connection, as it is shown."""

    state: ConnectionState
    retry_s: int = 0
    """Seconds until the next try; only in OFFLINE."""

    @classmethod
    def describe(cls, *, online: bool, waiting: bool, retry_s: float | None) -> Self:
        """Return what to show.

        Args:
            online: Whether there is a connection.
            waiting: Whether an answer of the server is late.
            retry_s: Seconds until the next try; None if that is not known.
        """
        if online:
            return cls(ConnectionState.WAITING if waiting else ConnectionState.ONLINE)
        if retry_s is None:
            return cls(ConnectionState.CONNECTING)
        return cls(ConnectionState.OFFLINE, max(round(retry_s), 0))
