"""Wakeup that ends a pause before reconnecting."""

from qscp_client.net.wakeup import Wakeup


async def test_a_key_is_noticed() -> None:
    """A key press ends the wait until it is reset."""
    wakeup = Wakeup()
    wakeup.press()
    assert await wakeup.wait(0)
    wakeup.reset()
    assert not await wakeup.wait(0)


async def test_sleep_is_noticed() -> None:
    """A jump of the wall clock against the monotonic one ends the wait."""
    wall = 1000.0
    wakeup = Wakeup(lambda: wall, lambda: 5.0)
    assert not wakeup.slept()
    wall += 3600
    assert await wakeup.wait(0)
    assert not wakeup.slept()
