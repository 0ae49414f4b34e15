"""Presence on the real daemon: who comes, goes, and is lost."""

import asyncio

from tests.support.daemon import StartDaemon
from tests.support.wire import Frame, Wire, Wires


async def next_about(wire: Wire, user: str) -> Frame:
    """Return the next presence of somebody."""
    while True:
        for person in (await wire.receive_type("presence"))["users"]:
            if person["user"] == user:
                found: Frame = person
                return found


async def test_people_come_and_go(start_daemon: StartDaemon, wires: Wires) -> None:
    """Coming, being away, hiding and leaving reach everybody; a second session changes nothing.

    Who vanishes, as dora does at the beginning, counts as online for five seconds more.
    """
    daemon = start_daemon(accounts=("alice", "bob", "carol", "dora"))
    alice, dora = await wires.login(daemon, "alice", "dora")
    began = asyncio.get_running_loop().time()
    dora.reset()
    (bob,) = await wires.login(daemon, "bob")
    assert await next_about(alice, "bob") == {"user": "bob", "status": "online"}
    bob.send({"type": "presence", "status": "away", "text": "lunch"})
    assert await next_about(alice, "bob") == {"user": "bob", "status": "away", "text": "lunch"}
    bob.send({"type": "presence", "status": "offline"})
    assert (await next_about(alice, "bob"))["status"] == "offline"
    (second,) = await wires.login(daemon, "bob")
    assert (await next_about(alice, "bob"))["status"] == "online"
    await bob.bye()
    await wires.login(daemon, "carol")
    assert (await next_about(alice, "carol"))["status"] == "online"
    await second.bye()
    assert (await next_about(alice, "bob"))["status"] == "offline"
    assert (await next_about(alice, "dora"))["status"] == "offline"
    assert asyncio.get_running_loop().time() - began >= 5


async def test_the_snapshot_has_everybody_but_yourself(start_daemon: StartDaemon, wires: Wires) -> None:
    """It comes behind `auth_ack`, by itself."""
    daemon = start_daemon()
    await wires.login(daemon, "alice", "bob")
    carol = await wires.connect(daemon)
    carol.send({"type": "auth", "user": "carol", "password": "correct horse battery"})
    assert (await carol.receive())["type"] == "auth_ack"
    page = await carol.receive_type("online_users")
    assert sorted(person["user"] for person in page["users"]) == ["alice", "bob"]
