"""Your own messages, from the typed line to the server's answer."""

from collections.abc import Callable, Iterable

from qscp import frames
from qscp.errors import ERROR_CODES, Action, ErrorCode
from qscp_client.core import events
from qscp_client.core.changes import Added, Failed, Removed
from qscp_client.core.effects import Clock, Output
from qscp_client.core.outbox import Entry, EntryKind, Outbox
from qscp_client.durations import describe_wait

__all__ = ["Sending"]

_TOO_OLD = "it could not be sent for 7 days"


class Sending:
    """Keeps the outbox, and says what to send, show and save.

    Args:
        out: Where that goes.
        clock: The time.
        make_id: Makes the id of a new message.
        kept: The outbox of last time.
        keeps_failed: Whether what failed is saved for the next time.

    Attributes:
        outbox: What has no `chat_ack`.
    """

    def __init__(
        self,
        out: Output,
        clock: Clock,
        make_id: Callable[[], str],
        kept: Iterable[Entry] = (),
        *,
        keeps_failed: bool = True,
    ) -> None:
        self.outbox = Outbox(kept)
        self._out = out
        self._clock = clock
        self._make_id = make_id
        self._keeps_failed = keeps_failed
        self._told: set[str] = set()
        for entry in self.outbox:
            out.events.append(events.MessageSent(entry.id, entry.to, entry.shown))

    def connected(self) -> None:
        """Send what is pending, in order; it goes before anything new."""
        self._expire()
        self._told.clear()
        self._send(self.outbox.connected())

    def say(self, to: str, body: str, kind: EntryKind = EntryKind.CHAT, target: int = 0) -> None:
        """Send a message, or keep it until that is possible.

        Args:
            to: To whom, or into which room.
            body: The text.
            kind: Whether it is a message, or what you do to one.
            target: The seq of the message that it is about, or answers.
        """
        entry = Entry(self._make_id(), to, body, self._clock.wall_ms(), kind=kind, target=target)
        self._out.changes.append(Added(entry))
        self._out.events.append(events.MessageSent(entry.id, to, entry.shown))
        self._send(self.outbox.add(entry))

    def settle(self, message_id: str, *, acked: bool = True) -> Entry | None:
        """Note that a message is stored; None if it is none of ours.

        Args:
            message_id: Its id.
            acked: Whether its `chat_ack` says so; else it was told, and may have been refused before.
        """
        if not acked and self.outbox.has_refused(message_id):
            # The server waits for it, and need not: it was stored over an earlier connection.
            self._out.frames.append(frames.Skip(message_id))
        entry = self.outbox.stored(message_id)
        if entry is not None:
            self._out.changes.append(Removed(message_id))
        self._send(self.outbox.due(self._clock.now()))
        return entry

    def refused(self, frame: frames.ChatNack) -> bool:
        """Take in a refusal; return whether the message failed for good."""
        wait = "" if frame.retry_after is None else f" {describe_wait(frame.retry_after)} to go."
        entry = self.outbox.refused(frame.id, frame.code, f"{frame.message}{wait}")
        if entry is None:
            if frame.code in (ErrorCode.STORAGE_FULL, ErrorCode.STORAGE_FAILED):
                self._out.frames.append(frames.Skip(frame.id))
            return False
        if entry.failure and entry.kind is not EntryKind.CHAT and _is_final(frame.code):
            # There is no text to save, and a second try would end as this one.
            self.outbox.forget(entry.id)
            self._tell_failure(entry, keeps=False)
        elif entry.failure:
            self._tell_failure(entry, keeps=self._keeps_failed)
        elif entry.to not in self._told:
            self._told.add(entry.to)
            self._out.events.append(
                events.Notice(f"{frame.message} It is tried again by itself; /retry does so at once.")
            )
        self._send(self.outbox.due(self._clock.now()))
        return bool(entry.failure)

    def tick(self) -> None:
        """Send again what is due, and call failed what is too old."""
        self._expire()
        self._send(self.outbox.due(self._clock.now()))

    def retry(self, to: str | None) -> int:
        """Send failed messages again as new ones, and refused ones at once; return how many there were.

        Args:
            to: Those to this person; None for all.
        """
        again = self.outbox.take_failed(to)
        for entry in again:
            self.say(entry.to, entry.body, entry.kind, entry.target)
            self._out.changes.append(Removed(entry.id))
        waiting = self.outbox.hurry(to)
        count = sum(entry.to in waiting for entry in self.outbox)
        self._send(self.outbox.due(self._clock.now()))
        return len(again) + count

    def drop(self, to: str | None) -> list[Entry]:
        """Give up failed messages, and those that the server could not store so far; return them."""
        refused, skipped = self.outbox.give_up_refused(to)
        dropped = [*self.outbox.take_failed(to), *refused]
        self._out.changes += [Removed(entry.id) for entry in dropped]
        self._out.frames += [frames.Skip(message_id) for message_id in skipped]
        if dropped:
            self._out.events.append(events.MessagesGivenUp(tuple(entry.id for entry in dropped)))
        return dropped

    def _expire(self) -> None:
        for entry in self.outbox.expired(self._clock.wall_ms()):
            if self.outbox.has_refused(entry.id):
                # Else the server would wait for it, and take nothing else to the same person.
                self._out.frames.append(frames.Skip(entry.id))
            self._tell_failure(self.outbox.fail(entry, _TOO_OLD), keeps=self._keeps_failed)

    def _tell_failure(self, entry: Entry, *, keeps: bool) -> None:
        self._out.changes.append(Failed(entry.id, entry.failure) if keeps else Removed(entry.id))
        self._out.events.append(
            events.MessageFailed(entry.to, entry.shown, entry.failure, entry.id, again=keeps)
        )

    def _send(self, entries: Iterable[Entry]) -> None:
        self._out.frames += [entry.frame() for entry in entries]


def _is_final(code: str) -> bool:
    """Whether it is of no use to try again; codes of a newer server may pass."""
    return code in list(ErrorCode) and ERROR_CODES[ErrorCode(code)].action in (Action.GIVE_UP, Action.FIX)
