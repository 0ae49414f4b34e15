"""The client in a pipe with closed and full standard streams, and with readers that left."""

import asyncio
import contextlib
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from qscp_client.errors import ExitCode
from tests.client.conftest import REPOSITORY, ClientRunner
from tests.support.scripted_server import ScriptedServer
from tests.support.stuck_pipe import fill_pipe
from tests.support.waiting import patiently

LOGIN = ("alice", "wonderland")

Shell = Callable[..., Awaitable[tuple[int | None, str]]]
"""Runs a client with lines and redirections; returns its exit code, and what it has printed."""


@pytest.fixture
def shell(client_command: list[str], environment: dict[str, str]) -> Shell:
    """Return a function that runs a client with lines as its input, and with redirections of a shell."""

    async def run(*lines: str, streams: str = "") -> tuple[int | None, str]:
        reader, writer = os.pipe()
        os.close(reader)
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", f'exec 8>&{writer}; exec "$@" {streams}', "bash", *client_command),
            pass_fds=(writer,),
            cwd=REPOSITORY,
            env={name: value for name, value in environment.items() if name != "PYTHONUNBUFFERED"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writer)
        async with patiently():
            stdout, stderr = await process.communicate("".join(f"{line}\n" for line in lines).encode())
        return process.returncode, (stdout + stderr).decode()

    return run


@pytest.mark.parametrize(
    ("streams", "code"),
    [
        (">/dev/full", ExitCode.OUTPUT),
        (">&-", ExitCode.OUTPUT),
        (">&8", ExitCode.INTERRUPTED),
        ("2>/dev/full", ExitCode.OUTPUT),
        ("2>&-", ExitCode.OK),
        ("2>&8", ExitCode.INTERRUPTED),
        (">/dev/full 2>/dev/full", ExitCode.OUTPUT),
        (">&8 2>&1", ExitCode.INTERRUPTED),
        (">&- 2>&-", ExitCode.OUTPUT),
    ],
)
async def test_lines_are_sent_whatever_can_be_shown(
    server: ScriptedServer, shell: Shell, streams: str, code: ExitCode
) -> None:
    """Every line is sent and stored, and the exit code says whether output was lost."""
    server.write("bob", "alice", "are you there?")
    texts = [f"message {number}" for number in range(500)]
    exit_code, text = await shell(*LOGIN, "bob", *texts, streams=streams)
    assert [body for _, body in server.bodies()] == texts
    assert exit_code == code
    assert "Traceback" not in text


async def test_messages_that_were_not_shown_come_again(
    server: ScriptedServer, shell: Shell, run_client: ClientRunner
) -> None:
    """Messages that could not be written stay unread and undelivered, and the next start shows them."""
    server.write("bob", "alice", "one", "two")
    await shell(*LOGIN, "bob", "hello", streams=">/dev/full")
    pair = server.archive.between("alice", "bob")
    assert (pair.delivered.get("alice", 0), pair.read.get("alice", 0)) == (0, 0)
    done = await run_client(*LOGIN)
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["one", "two", "hello"]
    assert pair.delivered["alice"] == 3


@pytest.mark.parametrize("streams", [">/dev/full", "2>/dev/full", ">&8"])
async def test_a_refused_line_is_more_than_lost_output(
    server: ScriptedServer, shell: Shell, streams: str
) -> None:
    """What was not sent has its code, also if the output was lost."""
    server.write("bob", "alice", "hi")
    exit_code, _ = await shell(*LOGIN, "nosuch", streams=streams)
    assert exit_code == ExitCode.NOT_DELIVERED


CLOSED = [
    " ".join(each) for count in range(4) for each in itertools.combinations(("<&-", ">&-", "2>&-"), count)
]


@pytest.mark.parametrize("streams", [*CLOSED, ">/dev/full 2>/dev/full <&-", "<&- >&8 2>&8"])
async def test_any_stream_can_be_closed(server: ScriptedServer, shell: Shell, streams: str) -> None:
    """With any of the three streams closed, the client sends what it reads, or says that it reads nothing."""
    exit_code, text = await shell(*LOGIN, "bob", "hello", streams=streams)
    has_input = "<&-" not in streams
    assert exit_code == (ExitCode.OK if has_input else ExitCode.USAGE)
    assert server.bodies() == ([("bob", "hello")] if has_input else [])
    assert "Traceback" not in text
    if not has_input and "2>" not in streams:
        assert "The input ended where a user name was expected" in text


async def test_streams_that_are_not_blocking(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Streams that another program made non-blocking lose neither input nor output."""
    server.write("bob", "alice", *(f"line {number} {'x' * 1000}" for number in range(150)))
    (stdin, keyboard), (output, stdout) = os.pipe(), os.pipe()
    for descriptor in (stdin, stdout):
        os.set_blocking(descriptor, False)
    process = await asyncio.create_subprocess_exec(
        *client_command, cwd=REPOSITORY, env=environment, stdin=stdin, stdout=stdout
    )
    os.close(stdin)
    os.close(stdout)
    with os.fdopen(output, "rb") as file:
        reading = asyncio.create_task(asyncio.to_thread(file.read))
        os.write(keyboard, b"alice\nwonderland\nbob\n")
        await server.until(lambda script: "alice" in script.sessions)
        os.write(keyboard, b"hello\n")
        os.close(keyboard)
        async with patiently():
            assert (await reading).count(b"\n") == 150
            assert await process.wait() == ExitCode.OK
    assert server.bodies() == [("bob", "hello")]


@contextlib.asynccontextmanager
async def stuck(
    client_command: list[str], environment: dict[str, str], *streams: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run a client that writes these streams to a full pipe; yield it, and the other end of the pipe."""
    output, written = os.pipe()
    fill_pipe(written)
    process = await asyncio.create_subprocess_exec(
        *client_command,
        cwd=REPOSITORY,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=written if "stdout" in streams else asyncio.subprocess.DEVNULL,
        stderr=written if "stderr" in streams else asyncio.subprocess.DEVNULL,
    )
    os.close(written)
    try:
        yield process, output
    finally:
        os.close(output)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        async with patiently():
            await process.wait()


@pytest.mark.parametrize("streams", [("stdout",), ("stderr",), ("stdout", "stderr")], ids="+".join)
async def test_lines_are_sent_while_the_output_is_stuck(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str], streams: tuple[str, ...]
) -> None:
    """A reader that stands still keeps no line from being sent; the client ends when all was read."""
    server.write("bob", "alice", "are you there?")
    async with stuck(client_command, environment, *streams) as (process, output):
        assert process.stdin is not None
        process.stdin.write("\n".join([*LOGIN, "bob", "hello", "/last", "see you", ""]).encode())
        process.stdin.close()
        await server.until(lambda script: len(script.bodies()) == 2)
        pair = server.archive.between("alice", "bob")
        with os.fdopen(os.dup(output), "rb") as file:
            async with patiently():
                text = (await asyncio.to_thread(file.read)).decode()
                assert await process.wait() == ExitCode.OK
    assert text.count("are you there?") == (2 if "stdout" in streams else 0)
    assert ("Welcome, alice" in text) == ("stderr" in streams)
    assert pair.read["alice"] == 1


async def test_what_is_stuck_in_one_output_stays_in_order(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str]
) -> None:
    """Messages and notices that wait for the same reader are written in their order."""
    server.write("bob", "alice", "are you there?")
    async with stuck(client_command, environment, "stdout", "stderr") as (process, output):
        assert process.stdin is not None
        process.stdin.write("\n".join([*LOGIN, "bob", "/last", "hello", ""]).encode())
        process.stdin.close()
        await server.until(lambda script: script.bodies() == [("bob", "hello")])
        with os.fdopen(os.dup(output), "rb") as file:
            async with patiently():
                lines = (await asyncio.to_thread(file.read)).decode().splitlines()
    begin, end = lines.index("* Last messages with bob:"), lines.index("* (end of the last messages)")
    assert [line.rpartition("] ")[2].split("bob: ")[-1] for line in lines[begin + 1 : end]] == [
        "are you there?"
    ]


async def test_messages_stuck_in_the_output_stay_unread(
    server: ScriptedServer, client_command: list[str], environment: dict[str, str], run_client: ClientRunner
) -> None:
    """A client that is killed while its output is stuck shows the messages at its next start."""
    server.write("bob", "alice", "one", "two")
    async with stuck(client_command, environment, "stdout") as (process, _):
        assert process.stdin is not None
        process.stdin.write("\n".join([*LOGIN, "bob", "hello", ""]).encode())
        await server.until(lambda script: script.bodies() == [("bob", "hello")])
        process.send_signal(signal.SIGKILL)
        await process.wait()
    pair = server.archive.between("alice", "bob")
    assert (pair.delivered.get("alice", 0), pair.read.get("alice", 0)) == (0, 0)
    done = await run_client(*LOGIN)
    assert [line.split()[-1] for line in done.stdout.splitlines()][:2] == ["one", "two"]
