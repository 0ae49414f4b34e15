"""Standard error that nobody reads, or that takes nothing: the daemon goes on, and ends when asked."""

import asyncio
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import PASSWORD, Daemon, add_accounts, write_config
from tests.support.ports import free_port
from tests.support.stuck_pipe import fill_pipe
from tests.support.waiting import until
from tests.support.wire import Wires, chat

StartOn = Callable[[int], Awaitable[Daemon]]


@pytest.fixture
async def start_on(tmp_path: Path, authority: AuthorityFiles) -> AsyncIterator[StartOn]:
    """Function that starts a daemon whose standard error is a descriptor, and waits until it runs."""
    started: list[Daemon] = []

    async def start(stderr: int) -> Daemon:
        config = write_config(tmp_path, authority)
        add_accounts(tmp_path / "qscpd.db", {"alice": PASSWORD, "bob": PASSWORD})
        port = free_port()
        settings = [f"server.listen=127.0.0.1:{port}"]
        # asyncio's debug mode could add lines about slow steps, and nobody reads what else it finds.
        daemon = Daemon(tmp_path, config, settings, debug=False, stderr=stderr)
        started.append(daemon)
        daemon.port = port
        await until(lambda: daemon.run("status").returncode == 0 or daemon.process.poll() is not None)
        return daemon

    yield start
    for daemon in started:
        daemon.kill()


async def check_chat(daemon: Daemon, wires: Wires) -> None:
    """Log in, send a message, change an account, which is logged, and leave."""
    alice, bob = await wires.login(daemon, "alice", "bob")
    assert daemon.run("lock", "bob").returncode == 0
    assert daemon.run("unlock", "bob").returncode == 0
    alice.send(chat("bob", "hello"))
    await alice.receive_type("chat_ack")
    await bob.rest()
    await wires.close()  # which the shutdown would wait for


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_pipe_that_nobody_reads(start_on: StartOn, wires: Wires, number: signal.Signals) -> None:
    """Chat, commands and signals work while nobody reads standard error."""
    reader, writer = os.pipe()
    daemon = await start_on(writer)
    fill_pipe(writer)
    await check_chat(daemon, wires)
    assert await asyncio.to_thread(daemon.stop, number) == 0
    os.close(reader)
    os.close(writer)


async def test_lines_come_when_they_are_read_again(start_on: StartOn, wires: Wires) -> None:
    """What was logged meanwhile comes in order, up to the last line."""
    reader, writer = os.pipe()
    daemon = await start_on(writer)
    fill_pipe(writer)
    await check_chat(daemon, wires)
    os.close(writer)
    text = os.read(reader, 1 << 20)
    # All lines fit into the pipe now: the end of the daemon waits only for a while until they are taken.
    assert await asyncio.to_thread(daemon.stop) == 0
    with os.fdopen(reader, "rb") as file:
        lines = (text + file.read()).decode().replace("x", "").splitlines()
    events = [json.loads(line)["event"] for line in lines if line]
    assert events[0] == "daemon.ready"
    assert events[-1] == "daemon.stopping"
    assert events.count("admin.request") == 2


@pytest.mark.parametrize("kind", ["full", "reader left", "terminal hung up"])
async def test_a_standard_error_that_takes_nothing(start_on: StartOn, wires: Wires, kind: str) -> None:
    """Lines that can't be written are counted in the status; nothing else happens."""
    match kind:
        case "full":
            other, writer = os.open("/dev/null", os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)
        case "reader left":
            other, writer = os.pipe()
        case _:
            other, writer = os.openpty()
    os.close(other)
    daemon = await start_on(writer)
    os.close(writer)
    await check_chat(daemon, wires)
    # A thread of the daemon finds out that they can't be written.
    await until(lambda: json.loads(daemon.run("status", "--json").stdout)["log_dropped"] >= 3)
    assert await asyncio.to_thread(daemon.stop) == 0


async def test_a_terminal_that_was_stopped(start_on: StartOn, wires: Wires) -> None:
    """Ctrl-S at the terminal stops what is shown, and nothing else; Ctrl-C still ends the daemon."""
    keyboard, terminal = os.openpty()
    daemon = await start_on(terminal)
    termios.tcflow(terminal, termios.TCOOFF)  # The kernel handles a typed Ctrl-S some time later.
    await check_chat(daemon, wires)
    assert await asyncio.to_thread(daemon.stop, signal.SIGINT) == 0
    os.close(terminal)
    os.close(keyboard)


async def test_a_start_that_is_refused_ends(start_on: StartOn, tmp_path: Path) -> None:
    """A daemon that can't start ends with its code, though nobody reads why."""
    (tmp_path / "sessions.log").mkdir()
    reader, writer = os.pipe()
    fill_pipe(writer)
    daemon = await start_on(writer)
    assert await asyncio.to_thread(daemon.wait) == ExitCode.FAILED
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
async def test_a_daemon_with_closed_streams(
    tmp_path: Path, authority: AuthorityFiles, wires: Wires, streams: str
) -> None:
    """A daemon that began without standard streams has the null device there, runs, and ends with 0."""
    config = write_config(tmp_path, authority)
    add_accounts(tmp_path / "qscpd.db", {"alice": PASSWORD, "bob": PASSWORD})
    port = free_port()
    command = ("bash", "-c", f'exec "$@" {streams}', "bash", sys.executable, "-m", "qscpd")
    daemon = Daemon(tmp_path, config, [f"server.listen=127.0.0.1:{port}"], command)
    daemon.port = port
    try:
        await until(lambda: daemon.run("status").returncode == 0 or daemon.process.poll() is not None)
        await check_chat(daemon, wires)
        closed = [number for number, sign in enumerate(("<&-", " >&-", "2>&-")) if sign in f" {streams}"]
        open_files = Path(f"/proc/{daemon.process.pid}/fd")
        assert {str((open_files / str(number)).readlink()) for number in closed} == {os.devnull}
        assert await asyncio.to_thread(daemon.stop) == 0
        assert "Traceback" not in "".join(daemon.text)
    finally:
        daemon.kill()
