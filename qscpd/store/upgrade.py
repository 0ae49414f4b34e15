"""Progress of an upgrade of a store, and its reports: in the log, to the service manager, on a terminal."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self, TextIO

import structlog

from qscpd.store.damage import DamagedPlace

_PATIENCE_S: Final = 60.0
"""Time that the service manager waits for the next report, which comes about every second."""

_ERASE_LINE: Final = "\r\x1b[K"
"""ECMA-48: carriage return, erase in line."""

_log = structlog.stdlib.get_logger("qscpd.store")


class UpgradeProgress(NamedTuple):
    """How far the upgrade of a store is."""

    store: Path
    done: int
    """Messages that are converted."""
    total: int
    """All messages; 0 as long as they are not counted."""
    seconds: float
    """Since it began."""

    def __str__(self) -> str:
        """Return it as a short line for the operator."""
        if not self.total:
            return f"Upgrading {self.store.name}"
        share = 100 * self.done // self.total
        return f"Upgrading {self.store.name}: {self.done:,} of {self.total:,} messages ({share} %)"


OnUpgrade = Callable[[UpgradeProgress], None]
"""Called at the beginning of an upgrade, about every second, and at its end."""


class UpgradeLog:
    """Reports an upgrade in the log and to the service manager.

    Args:
        notify: Called with a sentence, and the seconds within which the next one comes.
    """

    def __init__(self, notify: Callable[[str, float], None]) -> None:
        self._notify = notify

    def __call__(self, progress: UpgradeProgress) -> None:
        """Report the progress."""
        _log.info(
            "store.migrating",
            store=str(progress.store),
            messages=progress.done,
            total=progress.total,
            per_second=round(progress.done / progress.seconds) if progress.seconds else 0,
        )
        self._notify(str(progress), _PATIENCE_S)


class UpgradeLine:
    """Reports an upgrade as one line on a terminal, which is erased in the end; a context manager.

    Args:
        stream: Where it is shown, if that is a terminal; None: standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            self._write(_ERASE_LINE)

    def __call__(self, progress: UpgradeProgress) -> None:
        """Show the progress."""
        if self._stream.isatty():
            self._write(f"{_ERASE_LINE}{progress}")
            self._shown = True

    def damaged(self, place: DamagedPlace) -> None:
        """Print a damaged place above the line."""
        if self._shown:
            self._write(_ERASE_LINE)
        self._write(f"qscpd: damaged: {place}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
