"""Limits of QSCP/1, in one place, each with the reason for its value."""

from typing import Final

__all__ = [
    "BODY_LIMIT",
    "LINE_LIMIT",
    "LINE_LIMIT_BEFORE_LOGIN",
    "MENTIONS_LIMIT",
    "NAME_LIMIT",
    "PAGE_LIMIT",
    "PASSWORD_LIMIT",
    "POSITIONS_LIMIT",
    "QUERY_LIMIT",
    "REACTIONS_LIMIT",
    "REACTION_LIMIT",
    "ROOMS_LIMIT",
    "SLOW_LIMIT_S",
    "STATUS_TEXT_LIMIT",
    "TOPIC_LIMIT",
]

LINE_LIMIT: Final = 64 * 1024
r"""Bytes in a line, without its newline. Four times a body: room for a body in which every
character outside ASCII is written as `\uXXXX` (at most three times its bytes in UTF-8), and
small enough that a peer can't make us buffer much."""

LINE_LIMIT_BEFORE_LOGIN: Final = 4 * 1024
"""Bytes in a line before `auth_ack`: an `auth` frame needs a few hundred, and
strangers get no more memory than that."""

BODY_LIMIT: Final = 16 * 1024
"""UTF-8 bytes in a message body: some 300 lines of pasted code. IRC has 512, XMPP
servers commonly stop at 256 KiB; past this a file is the better medium."""

NAME_LIMIT: Final = 32
"""Characters in an account name, as in POSIX `useradd`."""

PASSWORD_LIMIT: Final = 1024
"""UTF-8 bytes in a password: a bound on the work of hashing it, far above any passphrase."""

STATUS_TEXT_LIMIT: Final = 200
"""UTF-8 bytes in an away text: one line of a terminal, and small in every roster page."""

ROOMS_LIMIT: Final = 500
"""Rooms that one account may be in: their positions are one page of `resume`."""

SLOW_LIMIT_S: Final = 24 * 3600
"""Seconds between two messages in slow mode at most: a day; past that, it is an announcement room."""

TOPIC_LIMIT: Final = 400
"""UTF-8 bytes in a room's topic, or in the reason for a ban: what IRC servers allow, one or two lines."""

MENTIONS_LIMIT: Final = 20
"""People whom one message can mention: more than that is a room, not a person."""

REACTION_LIMIT: Final = 32
"""UTF-8 bytes in a reaction: the longest emoji of a family has 25."""

REACTIONS_LIMIT: Final = 20
"""Different reactions on one message: with the longest body and all of them, a message is still one line."""

POSITIONS_LIMIT: Final = 500
"""Positions in one `resume`: with the longest conversation ids some 30 KiB."""

PAGE_LIMIT: Final = 200
"""Messages that a client may ask for in one page: a few screens; a page is shorter when they are long."""

QUERY_LIMIT: Final = 200
"""Characters in a search or in a cursor: several times what they need."""
