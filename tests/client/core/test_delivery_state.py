"""How far your own messages have come; each state is reported once."""

from hypothesis import given
from hypothesis import strategies as st

from qscp_client.core.delivery_state import CAPACITY, DeliveryTracker
from qscp_client.core.events import LineState
from tests.support.items import message

STEPS = st.lists(st.tuples(st.sampled_from(["track", "deliver", "mark_read"]), st.integers(1, 20)))


@given(STEPS)
def test_each_message_reaches_each_state_once(steps: list[tuple[str, int]]) -> None:
    """In order, never back, and never a state that it had when it was tracked."""
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
    """In either state."""
    tracker = DeliveryTracker()
    for seq in (1, 2):
        tracker.track(message(seq))
    tracker.deliver(1)
    tracker.forget(1)
    tracker.forget(2)
    assert tracker.mark_read(9) == []


def test_what_is_tracked_is_bounded() -> None:
    """A member who never comes back costs no more memory."""
    tracker = DeliveryTracker()
    for seq in range(1, CAPACITY + 3):
        tracker.track(message(seq))
    delivered = tracker.deliver(CAPACITY + 2)
    assert [delivered[0].seq, len(delivered)] == [3, CAPACITY]


def test_rewind_makes_later_messages_undelivered() -> None:
    """What is stored there next was not delivered yet."""
    tracker = DeliveryTracker()
    tracker.deliver(9)
    tracker.mark_read(8)
    tracker.rewind(3)
    assert tracker.state_of(3) is LineState.READ
    assert tracker.state_of(4) is LineState.STORED
