"""Delivery state of your own messages; each state is reported once."""

from hypothesis import given
from hypothesis import strategies as st

from qscp_client.core.delivery_state import CAPACITY, DeliveryTracker
from qscp_client.core.events import LineState
from tests.support.items import message

STEPS = st.lists(st.tuples(st.sampled_from(["track", "deliver", "mark_read"]), st.integers(1, 20)))


@given(STEPS)
def test_each_message_reaches_each_state_once(steps: list[tuple[str, int]]) -> None:
    """A message's state only moves forward, and each change is reported once."""
    tracker = DeliveryTracker()
    states: dict[int, LineState] = {}
    order = [LineState.STORED, LineState.DELIVERED, LineState.READ]
    for step, seq in steps:
        match step:
            case "track":
                if seq not in states:
                    tracker.track(message(seq, sender="alice"))
                    states[seq] = tracker.state_of(seq)
                continue
            case "deliver":
                changed, state = tracker.deliver(seq), LineState.DELIVERED
            case _:
                changed, state = tracker.mark_read(seq), LineState.READ
        for each in changed:
            assert order.index(states[each.seq]) < order.index(state)
            states[each.seq] = state
        assert states == {each: tracker.state_of(each) for each in states}


def test_a_redacted_message_is_not_tracked() -> None:
    """A forgotten message is not reported as read, whatever its state was."""
    tracker = DeliveryTracker()
    for seq in (1, 2):
        tracker.track(message(seq))
    tracker.deliver(1)
    tracker.forget(1)
    tracker.forget(2)
    assert tracker.mark_read(9) == []


def test_tracking_is_bounded() -> None:
    """Tracking keeps at most `CAPACITY` messages, so that it can't grow without end."""
    tracker = DeliveryTracker()
    for seq in range(1, CAPACITY + 3):
        tracker.track(message(seq))
    delivered = tracker.deliver(CAPACITY + 2)
    assert [delivered[0].seq, len(delivered)] == [3, CAPACITY]


def test_rewind_makes_later_messages_undelivered() -> None:
    """After a rewind, later seqs are neither delivered nor read."""
    tracker = DeliveryTracker()
    tracker.deliver(9)
    tracker.mark_read(8)
    tracker.rewind(3)
    assert tracker.state_of(3) is LineState.READ
    assert tracker.state_of(4) is LineState.STORED
