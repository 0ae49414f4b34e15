"""The daemon's log: structured events on standard error, as text or JSON.

Nothing waits for standard error: `StderrWriter` writes the lines, and drops some if they are not read.
Under systemd each line begins with its priority, `<4>`, which the journal strips
(sd-daemon(3)).
"""

import logging
import sys
import traceback
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from qscpd.config import LogConfig
from qscpd.stderr import StderrWriter
from qscpd.systemd import logs_to_journal

# Without the values of local variables, which structlog shows by default: some are messages or passwords.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

_PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
"""Priorities of syslog (RFC 5424, section 6.2.1)."""


def configure_log(config: LogConfig) -> "LogHandler":
    """Set up structlog, and the standard library's log for messages of asyncio.

    Returns:
        The handler, for `close` at the end; the end of the interpreter does it, too.
    """
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
    formatter = _JournalFormatter if journal else structlog.stdlib.ProcessorFormatter
    handler = LogHandler(formatter(foreign_pre_chain=chain, processors=renderers))
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
    logging.captureWarnings(capture=True)  # Python would write them itself, and wait
    return handler


class LogHandler(logging.Handler):
    """Handler that renders records in the calling thread, and gives them to a `StderrWriter`."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._writer = StderrWriter(self._describe_dropped)

    @property
    def dropped(self) -> int:
        """Number of lines that were dropped so far."""
        return self._writer.dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 - whatever a value's own code raises
            text = f"a line of the log can't be rendered: {traceback.format_exc()}"
        self._writer.put(_encode(text))

    def close(self) -> None:
        """Write what is queued, for a limited time."""
        self._writer.close()
        super().close()

    def _describe_dropped(self, lines: int, reason: str) -> bytes:
        record = logging.makeLogRecord(
            {
                "name": "qscpd.log",
                "levelno": logging.WARNING,
                "levelname": "WARNING",
                "msg": "log.dropped",
                "lines": lines,
                "reason": reason,
            }
        )
        return _encode(self.format(record))


def _encode(text: str) -> bytes:
    return f"{text}\n".encode(sys.stderr.encoding or "utf-8", errors="backslashreplace")


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
