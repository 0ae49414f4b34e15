"""Limits of accounts on the real daemon: announced, enforced, and harmless to everybody else."""

import asyncio
from typing import Final

from tests.support.daemon import PASSWORD, StartDaemon
from tests.support.rooms import ask, code, join, leave, redact, room, say
from tests.support.waiting import until
from tests.support.wire import Frame, Wire, Wires, chat

ALL: Final = ("alice", "bob", "carol", "dave", "erin")
DEVICE: Final = "6f1c02b9a4d84e5f9b3a7c1d2e8f4a60"


async def try_login(wire: Wire, user: str, device: str = "") -> Frame:
    """Send `auth`, and return the answer."""
    wire.send({"type": "auth", "user": user, "password": PASSWORD, "device": device})
    return await wire.receive()


async def test_the_limits_are_announced(start_daemon: StartDaemon, wires: Wires) -> None:
    """`auth_ack` has every limit, as it is configured."""
    bursts = ("limits.message_burst=1000", "limits.byte_burst=8MiB", "limits.request_burst=200")
    daemon = start_daemon("limits.sessions_per_account=7", "limits.stored_per_day=5MiB", *bursts)
    ack = await try_login(await wires.connect(daemon), "alice")
    assert ack["limits"] == {
        "line": 65536,
        "body": 16384,
        "messages_per_second": 100,
        "message_burst": 1000,
        "bytes_per_second": 1 << 20,
        "byte_burst": 8 << 20,
        "requests_per_second": 20,
        "request_burst": 200,
        "sessions": 7,
        "rooms": 50,
        "joins_per_hour": 200,
        "invitations_per_day": 200,
        "stored_per_day": 5 << 20,
    }


async def test_one_session_too_many_is_refused(start_daemon: StartDaemon, wires: Wires) -> None:
    """The login after the last one gets a code of its own; a wrong password is no way to learn of it."""
    daemon = start_daemon("limits.sessions_per_account=2")
    first, _ = await wires.login(daemon, "alice", "alice")
    wire = await wires.connect(daemon)
    answer = await try_login(wire, "alice")
    assert (answer["type"], answer["code"], answer["retry_after"]) == ("auth_nack", "too_many_sessions", 30.0)
    assert "The limit is 2." in answer["message"]
    wire.send({"type": "auth", "user": "alice", "password": "wrong"})
    assert (await wire.receive())["code"] == "bad_credentials"
    await wires.login(daemon, "bob")
    await first.bye()
    assert (await try_login(wire, "alice"))["type"] == "auth_ack"

    def refusals() -> list[tuple[str, str]]:
        logins = [each for each in daemon.sessions() if each["event"] in ("auth.refused", "auth.fail")]
        return [(each["event"], each["reason"]) for each in logins]

    await until(lambda: len(refusals()) >= 2)
    assert refusals() == [("auth.refused", "too_many_sessions"), ("auth.fail", "bad_credentials")]


async def test_a_device_that_logs_in_again_counts_once(start_daemon: StartDaemon, wires: Wires) -> None:
    """At the limit a device still replaces its own session, and is not refused."""
    daemon = start_daemon("limits.sessions_per_account=2")
    (await wires.login(daemon, "alice"))
    old = await wires.connect(daemon)
    assert (await try_login(old, "alice", DEVICE))["type"] == "auth_ack"
    for _ in range(3):
        new = await wires.connect(daemon)
        assert (await try_login(new, "alice", DEVICE))["type"] == "auth_ack"
        assert (await old.receive_type("bye"))["reason"] == "replaced"
        old = new


async def test_logins_at_once_keep_the_limit_together(start_daemon: StartDaemon, wires: Wires) -> None:
    """Of many logins at the same moment, as many succeed as the limit allows."""
    daemon = start_daemon("limits.sessions_per_account=5")
    waiting = [await wires.connect(daemon) for _ in range(12)]
    answers = await asyncio.gather(*[try_login(wire, "alice") for wire in waiting])
    assert [each["type"] for each in answers].count("auth_ack") == 5
    assert [each.get("code") for each in answers].count("too_many_sessions") == 7


async def test_rooms_that_others_give_do_not_count(start_daemon: StartDaemon, wires: Wires) -> None:
    """Only rooms that a user has created and owns count; leaving or handing over makes room."""
    daemon = start_daemon("limits.rooms_per_account=2")
    alice, bob = await wires.login(daemon, "alice", "bob")
    for name in ("#b1", "#b2"):
        assert await code(bob, room("create", name)) == "ok"
        assert await code(alice, join(name)) == "ok"
        assert await code(bob, room("role", name, "alice", role="owner")) == "ok"
    assert await code(alice, room("create", "#a1")) == "ok"
    assert await code(alice, room("create", "#a2")) == "ok"
    refused = await ask(alice, room("create", "#a3"))
    assert (refused["code"], "The limit is 2." in refused["message"]) == ("too_many_owned", True)
    assert await code(alice, room("archive", "#a1")) == "ok"
    assert await code(alice, room("create", "#a3")) == "too_many_owned"
    assert await code(bob, leave("#b1")) == "ok"
    assert await code(bob, room("create", "#b3")) == "ok"


async def test_a_declined_invitation_is_not_repeated(start_daemon: StartDaemon, wires: Wires) -> None:
    """Nobody of the room can repeat it, also after a restart; another room and the operator can invite."""
    daemon = start_daemon(accounts=ALL)
    alice, bob, carol = await wires.login(daemon, "alice", "bob", "carol")
    for name in ("#one", "#two"):
        assert await code(alice, room("create", name, kind="closed")) == "ok"
    assert await code(alice, room("invite", "#one", "carol")) == "ok"
    assert await code(carol, join("#one")) == "ok"
    assert await code(alice, room("invite", "#one", "bob")) == "ok"
    assert await code(bob, leave("#one")) == "ok"
    for wire in (alice, carol):
        refused = await ask(wire, room("invite", "#one", "bob"))
        assert refused["code"] == "declined"
        assert 86_000 < refused["retry_after"] <= 86_400
    assert await code(alice, room("invite", "#two", "bob")) == "ok"
    await wires.close()  # which the shutdown would wait for
    assert daemon.stop() == 0
    again = start_daemon()
    (alice,) = await wires.login(again, "alice")
    assert await code(alice, room("invite", "#one", "bob")) == "declined"
    assert await code(alice, room("invite", "#two", "bob")) == "ok"


async def test_joins_and_invitations_are_counted(start_daemon: StartDaemon, wires: Wires) -> None:
    """Beyond the limit there is a time to wait; what fails and what others do does not count."""
    daemon = start_daemon("limits.joins_per_hour=3", "limits.invitations_per_day=2", accounts=ALL)
    alice, bob = await wires.login(daemon, "alice", "bob")
    assert await code(alice, room("create", "#dev")) == "ok"
    for _ in range(5):
        assert await code(alice, room("create", "#dev")) == "room_exists"
        assert await code(alice, join("#none")) == "unknown_room"
    for _ in range(2):
        assert await code(bob, join("#dev")) == "ok"
        assert await code(bob, leave("#dev")) == "ok"
    assert await code(bob, join("#dev")) == "ok"
    assert await code(bob, leave("#dev")) == "ok"
    refused = await ask(bob, join("#dev"))
    assert refused["code"] == "rate_limited"
    assert 0 < refused["retry_after"] <= 1200
    assert await code(alice, join("#dev")) == "already_member"
    assert await code(alice, room("invite", "#dev", "carol")) == "ok"
    assert await code(alice, room("invite", "#dev", "alice")) == "already_member"
    assert await code(alice, room("invite", "#dev", "dave")) == "ok"
    refused = await ask(alice, room("invite", "#dev", "erin"))
    assert refused["code"] == "rate_limited"
    assert 0 < refused["retry_after"] <= 43_200


async def test_the_quota_of_a_day(start_daemon: StartDaemon, wires: Wires) -> None:
    """Beyond it messages are refused for good, over all sessions of the account, and of no other one."""
    daemon = start_daemon("limits.stored_per_day=1MiB")
    alice, other, bob = await wires.login(daemon, "alice", "alice", "bob")
    numbers = range(1000, 1100)
    answers: dict[int, Frame] = {}
    for number in numbers:
        answers[number] = await say(alice, chat("bob", "é" * 8000, number))
        if answers[number]["type"] == "chat_nack":
            break
    stored = [number for number, answer in answers.items() if answer["type"] == "chat_ack"]
    assert 60 <= len(stored) <= 66
    refused = answers[max(answers)]
    assert refused["code"] == "quota_exceeded"
    assert 0 < refused["retry_after"] < 86_400
    assert (await say(other, "from another session", "bob"))["code"] == "quota_exceeded"
    # The id decides first: a stored message is acknowledged again, a refused one refused again.
    assert (await say(alice, chat("bob", "é" * 8000, stored[0])))["repeated"] is True
    again = await say(alice, chat("bob", "é" * 8000, max(answers)))
    assert (again["code"], "retry_after" in again) == ("quota_exceeded", False)
    assert (await say(alice, redact("bob", 1)))["type"] == "chat_ack"
    assert await code(alice, room("create", "#dev")) == "quota_exceeded"
    assert (await say(bob, "not concerned", "alice"))["type"] == "chat_ack"
    # A new session is no way around it.
    await alice.bye()
    await other.bye()
    (alice,) = await wires.login(daemon, "alice")
    assert (await say(alice, "again", "bob"))["code"] == "quota_exceeded"


async def test_refused_messages_are_charged(start_daemon: StartDaemon, wires: Wires) -> None:
    """Each final refusal is remembered, so each one is charged: nobody fills the disk with them."""
    fast = ("limits.messages_per_second=1000000", "limits.message_burst=1000000")
    daemon = start_daemon("limits.stored_per_day=1MiB", *fast)
    (alice,) = await wires.login(daemon, "alice")
    for start in range(0, 11_000, 500):
        alice.send(*[chat("nobody", "x", 100_000 + start + number) for number in range(500)])
        for _ in range(500):
            assert (await alice.receive_type("chat_nack"))["code"] == "unknown_recipient"
    assert (await say(alice, "hello", "bob"))["code"] == "quota_exceeded"
