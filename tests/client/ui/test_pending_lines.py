"""Your own lines, drawn below the conversation until they are printed."""

from qscp_client.core import events
from qscp_client.core.events import Event, LineState, Place
from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.core.outbox import EntryKind, Failure
from qscp_client.ui.pending_lines import PendingLines


def sent(number: int, to: str = "bob") -> events.MessageSent:
    """Return an own line that was just typed."""
    return events.MessageSent(str(number), to, f"text {number}")


def placed(
    number: int,
    *,
    place: Place = Place.THIS_CHAT,
    here: bool = True,
    state: LineState = LineState.STORED,
    dated: bool = False,
) -> events.OwnMessage:
    """Return an own line that is stored."""
    return events.OwnMessage(
        str(number), "bob", f"text {number}", 1000, state, here, place, dated=dated, seq=number
    )


def delivered(*numbers: int, is_partner: bool = True) -> events.Delivered:
    """Return the delivery of own lines."""
    lines = tuple((str(number), f"text {number}") for number in numbers)
    return events.Delivered("bob", lines, LineState.DELIVERED, is_partner)


def marks(pending: PendingLines) -> list[str]:
    """Return text and state of the lines drawn with the prompt."""
    return [f"{line.text} {line.mark.split()[-1]}" for line in pending.lines("bob")[0]]


def make(*happened: Event, fits: bool = True) -> tuple[PendingLines, list[Event]]:
    """Return pending lines after some events, and the events printed."""
    pending = PendingLines("alice", lambda _: fits)
    return pending, [printed for event in happened for printed in pending.apply(event)]


def test_a_line_changes_in_place_until_another_follows() -> None:
    """A line changes in place until another follows; later changes have their own line."""
    pending, printed = make(sent(1), sent(2), placed(1))
    assert (printed, marks(pending)) == ([], ["text 1 stored", "text 2 pending"])
    assert pending.apply(delivered(1)) == []
    assert marks(pending) == ["text 1 delivered", "text 2 pending"]
    other = Notice(NoticeCode.RECONNECTED)
    assert pending.apply(other) == [placed(1, state=LineState.DELIVERED), other]
    assert marks(pending) == ["text 2 pending"]
    assert pending.apply(placed(2)) == []
    assert pending.apply(other) == [placed(2), other]
    assert pending.apply(delivered(2)) == [delivered(2)]


def test_lines_outside_this_chat_are_printed_at_once() -> None:
    """Lines of other chats, old ones, and those too long for a row are printed at once."""
    for event in (placed(1, place=Place.PICKER), placed(1, here=False, dated=True)):
        assert make(sent(1), event)[1] == [event]
    assert make(sent(1), placed(1), fits=False)[1] == [placed(1)]


def test_a_line_that_comes_from_another_device_changes_in_place() -> None:
    """A line from another device changes in place too."""
    pending, printed = make(placed(1, here=False), delivered(1))
    assert (printed, marks(pending)) == ([], ["text 1 delivered"])


def test_many_lines_take_few_rows() -> None:
    """Of many lines, the oldest stored ones are printed, and some pending ones only counted."""
    pending, printed = make(*map(sent, range(10)), *map(placed, range(4)))
    assert printed == [placed(0)]
    lines, more = pending.lines("bob")
    assert (len(lines), more) == (7, 2)
    assert pending.lines("carol")[1] == 0


def test_failed_and_discarded_lines_are_removed() -> None:
    """A failed or discarded line is removed, and the failure is printed."""
    failed = events.MessageFailed("bob", "text 1", Failure("muted"), "1")
    pending, printed = make(sent(1), sent(2), failed, events.MessagesDiscarded(("2",)))
    assert (printed, marks(pending)) == ([failed], [])


def test_delivery_in_a_chat_that_is_not_open_is_silent() -> None:
    """Delivery in a chat that is not open prints nothing."""
    assert make(delivered(1, is_partner=False))[1] == []


def test_a_redacted_line_is_printed_without_its_text() -> None:
    """A message that is redacted while it is drawn with the prompt is printed as erased."""
    pending, printed = make(placed(1), placed(2))
    assert printed == []
    reference = events.Reference(1, "alice", "", 1000, numbered=False)
    redacted = events.Amended("9", "bob", "alice", EntryKind.REDACT, reference, "", 1000, Place.THIS_CHAT)
    first, second, last = pending.apply(redacted)
    assert isinstance(first, events.OwnMessage)
    assert (first.body, first.erased) == ("", True)
    assert (second, last) == (placed(2), redacted)
