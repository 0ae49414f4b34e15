"""Time limit of all waits in tests; QSCP_TEST_PATIENCE scales it on slow machines."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["PATIENCE_S", "patiently", "until", "wait_for"]

PATIENCE_S: Final = 20.0 * float(os.environ.get("QSCP_TEST_PATIENCE", "1"))
"""Seconds that a test waits for something that should happen at once."""


_POLL_S: Final = 0.01


def patiently() -> asyncio.Timeout:
    """Return a timeout of `PATIENCE_S` for `async with`."""
    return asyncio.timeout(PATIENCE_S)


async def until(condition: Callable[[], object]) -> None:
    """Poll until something outside of this process, which can't notify us, is true."""
    async with patiently():
        while not condition():  # noqa: ASYNC110 - nothing can notify us
            await asyncio.sleep(_POLL_S)


def wait_for(changed: threading.Condition, condition: Callable[[], object], what: str) -> None:
    """Wait until a condition is true; the code that makes it true must notify.

    Raises:
        AssertionError: It did not become true in time.
    """
    with changed:
        if not changed.wait_for(condition, PATIENCE_S):
            raise AssertionError(f"waited {PATIENCE_S:g} s for {what}")
