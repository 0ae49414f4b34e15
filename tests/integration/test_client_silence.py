"""A client, and a real daemon that stands still."""

import asyncio
import signal
from pathlib import Path

from qscp_client.core.notices import Notice, NoticeCode
from qscp_client.errors import ExitCode
from qscp_client.net.silence import Patience
from qscpd.setup.pki import AuthorityFiles
from tests.support.client_session import ClientSession, GivenLines
from tests.support.daemon import PASSWORD, StartDaemon
from tests.support.storage import stored_messages
from tests.support.waiting import until

SHORT = Patience(unanswered_s=0.2, dead_s=0.5)


async def test_a_stopped_daemon_is_noticed(
    start_daemon: StartDaemon, authority: AuthorityFiles, tmp_path: Path
) -> None:
    """While the daemon is stopped, the client waits visibly and reconnects; the message is stored once."""
    daemon = start_daemon()
    session = ClientSession(daemon.port, authority.ca_certificate, tmp_path / "devices", PASSWORD)
    front = GivenLines("bob", "one")
    running = asyncio.create_task(session.run(front, patience=SHORT))
    await until(lambda: len(stored_messages(daemon.store)) == 1)
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        front.type("two")
        await until(lambda: Notice(NoticeCode.CONNECTION_LOST) in front.notices())
    finally:
        daemon.process.send_signal(signal.SIGCONT)
    await until(lambda: len(stored_messages(daemon.store)) == 2)
    await until(lambda: session.engine and not session.engine.pending)
    front.type("quit")
    assert await running is ExitCode.OK
    assert len(stored_messages(daemon.store)) == 2
    assert front.notices()[0] == Notice(NoticeCode.WAITING_FOR_SERVER)
