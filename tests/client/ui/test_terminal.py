"""The client on a pseudo-terminal, as a real process, against a scripted server."""

import re
import sys
from collections.abc import AsyncIterator

import pytest

if sys.platform == "win32":
    pytest.skip("pseudo-terminals are a matter of Unix", allow_module_level=True)

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.errors import ExitCode
from tests.support.scripted_server import ScriptedServer
from tests.support.terminal import Terminal, on_terminal


@pytest.fixture
async def terminal(client_command: list[str], environment: dict[str, str]) -> AsyncIterator[Terminal]:
    """Return a client that has just started."""
    async with on_terminal(client_command, environment) as screen:
        yield screen


CHATTING = "Chatting with dave. Everything you type is sent; type back to pick someone else."


@pytest.fixture
async def chat(server: ScriptedServer, terminal: Terminal) -> Terminal:
    """Return a client in which alice chats with dave."""
    server.come("dave")
    await terminal.log_in()
    terminal.type("dave\r")
    await terminal.until(CHATTING, "to dave:")
    return terminal


async def test_the_password_is_not_echoed(terminal: Terminal) -> None:
    """A password is not echoed, even if it is typed before the prompt."""
    await terminal.until("User name:")
    terminal.type("alice\rwonder")
    await terminal.until("Password:")
    terminal.type("land\r")
    await terminal.until("Chat with:")
    assert terminal.lines[:2] == ["User name: alice", "Password:"]
    assert b"wonder" not in terminal.seen
    assert b"land" not in terminal.seen
    assert b"*" not in terminal.seen


async def test_a_wrong_password_can_be_tried_three_times(terminal: Terminal) -> None:
    """The client ends after three wrong passwords."""
    await terminal.until("User name:")
    terminal.type("alice\r")
    for tries in (1, 2, 3):
        while terminal.lines.count("Password:") < tries:
            await terminal.change()
        terminal.type("wrong\r")
    assert await terminal.wait() == ExitCode.AUTH_REFUSED
    await terminal.until("qscp-client: The user name or the password is wrong.")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", ""])
async def test_a_password_is_pasted_with_its_line_end(end: str, terminal: Terminal) -> None:
    """The end of a line that comes along with a pasted name or password is dropped."""
    await terminal.until("User name:")
    terminal.paste(f"alice{end}")
    await terminal.until("User name: alice")
    terminal.type("\r")
    await terminal.until("Password:")
    terminal.paste(f"wonderland{end}")
    terminal.type("\r")
    await terminal.until("Chat with:")
    assert b"wonder" not in terminal.seen


async def test_one_line_of_a_paste_is_the_password(terminal: Terminal) -> None:
    """Of several lines that are pasted at the password, the first counts, and a sentence says so."""
    await terminal.until("User name:")
    terminal.type("alice\r")
    await terminal.until("Password:")
    terminal.paste("\nwonderland\nsecond\n")
    await terminal.until("Only the first line of the paste is used. If that is wrong, Ctrl-U clears it.")
    terminal.type("\r")
    await terminal.until("Chat with:")
    assert b"second" not in terminal.seen


async def test_the_terminal_is_asked_nothing(chat: Terminal) -> None:
    """The bottom line needs no answer of the terminal, such as on the position of its cursor."""
    await chat.until("alice | with dave | /help, back, quit")
    assert b"\x1b[6n" not in chat.seen
    assert b"WARNING" not in chat.seen


async def test_no_color_switches_colours_off(client_command: list[str], environment: dict[str, str]) -> None:
    """With NO_COLOR nothing is coloured, and the line editor works."""
    async with on_terminal(client_command, environment | {"NO_COLOR": "1"}) as terminal:
        await terminal.log_in()
        terminal.type("nosuch\r")
        await terminal.until('No user named "nosuch".')
        assert not re.search(rb"\x1b\[[0-9;]*[34][0-7][;m]", terminal.seen)


@pytest.mark.parametrize("term", [None, "", "unknown", "dumb"])
async def test_a_terminal_without_escapes(
    term: str | None, server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Where TERM names no terminal, plain lines are shown, and the password is still hidden."""
    server.come("dave")
    if term is None:
        del environment["TERM"]
    else:
        environment["TERM"] = term
    async with on_terminal(client_command, environment) as terminal:
        await terminal.until("User name:")
        terminal.type("no good\n")
        await terminal.until_like("User name: no good", ".*is not a valid name.*", "User name:")
        terminal.type("alice\n")
        await terminal.until("User name: alice", "Password:")
        terminal.type("wrong\n")
        await terminal.until("* The user name or the password is wrong.")
        while terminal.lines.count("Password:") < 2:
            await terminal.change()
        terminal.type("wonderland\n")
        await terminal.until_like(r"\* Welcome, alice\. .*")
        terminal.type("dave\nhi\n")
        await terminal.until("* \u2713 stored for dave: hi")
        terminal.type("quit\n")
        assert await terminal.wait() == ExitCode.OK
        assert b"\x1b" not in terminal.seen
        assert b"wonder" not in terminal.seen
        assert b"hi\r\n" in terminal.seen


async def test_emoji_do_not_eat_the_prompt(server: ScriptedServer, chat: Terminal) -> None:
    """Emoji of disputed width are typed as stand-ins; the message has them whole."""
    heart, flag = "\u2764\ufe0f", "\U0001f1e9\U0001f1ea"
    family, thumb = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd"
    body = f"{family}x{flag}{heart}{thumb}y"
    chat.type(body)
    await chat.until("to dave: \U0001f468xDE\u2764\U0001f44dy")
    chat.type("\x1b[D\x1b[D\x1b[D")
    chat.type("z")
    await chat.until("to dave: \U0001f468xDEz\u2764\U0001f44dy")
    assert "\ufe0f" not in chat.seen.decode()
    chat.type("\x7f\r")
    await server.until(ScriptedServer.bodies)
    assert server.bodies() == [("dave", body)]
    await chat.until("to dave:")


async def test_text_from_right_to_left_is_shown_in_its_place(server: ScriptedServer, chat: Terminal) -> None:
    """A message in Hebrew is shown whole behind the name, and what is behind it is shown, too."""
    server.write("dave", "alice", "\u05e9\u05dc\u05d5\u05dd 1")
    await chat.until("15:06 dave: \u05e9\u05dc\u05d5\u05dd 1")
    chat.type("\u05d0\r")
    await chat.until("15:06 alice: \u05d0  \u2713 stored")
    server.write("dave", "alice", "call \u2068+49 30 1234\u2069, \u200enow")
    await chat.until("15:06 dave: call +49 30 1234, now")
    chat.paste("\u2068+49 30 1234\u2069 x")
    await chat.until("to dave: +49 30 1234 x")
    chat.type("\r")
    await server.until(lambda script: len(script.bodies()) == 2)
    assert server.bodies()[1] == ("dave", "\u2068+49 30 1234\u2069 x")
    assert "\u2068\u05e9" in re.sub(r"\x1b\[[0-9;]*m", "", chat.seen.decode())


async def test_keys_take_an_emoji_as_one(server: ScriptedServer, chat: Terminal) -> None:
    """Backspace, Delete, Left and Right take an emoji of several parts as the one that is shown."""
    family, flag = "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea"
    chat.type(f"{family}{family}{flag}\x7f")
    await chat.until("to dave: \U0001f468\U0001f468")
    chat.type("\x1b[D\x1b[3~\x1b[D\x1b[Ca\u00e9\x7f")
    await chat.until("to dave: \U0001f468a")
    chat.type("\r")
    await server.until(ScriptedServer.bodies)
    assert server.bodies() == [("dave", f"{family}a")]


async def test_a_long_line_of_emoji_keeps_the_prompt(chat: Terminal) -> None:
    """A typed line that takes several rows is shown from the prompt on."""
    chat.type("\U0001f468\u200d\U0001f469\u200d\U0001f467" * 50 + "end")
    await chat.until("to dave: " + "\U0001f468" * 35, "\U0001f468" * 15 + "end")


async def test_the_list_is_kept_up_to_date(server: ScriptedServer, terminal: Terminal) -> None:
    """The online list is updated while a name is typed, and the typed text stays."""
    server.come("bob")
    await terminal.log_in()
    await terminal.until("Online: bob")
    terminal.type("c")
    server.come("carol")
    await terminal.until("Online: bob, carol", "Chat with: c")
    server.go("bob")
    await terminal.until("Online: carol", "Chat with: c")
    server.go("carol")
    await terminal.until("Nobody else is online.", "Chat with: c")


async def test_tab_completes_a_name(server: ScriptedServer, terminal: Terminal) -> None:
    """Tab completes a unique prefix to the whole name."""
    server.come("barbara", "bob")
    await terminal.log_in()
    terminal.type("ba\t")
    await terminal.until("Chat with: barbara")


async def test_messages_do_not_tear_the_typed_line(server: ScriptedServer, chat: Terminal) -> None:
    """Messages appear above the typed line, which is sent as typed."""
    chat.type("hello th")
    await chat.until("to dave: hello th")
    server.write("dave", "alice", "an interruption")
    server.write("carol", "alice", "and another")
    await chat.until(
        "15:06 dave: an interruption",
        "15:06 [carol] and another",
        "Reply with: back, then carol",
        "to dave: hello th",
    )
    chat.type("ere\r")
    await server.until(ScriptedServer.bodies)
    assert server.bodies() == [("dave", "hello there")]
    await chat.until("to dave:")


async def test_a_paste_is_one_message(server: ScriptedServer, chat: Terminal) -> None:
    """A paste is sent with Enter as one message; `back` and `quit` in it are text."""
    chat.paste("one\r\n  two\rback\n/help\n")
    chat.type("\r")
    chat.paste("quit")
    chat.type("\r/say ")
    chat.paste("back")
    chat.type("\r")
    await server.until(lambda script: len(script.bodies()) == 3)
    assert server.bodies() == [("dave", "one\n  two\nback\n/help"), ("dave", "quit"), ("dave", "back")]
    await chat.until("        two", "      back", "      /help  \u2713 stored")


async def test_a_paste_that_was_deleted_is_forgotten(server: ScriptedServer, chat: Terminal) -> None:
    """After a paste was deleted, the line counts as typed."""
    chat.paste("x")
    chat.type("\x7fback\r")
    await chat.until("Chat with:")
    assert server.bodies() == []


async def test_a_paste_that_was_cancelled_is_forgotten(chat: Terminal) -> None:
    """After Ctrl-C cancelled a paste, the line counts as typed."""
    chat.paste("x")
    await chat.until("to dave: x")
    chat.type("\x03back\r")
    await chat.until("Chat with:")


async def test_lines_typed_ahead_are_taken_one_by_one(server: ScriptedServer, terminal: Terminal) -> None:
    """Lines typed ahead are handled one by one; Alt-Enter inserts a newline."""
    server.come("dave", "erin")
    await terminal.log_in()
    terminal.type("dave\rhi\rback\r@erin\rone\x1b\rtwo\rquit\r")
    assert await terminal.wait() == ExitCode.OK
    assert server.bodies() == [("dave", "hi"), ("erin", "one\ntwo")]
    assert isinstance(server.received[-1], frames.ClientBye)


@pytest.mark.parametrize(("key", "code"), [("\x03", ExitCode.INTERRUPTED), ("\x04", ExitCode.OK)])
@pytest.mark.parametrize("connected", [True, False])
async def test_a_server_that_sends_no_lists_can_be_left(
    key: str, code: ExitCode, connected: bool, server: ScriptedServer, terminal: Terminal
) -> None:
    """The keyboard works before the server has sent what the list shows, with and without a connection."""
    server.ignores_lists = True
    await terminal.until("User name:")
    terminal.type("alice\r")
    await terminal.until("Password:")
    terminal.type("wonderland\r")
    await terminal.until("Waiting for the server. Ctrl-C leaves.")
    if not connected:
        server.closed = True
        server.drop_all()
        await terminal.until("Connection lost; reconnecting. What you type is kept.")
    terminal.type(key)
    assert await terminal.wait() == code


async def test_lines_typed_before_the_lists_wait_for_them(server: ScriptedServer, terminal: Terminal) -> None:
    """What is typed before the server has sent its lists is carried out when they have come."""
    server.ignores_lists = True
    server.come("dave")
    await terminal.until("User name:")
    terminal.type("alice\r")
    await terminal.until("Password:")
    terminal.type("wonderland\r")
    await terminal.until("Waiting for the server. Ctrl-C leaves.")
    terminal.type("dave\rhello\r")
    server.ignores_lists = False
    server.drop_all()
    await terminal.until(CHATTING, "15:06 alice: hello  ✓ stored")
    assert server.bodies() == [("dave", "hello")]


async def test_ctrl_c_clears_the_line_then_leaves(server: ScriptedServer, chat: Terminal) -> None:
    """Ctrl-C clears a typed line, and leaves on an empty one."""
    chat.type("half a thou\x03")
    chat.type("whole\r")
    await server.until(ScriptedServer.bodies)
    chat.type("\x03")
    assert await chat.wait() == ExitCode.INTERRUPTED
    assert server.bodies() == [("dave", "whole")]


async def test_ctrl_d_leaves(server: ScriptedServer, terminal: Terminal) -> None:
    """Ctrl-D leaves as `quit` does."""
    await terminal.log_in()
    terminal.type("\x04")
    assert await terminal.wait() == ExitCode.OK
    assert isinstance(server.received[-1], frames.ClientBye)


@pytest.mark.parametrize("key", ["\x03", "\x04"])
async def test_leaving_at_a_prompt(key: str, terminal: Terminal) -> None:
    """Ctrl-C and Ctrl-D at the login prompt end the client."""
    await terminal.until("User name:")
    terminal.type(key)
    assert await terminal.wait() == ExitCode.INTERRUPTED


async def test_a_refused_message_is_shown_with_its_text(server: ScriptedServer, terminal: Terminal) -> None:
    """A refused message is shown with its text, and /retry sends it again."""
    server.come("eve")
    server.delete("eve")
    await terminal.log_in()
    terminal.type("eve\rhello\r")
    await terminal.until(
        "Chatting with eve. Everything you type is sent; type back to pick someone else.",
        'Not sent to eve: no user named "eve". Your text: hello',
        "/retry sends it again, /drop discards it.",
        "alice | with eve | 1 failed (/status) | /help, back, quit",
    )
    server.come("eve")
    terminal.type("/retry\r")
    await server.until(lambda script: script.stored("alice", "eve") == ["hello"])
    await terminal.until_like(r"15:06 alice: hello  \u2713 stored", "alice . with eve . /help, back, quit")


async def test_an_unknown_name_is_shown_at_once(server: ScriptedServer, terminal: Terminal) -> None:
    """An unknown name keeps the picker; an offline user opens a chat, also when typed ahead."""
    await terminal.log_in()
    terminal.type("nosuch\r")
    await terminal.until('No user named "nosuch".', "Chat with:")
    terminal.type("bob\rhello\r")
    await terminal.until(
        "bob is offline and will get your messages at the next login.",
        "15:06 alice: hello  \u2713 stored",
    )
    assert server.stored("alice", "bob") == ["hello"]
    terminal.type("back\rnosuch\rquit\r")
    assert await terminal.wait() == ExitCode.OK


async def test_the_partner_leaves_and_returns(server: ScriptedServer, chat: Terminal) -> None:
    """Messages to a partner who went offline are stored; their return is shown."""
    server.go("dave")
    await chat.until("dave went offline.")
    chat.type("still there?\r")
    await chat.until("15:06 alice: still there?  \u2713 stored")
    server.come("dave")
    await chat.until("dave is online again.")


async def test_an_own_line_shows_its_state(server: ScriptedServer, chat: Terminal) -> None:
    """A line changes its state in place until another follows; then the state has its own line."""
    server.holds_acks = True
    chat.type("one\r")
    await chat.until_like(r"\d\d:\d\d alice: one  \u00b7 pending")
    await chat.until("alice | with dave | 1 pending | /help, back, quit")
    server.holds_acks = False
    server.drop_all()
    await chat.until_like("alice . offline, reconnecting in . s . with dave . 1 pending .*")
    chat.type(" ")
    await chat.until("Reconnected.", "15:06 alice: one  \u2713 stored")
    pair = server.archive.between("alice", "dave")
    server.sessions["alice"].send(frames.Delivered(pair.id, 1))
    await chat.until("15:06 alice: one  \u2713\u2713 delivered")
    assert not [line for line in chat.lines if "pending" in line]
    chat.type("\x7ftwo\r")
    await chat.until("15:06 alice: two  \u2713 stored")
    server.write("dave", "alice", "an answer")
    await chat.until("15:06 dave: an answer")
    server.sessions["alice"].send(frames.Delivered(pair.id, 3))
    await chat.until("\u2713\u2713 delivered to dave: two")
    assert [line for line in chat.lines if line.startswith("15:06")] == [
        "15:06 alice: one  \u2713\u2713 delivered",
        "15:06 alice: two  \u2713 stored",
        "15:06 dave: an answer",
    ]


async def test_a_long_own_line_is_cut_while_it_is_pending(server: ScriptedServer, chat: Terminal) -> None:
    """A pending line takes one row, and is shown whole once stored; of many, some are counted."""
    server.holds_acks = True
    chat.paste("x" * 100 + "\nsecond line")
    chat.type("\r" + "".join(f"{number}\r" for number in range(5)))
    await chat.until_like(r"\d\d:\d\d alice: x{50}x*\.\.\.  \u00b7 pending", " *and 2 more pending .*")
    # A message still in flight would be stored now, before those that were ignored.
    await server.until(lambda script: len(script.bodies()) == 6)
    server.holds_acks = False
    server.drop_all()
    await chat.until("Connection lost; reconnecting. What you type is kept.")
    chat.type(" ")
    await chat.until(
        "15:06 alice: " + "x" * 67, "      second line  \u2713 stored", "15:06 alice: 4  \u2713 stored"
    )


async def test_lines_typed_while_offline_go_out_later(server: ScriptedServer, chat: Terminal) -> None:
    """Lines typed offline are sent in order after the reconnect; a half-typed line stays."""
    server.closed = True
    server.drop_all()
    await chat.until_like("alice . offline, reconnecting in . s .*")
    chat.type("one\rtwo\rthr")
    await chat.until_like(".* alice: one  . pending", ".* alice: two  . pending", "to dave: thr")
    server.closed = False
    chat.type("ee")
    await chat.until("Reconnected.", "15:06 alice: two  \u2713 stored", "to dave: three")
    chat.type("\r")
    await server.until(lambda script: script.stored("alice", "dave") == ["one", "two", "three"])


async def test_missed_messages_wait_for_their_chat(server: ScriptedServer, terminal: Terminal) -> None:
    """Missed messages are counted in the list, and shown and read when their chat is opened."""
    server.write("dave", "alice", "one", "two")
    server.write("erin", "alice", "psst")
    server.come("erin")
    await terminal.log_in()
    await terminal.until("Online: erin [1 unread], dave (offline) [2 unread]")
    assert not [line for line in terminal.lines if "psst" in line]
    terminal.type("dave\r")
    await terminal.until("2025-06-15 15:06 dave: one", "2025-06-15 15:06 dave: two")
    await terminal.until("alice | with dave (offline) | unread: erin (1) | /help, back, quit")
    await server.until(lambda script: script.archive.between("alice", "dave").read["alice"] == 2)
    assert server.archive.between("alice", "erin").read["alice"] == 0


async def test_messages_read_on_another_device_are_not_unread(
    server: ScriptedServer, terminal: Terminal
) -> None:
    """Messages read on another device are not unread, and lines sent there are shown."""
    server.write("dave", "alice", "one")
    await terminal.log_in()
    await terminal.until("Nobody else is online. dave (offline) [1 unread]")
    pair = server.archive.between("alice", "dave")
    server.write("alice", "dave", "from the other one")
    server.sessions["alice"].send(frames.ServerRead(pair.id, "alice", 1))
    await terminal.until("Nobody else is online.", "15:06 [to dave] from the other one  \u2713 stored")


async def test_removed_messages_are_reported(server: ScriptedServer, terminal: Terminal) -> None:
    """Messages removed by the server are reported in their place."""
    server.write("dave", "alice", "one", "two", "three")
    server.archive.between("alice", "dave").first_seq = 3
    await terminal.log_in()
    terminal.type("dave\r")
    await terminal.until("2 older messages with dave were removed by the server.")
    await terminal.until("2025-06-15 15:06 dave: three")


async def test_a_replaced_client_does_not_reconnect(server: ScriptedServer, chat: Terminal) -> None:
    """A replaced client does not reconnect, or two clients would replace each other forever."""
    server.end_all(ErrorCode.REPLACED)
    await chat.until("qscp-client: The same device has logged in again.")
    assert await chat.process.wait() == ExitCode.ENDED
    assert server.logins == 1


async def test_a_changed_password_ends_the_client(server: ScriptedServer, chat: Terminal) -> None:
    """A changed password ends the client on reconnect, without a prompt in the chat."""
    server.accounts["alice"] = "changed"
    server.drop_all()
    await chat.until_like("alice . offline, reconnecting in . s .*")
    chat.type(" ")
    await chat.until("qscp-client: The user name or the password is wrong.")
    assert await chat.process.wait() == ExitCode.AUTH_REFUSED


async def test_a_full_disk_is_retried(server: ScriptedServer, chat: Terminal) -> None:
    """Messages refused for a full disk are sent again automatically, in order."""
    server.refuses_storage = ErrorCode.STORAGE_FULL
    chat.type("one\rtwo\r")
    await chat.until_like("The server's disk is full; .*", ".* alice: two  . pending")
    server.refuses_storage = ""
    await chat.until("15:06 alice: one  \u2713 stored", "15:06 alice: two  \u2713 stored")
    assert server.stored("alice", "dave") == ["one", "two"]


async def test_leaving_offline_keeps_unsent_lines(server: ScriptedServer, chat: Terminal) -> None:
    """Leaving offline keeps unsent lines, and a notice says so."""
    server.closed = True
    server.drop_all()
    await chat.until_like("alice . offline, reconnecting in . s .*")
    chat.type("one\rquit\r")
    assert await chat.process.wait() == ExitCode.NOT_DELIVERED
    await chat.until("Not confirmed for dave: the server did not say whether it was stored; it is sent")


async def test_an_end_by_the_server_is_shown(server: ScriptedServer, terminal: Terminal) -> None:
    """An end by the server is shown below the typed line, and the terminal is restored."""
    await terminal.log_in()
    terminal.type("half")
    await terminal.until("Chat with: half")
    server.write("carol", "alice", "one more thing")
    server.end_all(ErrorCode.LOCKED)
    await terminal.until(
        "15:06 [carol] one more thing", "qscp-client: Your account was locked by the operator."
    )
    assert await terminal.wait() == ExitCode.ENDED
    assert terminal.seen.count(b"\x1b[?2004h") == terminal.seen.count(b"\x1b[?2004l")


async def test_a_long_message_never_begins_at_the_left(server: ScriptedServer, terminal: Terminal) -> None:
    """A wrapped row is indented, so that it can't imitate another message."""
    await terminal.log_in()
    server.write("carol", "alice", "x" * 66 + " 15:06 bob: fake " + "y" * 100)
    await terminal.until("      15:06 bob: fake", "      " + "y" * 74, "      " + "y" * 26)
