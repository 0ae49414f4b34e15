"""Presence on the real daemon: login, away, hidden, logout, and lost connections."""

import asyncio

import pytest

from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.rooms import ask, make_room, room
from tests.support.wire import Frame, Wire, Wires, chat


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
    """All changes of presence reach other users; a second session does not end hiding.

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
    second = await wires.connect(daemon)
    assert (await second.log_in("bob"))["hidden"]
    second.send({"type": "presence", "status": "online"})
    ack = await second.receive_type("presence_ack")
    assert ack == {"type": "presence_ack", "status": "online", "hidden": True}
    await bob.bye()
    await alice.sees("bob", "online")
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


async def hide(wires: Wires, daemon: Daemon, user: str) -> Wire:
    """Log a user in who appears offline from the first moment on."""
    features = ("login_presence", "typing", "read_receipts")
    (wire,) = await wires.login(daemon, user, features=features, status="offline")
    return wire


class Observer:
    """A session of alice who wants to see everything that there is to see.

    Attributes:
        daemon: Where she is logged in.
        wire: Her session.
    """

    def __init__(self, daemon: Daemon, wires: Wires, wire: Wire) -> None:
        self.wire = wire
        self.daemon = daemon
        self._wires = wires

    async def write(self, *texts: str) -> str:
        """Write to bob; return the conversation."""
        self.wire.send(*(chat("bob", text) for text in texts))
        acks = await self.wire.receive_count("chat_ack", len(texts))
        return str(acks[0]["conversation"])

    async def seen(self) -> list[Frame]:
        """Return what shows that bob is there, up to a later change of presence."""
        found: list[Frame] = []
        (carol,) = await self._wires.login(self.daemon, "carol")
        while True:
            frame = await self.wire.receive()
            if "bob" in str(frame) or frame["type"] == "delivered":
                found.append(frame)
            if {"user": "carol", "status": "online"} in frame.get("users", ()):
                await carol.bye()
                return found


@pytest.fixture
async def alice(start_daemon: StartDaemon, wires: Wires) -> Observer:
    """An observer on a daemon of its own."""
    daemon = start_daemon()
    (wire,) = await wires.login(daemon, "alice", features=("typing", "read_receipts"))
    return Observer(daemon, wires, wire)


async def test_a_hidden_user_is_seen_by_nobody(alice: Observer, wires: Wires) -> None:
    """Neither logins, typing, reading, a lost connection nor another device show a user who is hidden."""
    daemon = alice.daemon
    (bob,) = await wires.login(daemon, "bob")
    place = await make_room(alice.wire, bob)
    await alice.wire.receive_type("members")
    await bob.bye()
    await PresenceView(alice.wire).sees("bob", "offline")
    conversation = await alice.write("are you there?")
    bob = await hide(wires, daemon, "bob")
    for _ in range(2):
        bob.send({"type": "typing", "to": "alice"}, {"type": "typing", "to": place.name})
        bob.send({"type": "read", "conversation": conversation, "seq": 1})
        bob.send({"type": "received", "conversation": conversation, "seq": 1})
        (phone,) = await wires.login(daemon, "bob")
        assert await alice.seen() == []
        page = await ask(alice.wire, room("members", place.name))
        assert [each.get("status", "offline") for each in page["members"]] == ["online", "offline"]
        alice.wire.send({"type": "whois", "user": "bob"})
        assert (await alice.wire.receive_type("whois"))["status"] == "offline"
        bob.reset()
        assert await alice.seen() == []
        bob = await hide(wires, daemon, "bob")
        await phone.bye()
    (carol,) = await wires.login(daemon, "carol", resume=False)
    page = await carol.receive_type("online_users")
    assert [each["user"] for each in page["users"]] == ["alice"]
    found = await ask(alice.wire, {"type": "conversations"})
    assert [each.get("delivered", 0) for each in found["conversations"] if each["kind"] == "pair"] == [0]


async def test_delivered_comes_when_the_user_is_visible(alice: Observer, wires: Wires) -> None:
    """What a hidden user has received is `delivered` as soon as they are visible, and not before."""
    conversation = await alice.write("one", "two")
    bob = await hide(wires, alice.daemon, "bob")
    bob.send(*({"type": "received", "conversation": conversation, "seq": seq} for seq in (1, 2)))
    await bob.drain()
    assert await alice.seen() == []
    bob.send({"type": "presence", "status": "online"})
    assert await alice.wire.receive_type("delivered") == {
        "type": "delivered",
        "conversation": conversation,
        "seq": 2,
    }


async def test_a_user_can_log_in_as_away(alice: Observer, wires: Wires) -> None:
    """A login can carry the away text; one that breaks the rules ends the connection."""
    await wires.login(alice.daemon, "bob", status="away", text="lunch")
    await PresenceView(alice.wire).sees("bob", "away", "lunch")
    carol = await wires.connect(alice.daemon)
    carol.send({"type": "auth", "user": "carol", "password": PASSWORD, "status": "away", "text": "a\nb"})
    assert [(each["type"], each["code"]) for each in await carol.rest()] == [("error", "bad_field")]
