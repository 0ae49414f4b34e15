"""Delivery in rooms on the real daemon: order, several devices, many members."""

import asyncio

from tests.support.daemon import Daemon
from tests.support.logged_in import resume
from tests.support.rooms import Place, ask, code, edit, join, leave, make_room, react, room, say
from tests.support.wire import Frame, Wire, Wires, chat


async def until_seq(wire: Wire, place: Place, last: int) -> list[Frame]:
    """Return a room's acks, messages and events up to a seq."""
    received: list[Frame] = []
    while not received or received[-1]["seq"] < last:
        frame = await wire.receive()
        if frame.get("conversation") == place.conversation and "seq" in frame:
            received.append(frame)
    return received


async def test_a_sender_receives_everything_in_order(room_daemon: Daemon, wires: Wires) -> None:
    """A session gets acks and messages of others in the order of seq, none missing or doubled."""
    members = await wires.login(room_daemon, "alice", "bob", "carol", "dave")
    place = await make_room(*members)
    await say(members[0], "first", place.name)
    each, senders = 120, members[:3]
    for n in range(each):
        for wire in senders:
            event = react(place.name, 1, f"r{n}") if n % 7 == 3 else edit(place.name, 1, f"{n}")
            wire.send(event if n % 5 == 4 and wire is members[0] else chat(place.name, f"{n}"))
        if n % 10 == 0:
            await asyncio.sleep(0)
    last = 1 + each * len(senders)
    received = await asyncio.gather(*(until_seq(wire, place, last) for wire in members))
    for wire, frames in zip(members, received, strict=True):
        seqs = [frame["seq"] for frame in frames]
        assert seqs == [*range(seqs[0], last + 1)], wire.user
        acks = sum(frame["type"] == "chat_ack" for frame in frames)
        assert acks == (each if wire in senders else 0)
        assert {frame.get("from") for frame in frames if frame["type"] == "chat"} == {
            other.user for other in senders if other is not wire
        }
    # All members received the same message at a seq.
    known: dict[int, tuple[str, str]] = {}
    for frames in received:
        for frame in frames:
            if frame["type"] != "chat_ack":
                what = frame["id"], frame["type"]
                assert known.setdefault(frame["seq"], what) == what


async def test_the_senders_other_devices(room_daemon: Daemon, wires: Wires) -> None:
    """A user's other devices receive each message once; the sending one gets only the ack."""
    alice, bob, phone, tablet = await wires.login(room_daemon, "alice", "bob", "bob", "bob")
    place = await make_room(alice, bob)
    for sender, others in ((bob, (alice, phone, tablet)), (phone, (alice, bob, tablet))):
        ack = await say(sender, "hello", place.name)
        for wire in others:
            (received,) = [frame for frame in await place.news(wire) if frame["type"] == "chat"]
            assert (received["seq"], received["from"], received["to"]) == (ack["seq"], "bob", place.name)
        assert await place.news(sender) == []


async def test_positions_in_a_room(room_daemon: Daemon, wires: Wires) -> None:
    """In rooms `read` goes only to the user's other sessions, and `received` is ignored."""
    alice = (await wires.login(room_daemon, "alice", features=["read_receipts"]))[0]
    bob, phone = await wires.login(room_daemon, "bob", "bob", features=["read_receipts"])
    place = await make_room(alice, bob)
    await say(alice, "one", place.name)
    bob.send(
        {"type": "received", "conversation": place.conversation, "seq": 1},
        {"type": "read", "conversation": place.conversation, "seq": 1},
    )
    received = await phone.receive_type("read")
    assert (received["conversation"], received["user"], received["seq"]) == (place.conversation, "bob", 1)
    assert await place.news(alice) == []
    missed = (await resume(wires, room_daemon, "alice")).missed
    assert "delivered" not in {frame["type"] for frame in missed if place.concerns(frame)}


async def test_a_device_that_is_catching_up(room_daemon: Daemon, wires: Wires) -> None:
    """Messages and a leave on another device before this one resumes reach it once."""
    (alice,) = await wires.login(room_daemon, "alice")
    late, bob = (
        (await wires.login(room_daemon, "bob", resume=False))[0],
        (await wires.login(room_daemon, "bob"))[0],
    )
    place, other = await make_room(alice, bob), await make_room(alice, bob)
    await say(alice, "one", place.name)
    await say(bob, "two", place.name)
    await say(alice, "gone", other.name)
    assert await code(bob, leave(other.name)) == "ok"
    late.send({"type": "resume", "positions": []})
    await late.receive_type("resumed")
    await say(alice, "three", place.name)
    frames = [frame for frame in await late.drain() if frame["type"] == "chat"]
    assert [frame["body"] for frame in frames if place.concerns(frame)] == ["three"]
    again = (await resume(wires, room_daemon, "bob", {place.conversation: 0, other.conversation: 1})).missed
    assert [
        (each["seq"], each["body"]) for each in again if each["type"] == "chat" and place.concerns(each)
    ] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]
    assert [each["reason"] for each in again if other.concerns(each)] == ["ahead"]


async def test_a_device_without_a_position(room_daemon: Daemon, wires: Wires) -> None:
    """A device that joins starts at the end, and later resumes from there."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, history="full")
    for n in range(3):
        await say(alice, f"{n}", place.name)
    bob.send(join(place.name))
    received = await place.receive(bob, "room")
    position = received["last_seq"]
    assert (received["first_seq"], position) == (1, 3)
    await say(alice, "now", place.name)
    assert (await bob.receive_type("chat"))["seq"] == position + 1
    again = (await resume(wires, room_daemon, "bob", {place.conversation: position})).missed
    assert [frame["seq"] for frame in again if place.concerns(frame)] == [4]


async def test_many_join_and_leave_at_once(room_daemon: Daemon, wires: Wires) -> None:
    """Hundreds of joins and leaves are answered in order, and reach others in few frames."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice)
    rounds = 200
    for _ in range(rounds // 50):
        alice.send(*[frame for _ in range(50) for frame in (join(place.name), chat(place.name, "x"))])
        bob.send(*[frame for _ in range(50) for frame in (join(place.name), leave(place.name))])
    refs = [frame["ref"] for frame in await bob.receive_count("room_ack", 2 * rounds)]
    assert refs == ["join", "leave"] * rounds
    seen = {"error": 0, "members": 0, "chat_ack": 0}
    while seen["error"] < rounds or seen["chat_ack"] < rounds:
        frame = await alice.receive()
        if frame["type"] in seen:
            seen[frame["type"]] += 1
            assert frame.get("code", "already_member") == "already_member"
    assert seen["members"] < 60
    page = await ask(alice, room("members", place.name))
    assert [each["user"] for each in page["members"]] == ["alice"]
    assert (await say(alice, "last", place.name))["seq"] == rounds + 1
