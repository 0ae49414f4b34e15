"""Sender: your own messages, from the typed line to the server's answer."""

from collections.abc import Callable, Iterable

from qscp import frames
from qscp.errors import ERROR_CODES, Action, ErrorCode
from qscp_client.core import events
from qscp_client.core.changes import Added, Failed, Removed
from qscp_client.core.effects import Clock, Output
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import Entry, EntryKind, Failure, FailureCode, Outbox

_SAME_PAUSE_S = 15.0
"""A `throttled` that comes later than this after the last one is of another pause: the server repeats it
every 5 s."""


class Sender:
    """Sends messages through the outbox, and shows and saves what becomes of them.

    Args:
        out: Where frames, events and changes go.
        clock: The time.
        make_id: Makes the id of a new message.
        saved: The outbox of the last run.
        keeps_failed: Whether what failed is saved for the next run.

    Attributes:
        outbox: Messages without a `chat_ack`.
    """

    def __init__(
        self,
        out: Output,
        clock: Clock,
        make_id: Callable[[], str],
        saved: Iterable[Entry] = (),
        *,
        keeps_failed: bool = True,
    ) -> None:
        self.outbox = Outbox(saved)
        self._out = out
        self._clock = clock
        self._make_id = make_id
        self._keeps_failed = keeps_failed
        self._notified: set[str] = set()
        self._throttled_at = float("-inf")
        for entry in self.outbox:
            out.show(_sent(entry))

    def connected(self) -> None:
        """Send what is pending, in order; it goes before anything new."""
        self._expire()
        self._notified.clear()
        self._send(self.outbox.connected())

    def history_changed(self) -> None:
        """Forget which conversations messages were typed in: the server has another history."""
        self.outbox.history_changed()

    def say(
        self, to: str, body: str, kind: EntryKind = EntryKind.CHAT, target: int = 0, conversation: str = ""
    ) -> None:
        """Send a message, or queue it until there is a connection.

        Args:
            to: The user or room.
            body: The text.
            kind: A message, or an edit, redaction or reaction.
            target: The seq of the message that it is about, or answers.
            conversation: The conversation that it was typed in; empty if that is not known.
        """
        now = self._clock.wall_ms()
        entry = Entry(self._make_id(), to, body, now, kind=kind, target=target, conversation=conversation)
        self._out.changes.append(Added(entry))
        self._out.show(_sent(entry))
        self._send(self.outbox.add(entry))

    def settle(self, message_id: str, *, acked: bool = True) -> Entry | None:
        """Remove a message that is stored; return it, or None if it is not in the outbox.

        Args:
            message_id: Its id.
            acked: Whether its `chat_ack` came; else the message itself, which might have been refused before.
        """
        if not acked and self.outbox.has_refused(message_id):
            # The server waits for it, and need not: it was stored over an earlier connection.
            self._out.frames.append(frames.Skip(message_id))
        entry = self.outbox.stored(message_id)
        if entry is not None:
            self._out.changes.append(Removed(message_id))
        self._send(self.outbox.due(self._clock.now()))
        return entry

    def receive_nack(self, frame: frames.ChatNack) -> None:
        """Apply a refusal: the message fails, or is sent again later."""
        failure = Failure(frame.code, frame.message, frame.retry_after)
        if frame.code == ErrorCode.UNKNOWN_RECIPIENT and self.outbox.is_bound(frame.id):
            # There was such a conversation, so there was such an account.
            failure = Failure(FailureCode.ACCOUNT_DELETED)
        entry = self.outbox.refused(frame.id, failure)
        if entry is None:
            if frame.code in (ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FAILED):
                self._out.frames.append(frames.Skip(frame.id))
            return
        self._out.failed += bool(entry.failure)
        if entry.failure and entry.kind is not EntryKind.CHAT and _is_final(frame.code):
            # It has no text worth saving, and a second try would end as this one.
            self.outbox.forget(entry.id)
            self._fail(entry, failure, keeps=False)
        elif entry.failure:
            self._fail(entry, failure, keeps=self._keeps_failed)
        elif entry.to not in self._notified:
            self._notified.add(entry.to)
            self._out.show(Notice(NoticeCode.WAITING_FOR_STORAGE, error=frame.code, text=frame.message))
        self._send(self.outbox.due(self._clock.now()))

    def receive_throttled(self) -> None:
        """Show, once in each pause, that the server reads no further for a while."""
        now = self._clock.now()
        if now - self._throttled_at > _SAME_PAUSE_S:
            self._out.show(Notice(NoticeCode.THROTTLED))
        self._throttled_at = now

    def tick(self) -> None:
        """Send again what is due; let fail what is too old."""
        self._expire()
        self._send(self.outbox.due(self._clock.now()))

    def retry(self, to: str | None) -> int:
        """Send failed messages again as new ones, and refused ones at once; return their number.

        Args:
            to: The recipient; None for all.
        """
        again = self.outbox.take_failed(to)
        for entry in again:
            self.say(entry.to, entry.body, entry.kind, entry.target, entry.conversation)
            self._out.changes.append(Removed(entry.id))
        waiting = self.outbox.retry_now(to)
        count = sum(entry.to in waiting for entry in self.outbox)
        self._send(self.outbox.due(self._clock.now()))
        return len(again) + count

    def discard(self, to: str | None) -> list[Entry]:
        """Discard failed messages, and those that the server could not store so far; return them.

        Args:
            to: The recipient; None for all.
        """
        refused, skipped = self.outbox.discard_refused(to)
        discarded = [*self.outbox.take_failed(to), *refused]
        self._out.changes += [Removed(entry.id) for entry in discarded]
        self._out.frames += [frames.Skip(message_id) for message_id in skipped]
        if discarded:
            self._out.show(events.MessagesDiscarded(tuple(entry.id for entry in discarded)))
        return discarded

    def _expire(self) -> None:
        failure = Failure(FailureCode.EXPIRED)
        for entry in self.outbox.expired(self._clock.wall_ms()):
            if self.outbox.has_refused(entry.id):
                # Else the server would wait for it, and accept nothing else to the same recipient.
                self._out.frames.append(frames.Skip(entry.id))
            self._fail(self.outbox.fail(entry, failure), failure, keeps=self._keeps_failed)

    def show_unanswered(self, *, keeps: bool) -> None:
        """Show each message that was not acknowledged; see `Engine.show_unanswered`."""
        failure = Failure(FailureCode.UNANSWERED_KEPT if keeps else FailureCode.UNANSWERED)
        for each in self.outbox:
            self._out.show(
                events.MessageFailed(each.to, each.body, failure, each.id, kind=each.kind, target=each.target)
            )

    def _fail(self, entry: Entry, failure: Failure, *, keeps: bool) -> None:
        self._out.changes.append(Failed(entry.id, entry.failure) if keeps else Removed(entry.id))
        self._out.show(
            events.MessageFailed(
                entry.to, entry.body, failure, entry.id, again=keeps, kind=entry.kind, target=entry.target
            )
        )

    def _send(self, entries: Iterable[Entry]) -> None:
        self._out.frames += [entry.frame() for entry in entries]


def _sent(entry: Entry) -> events.MessageSent:
    return events.MessageSent(entry.id, entry.to, entry.body, entry.kind, entry.target)


def _is_final(code: str) -> bool:
    """Whether trying again is useless; a code of a newer server might pass."""
    return code in list(ErrorCode) and ERROR_CODES[ErrorCode(code)].action in (Action.GIVE_UP, Action.FIX)
