"""Events in rooms and pairs: edits, replies, reactions, mentions, and typing indicators."""

import time

import pytest

from qscp.rooms import is_room
from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.rooms import (
    Place,
    answers,
    ask,
    code,
    edit,
    join,
    leave,
    make_room,
    react,
    redact,
    room,
    say,
)
from tests.support.wire import Frame, Wire, Wires, chat


async def history(wire: Wire, conversation: str) -> list[Frame]:
    """Return the messages of a conversation."""
    messages: list[Frame] = (await ask(wire, {"type": "history", "conversation": conversation}))["messages"]
    return messages


async def unread(wire: Wire, conversation: str) -> tuple[int, int]:
    """Return how many messages of a conversation are unread, and how many of them mention the user."""
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(wire, {"type": "conversations", "cursor": cursor})
        for info in page["conversations"]:
            if info["conversation"] == conversation:
                return info["unread"], info.get("mentions", 0)
        cursor = page.get("cursor")
    raise AssertionError(conversation)


async def test_an_edit(room_daemon: Daemon, wires: Wires) -> None:
    """An edit replaces an own text, live and replayed; history has the last text, and its time."""
    alice, bob, other = await wires.login(room_daemon, "alice", "bob", "bob")
    place = await make_room(alice, bob)
    first = await say(bob, "helo", place.name)
    ack = await say(bob, edit(place.name, 1, "hello @alice"))
    assert (ack["seq"], ack["conversation"]) == (2, place.conversation)
    for wire in (alice, other):
        received = await wire.receive_type("edit")
        assert (received["seq"], received["target"], received["from"], received["to"], received["body"]) == (
            2,
            1,
            "bob",
            place.name,
            "hello @alice",
        )
        assert (received["origin"], received["mentions"], received["time"]) == (
            "live",
            ["alice"],
            ack["time"],
        )
    await say(bob, edit(place.name, 1, "hello"))
    (message,) = await history(alice, place.conversation)
    assert (message["body"], message["time"]) == ("hello", first["time"])
    assert message["edited"] >= ack["time"]
    assert "mentions" not in message
    missed = (await resume(wires, room_daemon, "alice", {place.conversation: 0})).missed
    assert [(each["seq"], each["type"], each["body"]) for each in missed if place.concerns(each)] == [
        (1, "chat", "hello"),
        (2, "edit", "hello"),
        (3, "edit", "hello"),
    ]
    assert (await say(alice, edit(place.name, 1, "mine")))["code"] == "not_allowed"


async def test_an_ack_has_what_the_sender_cannot_know(room_daemon: Daemon, wires: Wires) -> None:
    """`chat_ack` has a reaction's count, also 0, and mentions; of a retry `repeated`, and the count now."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    mine, plain = react(place.name, 1, "+1"), chat(place.name, "hello @alice")
    acks = [
        await say(bob, sent)
        for sent in (plain, mine, react(place.name, 1, "+1", remove=True), edit(place.name, 1, "@bob"))
    ]
    found = [(each.get("count"), each.get("mentions"), "repeated" in each) for each in acks]
    assert found == [(None, ["alice"], False), (1, None, False), (0, None, False), (None, ["bob"], False)]
    assert (await say(alice, react(place.name, 1, "+1")))["count"] == 1
    assert (await say(alice, react(place.name, 1, "no")))["count"] == 1
    first = {key: acks[1][key] for key in ("type", "id", "conversation", "seq", "time")}
    assert await say(bob, mine) == {**first, "count": 1, "repeated": True}
    again = await say(bob, plain)
    assert again == {**{key: each for key, each in acks[0].items() if key != "mentions"}, "repeated": True}
    redaction = await say(bob, redact(place.name, 1))
    assert not {"count", "mentions", "repeated"} & redaction.keys()
    assert (await say(bob, mine))["count"] == 0


@pytest.mark.parametrize(("history", "text"), [("joining", ""), ("full", "the new secret")])
async def test_an_edit_of_a_message_from_before_joining(
    room_daemon: Daemon, wires: Wires, history: str, text: str
) -> None:
    """A later member receives the edit, with its text only if the message is visible."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, history=history)
    await say(alice, "a secret", place.name)
    assert await code(bob, join(place.name)) == "ok"
    assert (await say(alice, edit(place.name, 1, "the new secret")))["seq"] == 2
    await say(alice, "hello", place.name)
    (live,) = [frame for frame in await place.news(bob) if frame["type"] == "edit"]
    missed = (await resume(wires, room_daemon, "bob", {place.conversation: 1})).missed
    (replayed,) = [frame for frame in missed if place.concerns(frame) and frame["type"] == "edit"]
    assert (live["seq"], live["body"]) == (replayed["seq"], replayed["body"]) == (2, text)


async def test_no_edits_at_all(start_daemon: StartDaemon, wires: Wires) -> None:
    """`edit_within=0s` refuses every edit; redacting an own message is never too late."""
    daemon = start_daemon("history.edit_within=0s")
    (alice,) = await wires.login(daemon, "alice")
    received = await answers(alice, chat("bob", "one"), edit("bob", 1, "two"), redact("bob", 1))
    assert [frame.get("code") for frame in received] == [None, "too_late", None]


async def test_a_reply_names_its_target(room_daemon: Daemon, wires: Wires) -> None:
    """A reply names its target's seq; a hidden target is refused like one that does not exist."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice)
    await say(alice, "before bob", place.name)
    assert await code(bob, join(place.name)) == "ok"
    await say(alice, "a question", place.name)
    assert (await say(bob, {**chat(place.name, "an answer"), "reply_to": 2}))["seq"] == 3
    assert (await alice.receive_type("chat"))["reply_to"] == 2
    assert [each.get("reply_to") for each in await history(bob, place.conversation)] == [None, 2]
    for seq in (1, 4, 2**53 - 1):
        for sent in ({**chat(place.name, "x"), "reply_to": seq}, react(place.name, seq, "+1")):
            assert (await say(bob, sent))["code"] == "unknown_message"
    assert (await say(alice, {**chat(place.name, "x"), "reply_to": 1}))["seq"] == 4


async def test_reactions(room_daemon: Daemon, wires: Wires) -> None:
    """A user can add and remove each reaction once, and history counts them."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    await say(alice, "lunch?", place.name)
    for wire, text in ((carol, "+1"), (bob, "+1"), (bob, "🍜"), (alice, "🍜")):
        assert (await say(wire, react(place.name, 1, text)))["type"] == "chat_ack"
    for sent in (react(place.name, 1, "+1"), react(place.name, 1, "ok", remove=True)):
        assert (await say(bob, sent))["code"] == "unchanged"
    received = await carol.receive_type("react")
    assert (received["from"], received["text"], received["target"], received["to"]) == (
        "bob",
        "+1",
        1,
        place.name,
    )
    await say(alice, react(place.name, 1, "🍜", remove=True))
    while not (received := await bob.receive_type("react")).get("removed"):
        pass
    assert (received["from"], received["text"], received["seq"]) == ("alice", "🍜", 6)
    (message,) = await history(bob, place.conversation)
    assert message["reactions"] == [
        {"text": "+1", "count": 2, "mine": True},
        {"text": "🍜", "count": 1, "mine": True},
    ]
    (message,) = await history(alice, place.conversation)
    assert message["reactions"] == [{"text": "+1", "count": 2}, {"text": "🍜", "count": 1}]


async def test_a_message_has_twenty_reactions(room_daemon: Daemon, wires: Wires) -> None:
    """A message can have 20 different reactions, each by any number of users."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, "x", place.name)
    for n in range(20):
        assert (await say(bob, react(place.name, 1, f"r{n}")))["type"] == "chat_ack"
    assert (await say(alice, react(place.name, 1, "one more")))["code"] == "bad_text"
    assert (await say(alice, react(place.name, 1, "more")))["code"] == "too_many_reactions"
    assert (await say(alice, react(place.name, 1, "r7")))["type"] == "chat_ack"


async def test_mentions_are_counted_apart(room_daemon: Daemon, wires: Wires) -> None:
    """Unread mentions are counted apart from messages; events don't count, and only members are mentioned."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    texts = ["hello", "hello @Bob, and @dave", "@carol: @bob.", "bob", "mail bob@example.org"]
    for text in texts:
        await say(alice, text, place.name)
    await say(alice, react(place.name, 1, "+1"))
    received = [frame.get("mentions", []) for frame in await place.news(bob) if frame["type"] == "chat"]
    assert received == [[], ["bob"], ["carol", "bob"], [], []]
    assert await unread(bob, place.conversation) == (5, 2)
    assert await unread(carol, place.conversation) == (5, 1)
    assert await unread(alice, place.conversation) == (0, 0)
    bob.send({"type": "read", "conversation": place.conversation, "seq": 2})
    assert await unread(bob, place.conversation) == (3, 1)
    await say(alice, edit(place.name, 5, "@bob!"))
    assert await unread(bob, place.conversation) == (3, 2)
    await say(alice, redact(place.name, 3))
    assert await unread(bob, place.conversation) == (3, 1)


async def test_events_in_a_pair(room_daemon: Daemon, wires: Wires) -> None:
    """Edits, replies, reactions and mentions work in pairs, without redactions of the other's messages."""
    dave, erin = await wires.login(room_daemon, "dave", "erin")
    first = await say(dave, "helo @erin", "erin")
    conversation, seq = first["conversation"], first["seq"]
    received = await erin.receive_type("chat")
    assert (received["mentions"], received["to"]) == (["erin"], "erin")
    assert (await say(erin, redact("dave", seq)))["code"] == "not_allowed"
    assert (await say(erin, edit("dave", seq, "mine")))["code"] == "not_allowed"
    assert (await say(erin, react("dave", seq, "+1")))["seq"] == seq + 1
    assert (await say(erin, {**chat("dave", "hi"), "reply_to": seq}))["seq"] == seq + 2
    assert (await say(dave, edit("erin", seq, "hello")))["seq"] == seq + 3
    assert (await erin.receive_type("edit"))["to"] == "erin"
    message, answer = (await history(erin, conversation))[-2:]
    assert (message["body"], message["reactions"]) == ("hello", [{"text": "+1", "count": 1, "mine": True}])
    assert answer["reply_to"] == seq
    assert (await say(dave, redact("erin", seq)))["seq"] == seq + 4
    message, _ = (await history(erin, conversation))[-2:]
    assert (message["body"], message["erased"]) == ("", True)


async def test_an_event_that_is_sent_again_happens_once(room_daemon: Daemon, wires: Wires) -> None:
    """A repeated event gets the first ack and is applied once; another one under its id is a conflict."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, "one", place.name)
    for sent, other in (
        (react(place.name, 1, "+1"), {"text": "-1"}),
        (edit(place.name, 1, "uno"), {"body": "due"}),
        (redact(place.name, 1, "a reason"), {"target": 2}),
    ):
        first = await say(alice, sent)
        again = await say(alice, sent)
        assert again == {**first, "repeated": True}
        assert (await say(alice, {**sent, **other}))["code"] == "id_conflict"
    events = [each["type"] for each in await place.news(bob) if each["type"] != "chat"]
    assert events == ["react", "edit", "redact"]


# --- typing indicators


async def start_typing(*wires: Wire, to: str) -> None:
    """Send `typing` from some sessions, and wait until the server has handled it."""
    for wire in wires:
        wire.send({"type": "typing", "to": to})
        await wire.drain()


async def test_typing_in_a_room_is_summarised(room_daemon: Daemon, wires: Wires) -> None:
    """Members receive three names and a count of users typing, once a second at most."""
    members = await wires.login(room_daemon, "alice", "bob", "carol", "dave", "erin", features=["typing"])
    (silent,) = await wires.login(room_daemon, "alice")
    place = await make_room(*members)
    alice = members[0]
    began = time.monotonic()
    await start_typing(members[1], to=place.name)
    await start_typing(*members[2:], to=place.name)
    seen: list[Frame] = []
    while sum(each["count"] for each in seen) < 4:
        seen.append(await place.receive(alice, "typing"))
    assert {each["to"] for each in seen} == {place.name}
    assert len(seen) <= 1 + round(time.monotonic() - began)
    assert all(len(each["users"]) == min(each["count"], 3) for each in seen)
    assert "typing" not in {each["type"] for each in await silent.drain()}


async def test_typing_between_two(room_daemon: Daemon, wires: Wires) -> None:
    """Typing in a pair reaches the other user at once, and no one else."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol", features=["typing"])
    await start_typing(bob, to="Alice")
    typing = await alice.receive_type("typing")
    while is_room(typing["to"]):  # of an earlier test
        typing = await alice.receive_type("typing")
    assert typing == {"type": "typing", "to": "alice", "users": ["bob"], "count": 1}
    others = [*await carol.drain(), *await bob.drain()]
    assert [each for each in others if each["type"] == "typing" and not is_room(each["to"])] == []


@pytest.mark.parametrize("features", [[], ["read_receipts"]])
async def test_typing_needs_the_feature(room_daemon: Daemon, wires: Wires, features: list[str]) -> None:
    """A session without the feature sends and receives no typing indicators."""
    (alice,) = await wires.login(room_daemon, "alice", features=["typing"])
    (bob,) = await wires.login(room_daemon, "bob", features=features)
    place: Place = await make_room(alice, bob)
    await start_typing(bob, to="alice")
    await start_typing(bob, to=place.name)
    await start_typing(alice, to="bob")
    await start_typing(alice, to=place.name)
    for wire in (alice, bob):
        users = [each["users"] for each in await wire.drain() if each["type"] == "typing"]
        assert ["bob"] not in users
    assert "typing" not in {each["type"] for each in await bob.drain()}


async def test_typing_to_an_invalid_target(room_daemon: Daemon, wires: Wires) -> None:
    """Typing to other rooms, unknown names or oneself is ignored, without an answer."""
    alice, bob = await wires.login(room_daemon, "alice", "bob", features=["typing"])
    place = await make_room(alice, bob)
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(alice, room("topic", place.name, text="x")) == "ok"
    for to in (place.name, "#nowhere", "nobody", "", "#", "bob"):
        await start_typing(bob, to=to)
    await place.receive(alice, "room")
    assert "typing" not in {each["type"] for each in await place.news(alice)}
