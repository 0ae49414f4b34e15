"""The fair queue: cheap lanes first, accounts in turn, nothing waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from qscpd.domain.fair_queue import FairQueue

LANES = 3


def drain(queue: FairQueue[str]) -> list[str]:
    """Return all items in the order in which they are served."""
    items = []
    while (item := queue.pop()) is not None:
        items.append(item)
    return items


def test_accounts_have_their_turns() -> None:
    """An account with many items waits for itself; within an account the order stays."""
    queue: FairQueue[str] = FairQueue(LANES)
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.push(1, ord(item[0]), item)
    assert len(queue) == 6
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(queue) == 0


def test_cheap_items_go_first() -> None:
    """A lane is served before those behind it."""
    queue: FairQueue[str] = FairQueue(LANES)
    for lane in (2, 1, 0):
        queue.push(lane, 1, f"{lane}")
    assert drain(queue) == ["0", "1", "2"]


def test_a_lane_is_passed_a_few_times_only() -> None:
    """While cheap items keep coming, one in nine of those served is of a lane that waits."""
    queue: FairQueue[str] = FairQueue(LANES)
    for _ in range(3):
        queue.push(2, 1, "long")
    served = []
    for _ in range(27):
        queue.push(0, 2, "short")
        queue.push(0, 3, "short")
        served.append(queue.pop())
    assert [served[n : n + 9].count("long") for n in (0, 9, 18)] == [1, 1, 1]


def test_what_is_not_allowed_waits() -> None:
    """Items that have no place are passed, and served as soon as they have one."""
    queue: FairQueue[str] = FairQueue(LANES)
    queue.push(0, 1, "a")
    queue.push(0, 2, "b")
    queue.push(1, 1, "c")
    assert queue.pop(lambda _, account: account != 1) == "b"
    assert queue.pop(lambda _, account: account != 1) is None
    assert queue.pop(lambda lane, _: lane == 1) == "c"
    assert drain(queue) == ["a"]


@given(st.lists(st.one_of(st.none(), st.tuples(st.integers(0, LANES - 1), st.integers(0, 4))), max_size=200))
def test_every_item_is_served_once_and_soon(steps: list[tuple[int, int] | None]) -> None:
    """Each item is served once, those of an account in order, and none of it twice before others' turn."""
    queue: FairQueue[tuple[int, int, int]] = FairQueue(LANES)
    waiting: list[tuple[int, int, int]] = []
    beside: dict[tuple[int, int], set[tuple[int, int, int]]] = {}
    for number, step in enumerate(steps):
        if step is not None:
            queue.push(*step, (*step, number))
            waiting.append((*step, number))
            continue
        item = queue.pop()
        assert (item is None) == (not waiting)
        if item is None:
            continue
        lane, account, _ = item
        assert item == next(each for each in waiting if each[:2] == (lane, account))
        waiting.remove(item)
        firsts = {next(each for each in waiting if each[:2] == one[:2]) for one in waiting}
        others = {each for each in firsts if each[0] == lane and each[1] != account}
        assert not others & beside.get((lane, account), set())
        beside[lane, account] = others
    assert len(queue) == len(waiting)
