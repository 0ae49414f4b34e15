"""Pages of history: the next request, and when the messages are shown."""

import msgspec

from qscp import frames
from tests.support.engine_harness import EngineHarness, in_room, info, ready, room_message, shown_texts


def page(*seqs: int, cursor: int | None = None) -> frames.History:
    """Return a page of bob's messages in #dev."""
    messages = [frames.Message(seq, f"{seq:032x}", "bob", f"m{seq}", 1000 + seq) for seq in seqs]
    return frames.History(conversation="c-#dev", messages=messages, first_seq=1, last_seq=600, cursor=cursor)


def test_a_page_without_messages_is_not_the_end() -> None:
    """An empty page with a cursor requests the next page, until there are enough messages."""
    harness = in_room(last_seq=600)
    harness.enter("/history 2")
    assert harness.frames() == [frames.HistoryRequest("c-#dev", limit=2)]
    assert harness.receive(page(cursor=400)) == []
    assert harness.frames() == [frames.HistoryRequest("c-#dev", before=400, limit=2)]
    assert harness.receive(page(300, cursor=200)) == []
    assert harness.frames() == [frames.HistoryRequest("c-#dev", before=200, limit=1)]
    assert shown_texts(harness.receive(page(7, cursor=5)))[1:] == [
        "(7) bob: m7",
        "(300) bob: m300",
        "(/history shows more)",
    ]
    harness.enter("/history 2")
    assert harness.frames() == [frames.HistoryRequest("c-#dev", before=5, limit=2)]
    assert shown_texts(harness.receive(page())) == ["No older messages in #dev."]


DAMAGED = (frames.HistoryGap(5, 7, "damaged"),)
NOTE = "3 messages in this chat are damaged on the server and can't be shown."


def with_gaps(page: frames.History, gaps: tuple[frames.HistoryGap, ...]) -> frames.History:
    """Return a page with gaps."""
    return msgspec.structs.replace(page, gaps=gaps)


def test_damaged_messages_are_noted_in_their_place() -> None:
    """Gaps of all pages of an answer are shown among its messages; a page of nothing else is one too."""
    harness = in_room(last_seq=9)
    harness.enter("/history 3")
    harness.receive(with_gaps(page(8, 9, cursor=5), DAMAGED))
    last = with_gaps(page(3), (frames.HistoryGap(4, 4, "damaged"), frames.HistoryGap(2, 1, "damaged")))
    assert shown_texts(harness.receive(last))[1:-1] == [
        "(3) bob: m3",
        "1 message in this chat is damaged on the server and can't be shown.",
        NOTE,
        "(8) bob: m8",
        "(9) bob: m9",
    ]
    harness.enter("/history 2")
    only = with_gaps(page(), (frames.HistoryGap(1, 2, "damaged"),))
    assert len(shown_texts(harness.receive(only))) == 3
    harness.enter("/last 2")
    assert NOTE in shown_texts(harness.receive(with_gaps(page(9), DAMAGED)))


def test_a_repeated_cursor_ends_the_request() -> None:
    """A repeated cursor ends the request, so that it can't loop."""
    harness = in_room(last_seq=9)
    harness.enter("/history 2")
    harness.receive(page(cursor=5))
    harness.receive(page(cursor=5))
    assert len(harness.frames()) == 2
    assert not harness.engine.busy


def test_last_skips_amendments() -> None:
    """/last requests pages until it has enough messages."""
    harness = in_room(last_seq=50)
    harness.enter("/last 2")
    harness.receive(page(40, cursor=30))
    assert harness.frames() == [
        frames.HistoryRequest("c-#dev", limit=2),
        frames.HistoryRequest("c-#dev", before=30, limit=1),
    ]
    assert shown_texts(harness.receive(page(3, cursor=2)))[1:3] == ["(3) bob: m3", "(40) bob: m40"]


def test_unread_messages_before_many_amendments_are_shown() -> None:
    """Unread messages are requested page by page, and read only when they are shown."""
    harness = EngineHarness()
    harness.connect("bob", infos=[info("#dev", 600, read=1, unread=2, mentions=1)])
    harness.receive(frames.Resumed())
    harness.enter("#dev")
    harness.receive(frames.Rooms([]))
    harness.receive(page(cursor=400))
    assert harness.engine.rooms[0].unread == 2
    assert harness.wait(0.3) == []
    harness.receive(page(cursor=200))
    shown = harness.receive(page(1, 3, 5, cursor=1))
    assert shown_texts(shown) == ["(3) bob: m3", "(5) bob: m5"]
    assert harness.engine.rooms[0].unread == 0


def test_missing_unread_messages_are_reported() -> None:
    """If the connection is lost, missing unread messages are reported before newer ones."""
    harness = ready("bob")
    harness.receive(frames.Conversations([info("#dev", 600, read=1, unread=2)]))
    harness.enter("#dev")
    harness.receive(frames.Rooms([]))
    harness.receive(room_message(601, "new"))
    harness.engine.disconnected()
    shown = shown_texts(harness.engine.events_to_show())
    assert "599 earlier unread messages; /history shows them." in shown
    assert shown[-1] == "(601) bob: new"
