"""Judges slow steps of programs that tests start: only those above the tests' own limit are logged.

asyncio's debug mode warns of each step of the loop above 0.1 s. A program's start is one such step, and takes
longer while other tests share the processor. Python imports this module at its start, because
`tests.support.asyncio_debug` puts its folder in PYTHONPATH.
"""

import logging
import os


def _is_finding(record: logging.LogRecord) -> bool:
    arguments = record.args
    if not record.msg.startswith("Executing") or not isinstance(arguments, tuple):
        return True
    return float(str(arguments[-1])) >= float(os.environ["QSCP_TEST_SLOW_S"])


logging.getLogger("asyncio").addFilter(_is_finding)
