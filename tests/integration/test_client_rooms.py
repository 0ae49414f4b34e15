"""Real clients in rooms of the real daemon."""

import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qscpd.setup.pki import AuthorityFiles
from tests.support.clients import Clients, until_notice, until_shown
from tests.support.daemon import PASSWORD, Daemon, StartDaemon
from tests.support.ports import listen_on_free_port

if sys.platform != "win32":
    from tests.support.terminal import Terminal, on_terminal


@pytest.fixture
def room_daemon(start_daemon: StartDaemon) -> Daemon:
    """New daemon without any message, because these tests check what a client shows first."""
    return start_daemon(accounts=("alice", "bob", "carol", "dave", "erin"))


async def test_three_people_in_a_room(room_daemon: Daemon, clients: Clients) -> None:
    """Members see each other's messages and events, once and in order."""
    alice = await clients.start(room_daemon, "alice", "/create #three open full", "hello", "oops")
    await until_notice(alice, "(2) oops")
    bob = await clients.start(room_daemon, "bob", "/join #three", "/history", "hi alice")
    await until_shown(alice, "(3) bob: hi alice")
    carol = await clients.start(room_daemon, "carol", "/join three", "/me waves at @alice")
    await until_shown(alice, "(4) * carol waves at @alice")
    alice.type("/edit 1 hello all", "/redact 2", "/react 3 ok", "/reply 3 welcome")
    for other in (bob, carol):
        await other.until(lambda each: any(line.startswith("(8) alice, re (3)") for line in each.lines()))
    bob.type("/unreact 3 ok", "/unreact 1 ok", "/last 10")
    await until_shown(bob, '(8) alice, re (3) "hi alice": welcome')
    await bob.until(lambda each: any("(end of the last messages)" in line for line in each.err))
    await until_notice(bob, "no change: it is already so. Your text: (removed reaction to 1) ok")
    assert await bob.ends() == 9
    assert bob.lines() == [
        "(1) alice: hello",
        "(2) alice: oops",
        "(4) * carol waves at @alice",
        "alice edited (1): hello all",
        '(8) alice, re (3) "hi alice": welcome',
        "(1) alice: hello all  (edited)",
        "(2) alice: (erased)",
        "(3) bob: hi alice  [ok 1]",
        "(4) * carol waves at @alice",
        '(8) alice, re (3) "hi alice": welcome',
    ]
    assert any("alice deleted message 2." in line for line in bob.err)
    assert any('alice reacted ok to (3) "hi alice"' in line for line in bob.err)
    for client in (alice, carol):
        assert await client.ends() == 0


async def test_an_absent_member_gets_missed_messages(room_daemon: Daemon, clients: Clients) -> None:
    """Missed messages arrive once, in order and in their last form; devices share the read position."""
    alice = await clients.start(room_daemon, "alice", "/create #away")
    bob = await clients.start(room_daemon, "bob", "/join #away", "ready")
    await until_shown(alice, "(1) bob: ready")
    assert await bob.ends() == 0
    alice.type("one", "two", "@bob three")
    await until_notice(alice, "(4) @bob three")
    alice.type("/edit 2 eins", "/redact 3")
    await until_notice(alice, "stored for #away: (redaction of 3)")
    again = await clients.start(room_daemon, "bob")
    await until_notice(again, "#away (3 unread, 1 mentions you)")
    await again.until(lambda each: len(each.out) >= 3)
    again.type("#away", "/status")
    await until_notice(again, "You are online")
    assert await again.ends() == 0
    assert again.lines() == [
        "[#away] alice: eins  (edited)",
        "[#away] alice: (erased)",
        "[#away] alice: @bob three",
    ]
    other = await clients.start(room_daemon, "bob", home="bob-elsewhere")
    other.type("/who")
    await other.until(lambda each: sum("Rooms: " in line for line in each.err) == 2)
    assert not any("#away (" in line for line in other.err)
    for client in (alice, other):
        assert await client.ends() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_actions_while_the_daemon_is_down_happen_once(
    start_daemon: StartDaemon, clients: Clients, number: signal.Signals
) -> None:
    """Messages and events typed while the daemon is down are sent once, in order."""
    listen = listen_on_free_port()
    first = start_daemon(listen)
    alice = await clients.start(first, "alice", "/create #dev full", "one", "two", "three")
    bob = await clients.start(first, "bob", "/join #dev", "/history", "four")
    await until_shown(alice, "(4) bob: four")
    first.process.send_signal(number)
    first.wait()
    alice.type("five", "/edit 1 eins", "/redact 2", "/react 4 ok", "six")
    await until_notice(alice, "reconnecting")
    start_daemon(listen)
    await until_shown(bob, "(9) alice: six")
    assert await alice.ends() == 0
    assert await bob.ends("/last 20") == 0
    assert bob.lines()[-6:] == [
        "(1) alice: eins  (edited)",
        "(2) alice: (erased)",
        "(3) alice: three",
        "(4) bob: four  [ok 1]",
        "(5) alice: five",
        "(9) alice: six",
    ]


async def test_a_killed_client_does_what_was_typed(start_daemon: StartDaemon, clients: Clients) -> None:
    """A killed client does its saved actions at the next start: once, in order, to the same messages."""
    listen = listen_on_free_port()
    first = start_daemon(listen)
    alice = await clients.start(first, "alice", "/create #dev", "one", "two")
    bob = await clients.start(first, "bob", "/join #dev", "three")
    await until_shown(alice, "(3) bob: three")
    first.stop()
    await until_notice(alice, "reconnecting")
    alice.type("/edit 1 eins", "/redact 2", "/react 3 ok", "/reply 3 yes", "/status")
    await alice.until(lambda each: sum("pending" in line for line in each.err) == len("abcd"))
    await alice.kill()
    start_daemon(listen)
    again = await clients.start(first, "alice", "#dev", "/last 9")
    await until_notice(again, "(end of the last messages)")
    last = [
        "(1) alice: eins  (edited)",
        "(2) alice: (erased)",
        "(3) bob: three  [ok 1 by you]",
        '(7) alice, re (3) "three": yes',
    ]
    await again.until(lambda each: each.lines()[-4:] == last)  # messages and notices come by two pipes
    await until_shown(bob, '(7) alice, re (3) "three": yes')
    for client in (again, bob):
        assert await client.ends() == 0


async def test_refused_actions_are_shown(room_daemon: Daemon, clients: Clients) -> None:
    """A refused action shows the server's sentence and the text, and the exit code is 9."""
    alice = await clients.start(room_daemon, "alice", "/create #strict", "hello")
    bob = await clients.start(room_daemon, "bob", "/join #strict")
    carol = await clients.start(room_daemon, "carol", "/join #strict", "hello")
    await until_shown(alice, "(2) carol: hello")
    bob.type("/topic mine", "/ban carol", "/invite carol", "/members")
    await until_notice(bob, "Members of #strict: alice (owner), bob, carol")
    assert sum("Your role in #strict does not allow that." in line for line in bob.err) == 2
    assert any("carol is already in #strict." in line for line in bob.err)
    alice.type("/mute bob 1h")
    await until_notice(alice, "You muted bob in #strict until")
    await until_notice(bob, "alice muted you in #strict until")
    bob.type("may I?")
    await until_notice(bob, "Not sent to #strict: you are muted for another ")
    assert any("60 minutes. Your text: may I?" in line for line in bob.err)
    alice.type("/ban carol 1d spam")
    await until_notice(carol, "alice banned you from #strict until")
    assert any(": spam." in line for line in carol.err)
    carol.type("/join #strict", "nobody reads this one")
    await until_notice(carol, "Stopped: nothing after that line was sent")
    alice.type("/log")
    await until_notice(alice, "alice banned carol until")
    alice.type("/leave", "nobody reads this one either")
    await until_notice(alice, "You are the only owner.")
    for client in (alice, bob, carol):
        assert await client.ends() == 9


async def test_a_closed_room_needs_an_invitation(room_daemon: Daemon, clients: Clients) -> None:
    """A closed room is unknown without an invitation, and text typed after a refused name is not sent."""
    alice = await clients.start(room_daemon, "alice", "/create #board closed", "secret")
    carol = await clients.start(room_daemon, "carol", "#board", "/join #board")
    await until_notice(carol, "You are not a member of #board.")
    assert await carol.ends() == 9
    carol = await clients.start(room_daemon, "carol", "/join #board", "/rooms")
    await until_notice(carol, "#board does not exist, or is closed and you are not invited.")
    assert await carol.ends() == 9
    bob = await clients.start(room_daemon, "bob")
    alice.type("/invite bob")
    await until_notice(bob, "alice invited you to #board. Try /join #board.")
    bob.type("/join #board", "here I am", "/leave")
    await until_shown(alice, "(2) bob: here I am")
    await until_notice(bob, "You left #board.")
    assert await bob.ends() == 0
    assert bob.out == []
    alice.type("/archive", "too late?")
    await until_notice(alice, "#board is archived (read-only)")
    assert await alice.ends() == 9


async def test_a_room_that_the_operator_deletes(room_daemon: Daemon, clients: Clients) -> None:
    """Members are notified when the operator deletes a room, and can't enter it again."""
    alice = await clients.start(room_daemon, "alice", "/create #gone", "hello")
    await until_notice(alice, "stored for #gone: (1) hello")
    done = room_daemon.run("room", "delete", "#gone", "--yes")
    assert done.returncode == 0, done.stderr
    await until_notice(alice, "#gone was deleted.")
    alice.type("#gone")
    await until_notice(alice, "You are not a member of #gone.")
    assert await alice.ends() == 9


if sys.platform != "win32":

    def command(authority: AuthorityFiles, room_daemon: Daemon) -> list[str]:
        """Return the command line of a client at a terminal."""
        address = f"localhost:{room_daemon.port}"
        return [sys.executable, "-m", "client", "--ca", str(authority.ca_certificate), "--server", address]

    def environment(home: Path) -> dict[str, str]:
        """Return an environment with its own home directory."""
        return os.environ | {
            "XDG_STATE_HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "PYTHONWARNINGS": "error",
            "TERM": "xterm",
            "TZ": "UTC",
        }

    @pytest.fixture
    async def alice(
        room_daemon: Daemon, authority: AuthorityFiles, tmp_path: Path
    ) -> AsyncIterator[Terminal]:
        """Alice at a terminal, logged in."""
        async with on_terminal(command(authority, room_daemon), environment(tmp_path / "alice")) as screen:
            await screen.log_in("alice", PASSWORD)
            yield screen

    @pytest.fixture
    async def dave(room_daemon: Daemon, authority: AuthorityFiles, tmp_path: Path) -> AsyncIterator[Terminal]:
        """Dave at another terminal, logged in."""
        async with on_terminal(command(authority, room_daemon), environment(tmp_path / "dave")) as screen:
            await screen.log_in("dave", PASSWORD)
            yield screen

    async def test_a_room_on_two_terminals(alice: Terminal, dave: Terminal) -> None:
        """Two terminals show joins, messages, unread counts, mentions, events and a removal."""
        alice.type("/create #term full\r")
        await alice.until("to #term:")
        dave.type("/join #term\r")
        await dave.until("to #term:")
        await alice.until("dave joined; 2 members in #term now.")
        alice.type("hello\r")
        await alice.until_like(r"\d\d:\d\d \(1\) alice: hello  \u2713 stored")
        await dave.until_like(r"\d\d:\d\d \(1\) alice: hello")
        alice.type("back\r")
        await alice.until("Chat with:")
        dave.type("one\r/reply @alice two\r")
        await alice.until_like(r"Rooms: #term \(2 unread, 1 mentions you\).*")
        await alice.until_like(r'\d\d:\d\d \[#term\] dave, re \(1\) "hello": @alice two')
        assert not any(line.endswith("dave: one") for line in alice.lines)
        alice.type("#te\t\r")
        await alice.until_like(
            r"\d\d:\d\d \(2\) dave: one", r'\d\d:\d\d \(3\) dave, re \(1\) "hello": @alice two'
        )
        alice.type("/edit hello there\r/react 2 ok\r")
        await dave.until_like(
            r"\d\d:\d\d alice edited \(1\): hello there", r'\d\d:\d\d alice reacted ok to \(2\) "one"'
        )
        alice.type("/remove dave try again\r")
        await dave.until("alice removed you from #term: try again.", "Chat with:")

    async def test_typing_is_shown_at_the_bottom(alice: Terminal, dave: Terminal) -> None:
        """The bottom line names a user who types a message, and not one who types a command."""
        alice.type("/create #hush\r")
        await alice.until("to #hush:")
        dave.type("/join #hush\r")
        await dave.until("to #hush:")
        dave.type("/topic no message")
        dave.type("\x03hel")
        await alice.until_like(r".*in #hush \| dave is typing \|.*")
        dave.type("lo\r")
        await alice.until_like(r"\d\d:\d\d \(1\) dave: hello", r"alice \| in #hush \| (?!dave).*")

    async def test_hiding_is_shown_at_the_bottom(alice: Terminal, dave: Terminal) -> None:
        """The bottom line says that you are hidden; another user sees you neither online nor typing."""
        alice.type("/hide\r")
        await alice.until_like(r"alice \(hidden\) \| .*")
        dave.type("alice\r")
        await dave.until_like(r".*with alice \(offline\).*")
        dave.type("are you there?\r")
        await alice.until_like(r"\d\d:\d\d \[dave\] are you there\?")
        alice.type("dave\ryes")
        await dave.until_like(r"\d\d:\d\d dave: are you there\?  \u2713 stored")
        alice.type("\x03/here\r")
        await alice.until_like(r"alice \| .*")
        await dave.until_like(
            r"\d\d:\d\d dave: are you there\?  \u2713\u2713 delivered", r"dave \| with alice \|.*"
        )

    async def test_an_unknown_command_is_never_sent(alice: Terminal, dave: Terminal) -> None:
        """An unknown command is not sent; two slashes send a text that begins with one."""
        alice.type("/create #slash\r")
        await alice.until("to #slash:")
        dave.type("/join #slash\r")
        await dave.until("to #slash:")
        alice.type("/jion #dev\r//shrug\r")
        await dave.until_like(r"\d\d:\d\d \(1\) alice: /shrug")
        assert any("Unknown command /jion; nothing was sent." in line for line in alice.lines)


async def test_moderation_with_real_clients(room_daemon: Daemon, clients: Clients) -> None:
    """A muted user sees who and why, at once and after an absence; the others see what is done to members."""
    alice = await clients.start(room_daemon, "alice", "/create #garden", "hello")
    await until_notice(alice, "(1) hello")
    bob = await clients.start(room_daemon, "bob", "/join #garden")
    carol = await clients.start(room_daemon, "carol", "/join #garden")
    dave = await clients.start(room_daemon, "dave", "/join #garden", "hi")
    for each in (bob, carol):
        await until_shown(each, "(2) dave: hi")
    alice.type("/topic tomatoes")
    for each in (bob, carol):
        await until_notice(each, "alice set a new topic of #garden: tomatoes")
    alice.type("/mute bob 1h chatting too much", "/remove dave spam", "/role carol moderator")
    await until_notice(bob, "chatting too much.")
    assert any("alice muted you in #garden until " in line for line in bob.err)
    await until_notice(dave, "alice removed you from #garden: spam.")
    for each in (bob, carol):
        await until_notice(each, "alice removed dave from #garden: spam.")
        assert not any("dave left" in line for line in each.err)
    assert any("alice muted bob in #garden until " in line for line in carol.err)
    await until_notice(bob, "alice made carol a moderator.")
    assert await bob.ends("am I muted?") == 9
    assert any("you are muted for another" in line for line in bob.err)
    elsewhere = await clients.start(room_daemon, "bob", "#garden", home="bob-elsewhere")
    await until_notice(elsewhere, "chatting too much. back returns to the list")
    assert any("alice muted you until" in line for line in elsewhere.err)
    for each in (alice, carol, dave, elsewhere):
        assert await each.ends() == 0
