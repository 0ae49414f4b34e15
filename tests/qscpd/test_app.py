"""The daemon put together: what happens when its store fails under way."""

import sqlite3
from contextlib import closing

from tests.support.daemon import StartDaemon
from tests.support.storage import stored_messages
from tests.support.wire import Wires, chat


async def test_a_store_that_fails_ends_the_daemon(start_daemon: StartDaemon, wires: Wires) -> None:
    """What may or may not be on disk is neither acknowledged nor delivered, and the exit code is 1."""
    daemon = start_daemon()
    daemon.expected_errors.add("store.failed")
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send(chat("bob", "before", 1))
    await alice.receive_type("chat_ack")
    await bob.receive_type("chat")
    with closing(sqlite3.connect(daemon.store)) as db:
        db.execute("CREATE TRIGGER broken BEFORE INSERT ON chunks BEGIN SELECT RAISE(ABORT, 'broken'); END")
        db.commit()
    alice.send(chat("bob", "after", 2))
    assert [frame["type"] for frame in await alice.rest() if frame["type"] != "presence"] == []
    assert [frame["type"] for frame in await bob.rest() if frame["type"] != "presence"] == []
    assert daemon.wait() == 1
    assert [row.body for row in stored_messages(daemon.store)] == ["before"]
