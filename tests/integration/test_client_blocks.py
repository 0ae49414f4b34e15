"""Real clients that block each other on the real daemon, on two devices."""

from tests.support.clients import Clients, until_notice, until_shown
from tests.support.daemon import StartDaemon


async def test_a_block_on_two_devices(start_daemon: StartDaemon, clients: Clients) -> None:
    """Both devices know of a block at once; messages are refused, and folded in a room."""
    daemon = start_daemon()
    bob = await clients.start(daemon, "bob", "/create #dev open full", "first")
    await until_notice(bob, "(1) first")
    one = await clients.start(daemon, "alice", "/join #dev")
    await until_notice(one, "There are older messages")
    two = await clients.start(daemon, "alice", "#dev", home="second")
    one.type("/block bob")
    for device in (one, two):
        await until_notice(device, "You block bob")
    bob.type("@alice: second", "third")
    await until_notice(bob, "(3) third")
    carol = await clients.start(daemon, "carol", "/join #dev", "hello")
    for device in (one, two):
        await until_shown(device, "(4) carol: hello")
        assert [line for line in device.lines() if " bob: " in line] == []
        assert any("from bob (blocked)]" in line for line in device.err)
    two.type("/show 1")
    await until_shown(two, "(3) bob: third")
    bob.type("back", "alice", "are you there?")
    await until_notice(bob, "alice does not accept messages from you. Your text: are you there?")
    two.type("back", "bob", "hello")
    await until_notice(two, "Not sent: you block bob.")
    two.type("/unblock bob")
    for device in (one, two):
        await until_notice(device, "You no longer block bob.")
    bob.type("again")
    await until_shown(one, "[bob] again")
    assert await one.ends() == 0
    assert await two.ends() == 9
    assert await bob.ends() == 9
    assert await carol.ends() == 0


async def test_a_script_blocks(start_daemon: StartDaemon, clients: Clients) -> None:
    """The client waits for the answer to a last `/block`, and reports a refused one."""
    daemon = start_daemon()
    first = await clients.start(daemon, "alice")
    assert await first.ends("/block bob") == 0
    second = await clients.start(daemon, "alice")
    assert await second.ends("/block bob", "/blocks") == 9
    assert "! You already block bob." in second.err
    assert "* You block: bob. /unblock NAME ends it." in second.err
