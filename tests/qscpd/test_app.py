"""The assembled daemon with a store that fails, and with a bug."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from qscpd.errors import ExitCode
from qscpd.setup.pki import AuthorityFiles
from tests.support.daemon import StartDaemon, write_config
from tests.support.storage import stored_messages
from tests.support.waiting import PATIENCE_S
from tests.support.wire import Wires, chat


async def test_a_failing_store_stops_the_daemon(start_daemon: StartDaemon, wires: Wires) -> None:
    """After an unknown error of the store the daemon exits with 1; uncertain messages are not answered.

    All sessions get a `bye` with `reconnect`, so that clients resend open messages under the same ids.
    """
    daemon = start_daemon()
    unauthenticated = await wires.connect(daemon)
    daemon.expected_errors.add("store.failed")
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send(chat("bob", "before", 1))
    await alice.receive_type("chat_ack")
    await bob.receive_type("chat")
    with closing(sqlite3.connect(daemon.store)) as db:
        db.execute("CREATE TRIGGER broken BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'broken'); END")
        db.commit()
    alice.send(chat("bob", "after", 2), {"type": "bye"})
    for wire in (alice, bob, unauthenticated):
        (bye,) = [frame for frame in await wire.rest() if frame["type"] != "presence"]
        assert (bye["type"], bye["reason"], bye["reconnect"]) == ("bye", "internal", True)
        assert wire.tls.closed
        await wire.close()
    assert await asyncio.to_thread(daemon.wait) == 1
    reasons = [entry["reason"] for entry in daemon.sessions() if entry["event"] == "session.close"]
    assert reasons == ["store_failed"] * 3
    assert [row.body for row in stored_messages(daemon.store)] == ["before"]


_CRASHES = """
import sys, qscpd.app
from qscpd.cli import main
def crash(*_):
    raise ZeroDivisionError("a bug")
qscpd.app.lock_store = crash
sys.argv = ["qscpd", "run", "-c", sys.argv[1]]
main()
"""


def test_a_crash_is_a_line_of_the_log(tmp_path: Path, authority: AuthorityFiles) -> None:
    """A bug of the daemon is a line of its log with the traceback, then a sentence, and exit code 1."""
    done = subprocess.run(
        [sys.executable, "-c", _CRASHES, str(write_config(tmp_path, authority))],
        stderr=subprocess.PIPE,
        check=False,
        text=True,
        timeout=PATIENCE_S,
    )
    line, sentence = done.stderr.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["event"]) == ("critical", "daemon.crashed")
    assert entry["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert sentence == "qscpd: internal error; the log has the details"
    assert done.returncode == ExitCode.FAILED
