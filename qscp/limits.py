"""Limits of QSCP/1, each with the reason for its value."""

from typing import Final

__all__ = [
    "BLOCKS_LIMIT",
    "BODY_LIMIT",
    "DECLINED_S",
    "INVITATIONS_LIMIT",
    "INVITER_LIMIT",
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
an unauthenticated peer gets no more memory."""

BODY_LIMIT: Final = 16 * 1024
"""UTF-8 bytes in a message body: some 300 lines of pasted code. IRC has 512, XMPP
servers commonly stop at 256 KiB; past this a file is the better medium."""

NAME_LIMIT: Final = 32
"""Characters in an account name, as in POSIX `useradd`."""

PASSWORD_LIMIT: Final = 1024
"""UTF-8 bytes in a password: bounds the work of hashing, far above any passphrase."""

STATUS_TEXT_LIMIT: Final = 200
"""UTF-8 bytes in an away text: one line of a terminal, and small in every roster page."""

ROOMS_LIMIT: Final = 500
"""Rooms of one account: their positions fit in one page of `resume`."""

INVITATIONS_LIMIT: Final = 200
"""Open invitations of one account: each login sends all of them, some 100 KiB."""

INVITER_LIMIT: Final = 10
"""Open invitations of one account by the same inviter: twenty of them have to agree to use up the limit."""

DECLINED_S: Final = 24 * 3600
"""Seconds for which a room can't repeat an invitation that was declined: a day."""

BLOCKS_LIMIT: Final = 1000
"""Users that one account can block: more than anyone meets, and some 60 KiB after a login."""

SLOW_LIMIT_S: Final = 24 * 3600
"""Longest slow mode, in seconds between two messages: a day. Beyond that, use an announcement room."""

TOPIC_LIMIT: Final = 400
"""UTF-8 bytes in a topic or a reason: as on IRC servers, one or two lines."""

MENTIONS_LIMIT: Final = 20
"""Users that one message can mention: beyond that, it is for the room."""

REACTION_LIMIT: Final = 32
"""UTF-8 bytes in a reaction: the longest family emoji has 25."""

REACTIONS_LIMIT: Final = 20
"""Different reactions on one message: with all of them and the longest body, it still fits in a line."""

POSITIONS_LIMIT: Final = 500
"""Positions in one `resume`: about 30 KiB with the longest conversation ids."""

PAGE_LIMIT: Final = 200
"""Messages in a requested page: a few screens; long messages make a page shorter."""

QUERY_LIMIT: Final = 200
"""Characters in a search or a cursor: several times what they need."""
