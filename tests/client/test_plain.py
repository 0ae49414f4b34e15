"""The client in a pipe, as a real process, against a scripted server."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.errors import ExitCode
from qscp_client.plain import _LINE_LIMIT, _Splitter
from tests.client.conftest import REPOSITORY, ClientRunner
from tests.support.patience import patiently
from tests.support.scripted_server import ScriptedServer

LOGIN = ("alice", "wonderland")


async def test_a_conversation_goes_through(server: ScriptedServer, run_client: ClientRunner) -> None:
    """Every rule of the line holds in a pipe; messages are waited for, then bye is said."""
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
    assert done.stderr.splitlines() == [
        "* Welcome, alice. Type a name to chat, /help for help, quit to leave.",
        "* Online: back, dave",
        "* Chatting with dave. Every line you type is sent; back chooses somebody else.",
        "* Online: back, dave",
        "* Chatting with back. Every line you type is sent; back chooses somebody else.",
    ]


async def test_the_end_of_input_waits_for_the_acks(server: ScriptedServer, run_client: ClientRunner) -> None:
    """A thousand messages, all stored before the bye."""
    server.come("dave")
    texts = [f"message {number}" for number in range(1000)]
    done = await run_client(*LOGIN, "dave", *texts)
    assert [body for _, body in server.bodies()] == texts
    assert isinstance(server.received[-1], frames.ClientBye)
    assert done.exit_code == ExitCode.OK


async def test_messages_go_to_standard_output(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Those of the partner and, marked, those of others; nothing else, and no escapes."""
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
        "      15:06 bob: two[31m",
        "15:06 [carol] psst",
    ]
    assert stderr.decode().splitlines()[-2:] == [
        "* To answer carol, type back, then carol.",
        "* dave went offline.",
    ]
    assert process.returncode == ExitCode.OK


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["dave", "hello"], "! Nobody named dave is online"),
        (["bob", "/say hi"], "! Nobody named bob is online"),
        (["//hi"], "choose somebody"),
    ],
)
async def test_what_could_not_be_said_is_not_delivered(
    lines: list[str], part: str, run_client: ClientRunner
) -> None:
    """A script learns of it by the exit code."""
    done = await run_client(*LOGIN, *lines)
    assert done.exit_code == ExitCode.NOT_DELIVERED
    assert part in done.stderr


async def test_a_refused_message_is_not_delivered(server: ScriptedServer, run_client: ClientRunner) -> None:
    """With its text, and a Latin-1 line is never changed silently."""
    server.come("dave")
    done = await run_client(*LOGIN, "dave", b"caf\xe9", "x" * 20000)
    assert done.exit_code == ExitCode.NOT_DELIVERED
    first, second = done.stderr.splitlines()[-2:]
    assert first == "! Not delivered to dave: The text is not UTF-8. It was: caf"
    assert second.startswith("! Not delivered to dave: The message is longer than 16 KiB. It was: xxx")
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
async def test_a_failed_login_ends_it(
    lines: list[str], code: ExitCode, part: str, run_client: ClientRunner
) -> None:
    """One sentence, one exit code, and no password in it."""
    done = await run_client(*lines)
    assert done.exit_code == code
    assert part in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


async def test_with_user_the_first_line_is_the_password(
    server: ScriptedServer, run_client: ClientRunner
) -> None:
    """`--user` skips the question; Windows line ends do no harm."""
    done = await run_client("wonderland\r", "quit\r", options=("--user", "alice"))
    assert done.exit_code == ExitCode.OK
    assert isinstance(server.received[-1], frames.ClientBye)


@pytest.mark.parametrize(
    ("end", "code", "sentence"),
    [
        (lambda server: server.end_all(ErrorCode.SHUTDOWN), ExitCode.ENDED, "The server is shutting down."),
        (lambda server: server.end_all(ErrorCode.LOCKED), ExitCode.ENDED, "Your account was locked"),
        (lambda server: server.drop_all(), ExitCode.UNREACHABLE, "The connection to the server was lost."),
    ],
)
async def test_the_server_ends_it(
    end: object,
    code: ExitCode,
    sentence: str,
    server: ScriptedServer,
    client_command: list[str],
    environment: dict[str, str],
) -> None:
    """Although the input goes on; a message without an answer is told."""
    assert callable(end)
    server.come("dave")
    server.holds_acks = True
    process = await asyncio.create_subprocess_exec(
        *client_command,
        cwd=REPOSITORY,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stderr
    process.stdin.write(b"alice\nwonderland\ndave\nhello\n")
    await server.until(ScriptedServer.bodies)
    end(server)
    async with patiently():
        stderr = (await process.stderr.read()).decode()
        assert await process.wait() == code
    process.stdin.close()
    assert sentence in stderr.splitlines()[-1]
    assert "! Not delivered to dave: the server did not say whether it was stored. It was: hello" in stderr


async def test_a_config_file_takes_the_place_of_options(tmp_path: Path, run_client: ClientRunner) -> None:
    """Here for the user name."""
    (tmp_path / "client.yaml").write_text("user: bob\n", encoding="utf-8")
    done = await run_client("builder", "quit", options=("--config", str(tmp_path / "client.yaml")))
    assert done.exit_code == ExitCode.OK
    assert "Welcome, bob." in done.stderr


async def test_a_reader_that_goes_away_is_no_traceback(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """`qscp-client | true`."""
    reader, output = os.pipe()
    os.close(reader)
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
        assert "Traceback" not in (await process.stderr.read()).decode()
        assert await process.wait() == ExitCode.INTERRUPTED


def test_lines_are_cut_however_they_come() -> None:
    """The last one needs no newline."""
    splitter = _Splitter()
    assert [splitter.feed(b"on"), splitter.feed(b"e\ntwo\r\n\nth"), splitter.feed(b"ree")] == [
        [],
        ["one", "two", ""],
        [],
    ]
    assert splitter.feed_eof() == ["three"]
    assert _Splitter().feed_eof() == []


def test_an_endless_line_does_not_fill_the_memory() -> None:
    """It is kept as far as is needed to refuse it."""
    splitter = _Splitter()
    for _ in range(20):
        splitter.feed(b"x" * 100_000)
    [line] = splitter.feed(b"\n")
    assert len(line) == _LINE_LIMIT


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are a matter of Unix")
async def test_a_password_is_hidden_also_when_only_the_output_is_piped(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """`qscp-client | tee`: asks on standard error, and the terminal shows no password."""
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
