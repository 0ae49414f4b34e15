"""What the daemon does with each frame of a client: one function a frame, one table.

That a frame is well-formed and comes at the right time was checked before (`qscp.connection`);
a handler checks what the frame means.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, cast

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidNameError, InvalidTextError
from qscp.features import TYPING
from qscp.ids import is_message_id
from qscp.limits import QUERY_LIMIT
from qscp.names import normalize_name
from qscp.rooms import check_reaction, check_topic, is_room, mentioned, normalize_room
from qscp.text import check_body, check_status_text
from qscpd.chat.router import Handler, Router
from qscpd.domain.ids import parse_conversation
from qscpd.domain.model import NO_META, Account, Mark, MessageMeta, NewMessage, PositionKind
from qscpd.handlers.history import Queries
from qscpd.handlers.rooms import RoomRequests
from qscpd.sessions.session import Session
from qscpd.store.writer import PendingChat, PendingMark, PendingSkip

__all__ = ["handlers"]

_TYPING_EVERY_S: Final = 1.0
"""What a session says oftener than this is not told."""


def handlers(
    login: Callable[[Session, frames.Auth], None], queries: Queries, rooms: RoomRequests
) -> dict[type[frames.ClientFrame], Handler]:
    """The table of handlers.

    Args:
        login: Starts to decide a login; see `qscpd.handlers.login`.
        queries: Answer what needs the store; see `qscpd.handlers.history`.
        rooms: Answer what is about rooms; see `qscpd.handlers.rooms`.
    """
    asking = {
        frames.Auth: login,
        frames.Resume: queries.resume,
        frames.HistoryRequest: queries.history,
        frames.ConversationsRequest: queries.conversations,
        frames.SearchRequest: queries.search,
        frames.Join: rooms.join,
        frames.Leave: rooms.leave,
        frames.RoomRequest: rooms.room,
        frames.RoomsRequest: rooms.list_rooms,
    }
    return {**_HANDLERS, **cast("dict[type[frames.ClientFrame], Handler]", asking)}


class _RoomAddress(NamedTuple):
    """A room to which something is sent."""

    id: int
    """Minus its conversation's id."""
    name: str


_Addressee = Account | _RoomAddress

_Sent = frames.SendChat | frames.SendEdit | frames.SendRedaction | frames.SendReaction


def _chat(session: Session, frame: frames.SendChat) -> None:
    body = frame.body
    addressee = _addressee(session, frame, check_body, body)
    if addressee is None:
        return
    meta = NO_META
    if "@" in body or frame.reply_to is not None:
        mentions = _mentions(session.router, addressee, body)
        if mentions or frame.reply_to is not None:
            meta = MessageMeta(reply_to=frame.reply_to or 0, mentions=mentions)
    _store(session, frame, addressee, body, meta)


def _edit(session: Session, frame: frames.SendEdit) -> None:
    addressee = _addressee(session, frame, check_body, frame.body)
    if addressee is not None:
        mentions = _mentions(session.router, addressee, frame.body)
        meta = MessageMeta(kind="edit", target=frame.target, mentions=mentions)
        _store(session, frame, addressee, frame.body, meta)


def _redact(session: Session, frame: frames.SendRedaction) -> None:
    addressee = _addressee(session, frame, check_topic, frame.reason)
    if addressee is not None:
        _store(session, frame, addressee, frame.reason, MessageMeta(kind="redact", target=frame.target))


def _react(session: Session, frame: frames.SendReaction) -> None:
    addressee = _addressee(session, frame, check_reaction, frame.text)
    if addressee is not None:
        meta = MessageMeta(kind="react", target=frame.target, removed=frame.remove)
        _store(session, frame, addressee, frame.text, meta)


def _addressee(session: Session, frame: _Sent, check: Callable[[str], None], text: str) -> _Addressee | None:
    """To whom a frame goes, if that and its text are as they have to be; None if it was refused."""
    account = session.account
    found = _find(session.router, frame.to)
    if account is None or found is None:
        code = ErrorCode.UNKNOWN_ROOM if is_room(frame.to) else ErrorCode.UNKNOWN_RECIPIENT
    elif not is_message_id(frame.id):
        code = ErrorCode.BAD_ID
    elif found.id == account.id:
        code = ErrorCode.RECIPIENT_IS_SELF
    else:
        try:
            check(text)
        except InvalidTextError as error:
            code = error.code
        else:
            return found
    _refuse(session, frame, code)
    return None


def _find(router: Router, to: str) -> _Addressee | None:
    if "#" not in to:
        return router.directory.by_name(to)
    room = router.rooms.by_name(to)
    if room is None:
        try:
            room = router.rooms.by_name(normalize_room(to))
        except InvalidNameError:
            return None
    return _RoomAddress(-room.row.id, room.row.name) if room is not None else None


def _mentions(router: Router, addressee: _Addressee, body: str) -> tuple[int, ...]:
    """Account ids of those whom a text mentions, of those who will read it."""
    names = mentioned(body)
    if addressee.id > 0:
        return (addressee.id,) if addressee.name in names else ()
    room = router.rooms.by_id(-addressee.id)
    people = (router.directory.by_name(name) for name in names)
    return tuple(each.id for each in people if each and room and room.role(each.id) is not None)


def _store(session: Session, frame: _Sent, addressee: _Addressee, text: str, meta: MessageMeta) -> None:
    assert session.account is not None  # noqa: S101 - `_addressee` has looked
    session.pending += 1
    message = NewMessage(session.account.id, addressee.id, frame.id, text, meta)
    item = PendingChat(session, addressee.name, message)
    room = session.router.rooms.by_id(-addressee.id) if addressee.id < 0 else None
    if room is not None:
        room.queue.write(item)
    else:
        session.router.store(item)


def _sees(session: Session, to: str) -> bool:
    """Whether there is a room of that name, as far as somebody may know."""
    found = _find(session.router, to)
    room = session.router.rooms.by_id(-found.id) if found is not None else None
    account = session.account
    return room is not None and account is not None and room.visible_to(account.id)


def _refuse(session: Session, frame: _Sent, code: ErrorCode) -> None:
    # An id that is none may be as long as a line; with it, the answer would be longer.
    if is_room(frame.to) and not _sees(session, frame.to):
        code = ErrorCode.UNKNOWN_ROOM  # whatever is wrong with it: there is no such room for them
    session.send(frames.ChatNack(frame.id[:QUERY_LIMIT], code, ERROR_CODES[code].sentence))


def _typing(session: Session, frame: frames.SetTyping) -> None:
    """Tell whom it concerns; one who may not know is told nothing, and neither is the sender."""
    router, account = session.router, session.account
    now = router.now()
    if account is None or TYPING not in session.features or now - session.typed < _TYPING_EVERY_S:
        return
    session.typed = now
    found = _find(router, frame.to)
    if found is None:
        return
    if found.id > 0:
        told = frames.Typing(found.name, [account.name], 1)
        for other in router.sessions_of(found.id):
            if other.live and TYPING in other.features and not other.link.congested:
                other.send(told)
    elif (room := router.rooms.by_id(-found.id)) is not None and room.role(account.id) is not None:
        router.rooms.types(room, account.name)


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
    if kind is PositionKind.DELIVERED and number is not None and session.router.rooms.by_id(number):
        return  # nobody is told in a room, and a thousand members would say it of each message
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
        frames.SendEdit: _edit,
        frames.SendRedaction: _redact,
        frames.SendReaction: _react,
        frames.SetTyping: _typing,
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
