"""Rooms and those who mean no good: a code, and the session goes on; closed rooms stay closed."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from qscp.limits import TOPIC_LIMIT
from tests.support.daemon import Daemon, StartDaemon
from tests.support.rooms import (
    Place,
    ask,
    code,
    edit,
    fresh_room,
    join,
    leave,
    make_room,
    react,
    redact,
    room,
    say,
)
from tests.support.wire import Frame, Wire, Wires, chat

HOSTILE_NAMES = (
    "",
    "#",
    "##x",
    "# x",
    "#x y",
    "#x\ny",
    "#x\0",
    "#\u202ex",
    "#é",
    "#\u212a",
    "#-x",
    "#" + "x" * 33,
    "x" * 200,
    "#x#",
    "#../x",
    "#x'; DROP TABLE rooms; --",
    "#<script>",
    "@alice",
)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_hostile_names(model_room: Daemon, wires: Wires, name: str) -> None:
    """Nothing of that name is made or found, and the session goes on."""
    (alice,) = await wires.login(model_room, "alice")
    for question in (
        room("create", name),
        room("members", name),
        room("invite", name, "bob"),
        join(name),
        leave(name),
    ):
        assert await code(alice, question) == "bad_room_name"
    for sent in (chat("#" + name, "x"), edit("#" + name, 1, "x"), react("#" + name, 1, "+1")):
        assert (await say(alice, sent))["code"] == "unknown_room"
    await alice.drain()


async def test_a_name_that_is_too_long_for_a_name(model_room: Daemon, wires: Wires) -> None:
    """Past 200 characters it is a violation like others: an `error` without `ref`, and the end."""
    (alice,) = await wires.login(model_room, "alice")
    alice.send(join("#" + "x" * 200))
    assert [(each["type"], each["code"]) for each in await alice.rest() if "code" in each] == [
        ("error", "bad_field")
    ]


@pytest.mark.parametrize(
    "text", ["two\nlines", "\0", "\x1b[2J", "\u202egnol", "x" * (TOPIC_LIMIT + 1), "é" * 201]
)
async def test_hostile_topics_and_reasons(model_room: Daemon, wires: Wires, text: str) -> None:
    """`bad_text`, wherever a person's line goes, and nothing is changed or written down."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob, text="fine")
    await say(bob, "hello", place.name)
    for question in (
        room("create", fresh_room(), text=text),
        room("topic", place.name, text=text),
        room("remove", place.name, "bob", text=text),
        room("ban", place.name, "bob", text=text),
        room("mute", place.name, "bob", text=text),
    ):
        assert await code(alice, question) == "bad_text"
    assert (await say(alice, redact(place.name, 1, text)))["code"] == "bad_text"
    assert [entry["action"] for entry in (await ask(alice, room("log", place.name)))["entries"]] == ["create"]
    assert (await say(bob, "still here", place.name))["seq"] == 2


@pytest.mark.parametrize("text", ["", " ", "a b", "x" * 33, "\n", "\u200b", "\ufe0f\u200d", "\x1b"])
async def test_hostile_reactions(model_room: Daemon, wires: Wires, text: str) -> None:
    """What can't be seen, or is more than a word, is none."""
    alice, _ = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice)
    await say(alice, "x", place.name)
    assert (await say(alice, react(place.name, 1, text)))["code"] == "bad_text"


@pytest.mark.parametrize(
    "body",
    ["@" * 16000, "@bob" * 4000, "@bob@" * 3000, "@bob " * 3000, " ".join(f"@u{n}" for n in range(2000))],
)
async def test_hostile_mentions(model_room: Daemon, wires: Wires, body: str) -> None:
    """However many, each person is mentioned once at most, and the message goes its way."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    assert (await say(alice, body, place.name))["seq"] == 1
    assert (await bob.receive_type("chat")).get("mentions", []) in ([], ["bob"])


async def test_twice_and_never(model_room: Daemon, wires: Wires) -> None:
    """Joining twice, leaving what one is not in, making what is there, inviting who is in: codes."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    name, nowhere = place.name, fresh_room()
    for wire, question, expected in (
        (bob, join(name), "already_member"),
        (bob, room("create", name), "room_exists"),
        (alice, room("invite", name, "bob"), "already_member"),
        (alice, room("remove", name, "carol"), "user_not_member"),
        (alice, room("mute", name, "carol"), "user_not_member"),
        (alice, room("role", name, "carol", role="owner"), "user_not_member"),
        (alice, room("invite", name, "nobody"), "unknown_user"),
        (alice, room("unarchive", name), "not_allowed"),
        (bob, leave(name), "ok"),
        (bob, leave(name), "not_a_member"),
        (bob, room("topic", name, text="x"), "not_a_member"),
        (bob, join(nowhere), "unknown_room"),
        (bob, leave(nowhere), "unknown_room"),
        (bob, room("topic", nowhere, text="x"), "unknown_room"),
    ):
        assert await code(wire, question) == expected, question
    for sent in (chat(name, "x"), edit(name, 1, "x"), redact(name, 1), react(name, 1, "+1")):
        assert (await say(bob, sent))["code"] == "not_a_member"
        assert (await say(bob, {**sent, "to": nowhere}))["code"] == "unknown_room"


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("topic", {}),
        ("topic", {"text": "x", "seconds": 1}),
        ("create", {"user": "bob"}),
        ("create", {"seconds": 3}),
        ("ban", {}),
        ("ban", {"user": "bob", "role": "member"}),
        ("role", {"user": "bob"}),
        ("role", {"role": "owner"}),
        ("set", {"seconds": 86401}),
        ("set", {"text": "x"}),
        ("members", {"user": "bob"}),
        ("archive", {"text": "x"}),
    ],
)
async def test_fields_that_an_action_has_not(
    model_room: Daemon, wires: Wires, action: str, fields: dict[str, object]
) -> None:
    """What is missing or too much is `bad_field` with `ref`; nothing is done."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    name = fresh_room() if action == "create" else place.name
    assert await code(alice, room(action, name, **fields)) == "bad_field"
    page = await ask(alice, room("members", place.name))
    assert [each["role"] for each in page["members"]] == ["owner", "member"]


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 200, "\uff11", "0", "#zzz", "\0"])
async def test_cursors_that_nobody_gave(model_room: Daemon, wires: Wires, cursor: str) -> None:
    """They give a page, whatever is on it."""
    (alice,) = await wires.login(model_room, "alice")
    place = await make_room(alice)
    assert (await ask(alice, room("log", place.name, cursor=cursor)))["type"] == "room_log"
    assert (await ask(alice, room("members", place.name, cursor=cursor)))["type"] == "room_members"
    assert (await ask(alice, {"type": "rooms", "cursor": cursor}))["type"] == "rooms"


async def test_the_last_owner_stays(model_room: Daemon, wires: Wires) -> None:
    """Until there is another, or the room is archived and somebody is left in it."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    assert await code(alice, leave(place.name)) == "last_owner"
    assert await code(alice, room("role", place.name, "alice", role="moderator")) == "last_owner"
    assert await code(alice, room("role", place.name, "bob", role="owner")) == "ok"
    assert await code(alice, leave(place.name)) == "ok"
    assert await code(bob, room("archive", place.name)) == "ok"
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(bob, room("unarchive", place.name)) == "not_a_member"
    assert await code(carol, leave(place.name)) == "last_owner"


QUESTIONS: tuple[Callable[[str], Frame], ...] = (
    join,
    leave,
    *(partial(room, action) for action in ("members", "log", "archive", "unarchive")),
    lambda name: room("invite", name, "alice"),
    lambda name: room("remove", name, "alice"),
    lambda name: room("ban", name, "alice"),
    lambda name: room("unban", name, "alice"),
    lambda name: room("mute", name, "alice"),
    lambda name: room("unmute", name, "alice"),
    lambda name: room("topic", name, text="x"),
    lambda name: room("set", name, seconds=1),
    lambda name: room("role", name, "alice", role="member"),
)
EVENTS: tuple[Callable[[str], Frame], ...] = (
    lambda to: chat(to, "x"),
    lambda to: react(to, 1, "+1"),
    lambda to: edit(to, 1, "x"),
    lambda to: redact(to, 1),
)


async def test_nothing_is_told_of_a_closed_room(model_room: Daemon, wires: Wires) -> None:
    """To who is not in it every answer is that for a name that no room has, and nothing comes by itself."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol", features=["typing"])
    closed = await make_room(alice, kind="closed")
    nowhere = fresh_room()

    def anonymous(frame: Frame, name: str) -> Frame:
        return {key: "#" if value == name else value for key, value in frame.items() if key != "id"}

    for make in QUESTIONS:
        told = [anonymous(await ask(bob, make(name)), name) for name in (closed.name, nowhere)]
        assert told[0] == told[1], make(closed.name)
        assert told[0]["code"] == "unknown_room"
    for make in EVENTS:
        told = [anonymous(await say(bob, make(name)), name) for name in (closed.name, nowhere)]
        assert told[0] == told[1]
        assert told[0]["code"] == "unknown_room"
    bob.send(
        {"type": "read", "conversation": closed.conversation, "seq": 1},
        {"type": "typing", "to": closed.name},
    )
    # Whatever happens in it, nobody outside is told.
    assert await code(alice, room("invite", closed.name, "carol")) == "ok"
    assert await code(carol, join(closed.name)) == "ok"
    await say(carol, "hello @bob", closed.name)
    assert await code(alice, room("topic", closed.name, text="secret")) == "ok"
    await carol.receive_type("room")
    assert await closed.news(bob) == []
    assert "typing" not in {frame["type"] for frame in await closed.news(alice)}
    for question in (
        {"type": "history", "conversation": closed.conversation},
        {"type": "search", "query": "hello", "conversation": closed.conversation},
    ):
        answer = await ask(bob, question)
        assert answer.get("code") == "unknown_conversation" or answer["matches"] == []
    assert closed.name not in {each["name"] for each in (await ask(bob, {"type": "rooms"}))["rooms"]}


async def test_mentions_of_strangers_tell_nothing(model_room: Daemon, wires: Wires) -> None:
    """Who is not in a room is not mentioned there, whether or not there is such a person."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob, kind="closed")
    await say(alice, "@carol @nobody @bob", place.name)
    assert (await bob.receive_type("chat"))["mentions"] == ["bob"]


async def test_the_account_of_the_last_owner_is_deleted(start_daemon: StartDaemon, wires: Wires) -> None:
    """The highest and oldest member owns the room then, and is told; without members it is archived."""
    daemon = start_daemon(accounts=("alice", "bob", "carol", "dave"))
    alice, bob, carol, dave = await wires.login(daemon, "alice", "bob", "carol", "dave")
    plain = await make_room(alice, bob)
    await say(alice, "x", plain.name)
    assert await code(carol, join(plain.name)) == "ok"
    moderated, empty = await make_room(alice, bob, carol), await make_room(alice)
    assert await code(alice, room("role", moderated.name, "carol", role="moderator")) == "ok"
    await daemon_deletes(daemon, "alice")
    assert (await alice.rest())[-1]["reason"] == "deleted"
    for place, wire in ((plain, bob), (moderated, carol)):
        told = await owner_news(wire, place)
        assert (told["room"]["role"], told["room"]["members"], told.get("by", "")) == ("owner", 2, "")
        page = await ask(wire, room("members", place.name))
        assert {each["user"]: each["role"] for each in page["members"]} == {
            wire.user: "owner",
            ("carol" if wire is bob else "bob"): "member",
        }
        assert await code(wire, room("topic", place.name, text="mine")) == "ok"
    assert await code(dave, join(empty.name)) == "room_archived"


async def daemon_deletes(daemon: Daemon, user: str) -> None:
    """Let the operator delete an account."""
    done = await asyncio.to_thread(daemon.run, "deluser", "--yes", user)
    assert done.returncode == 0, done.stderr


async def owner_news(wire: Wire, place: Place) -> Frame:
    """The `room` frame by which somebody learns that a room is theirs."""
    while True:
        frame = await wire.receive_type("room")
        if place.concerns(frame) and frame["room"].get("role") == "owner":
            return frame
