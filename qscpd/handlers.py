"""What the daemon does with each frame of a client: one function a frame, one table.

That a frame is well-formed and comes at the right time was checked before (`qscp.connection`);
a handler checks what the frame means.
"""

from collections.abc import Callable
from typing import Final, cast

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidNameError, InvalidTextError
from qscp.ids import is_message_id
from qscp.limits import QUERY_LIMIT
from qscp.names import normalize_name
from qscp.text import check_body, check_status_text
from qscpd.queries import Queries
from qscpd.replay import parse_conversation
from qscpd.router import Handler
from qscpd.session import Session
from qscpd.store.base import Mark, NewMessage, PositionKind
from qscpd.store.writer import PendingChat, PendingMark, PendingSkip

__all__ = ["handlers"]


def handlers(
    login: Callable[[Session, frames.Auth], None], queries: Queries
) -> dict[type[frames.ClientFrame], Handler]:
    """The table of handlers.

    Args:
        login: Starts to decide a login; see `qscpd.login`.
        queries: Answer what needs the store; see `qscpd.queries`.
    """
    asking = {
        frames.Auth: login,
        frames.Resume: queries.resume,
        frames.HistoryRequest: queries.history,
        frames.ConversationsRequest: queries.conversations,
        frames.SearchRequest: queries.search,
    }
    return {**_HANDLERS, **cast("dict[type[frames.ClientFrame], Handler]", asking)}


def _chat(session: Session, frame: frames.SendChat) -> None:
    router, sender, message_id = session.router, session.account, frame.id
    recipient = router.directory.by_name(frame.to)
    if sender is None or recipient is None:
        return _refuse(session, frame, ErrorCode.UNKNOWN_RECIPIENT)
    if not is_message_id(message_id):
        return _refuse(session, frame, ErrorCode.BAD_ID)
    if recipient.id == sender.id:
        return _refuse(session, frame, ErrorCode.RECIPIENT_IS_SELF)
    try:
        check_body(frame.body)
    except InvalidTextError as error:
        return _refuse(session, frame, error.code)
    session.pending += 1
    message = NewMessage(sender.id, recipient.id, message_id, frame.body)
    return router.store(PendingChat(session, recipient.name, message))


def _refuse(session: Session, frame: frames.SendChat, code: ErrorCode) -> None:
    # An id that is none may be as long as a line; with it, the answer would be longer.
    session.send(frames.ChatNack(frame.id[:QUERY_LIMIT], code, ERROR_CODES[code].sentence))


def _presence(session: Session, frame: frames.SetPresence) -> None:
    text = frame.text if frame.status == "away" else ""
    try:
        check_status_text(text)
    except InvalidTextError as error:
        session.send(frames.Error(code=error.code, message=str(error), ref=frame.type))
        return
    session.status, session.text = frame.status, text
    session.send(frames.PresenceAck(frame.status, text))
    if session.account is not None:
        session.router.update_presence(session.account.id)


def _whois(session: Session, frame: frames.WhoisRequest) -> None:
    router = session.router
    account = router.directory.by_name(frame.user)
    if account is None:
        session.send(frames.Whois(_name_as_asked(frame.user), known=False))
        return
    person = router.presence.of(account.name)
    session.send(frames.Whois(person.user, known=True, status=person.status, text=person.text))


def _name_as_asked(text: str) -> str:
    try:
        return normalize_name(text)
    except InvalidNameError:
        # What is no name may be as long as a line; with it, the answer would be longer.
        return text[:QUERY_LIMIT]


def _received(session: Session, frame: frames.Received) -> None:
    _move(session, frame.conversation, PositionKind.DELIVERED, frame.seq)


def _read(session: Session, frame: frames.ClientRead) -> None:
    _move(session, frame.conversation, PositionKind.READ, frame.seq)


def _move(session: Session, conversation: str, kind: PositionKind, seq: int) -> None:
    """Hand a position over; the store ignores what is lower than before and conversations of others."""
    number = parse_conversation(conversation)
    if session.account is not None and number is not None:
        mark = Mark(session.account.id, number, kind, seq)
        session.router.store(PendingMark(session, mark))


def _skip(session: Session, frame: frames.Skip) -> None:
    session.router.store(PendingSkip(session, frame.id))


def _ping(session: Session, _: frames.ClientPing) -> None:
    session.send(frames.ServerPong())


def _pong(session: Session, frame: frames.ClientPong) -> None:
    """Nothing to do: any byte that comes in counts as a sign of life."""


def _bye(session: Session, _: frames.ClientBye) -> None:
    session.router.left(session, ErrorCode.BYE)
    session.finish(ErrorCode.BYE)


_HANDLERS: Final = cast(
    "dict[type[frames.ClientFrame], Handler]",
    {
        frames.SendChat: _chat,
        frames.SetPresence: _presence,
        frames.WhoisRequest: _whois,
        frames.Received: _received,
        frames.ClientRead: _read,
        frames.Skip: _skip,
        frames.ClientPing: _ping,
        frames.ClientPong: _pong,
        frames.ClientBye: _bye,
    },
)
