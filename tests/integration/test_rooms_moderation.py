"""Moderation on the real daemon: removing, banning, muting, slow mode, redacting, and its log."""

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


async def log_of(wire: Wire, place: Place) -> list[Frame]:
    """Return all entries of a room's log, newest first."""
    entries: list[Frame] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(wire, room("log", place.name, cursor=cursor))
        entries += page["entries"]
        cursor = page.get("cursor")
    return entries


async def test_a_removed_member_gets_the_reason(room_daemon: Daemon, wires: Wires) -> None:
    """All sessions of a removed member get the reason and the moderator's name; the user can rejoin."""
    alice, bob, other, carol = await wires.login(room_daemon, "alice", "bob", "bob", "carol")
    place = await make_room(alice, bob, carol)
    assert await code(alice, room("remove", place.name, "bob", text="off topic")) == "ok"
    await say(carol, "without him", place.name)
    for wire in (bob, other):
        (left,) = await place.news(wire, "room")
        assert (left["type"], left["reason"], left["by"], left["text"]) == (
            "room_left",
            "removed",
            "alice",
            "off topic",
        )
    assert (await say(bob, "hello", place.name))["code"] == "not_a_member"
    assert await code(bob, room("members", place.name)) == "not_a_member"
    assert await code(bob, join(place.name)) == "ok"
    assert (await say(bob, "sorry", place.name))["seq"] == 2


async def test_a_ban_says_when_it_ends(room_daemon: Daemon, wires: Wires) -> None:
    """A ban has its end, until which the user can neither join nor be invited.

    `tests/qscpd/chat` shows that it ends.
    """
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    assert await code(alice, room("ban", place.name, "bob", seconds=600, text="cool down")) == "ok"
    (left,) = await place.news(bob, "room", "room_ack")
    assert (left["reason"], left["by"], left["text"]) == ("banned", "alice", "cool down")
    (entry,) = (await ask(alice, room("log", place.name)))["entries"][:1]
    assert left["until"] == entry["until"] == entry["time"] + 600_000
    refused = await ask(bob, join(place.name))
    assert refused["code"] == "banned"
    assert 0 < refused["retry_after"] <= 600
    assert await code(alice, room("invite", place.name, "bob")) == "banned"


async def test_a_ban_without_an_end(room_daemon: Daemon, wires: Wires) -> None:
    """A ban without an end lasts until `unban`, even for a user who was never a member."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice)
    assert await code(alice, room("ban", place.name, "bob")) == "ok"
    refused = await ask(bob, join(place.name))
    assert (refused["code"], "retry_after" in refused) == ("banned", False)
    assert await code(alice, room("unban", place.name, "bob")) == "ok"
    assert await code(bob, join(place.name)) == "ok"


async def test_a_mute_says_how_long(room_daemon: Daemon, wires: Wires) -> None:
    """A muted member can read but not send; leaving does not end the mute."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    await say(bob, "one", place.name)
    assert await code(alice, room("mute", place.name, "bob", seconds=600)) == "ok"
    assert await code(bob, leave(place.name)) == "ok"
    assert await code(bob, join(place.name)) == "ok"
    name = place.name
    for sent in (chat(name, "two"), edit(name, 1, "2"), redact(name, 1), react(name, 1, "+1")):
        nack = await say(bob, sent)
        assert nack["code"] == "muted"
        assert 0 < nack["retry_after"] <= 600
    await say(alice, "heard", name)
    assert (await bob.receive_type("chat"))["body"] == "heard"
    assert await code(alice, room("unmute", name, "bob")) == "ok"
    assert (await say(bob, "three", name))["seq"] == 3


async def test_a_mute_without_an_end(room_daemon: Daemon, wires: Wires) -> None:
    """A mute without an end is shown to the user and the members, and lasts until `unmute`."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    assert await code(alice, room("mute", place.name, "bob")) == "ok"
    (received,) = await place.news(bob, "room_ack")
    assert (received["type"], received["room"]["muted"], received["by"]) == ("room", 2**53 - 1, "alice")
    assert (await say(bob, "one", place.name))["code"] == "muted"
    page = await ask(bob, room("members", place.name))
    assert [each.get("muted", 0) for each in page["members"]] == [0, 2**53 - 1]
    assert await code(alice, room("unmute", place.name, "bob")) == "ok"
    assert "muted" not in (await place.receive(bob, "room"))["room"]
    assert (await say(bob, "two", place.name))["seq"] == 1


async def test_slow_mode(room_daemon: Daemon, wires: Wires) -> None:
    """A member has to wait between messages, and gets the wait; events and moderators are exempt."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    assert await code(alice, room("set", place.name, seconds=600)) == "ok"
    assert await code(alice, room("role", place.name, "carol", role="moderator")) == "ok"
    assert (await say(bob, "one", place.name))["seq"] == 1
    nack = await say(bob, "two", place.name)
    assert nack["code"] == "slow_mode"
    assert 0 < nack["retry_after"] <= 600
    assert (await say(bob, react(place.name, 1, "+1")))["seq"] == 2
    assert [(await say(carol, text, place.name))["seq"] for text in ("a", "b", "c")] == [3, 4, 5]
    assert (await say(bob, "two", place.name))["code"] == "slow_mode"
    assert await code(alice, room("set", place.name, seconds=0)) == "ok"
    assert [(await say(bob, text, place.name))["seq"] for text in ("a", "b")] == [6, 7]


async def test_slow_mode_blocks_no_other_messages(room_daemon: Daemon, wires: Wires) -> None:
    """A message that slow mode refuses does not block later ones to others."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    assert await code(alice, room("set", place.name, seconds=60)) == "ok"
    sent = [chat(to, "x") for to in (place.name, place.name, "erin", place.name, "erin")]
    received = {frame["id"]: frame.get("code") for frame in await answers(bob, *sent)}
    assert [received[each["id"]] for each in sent] == [None, "slow_mode", None, "slow_mode", None]


async def test_a_moderator_redacts(room_daemon: Daemon, wires: Wires) -> None:
    """A moderator's redaction leaves a tombstone for all members, and is logged with its reason."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    await say(carol, f"the password is {place.conversation}secret", place.name)
    await say(carol, react(place.name, 1, "+1"))
    assert (await say(bob, redact(place.name, 1)))["code"] == "not_allowed"
    assert await code(alice, room("role", place.name, "bob", role="moderator")) == "ok"
    assert (await say(bob, redact(place.name, 1, "a password")))["seq"] == 3
    received = await carol.receive_type("redact")
    assert (received["seq"], received["target"], received["from"], received["to"]) == (
        3,
        1,
        "bob",
        place.name,
    )
    page = await ask(carol, {"type": "history", "conversation": place.conversation})
    (message,) = page["messages"]
    assert (message["seq"], message["from"], message["body"], message["erased"]) == (1, "carol", "", True)
    assert "reactions" not in message
    missed = [
        each
        for each in (await resume(wires, room_daemon, "carol", {place.conversation: 0})).missed
        if place.concerns(each)
    ]
    assert [each["type"] for each in missed] == ["chat", "react", "redact"]
    assert (missed[0]["body"], missed[0]["erased"]) == ("", True)
    request = {"type": "search", "query": f"{place.conversation}secret"}
    while not (found := await ask(carol, request)).get("complete", True):
        pass
    assert found["matches"] == []
    entry = (await log_of(bob, place))[0]
    assert (entry["by"], entry["action"], entry["user"], entry["seq"], entry["text"]) == (
        "bob",
        "redact",
        "carol",
        1,
        "a password",
    )
    for sent in (redact(place.name, 1), edit(place.name, 1, "x"), react(place.name, 1, "+1")):
        assert (await say(carol, sent))["code"] == "unknown_message"


async def test_moderators_act_only_on_lower_roles(room_daemon: Daemon, wires: Wires) -> None:
    """A moderator can't act on moderators and owners; an owner can, but not on the last owner."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    for user in ("bob", "carol"):
        assert await code(alice, room("role", place.name, user, role="moderator")) == "ok"
    await say(carol, "hello", place.name)
    for user in ("alice", "carol", "bob"):
        for action in ("remove", "ban", "mute"):
            assert await code(bob, room(action, place.name, user)) == "not_allowed"
    assert (await say(bob, redact(place.name, 1)))["code"] == "not_allowed"
    assert await code(alice, room("role", place.name, "carol", role="owner")) == "ok"
    assert await code(carol, room("mute", place.name, "alice")) == "ok"
    assert await code(carol, room("role", place.name, "alice", role="member")) == "ok"
    for change in (
        leave(place.name),
        room("remove", place.name, "carol"),
        room("ban", place.name, "carol"),
        room("role", place.name, "carol", role="member"),
    ):
        assert await code(carol, change) == "last_owner"


async def test_everything_is_in_the_log(room_daemon: Daemon, wires: Wires) -> None:
    """The log has all actions except joining and leaving, newest first, in pages."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob, text="a topic", kind="announcement")
    name = place.name
    done = [
        room("topic", name, text="another"),
        room("set", name, kind="open", history="full", seconds=7),
        room("role", name, "bob", role="moderator"),
        room("mute", name, "bob", seconds=3600, text="loud"),
        room("unmute", name, "bob"),
        room("ban", name, "bob", text="louder"),
        room("unban", name, "bob"),
        room("invite", name, "bob"),
        room("remove", name, "bob"),
        room("archive", name),
        room("unarchive", name),
    ]
    for change in done:
        assert await code(alice, change) == "ok"
    assert await code(bob, room("log", name)) == "not_a_member"
    entries = (await log_of(alice, place))[::-1]
    assert [(each["action"], each.get("user", ""), each.get("text", "")) for each in entries] == [
        ("create", "", "announcement, a topic"),
        ("topic", "", "another"),
        ("set", "", "open, history full, slow 7 s"),
        ("role", "bob", "moderator"),
        ("mute", "bob", "loud"),
        ("unmute", "bob", ""),
        ("ban", "bob", "louder"),
        ("unban", "bob", ""),
        ("invite", "bob", ""),
        ("remove", "bob", ""),
        ("archive", "", ""),
        ("unarchive", "", ""),
    ]
    assert {each["by"] for each in entries} == {"alice"}
    assert [each["action"] for each in entries if "until" in each] == ["mute"]
    assert entries[4]["until"] == entries[4]["time"] + 3_600_000
    for n in range(90):
        assert await code(alice, room("topic", name, text=f"{n}")) == "ok"
    entries = await log_of(alice, place)
    assert len(entries) == 102
    assert [each["text"] for each in entries[:90]] == [f"{n}" for n in range(89, -1, -1)]


async def moderation(wire: Wire, place: Place, count: int) -> list[Frame]:
    """Return the next moderation actions that a member sees in a room."""
    actions: list[Frame] = []
    while len(actions) < count:
        actions += (await place.receive(wire, "moderated"))["actions"]
    return actions


async def test_a_muted_member_gets_who_and_why(room_daemon: Daemon, wires: Wires) -> None:
    """All devices of a muted member get who muted them, and why; one that was offline finds it in `rooms`."""
    alice, bob, second = await wires.login(room_daemon, "alice", "bob", "bob")
    place = await make_room(alice, bob)
    await place.receive(second, "room")
    request = room("mute", place.name, "bob", seconds=600, text="chatting too much")
    assert await code(alice, request) == "ok"
    muted: Frame = {}
    for wire in (bob, second):
        muted = (await place.receive(wire, "room"))["room"]
        assert (muted["muted_by"], muted["muted_text"]) == ("alice", "chatting too much")
        await wire.bye()
    (bob,) = await wires.login(room_daemon, "bob")
    found = await described(bob, place)
    assert (found["muted"], found["muted_by"]) == (muted["muted"], "alice")
    assert found["muted_text"] == "chatting too much"
    assert "muted" not in await described(alice, place)
    assert (await say(bob, "am I muted?", place.name))["code"] == "muted"
    # Of two mutes the last one counts; of an unmuted member none does.
    assert await code(alice, room("mute", place.name, "bob")) == "ok"
    found = await described(bob, place)
    assert (found["muted"], found["muted_by"], "muted_text" in found) == (2**53 - 1, "alice", False)
    assert await code(alice, room("unmute", place.name, "bob")) == "ok"
    assert not {"muted", "muted_by", "muted_text"} & (await described(bob, place)).keys()


async def test_a_mute_that_outlives_leaving_says_who_and_why(room_daemon: Daemon, wires: Wires) -> None:
    """All devices of a member who rejoins while muted get who muted them, and why; else they get neither."""
    alice, bob, second = await wires.login(room_daemon, "alice", "bob", "bob")
    place = await make_room(alice, bob)
    request = room("mute", place.name, "bob", seconds=600, text="chatting too much")
    assert await code(alice, request) == "ok"
    for expected in (("alice", "chatting too much"), ("", "")):
        assert await code(bob, {"type": "leave", "room": place.name}) == "ok"
        await second.receive_type("room_left")
        bob.send({"type": "join", "room": place.name})
        for wire in (bob, second):
            found = (await place.receive(wire, "room"))["room"]
            assert (found.get("muted_by", ""), found.get("muted_text", "")) == expected
        await bob.receive_type("room_ack")
        assert await code(alice, room("unmute", place.name, "bob")) == "ok"


async def described(wire: Wire, place: Place) -> Frame:
    """Return a room as a user gets it in `rooms`."""
    page = await ask(wire, {"type": "rooms"})
    while not (found := [each for each in page["rooms"] if each["name"] == place.name]):
        page = await ask(wire, {"type": "rooms", "cursor": page["cursor"]})
    room: Frame = found[0]
    return room


@pytest.mark.parametrize("kind", ["open", "closed", "announcement"])
async def test_all_members_see_who_did_what_to_whom(room_daemon: Daemon, wires: Wires, kind: str) -> None:
    """Each member sees all moderation with its reason, in every kind of room; the others see nothing."""
    alice, bob, carol, dave = await wires.login(room_daemon, "alice", "bob", "carol", "dave")
    place = await make_room(alice, bob, carol, kind=kind)
    name = place.name
    for change in (
        room("mute", name, "carol", seconds=600, text="loud"),
        room("unmute", name, "carol"),
        room("role", name, "carol", role="moderator"),
        room("topic", name, text="news"),
    ):
        assert await code(alice, change) == "ok"
    assert await code(carol, room("ban", name, "dave", text="spam")) == "ok"
    # A moderator who has left is still the one who did it.
    assert await code(carol, leave(name)) == "ok"
    assert await code(alice, room("archive", name)) == "ok"
    seen = await moderation(bob, place, 6)
    assert seen[0].pop("until") > 0
    assert seen == [
        {"by": "alice", "action": "mute", "user": "carol", "text": "loud"},
        {"by": "alice", "action": "unmute", "user": "carol"},
        {"by": "alice", "action": "role", "user": "carol", "text": "moderator"},
        {"by": "alice", "action": "topic", "text": "news"},
        {"by": "carol", "action": "ban", "user": "dave", "text": "spam"},
        {"by": "alice", "action": "archive"},
    ]
    assert [each for each in await dave.drain() if place.concerns(each)] == []


async def test_the_operator_is_shown_as_an_empty_name(room_daemon: Daemon, wires: Wires) -> None:
    """What the operator does by a command is shown to the members like everything else."""
    alice, bob = await wires.login(room_daemon, "alice", "bob")
    place = await make_room(alice, bob)
    room_daemon.run("room", "archive", place.name.removeprefix("#"))
    assert await moderation(bob, place, 1) == [{"by": "", "action": "archive"}]


async def test_a_block_hides_no_moderation(room_daemon: Daemon, wires: Wires) -> None:
    """A member sees what a user does whom they block, and is notified of their own mute by such a user."""
    alice, bob, carol = await wires.login(room_daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    assert await code(bob, {"type": "block", "user": "alice"}) == "ok"
    assert await code(alice, room("remove", place.name, "carol", text="spam")) == "ok"
    assert await moderation(bob, place, 1) == [
        {"by": "alice", "action": "remove", "user": "carol", "text": "spam"}
    ]
    assert await code(alice, room("mute", place.name, "bob", text="loud")) == "ok"
    while not (muted := (await place.receive(bob, "room"))["room"]).get("muted"):
        pass
    assert (muted["muted_by"], muted["muted_text"]) == ("alice", "loud")
    assert await code(bob, {"type": "unblock", "user": "alice"}) == "ok"


async def test_the_reason_of_a_deleted_moderator(start_daemon: StartDaemon, wires: Wires) -> None:
    """After a moderator was deleted a mute has their name and reason; after they were erased the name."""
    daemon = start_daemon()
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    place = await make_room(alice, bob, carol)
    assert await code(alice, room("role", place.name, "carol", role="owner")) == "ok"
    assert await code(carol, room("mute", place.name, "bob", text="loud")) == "ok"
    for command, expected in (("deluser", ("carol", "loud")), ("erase", ("carol", ""))):
        assert daemon.run(command, "carol", "--yes").returncode == 0
        found = await described(bob, place)
        assert (found["muted_by"], found.get("muted_text", "")) == expected
