"""The table of handlers: one function for each frame that a client sends.

`qscp.connection` has checked that a frame is well-formed and legal at this time. A handler checks what
it means.
"""

from collections.abc import Callable
from typing import cast

from qscp import frames
from qscpd.chat.router import Router
from qscpd.handlers.blocks import BlockHandlers
from qscpd.handlers.connection import ConnectionHandlers
from qscpd.handlers.history import HistoryHandlers
from qscpd.handlers.messages import MessageHandlers
from qscpd.handlers.presence import PresenceHandlers
from qscpd.handlers.rooms import RoomHandlers
from qscpd.sessions.owner import Handler, HandlerTable
from qscpd.sessions.requests import RequestRunner
from qscpd.sessions.session import Session
from qscpd.store.reads import StoreReads
from qscpd.store.writer import StoreWriter


def handler_table(
    router: Router,
    writer: StoreWriter[Session],
    reads: StoreReads,
    requests: RequestRunner,
    login: Callable[[Session, frames.Auth], None],
) -> HandlerTable[Session]:
    """Return the handlers of all frames.

    Args:
        router: The live sessions and rooms.
        writer: Commits to the store.
        reads: Reads the store.
        requests: Runs the handlers that need the store.
        login: Starts a login; see `qscpd.handlers.login`.
    """
    connection, messages, presence = (
        ConnectionHandlers(router),
        MessageHandlers(router),
        PresenceHandlers(router),
    )
    history = HistoryHandlers(router, writer, reads, requests)
    rooms = RoomHandlers(router, writer, reads, requests)
    blocks = BlockHandlers(router, writer, requests)
    after_login = {
        frames.SendChat: messages.chat,
        frames.SendEdit: messages.edit,
        frames.SendRedaction: messages.redact,
        frames.SendReaction: messages.react,
        frames.Received: messages.received,
        frames.ClientRead: messages.read,
        frames.Skip: messages.skip,
        frames.SetTyping: messages.typing,
        frames.Block: blocks.block,
        frames.Unblock: blocks.unblock,
        frames.SetPresence: presence.set_presence,
        frames.WhoisRequest: presence.whois,
        frames.Resume: history.resume,
        frames.HistoryRequest: history.history,
        frames.ConversationsRequest: history.conversations,
        frames.SearchRequest: history.search,
        frames.Join: rooms.join,
        frames.Leave: rooms.leave,
        frames.RoomRequest: rooms.room,
        frames.RoomsRequest: rooms.rooms,
        frames.ClientPing: connection.ping,
        frames.ClientPong: connection.pong,
        frames.ClientBye: connection.bye,
    }
    return HandlerTable(login, cast("dict[type[frames.ClientFrame], Handler[Session]]", after_login))
