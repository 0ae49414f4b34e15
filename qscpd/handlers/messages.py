"""Handlers of `chat`, `edit`, `redact`, `react`, `received`, `read`, `skip` and `typing`."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from qscp import codec, frames
from qscp.errors import ERROR_CODES, ErrorCode, InvalidNameError, InvalidTextError
from qscp.features import READ_RECEIPTS, TYPING
from qscp.ids import is_message_id
from qscp.limits import QUERY_LIMIT
from qscp.rooms import check_reaction, check_topic, is_room, mentioned, normalize_room
from qscp.text import check_body
from qscpd.chat.router import Router
from qscpd.domain.ids import parse_conversation
from qscpd.domain.model import (
    NO_META,
    Account,
    Mark,
    MessageMeta,
    NewMessage,
    PositionKind,
    RefusedMessage,
)
from qscpd.sessions.identity import Identity
from qscpd.sessions.session import Session
from qscpd.store.items import PendingChat

_TYPING_EVERY_S: Final = 1.0
"""Typing indicators of a session that come more often are dropped."""


class _RoomRecipient(NamedTuple):
    """A room to which a message is sent."""

    id: int
    """Minus the id of its conversation."""
    name: str


_Recipient = Account | _RoomRecipient

_Message = frames.SendChat | frames.SendEdit | frames.SendRedaction | frames.SendReaction


class MessageHandlers:
    """Handlers of messages, positions and typing indicators."""

    def __init__(self, router: Router) -> None:
        self._directory = router.directory
        self._rooms = router.rooms
        self._blocks = router.blocks
        self._presence = router.presence
        self._hiding = router.hiding
        self._submissions = router.submissions
        self._quotas = router.quotas
        self._sessions_of = router.sessions_of

    # --- messages

    def chat(self, session: Session, identity: Identity, frame: frames.SendChat) -> bool:
        """Check a message and submit it to the store."""
        body = frame.body
        make_meta = None
        if "@" in body or frame.reply_to is not None:
            make_meta = partial(self._chat_meta, frame)
        return self._accept(session, identity, frame, check_body, body, make_meta)

    def edit(self, session: Session, identity: Identity, frame: frames.SendEdit) -> bool:
        """Check an edit and submit it to the store."""
        session.inbound.count_change()
        make_meta = partial(self._edit_meta, frame)
        return self._accept(session, identity, frame, check_body, frame.body, make_meta)

    def redact(self, session: Session, identity: Identity, frame: frames.SendRedaction) -> bool:
        """Check a redaction and submit it to the store."""
        session.inbound.count_change()
        meta = MessageMeta(kind="redact", target=frame.target)
        return self._accept(session, identity, frame, check_topic, frame.reason, lambda _: meta)

    def react(self, session: Session, identity: Identity, frame: frames.SendReaction) -> bool:
        """Check a reaction and submit it to the store."""
        session.inbound.count_change()
        meta = MessageMeta(kind="react", target=frame.target, removed=frame.remove)
        return self._accept(session, identity, frame, check_reaction, frame.text, lambda _: meta)

    def skip(self, session: Session, _identity: Identity, frame: frames.Skip) -> None:
        """Let messages no longer wait for a refused one that the peer has discarded."""
        if is_message_id(frame.id):  # No message can wait for any other one.
            self._submissions.submit_skip(session, frame.id)

    def _accept(
        self,
        session: Session,
        identity: Identity,
        frame: _Message,
        check: Callable[[str], None],
        text: str,
        make_meta: Callable[[_Recipient | None], MessageMeta] | None,
    ) -> bool:
        """Submit a message to the store; return whether it has an id, and so gets an answer from there.

        A message that can't be accepted is submitted as well. Its id decides first: if it was stored before,
        and the recipient was deleted since, it is still acknowledged.

        Args:
            session: The session.
            identity: Its account.
            frame: What it sent.
            check: Raises InvalidTextError for an invalid text.
            text: The text.
            make_meta: Makes the meta for the recipient, if there is one; None for a plain message.
        """
        found = self._find(frame.to, identity.account)
        stored = identity.stored
        if not is_message_id(frame.id):
            code = ErrorCode.BAD_ID
            # An invalid id may be up to a line long; truncate it so that the nack fits.
            session.send(frames.ChatNack(frame.id[:QUERY_LIMIT], code, ERROR_CODES[code].sentence))
            return False
        if found is None:
            code = ErrorCode.UNKNOWN_ROOM if is_room(frame.to) else ErrorCode.UNKNOWN_RECIPIENT
        elif found.id == identity.account:
            code = ErrorCode.RECIPIENT_IS_SELF
        elif stored.used >= stored.limit and self._exceeds_quota(identity, frame):
            code = ErrorCode.QUOTA_EXCEEDED
        else:
            try:
                check(text)
            except InvalidTextError as error:
                code = error.code
            else:
                meta = NO_META if make_meta is None else make_meta(found)
                only = 0 if frame.conversation is None else parse_conversation(frame.conversation) or -1
                message = NewMessage(identity.account, found.id, frame.id, text, meta, only)
                room = -found.id if found.id < 0 else None
                self._submissions.submit(PendingChat(session, message), room)
                return True
        meta = NO_META if make_meta is None else make_meta(None)
        self._submit_refused(session, identity, frame, text, meta, code, found)
        return True

    def _submit_refused(
        self,
        session: Session,
        identity: Identity,
        frame: _Message,
        text: str,
        meta: MessageMeta,
        code: ErrorCode,
        found: _Recipient | None,
    ) -> None:
        """Submit a message that breaks a rule; in a room it waits behind those sent before it."""
        room = -found.id if found is not None and found.id < 0 else None
        exceeds = code is ErrorCode.QUOTA_EXCEEDED
        message = RefusedMessage(
            identity.account,
            -(room or 0),
            frame.id,
            text,
            meta,
            code=code,
            to=frame.to,
            retry_after_s=self._quotas.of(identity.account).stored.wait_s if exceeds else None,
        )
        self._submissions.submit(PendingChat(session, message), room)

    def _exceeds_quota(self, identity: Identity, frame: _Message) -> bool:
        """Return whether the account has used up what it can store; a text can be deleted all the same."""
        if isinstance(frame, frames.SendRedaction):
            return False
        return self._quotas.of(identity.account).stored.wait_s > 0

    def _chat_meta(self, frame: frames.SendChat, recipient: _Recipient | None) -> MessageMeta:
        mentions = self._mentions(recipient, frame.body)
        if not mentions and frame.reply_to is None:
            return NO_META
        return MessageMeta(reply_to=frame.reply_to or 0, mentions=mentions)

    def _edit_meta(self, frame: frames.SendEdit, recipient: _Recipient | None) -> MessageMeta:
        mentions = self._mentions(recipient, frame.body)
        return MessageMeta(kind="edit", target=frame.target, mentions=mentions)

    def _find(self, to: str, account: int) -> _Recipient | None:
        """Return a recipient; None if there is none, or it is a room that the account may not know of."""
        if "#" not in to:
            return self._directory.accounts.get(to) or self._directory.by_name(to)
        room = self._rooms.visible(to, account)
        if room is None:
            try:
                room = self._rooms.visible(normalize_room(to), account)
            except InvalidNameError:
                return None
        return _RoomRecipient(-room.row.id, room.row.name) if room is not None else None

    def _mentions(self, recipient: _Recipient | None, body: str) -> tuple[int, ...]:
        """Return the account ids of the mentioned users among those who will read a text."""
        if recipient is None:
            return ()
        names = mentioned(body)
        if recipient.id > 0:
            return (recipient.id,) if recipient.name in names else ()
        room = self._rooms.by_id(-recipient.id)
        accounts = (self._directory.by_name(name) for name in names)
        return tuple(each.id for each in accounts if each and room and room.role(each.id) is not None)

    # --- positions

    def received(self, session: Session, identity: Identity, frame: frames.Received) -> None:
        """Move the position up to which the account has received a conversation."""
        number = parse_conversation(frame.conversation)
        if number is None:
            return
        room = self._rooms.by_id(number)
        # In a room nobody is notified of it, and a thousand members would send it for each message.
        if room is None or room.role(identity.account) is None:
            self._move(session, identity, number, PositionKind.DELIVERED, frame.seq)

    def read(self, session: Session, identity: Identity, frame: frames.ClientRead) -> None:
        """Move the position up to which the account has read a conversation."""
        number = parse_conversation(frame.conversation)
        # The store ignores one in a conversation of others, so a hidden room can't be told from none.
        if number is not None:
            self._move(session, identity, number, PositionKind.READ, frame.seq)

    def _move(
        self, session: Session, identity: Identity, conversation: int, kind: PositionKind, seq: int
    ) -> None:
        """Submit a position; the store ignores a lower one, and conversations of others.

        Of a hidden account no other one sees a position move.
        """
        visible = self._presence.is_visible(identity.name)
        receipt = visible and session.supports(READ_RECEIPTS)
        mark = Mark(identity.account, conversation, kind, seq, session.id, receipt)
        if kind is PositionKind.DELIVERED and not visible:
            self._hiding.withhold(mark)
        else:
            self._submissions.submit_mark(session, mark)

    # --- typing indicators

    def typing(self, session: Session, identity: Identity, frame: frames.SetTyping) -> None:
        """Pass a typing indicator on; one that may not be sent is dropped without an answer."""
        now = asyncio.get_running_loop().time()
        if not session.supports(TYPING) or now - session.typed < _TYPING_EVERY_S:
            return
        session.typed = now
        session.inbound.count_request()
        found = self._find(frame.to, identity.account)
        if found is None or not self._presence.is_visible(identity.name):
            return
        if found.id > 0:
            if self._blocks.between(identity.account, found.id):
                return
            lines = [codec.encode(frames.Typing(found.name, [identity.name], 1))]
            for other in self._sessions_of(found.id):
                if other.supports(TYPING):
                    other.outbound.send_typing(lines)
        elif (room := self._rooms.by_id(-found.id)) is not None and room.role(identity.account) is not None:
            self._rooms.set_typing(room, identity.name)
