"""Positions, gaps, unread messages and history."""

from qscp import frames
from qscp_client.core import events
from qscp_client.core.changes import Moved, Renewed, Saved, SavedPosition
from qscp_client.core.events import LineState
from qscp_client.core.notices import Notice, Problem
from qscp_client.ui.render_notices import describe_notice
from tests.support.engine_harness import EngineHarness, ack, chat, info, ready, user, welcome


def bodies(shown: list[events.Event]) -> list[str]:
    """Return the texts of shown messages."""
    return [each.body for each in shown if isinstance(each, events.MessageReceived | events.OwnMessage)]


def notices(shown: list[events.Event]) -> list[str]:
    """Return the texts of shown notices."""
    return [describe_notice(each) for each in shown if isinstance(each, Notice)]


def saved(seq: int = 3, epoch: str = "e1") -> Saved:
    """Return the saved state of a device that has applied some of bob's conversation."""
    return Saved(epoch, "a1", (SavedPosition("c-bob", "bob", seq, seq),))


def test_positions_are_sent_in_pages() -> None:
    """`resume` has at most 500 positions in a frame."""
    positions = tuple(SavedPosition(f"c{n}", f"user{n}", n + 1, n + 1) for n in range(501))
    harness = EngineHarness(Saved("e1", "a1", positions))
    harness.engine.connected(welcome())
    resumes = [frame for frame in harness.frames() if isinstance(frame, frames.Resume)]
    assert [(len(each.positions), each.more) for each in resumes] == [(500, True), (1, False)]


def test_another_epoch_forgets_positions() -> None:
    """Another epoch or account forgets all positions, and a notice says so."""
    for ack_frame in (welcome(epoch="e2"), welcome(account="a2")):
        harness = EngineHarness(saved())
        harness.engine.connected(ack_frame)
        assert harness.frames()[0] == frames.Resume([])
        assert Renewed(ack_frame.epoch, ack_frame.account) in harness.engine.changes_to_save()
        assert "another history than before" in notices(harness.engine.events_to_show())[0]


def test_a_message_is_applied_once() -> None:
    """A message is applied once, whether it is received live, replayed or both."""
    harness = EngineHarness(saved(3), shows_at_once=True)
    harness.connect("bob")
    shown = harness.receive(
        chat(3), chat(4, "four"), chat(4, "four", origin="replay"), frames.Resumed(), chat(4)
    )
    assert bodies(shown) == ["four"]
    moved = [each for each in harness.engine.changes_to_save() if isinstance(each, Moved)]
    assert moved == [Moved("c-bob", "bob", 4)]


def test_an_ack_before_resumed_waits_for_the_replay() -> None:
    """An ack before `resumed` waits: the line is shown after the replayed messages."""
    harness = EngineHarness(saved(3), shows_at_once=True)
    harness.connect("bob")
    harness.enter("bob", "mine")
    early = harness.receive(ack(1, 6))
    replayed = harness.receive(chat(4, "four", origin="replay"), chat(5, "five", origin="replay"))
    shown = harness.receive(frames.Resumed())
    assert (bodies(early), bodies(replayed), bodies(shown)) == ([], ["four", "five"], ["mine"])
    assert [each for each in harness.engine.changes_to_save() if isinstance(each, Moved)][-1].seq == 6


def test_gaps_are_shown_in_the_conversation() -> None:
    """Gaps are shown in the chat, before the messages that follow."""
    harness = EngineHarness(saved(3))
    harness.connect(infos=[info("bob", 11, read=3, unread=4)])
    shown = harness.receive(
        frames.Gap("c-bob", 4, 6, "pruned"),
        frames.Gap("c-bob", 7, 7, "older"),
        *(chat(seq, str(seq), origin="replay") for seq in range(8, 12)),
        frames.Resumed(),
    )
    assert shown == []
    assert harness.engine.unread == {"bob": 4}
    shown = harness.enter("bob")
    assert notices(shown) == [
        "3 older messages with bob were removed by the server.",
        "1 earlier unread message; /history shows it.",
    ]
    assert bodies(shown) == ["8", "9", "10", "11"]
    assert frames.ClientRead("c-bob", 11) in harness.wait(0.3)
    assert harness.engine.unread == {}


def test_a_damaged_gap_moves_the_position_and_counts_no_unread_message() -> None:
    """Damaged messages are noted in the chat, and are not among those that the server counts."""
    harness = EngineHarness(saved(3))
    harness.connect(infos=[info("bob", 8, read=3, unread=2)])
    harness.receive(
        frames.Gap("c-bob", 4, 6, "damaged"),
        *(chat(seq, str(seq), origin="replay") for seq in (7, 8)),
        frames.Resumed(),
    )
    assert harness.engine.unread == {"bob": 2}
    shown = harness.enter("bob")
    assert notices(shown) == ["3 messages in this chat are damaged on the server and can't be shown."]
    assert bodies(shown) == ["7", "8"]
    assert harness.engine.unread == {}
    assert Moved("c-bob", "bob", 8) in harness.engine.changes_to_save()
    assert notices(harness.receive(frames.Gap("c-bob", 9, 9, "dissolved"))) == [
        "1 earlier unread message; /history shows it."
    ]


def test_a_position_that_is_ahead_goes_back() -> None:
    """A position ahead of a restored server goes back, and later messages are shown."""
    harness = EngineHarness(saved(9))
    harness.connect("bob")
    harness.receive(frames.Gap("c-bob", 4, 9, "ahead"), frames.Resumed())
    assert Moved("c-bob", "bob", 3) in harness.engine.changes_to_save()
    harness.enter("bob")
    assert bodies(harness.receive(chat(4, "new"))) == ["new"]


def test_messages_read_elsewhere_are_not_unread() -> None:
    """Messages read on another device are not unread, and are still shown in the chat."""
    harness = ready("bob", "carol")
    harness.receive(*(chat(seq) for seq in (1, 2, 3)))
    assert harness.engine.unread == {"bob": 3}
    harness.receive(frames.ServerRead("c-bob", "alice", 2))
    assert harness.engine.unread == {"bob": 1}
    harness.receive(frames.Conversations([info("bob", 3, read=3)]))
    assert harness.engine.unread == {}
    assert len(bodies(harness.enter("bob"))) == 3


def test_unread_messages_of_an_earlier_run_are_requested() -> None:
    """Unread messages of an earlier run are requested; newer ones wait, missing ones are counted."""
    harness = EngineHarness(saved(5))
    harness.connect(infos=[info("bob", 5, read=2, unread=3)])
    harness.receive(frames.Resumed())
    harness.frames()
    harness.enter("bob")
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=3)]
    assert harness.receive(chat(6, "six")) == []
    page = [frames.Message(seq, f"{seq:032x}", "bob", str(seq), 1000 + seq) for seq in (4, 5)]
    assert (
        harness.receive(
            frames.History(conversation="c-bob", messages=page, first_seq=1, last_seq=9, cursor=4)
        )
        == []
    )
    assert harness.frames() == [frames.HistoryRequest("c-bob", before=4, limit=1)]
    shown = harness.receive(frames.Error("internal", "Something went wrong.", "history"))
    assert notices(shown) == [
        "Something went wrong.",
        "1 earlier unread message; /history shows it.",
    ]
    assert bodies(shown) == ["4", "5", "six"]
    assert harness.engine.unread == {}


def test_history_goes_back_page_by_page() -> None:
    """/history continues from the oldest message shown."""
    harness = EngineHarness()
    harness.connect(infos=[info("bob", 8, read=8)])
    harness.receive(frames.Resumed(), chat(9, "nine"))
    harness.enter("bob")
    harness.frames()
    harness.enter("/history 2")
    assert harness.frames() == [frames.HistoryRequest("c-bob", before=9, limit=2)]
    assert harness.engine.busy
    page = [frames.Message(7, "7", "bob", "seven", 1), frames.Message(8, "8", "alice", "eight", 2)]
    shown = harness.receive(
        frames.History(conversation="c-bob", messages=page, first_seq=1, last_seq=9, cursor=7)
    )
    assert bodies(shown) == ["seven", "eight"]
    harness.enter("/history")
    assert harness.frames() == [frames.HistoryRequest("c-bob", before=7, limit=20)]
    shown = harness.receive(frames.History(conversation="c-bob", messages=[], first_seq=7, last_seq=9))
    assert notices(shown) == ["No older messages with bob."]
    assert not harness.engine.busy


def test_two_history_requests_go_back_twice() -> None:
    """A second /history waits for the first one's answer, and continues from there."""
    harness = EngineHarness()
    harness.connect(infos=[info("bob", 9, read=9)])
    harness.receive(frames.Resumed())
    harness.enter("bob")
    harness.frames()
    harness.enter("/history 2", "/history 1")
    assert harness.frames() == [frames.HistoryRequest("c-bob", limit=2)]
    page = [frames.Message(8, "8", "bob", "eight", 1), frames.Message(9, "9", "bob", "nine", 2)]
    harness.receive(frames.History(conversation="c-bob", messages=page, first_seq=1, last_seq=9, cursor=8))
    assert harness.frames() == [frames.HistoryRequest("c-bob", before=8, limit=1)]
    assert harness.engine.busy
    page = [frames.Message(7, "7", "bob", "seven", 1)]
    shown = harness.receive(
        frames.History(conversation="c-bob", messages=page, first_seq=1, last_seq=9, cursor=7)
    )
    assert bodies(shown) == ["seven"]
    assert not harness.engine.busy


def test_delivery_of_another_devices_line_is_shown() -> None:
    """Delivery of a line from another device is shown, but only in its chat."""
    harness = ready("bob", chat_with="bob")
    harness.receive(
        chat(1, "elsewhere", sender="alice", to="bob"), chat(1, "away", sender="alice", to="carol")
    )
    assert harness.receive(frames.Delivered("c-carol", 1)) == []
    [shown] = harness.receive(frames.Delivered("c-bob", 1))
    assert isinstance(shown, events.Delivered)
    assert shown.messages == ((f"{1:032x}", "elsewhere"),)


def test_requests_end_with_the_connection() -> None:
    """A lost connection ends requests with a notice; offline they are refused."""
    harness = ready("bob", chat_with="bob")
    harness.enter("/search tea")
    harness.engine.disconnected()
    assert not harness.engine.busy
    assert "ask again" in notices(harness.engine.events_to_show())[0]
    [problem] = harness.enter("/search tea")
    assert isinstance(problem, Problem)


def test_delivery_is_shown_once() -> None:
    """Delivery of a line is shown once, however often the server reports it."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two")
    harness.receive(ack(1, 1), ack(2, 2))
    [shown] = harness.receive(frames.Delivered("c-bob", 1), frames.Delivered("c-bob", 1))
    assert shown == events.Delivered("bob", ((f"{1:032x}", "one"),), LineState.DELIVERED, is_partner=True)
    read = harness.receive(frames.ServerRead("c-bob", "bob", 2))
    assert [each.state for each in read if isinstance(each, events.Delivered)] == [LineState.READ]


def test_receipts_are_sent_again_after_a_lost_connection() -> None:
    """Receipts are repeated after a reconnect if the server lacks them."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1))
    assert harness.wait(0.1) == []
    shown: list[frames.ClientFrame] = [frames.Received("c-bob", 1), frames.ClientRead("c-bob", 1)]
    assert harness.wait(0.2) == shown
    harness.engine.disconnected()
    harness.engine.connected(welcome())
    harness.receive(frames.OnlineUsers(1, [user("bob")]), frames.Conversations([info("bob", 1, read=0)]))
    assert harness.wait(0.3) == shown


def test_an_erased_message_is_marked() -> None:
    """An erased message is shown with a mark in place of its text."""
    harness = ready("bob", chat_with="bob")
    [shown] = harness.receive(chat(1, "", erased=True))
    assert isinstance(shown, events.MessageReceived)
    assert shown.erased


def test_messages_that_come_late_ring_and_come_before_the_own_one() -> None:
    """While the server lets us catch up, an ack with `repeated` shows the own message once, at its place."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1, "one"))
    harness.enter("mine")
    early = harness.receive(ack(1, 4, repeated=True))
    own = chat(4, "mine", sender="alice", to="bob", message_id=f"{1:032x}")
    shown = harness.receive(chat(2, "two"), chat(3, "three"), own, chat(5, "five"))
    assert (bodies(early), bodies(shown)) == ([], ["two", "three", "mine", "five"])
    assert all(not each.dated for each in shown if isinstance(each, events.MessageReceived))
    (mine,) = [each for each in shown if isinstance(each, events.OwnMessage)]
    assert mine.here
    assert harness.engine.pending == 0


def test_messages_that_come_late_are_unread() -> None:
    """Messages that come late in a chat that is not open are announced, and unread."""
    harness = ready("bob", "carol", chat_with="carol")
    shown = harness.receive(*(chat(seq, str(seq)) for seq in range(1, 4)))
    assert bodies(shown) == ["1", "2", "3"]
    assert harness.engine.unread == {"bob": 3}


def test_an_ack_of_what_was_applied_is_shown_at_once() -> None:
    """An ack with `repeated` of a message that another connection has brought needs no further message."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1), chat(2))
    harness.enter("mine")
    assert bodies(harness.receive(ack(1, 2, repeated=True))) == ["mine"]
