"""Old and new holder of a reused name are told apart, on the wire and in exports."""

import asyncio
import json
from typing import Any

from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.rooms import Place, ask, edit, join, make_room, react, redact, room, say
from tests.support.wire import Frame, Wire, Wires, chat


async def command(daemon: Daemon, *arguments: str, password: str = "") -> str:
    """Run a command of qscpd that succeeds; return what it prints."""
    done = await asyncio.to_thread(daemon.run, *arguments, password=password)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def give_away(daemon: Daemon, name: str) -> None:
    """Delete an account, and give its name to a new one."""
    await command(daemon, "deluser", "--yes", name)
    await command(daemon, "adduser", "--reuse-name", "--password-stdin", name, password=f"{PASSWORD}\n")


async def infos(wire: Wire) -> dict[str, Frame]:
    """Return the conversations of a user, by id."""
    answer = await ask(wire, {"type": "conversations"})
    return {each["conversation"]: each for each in answer["conversations"]}


async def matches(wire: Wire, query: str) -> list[Frame]:
    """Return the messages that a search finds when all are in the index."""
    while not (answer := await ask(wire, {"type": "search", "query": query})).get("complete", True):
        pass
    found: list[Frame] = answer["matches"]
    return found


def senders(frames: list[Frame]) -> list[tuple[str, str]]:
    """Return senders and texts of messages."""
    return [(each["from"], each["body"]) for each in frames if "body" in each]


async def meet(alice: Wire, bob: Wire, carol: Wire) -> tuple[Place, str]:
    """Let all three write in a room, and alice and bob in a pair; return the room, and the pair's id."""
    place = await make_room(alice, history="full")
    for each in (bob, carol):
        await ask(each, join(place.name))
    await say(bob, "first bob", place.name)
    await say(carol, "hi @bob", place.name)
    await say(bob, react(place.name, 2, "+1"))
    await say(bob, "from the first bob", "alice")
    pair = (await say(alice, "to the first bob", "bob"))["conversation"]
    await ask(alice, room("mute", place.name, "bob"))
    await ask(alice, room("unmute", place.name, "bob"))
    return place, pair


async def test_a_name_is_given_away_while_connected(start_daemon: StartDaemon, wires: Wires) -> None:
    """Everything that is asked for later shows the former holder with a number."""
    daemon = start_daemon()
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    place, pair = await meet(alice, bob, carol)
    await command(daemon, "deluser", "--yes", "bob")
    assert ((await infos(alice))[pair]["name"], (await infos(alice))[pair]["deleted"]) == ("bob", True)
    await command(daemon, "adduser", "--reuse-name", "--password-stdin", "bob", password=f"{PASSWORD}\n")
    (second,) = await wires.login(daemon, "bob")
    await ask(second, join(place.name))
    await say(second, "second bob", place.name)
    new = (await say(second, "from the second bob", "alice"))["conversation"]
    await say(alice, "to the second bob", "bob")

    listed = await infos(alice)
    assert {each: (listed[each]["name"], listed[each].get("deleted", False)) for each in (pair, new)} == {
        pair: ("bob~1", True),
        new: ("bob", False),
    }
    assert (listed[pair]["unread"], listed[new]["unread"]) == (1, 1)
    old_page = await ask(alice, {"type": "history", "conversation": pair})
    assert [each["from"] for each in old_page["messages"]] == ["bob~1", "alice"]
    page = await ask(second, {"type": "history", "conversation": place.conversation})
    assert senders(page["messages"]) == [
        ("bob~1", "first bob"),
        ("carol", "hi @bob"),
        ("bob", "second bob"),
    ]
    assert page["messages"][1]["mentions"] == ["bob~1"]
    found = await matches(alice, "bob from")
    assert {(each["conversation"], each["name"], each["from"]) for each in found} == {
        (pair, "bob~1", "bob~1"),
        (new, "bob", "bob"),
    }
    log = (await ask(alice, room("log", place.name)))["entries"]
    assert {each["user"] for each in log if each["action"] in ("mute", "unmute")} == {"bob~1"}
    members = (await ask(alice, room("members", place.name)))["members"]
    assert sorted(each["user"] for each in members) == ["alice", "bob", "carol"]

    assert (await say(alice, chat("bob~1", "hello?")))["code"] == "unknown_recipient"
    alice.send({"type": "whois", "user": "bob~1"})
    answer = await alice.receive_type("whois")
    assert (answer["user"], answer["known"]) == ("bob~1", False)


async def test_a_name_is_given_away_while_away(start_daemon: StartDaemon, wires: Wires) -> None:
    """What is replayed later shows former holders with numbers, in the order in which they had the name."""
    daemon = start_daemon()
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    place, pair = await meet(alice, bob, carol)
    await alice.close()
    await give_away(daemon, "bob")
    (bob,) = await wires.login(daemon, "bob")
    middle = (await say(bob, "from the second bob", "alice"))["conversation"]
    await give_away(daemon, "bob")
    (bob,) = await wires.login(daemon, "bob")
    new = (await say(bob, "from the third bob", "alice"))["conversation"]

    positions = dict.fromkeys((pair, place.conversation), 0)
    missed = (await resume(wires, daemon, "alice", positions)).missed
    of = {each: [one for one in missed if one.get("conversation") == each] for each in (pair, middle, new)}
    assert [(each["from"], each["to"]) for each in of[pair] if each["type"] == "chat"] == [
        ("bob~1", "alice"),
        ("alice", "bob~1"),
    ]
    assert senders(of[middle]) == [("bob~2", "from the second bob")]
    assert senders(of[new]) == [("bob", "from the third bob")]
    in_room = [each for each in missed if place.concerns(each)]
    assert [each["from"] for each in in_room if each["type"] == "react"] == ["bob~1"]
    # A restarted daemon has the same names.
    await wires.close()  # which the shutdown would wait for
    assert daemon.stop() == 0
    (alice,) = await wires.login(start_daemon(), "alice")
    listed = await infos(alice)
    assert [listed[each]["name"] for each in (pair, middle, new)] == ["bob~1", "bob~2", "bob"]


def meant(sent: Frame, conversation: str) -> Frame:
    """Return a message or an event with the conversation that it is meant for."""
    return {**sent, "conversation": conversation}


async def test_what_was_meant_for_the_former_holder_reaches_no_one(
    start_daemon: StartDaemon, wires: Wires
) -> None:
    """Nothing with the old conversation goes to the new account, and what was stored stays so."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")
    first = chat("bob", "to the first bob")
    ack = await say(alice, first)
    pair = ack["conversation"]
    assert (await say(alice, meant(chat("bob", "again"), pair)))["seq"] == 2
    await give_away(daemon, "bob")
    (bob,) = await wires.login(daemon, "bob")
    new = (await say(alice, "to the second bob", "bob"))["conversation"]
    await bob.receive_type("chat")
    for sent in (
        chat("bob", "a secret"),
        edit("bob", 1, "a secret"),
        redact("bob", 1),
        react("bob", 1, "+1"),
    ):
        for conversation in (pair, "c999", "nonsense", ""):
            assert (await say(alice, meant(sent, conversation)))["code"] == "unknown_recipient"
    assert (await say(alice, meant(chat("bob", "for you"), new)))["seq"] == 2
    assert [each["body"] for each in await bob.drain() if each["type"] == "chat"] == ["for you"]


async def test_what_was_meant_for_a_deleted_room_reaches_no_one(
    start_daemon: StartDaemon, wires: Wires
) -> None:
    """A room with the name of a deleted one is another conversation, with nothing of the old one."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    old = await make_room(alice)
    await say(alice, "in the old room", old.name)
    await command(daemon, "room", "delete", "--yes", old.name)
    await alice.receive_type("room_left")
    await ask(alice, room("create", old.name))
    listed = await infos(alice)
    [new] = [each for each, info in listed.items() if info["name"] == old.name]
    assert old.conversation not in listed
    assert (await say(alice, meant(chat(old.name, "a secret"), old.conversation)))["code"] == "unknown_room"
    assert (await say(alice, meant(chat(old.name, "for you"), new)))["seq"] == 1
    exported = await command(daemon, "room", "export", old.name)
    assert "in the old room" not in exported
    assert "for you" in exported
    assert (await ask(alice, {"type": "history", "conversation": old.conversation}))["type"] == "error"


async def test_exports_tell_the_holders_apart(start_daemon: StartDaemon, wires: Wires) -> None:
    """Exports and `room show` have the same names as the wire."""
    daemon = start_daemon()
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    place, pair = await meet(alice, bob, carol)
    await give_away(daemon, "bob")

    def lines(text: str) -> list[Any]:
        return [json.loads(line) for line in text.splitlines()]

    exported = lines(await command(daemon, "export", "alice"))
    with_bob = next(each for each in exported if each.get("conversation") == pair)
    assert (with_bob["with"], with_bob["with_account"]) == ("bob~1", "a2")
    assert {each["from"] for each in exported if each["type"] == "message"} == {"alice", "bob~1", "carol"}
    of_bob = lines(await command(daemon, "export", "--id", "a2"))
    assert (of_bob[0]["name"], of_bob[0]["account"]) == ("bob~1", "a2")
    assert lines(await command(daemon, "export", "bob"))[0]["account"] == "a4"
    of_room = lines(await command(daemon, "room", "export", place.name))
    assert {each["from"] for each in of_room if each["type"] == "message"} == {"bob~1", "carol"}
    shown = json.loads(await command(daemon, "room", "show", "--log", "--json", place.name))
    assert {each["user"] for each in shown["log"] if each["action"] == "mute"} == {"bob~1"}
