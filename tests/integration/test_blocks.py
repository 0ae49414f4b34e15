"""Blocks on the real daemon: messages, presence, typing, receipts, invitations, on all devices."""

import asyncio
import json

from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.rooms import ask, code, edit, join, leave, make_room, react, redact, room, say
from tests.support.wire import Frame, Wire, Wires, chat

FEATURES = ("block", "typing", "read_receipts")


def block(user: str) -> Frame:
    """Make a `block` frame."""
    return {"type": "block", "user": user}


def unblock(user: str) -> Frame:
    """Make an `unblock` frame."""
    return {"type": "unblock", "user": user}


async def login(wires: Wires, daemon: Daemon, *users: str) -> list[Wire]:
    """Log users in with all features."""
    return await wires.login(daemon, *users, features=FEATURES)


async def listed(wire: Wire, user: str) -> list[tuple[str, str]]:
    """Log a user in; return names and account ids of the blocks that come before everything else."""
    await wire.log_in(user, resume=False, features=FEATURES)
    page = await wire.receive()
    assert page["type"] == "blocks"
    assert not page.get("more")
    return [(each["user"], each["account"]) for each in page["users"]]


async def shown(wire: Wire, user: str) -> tuple[str, str]:
    """Return the presence of a user, as `whois` has it."""
    wire.send({"type": "whois", "user": user})
    answer = await wire.receive_type("whois")
    return answer["status"], answer.get("text", "")


async def presence_of(wire: Wire, user: str, status: str) -> None:
    """Wait for a change of presence."""
    while True:
        frame = await wire.receive_type("presence")
        if (user, status) in [(each["user"], each["status"]) for each in frame["users"]]:
            return


async def test_messages_under_a_block(start_daemon: StartDaemon, wires: Wires) -> None:
    """The blocked user gets `not_accepted`, the one who blocks `user_blocked`, until the block ends."""
    daemon = start_daemon()
    alice, bob = await login(wires, daemon, "alice", "bob")
    await say(alice, "before", "bob")
    await say(bob, "also before", "alice")
    again = chat("bob", "sent again")
    await say(alice, again)
    assert (await ask(bob, block(" Alice "))) == {"type": "block_ack", "ref": "block", "user": "alice"}
    for sent in (chat("bob", "after"), edit("bob", 1, "other"), react("bob", 2, "+1")):
        assert (await say(alice, sent))["code"] == "not_accepted"
    for sent in (chat("alice", "after"), edit("alice", 2, "other"), react("alice", 1, "+1")):
        assert (await say(bob, sent))["code"] == "user_blocked"
    assert (await say(alice, again))["repeated"]
    await bob.drain()
    assert (await say(alice, redact("bob", 1)))["seq"] == 4
    assert [each["type"] for each in await bob.drain()] == ["redact"]
    refused = chat("bob", "refused for good")
    assert (await say(alice, refused))["code"] == "not_accepted"
    assert await code(bob, unblock("alice")) == "ok"
    assert (await say(alice, refused))["code"] == "not_accepted"
    assert (await say(alice, "again", "bob"))["seq"] == 5
    history = await ask(bob, {"type": "history", "conversation": "c1"})
    assert [each["body"] for each in history["messages"]] == ["", "also before", "sent again", "again"]


async def test_refusals_of_requests(start_daemon: StartDaemon, wires: Wires) -> None:
    """Yourself, an unknown user, a second block and a missing one are refused; the session goes on."""
    daemon = start_daemon()
    (alice,) = await login(wires, daemon, "alice")
    assert await code(alice, block("alice")) == "recipient_is_self"
    for name in ("nosuch", "", "bob~1", "#room", "no name!"):
        assert await code(alice, block(name)) == "unknown_user"
        assert await code(alice, unblock(name)) == "unknown_user"
    assert await code(alice, unblock("bob")) == "unchanged"
    assert await code(alice, block("bob")) == "ok"
    assert await code(alice, block("BOB")) == "unchanged"
    assert await code(alice, unblock("Bob ")) == "ok"


async def test_all_devices_have_the_list(start_daemon: StartDaemon, wires: Wires) -> None:
    """A change is sent to every session of the account with the feature, and the list to each new one."""
    daemon = start_daemon()
    first, second = await login(wires, daemon, "alice", "alice")
    (old,) = await wires.login(daemon, "alice")
    first.send(block("bob"))
    for each in (first, second):
        assert await each.receive_type("block") == {"type": "block", "user": "bob", "account": "a2"}
    assert await ask(second, block("carol")) == {"type": "block_ack", "ref": "block", "user": "carol"}
    assert await listed(await wires.connect(daemon), "alice") == [("bob", "a2"), ("carol", "a3")]
    assert await listed(await wires.connect(daemon), "bob") == []
    first.send(unblock("bob"))
    assert (await second.receive_type("block"))["removed"]
    assert "block" not in {each["type"] for each in await old.drain()}


async def test_the_blocked_user_is_not_notified(start_daemon: StartDaemon, wires: Wires) -> None:
    """The blocked user gets nothing but the presence of a user who went offline."""
    daemon = start_daemon()
    alice, bob = await login(wires, daemon, "alice", "bob")
    await say(bob, "hello", "alice")
    await bob.drain()
    assert await code(alice, block("bob")) == "ok"
    await presence_of(bob, "alice", "offline")
    assert await bob.drain() == []


async def test_presence_under_a_block(start_daemon: StartDaemon, wires: Wires) -> None:
    """Each is offline to the other one in changes, snapshots, `whois` and lists of members."""
    daemon = start_daemon()
    alice, bob, carol = await login(wires, daemon, "alice", "bob", "carol")
    place = await make_room(carol, alice, bob)
    bob.send({"type": "presence", "status": "away", "text": "lunch"})
    await presence_of(alice, "bob", "away")
    assert await code(alice, block("bob")) == "ok"
    await presence_of(alice, "bob", "offline")
    await presence_of(bob, "alice", "offline")
    assert await shown(alice, "bob") == ("offline", "")
    assert await shown(bob, "alice") == ("offline", "")
    assert await shown(carol, "bob") == ("away", "lunch")
    bob.send({"type": "presence", "status": "online"})
    await presence_of(carol, "bob", "online")
    assert await shown(alice, "bob") == ("offline", "")
    for viewer, hidden in ((alice, "bob"), (bob, "alice"), (carol, "")):
        answer = await ask(viewer, room("members", place.name))
        offline = {each["user"] for each in answer["members"] if "status" not in each}
        assert offline == ({hidden} if hidden else set())
        fresh = await wires.connect(daemon)
        await fresh.log_in(viewer.user, resume=False)
        people = {each["user"] for each in (await fresh.receive_type("online_users"))["users"]}
        assert people == {"alice", "bob", "carol"} - {viewer.user, hidden}
    assert await code(alice, unblock("bob")) == "ok"
    await presence_of(alice, "bob", "online")
    await presence_of(bob, "alice", "online")


async def test_typing_and_receipts_under_a_block(start_daemon: StartDaemon, wires: Wires) -> None:
    """Neither typing indicators nor positions pass between the two; both can read the history."""
    daemon = start_daemon()
    alice, bob, carol = await login(wires, daemon, "alice", "bob", "carol")
    await say(alice, "one", "bob")
    await say(bob, "two", "alice")
    await alice.drain()
    await bob.drain()
    assert await code(alice, block("bob")) == "ok"
    await alice.drain()
    for wire, other in ((alice, "bob"), (bob, "alice"), (carol, "alice")):
        wire.send(
            {"type": "typing", "to": other},
            {"type": "received", "conversation": "c1", "seq": 2},
            {"type": "read", "conversation": "c1", "seq": 2},
        )
        await wire.drain()
    # Positions are committed behind this one, and delivered before it is answered.
    await ask(carol, {"type": "conversations"})
    assert await bob.drain() == []
    assert [(each["type"], each["users"]) for each in await alice.drain()] == [("typing", ["carol"])]
    for wire in (alice, bob):
        (info,) = (await ask(wire, {"type": "conversations"}))["conversations"]
        assert (info["read"], info["unread"]) == (2, 0)


async def test_invitations_under_a_block(start_daemon: StartDaemon, wires: Wires) -> None:
    """Neither can invite the other one; open invitations by a blocked user are hidden until it ends."""
    daemon = start_daemon()
    alice, bob, carol = await login(wires, daemon, "alice", "bob", "carol")
    closed = await make_room(bob, carol, kind="closed")
    opened = await make_room(bob)
    mine = await make_room(alice)
    for place in (closed, opened):
        assert await code(bob, room("invite", place.name, "alice")) == "ok"
        await alice.receive_type("invited")
    assert await code(alice, block("bob")) == "ok"
    other = await make_room(bob)
    assert await code(bob, room("invite", other.name, "alice")) == "not_accepted"
    assert await code(alice, room("invite", mine.name, "bob")) == "user_blocked"

    async def invitations() -> tuple[set[str], set[str]]:
        """Return the rooms of `invited` frames of a new session, and of the list."""
        wire = await wires.connect(daemon)
        await wire.log_in("alice", features=FEATURES)
        sent = {each["room"]["name"] for each in await wire.drain() if each["type"] == "invited"}
        rooms = (await ask(wire, {"type": "rooms"}))["rooms"]
        return sent, {each["name"] for each in rooms if each.get("invited")}

    assert await invitations() == (set(), set())
    rooms = (await ask(alice, {"type": "rooms"}))["rooms"]
    assert closed.name not in {each["name"] for each in rooms}
    assert await code(carol, room("invite", closed.name, "alice")) == "ok"
    assert await code(alice, unblock("bob")) == "ok"
    both = {closed.name, opened.name}
    assert await invitations() == (both, both)
    assert await code(alice, join(closed.name)) == "ok"
    assert await code(alice, leave(closed.name)) == "ok"


async def test_rooms_under_a_block(start_daemon: StartDaemon, wires: Wires) -> None:
    """In rooms messages of blocked users arrive as always, and a blocked owner moderates."""
    daemon = start_daemon()
    alice, bob = await login(wires, daemon, "alice", "bob")
    place = await make_room(bob, alice, history="full")
    assert await code(alice, block("bob")) == "ok"
    await alice.drain()
    await say(bob, "@alice: hello", place.name)
    (frame,) = await place.news(alice)
    assert (frame["type"], frame["from"], frame["mentions"]) == ("chat", "bob", ["alice"])
    assert (await say(alice, "hello", place.name))["seq"] == 2
    (info,) = (await ask(alice, {"type": "conversations"}))["conversations"]
    assert (info["unread"], info.get("mentions", 0)) == (1, 0)
    assert await code(bob, room("mute", place.name, "alice")) == "ok"
    assert (await say(alice, "hello?", place.name))["code"] == "muted"
    assert (await say(bob, redact(place.name, 2)))["seq"] == 3


async def test_a_message_in_flight(start_daemon: StartDaemon, wires: Wires) -> None:
    """What is sent while the block is made is delivered if it is acknowledged, and else refused."""
    daemon = start_daemon()
    alice, bob = await login(wires, daemon, "alice", "bob")
    stored: list[str] = []
    received: list[str] = []
    for turn in range(20):
        sent = [chat("bob", f"{turn}.{number}") for number in range(10)]
        bob.send(block("alice"))
        alice.send(*sent)
        for each in sent:
            answer = await alice.receive()
            while answer["type"] not in ("chat_ack", "chat_nack"):
                answer = await alice.receive()
            assert answer["id"] == each["id"]
            if answer["type"] == "chat_ack":
                stored.append(each["body"])
            else:
                assert answer["code"] == "not_accepted"
        bob.send(unblock("alice"))
        for _ in range(2):
            while (frame := await bob.receive())["type"] != "block_ack":
                if frame["type"] == "chat":
                    received.append(frame["body"])
    received += [each["body"] for each in await bob.drain() if each["type"] == "chat"]
    assert received == stored


async def test_a_name_that_is_given_away(start_daemon: StartDaemon, wires: Wires) -> None:
    """A block stays with the account: its new label is sent, and the new holder of the name can write."""
    daemon = start_daemon()
    alice, bob = await login(wires, daemon, "alice", "bob")
    assert await code(alice, block("bob")) == "ok"
    await alice.drain()

    async def run(*arguments: str, password: str = "") -> None:
        done = await asyncio.to_thread(daemon.run, *arguments, password=password)
        assert done.returncode == 0, done.stderr

    await run("deluser", "--yes", "bob")
    await bob.ended()
    await run("adduser", "--reuse-name", "--password-stdin", "bob", password=f"{PASSWORD}\n")
    assert await alice.receive_type("block") == {"type": "block", "user": "bob~1", "account": "a2"}
    (second,) = await login(wires, daemon, "bob")
    assert (await say(second, "I am another one", "alice"))["type"] == "chat_ack"
    assert await shown(alice, "bob") == ("online", "")
    assert await listed(await wires.connect(daemon), "alice") == [("bob~1", "a2")]
    assert await code(alice, block("bob")) == "ok"
    assert await code(alice, unblock("Bob~1")) == "ok"
    assert await listed(await wires.connect(daemon), "alice") == [("bob", "a4")]


async def test_blocks_outlive_the_daemon(start_daemon: StartDaemon, wires: Wires) -> None:
    """After a restart blocks are as before; those by a deleted account are gone."""
    daemon = start_daemon()
    alice, bob = await login(wires, daemon, "alice", "bob")
    assert await code(alice, block("bob")) == "ok"
    assert await code(bob, block("carol")) == "ok"
    done = await asyncio.to_thread(daemon.run, "deluser", "--yes", "bob")
    assert done.returncode == 0, done.stderr
    exported = await asyncio.to_thread(daemon.run, "export", "alice")
    (line,) = [each for each in map(json.loads, exported.stdout.splitlines()) if each["type"] == "block"]
    assert (line["name"], line["account"]) == ("bob", "a2")
    await wires.close()  # which the shutdown would wait for
    assert daemon.stop() == 0
    daemon = start_daemon()
    assert await listed(await wires.connect(daemon), "alice") == [("bob", "a2")]
