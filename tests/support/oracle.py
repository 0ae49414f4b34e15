"""Oracle for histories: nothing acknowledged is lost, doubled or reordered.

It compares the records of the clients (`DeviceLog`) with the history that a new device receives.
It knows nothing of the server.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

import msgspec

from qscp import frames
from tests.support.devicelog import Applied, BrokenPromiseError, DeviceLog, Gap, Sent

__all__ = ["Book", "History", "HistoryItem", "judge", "written"]


class HistoryItem(Applied, frozen=True):
    """Message as `history` shows it, or event as it is replayed."""

    changed: bool = False
    """Whether its text was edited or erased."""
    reactions: dict[str, int] = msgspec.field(default_factory=dict)


class History(msgspec.Struct):
    """Conversation as `conversations` and `history` show it."""

    name: str
    first_seq: int
    last_seq: int
    messages: list[HistoryItem]
    """Messages and events, by seq."""
    delivered: int = 0
    read: int = 0
    unread: int = 0

    def agrees(self, item: HistoryItem, other: HistoryItem) -> bool:
        """Return whether two users received the same item; the other one sees only this history."""
        if other.kind == "edit" and other.target < self.first_seq:  # whose text the other user must not see
            return item.lasting == other.lasting and not other.body
        return item == other


class _Place(NamedTuple):
    conversation: str
    message: HistoryItem

    def __str__(self) -> str:
        return f"{self.conversation}/{self.message}"


Book = Mapping[str, History]
"""Histories by conversation."""


def written(
    info: frames.ConversationInfo, pages: Iterable[frames.Message], replayed: Sequence[Applied]
) -> History:
    """Build a history from the pages of a conversation, and from its replay from the start.

    Raises:
        BrokenPromiseError: The pages and the replay differ.
    """
    messages = [
        HistoryItem(
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
    for item, again in zip(messages, chats, strict=False):
        if (item.seq, item.body, item.lasting) != (again.seq, again.body, again.lasting):
            raise BrokenPromiseError(f"{info.name}: {item} in a page is {again} when it is replayed")
    if len(messages) != len(chats):
        raise BrokenPromiseError(f"{info.name}: {len(messages)} messages in pages, {len(chats)} replayed")
    fields = Applied.__struct_fields__
    messages += [
        HistoryItem(*(getattr(each, field) for field in fields)) for each in replayed if each.kind != "chat"
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
    """Compare the records of devices with what a new device of each user receives.

    Args:
        logs: Records of the devices, also of those that vanished in the middle.
        books: Histories by user.
        settled: Whether the devices have received everything; false for those that vanished.

    Raises:
        BrokenPromiseError: A device contradicts a history, or two histories differ.
    """
    logs = list(logs)
    histories = _merged(books)
    texts = {(log.user, sent.id): sent.body for log in logs for sent in log.sent}
    for conversation, history in histories.items():
        _events(conversation, history, texts)
    seen = {
        (message.sender, message.id)
        for log in logs
        for applied in (*log.applied.values(), *(period.applied for period in log.periods))
        for message in applied
    }
    places: defaultdict[tuple[str, str], list[_Place]] = defaultdict(list)
    for conversation, history in histories.items():
        for item in history.messages:
            places[item.sender, item.id].append(_Place(conversation, item))
    for log in logs:
        _refused(log, seen)
        _sent(log, histories, places)
        _started(log, books.get(log.user, {}))
        for place, applied in log.applied.items():
            # A device might not have received that its user left a room.
            own = books.get(log.user, {}).get(place)
            gaps = log.gaps.get(place, [])
            complete = settled and own is not None
            history = own or histories.get(place) or _deleted(log.start[place], applied)
            _applied(log, place, history, applied, gaps, log.start[place], settled=complete)
        for period in log.periods:
            history = histories.get(period.conversation) or _deleted(period.start, period.applied)
            _applied(
                log, period.conversation, history, period.applied, period.gaps, period.start, settled=False
            )
        _positions(log, histories)
        _memberships(log, books.get(log.user, {}))


def _merged(books: Mapping[str, Book]) -> dict[str, History]:
    """Return the longest history of each conversation; later members of a room can see less."""
    histories: dict[str, History] = {}
    for user, book in books.items():
        for conversation, history in book.items():
            _dense(conversation, history)
            known = histories.get(conversation, history)
            longer, shorter = sorted((known, history), key=lambda each: each.first_seq)
            histories[conversation] = longer
            ours = longer.messages[len(longer.messages) - len(shorter.messages) :]
            if not all(map(shorter.agrees, ours, shorter.messages)):
                raise BrokenPromiseError(f"{user} receives another history of {conversation}")
    return histories


def _dense(conversation: str, history: History) -> None:
    seqs = [item.seq for item in history.messages]
    if seqs != list(range(history.first_seq, history.last_seq + 1)):
        raise BrokenPromiseError(
            f"{conversation}: seqs {seqs[:3]}..{seqs[-3:]} ({len(seqs)}) are not dense from "
            f"{history.first_seq} to {history.last_seq}"
        )
    times = [item.time for item in history.messages]
    if times != sorted(times):
        raise BrokenPromiseError(f"{conversation}: the time goes back")


def _deleted(start: int, applied: Sequence[Applied]) -> History:
    """Return the history of a room that was deleted: what a device has received of it."""
    fields = Applied.__struct_fields__
    messages = [HistoryItem(*(getattr(each, field) for field in fields)) for each in applied]
    return History("#deleted", start + 1, max((each.seq for each in messages), default=0), messages)


def _refused(log: DeviceLog, seen: AbstractSet[tuple[str, str]]) -> None:
    """Check that nobody received a refused message, and that no message has two answers."""
    for message_id, code in log.nacked.items():
        if (log.user, message_id) in seen:
            raise BrokenPromiseError(f"{log.user}: {message_id} was refused as {code}, and was received")
        if message_id in log.acked:
            raise BrokenPromiseError(f"{log.user}: {message_id} was stored, and refused as {code}")


def _sent(
    log: DeviceLog, histories: Mapping[str, History], places: Mapping[tuple[str, str], list[_Place]]
) -> None:
    """Check that acked messages exist once, nacked ones never, others at most once, all in order."""
    last: dict[str, tuple[tuple[int, int], str]] = {}
    for sent in log.sent:
        found = places.get((log.user, sent.id), [])
        ack = log.acked.get(sent.id)
        if sent.id in log.nacked and found:
            raise BrokenPromiseError(f"{sent} was refused, and is stored: {found[0]}")
        if len(found) > 1:
            raise BrokenPromiseError(f"{sent} is stored {len(found)} times: {found[0]} and {found[1]}")
        if ack is not None and not found:
            history = histories.get(ack.conversation)
            if history is None and not sent.to.startswith("#"):
                raise BrokenPromiseError(f"{sent} was acknowledged ({ack}) in no conversation")
            if history is not None and ack.seq >= history.first_seq:
                raise BrokenPromiseError(f"{sent} was acknowledged ({ack}), and is lost")
            at = _position(ack.conversation, ack.seq)  # pruned, or in a deleted room
        elif found:
            place = found[0]
            seq = place.message.seq
            at = _position(place.conversation, seq)
            if ack is not None and (place.conversation, seq, place.message.time) != (
                ack.conversation,
                ack.seq,
                ack.time,
            ):
                raise BrokenPromiseError(f"{sent} was acknowledged as {ack}, and is {place}")
            _same(sent, place)
        else:
            continue
        before, before_id = last.get(sent.to, ((0, 0), ""))
        if at <= before:
            raise BrokenPromiseError(f"{sent} at {at} was sent after {before_id}, which is at {before}")
        last[sent.to] = at, sent.id


def _position(conversation: str, seq: int) -> tuple[int, int]:
    """Return a place that can be compared over the conversations that a name had one after another."""
    return int(conversation.removeprefix("c")), seq


def _same(sent: Sent, place: _Place) -> None:
    item = place.message
    if (item.kind, item.target, item.removed) != (sent.kind, sent.target, sent.removed):
        raise BrokenPromiseError(f"{sent} is something else: {place}")
    if sent.kind in ("chat", "react") and not item.changed and item.body != sent.body:
        raise BrokenPromiseError(f"{sent} has another text: {place}")


def _started(log: DeviceLog, book: Book) -> None:
    """Check that a device without a position starts at the user's read position, or before it."""
    for conversation, start in log.start.items():
        if conversation in book and start > book[conversation].read:
            raise BrokenPromiseError(
                f"{log.user} begins {conversation} at {start}, has read {book[conversation].read}"
            )


def _events(conversation: str, history: History, texts: Mapping[tuple[str, str], str]) -> None:
    """Check that each message is as its events left it."""
    edited: dict[int, HistoryItem] = {}
    redacted: set[int] = set()
    reacted: defaultdict[int, dict[tuple[str, str], bool]] = defaultdict(dict)
    for item in history.messages:
        match item.kind:
            case "edit":
                edited[item.target] = item
            case "redact":
                redacted.add(item.target)
            case "react":
                reacted[item.target][item.sender, item.body] = not item.removed
    for item in history.messages:
        if item.kind != "chat":
            continue
        expected = item.body
        reactions = [text for (_, text), present in reacted[item.seq].items() if present]
        if item.seq in redacted:
            expected, reactions = "", []
        elif item.seq in edited:
            edit = edited[item.seq]
            expected = texts.get((edit.sender, edit.id), item.body)
        changed = item.seq in edited or item.seq in redacted
        if (item.changed, item.body, item.reactions) != (changed, expected, Counter(reactions)):
            raise BrokenPromiseError(f"{conversation}/{item}, {item.reactions}: not as its events say")


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
    """Check that a device applied the history in order, and all of it but for its gaps."""
    stored = {item.seq: item for item in history.messages}
    seqs = [message.seq for message in applied]
    if seqs != sorted(set(seqs)):
        raise BrokenPromiseError(f"{log.user} applied {conversation} not once and in order: {seqs}")
    for message in applied:
        item = stored.get(message.seq)
        if item is None and message.seq >= history.first_seq:
            raise BrokenPromiseError(f"{log.user} has {conversation}/{message}, which is not stored")
        if item is None:
            continue
        # A device that vanished might have missed a change of the text.
        texts = item.kind == "chat" and (settled or not item.changed)
        if item.lasting != message.lasting or (texts and item.body != message.body):
            raise BrokenPromiseError(f"{log.user} has {message} in {conversation}, which is {item}")
    for _, high, reason in gaps:
        seen_by_all = settled or not history.name.startswith("#")
        if seen_by_all and reason == "pruned" and high >= history.first_seq:
            raise BrokenPromiseError(f"{log.user} got a `pruned` gap of {conversation} up to {high}")
    known = {*seqs, *_gap_seqs(gaps)}
    last = history.last_seq if settled else max(known, default=0)
    missing = set(range(start + 1, last + 1)) - known
    if missing:
        raise BrokenPromiseError(f"{log.user} never received {conversation}/{sorted(missing)}")


def _gap_seqs(gaps: Iterable[Gap]) -> Iterable[int]:
    for low, high, reason in gaps:
        if reason != "ahead":
            yield from range(low, high + 1)


def _memberships(log: DeviceLog, book: Book) -> None:
    names = {history.name for history in book.values()}
    for room, is_in in log.memberships.items():
        if (room in names) != is_in:
            raise BrokenPromiseError(f"{log.user} is in {sorted(names)}; the device has {room}: {is_in}")


def _positions(log: DeviceLog, histories: Mapping[str, History]) -> None:
    for conversation, seq in (*log.delivered.items(), *log.received.items()):
        history = histories.get(conversation)  # None if the room was deleted
        if history is not None and seq > history.last_seq:
            raise BrokenPromiseError(f"{log.user}: position {seq} of {conversation} is past its end")
