"""Conversations over a real daemon."""

import asyncio

import pytest

from tests.support.daemon import Daemon, StartDaemon
from tests.support.storage import stored_messages
from tests.support.wire import Frame, Wire, Wires, chat, message_id

AT_ONCE = 3000


async def test_two_people_talk_both_ways(daemon: Daemon, wires: Wires) -> None:
    """A message reaches its recipient with the sender's login name, and is acknowledged."""
    alice, bob = await wires.login(daemon, "alice", "bob")
    alice.send(chat("bob", "hello\nthere\t\u2603"))
    ack = await alice.receive_type("chat_ack")
    got = await bob.receive_type("chat")
    assert (got["from"], got["to"], got["body"]) == ("alice", "bob", "hello\nthere\t\u2603")
    assert {key: got[key] for key in ("conversation", "seq", "id", "time")} == {
        key: ack[key] for key in ("conversation", "seq", "id", "time")
    }
    bob.send(chat(" ALICE ", "hi"))
    answer = await alice.receive_type("chat")
    assert (answer["from"], answer["to"], answer["body"]) == ("bob", "alice", "hi")
    assert answer["seq"] == got["seq"] + 1
    assert answer["time"] >= got["time"]


async def test_both_write_thousands_at_once(start_daemon: StartDaemon, wires: Wires) -> None:
    """With thousands of messages in flight both ways, order is kept, and acks match the store."""
    daemon = start_daemon()
    alice, bob = await wires.login(daemon, "alice", "bob")

    async def talk(wire: Wire, to: str, base: int) -> tuple[list[Frame], list[Frame]]:
        wire.send(*(chat(to, f"{to} {n}", base + n) for n in range(AT_ONCE)))
        acks: list[Frame] = []
        got: list[Frame] = []
        while len(acks) < AT_ONCE or len(got) < AT_ONCE:
            frame = await wire.receive()
            {"chat_ack": acks, "chat": got}.get(frame["type"], []).append(frame)
        return acks, got

    (acks_a, got_a), (acks_b, got_b) = await asyncio.gather(
        talk(alice, "bob", 0), talk(bob, "alice", AT_ONCE)
    )
    assert [frame["id"] for frame in acks_a] == [message_id(n) for n in range(AT_ONCE)]
    assert [frame["body"] for frame in got_b] == [f"bob {n}" for n in range(AT_ONCE)]
    assert [frame["body"] for frame in got_a] == [f"alice {n}" for n in range(AT_ONCE)]
    assert [frame["seq"] for frame in got_b] == sorted({frame["seq"] for frame in acks_a})
    await alice.bye()
    await bob.bye()
    stored = {(row.seq, row.id, row.time_ms) for row in stored_messages(daemon.store)}
    assert stored == {(frame["seq"], frame["id"], frame["time"]) for frame in acks_a + acks_b}
    assert [row.seq for row in stored_messages(daemon.store)] == list(range(1, 2 * AT_ONCE + 1))


async def test_all_sessions_of_both_get_a_message(daemon: Daemon, wires: Wires) -> None:
    """All sessions of both users receive a message, except the sending one, which gets the ack."""
    one, other, first, second = sessions = await wires.login(daemon, "alice", "alice", "bob", "bob")
    one.send(chat("bob", "to both"))
    ack = await one.receive_type("chat_ack")
    for wire in (other, first, second):
        got = await wire.receive_type("chat")
        assert (got["from"], got["to"], got["body"]) == ("alice", "bob", "to both")
        assert (got["seq"], got.get("origin", "live")) == (ack["seq"], "live")
    first.send(chat("alice", "back"))
    for wire in (one, other, second):
        got = await wire.receive_type("chat")
        assert (got["from"], got["to"], got["body"]) == ("bob", "alice", "back")
    assert (await first.receive_type("chat_ack"))["seq"] == ack["seq"] + 1
    rest = [frame["type"] for wire in sessions for frame in await wire.bye()]
    assert not {"chat", "chat_ack"}.intersection(rest)


async def test_a_message_to_an_offline_user_waits(start_daemon: StartDaemon, wires: Wires) -> None:
    """A message to an offline user is stored and acked, and arrives at the next login."""
    daemon = start_daemon()
    (alice,) = await wires.login(daemon, "alice")
    alice.send(chat("bob", "for later"))
    ack = await alice.receive_type("chat_ack")
    (bob,) = await wires.login(daemon, "bob", resume=False)
    bob.send({"type": "resume", "positions": []})
    got = await bob.receive_type("chat")
    assert (got["from"], got["body"], got["seq"], got["origin"]) == (
        "alice",
        "for later",
        ack["seq"],
        "replay",
    )


async def test_without_resume_no_message_comes(daemon: Daemon, wires: Wires) -> None:
    """A session that has not resumed receives no messages, but can send them."""
    (alice,) = await wires.login(daemon, "alice")
    (bob,) = await wires.login(daemon, "bob", resume=False)
    alice.send(chat("bob", "too early"))
    await alice.receive_type("chat_ack")
    bob.send(chat("alice", "not too early"))
    assert (await alice.receive_type("chat"))["body"] == "not too early"
    assert "chat" not in [frame["type"] for frame in await bob.bye()]


async def test_frames_behind_a_good_auth_are_handled(daemon: Daemon, wires: Wires) -> None:
    """A client can send `auth`, a message and `bye` at once."""
    (bob,) = await wires.login(daemon, "bob")
    alice = await wires.connect(daemon)
    auth = {"type": "auth", "user": "alice", "password": "correct horse battery"}
    alice.send(auth, chat("bob", "in one go"), {"type": "bye"})
    kinds = [frame["type"] for frame in await alice.rest()]
    assert kinds[0] == "auth_ack"
    assert kinds[-2:] == ["chat_ack", "bye"]
    assert (await bob.receive_type("chat"))["body"] == "in one go"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        pytest.param(chat("nobody-here", "x"), "unknown_recipient", id="unknown"),
        pytest.param(chat("no name!", "x"), "unknown_recipient", id="no name at all"),
        pytest.param(chat("alice", "x"), "recipient_is_self", id="self"),
        pytest.param(chat("bob", " \n"), "body_empty", id="empty"),
        pytest.param(chat("bob", "x" * 16385), "body_too_long", id="too long"),
        pytest.param(chat("bob", "\u00e9" * 8193), "body_too_long", id="too long in UTF-8"),
        pytest.param(chat("bob", "a\u200bb"), "body_characters", id="invisible character"),
        pytest.param(chat("bob", "a" + "\u0301" * 31), "body_characters", id="row of marks"),
        pytest.param(chat("bob", "\u2067a"), "body_characters", id="open isolate"),
        pytest.param(chat("bob", "\u200d\ufe0f"), "body_empty", id="nothing visible"),
        pytest.param(chat("bob", "\x1b[2J"), "body_characters", id="control characters"),
        pytest.param({**chat("bob", "x"), "id": "G" * 32}, "bad_id", id="bad id"),
    ],
)
async def test_a_refused_message_is_answered_and_the_session_goes_on(
    daemon: Daemon, wires: Wires, frame: Frame, code: str
) -> None:
    """A refused message gets a nack with its id and code; the next one is stored."""
    alice, bob = await wires.login(daemon, "alice", "bob")
    good = chat("bob", "y" * 16384)
    alice.send(frame, good)
    nack = await alice.receive_type("chat_nack")
    assert (nack["id"], nack["code"]) == (frame["id"], code)
    assert nack["message"].endswith(".")
    assert (await alice.receive_type("chat_ack"))["id"] == good["id"]
    assert len((await bob.receive_type("chat"))["body"]) == 16384


async def test_whois(daemon: Daemon, wires: Wires) -> None:
    """`whois` is answered in the order of the requests, also between others."""
    alice, bob = await wires.login(daemon, "alice", "bob")
    bob.send({"type": "presence", "status": "away", "text": "lunch"})
    await bob.receive_type("presence_ack")
    names = ["Bob", "nobody-here", "no name!", "carol"]
    alice.send(*({"type": "whois", "user": name} for name in names), {"type": "conversations"})
    alice.send({"type": "whois", "user": "\x01" * 9000})
    answers = [await alice.receive_type("whois") for _ in range(5)]
    assert answers == [
        {"type": "whois", "user": "bob", "known": True, "status": "away", "text": "lunch"},
        {"type": "whois", "user": "nobody-here", "known": False},
        {"type": "whois", "user": "no name!", "known": False},
        {"type": "whois", "user": "carol", "known": True, "status": "offline"},
        {"type": "whois", "user": "\x01" * 200, "known": False},
    ]


async def test_ping_is_answered(daemon: Daemon, wires: Wires) -> None:
    """`ping` is answered by `pong`; a `pong` without a `ping` is ignored."""
    (alice,) = await wires.login(daemon, "alice")
    alice.send({"type": "pong"}, {"type": "ping"})
    assert await alice.receive_type("pong") == {"type": "pong"}
