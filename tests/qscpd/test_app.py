"""The assembled daemon with a store that fails."""

import asyncio
import sqlite3
from contextlib import closing

from tests.support.daemon import StartDaemon
from tests.support.storage import stored_messages
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
        db.execute("CREATE TRIGGER broken BEFORE INSERT ON chunks BEGIN SELECT RAISE(ABORT, 'broken'); END")
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
