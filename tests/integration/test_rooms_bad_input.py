"""Bad requests for rooms get an error code, and closed rooms stay secret."""

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
async def test_hostile_names(room_daemon: Daemon, wires: Wires, name: str) -> None:
    """An invalid name is refused everywhere, and the session goes on."""
    (alice,) = await wires.login(room_daemon, "alice")
    for request in (
        room("create", name),
        room("members", name),
        room("invite", name, "bob"),
        join(name),
        leave(name),
    ):
        assert await code(alice, request) == "bad_room_name"
    for sent in (chat("#" + name, "x"), edit("#" + name, 1, "x"), react("#" + name, 1, "+1")):
        assert (await say(alice, sent))["code"] == "unknown_room"
    await alice.drain()


async def test_a_name_over_the_limit_of_its_field(room_daemon: Daemon, wires: Wires) -> None:
    """A name over 200 characters is a violation: an `error` without `ref`, and the end."""
    (alice,) = await wires.login(room_daemon, "alice")
    alice.send(join("#" + "x" * 200))
    assert [(each["type"], each["code"]) for each in await alice.rest() if "code" in each] == [
        ("error", "bad_field")
    ]


@pytest.mark.parametrize(
    "text", ["two\nlines", "\0", "\x1b[2J", "\u202egnol", "x" * (TOPIC_LIMIT + 1), "é" * 201]
)
async def test_hostile_topics_and_reasons(room_daemon: Daemon, wires: Wires, text: str) -> None:
    """Invalid topics and reasons get `bad_text`, and nothing is changed or logged."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob, text="fine")
    await say(bob, "hello", place.name)
    for request in (
        room("create", fresh_room(), text=text),
        room("topic", place.name, text=text),
        room("remove", place.name, "bob", text=text),
        room("ban", place.name, "bob", text=text),
        room("mute", place.name, "bob", text=text),
    ):
        assert await code(alice, request) == "bad_text"
    assert (await say(alice, redact(place.name, 1, text)))["code"] == "bad_text"
    assert [entry["action"] for entry in (await ask(alice, room("log", place.name)))["entries"]] == ["create"]
    assert (await say(bob, "still here", place.name))["seq"] == 2


@pytest.mark.parametrize("text", ["", " ", "a b", "x" * 33, "\n", "\u200b", "\ufe0f\u200d", "\x1b"])
async def test_hostile_reactions(room_daemon: Daemon, wires: Wires, text: str) -> None:
    """A reaction that is invisible, or more than a word, gets `bad_text`."""
    alice, _ = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice)
    await say(alice, "x", place.name)
    assert (await say(alice, react(place.name, 1, text)))["code"] == "bad_text"


@pytest.mark.parametrize(
    "body",
    ["@" * 16000, "@bob" * 4000, "@bob@" * 3000, "@bob " * 3000, " ".join(f"@u{n}" for n in range(2000))],
)
async def test_hostile_mentions(room_daemon: Daemon, wires: Wires, body: str) -> None:
    """With any number of mentions, each member is mentioned once at most, and the message is stored."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    assert (await say(alice, body, place.name))["seq"] == 1
    assert (await bob.receive_type("chat")).get("mentions", []) in ([], ["bob"])


async def test_requests_that_contradict_a_membership(room_daemon: Daemon, wires: Wires) -> None:
    """Requests that repeat or contradict a membership get an error code."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    name, nowhere = place.name, fresh_room()
    for wire, request, expected in (
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
        assert await code(wire, request) == expected, request
    for to, expected in ((name, "not_a_member"), (nowhere, "unknown_room")):
        for sent in (chat(to, "x"), edit(to, 1, "x"), redact(to, 1), react(to, 1, "+1")):
            assert (await say(bob, sent))["code"] == expected


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
async def test_missing_and_extra_fields_of_an_action(
    room_daemon: Daemon, wires: Wires, action: str, fields: dict[str, object]
) -> None:
    """Missing and extra fields of an action get `bad_field` with `ref`, and nothing is changed."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    name = fresh_room() if action == "create" else place.name
    assert await code(alice, room(action, name, **fields)) == "bad_field"
    page = await ask(alice, room("members", place.name))
    assert [each["role"] for each in page["members"]] == ["owner", "member"]


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 200, "\uff11", "0", "#zzz", "\0"])
async def test_invented_cursors(room_daemon: Daemon, wires: Wires, cursor: str) -> None:
    """A cursor that the server never sent gets a page, too."""
    (alice,) = await wires.login(room_daemon, "alice")
    place = await make_room(alice)
    assert (await ask(alice, room("log", place.name, cursor=cursor)))["type"] == "room_log"
    assert (await ask(alice, room("members", place.name, cursor=cursor)))["type"] == "room_members"
    assert (await ask(alice, {"type": "rooms", "cursor": cursor}))["type"] == "rooms"


async def test_the_last_owner_stays(room_daemon: Daemon, wires: Wires) -> None:
    """The last owner can't leave until there is another one, or the room is archived."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    assert await code(alice, leave(place.name)) == "last_owner"
    assert await code(alice, room("role", place.name, "alice", role="moderator")) == "last_owner"
    assert await code(alice, room("role", place.name, "bob", role="owner")) == "ok"
    assert await code(alice, leave(place.name)) == "ok"
    assert await code(bob, room("archive", place.name)) == "ok"
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(bob, room("unarchive", place.name)) == "not_a_member"
    assert await code(carol, leave(place.name)) == "last_owner"


REQUESTS: tuple[Callable[[str], Frame], ...] = (
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


async def test_a_closed_room_stays_secret(room_daemon: Daemon, wires: Wires) -> None:
    """To other users a closed room answers like an unknown one, and sends nothing."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol", features=["typing"])
    closed = await make_room(alice, kind="closed")
    nowhere = fresh_room()

    def anonymous(frame: Frame, name: str) -> Frame:
        return {key: "#" if value == name else value for key, value in frame.items() if key != "id"}

    for make in REQUESTS:
        answers = [anonymous(await ask(bob, make(name)), name) for name in (closed.name, nowhere)]
        assert answers[0] == answers[1], make(closed.name)
        assert answers[0]["code"] == "unknown_room"
    for make in EVENTS:
        answers = [anonymous(await say(bob, make(name)), name) for name in (closed.name, nowhere)]
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "unknown_room"
    bob.send(
        {"type": "read", "conversation": closed.conversation, "seq": 1},
        {"type": "typing", "to": closed.name},
    )
    # Nothing that happens in the room reaches other users.
    assert await code(alice, room("invite", closed.name, "carol")) == "ok"
    assert await code(carol, join(closed.name)) == "ok"
    await say(carol, "hello @bob", closed.name)
    assert await code(alice, room("topic", closed.name, text="secret")) == "ok"
    await closed.receive(carol, "room")
    assert await closed.news(bob) == []
    assert "typing" not in {frame["type"] for frame in await closed.news(alice)}
    for request in (
        {"type": "history", "conversation": closed.conversation},
        {"type": "search", "query": "hello", "conversation": closed.conversation},
    ):
        answer = await ask(bob, request)
        assert answer.get("code") == "unknown_conversation" or answer["matches"] == []
    assert closed.name not in {each["name"] for each in (await ask(bob, {"type": "rooms"}))["rooms"]}


async def test_only_members_are_mentioned(room_daemon: Daemon, wires: Wires) -> None:
    """Only members are mentioned, whether or not other names have an account."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob, kind="closed")
    await say(alice, "@carol @nobody @bob", place.name)
    assert (await bob.receive_type("chat"))["mentions"] == ["bob"]


async def test_the_account_of_the_last_owner_is_deleted(start_daemon: StartDaemon, wires: Wires) -> None:
    """The highest, oldest member becomes owner and is notified; an empty room is archived."""
    daemon = start_daemon(accounts=("alice", "bob", "carol", "dave"))
    alice, bob, carol, dave = await wires.login(daemon, "alice", "bob", "carol", "dave")
    plain = await make_room(alice, bob)
    await say(alice, "x", plain.name)
    assert await code(carol, join(plain.name)) == "ok"
    moderated, empty = await make_room(alice, bob, carol), await make_room(alice)
    assert await code(alice, room("role", moderated.name, "carol", role="moderator")) == "ok"
    await delete_account(daemon, "alice")
    assert (await alice.rest())[-1]["reason"] == "deleted"
    for place, wire in ((plain, bob), (moderated, carol)):
        received = await ownership(wire, place)
        assert (received["room"]["role"], received["room"]["members"], received.get("by", "")) == (
            "owner",
            2,
            "",
        )
        page = await ask(wire, room("members", place.name))
        assert {each["user"]: each["role"] for each in page["members"]} == {
            wire.user: "owner",
            ("carol" if wire is bob else "bob"): "member",
        }
        assert await code(wire, room("topic", place.name, text="mine")) == "ok"
    assert await code(dave, join(empty.name)) == "room_archived"


async def delete_account(daemon: Daemon, user: str) -> None:
    """Delete an account, as the operator does."""
    done = await asyncio.to_thread(daemon.run, "deluser", "--yes", user)
    assert done.returncode == 0, done.stderr


async def ownership(wire: Wire, place: Place) -> Frame:
    """Return the `room` frame that makes the session's user an owner."""
    while True:
        frame = await wire.receive_type("room")
        if place.concerns(frame) and frame["room"].get("role") == "owner":
            return frame
