"""Messages that are sent again after their answer was lost and the world has changed.

The id decides: a stored message is acknowledged as the first time, a refused one is refused as the first
time, whatever has become of recipients, rooms, memberships and rules.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import pytest

from tests.support.daemon import PASSWORD, Daemon, StartDaemon
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
from tests.support.waiting import patiently
from tests.support.wire import Frame, Wire, Wires, chat

Change = Callable[["Scene"], Awaitable[None]]

PLACE: Final = ("id", "conversation", "seq", "time")
"""Fields of an ack that a retry gets again."""


class Scene(NamedTuple):
    """A daemon, where alice owns a room that bob is a member of."""

    daemon: Daemon
    wires: Wires
    alice: Wire
    bob: Wire
    room: Place

    async def admin(self, *arguments: str, password: str = "") -> None:
        """Run a command of the operator."""
        done = await asyncio.to_thread(self.daemon.run, *arguments, password=password)
        assert done.returncode == 0, done.stderr

    async def order(self, action: str, user: str = "", **fields: object) -> None:
        """Let alice change the room."""
        assert await code(self.alice, room(action, self.room.name, user, **fields)) == "ok"


async def stage(start_daemon: StartDaemon, wires: Wires, *settings: str) -> Scene:
    """Start a daemon with a room."""
    daemon = start_daemon(*settings)
    alice, bob = await wires.login(daemon, "alice", "bob")
    return Scene(daemon, wires, alice, bob, await make_room(alice, bob))


def every_kind(to: str, target: int) -> list[Frame]:
    """Return a message, an edit, reactions and a redaction, with new ids."""
    return [
        chat(to, "hello"),
        edit(to, target, "better"),
        react(to, target, "+1"),
        react(to, target, "+1", remove=True),
        redact(to, target, "gone"),
    ]


def another(sent: Frame) -> Frame:
    """Return another message with the same id."""
    match sent["type"]:
        case "redact":
            return {**sent, "target": sent["target"] + 1}
        case "react":
            return {**sent, "text": "other"}
    return {**sent, "body": "other"}


def places(frames: list[Frame]) -> list[dict[str, object]]:
    """Return the places of acks; a nack has none."""
    return [{key: each.get(key) for key in PLACE} for each in frames]


def codes(frames: list[Frame]) -> list[str]:
    """Return the codes of nacks, and the types of acks."""
    return [str(each.get("code", each["type"])) for each in frames]


async def judge_again(scene: Scene, user: str, sent: list[Frame], first: list[Frame], fresh: str) -> None:
    """Send messages again over a new connection, and check the answers.

    Args:
        scene: The scene.
        user: Who sent them.
        sent: What was stored.
        first: The first answers.
        fresh: Answer to a message like the first of them under a new id: a code, or `chat_ack`.
    """
    (wire,) = await scene.wires.login(scene.daemon, user)
    assert places(await answers(wire, *sent)) == places(first)
    shouted = [{**each, "to": f" {each['to'].upper()} "} for each in sent]
    assert places(await answers(wire, *shouted)) == places(first)
    for other in (
        [another(each) for each in sent],
        [{**each, "to": "carol"} for each in sent],
        [{**each, "to": "nosuch"} for each in sent],
        [{**each, "to": "#nosuch"} for each in sent],
    ):
        assert codes(await answers(wire, *other)) == ["id_conflict"] * len(sent)
    assert places(await answers(wire, *sent)) == places(first)
    assert codes([await say(wire, sent[0]["body"], sent[0]["to"])]) == [fresh]


async def delete(scene: Scene) -> None:
    """Delete bob."""
    await scene.admin("deluser", "bob", "--yes")


async def erase(scene: Scene) -> None:
    """Delete bob, and erase what he wrote."""
    await scene.admin("erase", "bob", "--yes")


async def lock(scene: Scene) -> None:
    """Lock bob out."""
    await scene.admin("lock", "bob")


async def replace(scene: Scene) -> None:
    """Give bob's name to a new account."""
    await delete(scene)
    await scene.admin("adduser", "bob", "--reuse-name", "--password-stdin", password=f"{PASSWORD}\n")


async def restart(scene: Scene) -> None:
    """Delete bob, and kill the daemon; the caller starts another one."""
    await delete(scene)
    scene.daemon.process.kill()
    scene.daemon.wait()


@pytest.mark.parametrize(
    ("change", "fresh"),
    [
        (delete, "unknown_recipient"),
        (erase, "unknown_recipient"),
        (lock, "chat_ack"),
        (replace, "chat_ack"),
        (restart, "unknown_recipient"),
    ],
)
async def test_a_retry_after_a_change_of_the_recipient(
    start_daemon: StartDaemon, wires: Wires, change: Change, fresh: str
) -> None:
    """A stored message or event to a user is acknowledged again whatever has become of the user."""
    scene = await stage(start_daemon, wires)
    mine = chat("bob", "mine")
    sent = [mine, *every_kind("bob", 1)]
    first = await answers(scene.alice, *sent)
    assert codes(first) == ["chat_ack"] * 6
    assert [ack["seq"] for ack in first] == [1, 2, 3, 4, 5, 6]
    await change(scene)
    if scene.daemon.process.poll() is not None:
        scene = scene._replace(daemon=start_daemon())
    await judge_again(scene, "alice", sent, first, fresh)


async def remove(scene: Scene) -> None:
    """Remove bob from the room."""
    await scene.order("remove", "bob")


async def ban(scene: Scene) -> None:
    """Ban bob from the room."""
    await scene.order("ban", "bob", seconds=3600)


async def mute(scene: Scene) -> None:
    """Mute bob in the room."""
    await scene.order("mute", "bob", seconds=3600)


async def depart(scene: Scene) -> None:
    """Let bob leave the room."""
    assert await code(scene.bob, leave(scene.room.name)) == "ok"


async def return_later(scene: Scene) -> None:
    """Let bob leave the room and join it again: he no longer sees what he wrote."""
    await depart(scene)
    assert await code(scene.bob, join(scene.room.name)) == "ok"


async def close(scene: Scene) -> None:
    """Close the room, and remove bob: he no longer sees it."""
    await scene.order("set", kind="closed")
    await remove(scene)


async def archive(scene: Scene) -> None:
    """Archive the room."""
    await scene.order("archive")


async def announce(scene: Scene) -> None:
    """Let members of the room only read."""
    await scene.order("set", kind="announcement")


async def slow_down(scene: Scene) -> None:
    """Turn slow mode on, and let bob write."""
    await scene.order("set", seconds=3600)
    assert (await say(scene.bob, "one", scene.room.name))["type"] == "chat_ack"


async def delete_room(scene: Scene) -> None:
    """Delete the room."""
    await scene.admin("room", "delete", scene.room.name, "--yes")
    await scene.alice.receive_type("room_left")


async def replace_room(scene: Scene) -> None:
    """Delete the room, and make another one of that name."""
    await delete_room(scene)
    await scene.order("create")


async def replace_and_join(scene: Scene) -> None:
    """Delete the room, and let bob join another one of that name."""
    await replace_room(scene)
    assert await code(scene.bob, join(scene.room.name)) == "ok"


async def replace_by_closed(scene: Scene) -> None:
    """Delete the room, and make one of that name that bob does not see."""
    await delete_room(scene)
    await scene.order("create", kind="closed")


@pytest.mark.parametrize(
    ("change", "fresh"),
    [
        (remove, "not_a_member"),
        (ban, "not_a_member"),
        (mute, "muted"),
        (depart, "not_a_member"),
        (return_later, "chat_ack"),
        (close, "unknown_room"),
        (archive, "room_archived"),
        (announce, "not_allowed"),
        (slow_down, "slow_mode"),
        (delete_room, "unknown_room"),
        (replace_room, "not_a_member"),
        (replace_and_join, "chat_ack"),
        (replace_by_closed, "unknown_room"),
    ],
)
async def test_a_retry_after_a_change_of_the_room(
    start_daemon: StartDaemon, wires: Wires, change: Change, fresh: str
) -> None:
    """A stored message or event to a room is acknowledged again whatever has become of room and member."""
    scene = await stage(start_daemon, wires)
    sent = [chat(scene.room.name, "mine"), *every_kind(scene.room.name, 1)]
    first = await answers(scene.bob, *sent)
    assert codes(first) == ["chat_ack"] * 6
    await change(scene)
    await judge_again(scene, "bob", sent, first, fresh)


async def test_a_retry_after_pruning(start_daemon: StartDaemon, wires: Wires) -> None:
    """A message that was pruned is acknowledged again, also when its recipient is deleted."""
    scene = await stage(start_daemon, wires, "history.keep_messages=1")
    sent = [chat("bob", "mine"), *every_kind("bob", 1)]
    first = await answers(scene.alice, *sent)
    history = {"type": "history", "conversation": first[0]["conversation"], "after": 0}
    async with patiently():  # pruning happens after delivery
        while (await ask(scene.alice, history))["first_seq"] < len(sent):
            pass
    await delete(scene)
    await judge_again(scene, "alice", sent, first, "unknown_recipient")


# --- refusals


class Refusal(NamedTuple):
    """Messages that are refused, and how the reason ends."""

    begin: Change
    """Makes the reason."""
    sent: Callable[[str], list[Frame]]
    """Messages of bob, for the name of the room."""
    codes: list[str]
    end: Change
    """Ends the reason."""


async def nothing(scene: Scene) -> None:
    """Change nothing."""


async def unmute(scene: Scene) -> None:
    """End bob's mute."""
    await scene.order("unmute", "bob")


async def unarchive(scene: Scene) -> None:
    """Let the archived room be used again."""
    await scene.order("unarchive")


async def come_back(scene: Scene) -> None:
    """Let bob join the room again."""
    assert await code(scene.bob, join(scene.room.name)) == "ok"


async def reopen(scene: Scene) -> None:
    """Let everyone write in the room."""
    await scene.order("set", kind="open", seconds=0)


async def hire(scene: Scene) -> None:
    """Make the account that messages went to."""
    await scene.admin("adduser", "newbie", "--password-stdin", password=f"{PASSWORD}\n")


async def write(scene: Scene) -> None:
    """Write what reactions were sent to."""
    assert (await say(scene.bob, "late", scene.room.name))["seq"] == 1


async def build(scene: Scene) -> None:
    """Make the room that messages went to."""
    assert await code(scene.bob, room("create", "#later")) == "ok"


async def change_own(scene: Scene) -> None:
    """Remove a reaction that was there."""
    await say(scene.bob, react(scene.room.name, 1, "+1", remove=True))


async def write_and_react(scene: Scene) -> None:
    """Write, and react to it."""
    await write(scene)
    await say(scene.bob, react(scene.room.name, 1, "+1"))


REFUSALS: Final = {
    "muted": Refusal(mute, lambda name: every_kind(name, 1), ["muted"] * 5, unmute),
    "archived": Refusal(archive, lambda name: every_kind(name, 1), ["room_archived"] * 5, unarchive),
    "left": Refusal(depart, lambda name: every_kind(name, 1), ["not_a_member"] * 5, come_back),
    "announcement": Refusal(announce, lambda name: [chat(name, "x")], ["not_allowed"], reopen),
    "slow mode": Refusal(slow_down, lambda name: [chat(name, "x")], ["slow_mode"], reopen),
    "no account": Refusal(nothing, lambda _: every_kind("newbie", 1), ["unknown_recipient"] * 5, hire),
    "no room": Refusal(nothing, lambda _: every_kind("#later", 1), ["unknown_room"] * 5, build),
    "no message": Refusal(nothing, lambda name: every_kind(name, 1)[1:], ["unknown_message"] * 4, write),
    "same reaction": Refusal(write_and_react, lambda n: [react(n, 1, "+1")], ["unchanged"], change_own),
    "bad text": Refusal(
        nothing, lambda name: [chat(name, " "), chat("alice", "")], ["body_empty"] * 2, write
    ),
    "self": Refusal(nothing, lambda _: [chat("BOB", "x")], ["recipient_is_self"], nothing),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_retry_of_a_refused_message(start_daemon: StartDaemon, wires: Wires, case: Refusal) -> None:
    """A refused message stays refused when the reason is gone, on every device and after a restart."""
    scene = await stage(start_daemon, wires)
    await case.begin(scene)
    sent = case.sent(scene.room.name)
    (lost,) = await wires.login(scene.daemon, "bob")
    assert codes(await answers(lost, *sent, *sent)) == case.codes * 2
    await case.end(scene)
    assert codes(await answers(scene.bob, *sent)) == case.codes
    different = [{**another(each), "to": "alice"} for each in sent]
    assert codes(await answers(scene.bob, *different)) == case.codes
    scene.daemon.process.kill()
    scene.daemon.wait()
    (again,) = await wires.login(start_daemon(), "bob")
    repeated = await answers(again, *sent)
    assert codes(repeated) == case.codes
    assert [each for each in repeated if "retry_after" in each] == []


async def test_a_retried_refusal_overtakes_nothing(start_daemon: StartDaemon, wires: Wires) -> None:
    """A refused reaction that is sent again does not follow what was sent after it."""
    scene = await stage(start_daemon, wires)
    name = scene.room.name
    assert (await say(scene.alice, "target", name))["seq"] == 1
    remove_x, add_y = react(name, 1, "x", remove=True), react(name, 1, "y")
    assert codes(await answers(scene.bob, remove_x, add_y)) == ["unchanged", "chat_ack"]
    assert (await say(scene.bob, react(name, 1, "x")))["type"] == "chat_ack"
    again = await answers(scene.bob, remove_x, add_y)
    assert codes(again) == ["unchanged", "chat_ack"]
    assert again[1]["seq"] == 2
    page = {"type": "history", "conversation": scene.room.conversation, "limit": 1}
    scene.bob.send(page)
    (message,) = (await scene.bob.receive_type("history"))["messages"]
    assert [each["text"] for each in message["reactions"]] == ["y", "x"]
