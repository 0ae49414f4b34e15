"""What the daemon does with each frame of a client: one function a frame, one table.

That a frame is well-formed and comes at the right time was checked before (`qscp.connection`);
a handler checks what the frame means.
"""

from collections.abc import Callable
from typing import Final, cast

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidTextError
from qscp.ids import is_message_id
from qscp.text import check_body, check_status_text
from qscpd.router import Handler, PendingChat
from qscpd.session import Session
from qscpd.store.base import NewMessage

__all__ = ["handlers"]


def handlers(login: Callable[[Session, frames.Auth], None]) -> dict[type[frames.ClientFrame], Handler]:
    """The table of handlers.

    Args:
        login: Starts to decide a login; see `qscpd.login`.
    """
    return {**_HANDLERS, frames.Auth: cast("Handler", login)}


def _chat(session: Session, frame: frames.SendChat) -> None:
    router, sender = session.router, session.account
    recipient = router.directory.by_name(frame.to)
    if sender is None or recipient is None:
        return _refuse(session, frame, ErrorCode.UNKNOWN_RECIPIENT)
    if not is_message_id(frame.id):
        return _refuse(session, frame, ErrorCode.BAD_ID)
    if recipient.id == sender.id:
        return _refuse(session, frame, ErrorCode.RECIPIENT_IS_SELF)
    if not router.sessions_of(recipient.id):
        return _refuse(session, frame, ErrorCode.RECIPIENT_OFFLINE)
    try:
        check_body(frame.body)
    except InvalidTextError as error:
        return _refuse(session, frame, error.code)
    session.pending += 1
    message = NewMessage(sender.id, recipient.id, frame.id, frame.body)
    router.outbox.append(PendingChat(session, recipient.name, message))
    return router.wake()


def _refuse(session: Session, frame: frames.SendChat, code: ErrorCode) -> None:
    session.send(frames.ChatNack(frame.id, code, ERROR_CODES[code].sentence))


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
        frames.ClientPing: _ping,
        frames.ClientPong: _pong,
        frames.ClientBye: _bye,
    },
)
