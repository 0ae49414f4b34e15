"""The frames of QSCP/1, one class each; `docs/protocol.md` is their specification.

Frames that a client sends refuse unknown fields (*strict server*), frames that a
server sends ignore them (*lenient client*); `auth` alone is lenient on both sides,
because the version is not agreed before it.

`str(frame)` is safe to log: it has no password, no message text and no long values.
`repr(frame)` leaves out passwords and message text, because tracebacks show it.
"""

from typing import Final

from qscp.frames.base import (
    ClientFrame as ClientFrame,
    Count as Count,
    Frame as Frame,
    GapReason as GapReason,
    Origin as Origin,
    PageSize as PageSize,
    Part as Part,
    Seconds as Seconds,
    ServerFrame as ServerFrame,
    ShortText as ShortText,
    Status as Status,
)
from qscp.frames.blocks import (
    Block as Block,
    BlockAck as BlockAck,
    BlockChanged as BlockChanged,
    BlockedUser as BlockedUser,
    Blocks as Blocks,
    Unblock as Unblock,
)
from qscp.frames.client import (
    Auth as Auth,
    ClientBye as ClientBye,
    ClientPing as ClientPing,
    ClientPong as ClientPong,
    ClientRead as ClientRead,
    ConversationsRequest as ConversationsRequest,
    HistoryRequest as HistoryRequest,
    Position as Position,
    Received as Received,
    Resume as Resume,
    SearchRequest as SearchRequest,
    SendChat as SendChat,
    SendEdit as SendEdit,
    SendReaction as SendReaction,
    SendRedaction as SendRedaction,
    SetPresence as SetPresence,
    SetTyping as SetTyping,
    Skip as Skip,
    WhoisRequest as WhoisRequest,
)
from qscp.frames.login import (
    AuthAck as AuthAck,
    AuthNack as AuthNack,
    Limits as Limits,
    Retention as Retention,
)
from qscp.frames.rooms import (
    Invited as Invited,
    Join as Join,
    Leave as Leave,
    LogEntry as LogEntry,
    Member as Member,
    MemberChange as MemberChange,
    MembersChanged as MembersChanged,
    Moderated as Moderated,
    ModerationAction as ModerationAction,
    Room as Room,
    RoomAck as RoomAck,
    RoomChanged as RoomChanged,
    RoomLeft as RoomLeft,
    RoomLog as RoomLog,
    RoomMembers as RoomMembers,
    RoomRequest as RoomRequest,
    Rooms as Rooms,
    RoomsRequest as RoomsRequest,
)
from qscp.frames.server import (
    Chat as Chat,
    ChatAck as ChatAck,
    ChatNack as ChatNack,
    ConversationInfo as ConversationInfo,
    Conversations as Conversations,
    Delivered as Delivered,
    Edit as Edit,
    Error as Error,
    Gap as Gap,
    History as History,
    HistoryGap as HistoryGap,
    Match as Match,
    Message as Message,
    OnlineUsers as OnlineUsers,
    PresenceAck as PresenceAck,
    PresenceChanges as PresenceChanges,
    React as React,
    Reaction as Reaction,
    Redact as Redact,
    Resumed as Resumed,
    SearchResults as SearchResults,
    ServerBye as ServerBye,
    ServerPing as ServerPing,
    ServerPong as ServerPong,
    ServerRead as ServerRead,
    Throttled as Throttled,
    Typing as Typing,
    UserPresence as UserPresence,
    Whois as Whois,
)
from qscp.rooms import RoomAction as RoomAction

CLIENT_FRAMES: Final[tuple[type[ClientFrame], ...]] = tuple(ClientFrame.__subclasses__())
"""Every frame that a client sends. The decoders, the connection and the tests read this list."""

SERVER_FRAMES: Final[tuple[type[ServerFrame], ...]] = tuple(ServerFrame.__subclasses__())
"""Every frame that a server sends."""
