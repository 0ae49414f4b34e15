"""Lines of own messages that are stored, and lose their place: each is shown as stored once."""

import pytest

from qscp import frames
from qscp_client.core import events
from qscp_client.core.changes import Moved, Saved
from qscp_client.core.outbox import Entry, EntryKind
from tests.support.engine_harness import (
    WALL_MS,
    EngineHarness,
    ack,
    in_room,
    info,
    room,
    room_message,
    shown_texts,
    welcome,
)

LEFT = frames.RoomLeft("c-#dev", "#dev", "left")


def stored(shown: list[events.Event]) -> list[str]:
    """Return the ids of what was shown as stored."""
    own = [each for each in shown if isinstance(each, events.OwnMessage | events.Amended)]
    return [each.id for each in own if each.here]


def number(message: int) -> str:
    """Return the id of the message with a number."""
    return f"{message:032x}"


def catching_up() -> EngineHarness:
    """Return alice's client in #dev, about to catch up; two things that she typed are acknowledged."""
    harness = in_room()
    harness.receive(room_message(1))
    harness.engine.disconnected()
    harness.enter("mine", "/react 1 +1")
    harness.engine.connected(welcome())
    shown = harness.receive(frames.OnlineUsers(1, []), ack(1, 4, to="#dev"), ack(2, 5, to="#dev"))
    assert stored(shown) == []
    return harness


def unread() -> EngineHarness:
    """Return alice's client in #dev, where her message waits behind those that are requested."""
    harness = EngineHarness()
    harness.connect("bob", infos=[info("#dev", 9, unread=9)])
    harness.receive(frames.Resumed())
    harness.enter("#dev")
    harness.receive(frames.Rooms([room()]))
    harness.enter("mine")
    assert stored(harness.receive(ack(1, 10, to="#dev"))) == []
    return harness


@pytest.mark.parametrize("gone", [LEFT, frames.Conversations([])])
def test_acks_that_wait_when_the_room_goes(gone: frames.ServerFrame) -> None:
    """You leave a room before its replay is over, or left it elsewhere: what was acknowledged is stored."""
    harness = catching_up()
    shown = harness.receive(gone)
    assert stored(shown) == [number(1), number(2)]
    assert shown_texts(shown)[0] == "(4) alice: mine  \u2713 stored"
    assert isinstance(shown[-1], events.PickerOpened)
    assert stored(harness.receive(frames.Conversations([]), frames.Resumed())) == []
    assert harness.engine.rooms == ()


@pytest.mark.parametrize(
    ("gone", "closes"),
    [(LEFT, False), (LEFT, True), (frames.Gap("c-#dev", 1, 10, "ahead"), True)],
)
def test_a_message_that_waits_in_the_backlog_when_the_room_goes(
    gone: frames.ServerFrame, *, closes: bool
) -> None:
    """What waits for a page of history does not wait for ever, whether or not the room is still open."""
    harness = unread()
    if closes:
        harness.enter("back")
    assert stored(harness.receive(gone)) == [number(1)]
    assert stored(harness.receive(LEFT)) == []


def test_acks_that_wait_when_the_history_is_another() -> None:
    """What the server acknowledged before it was restored is shown as stored, before the notice."""
    harness = catching_up()
    harness.engine.disconnected()
    harness.engine.connected(welcome("e2"))
    shown = harness.engine.events_to_show()
    assert stored(shown) == [number(1), number(2)]
    assert shown_texts(shown)[-1].startswith("The server has another history")
    assert stored(harness.receive(frames.Resumed())) == []


@pytest.mark.parametrize("is_listed_first", [False, True])
def test_a_message_of_a_room_that_you_left_elsewhere(*, is_listed_first: bool) -> None:
    """Its ack was lost, and comes again when you are no member: it is stored, and you stay outside."""
    harness = in_room()
    harness.receive(room_message(1))
    harness.enter("mine")
    harness.engine.disconnected()
    harness.engine.connected(welcome())
    harness.engine.changes_to_save()
    repeated = ack(1, 2, to="#dev")
    repeated.repeated = True
    answers: list[frames.ServerFrame] = [frames.Gap("c-#dev", 1, 1, "ahead"), repeated]
    answers.insert(0 if is_listed_first else 2, frames.Conversations([]))
    shown = harness.receive(frames.OnlineUsers(1, []), *answers, frames.Resumed())
    assert stored(shown) == [number(1)]
    assert harness.engine.rooms == ()
    assert list(harness.engine._sync.conversations) == []
    if is_listed_first:
        assert not any(isinstance(each, Moved) for each in harness.engine.changes_to_save())


def test_an_amendment_that_the_page_of_history_has_applied() -> None:
    """A deletion typed before a restart waits for a page that has it already: its line is shown, too."""
    typed = Entry(number(1), "#dev", "", WALL_MS, kind=EntryKind.REDACT, target=9, conversation="c-#dev")
    harness = EngineHarness(Saved("e1", "a1", (), (typed,)))
    harness.connect("bob", infos=[info("#dev", 9, unread=9)])
    harness.receive(frames.Resumed())
    harness.enter("#dev")
    harness.receive(frames.Rooms([room()]))
    assert stored(harness.receive(ack(1, 10, to="#dev"))) == []
    message = frames.Message(9, number(9), "bob", "", 1009, erased=True)
    page = frames.History(conversation="c-#dev", messages=[message], first_seq=9, last_seq=10)
    shown = harness.receive(page)
    assert stored(shown) == [number(1)]
    assert len([each for each in shown if isinstance(each, events.Amended)]) == 1
