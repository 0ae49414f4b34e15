"""What asyncio's debug mode finds: slow callbacks, tasks and exceptions that nobody looked at."""

import contextlib
import logging
import os
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


class _Findings(logging.Handler):
    def __init__(self, findings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._findings = findings

    def emit(self, record: logging.LogRecord) -> None:
        slow = (
            record.args[-1] if record.msg.startswith("Executing") and isinstance(record.args, tuple) else None
        )
        if not isinstance(slow, float) or slow >= _SLOW_S:
            self._findings.append(record.getMessage())


@contextlib.contextmanager
def recorded_findings() -> Iterator[list[str]]:
    """Collect what asyncio logs as warnings and errors."""
    findings: list[str] = []
    handler = _Findings(findings)
    logger = logging.getLogger("asyncio")
    logger.addHandler(handler)
    try:
        yield findings
    finally:
        logger.removeHandler(handler)
