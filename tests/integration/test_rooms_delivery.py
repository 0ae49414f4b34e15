"""Delivery in rooms on the real daemon: the order of what a sender is told, several devices, many members."""

import asyncio

from tests.support.daemon import Daemon
from tests.support.logged_in import resume
from tests.support.rooms import Place, ask, code, edit, join, leave, make_room, react, room, say
from tests.support.wire import Frame, Wire, Wires, chat


async def until_seq(wire: Wire, place: Place, last: int) -> list[Frame]:
    """Everything of a room with a seq, up to a seq: acks, messages and events."""
    told: list[Frame] = []
    while not told or told[-1]["seq"] < last:
        frame = await wire.receive()
        if frame.get("conversation") == place.conversation and "seq" in frame:
            told.append(frame)
    return told


async def test_a_sender_is_told_everything_in_order(model_room: Daemon, wires: Wires) -> None:
    """Acks and what others write come to a session in the order of seq, and none is left out or doubled."""
    everybody = await wires.login(model_room, "alice", "bob", "carol", "dave")
    place = await make_room(*everybody)
    await say(everybody[0], "first", place.name)
    each, senders = 120, everybody[:3]
    for n in range(each):
        for wire in senders:
            event = react(place.name, 1, f"r{n}") if n % 7 == 3 else edit(place.name, 1, f"{n}")
            wire.send(event if n % 5 == 4 and wire is everybody[0] else chat(place.name, f"{n}"))
        if n % 10 == 0:
            await asyncio.sleep(0)
    last = 1 + each * len(senders)
    told = await asyncio.gather(*(until_seq(wire, place, last) for wire in everybody))
    for wire, frames in zip(everybody, told, strict=True):
        seqs = [frame["seq"] for frame in frames]
        assert seqs == [*range(seqs[0], last + 1)], wire.user
        acks = sum(frame["type"] == "chat_ack" for frame in frames)
        assert acks == (each if wire in senders else 0)
        assert {frame.get("from") for frame in frames if frame["type"] == "chat"} == {
            other.user for other in senders if other is not wire
        }
    # What everybody was told of a seq is the same.
    known: dict[int, tuple[str, str]] = {}
    for frames in told:
        for frame in frames:
            if frame["type"] != "chat_ack":
                what = frame["id"], frame["type"]
                assert known.setdefault(frame["seq"], what) == what


async def test_the_senders_other_devices(model_room: Daemon, wires: Wires) -> None:
    """They get what the person writes, once; the sending one gets its ack and not its message."""
    alice, bob, network_device, tablet = await wires.login(model_room, "alice", "bob", "bob", "bob")
    place = await make_room(alice, bob)
    for sender, others in ((bob, (alice, network_device, tablet)), (network_device, (alice, bob, tablet))):
        ack = await say(sender, "hello", place.name)
        for wire in others:
            (told,) = [frame for frame in await place.news(wire) if frame["type"] == "chat"]
            assert (told["seq"], told["from"], told["to"]) == (ack["seq"], "bob", place.name)
        assert await place.news(sender) == []


async def test_positions_in_a_room(model_room: Daemon, wires: Wires) -> None:
    """`read` goes to one's own other sessions and nobody else; `received` is ignored."""
    alice = (await wires.login(model_room, "alice", features=["read_receipts"]))[0]
    bob, network_device = await wires.login(model_room, "bob", "bob", features=["read_receipts"])
    place = await make_room(alice, bob)
    await say(alice, "one", place.name)
    bob.send(
        {"type": "received", "conversation": place.conversation, "seq": 1},
        {"type": "read", "conversation": place.conversation, "seq": 1},
    )
    told = await network_device.receive_type("read")
    assert (told["conversation"], told["user"], told["seq"]) == (place.conversation, "bob", 1)
    assert await place.news(alice) == []
    missed = (await resume(wires, model_room, "alice")).missed
    assert "delivered" not in {frame["type"] for frame in missed if place.concerns(frame)}


async def test_a_device_that_is_behind(model_room: Daemon, wires: Wires) -> None:
    """What the person does on another device before this one has resumed is told neither twice nor less."""
    (alice,) = await wires.login(model_room, "alice")
    late, bob = (
        (await wires.login(model_room, "bob", resume=False))[0],
        (await wires.login(model_room, "bob"))[0],
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
    again = (await resume(wires, model_room, "bob", {place.conversation: 0, other.conversation: 1})).missed
    assert [
        (each["seq"], each["body"]) for each in again if each["type"] == "chat" and place.concerns(each)
    ] == [
        (1, "one"),
        (2, "two"),
        (3, "three"),
    ]
    assert [each["reason"] for each in again if other.concerns(each)] == ["ahead"]


async def test_a_device_without_a_position(model_room: Daemon, wires: Wires) -> None:
    """It begins at the end, with what is written from then on; the next time there is nothing missing."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, history="full")
    for n in range(3):
        await say(alice, f"{n}", place.name)
    bob.send(join(place.name))
    told = await bob.receive_type("room")
    position = told["last_seq"]
    assert (told["first_seq"], position) == (1, 3)
    await say(alice, "now", place.name)
    assert (await bob.receive_type("chat"))["seq"] == position + 1
    again = (await resume(wires, model_room, "bob", {place.conversation: position})).missed
    assert [frame["seq"] for frame in again if place.concerns(frame)] == [4]


async def test_many_join_and_leave_at_once(model_room: Daemon, wires: Wires) -> None:
    """Hundreds of requests in one go are answered in order, and told to others in a few frames."""
    alice, bob = await wires.login(model_room, "alice", "bob")
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
