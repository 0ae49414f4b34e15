"""New members of a room: earlier texts stay hidden, and joins delay no messages."""

import asyncio

from tests.support.daemon import StartDaemon
from tests.support.wire import Frame, Wire, Wires, chat, message_id


async def done(wire: Wire, kind: str, **fields: object) -> Frame:
    """Send a room request, and return its ack."""
    wire.send({"type": kind, **fields})
    return await wire.receive_type("room_ack")


async def test_an_edit_hides_text_from_before_joining(start_daemon: StartDaemon, wires: Wires) -> None:
    """With history from joining, the edit of an earlier message comes without its text."""
    daemon = start_daemon()
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    await done(alice, "room", action="create", room="#old")
    await done(carol, "join", room="#old")
    alice.send(chat("#old", "first"))
    place = await alice.receive_type("chat_ack")
    await done(bob, "join", room="#old")
    edit = {"type": "edit", "to": "#old", "target": place["seq"], "body": "second", "id": message_id(1)}
    alice.send(edit)
    assert (await carol.receive_type("edit"))["body"] == "second"
    received = await bob.receive_type("edit")
    assert (received["body"], received["erased"]) == ("", True)
    (again,) = await wires.login(daemon, "bob", resume=False)
    again.send(
        {"type": "resume", "positions": [{"conversation": place["conversation"], "seq": place["seq"]}]}
    )
    replayed = await again.receive_type("edit")
    assert (replayed["body"], replayed["origin"]) == ("", "replay")
    again.send({"type": "history", "conversation": place["conversation"]})
    assert (await again.receive_type("history"))["messages"] == []


async def test_an_edit_shows_its_text_with_full_history(start_daemon: StartDaemon, wires: Wires) -> None:
    """With full history, the edit of an earlier message comes with its text."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    await done(alice, "room", action="create", room="#all", history="full")
    alice.send(chat("#all", "first"))
    place = await alice.receive_type("chat_ack")
    await done(bob, "join", room="#all")
    edit = {"type": "edit", "to": "#all", "target": place["seq"], "body": "second", "id": message_id(2)}
    alice.send(edit)
    assert (await bob.receive_type("edit"))["body"] == "second"


async def test_many_join_while_others_talk(start_daemon: StartDaemon, wires: Wires) -> None:
    """Many joins and leaves delay no messages, and are answered in order."""
    daemon = start_daemon(accounts=("alice", "bob", "carol", "dave"))
    alice, bob, carol, dave = await wires.login(daemon, "alice", "bob", "carol", "dave")
    await done(alice, "room", action="create", room="#door")
    for wire in (carol, dave):
        wire.send(*({"type": kind, "room": "#door"} for _ in range(200) for kind in ("join", "leave")))
    alice.send(*(chat("bob", f"{n}") for n in range(300)))
    got = await bob.receive_count("chat", 300)
    assert [frame["body"] for frame in got] == [f"{n}" for n in range(300)]
    for acks in await asyncio.gather(*(wire.receive_count("room_ack", 400) for wire in (carol, dave))):
        assert [ack["ref"] for ack in acks] == ["join", "leave"] * 200
