"""Rooms on the real daemon: kinds, joining and leaving, history, and permissions."""

import pytest

from qscp.rooms import PERMISSIONS, RANKS, RoomRole
from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.rooms import Place, ask, code, fresh_room, join, leave, make_room, react, redact, room, say
from tests.support.wire import Frame, Wire, Wires, chat


def bodies(frames: list[Frame]) -> list[str]:
    """Return the texts of messages."""
    return [frame["body"] for frame in frames if frame["type"] == "chat"]


async def members(wire: Wire, place: Place) -> dict[str, str]:
    """Return the members of a room, with their roles."""
    page = await ask(wire, room("members", place.name))
    return {each["user"]: each["role"] for each in page["members"]}


# --- kinds


async def test_an_open_room(room_daemon: Daemon, wires: Wires) -> None:
    """All users can join an open room and write there; all members see the same seqs."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    acks = [await say(who, text, place.name) for who, text in ((bob, "hello"), (alice, "hi"), (bob, "so"))]
    assert [(ack["conversation"], ack["seq"]) for ack in acks] == [
        (place.conversation, seq) for seq in (1, 2, 3)
    ]
    chats = [frame for frame in await place.news(carol) if frame["type"] == "chat"]
    assert [(frame["from"], frame["to"], frame["body"], frame["seq"]) for frame in chats] == [
        ("bob", place.name, "hello", 1),
        ("alice", place.name, "hi", 2),
        ("bob", place.name, "so", 3),
    ]
    assert [(each["seq"], each["time"]) for each in chats] == [(ack["seq"], ack["time"]) for ack in acks]
    assert {frame["origin"] for frame in chats} == {"live"}


async def test_a_closed_room_needs_an_invitation(room_daemon: Daemon, wires: Wires) -> None:
    """An invited user is notified and can join once; after leaving, the room is unknown again."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, kind="closed", text="Thursdays")
    assert await code(bob, join(place.name)) == "unknown_room"
    assert await code(alice, room("invite", place.name, "bob")) == "ok"
    (invited,) = await place.news(bob)
    assert (invited["type"], invited["by"]) == ("invited", "alice")
    assert (invited["room"]["topic"], invited["room"]["invited"]) == ("Thursdays", True)
    assert await code(bob, join(place.name)) == "ok"
    assert await members(bob, place) == {"alice": "owner", "bob": "member"}
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(bob, join(place.name)) == "unknown_room"


async def test_an_invitation_waits(room_daemon: Daemon, wires: Wires) -> None:
    """An invitation is sent after each `resumed`, until it is accepted, declined or withdrawn."""
    (alice,) = await wires.login(room_daemon, "alice")
    place = await make_room(alice, kind="closed")
    assert await code(alice, room("invite", place.name, "erin")) == "ok"
    (first,) = await wires.login(room_daemon, "erin")
    (erin,) = await wires.login(room_daemon, "erin")
    for session in (first, erin):
        assert [each["type"] for each in await place.news(session)] == ["invited"]
    assert await code(alice, room("remove", place.name, "erin", text="full")) == "ok"
    (received,) = await place.news(erin)
    assert (received["type"], received["reason"]) == ("room_left", "removed")
    assert (received["by"], received["text"]) == ("alice", "full")
    assert await code(erin, join(place.name)) == "unknown_room"
    assert await code(alice, room("invite", place.name, "erin")) == "ok"
    erin.send(leave(place.name))
    received = await erin.receive_type("room_left")
    assert (received["reason"], "by" in received) == ("left", False)
    assert (await erin.receive_type("room_ack"))["ref"] == "leave"
    assert await code(erin, join(place.name)) == "unknown_room"
    (erin,) = await wires.login(room_daemon, "erin")
    assert await place.news(erin) == []
    assert await code(alice, room("invite", place.name, "erin")) == "declined"
    assert await code(alice, room("invite", place.name, "dave")) == "ok"
    assert await code(alice, room("archive", place.name)) == "ok"
    (dave,) = await wires.login(room_daemon, "dave")
    assert await place.news(dave) == []  # an archived room can't be joined


async def test_an_announcement_room(room_daemon: Daemon, wires: Wires) -> None:
    """Members can join an announcement room and react there; only moderators and owners write."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol, kind="announcement")
    assert (await say(bob, "me too", place.name))["code"] == "not_allowed"
    assert await code(alice, room("role", place.name, "carol", role="moderator")) == "ok"
    assert [(await say(who, "news", place.name))["seq"] for who in (alice, carol)] == [1, 2]
    assert (await say(bob, react(place.name, 1, "+1")))["seq"] == 3
    assert await code(alice, room("set", place.name, kind="open")) == "ok"
    assert (await say(bob, "thanks", place.name))["seq"] == 4


async def test_names_are_folded(room_daemon: Daemon, wires: Wires) -> None:
    """Case, outer blanks and a missing `#` make no other room; only `to` needs its `#`."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    name = fresh_room()
    assert (await ask(alice, room("create", f" {name.upper()} ")))["room"] == name
    assert await code(alice, room("create", name[1:])) == "room_exists"
    assert (await ask(bob, join(name[1:].title())))["room"] == name
    assert (await say(bob, "hello", name.upper()))["seq"] == 1
    assert (await alice.receive_type("chat"))["to"] == name
    assert (await say(bob, "hello", name[1:]))["code"] == "unknown_recipient"


# --- joining and leaving


async def test_the_change_comes_before_its_ack(room_daemon: Daemon, wires: Wires) -> None:
    """`room` or `room_left` comes before `room_ack`, and also to the user's other sessions."""
    alice, bob, other = await wires.login(room_daemon, "alice", "bob", "bob")
    place = await make_room(alice)
    await say(alice, "before", place.name)
    bob.send(join(place.name), leave(place.name))
    received = await place.news(bob)
    assert [each["type"] for each in received] == ["room", "room_ack", "room_left", "room_ack"]
    assert (received[0]["room"]["role"], received[0]["room"]["members"], received[0]["by"]) == (
        "member",
        2,
        "bob",
    )
    assert (received[0]["first_seq"], received[0]["last_seq"]) == (2, 1)
    assert [(received[n]["ref"], received[n]["room"]) for n in (1, 3)] == [
        ("join", place.name),
        ("leave", place.name),
    ]
    assert received[2]["reason"] == "left"
    assert await place.news(other) == [received[0], received[2]]
    await say(alice, "after", place.name)
    assert await place.news(bob) == await place.news(other) == []


async def test_members_receive_changes_of_members(room_daemon: Daemon, wires: Wires) -> None:
    """Members receive `members` with the latest role of each changed user."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob)
    assert await code(carol, join(place.name)) == "ok"
    assert await code(alice, room("role", place.name, "bob", role="moderator")) == "ok"
    newest: dict[str, str | None] = {"alice": "owner"}
    frame: Frame = {}
    while newest != {"alice": "owner", "bob": "moderator", "carol": "member"}:
        frame = await place.receive(bob, "members")
        newest |= {each["user"]: each.get("role") for each in frame["changed"]}
    assert (frame["count"], await members(carol, place)) == (3, newest)
    assert await code(carol, leave(place.name)) == "ok"
    while frame["count"] != 2:
        frame = await place.receive(bob, "members")
    assert frame["changed"] == [{"user": "carol"}]


async def test_quick_changes_of_a_room_are_combined(room_daemon: Daemon, wires: Wires) -> None:
    """Quick changes of topic and settings reach members in few `room` frames, with their own role."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    await place.news(bob)
    changes = [room("topic", place.name, text=f"topic {n}") for n in range(20)]
    changes += [room("set", place.name, seconds=5, history="full", kind="announcement")]
    alice.send(*changes)
    frames: list[Frame] = []
    while not frames or frames[-1]["room"]["kind"] != "announcement":
        frames.append(await place.receive(bob, "room"))
    last = frames[-1]["room"]
    assert (last["topic"], last["slow"], last["history"], last["role"]) == ("topic 19", 5, "full", "member")
    assert len(frames) < len(changes) // 2


async def test_the_list_of_rooms(room_daemon: Daemon, wires: Wires) -> None:
    """`rooms` lists a user's own, invited and open rooms by name, in pages."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    mine, closed = await make_room(alice), await make_room(alice, kind="closed")
    invited = await make_room(alice, kind="closed")
    assert await code(alice, room("invite", invited.name, "bob")) == "ok"
    for _ in range(51):
        await make_room(alice)
    listed: list[Frame] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(bob, {"type": "rooms", "cursor": cursor})
        listed += page["rooms"]
        cursor = page.get("cursor")
    names = [each["name"] for each in listed]
    assert names == sorted(set(names))
    assert {mine.name, invited.name} <= set(names)
    assert closed.name not in names
    (entry,) = [each for each in listed if each["name"] == invited.name]
    assert (entry["invited"], entry.get("role")) == (True, None)


async def test_membership_is_durable(start_daemon: StartDaemon, wires: Wires) -> None:
    """Acknowledged memberships, roles, mutes and invitations survive SIGKILL."""
    daemon = start_daemon()
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol, text="Thursdays", history="full")
    closed = await make_room(alice, kind="closed")
    for change in (
        room("role", place.name, "bob", role="moderator"),
        room("mute", place.name, "carol"),
        room("invite", closed.name, "bob"),
        room("topic", place.name, text="Fridays"),
    ):
        assert await code(alice, change) == "ok"
    await say(bob, "hello", place.name)
    await bob.bye()
    daemon.process.kill()
    daemon.wait()
    daemon = start_daemon()
    alice, carol = await wires.login(daemon, "alice", "carol")
    assert await members(alice, place) == {"alice": "owner", "bob": "moderator", "carol": "member"}
    assert (await say(carol, "hello", place.name))["code"] == "muted"
    assert (await ask(carol, join(closed.name)))["code"] == "unknown_room"
    again = await resume(wires, daemon, "bob", {place.conversation: 0})
    assert bodies(again.missed) == ["hello"]
    assert [each["type"] for each in await closed.news(again.wire)] == ["invited"]
    (listed,) = [
        each for each in (await ask(again.wire, {"type": "rooms"}))["rooms"] if each["name"] == place.name
    ]
    assert (listed["topic"], listed["role"], listed["members"]) == ("Fridays", "moderator", 3)


# --- history


async def test_an_absent_user_gets_missed_messages(room_daemon: Daemon, wires: Wires) -> None:
    """Missed messages are replayed once, from the device's position or the user's read position."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, "one", place.name)
    bob.send({"type": "read", "conversation": place.conversation, "seq": 1})
    await bob.bye()
    for text in ("two", "three"):
        await say(alice, text, place.name)
    for positions, missed in (({}, ["two", "three"]), ({place.conversation: 2}, ["three"])):
        received = [
            each
            for each in (await resume(wires, room_daemon, "bob", positions)).missed
            if place.concerns(each)
        ]
        assert (bodies(received), {each["origin"] for each in received}) == (missed, {"replay"})
        assert {(each["from"], each["to"]) for each in received} == {("alice", place.name)}


@pytest.mark.parametrize(("history", "first"), [("joining", 3), ("full", 1)])
async def test_history_before_joining(room_daemon: Daemon, wires: Wires, history: str, first: int) -> None:
    """A new member sees no earlier messages or all of them, as the room is set; none are unread."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, history=history)
    for text in ("one", "two"):
        await say(alice, f"{text} {place.conversation}x", place.name)
    assert await code(bob, join(place.name)) == "ok"
    await say(alice, f"three {place.conversation}x", place.name)
    page = await ask(bob, {"type": "history", "conversation": place.conversation, "after": 0})
    assert (page["first_seq"], [each["seq"] for each in page["messages"]]) == (first, [*range(first, 4)])
    page = await ask(bob, {"type": "history", "conversation": place.conversation, "before": 3})
    assert [each["seq"] for each in page["messages"]] == [*range(first, 3)]
    again = await resume(wires, room_daemon, "bob", {place.conversation: 0})
    received = [each for each in again.missed if place.concerns(each)]
    gaps = [(each["from"], each["to"], each["reason"]) for each in received if each["type"] == "gap"]
    assert gaps == ([(1, 2, "pruned")] if first > 1 else [])
    assert [each["seq"] for each in received if each["type"] == "chat"] == [*range(first, 4)]
    (info,) = await infos(bob, place)
    assert (info["kind"], info["name"], info["first_seq"], info["last_seq"]) == ("room", place.name, first, 3)
    assert (info["read"], info["unread"], info.get("mentions", 0)) == (2, 1, 0)
    found = await searched(bob, place)
    assert sorted(found) == [*range(first, 4)]


async def infos(wire: Wire, place: Place) -> list[Frame]:
    """Return a room's entries in a user's conversations."""
    found: list[Frame] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(wire, {"type": "conversations", "cursor": cursor})
        found += page["conversations"]
        cursor = page.get("cursor")
    return [each for each in found if each["conversation"] == place.conversation]


async def searched(wire: Wire, place: Place) -> list[int]:
    """Return the seqs of a test's messages that a user finds, once the index is complete."""
    request = {"type": "search", "query": f"{place.conversation}x"}
    while not (page := await ask(wire, request)).get("complete", True):
        pass
    return [match["seq"] for match in page["matches"]]


async def test_a_former_member_sees_nothing(room_daemon: Daemon, wires: Wires) -> None:
    """A former member gets no history, matches or messages; after joining again, only new ones."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, f"one {place.conversation}x", place.name)
    assert await code(bob, leave(place.name)) == "ok"
    request = {"type": "history", "conversation": place.conversation}
    assert (await ask(bob, request))["code"] == "unknown_conversation"
    assert (await infos(bob, place), await searched(bob, place)) == ([], [])
    assert (await say(bob, "two", place.name))["code"] == "not_a_member"
    received = (await resume(wires, room_daemon, "bob", {place.conversation: 1})).missed
    assert [(each["from"], each["to"], each["reason"]) for each in received if place.concerns(each)] == [
        (1, 1, "ahead")
    ]
    await say(alice, f"two {place.conversation}x", place.name)
    assert await code(bob, join(place.name)) == "ok"
    await say(alice, f"three {place.conversation}x", place.name)
    assert [each["seq"] for each in (await ask(bob, request))["messages"]] == [3]
    assert await searched(bob, place) == [3]


async def test_an_archived_room_is_read_only(room_daemon: Daemon, wires: Wires) -> None:
    """An archived room can be read and left, but not joined or changed, until an owner unarchives it."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob)
    await say(bob, "one", place.name)
    assert await code(alice, room("archive", place.name)) == "ok"
    assert await code(carol, join(place.name)) == "room_archived"
    assert await code(alice, room("topic", place.name, text="x")) == "room_archived"
    for sent in (chat(place.name, "two"), react(place.name, 1, "+1")):
        assert (await say(bob, sent))["code"] == "room_archived"
    page = await ask(bob, {"type": "history", "conversation": place.conversation})
    assert [each["body"] for each in page["messages"]] == ["one"]
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(alice, room("unarchive", place.name)) == "ok"
    assert await code(bob, join(place.name)) == "ok"
    assert (await say(bob, "two", place.name))["seq"] == 2


# --- permissions


@pytest.mark.parametrize("role", list(RoomRole))
async def test_permissions_of_each_role(room_daemon: Daemon, wires: Wires, role: RoomRole) -> None:
    """Each role can do exactly the actions of the table of permissions."""
    alice, bob, carol, dave = await wires.login(room_daemon, "alice", "bob", "carol", "dave")
    place = await make_room(alice, bob, carol, dave)
    await say(dave, "redact me", place.name)
    assert await code(alice, room("role", place.name, "bob", role=role)) == "ok"
    name = place.name
    requests = {
        "members": room("members", name),
        "invite": room("invite", name, "erin"),
        "topic": room("topic", name, text="new"),
        "mute": room("mute", name, "carol"),
        "unmute": room("unmute", name, "carol"),
        "remove": room("remove", name, "carol"),
        "ban": room("ban", name, "carol"),
        "unban": room("unban", name, "carol"),
        "log": room("log", name),
        "set": room("set", name, seconds=0),
        "role": room("role", name, "dave", role="member"),
        "archive": room("archive", name),
        "unarchive": room("unarchive", name),
    }
    sent = {"write": chat(name, "hello"), "react": react(name, 1, "+1"), "redact": redact(name, 1)}
    assert {*requests, *sent, "announce"} == set(PERMISSIONS)
    seen = {what: (await say(bob, frame)).get("code", "ok") for what, frame in sent.items()}
    seen |= {what: await code(bob, frame) for what, frame in requests.items()}
    assert seen == {
        what: "ok" if RANKS[role] >= RANKS[needed] else "not_allowed"
        for what, needed in PERMISSIONS.items()
        if what != "announce"
    }
