"""Positions that wait until messages are shown again."""

from qscp.frames import ClientFrame, ClientRead, Received, SendChat
from qscp_client.core.changes import Forgotten, Moved, Removed, Renewed, Reported
from qscp_client.core.withheld import Withheld


def test_only_the_newest_position_waits() -> None:
    """The newest position of a conversation comes before what is new; other frames don't wait."""
    withheld = Withheld()
    message = SendChat("bob", "hello", "0" * 32)
    taken: list[ClientFrame] = [
        Received("c1", 1),
        message,
        ClientRead("c1", 1),
        Received("c1", 2),
        Received("c2", 7),
    ]
    assert withheld.frames(taken, is_shown=False) == [message]
    later: list[ClientFrame] = [ClientRead("c2", 7)]
    expected = [Received("c1", 2), ClientRead("c1", 1), Received("c2", 7), *later]
    assert withheld.frames(later, is_shown=True) == expected
    assert withheld.frames([], is_shown=True) == []


def test_positions_are_saved_once_they_are_shown() -> None:
    """Positions wait, and other changes don't."""
    withheld = Withheld()
    moves = [Moved("c1", "bob", 3), Reported("c1", 3)]
    assert withheld.changes([*moves, Removed("x")], is_shown=False) == [Removed("x")]
    assert withheld.changes([Removed("y")], is_shown=True) == [*moves, Removed("y")]


def test_a_conversation_that_is_left_has_no_position_any_more() -> None:
    """What waits for a room that was left is neither saved nor sent."""
    withheld = Withheld()
    withheld.frames([ClientRead("c1", 3), ClientRead("c2", 3)], is_shown=False)
    withheld.changes([Moved("c1", "#dev", 3), Moved("c2", "bob", 3)], is_shown=False)
    assert withheld.changes([Forgotten("c1")], is_shown=False) == [Forgotten("c1")]
    assert withheld.changes([], is_shown=True) == [Moved("c2", "bob", 3)]
    assert withheld.frames([], is_shown=True) == [ClientRead("c2", 3)]


def test_another_history_or_connection_takes_no_old_position() -> None:
    """Nothing that waits outlives its history, and no frame its connection."""
    withheld = Withheld()
    withheld.frames([ClientRead("c1", 3)], is_shown=False)
    withheld.disconnected()
    assert withheld.frames([], is_shown=True) == []
    renewed = Renewed("epoch", "a1")
    assert withheld.changes([Moved("c1", "bob", 3), renewed], is_shown=False) == [renewed]
    assert withheld.changes([], is_shown=True) == []
