"""Deadline of leaving, while the server reads slowly."""

import asyncio

from qscp_client.net import leave_deadline
from qscp_client.net.leave_deadline import LeaveDeadline


async def test_it_moves_while_the_server_reads_on() -> None:
    """Each `throttled` after which less is unanswered moves the deadline."""
    deadline = LeaveDeadline(5)
    timeout = deadline.start()
    first = timeout.when()
    async with timeout:
        deadline.throttled(1, pending=20)
        second = timeout.when()
        await asyncio.sleep(0.01)
        deadline.throttled(1, pending=10)
        third = timeout.when()
    assert (first or 0) < (second or 0) < (third or 0)


async def test_a_server_that_reads_nothing_more_does_not_hold_the_client() -> None:
    """A server that says `throttled` again and again, and answers nothing, is left in the end."""
    deadline = LeaveDeadline(5)
    async with deadline.start() as timeout:
        deadline.throttled(1, pending=20)
        moved = timeout.when()
        await asyncio.sleep(0.01)
        for _ in range(100):
            deadline.throttled(3600, pending=20)
        assert timeout.when() == moved
        assert (moved or 0) < asyncio.get_running_loop().time() + 1 + leave_deadline._REPEATED_S


async def test_ctrl_c_waits_no_longer_than_usual() -> None:
    """After Ctrl-C the deadline is the usual one, whatever the server says."""
    deadline = LeaveDeadline(5)
    deadline.throttled(1000, pending=20)
    async with deadline.start(interrupted=True) as timeout:
        end = timeout.when()
        deadline.throttled(1000, pending=10)
        assert timeout.when() == end
        assert (end or 0) <= asyncio.get_running_loop().time() + 5
