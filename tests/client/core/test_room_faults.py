"""Room events that arrive before the replay has ended."""

from qscp import frames
from qscp_client.core.changes import Forgotten, Moved
from tests.support.engine_harness import ack, in_room, room, room_changed, room_message, welcome


def test_an_ack_before_the_room_is_left_moves_nothing() -> None:
    """After leaving before `resumed`, an ack saves no position; a later join starts anew."""
    harness = in_room()
    harness.receive(room_message(1))
    harness.enter("mine")
    harness.engine.disconnected()
    harness.receive(welcome())
    harness.receive(ack(1, 2, to="#dev"))
    harness.receive(frames.RoomLeft("c-#dev", "#dev", "left"))
    harness.receive(frames.Resumed())
    changes = harness.engine.changes_to_save()
    assert changes.index(Forgotten("c-#dev")) > max(
        (n for n, each in enumerate(changes) if isinstance(each, Moved) and each.conversation == "c-#dev"),
        default=-1,
    )
    harness.receive(room_changed(room(), last_seq=9))
    assert Moved("c-#dev", "#dev", 9) in harness.engine.changes_to_save()
