"""Queue of work: cheap items first, accounts in turn, nothing waits for ever."""

from hypothesis import given
from hypothesis import strategies as st

from qscpd.fairness import Cost, CostQueue


def drain(queue: CostQueue[str]) -> list[str]:
    """Return all items in the order in which they are served."""
    items = []
    while (item := queue.pop()) is not None:
        items.append(item)
    return items


def test_accounts_have_their_turns() -> None:
    """An account with many items waits for itself; within an account the order stays."""
    queue: CostQueue[str] = CostQueue()
    for item in ("a1", "a2", "a3", "b1", "b2", "c1"):
        queue.push(Cost.PAGE, ord(item[0]), item)
    assert len(queue) == 6
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(queue) == 0


def test_cheap_items_go_first() -> None:
    """Items of a cost are served before dearer ones."""
    queue: CostQueue[str] = CostQueue()
    for cost in reversed(Cost):
        queue.push(cost, 1, f"{cost:d}")
    assert drain(queue) == ["0", "1", "2"]


def test_a_cost_is_passed_a_few_times_only() -> None:
    """While cheap items keep coming, one in nine of those served is a dear one that waits."""
    queue: CostQueue[str] = CostQueue()
    for _ in range(3):
        queue.push(Cost.SEARCH, 1, "long")
    served = []
    for _ in range(27):
        queue.push(Cost.LOW, 2, "short")
        queue.push(Cost.LOW, 3, "short")
        served.append(queue.pop())
    assert [served[n : n + 9].count("long") for n in (0, 9, 18)] == [1, 1, 1]


def test_what_is_not_allowed_waits() -> None:
    """Items that have no place are passed, and served as soon as they have one."""
    queue: CostQueue[str] = CostQueue()
    queue.push(Cost.LOW, 1, "a")
    queue.push(Cost.LOW, 2, "b")
    queue.push(Cost.PAGE, 1, "c")
    assert queue.pop(lambda _, account: account != 1) == "b"
    assert queue.pop(lambda _, account: account != 1) is None
    assert queue.pop(lambda cost, _: cost is Cost.PAGE) == "c"
    assert drain(queue) == ["a"]


@given(st.lists(st.one_of(st.none(), st.tuples(st.sampled_from(Cost), st.integers(0, 4))), max_size=200))
def test_every_item_is_served_once_and_soon(steps: list[tuple[Cost, int] | None]) -> None:
    """Each item is served once, those of an account in order, and none of it twice before others' turn."""
    queue: CostQueue[tuple[Cost, int, int]] = CostQueue()
    waiting: list[tuple[Cost, int, int]] = []
    beside: dict[tuple[Cost, int], set[tuple[Cost, int, int]]] = {}
    for number, step in enumerate(steps):
        if step is not None:
            queue.push(*step, (*step, number))
            waiting.append((*step, number))
            continue
        item = queue.pop()
        assert (item is None) == (not waiting)
        if item is None:
            continue
        cost, account, _ = item
        assert item == next(each for each in waiting if each[:2] == (cost, account))
        waiting.remove(item)
        firsts = {next(each for each in waiting if each[:2] == one[:2]) for one in waiting}
        others = {each for each in firsts if each[0] == cost and each[1] != account}
        assert not others & beside.get((cost, account), set())
        beside[cost, account] = others
    assert len(queue) == len(waiting)
