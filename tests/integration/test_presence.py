"""Presence on the real daemon: login, away, hidden, logout, and lost connections."""

import asyncio

from tests.support.daemon import PASSWORD, StartDaemon
from tests.support.wire import Wire, Wires


class PresenceView:
    """Presence of all users, as one session receives it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._shown: dict[str, tuple[str, str]] = {}

    async def sees(self, user: str, status: str, text: str = "") -> None:
        """Wait until a user has this status and text."""
        while self._shown.get(user) != (status, text):
            frame = await self._wire.receive_type("presence")
            self._shown |= {each["user"]: (each["status"], each.get("text", "")) for each in frame["users"]}


async def test_people_come_and_go(start_daemon: StartDaemon, wires: Wires) -> None:
    """All changes of presence reach other users; a second session changes nothing.

    A user whose connection is lost, as dora's is first, counts as online for five more seconds.
    """
    daemon = start_daemon(accounts=("alice", "bob", "carol", "dora"))
    watching, dora = await wires.login(daemon, "alice", "dora")
    alice = PresenceView(watching)
    await alice.sees("dora", "online")
    began = asyncio.get_running_loop().time()
    dora.reset()
    (bob,) = await wires.login(daemon, "bob")
    await alice.sees("bob", "online")
    bob.send({"type": "presence", "status": "away", "text": "lunch"})
    await alice.sees("bob", "away", "lunch")
    bob.send({"type": "presence", "status": "offline"})
    await alice.sees("bob", "offline")
    (second,) = await wires.login(daemon, "bob")
    await alice.sees("bob", "online")
    await bob.bye()
    await wires.login(daemon, "carol")
    await alice.sees("carol", "online")
    await second.bye()
    await alice.sees("bob", "offline")
    await alice.sees("dora", "offline")
    assert asyncio.get_running_loop().time() - began >= 5


async def test_the_snapshot_has_all_other_users(start_daemon: StartDaemon, wires: Wires) -> None:
    """After `auth_ack` a session receives the presence of all other users."""
    daemon = start_daemon()
    await wires.login(daemon, "alice", "bob")
    carol = await wires.connect(daemon)
    carol.send({"type": "auth", "user": "carol", "password": PASSWORD})
    assert (await carol.receive())["type"] == "auth_ack"
    page = await carol.receive_type("online_users")
    assert sorted(person["user"] for person in page["users"]) == ["alice", "bob"]
