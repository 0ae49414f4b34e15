"""Real clients, while a name is given to another account."""

import asyncio

from tests.support.clients import Client, Clients
from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.ports import listen_on_free_port
from tests.support.storage import stored_messages


async def give_away(daemon: Daemon, name: str) -> None:
    """Delete an account and give its name to a new one, with the daemon running or stopped."""
    for arguments in (
        ("deluser", "--yes", name),
        ("adduser", "--reuse-name", "--password-stdin", name),
    ):
        done = await asyncio.to_thread(daemon.run, *arguments, password=f"{PASSWORD}\n")
        assert done.returncode == 0, done.stderr


def has_error(client: Client, text: str) -> bool:
    """Return whether a text is in the client's standard error."""
    return any(text in line for line in client.err)


async def test_a_name_is_given_away_while_connected(start_daemon: StartDaemon, clients: Clients) -> None:
    """What alice types for the first bob reaches no one, and she can read what he wrote."""
    daemon = start_daemon()
    alice = await clients.start(daemon, "alice", "bob", "one")
    bob = await clients.start(daemon, "bob", "alice", "from the first bob")
    await alice.until(lambda each: each.texts() == ["from the first bob"])
    await give_away(daemon, "bob")
    alice.type("a secret")
    await alice.until(lambda each: has_error(each, "the account was deleted"))
    await alice.until(lambda each: has_error(each, "now bob~1, was deleted"))
    alice.type("another secret")
    await alice.until(lambda each: has_error(each, "Not sent: the account of bob~1 was deleted."))
    second = await clients.start(daemon, "bob", "alice", "from the second bob", home="second")
    await alice.until(lambda each: "from the second bob" in each.texts())
    alice.type("back", "bob", "hello")
    await second.until(lambda each: each.texts() == ["hello"])
    assert await alice.ends() != 0
    again = await clients.start(daemon, "alice", "bob~1", "/history", "third secret")
    await again.until(lambda each: has_error(each, "you can only read here"))
    await again.until(lambda each: "from the first bob" in each.texts())
    assert await again.ends() != 0
    assert {row.body for row in stored_messages(daemon.store)} == {
        "one",
        "from the first bob",
        "from the second bob",
        "hello",
    }
    await bob.kill()


async def test_a_name_is_given_away_while_away(start_daemon: StartDaemon, clients: Clients) -> None:
    """What was typed for the first bob without a connection is refused at the next start."""
    listen = listen_on_free_port()
    first = start_daemon(listen)
    alice = await clients.start(first, "alice", "bob", "one")
    await alice.until(lambda each: has_error(each, "stored for bob"))
    assert await alice.ends() == 0
    alice = await clients.start(first, "alice", "bob")
    assert first.stop() == 0
    await alice.until(lambda each: has_error(each, "reconnecting"))
    alice.type("a secret", "/status")
    await alice.until(lambda each: any("a secret" in line for line in (*each.out, *each.err)))
    await alice.kill()
    await give_away(first, "bob")
    # On the same port: what a client keeps belongs to a server's address.
    daemon = start_daemon(listen)
    alice = await clients.start(daemon, "alice")
    await alice.until(lambda each: has_error(each, "the account was deleted"))
    await alice.ends()
    second = await clients.start(daemon, "bob", home="second")
    assert await second.ends() == 0
    assert second.out == []
    assert [row.body for row in stored_messages(daemon.store)] == ["one"]
