"""Presence on the real daemon: who comes, goes, and is lost."""

import asyncio

from tests.support.daemon import PASSWORD, StartDaemon
from tests.support.wire import Wire, Wires


class Lookout:
    """Follows the presence of everybody through one session."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._shown: dict[str, tuple[str, str]] = {}

    async def sees(self, user: str, status: str, text: str = "") -> None:
        """Wait until somebody is shown like this."""
        while self._shown.get(user) != (status, text):
            frame = await self._wire.receive_type("presence")
            self._shown |= {each["user"]: (each["status"], each.get("text", "")) for each in frame["users"]}


async def test_people_come_and_go(start_daemon: StartDaemon, wires: Wires) -> None:
    """Coming, being away, hiding and leaving reach everybody; a second session changes nothing.

    Who vanishes, as dora does at the beginning, counts as online for five seconds more.
    """
    daemon = start_daemon(accounts=("alice", "bob", "carol", "dora"))
    watching, dora = await wires.login(daemon, "alice", "dora")
    alice = Lookout(watching)
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


async def test_the_snapshot_has_everybody_but_yourself(start_daemon: StartDaemon, wires: Wires) -> None:
    """It comes behind `auth_ack`, by itself."""
    daemon = start_daemon()
    await wires.login(daemon, "alice", "bob")
    carol = await wires.connect(daemon)
    carol.send({"type": "auth", "user": "carol", "password": PASSWORD})
    assert (await carol.receive())["type"] == "auth_ack"
    page = await carol.receive_type("online_users")
    assert sorted(person["user"] for person in page["users"]) == ["alice", "bob"]
