"""What must be true of every history: nothing acknowledged is lost, doubled or reordered.

The oracle looks at what the clients noted for themselves (`DeviceLog`) and at the history as
a device sees it that never was there before. It knows nothing of the server.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from tests.support.device import BrokenPromiseError, DeviceLog

__all__ = ["History", "Told", "judge"]


class Told(msgspec.Struct, frozen=True):
    """A message as `history` has it."""

    seq: int
    id: str
    sender: str
    body: str
    time: int

    def __str__(self) -> str:
        return f"{self.seq}: {self.id} of {self.sender} ({self.body[:30]!r})"


class History(msgspec.Struct):
    """A conversation as `conversations` and `history` tell it."""

    first_seq: int
    last_seq: int
    messages: list[Told]
    delivered: int = 0
    read: int = 0
    unread: int = 0


class _Place(NamedTuple):
    conversation: str
    message: Told

    def __str__(self) -> str:
        return f"{self.conversation}/{self.message}"


Book = Mapping[str, History]
"""Histories by conversation."""


def judge(logs: Iterable[DeviceLog], books: Mapping[str, Book], *, settled: bool = True) -> None:
    """Compare what devices noted with what a fresh device of each person is told.

    Args:
        logs: Of all devices; those that vanished in the middle of something, too.
        books: By person.
        settled: Whether the devices have all there is; false for some that vanished.

    Raises:
        BrokenPromiseError: With what is wrong, where.
    """
    histories: dict[str, History] = {}
    for user, book in books.items():
        for conversation, history in book.items():
            _dense(conversation, history)
            known = histories.setdefault(conversation, history)
            if known.messages != history.messages:
                raise BrokenPromiseError(f"{user} is told another history of {conversation}")
    places: defaultdict[tuple[str, str], list[_Place]] = defaultdict(list)
    for conversation, history in histories.items():
        for told in history.messages:
            places[told.sender, told.id].append(_Place(conversation, told))
    for log in logs:
        _sent(log, histories, places)
        _started(log, books.get(log.user, {}))
        _applied(log, histories, settled=settled)
        _positions(log, histories)


def _dense(conversation: str, history: History) -> None:
    seqs = [told.seq for told in history.messages]
    if seqs != list(range(history.first_seq, history.last_seq + 1)):
        raise BrokenPromiseError(
            f"{conversation}: seqs {seqs[:3]}..{seqs[-3:]} ({len(seqs)}) are not dense from "
            f"{history.first_seq} to {history.last_seq}"
        )
    times = [told.time for told in history.messages]
    if times != sorted(times):
        raise BrokenPromiseError(f"{conversation}: the time goes back")


def _sent(
    log: DeviceLog, histories: Mapping[str, History], places: Mapping[tuple[str, str], list[_Place]]
) -> None:
    """Acked: exactly once, at the acked seq. Nacked: absent. Neither: at most once. All in order."""
    last: dict[str, tuple[int, str]] = {}
    for sent in log.sent:
        found = places.get((log.user, sent.id), [])
        ack = log.acked.get(sent.id)
        if sent.id in log.nacked and found:
            raise BrokenPromiseError(f"{sent} was refused, and is there: {found[0]}")
        if len(found) > 1:
            raise BrokenPromiseError(f"{sent} is there {len(found)} times: {found[0]} and {found[1]}")
        if ack is not None and not found:
            if ack.seq >= histories[ack.conversation].first_seq:
                raise BrokenPromiseError(f"{sent} was acknowledged ({ack}), and is lost")
            seq = ack.seq  # pruned
        elif found:
            place = found[0]
            seq = place.message.seq
            if ack is not None and (place.conversation, seq, place.message.time) != (
                ack.conversation,
                ack.seq,
                ack.time,
            ):
                raise BrokenPromiseError(f"{sent} was acknowledged as {ack}, and is {place}")
            if place.message.body != sent.body:
                raise BrokenPromiseError(f"{sent} has another text: {place}")
        else:
            continue
        before, before_id = last.get(sent.to, (0, ""))
        if seq <= before:
            raise BrokenPromiseError(f"{sent} at {seq} was sent after {before_id}, which is at {before}")
        last[sent.to] = seq, sent.id


def _started(log: DeviceLog, book: Book) -> None:
    """A device without a position starts at the person's read position, and never behind it."""
    for conversation, start in log.start.items():
        if conversation in book and start > book[conversation].read:
            raise BrokenPromiseError(
                f"{log.user} begins {conversation} at {start}, has read {book[conversation].read}"
            )


def _applied(log: DeviceLog, histories: Mapping[str, History], *, settled: bool) -> None:
    """What the device applied is the history, in order; with the gaps that it was told, it is all of it."""
    for conversation, applied in log.applied.items():
        history = histories[conversation]
        truth = {told.seq: told for told in history.messages}
        seqs = [message.seq for message in applied]
        if seqs != sorted(set(seqs)):
            raise BrokenPromiseError(f"{log.user} applied {conversation} not once and in order: {seqs}")
        for message in applied:
            told = truth.get(message.seq)
            if told is None and message.seq >= history.first_seq:
                raise BrokenPromiseError(f"{log.user} has {conversation}/{message}, which is not there")
            if told is not None and (told.id, told.sender, told.body) != (
                message.id,
                message.sender,
                message.body,
            ):
                raise BrokenPromiseError(f"{log.user} has {message} in {conversation}, which is {told}")
        for low, high, reason in log.gaps.get(conversation, []):
            if reason == "pruned" and high >= history.first_seq:
                raise BrokenPromiseError(f"{log.user} was told that {conversation}/{low}-{high} is pruned")
        known = {*seqs, *_gap_seqs(log, conversation)}
        last = history.last_seq if settled else max(known, default=0)
        missing = set(range(log.start[conversation] + 1, last + 1)) - known
        if missing:
            raise BrokenPromiseError(f"{log.user} was never told of {conversation}/{sorted(missing)}")


def _gap_seqs(log: DeviceLog, conversation: str) -> Iterable[int]:
    for low, high, reason in log.gaps.get(conversation, []):
        if reason != "ahead":
            yield from range(low, high + 1)


def _positions(log: DeviceLog, histories: Mapping[str, History]) -> None:
    for conversation, seq in (*log.delivered.items(), *log.received.items()):
        if seq > histories[conversation].last_seq:
            raise BrokenPromiseError(f"{log.user}: position {seq} of {conversation} is behind its end")
