"""What asyncio's debug mode finds: slow callbacks, tasks and exceptions that nobody looked at."""

import collections
import contextlib
import gc
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.waiting import PATIENCE_S

__all__ = ["DEBUG", "recorded_findings", "relax_programs"]

DEBUG: Final = bool(os.environ.get("PYTHONASYNCIODEBUG"))
"""Whether asyncio runs in its debug mode."""

_SLOW_S: Final = PATIENCE_S / 40
"""Longest step of a loop: half a second, far above asyncio's own limit, because tests share the processor."""


_SITE: Final = Path(__file__).with_name("debug_site")
"""Folder of the `sitecustomize` that gives programs the same limit."""


def relax_programs() -> None:
    """Give programs that tests start the limit of slow steps that the tests have."""
    os.environ["QSCP_TEST_SLOW_S"] = str(_SLOW_S)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(_SITE), *filter(None, [os.environ.get("PYTHONPATH")])])


class _Collections:
    """Times of the last garbage collections: those of all objects of the tests are no step of the loop."""

    def __init__(self) -> None:
        self._began = 0.0
        self._ended: collections.deque[tuple[float, float]] = collections.deque(maxlen=100)
        """When each one ended, and how long it took, in seconds."""

    def note(self, phase: str, _info: dict[str, int]) -> None:
        """Note the begin or the end of a collection, as one of `gc.callbacks`."""
        now = time.monotonic()
        if phase == "start":
            self._began = now
        else:
            self._ended.append((now, now - self._began))

    def within(self, seconds: float) -> float:
        """Return how much of the last seconds collections took."""
        since = time.monotonic() - seconds
        return sum(took for ended, took in self._ended if ended >= since)


class _Findings(logging.Handler):
    def __init__(self, findings: list[str], pauses: _Collections) -> None:
        super().__init__(logging.WARNING)
        self._findings = findings
        self._pauses = pauses

    def emit(self, record: logging.LogRecord) -> None:
        slow = (
            record.args[-1] if record.msg.startswith("Executing") and isinstance(record.args, tuple) else None
        )
        if not isinstance(slow, float) or slow - self._pauses.within(slow) >= _SLOW_S:
            self._findings.append(record.getMessage())


@contextlib.contextmanager
def recorded_findings() -> Iterator[list[str]]:
    """Collect what asyncio logs as warnings and errors."""
    findings: list[str] = []
    pauses = _Collections()
    handler = _Findings(findings, pauses)
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    gc.callbacks.append(pauses.note)
    try:
        yield findings
    finally:
        gc.callbacks.remove(pauses.note)
        logger.removeHandler(handler)
