"""Real clients on the real daemon: nothing acknowledged is lost or doubled."""

import signal

import pytest

from tests.support.clients import Clients, until_notice, until_shown
from tests.support.daemon import StartDaemon
from tests.support.ports import listen_on_free_port
from tests.support.storage import stored_messages


async def test_messages_to_an_offline_user_arrive_at_login(
    start_daemon: StartDaemon, clients: Clients
) -> None:
    """Messages to an offline user arrive at login, once and in order, and the sender sees the delivery."""
    daemon = start_daemon()
    alice = await clients.start(daemon, "alice", "bob", "one", "two")
    await alice.until(lambda each: any("stored for bob" in line for line in each.err))
    bob = await clients.start(daemon, "bob")
    await bob.until(lambda each: len(each.out) == 2)
    await alice.until(lambda each: any("delivered to bob" in line for line in each.err))
    assert bob.texts() == ["one", "two"]
    assert await bob.ends("alice", "an answer") == 0
    again = await clients.start(daemon, "bob")
    await alice.until(lambda each: each.texts() == ["an answer"])
    assert await again.ends() == 0
    assert again.out == []
    assert await alice.ends() == 0


async def test_two_devices_see_the_same(start_daemon: StartDaemon, clients: Clients) -> None:
    """Two devices of a user show the same messages, and share the read position."""
    daemon = start_daemon()
    one = await clients.start(daemon, "alice", home="laptop")
    bob = await clients.start(daemon, "bob", "alice", "hello")
    other = await clients.start(daemon, "alice", "bob", home="desktop")
    await other.until(lambda each: each.texts() == ["hello"])
    other.type("hi bob")
    await bob.until(lambda each: each.texts() == ["hi bob"])
    await one.until(lambda each: each.texts() == ["hello", "hi bob"])
    assert one.out[-1].endswith("[to bob] hi bob")
    assert await other.ends() == 0
    late = await clients.start(daemon, "alice", home="phone")
    assert not any("unread" in line for line in late.err)
    for client in (one, bob, late):
        assert await client.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_conversation_goes_on_over_a_restart(
    start_daemon: StartDaemon, clients: Clients, number: signal.Signals
) -> None:
    """Messages typed while the daemon is down are sent after its restart, once and in order."""
    listen = listen_on_free_port()
    first = start_daemon(listen)
    alice = await clients.start(first, "alice", "bob")
    bob = await clients.start(first, "bob", "alice")
    texts = [f"a{count}" for count in range(300)]
    alice.type(*texts[:100])
    await bob.until(lambda each: len(each.out) >= 10)
    alice.type(*texts[100:200])
    first.process.send_signal(number)
    first.wait()
    alice.type(*texts[200:])
    await alice.until(lambda each: any("reconnecting" in line for line in each.err))
    start_daemon(listen)
    await bob.until(lambda each: len(each.out) >= 300)
    assert await alice.ends() == 0
    assert await bob.ends() == 0
    assert bob.texts() == texts
    assert [row.seq for row in stored_messages(first.store)] == list(range(1, 301))


async def test_a_killed_client_goes_on(start_daemon: StartDaemon, clients: Clients) -> None:
    """A killed client sends its saved outbox at the next start, once."""
    daemon = start_daemon()
    texts = [f"a{count}" for count in range(150)]
    alice = await clients.start(daemon, "alice", "bob", *texts)
    await alice.until(lambda each: any("stored for bob" in line for line in each.err))
    await alice.kill()
    again = await clients.start(daemon, "alice", "bob", "last")
    assert await again.ends() == 0
    bob = await clients.start(daemon, "bob")
    assert await bob.ends("/status") == 0
    stored = [row.id for row in stored_messages(daemon.store)]
    assert len(stored) == len(set(stored))
    assert bob.texts()[:-1] == texts[: len(stored) - 1]
    assert bob.texts()[-1] == "last"


async def test_hiding_lasts_over_starts_and_reconnects(start_daemon: StartDaemon, clients: Clients) -> None:
    """After /hide neither a start of the client nor a restart of the daemon shows the user; /here does.

    Messages reach the hidden user, and their sender sees them as delivered after /here.
    """

    def is_delivered(line: str) -> bool:
        return "delivered" in line and "second" in line

    listen = listen_on_free_port()
    daemon = start_daemon(listen)
    alice = await clients.start(daemon, "alice", "bob", "are you there?")
    bob = await clients.start(daemon, "bob")
    await until_notice(alice, "bob is online")
    bob.type("/hide")
    await until_notice(bob, "You appear offline to others")
    assert await bob.ends() == 0
    await until_notice(alice, "bob went offline.")
    seen = len(alice.err)
    for _ in range(2):
        bob = await clients.start(daemon, "bob")
        await until_notice(bob, "You appear offline to others")
        assert await bob.ends() == 0
    bob = await clients.start(daemon, "bob")
    await until_notice(bob, "You appear offline to others")
    alice.type("second", "/status")
    await until_shown(bob, "[alice] second")
    alice.type("back")
    daemon.process.kill()
    daemon.wait()
    for each in (alice, bob):
        await until_notice(each, "reconnecting")
    daemon = start_daemon(listen)
    for each in (alice, bob):
        await until_notice(each, "Reconnected.")
    # A later change of presence that alice sees: those before it have come.
    carol = await clients.start(daemon, "carol")
    await until_notice(alice, "carol is online.")
    assert not any("bob is online" in line or is_delivered(line) for line in alice.err[seen:])
    alice.type("bob")
    await until_notice(alice, "bob is offline")
    bob.type("/here")
    await alice.until(lambda each: any("bob is online" in line for line in each.err[seen:]))
    await alice.until(lambda each: any(is_delivered(line) for line in each.err))
    for each in (alice, bob, carol):
        assert await each.ends() == 0
