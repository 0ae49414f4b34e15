"""Rooms on the real daemon: kinds, coming and going, what a member sees, and what others must not see."""

import pytest

from qscp.rooms import PERMISSIONS, RANKS, RoomRole
from tests.support.daemon import Daemon, StartDaemon
from tests.support.logged_in import resume
from tests.support.rooms import Place, ask, code, fresh_room, join, leave, make_room, react, redact, room, say
from tests.support.wire import Frame, Wire, Wires, chat


def bodies(frames: list[Frame]) -> list[str]:
    """The texts of messages."""
    return [frame["body"] for frame in frames if frame["type"] == "chat"]


async def members(wire: Wire, place: Place) -> dict[str, str]:
    """Who is in a room, and what they are there."""
    page = await ask(wire, room("members", place.name))
    return {each["user"]: each["role"] for each in page["members"]}


# --- kinds


async def test_an_open_room(model_room: Daemon, wires: Wires) -> None:
    """Anybody may join and write; it is a `chat` to the room, with one order of seqs for all."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    acks = [await say(who, text, place.name) for who, text in ((bob, "hello"), (alice, "hi"), (bob, "so"))]
    assert [(ack["conversation"], ack["seq"]) for ack in acks] == [
        (place.conversation, seq) for seq in (1, 2, 3)
    ]
    told = [frame for frame in await place.news(carol) if frame["type"] == "chat"]
    assert [(frame["from"], frame["to"], frame["body"], frame["seq"]) for frame in told] == [
        ("bob", place.name, "hello", 1),
        ("alice", place.name, "hi", 2),
        ("bob", place.name, "so", 3),
    ]
    assert [(each["seq"], each["time"]) for each in told] == [(ack["seq"], ack["time"]) for ack in acks]
    assert {frame["origin"] for frame in told} == {"live"}


async def test_a_closed_room_needs_an_invitation(model_room: Daemon, wires: Wires) -> None:
    """Who was invited is told, may join once, and after leaving is a stranger again."""
    alice, bob = await wires.login(model_room, "alice", "bob")
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


async def test_an_invitation_waits(model_room: Daemon, wires: Wires) -> None:
    """It is told after each `resumed` until they join; it can be taken back and declined, which is told."""
    (alice,) = await wires.login(model_room, "alice")
    place = await make_room(alice, kind="closed")
    assert await code(alice, room("invite", place.name, "erin")) == "ok"
    (first,) = await wires.login(model_room, "erin")
    (erin,) = await wires.login(model_room, "erin")
    for session in (first, erin):
        assert [each["type"] for each in await place.news(session)] == ["invited"]
    assert await code(alice, room("remove", place.name, "erin", text="full")) == "ok"
    (told,) = await place.news(erin)
    assert (told["type"], told["reason"]) == ("room_left", "removed")
    assert (told["by"], told["text"]) == ("alice", "full")
    assert await code(erin, join(place.name)) == "unknown_room"
    assert await code(alice, room("invite", place.name, "erin")) == "ok"
    erin.send(leave(place.name))
    told = await erin.receive_type("room_left")
    assert (told["reason"], "by" in told) == ("left", False)
    assert (await erin.receive_type("room_ack"))["ref"] == "leave"
    assert await code(erin, join(place.name)) == "unknown_room"
    (erin,) = await wires.login(model_room, "erin")
    assert await place.news(erin) == []
    assert await code(alice, room("invite", place.name, "erin")) == "ok"
    assert await code(alice, room("archive", place.name)) == "ok"
    (erin,) = await wires.login(model_room, "erin")
    assert await place.news(erin) == []  # nobody can join it now


async def test_an_announcement_room(model_room: Daemon, wires: Wires) -> None:
    """Members may join and react; only moderators and owners write."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol, kind="announcement")
    assert (await say(bob, "me too", place.name))["code"] == "not_allowed"
    assert await code(alice, room("role", place.name, "carol", role="moderator")) == "ok"
    assert [(await say(who, "news", place.name))["seq"] for who in (alice, carol)] == [1, 2]
    assert (await say(bob, react(place.name, 1, "+1")))["seq"] == 3
    assert await code(alice, room("set", place.name, kind="open")) == "ok"
    assert (await say(bob, "thanks", place.name))["seq"] == 4


async def test_names_are_folded(model_room: Daemon, wires: Wires) -> None:
    """Case, blanks around and a missing `#` make no other room; `to` needs its `#`."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    name = fresh_room()
    assert (await ask(alice, room("create", f" {name.upper()} ")))["room"] == name
    assert await code(alice, room("create", name[1:])) == "room_exists"
    assert (await ask(bob, join(name[1:].title())))["room"] == name
    assert (await say(bob, "hello", name.upper()))["seq"] == 1
    assert (await alice.receive_type("chat"))["to"] == name
    assert (await say(bob, "hello", name[1:]))["code"] == "unknown_recipient"


# --- coming and going


async def test_who_joins_is_told_first(model_room: Daemon, wires: Wires) -> None:
    """`room` and then `room_ack`, `room_left` and then `room_ack`; and the person's other sessions."""
    alice, bob, other = await wires.login(model_room, "alice", "bob", "bob")
    place = await make_room(alice)
    await say(alice, "before", place.name)
    bob.send(join(place.name), leave(place.name))
    told = await place.news(bob)
    assert [each["type"] for each in told] == ["room", "room_ack", "room_left", "room_ack"]
    assert (told[0]["room"]["role"], told[0]["room"]["members"], told[0]["by"]) == ("member", 2, "bob")
    assert (told[0]["first_seq"], told[0]["last_seq"]) == (2, 1)
    assert [(told[n]["ref"], told[n]["room"]) for n in (1, 3)] == [
        ("join", place.name),
        ("leave", place.name),
    ]
    assert told[2]["reason"] == "left"
    assert await place.news(other) == [told[0], told[2]]
    await say(alice, "after", place.name)
    assert await place.news(bob) == await place.news(other) == []


async def test_others_are_told_who_came_and_went(model_room: Daemon, wires: Wires) -> None:
    """By `members`, with the newest of each person; the list is there to ask."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
    place = await make_room(alice, bob)
    assert await code(carol, join(place.name)) == "ok"
    assert await code(alice, room("role", place.name, "bob", role="moderator")) == "ok"
    newest: dict[str, str | None] = {"alice": "owner"}
    frame: Frame = {}
    while newest != {"alice": "owner", "bob": "moderator", "carol": "member"}:
        frame = await bob.receive_type("members")
        if place.concerns(frame):
            newest |= {each["user"]: each.get("role") for each in frame["changed"]}
    assert (frame["count"], await members(carol, place)) == (3, newest)
    assert await code(carol, leave(place.name)) == "ok"
    while frame["count"] != 2:
        frame = await bob.receive_type("members")
    assert frame["changed"] == [{"user": "carol"}]


async def test_what_concerns_all_is_told_as_it_is_at_last(model_room: Daemon, wires: Wires) -> None:
    """A topic and settings come by `room`, to each with their own role, and not one by one."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    await place.news(bob)
    changes = [room("topic", place.name, text=f"topic {n}") for n in range(20)]
    changes += [room("set", place.name, seconds=5, history="full", kind="announcement")]
    alice.send(*changes)
    frames: list[Frame] = []
    while not frames or frames[-1]["room"]["kind"] != "announcement":
        frame = await bob.receive_type("room")
        frames += [frame] if place.concerns(frame) else []
    last = frames[-1]["room"]
    assert (last["topic"], last["slow"], last["history"], last["role"]) == ("topic 19", 5, "full", "member")
    assert len(frames) < len(changes) // 2


async def test_the_list_of_rooms(model_room: Daemon, wires: Wires) -> None:
    """Those that one is in, was invited to, or may join: by name, in pages that end."""
    alice, bob = await wires.login(model_room, "alice", "bob")
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
    (told,) = [each for each in listed if each["name"] == invited.name]
    assert (told["invited"], told.get("role")) == (True, None)


async def test_membership_is_durable(start_daemon: StartDaemon, wires: Wires) -> None:
    """Acknowledged is on disk: after SIGKILL everybody is what they were, also who was not there."""
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


# --- what a member sees


async def test_who_was_away_gets_what_was_missed(model_room: Daemon, wires: Wires) -> None:
    """From the device's position, or from where the person had read; each message once."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, "one", place.name)
    bob.send({"type": "read", "conversation": place.conversation, "seq": 1})
    await bob.bye()
    for text in ("two", "three"):
        await say(alice, text, place.name)
    for positions, missed in (({}, ["two", "three"]), ({place.conversation: 2}, ["three"])):
        told = [
            each
            for each in (await resume(wires, model_room, "bob", positions)).missed
            if place.concerns(each)
        ]
        assert (bodies(told), {each["origin"] for each in told}) == (missed, {"replay"})
        assert {(each["from"], each["to"]) for each in told} == {("alice", place.name)}


@pytest.mark.parametrize(("history", "first"), [("joining", 3), ("full", 1)])
async def test_what_was_before(model_room: Daemon, wires: Wires, history: str, first: int) -> None:
    """Who comes sees nothing from before, or all of it, as the room is set; nothing of it is unread."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, history=history)
    for text in ("one", "two"):
        await say(alice, f"{text} {place.conversation}x", place.name)
    assert await code(bob, join(place.name)) == "ok"
    await say(alice, f"three {place.conversation}x", place.name)
    page = await ask(bob, {"type": "history", "conversation": place.conversation, "after": 0})
    assert (page["first_seq"], [each["seq"] for each in page["messages"]]) == (first, [*range(first, 4)])
    page = await ask(bob, {"type": "history", "conversation": place.conversation, "before": 3})
    assert [each["seq"] for each in page["messages"]] == [*range(first, 3)]
    again = await resume(wires, model_room, "bob", {place.conversation: 0})
    told = [each for each in again.missed if place.concerns(each)]
    gaps = [(each["from"], each["to"], each["reason"]) for each in told if each["type"] == "gap"]
    assert gaps == ([(1, 2, "pruned")] if first > 1 else [])
    assert [each["seq"] for each in told if each["type"] == "chat"] == [*range(first, 4)]
    (info,) = await infos(bob, place)
    assert (info["kind"], info["name"], info["first_seq"], info["last_seq"]) == ("room", place.name, first, 3)
    assert (info["read"], info["unread"], info.get("mentions", 0)) == (2, 1, 0)
    found = await searched(bob, place)
    assert sorted(found) == [*range(first, 4)]


async def infos(wire: Wire, place: Place) -> list[Frame]:
    """A room in somebody's conversations."""
    found: list[Frame] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(wire, {"type": "conversations", "cursor": cursor})
        found += page["conversations"]
        cursor = page.get("cursor")
    return [each for each in found if each["conversation"] == place.conversation]


async def searched(wire: Wire, place: Place) -> list[int]:
    """What somebody finds of a test's messages, once all are in the index."""
    question = {"type": "search", "query": f"{place.conversation}x"}
    while not (page := await ask(wire, question)).get("complete", True):
        pass
    return [match["seq"] for match in page["matches"]]


async def test_who_left_sees_nothing_more(model_room: Daemon, wires: Wires) -> None:
    """Nor history, nor search, nor live; a position is told to be ahead, and coming back begins anew."""
    alice, bob = await wires.login(model_room, "alice", "bob")
    place = await make_room(alice, bob)
    await say(alice, f"one {place.conversation}x", place.name)
    assert await code(bob, leave(place.name)) == "ok"
    question = {"type": "history", "conversation": place.conversation}
    assert (await ask(bob, question))["code"] == "unknown_conversation"
    assert (await infos(bob, place), await searched(bob, place)) == ([], [])
    assert (await say(bob, "two", place.name))["code"] == "not_a_member"
    told = (await resume(wires, model_room, "bob", {place.conversation: 1})).missed
    assert [(each["from"], each["to"], each["reason"]) for each in told if place.concerns(each)] == [
        (1, 1, "ahead")
    ]
    await say(alice, f"two {place.conversation}x", place.name)
    assert await code(bob, join(place.name)) == "ok"
    await say(alice, f"three {place.conversation}x", place.name)
    assert [each["seq"] for each in (await ask(bob, question))["messages"]] == [3]
    assert await searched(bob, place) == [3]


async def test_an_archived_room_is_read_only(model_room: Daemon, wires: Wires) -> None:
    """Nobody joins, writes or changes it; history stays, members may leave, an owner opens it again."""
    alice, bob, carol = await wires.login(model_room, "alice", "bob", "carol")
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


# --- who may do what


@pytest.mark.parametrize("role", list(RoomRole))
async def test_each_role_may_do_what_the_table_says(model_room: Daemon, wires: Wires, role: RoomRole) -> None:
    """The table of permissions, action by action, as a peer sees it."""
    alice, bob, carol, dave = await wires.login(model_room, "alice", "bob", "carol", "dave")
    place = await make_room(alice, bob, carol, dave)
    await say(dave, "redact me", place.name)
    assert await code(alice, room("role", place.name, "bob", role=role)) == "ok"
    name = place.name
    asked = {
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
    assert {*asked, *sent, "announce"} == set(PERMISSIONS)
    seen = {what: (await say(bob, frame)).get("code", "ok") for what, frame in sent.items()}
    seen |= {what: await code(bob, frame) for what, frame in asked.items()}
    assert seen == {
        what: "ok" if RANKS[role] >= RANKS[needed] else "not_allowed"
        for what, needed in PERMISSIONS.items()
        if what != "announce"
    }
