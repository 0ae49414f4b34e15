"""Pages of history: what is asked next, and what is shown when."""

from qscp import frames
from tests.support.engine_harness import Mind, in_room, info, ready, said, told


def page(*seqs: int, cursor: int | None = None) -> frames.History:
    """A page of messages of bob's in #dev."""
    messages = [frames.Message(seq, f"{seq:032x}", "bob", f"m{seq}", 1000 + seq) for seq in seqs]
    return frames.History(conversation="c-#dev", messages=messages, first_seq=1, cursor=cursor)


def test_a_page_without_messages_is_not_the_end() -> None:
    """There may be nothing but edits and reactions in it: the cursor says where to go on."""
    mind = in_room(last_seq=600)
    mind.enter("/history 2")
    assert mind.frames() == [frames.HistoryRequest("c-#dev", limit=2)]
    assert mind.receive(page(cursor=400)) == []
    assert mind.frames() == [frames.HistoryRequest("c-#dev", before=400, limit=2)]
    assert mind.receive(page(300, cursor=200)) == []
    assert mind.frames() == [frames.HistoryRequest("c-#dev", before=200, limit=1)]
    assert told(mind.receive(page(7, cursor=5)))[1:] == [
        "(7) bob: m7",
        "(300) bob: m300",
        "End of the older messages; /history shows more.",
    ]
    mind.enter("/history 2")
    assert mind.frames() == [frames.HistoryRequest("c-#dev", before=5, limit=2)]
    assert told(mind.receive(page())) == ["There are no older messages in #dev."]


def test_a_cursor_that_goes_nowhere_ends_it() -> None:
    """A server that says the same for ever is not asked for ever."""
    mind = in_room(last_seq=9)
    mind.enter("/history 2")
    mind.receive(page(cursor=5))
    mind.receive(page(cursor=5))
    assert len(mind.frames()) == 2
    assert not mind.engine.busy


def test_the_last_messages_are_looked_for_behind_events() -> None:
    """As many as were asked for."""
    mind = in_room(last_seq=50)
    mind.enter("/last 2")
    mind.receive(page(40, cursor=30))
    assert mind.frames() == [
        frames.HistoryRequest("c-#dev", limit=2),
        frames.HistoryRequest("c-#dev", before=30, limit=1),
    ]
    assert told(mind.receive(page(3, cursor=2)))[1:3] == ["(3) bob: m3", "(40) bob: m40"]


def test_unread_messages_behind_many_events_are_shown() -> None:
    """What was not shown is not read."""
    mind = Mind()
    mind.connect("bob", infos=[info("#dev", 600, read=1, unread=2, mentions=1)])
    mind.receive(frames.Resumed())
    mind.enter("#dev")
    mind.receive(frames.Rooms([]))
    mind.receive(page(cursor=400))
    assert mind.engine.rooms[0].unread == 2
    assert mind.wait(0.3) == []
    mind.receive(page(cursor=200))
    shown = mind.receive(page(1, 3, 5, cursor=1))
    assert told(shown) == ["(3) bob: m3", "(5) bob: m5"]
    assert mind.engine.rooms[0].unread == 0


def test_unread_messages_that_never_come_are_told() -> None:
    """When the connection is lost before, what came meanwhile must not hide them."""
    mind = ready("bob")
    mind.receive(frames.Conversations([info("#dev", 600, read=1, unread=2)]))
    mind.enter("#dev")
    mind.receive(frames.Rooms([]))
    mind.receive(said(601, "new"))
    mind.engine.lost()
    shown = told(mind.engine.events_to_show())
    assert "599 older messages in #dev are not on this device: /history" in shown
    assert shown[-1] == "(601) bob: new"
