"""System calls of the daemon, which show a missing flush; SIGKILL can't, as it keeps the kernel's memory."""

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import PASSWORD, Daemon, add_accounts, write_config
from tests.support.tracing import Answer, answers, strace
from tests.support.wire import Wires, chat

MESSAGES: Final = 12


async def traced(folder: Path, authority: AuthorityFiles, wires: Wires, program: str) -> list[Answer]:
    """Send messages one by one to a daemon under strace, and return its answers."""
    trace = folder / "trace"
    add_accounts(folder / "qscpd.db", {"alice": PASSWORD, "bob": PASSWORD})
    command = [*strace(trace), sys.executable, "-m", program]
    daemon = Daemon(folder, write_config(folder, authority), command=command)
    try:
        daemon.wait_until_ready()
        (alice,) = await wires.login(daemon, "alice")
        marker = await wires.plain(daemon)
        marker.writer.write_eof()
        await marker.ended()  # accepted, and not only queued by the kernel
        for number in range(MESSAGES):
            alice.send(chat("bob", f"message {number}", number + 1))
            await alice.receive_type("chat_ack")
        port: int = alice.writer.get_extra_info("sockname")[1]
        alice.reset()  # `bye` would get one more answer
        assert await asyncio.to_thread(daemon.stop) == 0
    finally:
        daemon.kill()
    return answers(trace, port, daemon.store)


async def test_an_ack_leaves_after_the_flush(tmp_path: Path, authority: AuthorityFiles, wires: Wires) -> None:
    """The store's log is flushed between reading a message and writing its `chat_ack`."""
    found = await traced(tmp_path, authority, wires, "qscpd")
    assert found == [Answer(flushed=True)] * MESSAGES


@pytest.mark.parametrize("program", ["tests.durability.lowered"])
async def test_a_store_that_does_not_flush_is_noticed(
    tmp_path: Path, authority: AuthorityFiles, wires: Wires, program: str
) -> None:
    """The same check fails when the store is opened with `synchronous=NORMAL`."""
    found = await traced(tmp_path, authority, wires, program)
    assert len(found) == MESSAGES
    assert Answer(flushed=False) in found
