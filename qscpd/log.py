"""The daemon's log: structured events on standard error, as text or JSON.

Under systemd each line begins with its priority, `<4>`, which the journal strips
(sd-daemon(3)).
"""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from qscpd.config import LogConfig
from qscpd.systemd import logs_to_journal

# Without the values of local variables, which structlog shows by default: some are messages or passwords.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

_CAUSES: Final = 8
"""Most causes of one outage that get a line of their own."""

_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Priorities of syslog (RFC 5424, section 6.2.1)."""


def configure_log(config: LogConfig) -> None:
    """Set up structlog, and the standard library's log for messages of asyncio."""
    journal = logs_to_journal()
    as_text = config.format == "text" or (config.format == "auto" and sys.stderr.isatty())
    level = getattr(logging, config.level.upper())
    chain: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
    ]
    if not journal:  # the journal has its own clock
        chain.append(structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"))
    renderers: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_text:
        renderers.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    else:
        renderers += [_TRACEBACKS, _in_order, structlog.processors.JSONRenderer()]
    handler = logging.StreamHandler(sys.stderr)
    formatter = _JournalFormatter if journal else structlog.stdlib.ProcessorFormatter
    handler.setFormatter(formatter(foreign_pre_chain=chain, processors=renderers))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *chain,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class Outage:
    """A fault that lasts: a line of the log when it begins, and one with its extent when it is over.

    Each further cause gets a line too. Belongs to one thread.

    Args:
        log: The log.
        event: Event of the first line, such as `sessionlog.failed`; the last is `<event>.over`.
        counted: Field of both lines with the number of what failed.
        calm_s: Seconds without a failure after which it is over, because a disk that is nearly full fails
            and works by turns.
        clock: Seconds that never go back.

    Attributes:
        lasts: Whether it has begun and is not over; `works` needs to be called only then.
    """

    __slots__ = (
        "_began",
        "_calm_s",
        "_causes",
        "_clock",
        "_count",
        "_counted",
        "_event",
        "_last",
        "_log",
        "lasts",
    )

    def __init__(
        self,
        log: structlog.stdlib.BoundLogger,
        event: str,
        counted: str,
        *,
        calm_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._event = event
        self._counted = counted
        self._calm_s = calm_s
        self._clock = clock
        self._causes: set[str] = set()
        self._began = self._last = 0.0
        self._count = 0
        self.lasts = False

    def failed(self, cause: str, count: int = 1, level: int = logging.ERROR, **fields: object) -> None:
        """Record a failure.

        Args:
            cause: What failed, for the log.
            count: How much failed.
            level: Level of the line, if there is one.
            fields: Further fields of the line.
        """
        self._last = self._clock()
        if not self.lasts:
            self.lasts, self._began, self._count = True, self._last, 0
        self._count += count
        if cause not in self._causes and len(self._causes) < _CAUSES:
            self._causes.add(cause)
            self._log.log(level, self._event, **fields, reason=cause, **{self._counted: count})

    def works(self) -> None:
        """Record that it works; it is over if it did for long enough."""
        if self.lasts and self._clock() - self._last >= self._calm_s:
            self.close()

    def close(self) -> None:
        """End it now, with its last line."""
        if self.lasts:
            seconds = round(self._clock() - self._began, 3)
            self._log.warning(f"{self._event}.over", **{self._counted: self._count}, seconds=seconds)
            self.lasts = False
            self._causes.clear()


def _in_order(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Move the common fields to the front."""
    first = {key: event.pop(key) for key in ("time", "level", "logger", "event") if key in event}
    return {**first, **event}


class _JournalFormatter(structlog.stdlib.ProcessorFormatter):
    """Formatter that puts the priority before every line, so that a traceback keeps it."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record for the journal."""
        prefix = f"<{_PRIORITIES.get(record.levelname.lower(), 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())
