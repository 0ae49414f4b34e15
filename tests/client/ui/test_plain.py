"""The client in a pipe, as a real process, against a scripted server."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.errors import ExitCode
from qscp_client.ui.plain import _LINE_LIMIT, _Splitter
from tests.client.conftest import REPOSITORY, ClientRunner
from tests.support.scripted_server import ScriptedServer
from tests.support.waiting import patiently

LOGIN = ("alice", "wonderland")


async def test_a_conversation_goes_through(server: ScriptedServer, run_client: ClientRunner) -> None:
    """A piped conversation is sent by the rules for lines, and ends with `bye` after the acks."""
    server.come("dave", "back")
    done = await run_client(
        *LOGIN,
        "dave",
        "hello",
        "",
        "//x",
        "/say back",
        "back",
        "@back",
        "hi",
        "back to you",
        "quit",
        "unsent",
    )
    assert server.bodies() == [
        ("dave", "hello"),
        ("dave", "/x"),
        ("dave", "back"),
        ("back", "hi"),
        ("back", "back to you"),
    ]
    assert isinstance(server.received[-1], frames.ClientBye)
    assert done.exit_code == ExitCode.OK
    assert done.stdout == ""
    texts = done.stderr.splitlines()
    assert [line for line in texts if "stored" not in line] == [
        "* Welcome, alice. Type a name to chat, /help for help, quit to leave.",
        "* Online: back, dave",
        "* Chatting with dave. Everything you type is sent; type back to pick someone else.",
        "* Online: back, dave",
        "* Chatting with back. Everything you type is sent; type back to pick someone else.",
    ]
    stored = [line for line in texts if "stored" in line]
    assert stored[-1].startswith("* \u2713 stored for back: ")
    assert stored[-1].endswith("back to you")


async def test_the_end_of_input_waits_for_the_acks(server: ScriptedServer, run_client: ClientRunner) -> None:
    """At the end of input, a thousand messages are acked before `bye`."""
    server.come("dave")
    texts = [f"message {number}" for number in range(1000)]
    done = await run_client(*LOGIN, "dave", *texts)
    assert [body for _, body in server.bodies()] == texts
    assert isinstance(server.received[-1], frames.ClientBye)
    assert done.exit_code == ExitCode.OK


async def test_messages_go_to_standard_output(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Messages go to standard output without escapes; everything else goes to standard error."""
    server.come("dave")
    process = await asyncio.create_subprocess_exec(
        *client_command,
        cwd=REPOSITORY,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(b"alice\nwonderland\ndave\nready\n")
    await server.until(ScriptedServer.bodies)
    server.write("dave", "alice", "one\n15:06 bob: two\x1b[31m")
    server.write("carol", "alice", "psst")
    server.go("dave")
    async with patiently():
        stdout, stderr = await process.communicate(b"quit\n")
    assert stdout.decode().splitlines() == [
        "15:06 dave: one",
        "      15:06 bob: two<U+001B>[31m",
        "15:06 [carol] psst",
    ]
    assert stderr.decode().splitlines()[-2:] == [
        "* Reply with: back, then carol",
        "* dave went offline.",
    ]
    assert process.returncode == ExitCode.OK


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["eve", "hello"], '! Not sent to eve: no user named "eve". Your text: hello'),
        (["nosuch"], '! No user named "nosuch".'),
        (["nosuch", "hello"], "! Stopped: nothing after that line was sent, so it reaches no one else."),
        (["no name"], '! "no name" is not a valid name'),
        (["//hi"], "pick a person or room first"),
    ],
)
async def test_an_unsent_line_is_not_delivered(
    lines: list[str], part: str, server: ScriptedServer, run_client: ClientRunner
) -> None:
    """A line that could not be sent is explained, and sets the exit code."""
    server.come("eve")
    server.delete("eve")
    done = await run_client(*LOGIN, *lines)
    assert done.exit_code == ExitCode.NOT_DELIVERED
    assert part in done.stderr


async def test_nothing_after_an_unknown_name_is_sent(
    server: ScriptedServer, run_client: ClientRunner
) -> None:
    """Lines before an unknown name are sent; those after it reach no other user."""
    done = await run_client(*LOGIN, "carol", "hi", "back", "nosuch", "bob", "hello", "back", "carol", "again")
    assert done.exit_code == ExitCode.NOT_DELIVERED
    assert server.bodies() == [("carol", "hi")]
    assert isinstance(server.received[-1], frames.ClientBye)
    texts = [line for line in done.stderr.splitlines() if line.startswith("!")]
    assert texts == [
        '! No user named "nosuch".',
        "! Stopped: nothing after that line was sent, so it reaches no one else.",
    ]


async def test_an_unknown_name_ends_the_client_with_open_input(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """The client ends at an unknown name, though more could be typed."""
    process = await start(client_command, environment)
    type_in(process, *LOGIN, "nosuch")
    async with patiently():
        assert await process.wait() == ExitCode.NOT_DELIVERED
    assert server.bodies() == []


async def test_quit_after_an_unknown_name_leaves(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """`quit` that waited for `whois` leaves, though the input stays open."""
    process = await start(client_command, environment)
    type_in(process, *LOGIN, "nosuch", "quit")
    async with patiently():
        assert await process.wait() == ExitCode.NOT_DELIVERED
    assert isinstance(server.received[-1], frames.ClientBye)


async def test_a_lost_answer_is_no_lost_line(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Lines that wait for `whois` survive a lost connection and are sent over the next."""
    server.ignores_whois = True
    process = await start(client_command, environment)
    type_in(process, *LOGIN, "bob", "one", "two")
    assert process.stdin
    process.stdin.close()
    await server.until(lambda script: frames.WhoisRequest("bob") in script.received)
    server.ignores_whois = False
    server.drop_all()
    async with patiently():
        assert await process.wait() == ExitCode.OK
    assert server.stored("alice", "bob") == ["one", "two"]


async def test_an_unknown_command_sets_the_exit_code(
    server: ScriptedServer, run_client: ClientRunner
) -> None:
    """An unknown command is not sent and sets the exit code; other lines are sent."""
    server.come("dave")
    done = await run_client(*LOGIN, "dave", "/sya hello", " /topic", "hi")
    assert [body for _, body in server.bodies()] == ["hi"]
    assert "Unknown command /sya; nothing was sent." in done.stderr
    assert done.exit_code == ExitCode.NOT_DELIVERED


async def test_a_refused_message_is_not_delivered(server: ScriptedServer, run_client: ClientRunner) -> None:
    """Invalid or too long text is refused with its beginning, and nothing is sent."""
    server.come("dave")
    done = await run_client(*LOGIN, "dave", b"caf\xe9", "x" * 20000)
    assert done.exit_code == ExitCode.NOT_DELIVERED
    first, second = done.stderr.splitlines()[-2:]
    assert first == "! Not sent to dave: the text is not UTF-8. Your text: caf<U+DCE9>"
    assert second.startswith("! Not sent to dave: the message is longer than 16 KiB. Your text: xxx")
    assert server.bodies() == []


@pytest.mark.parametrize(
    ("lines", "code", "part"),
    [
        ([], ExitCode.USAGE, "a user name was expected"),
        (["alice"], ExitCode.USAGE, "a password was expected"),
        (["no name", "x"], ExitCode.USAGE, "not a valid name"),
        (["alice", "wrong"], ExitCode.AUTH_REFUSED, "user name or the password is wrong"),
        (["nobody", "wrong"], ExitCode.AUTH_REFUSED, "user name or the password is wrong"),
    ],
)
async def test_a_failed_login_ends_the_client(
    lines: list[str], code: ExitCode, part: str, run_client: ClientRunner
) -> None:
    """A failed login prints one line and has its exit code."""
    done = await run_client(*lines)
    assert done.exit_code == code
    assert part in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


async def test_with_user_the_first_line_is_the_password(
    server: ScriptedServer, run_client: ClientRunner
) -> None:
    """With `--user`, the first line is the password; Windows line ends are accepted."""
    done = await run_client("wonderland\r", "quit\r", options=("--user", "alice"))
    assert done.exit_code == ExitCode.OK
    assert isinstance(server.received[-1], frames.ClientBye)


async def start(client_command: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    """Start a client whose input stays open."""
    return await asyncio.create_subprocess_exec(
        *client_command,
        cwd=REPOSITORY,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def type_in(process: asyncio.subprocess.Process, *lines: str) -> None:
    """Write lines to the client's input."""
    assert process.stdin
    process.stdin.write("".join(f"{line}\n" for line in lines).encode())


@pytest.mark.parametrize("code", [ErrorCode.LOCKED, ErrorCode.DELETED, ErrorCode.REPLACED])
async def test_a_final_bye_ends_the_client(
    code: ErrorCode, server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """A final `bye` ends the client with open input; unacked messages are reported."""
    server.come("dave")
    server.holds_acks = True
    process = await start(client_command, environment)
    type_in(process, *LOGIN, "dave", "hello")
    await server.until(ScriptedServer.bodies)
    server.end_all(code)
    assert process.stderr
    stderr = (await process.stderr.read()).decode()
    assert await process.wait() == ExitCode.ENDED
    assert ERROR_CODES[code].sentence in stderr.splitlines()[-1]
    assert (
        "! Not confirmed for dave: the server did not say whether it was stored; it is sent again" in stderr
    )
    assert server.logins == 1


@pytest.mark.parametrize("loses_acks", [False, True])
async def test_unacked_messages_are_sent_again(
    loses_acks: bool, server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Unacked messages are sent again after a reconnect, and stored once and in order."""
    server.come("dave")
    server.holds_acks, server.loses_acks = not loses_acks, loses_acks
    process = await start(client_command, environment)
    type_in(process, *LOGIN, "dave", "one", "two")
    await server.until(lambda script: len(script.bodies()) == 2)
    server.holds_acks = server.loses_acks = False
    server.drop_all()
    type_in(process, "three", "quit")
    stdout, stderr = await process.communicate()
    assert process.returncode == ExitCode.OK
    assert server.stored("alice", "dave") == ["one", "two", "three"]
    assert server.logins == 2
    assert stdout == b""
    assert b"* Connection lost; reconnecting. What you type is kept." in stderr
    assert b"* Reconnected." in stderr


async def test_a_killed_client_sends_at_its_next_start(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str], run_client: ClientRunner
) -> None:
    """Unacked messages of a killed client are sent at its next start."""
    server.come("dave")
    server.holds_acks = True
    process = await start(client_command, environment)
    type_in(process, *LOGIN, "dave", "one", "two")
    await server.until(lambda script: len(script.bodies()) == 2)
    process.kill()
    await process.wait()
    server.holds_acks = False
    done = await run_client(*LOGIN, "dave", "three")
    assert done.exit_code == ExitCode.OK
    assert server.stored("alice", "dave") == ["one", "two", "three"]
    devices = {frame.device for frame in server.received if isinstance(frame, frames.Auth)}
    assert len(devices) == 1


async def test_a_second_client_is_another_device(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str], run_client: ClientRunner
) -> None:
    """A second client is another device, and its lines appear in the first one."""
    server.come("dave")
    process = await start(client_command, environment)
    type_in(process, *LOGIN)
    await server.until(lambda script: "alice" in script.sessions)
    await run_client(*LOGIN, "dave", "from the other one")
    type_in(process, "quit")
    stdout, _ = await process.communicate()
    assert stdout.decode() == "15:06 [to dave] from the other one\n"
    assert len({frame.device for frame in server.received if isinstance(frame, frames.Auth)}) == 2


async def test_missed_messages_are_shown_once(server: ScriptedServer, run_client: ClientRunner) -> None:
    """Missed messages are shown once at the next start, in order and with their date."""
    server.write("dave", "alice", "one", "two")
    first = await run_client(*LOGIN)
    server.write("dave", "alice", "three")
    second = await run_client(*LOGIN, "dave")
    third = await run_client(*LOGIN, "dave", "/history 2")
    date = "2025-06-15 15:06"
    assert first.stdout.splitlines() == [f"{date} [dave] one", f"{date} [dave] two"]
    assert second.stdout.splitlines()[-1].endswith("three")
    assert len(second.stdout.splitlines()) == 1
    assert third.stdout.splitlines() == [f"{date} dave: two", f"{date} dave: three"]
    assert "dave (offline) [2 unread]" in first.stderr
    assert "unread" not in third.stderr
    pair = server.archive.between("alice", "dave")
    assert (pair.delivered["alice"], pair.read["alice"]) == (3, 3)


async def test_a_search_shows_matches(server: ScriptedServer, run_client: ClientRunner) -> None:
    """A search shows time, conversation and sender, and the end of input waits for it."""
    server.write("dave", "alice", "green tea", "black tea", "coffee")
    done = await run_client(*LOGIN, "/search tea")
    assert done.stdout.splitlines()[-2:] == [
        "2025-06-15 15:06 [dave] dave: green tea",
        "2025-06-15 15:06 [dave] dave: black tea",
    ]


async def test_the_login_shows_a_limited_retention(server: ScriptedServer, run_client: ClientRunner) -> None:
    """A limited retention is shown after the login."""
    server.retention = frames.Retention(seconds=7 * 86400)
    done = await run_client(*LOGIN)
    assert done.stderr.splitlines()[0] == "* The server keeps messages for 7 days."


async def test_an_unusable_state_directory_is_reported(
    server: ScriptedServer, run_client: ClientRunner, environment: dict[str, str], tmp_path: Path
) -> None:
    """Without a usable state directory, the client reports it and works."""
    (tmp_path / "state").write_text("in the way", encoding="utf-8")
    assert environment["XDG_STATE_HOME"] == str(tmp_path / "state")
    server.come("dave")
    done = await run_client(*LOGIN, "dave", "hello")
    assert done.exit_code == ExitCode.OK
    assert "* Nothing is saved on this computer: " in done.stderr
    assert server.stored("alice", "dave") == ["hello"]


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv: apt install util-linux"
)
@pytest.mark.parametrize("home", [None, "/nonexistent", "/proc", "relative"])
async def test_a_user_without_a_home_can_chat(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str], home: str | None
) -> None:
    """A user id without an account or home works as a device that keeps nothing, and says so."""
    server.come("dave")
    reads_all = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")  # the checkout, of root
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", *reads_all, *client_command),
        cwd=REPOSITORY,
        env={name: value for name, value in environment.items() if not name.startswith(("XDG_", "HOME"))}
        | ({"HOME": home} if home else {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with patiently():
        _, stderr = await process.communicate(b"alice\nwonderland\ndave\nhello\n")
    assert process.returncode == ExitCode.OK, stderr
    assert stderr.decode().splitlines()[0].startswith("* Nothing is saved on this computer: ")
    assert server.stored("alice", "dave") == ["hello"]


async def test_a_config_file_replaces_options(tmp_path: Path, run_client: ClientRunner) -> None:
    """A configuration file can set the user name."""
    (tmp_path / "client.yaml").write_text("user: bob\n", encoding="utf-8")
    done = await run_client("builder", "quit", options=("--config", str(tmp_path / "client.yaml")))
    assert done.exit_code == ExitCode.OK
    assert "Welcome, bob." in done.stderr


async def write_to(
    output: int, server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> tuple[str, int]:
    """Let a client write a message to an output that can't take it; return its stderr and exit code."""
    process = await asyncio.create_subprocess_exec(
        *client_command,
        cwd=REPOSITORY,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=asyncio.subprocess.PIPE,
    )
    os.close(output)
    assert process.stdin
    assert process.stderr
    process.stdin.write(b"alice\nwonderland\n")
    await server.until(lambda script: "alice" in script.sessions)
    server.write("bob", "alice", "hello")
    async with patiently():
        return (await process.stderr.read()).decode(), await process.wait()


async def test_a_closed_output_ends_without_a_traceback(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """`qscp-client | true` ends without a traceback."""
    reader, output = os.pipe()
    os.close(reader)
    text, code = await write_to(output, server, client_command, environment)
    assert "Traceback" not in text
    assert code == ExitCode.INTERRUPTED


async def test_a_full_disk_behind_the_output_ends_the_client(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """A message that can't be written ends the client with a sentence and its exit code."""
    full = os.open("/dev/full", os.O_WRONLY)
    text, code = await write_to(full, server, client_command, environment)
    assert code == ExitCode.OUTPUT
    assert text.endswith("qscp-client: The output can't be written: No space left on device.\n")
    assert "Traceback" not in text


def test_lines_are_split_across_reads() -> None:
    """Lines are split across reads, and the last one needs no newline."""
    splitter = _Splitter()
    assert [splitter.feed(b"on"), splitter.feed(b"e\ntwo\r\n\nth"), splitter.feed(b"ree")] == [
        [],
        ["one", "two", ""],
        [],
    ]
    assert splitter.feed_eof() == ["three"]
    assert _Splitter().feed_eof() == []


def test_an_endless_line_is_cut() -> None:
    """An endless line is cut at the limit, which is enough to refuse it."""
    splitter = _Splitter()
    for _ in range(20):
        splitter.feed(b"x" * 100_000)
    [line] = splitter.feed(b"\n")
    assert len(line) == _LINE_LIMIT


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a matter of Unix")
async def test_a_password_is_hidden_when_output_is_piped(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """With `qscp-client | tee`, prompts go to standard error and the password is not echoed."""
    terminal, keyboard = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *client_command,
        cwd=REPOSITORY,
        env=environment | {"PYTHONWARNINGS": "default"},
        stdin=keyboard,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    os.close(keyboard)
    assert process.stderr
    assert await process.stderr.readuntil(b"User name: ")
    os.write(terminal, b"alice\n")
    assert await process.stderr.readuntil(b"Password: ")
    os.write(terminal, b"wonderland\n")
    await server.until(lambda script: "alice" in script.sessions)
    os.write(terminal, b"quit\n")
    assert await process.wait() == ExitCode.OK
    echo = os.read(terminal, 65536)
    os.close(terminal)
    assert b"alice" in echo
    assert b"wonderland" not in echo
