"""Turns: sessions with waiting input are handled in rotation, for a limited time."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from qscpd.sessions.turns import TurnQueue


class Taker:
    """A session with some turns' worth of input.

    Attributes:
        left: Turns that it needs.
    """

    def __init__(self, name: int, left: int, queue: TurnQueue, order: list[int]) -> None:
        self.name = name
        self.left = left
        self._queue = queue
        self._order = order

    def take_turn(self) -> None:
        """Use up one turn."""
        self._order.append(self.name)
        self.left -= 1
        if self.left:
            self._queue.add(self)


@given(needs=st.lists(st.integers(1, 20), min_size=1, max_size=8))
async def test_turns_go_round(needs: list[int]) -> None:
    """Nobody has a second turn before everybody else who waits has had one."""
    queue = TurnQueue()
    order: list[int] = []
    for name, left in enumerate(needs):
        queue.add(Taker(name, left, queue, order))
    while len(queue):
        queue.run()
    expected = [name for turn in range(max(needs)) for name, left in enumerate(needs) if turn < left]
    assert order == expected


async def test_other_work_of_the_loop_goes_on() -> None:
    """Between turns that take long, everything else of the loop has its turn."""
    queue = TurnQueue()
    steps: list[str] = []

    class Slow:
        def take_turn(self) -> None:
            steps.append("turn")
            until = asyncio.get_running_loop().time() + 0.003
            while asyncio.get_running_loop().time() < until:
                pass
            if steps.count("turn") < 5:
                queue.add(self)

    queue.add(Slow())
    while len(queue):
        await asyncio.sleep(0)
        steps.append("other")
    assert steps == ["turn", "other"] * 5


async def test_a_bug_in_one_turn_does_not_stop_the_others() -> None:
    """After an error in a session's turn, those behind it have theirs."""
    queue = TurnQueue()
    order: list[int] = []
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    class Buggy:
        def take_turn(self) -> None:
            raise ZeroDivisionError

    queue.add(Buggy())
    queue.add(Taker(1, 2, queue, order))
    for _ in range(5):
        await asyncio.sleep(0)
    assert order == [1, 1]
    queue.add(Taker(2, 1, queue, order))
    await asyncio.sleep(0)
    assert order == [1, 1, 2]
    assert [type(each) for each in errors] == [ZeroDivisionError]
