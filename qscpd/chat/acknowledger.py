"""Answers to the senders of messages: stored (`chat_ack`) or refused (`chat_nack`)."""

from collections.abc import Mapping, Sequence
from typing import Final

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp.text import fault_sentence
from qscpd.chat.quotas import ROW_BYTES
from qscpd.domain.model import NO_META, NewMessage, Outcome, Refused, StoredMessage
from qscpd.sessions.encoding import names_of
from qscpd.sessions.session import Session

_BLOCKING: Final = frozenset({ErrorCode.OUT_OF_ORDER, ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FAILED})
"""Refusals behind which later messages to the same recipient wait; see `qscpd.store.order`."""

_OF_TEXT: Final = frozenset({ErrorCode.BODY_CHARACTERS, ErrorCode.BAD_TEXT})
"""Refusals that name the character that is not allowed."""


class Acknowledger:
    """Answers the sessions of this node that sent messages.

    Args:
        names: Names of accounts, by id.

    Attributes:
        waiting: Sessions that waited for answers they now have; `let_continue` lets them continue.
    """

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = names
        self.waiting: dict[Session, None] = {}

    def answer_run(
        self, session: Session, messages: Sequence[NewMessage], outcomes: Sequence[Outcome]
    ) -> None:
        """Send a session the outcomes of some of its messages."""
        answers: list[frames.ServerFrame] = []
        stored = rows = size = 0
        blocks = False
        backlog = session.outbound.backlog
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, Refused):
                if outcome.code in _BLOCKING:
                    blocks = True
                else:
                    rows += 1  # The store remembers it.
                answers.append(_nack(message, outcome))
                continue
            if outcome.new:
                stored += 1
                body = message.body
                size += len(body) if body.isascii() else len(body.encode())
            conversation = f"c{outcome.conversation}"  # as `conversation_id`, without a call per message
            ack = frames.ChatAck(message.id, conversation, outcome.seq, outcome.time_ms)
            if message.meta is not NO_META or not outcome.new:
                self._complete(ack, message, outcome)
            if backlog is not None and outcome.new and backlog.overtakes(outcome.conversation, outcome.seq):
                ack.repeated, ack.mentions = True, ()
            answers.append(ack)
        if session.identity is not None:
            session.identity.stored.used += size + (stored + rows) * ROW_BYTES
        if session.send_answers(answers, stored=stored, blocks=blocks):
            self.waiting[session] = None

    def _complete(self, ack: frames.ChatAck, message: NewMessage, outcome: StoredMessage) -> None:
        """Add what few acknowledgements have: what the sender can't know of its own message or amendment."""
        ack.repeated = not outcome.new
        if message.meta.kind == "react":
            ack.count = outcome.count
        elif outcome.new:
            ack.mentions = names_of(message.meta.mentions, self._names)

    def let_continue(self) -> None:
        """Let sessions continue that waited for answers, after all of a commit were sent."""
        waiting, self.waiting = self.waiting, {}
        for session in waiting:
            session.resume()


def _nack(message: NewMessage, refused: Refused) -> frames.ChatNack:
    code = refused.code
    sentence = fault_sentence(message.body, code) if code in _OF_TEXT else ERROR_CODES[code].sentence
    return frames.ChatNack(message.id, code, sentence, refused.retry_after_s)
