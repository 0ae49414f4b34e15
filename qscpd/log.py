"""The daemon's log: structured events on standard error, as text or JSON.

Under systemd each line begins with its priority, `<4>`, which the journal strips
(sd-daemon(3)).
"""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from qscpd.config import LogConfig
from qscpd.systemd import logs_to_journal

# Without the values of local variables, which structlog shows by default: some are messages or passwords.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

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
