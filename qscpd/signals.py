"""Signals of the daemon: which ones end it, and which ones are only logged.

SIGTERM and SIGINT end it. SIGHUP does so only when the terminal of the process has gone away, as the
signal was meant (termios(3)). Elsewhere it is the usual request to read the configuration again, which
is not possible yet: that must not stop a service.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from typing import Final

import structlog

_HANGUP_S: Final = 0.2
"""Seconds from SIGHUP to the look at the terminal: the kernel sends it just before the terminal is taken
away (`disassociate_ctty` in drivers/tty/tty_jobctrl.c)."""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT)

_WITHOUT_MEANING: Final = (signal.SIGUSR1, signal.SIGUSR2)
"""Their default action would end the process without an orderly shutdown."""

_TERMINAL: Final = "/dev/tty"
"""The controlling terminal of this process, if it has one (tty(4))."""

_log = structlog.stdlib.get_logger("qscpd")


def ignore_early_hangup() -> None:
    """Ignore SIGHUP until `watch_signals`, unless the process has a terminal: a service must survive it."""
    if not _has_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def watch_signals(loop: asyncio.AbstractEventLoop, stop: Callable[[signal.Signals], None]) -> None:
    """Handle signals in a loop from now on.

    Args:
        loop: The running loop.
        stop: Called for each signal that ends the daemon.
    """
    for number in _ENDING:
        loop.add_signal_handler(number, stop, number)
    for number in _WITHOUT_MEANING:
        loop.add_signal_handler(number, _log_ignored, number, "qscpd has no use for this signal")
    had_terminal = _has_terminal()
    # nohup(1) starts programs with SIGHUP ignored: they outlive their terminal.
    if not had_terminal or signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, _hung_up, loop, stop, had_terminal)


def _hung_up(
    loop: asyncio.AbstractEventLoop, stop: Callable[[signal.Signals], None], had_terminal: bool
) -> None:
    if had_terminal:
        loop.call_later(_HANGUP_S, _stop_without_terminal, stop)
    else:
        _log_no_reload()


def _stop_without_terminal(stop: Callable[[signal.Signals], None]) -> None:
    if _has_terminal():
        _log_no_reload()
    else:
        stop(signal.SIGHUP)


def _log_no_reload() -> None:
    _log_ignored(
        signal.SIGHUP, "the configuration is read at the start only; restart qscpd to apply a change"
    )


def _log_ignored(number: signal.Signals, reason: str) -> None:
    _log.warning("signal.ignored", signal=number.name, reason=reason)


def _has_terminal() -> bool:
    with contextlib.suppress(OSError):
        os.close(os.open(_TERMINAL, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))
        return True
    return False
