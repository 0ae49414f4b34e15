"""What happens to messages, in rooms and pairs: edits, answers, reactions, mentions; and who is typing."""

import pytest

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
    """The messages of a conversation."""
    messages: list[Frame] = (await ask(wire, {"type": "history", "conversation": conversation}))["messages"]
    return messages


async def unread(wire: Wire, conversation: str) -> tuple[int, int]:
    """How many messages of a conversation are unread, and how many of them mention the person."""
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(wire, {"type": "conversations", "cursor": cursor})
        for info in page["conversations"]:
            if info["conversation"] == conversation:
                return info["unread"], info.get("mentions", 0)
        cursor = page.get("cursor")
    raise AssertionError(conversation)


async def test_an_edit(model_room: Daemon, wires: Wires) -> None:
    """A text of one's own is replaced, live and replayed; history has the newest, and when it was made."""
    alice, bob, other = await wires.login(model_room, "alice", "bob", "bob")
    place = await make_room(alice, bob)
    first = await say(bob, "helo", place.name)
    ack = await say(bob, edit(place.name, 1, "hello @alice"))
    assert (ack["seq"], ack["conversation"]) == (2, place.conversation)
    for wire in (alice, other):
        told = await wire.receive_type("edit")
        assert (told["seq"], told["target"], told["from"], told["to"], told["body"]) == (
            2,
            1,
            "bob",
            place.name,
            "hello @alice",
        )
        assert (told["origin"], told["mentions"], told["time"]) == ("live", ["alice"], ack["time"])
    await say(bob, edit(place.name, 1, "hello"))
    (message,) = await history(alice, place.conversation)
    assert (message["body"], message["time"]) == ("hello", first["time"])
    assert message["edited"] >= ack["time"]
    assert "mentions" not in message
    missed = (await resume(wires, model_room, "alice", {place.conversation: 0})).missed
    assert [(each["seq"], each["type"], each["body"]) for each in missed if place.concerns(each)] == [
        (1, "chat", "hello"),
        (2, "edit", "hello"),
        (3, "edit", "hello"),
    ]
    assert (await say(alice, edit(place.name, 1, "mine")))["code"] == "not_allowed"


@pytest.mark.parametrize(("history", "text"), [("joining", ""), ("full", "the new secret")])
async def test_an_edit_of_what_one_may_not_see(
    model_room: Daemon, wires: Wires, history: str, text: str
) -> None:
    """Who came later is told that there was one, and its text only if they may see the message."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, history=history)
    await say(alice, "a secret", place.name)
    assert await code(bob, join(place.name)) == "ok"
    assert (await say(alice, edit(place.name, 1, "the new secret")))["seq"] == 2
    await say(alice, "hello", place.name)
    (live,) = [frame for frame in await place.news(bob) if frame["type"] == "edit"]
    missed = (await resume(wires, model_room, "bob", {place.conversation: 1})).missed
    (replayed,) = [frame for frame in missed if place.concerns(frame) and frame["type"] == "edit"]
    assert (live["seq"], live["body"]) == (replayed["seq"], replayed["body"]) == (2, text)


async def test_no_edits_at_all(start_daemon: StartDaemon, wires: Wires) -> None:
    """With 0 there are none, also not at once; redacting one's own is never too late."""
    daemon = start_daemon("history.edit_within=0s")
    (alice,) = await wires.login(daemon, "alice")
    told = await answers(alice, chat("bob", "one"), edit("bob", 1, "two"), redact("bob", 1))
    assert [frame.get("code") for frame in told] == [None, "too_late", None]


async def test_an_answer_names_its_message(model_room: Daemon, wires: Wires) -> None:
    """By its seq, live and in history; what one may not see is not there, as what never was."""
    alice, bob = await wires.login(model_room, "alice", "bob")
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


async def test_reactions(model_room: Daemon, wires: Wires) -> None:
    """Each person has each of theirs once; they are counted, and may be taken away, also once."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    await say(alice, "lunch?", place.name)
    for wire, text in ((carol, "+1"), (bob, "+1"), (bob, "🍜"), (alice, "🍜")):
        assert (await say(wire, react(place.name, 1, text)))["type"] == "chat_ack"
    for sent in (react(place.name, 1, "+1"), react(place.name, 1, "ok", remove=True)):
        assert (await say(bob, sent))["code"] == "unchanged"
    told = await carol.receive_type("react")
    assert (told["from"], told["text"], told["target"], told["to"]) == ("bob", "+1", 1, place.name)
    await say(alice, react(place.name, 1, "🍜", remove=True))
    while not (told := await bob.receive_type("react")).get("removed"):
        pass
    assert (told["from"], told["text"], told["seq"]) == ("alice", "🍜", 6)
    (message,) = await history(bob, place.conversation)
    assert message["reactions"] == [
        {"text": "+1", "count": 2, "mine": True},
        {"text": "🍜", "count": 1, "mine": True},
    ]
    (message,) = await history(alice, place.conversation)
    assert message["reactions"] == [{"text": "+1", "count": 2}, {"text": "🍜", "count": 1}]


async def test_a_message_has_twenty_reactions(model_room: Daemon, wires: Wires) -> None:
    """Different ones; of those that are there, any number of people may put one."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, "x", place.name)
    for n in range(20):
        assert (await say(bob, react(place.name, 1, f"r{n}")))["type"] == "chat_ack"
    assert (await say(alice, react(place.name, 1, "one more")))["code"] == "bad_text"
    assert (await say(alice, react(place.name, 1, "more")))["code"] == "too_many_reactions"
    assert (await say(alice, react(place.name, 1, "r7")))["type"] == "chat_ack"


async def test_mentions_are_counted_apart(model_room: Daemon, wires: Wires) -> None:
    """Unread tells mentions from messages; events are neither, and only members can be mentioned."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    texts = ["hello", "hello @Bob, and @dave", "@carol: @bob.", "bob", "mail bob@example.org"]
    for text in texts:
        await say(alice, text, place.name)
    await say(alice, react(place.name, 1, "+1"))
    told = [frame.get("mentions", []) for frame in await place.news(bob) if frame["type"] == "chat"]
    assert told == [[], ["bob"], ["carol", "bob"], [], []]
    assert await unread(bob, place.conversation) == (5, 2)
    assert await unread(carol, place.conversation) == (5, 1)
    assert await unread(alice, place.conversation) == (0, 0)
    bob.send({"type": "read", "conversation": place.conversation, "seq": 2})
    assert await unread(bob, place.conversation) == (3, 1)
    await say(alice, edit(place.name, 5, "@bob!"))
    assert await unread(bob, place.conversation) == (3, 2)
    await say(alice, redact(place.name, 3))
    assert await unread(bob, place.conversation) == (3, 1)


async def test_all_of_it_between_two(model_room: Daemon, wires: Wires) -> None:
    """Edits, answers, reactions and mentions work in pairs; nobody redacts the other's message there."""
    dave, erin = await wires.login(model_room, "dave", "erin")
    first = await say(dave, "helo @erin", "erin")
    conversation, seq = first["conversation"], first["seq"]
    told = await erin.receive_type("chat")
    assert (told["mentions"], told["to"]) == (["erin"], "erin")
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


async def test_an_event_that_is_sent_again_happens_once(model_room: Daemon, wires: Wires) -> None:
    """The same id is the same event, with the first ack; another event under it is a conflict."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, "one", place.name)
    for sent, other in (
        (react(place.name, 1, "+1"), {"text": "-1"}),
        (edit(place.name, 1, "uno"), {"body": "due"}),
        (redact(place.name, 1, "a reason"), {"target": 2}),
    ):
        first = await say(alice, sent)
        assert await say(alice, sent) == first
        assert (await say(alice, {**sent, **other}))["code"] == "id_conflict"
    events = [each["type"] for each in await place.news(bob) if each["type"] != "chat"]
    assert events == ["react", "edit", "redact"]


# --- typing


async def typists(*wires: Wire, to: str) -> None:
    """Let some people type; the server has heard all of them then."""
    for wire in wires:
        wire.send({"type": "typing", "to": to})
        await wire.drain()


async def test_typing_in_a_room_is_summarised(model_room: Daemon, wires: Wires) -> None:
    """Three names and a number, once a second at most, the same for all who want to know."""
    everybody = await wires.login(model_room, "alice", "bob", "carol", "dave", "erin", features=["typing"])
    (silent,) = await wires.login(model_room, "alice")
    place = await make_room(*everybody)
    alice = everybody[0]
    await typists(everybody[1], to=place.name)
    await typists(*everybody[2:], to=place.name)
    seen: list[Frame] = []
    while sum(each["count"] for each in seen) < 4:
        seen.append(await alice.receive_type("typing"))
    assert {each["to"] for each in seen} == {place.name}
    assert len(seen) <= 2
    assert all(len(each["users"]) == min(each["count"], 3) for each in seen)
    assert "typing" not in {each["type"] for each in await silent.drain()}


async def test_typing_between_two(model_room: Daemon, wires: Wires) -> None:
    """It comes at once, and to nobody else."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol", features=["typing"])
    await typists(bob, to="Alice")
    assert await alice.receive_type("typing") == {
        "type": "typing",
        "to": "alice",
        "users": ["bob"],
        "count": 1,
    }
    assert "typing" not in {each["type"] for each in [*await carol.drain(), *await bob.drain()]}


@pytest.mark.parametrize("features", [[], ["read_receipts"]])
async def test_who_does_not_want_typing_tells_nothing(
    model_room: Daemon, wires: Wires, features: list[str]
) -> None:
    """It goes both ways."""
    (alice,) = await wires.login(model_room, "alice", features=["typing"])
    (bob,) = await wires.login(model_room, "bob", features=features)
    place: Place = await make_room(alice, bob)
    await typists(bob, to="alice")
    await typists(bob, to=place.name)
    await typists(alice, to="bob")
    await typists(alice, to=place.name)
    for wire in (alice, bob):
        users = [each["users"] for each in await wire.drain() if each["type"] == "typing"]
        assert ["bob"] not in users
    assert "typing" not in {each["type"] for each in await bob.drain()}


async def test_typing_where_one_is_not(model_room: Daemon, wires: Wires) -> None:
    """In a room of others, in none, to nobody: there is no answer, and nobody is told."""
    alice, bob = await wires.login(model_room, "alice", "bob", features=["typing"])
    place = await make_room(alice, bob)
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(alice, room("topic", place.name, text="x")) == "ok"
    for to in (place.name, "#nowhere", "nobody", "", "#", "bob"):
        await typists(bob, to=to)
    await alice.receive_type("room")
    assert "typing" not in {each["type"] for each in await place.news(alice)}
