r"""The state machine of a connection: every state and every legal frame, in one table.

The table does not know which side we are; it knows who *sent* a frame. A frame that
is not in the row of the current state is a violation by its sender.

                    client: auth
    UNAUTHENTICATED ------------> AUTHENTICATING
        ^                          |        |
        |    server: auth_nack     |        | server: auth_ack
        +--------------------------+        v
                                          READY
                                            | client: bye
                                            v
                                         DRAINING
    any state
        | server: bye, error without ref
        v
      CLOSED

In READY and DRAINING the frames of a session do not change the state;
`error` with a `ref` is one of those. In DRAINING the client has sent `bye` and sends nothing
more, while the server still answers earlier frames. To leave before the login, a client
closes the connection. `tests/qscp/test_states.py` compares this picture with the table.
"""

import enum
from typing import Final

__all__ = ["FATAL_ERROR", "TRANSITIONS", "Sender", "State"]


class Sender(enum.Enum):
    """Sender of a frame."""

    CLIENT = "client"
    SERVER = "server"


class State(enum.Enum):
    """State of a connection."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    AUTHENTICATING = "AUTHENTICATING"
    READY = "READY"
    DRAINING = "DRAINING"
    CLOSED = "CLOSED"


FATAL_ERROR: Final = "error without ref"
"""Name in the table of an `error` without `ref`, which ends the connection."""

_U, _A, _R, _D, _C = State
_CLIENT, _SERVER = Sender

_END: Final = {FATAL_ERROR: _C, "bye": _C}
_CLIENT_FRAMES: Final = (
    "block",
    "chat",
    "conversations",
    "edit",
    "history",
    "join",
    "leave",
    "ping",
    "pong",
    "presence",
    "react",
    "read",
    "received",
    "redact",
    "resume",
    "room",
    "rooms",
    "search",
    "skip",
    "typing",
    "unblock",
    "whois",
)
_SERVER_FRAMES: Final = (
    "block",
    "block_ack",
    "blocks",
    "chat",
    "chat_ack",
    "chat_nack",
    "conversations",
    "delivered",
    "edit",
    "error",
    "gap",
    "history",
    "invited",
    "members",
    "moderated",
    "online_users",
    "ping",
    "pong",
    "presence",
    "presence_ack",
    "react",
    "read",
    "redact",
    "resumed",
    "room",
    "room_ack",
    "room_left",
    "room_log",
    "room_members",
    "rooms",
    "search",
    "throttled",
    "typing",
    "whois",
)

TRANSITIONS: Final[dict[tuple[State, Sender], dict[str, State]]] = {
    (_U, _CLIENT): {"auth": _A},
    (_U, _SERVER): {**_END},
    (_A, _CLIENT): {},
    (_A, _SERVER): {**_END, "auth_ack": _R, "auth_nack": _U},
    (_R, _CLIENT): {**dict.fromkeys(_CLIENT_FRAMES, _R), "bye": _D},
    (_R, _SERVER): {**dict.fromkeys(_SERVER_FRAMES, _R), **_END},
    (_D, _CLIENT): {},
    (_D, _SERVER): {**dict.fromkeys(_SERVER_FRAMES, _D), **_END},
    (_C, _CLIENT): {},
    (_C, _SERVER): {},
}
"""(state, sender) -> frame type -> next state."""
