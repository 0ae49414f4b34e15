"""The one unit that every wait of a test is measured in; QSCP_TEST_PATIENCE scales it on slow machines."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["PATIENCE_S", "patiently", "until", "wait_for"]

PATIENCE_S: Final = 20.0 * float(os.environ.get("QSCP_TEST_PATIENCE", "1"))
"""How long something that should happen at once may take before a test gives up."""


_POLL_S: Final = 0.01


def patiently() -> asyncio.Timeout:
    """Give up on what is inside of `async with` after `PATIENCE_S`."""
    return asyncio.timeout(PATIENCE_S)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something outside of this process, which can't notify us, is true."""
    async with patiently():
        while not condition():  # noqa: ASYNC110 - nobody can notify us
            await asyncio.sleep(_POLL_S)


def wait_for(changed: threading.Condition, condition: Callable[[], object], what: str) -> None:
    """Wait until something is true; whoever makes it true must notify.

    Raises:
        AssertionError: It did not become true in time.
    """
    with changed:
        if not changed.wait_for(condition, PATIENCE_S):
            raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")
