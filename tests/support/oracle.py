"""What must be true of every history: nothing acknowledged is lost, doubled or reordered.

The oracle looks at what the clients noted for themselves (`DeviceLog`) and at the history as
a device sees it that never was there before. It knows nothing of the server.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from qscp import frames
from tests.support.devicelog import Applied, BrokenPromiseError, DeviceLog, Gap, Sent

__all__ = ["Book", "History", "Told", "judge", "written"]


class Told(Applied, frozen=True):
    """A message as `history` has it, or an event as it is replayed."""

    changed: bool = False
    """Whether its text was edited or taken away."""
    reactions: dict[str, int] = msgspec.field(default_factory=dict)


class History(msgspec.Struct):
    """A conversation as `conversations` and `history` tell it."""

    name: str
    first_seq: int
    last_seq: int
    messages: list[Told]
    """And events, by seq."""
    delivered: int = 0
    read: int = 0
    unread: int = 0

    def agrees(self, told: Told, other: Told) -> bool:
        """Whether two people were told the same, of whom the other one sees only this history."""
        if other.kind == "edit" and other.target < self.first_seq:  # of a text that they must not see
            return told.lasting == other.lasting and not other.body
        return told == other


_LEAVABLE: Final = ("#club",)
"""Rooms of these tests that people join and leave."""


class _Place(NamedTuple):
    conversation: str
    message: Told

    def __str__(self) -> str:
        return f"{self.conversation}/{self.message}"


Book = Mapping[str, History]
"""Histories by conversation."""


def written(
    info: frames.ConversationInfo, pages: Iterable[frames.Message], replayed: Sequence[Applied]
) -> History:
    """A conversation from its pages of history, and from what a device is told that begins before it.

    Raises:
        BrokenPromiseError: These two differ.
    """
    messages = [
        Told(
            each.seq,
            each.id,
            each.sender,
            each.body,
            each.time,
            changed=each.erased or each.edited is not None,
            reactions={reaction.text: reaction.count for reaction in each.reactions},
        )
        for each in pages
    ]
    chats = [each for each in replayed if each.kind == "chat"]
    for told, again in zip(messages, chats, strict=False):
        if (told.seq, told.body, told.lasting) != (again.seq, again.body, again.lasting):
            raise BrokenPromiseError(f"{info.name}: {told} in a page is {again} when it is replayed")
    if len(messages) != len(chats):
        raise BrokenPromiseError(f"{info.name}: {len(messages)} messages in pages, {len(chats)} replayed")
    fields = Applied.__struct_fields__
    messages += [
        Told(*(getattr(each, field) for field in fields)) for each in replayed if each.kind != "chat"
    ]
    messages.sort(key=lambda each: each.seq)
    return History(
        info.name,
        info.first_seq,
        info.last_seq,
        messages,
        delivered=info.delivered,
        read=info.read,
        unread=info.unread,
    )


def judge(logs: Iterable[DeviceLog], books: Mapping[str, Book], *, settled: bool = True) -> None:
    """Compare what devices noted with what a fresh device of each person is told.

    Args:
        logs: Of all devices; those that vanished in the middle of something, too.
        books: By person.
        settled: Whether the devices have all there is; false for some that vanished.

    Raises:
        BrokenPromiseError: With what is wrong, where.
    """
    logs = list(logs)
    histories = _merged(books)
    texts = {(log.user, sent.id): sent.body for log in logs for sent in log.sent}
    for conversation, history in histories.items():
        _events(conversation, history, texts)
    places: defaultdict[tuple[str, str], list[_Place]] = defaultdict(list)
    for conversation, history in histories.items():
        for told in history.messages:
            places[told.sender, told.id].append(_Place(conversation, told))
    for log in logs:
        _sent(log, histories, places)
        _started(log, books.get(log.user, {}))
        for place, applied in log.applied.items():
            # A device need not have heard that its person left a room.
            own = books.get(log.user, {}).get(place)
            gaps = log.gaps.get(place, [])
            there = settled and own is not None
            _applied(log, place, own or histories[place], applied, gaps, log.start[place], settled=there)
        for period in log.periods:
            history = histories[period.conversation]
            _applied(
                log, period.conversation, history, period.applied, period.gaps, period.start, settled=False
            )
        _positions(log, histories)
        _memberships(log, books.get(log.user, {}))


def _merged(books: Mapping[str, Book]) -> dict[str, History]:
    """The histories, each as whoever sees the most of it; in a room, who came later may see less."""
    histories: dict[str, History] = {}
    for user, book in books.items():
        for conversation, history in book.items():
            _dense(conversation, history)
            known = histories.get(conversation, history)
            longer, shorter = sorted((known, history), key=lambda each: each.first_seq)
            histories[conversation] = longer
            ours = longer.messages[len(longer.messages) - len(shorter.messages) :]
            if not all(map(shorter.agrees, ours, shorter.messages)):
                raise BrokenPromiseError(f"{user} is told another history of {conversation}")
    return histories


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
            _same(sent, place)
        else:
            continue
        before, before_id = last.get(sent.to, (0, ""))
        if seq <= before:
            raise BrokenPromiseError(f"{sent} at {seq} was sent after {before_id}, which is at {before}")
        if not (sent.id in log.retried and (sent.kind == "react" or sent.to in _LEAVABLE)):
            last[sent.to] = seq, sent.id  # else it may have been refused at first, and taken the next time


def _same(sent: Sent, place: _Place) -> None:
    told = place.message
    if (told.kind, told.target, told.removed) != (sent.kind, sent.target, sent.removed):
        raise BrokenPromiseError(f"{sent} is something else: {place}")
    if sent.kind in ("chat", "react") and not told.changed and told.body != sent.body:
        raise BrokenPromiseError(f"{sent} has another text: {place}")


def _started(log: DeviceLog, book: Book) -> None:
    """A device without a position starts at the person's read position, and never behind it."""
    for conversation, start in log.start.items():
        if conversation in book and start > book[conversation].read:
            raise BrokenPromiseError(
                f"{log.user} begins {conversation} at {start}, has read {book[conversation].read}"
            )


def _events(conversation: str, history: History, texts: Mapping[tuple[str, str], str]) -> None:
    """Each message is as its events left it."""
    edited: dict[int, Told] = {}
    redacted: set[int] = set()
    reacted: defaultdict[int, dict[tuple[str, str], bool]] = defaultdict(dict)
    for told in history.messages:
        match told.kind:
            case "edit":
                edited[told.target] = told
            case "redact":
                redacted.add(told.target)
            case "react":
                reacted[told.target][told.sender, told.body] = not told.removed
    for told in history.messages:
        if told.kind != "chat":
            continue
        expected = told.body
        there = [text for (_, text), is_there in reacted[told.seq].items() if is_there]
        if told.seq in redacted:
            expected, there = "", []
        elif told.seq in edited:
            edit = edited[told.seq]
            expected = texts.get((edit.sender, edit.id), told.body)
        changed = told.seq in edited or told.seq in redacted
        if (told.changed, told.body, told.reactions) != (changed, expected, Counter(there)):
            raise BrokenPromiseError(f"{conversation}/{told}, {told.reactions}: not as its events say")


def _applied(
    log: DeviceLog,
    conversation: str,
    history: History,
    applied: Sequence[Applied],
    gaps: Sequence[Gap],
    start: int,
    *,
    settled: bool,
) -> None:
    """What the device applied is the history, in order; with the gaps that it was told, it is all of it."""
    truth = {told.seq: told for told in history.messages}
    seqs = [message.seq for message in applied]
    if seqs != sorted(set(seqs)):
        raise BrokenPromiseError(f"{log.user} applied {conversation} not once and in order: {seqs}")
    for message in applied:
        told = truth.get(message.seq)
        if told is None and message.seq >= history.first_seq:
            raise BrokenPromiseError(f"{log.user} has {conversation}/{message}, which is not there")
        if told is None:
            continue
        # Who was not there to the end may not know how a text changed.
        texts = told.kind == "chat" and (settled or not told.changed)
        if told.lasting != message.lasting or (texts and told.body != message.body):
            raise BrokenPromiseError(f"{log.user} has {message} in {conversation}, which is {told}")
    for _, high, reason in gaps:
        seen_by_all = settled or not history.name.startswith("#")
        if seen_by_all and reason == "pruned" and high >= history.first_seq:
            raise BrokenPromiseError(f"{log.user} was told that {conversation} is pruned up to {high}")
    known = {*seqs, *_gap_seqs(gaps)}
    last = history.last_seq if settled else max(known, default=0)
    missing = set(range(start + 1, last + 1)) - known
    if missing:
        raise BrokenPromiseError(f"{log.user} was never told of {conversation}/{sorted(missing)}")


def _gap_seqs(gaps: Iterable[Gap]) -> Iterable[int]:
    for low, high, reason in gaps:
        if reason != "ahead":
            yield from range(low, high + 1)


def _memberships(log: DeviceLog, book: Book) -> None:
    names = {history.name for history in book.values()}
    for room, is_in in log.memberships.items():
        if (room in names) != is_in:
            raise BrokenPromiseError(f"{log.user} is told to be in {sorted(names)}; in {room}: {is_in}")


def _positions(log: DeviceLog, histories: Mapping[str, History]) -> None:
    for conversation, seq in (*log.delivered.items(), *log.received.items()):
        if seq > histories[conversation].last_seq:
            raise BrokenPromiseError(f"{log.user}: position {seq} of {conversation} is behind its end")
