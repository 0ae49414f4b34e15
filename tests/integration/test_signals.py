"""Signals that must not end a daemon, and terminals that go away."""

import contextlib
import os
import pty
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import Daemon, StartDaemon, supervised, write_config
from tests.support.wire import Wires, chat

_TAKE_TERMINAL = """\
import os, sys
os.setsid()
os.open(sys.argv[1], os.O_RDWR)  # the first one becomes the controlling terminal
os.execvp(sys.argv[2], sys.argv[2:])
"""

_QSCPD = (sys.executable, "-m", "qscpd")

StartOnTerminal = Callable[..., tuple[Daemon, Callable[[], None]]]


@pytest.fixture
def start_on_terminal(tmp_path: Path, authority: AuthorityFiles) -> Iterator[StartOnTerminal]:
    """Start a daemon that has a terminal; also return the function that closes it."""
    with contextlib.ExitStack() as stack:
        config = write_config(tmp_path, authority)

        def start(*before: str) -> tuple[Daemon, Callable[[], None]]:
            master, slave = pty.openpty()
            terminal = contextlib.ExitStack()
            terminal.callback(os.close, master)
            stack.enter_context(terminal)
            command = (sys.executable, "-c", _TAKE_TERMINAL, os.ttyname(slave), *before, *_QSCPD)
            daemon = stack.enter_context(supervised(Daemon(tmp_path, config, command=command)))
            os.close(slave)
            return daemon, terminal.close

        yield start


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH])
async def test_a_signal_without_meaning_changes_nothing(
    start_daemon: StartDaemon, wires: Wires, number: signal.Signals
) -> None:
    """Sessions stay open and logins work; the log says that nothing was done, but for SIGWINCH."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    for count in (1, 2):
        daemon.process.send_signal(number)
        if number is not signal.SIGWINCH:
            line = daemon.wait_for_log("signal.ignored", count)
            assert (line["level"], line["signal"]) == ("warning", number.name)
    await wires.login(daemon, "bob")
    alice.send(chat("bob", "still here", 1))
    await alice.receive_type("chat_ack")
    await wires.close()
    assert daemon.stop() == 0


async def test_hangups_do_not_hasten_the_end(start_daemon: StartDaemon, wires: Wires) -> None:
    """SIGHUP after SIGTERM is not a second signal, which would cut all sessions."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    daemon.process.send_signal(signal.SIGTERM)
    await alice.receive_type("bye")
    daemon.process.send_signal(signal.SIGHUP)
    await alice.close()
    assert daemon.wait() == 0


def test_a_daemon_ends_with_its_terminal(start_on_terminal: StartOnTerminal) -> None:
    """A daemon whose terminal is closed ends cleanly, as `make run` in a window that is closed."""
    daemon, close = start_on_terminal()
    close()
    assert daemon.wait() == 0
    assert daemon.log[-1]["event"] == "daemon.stopping"
    assert daemon.log[-1]["reason"] == "SIGHUP"


def test_a_hangup_signal_with_a_terminal_that_stays(start_on_terminal: StartOnTerminal) -> None:
    """`kill -HUP` is no hangup while the terminal is there."""
    daemon, _ = start_on_terminal()
    daemon.process.send_signal(signal.SIGHUP)
    assert daemon.wait_for_log("signal.ignored")["signal"] == "SIGHUP"
    assert daemon.process.poll() is None


def test_nohup_is_respected(start_on_terminal: StartOnTerminal) -> None:
    """A daemon that was started with nohup(1) outlives its terminal."""
    daemon, close = start_on_terminal("nohup")
    close()
    daemon.process.send_signal(signal.SIGUSR1)  # handled after the hangup
    daemon.wait_for_log("signal.ignored")
    assert daemon.stop() == 0
