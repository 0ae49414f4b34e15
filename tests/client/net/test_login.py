"""Logging in to a scripted server, with a front end whose answers are given."""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.core.events import Event
from qscp_client.errors import AuthRefusedError, EndedError, IncompatibleError, UsageError
from qscp_client.net.address import ServerAddress
from qscp_client.net.connection import Server
from qscp_client.net.login import Login
from qscp_client.state.device import Devices
from qscp_client.ui.credentials import Credentials
from qscp_client.ui.render import describe
from tests.support.scripted_server import ScriptedServer

DEVICE = "d" * 32


class GivenAnswers:
    """A front end that knows what it is asked, and notes what it is told."""

    counts_failures = False
    shows_at_once = False
    patience_s = None

    def __init__(self, *passwords: str, users: Sequence[str] = ("alice",), tries: int = 3) -> None:
        self.password_tries = tries
        self.told: list[str] = []
        self._users = list(users)
        self._passwords = list(passwords)

    def private(self) -> AbstractContextManager[None]:
        """Nothing to hide."""
        return contextlib.nullcontext()

    async def ask_user(self) -> str:
        """Give the next name."""
        return self._users.pop(0)

    async def ask_password(self) -> str:
        """Give the next password."""
        return self._passwords.pop(0)

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Need nothing of the engine."""
        del engine, touched
        return contextlib.nullcontext()

    def show(self, happened: Sequence[Event]) -> None:
        """Note the lines of events."""
        self.told += [line.text for event in happened for line in describe(event, "alice")]

    async def read_lines(self) -> list[TypedLine]:
        """Not reached."""
        return []


LogIn = Callable[..., Awaitable[frames.AuthAck]]


@pytest.fixture
def make_login(server: ScriptedServer, ca_file: Path, tmp_path: Path) -> Callable[..., Login]:
    """Make logins to the server, on devices in a directory of the test."""

    def make(front: GivenAnswers, user: str | None = None, features: Sequence[str] = ()) -> Login:
        where = Server(ServerAddress("localhost", server.port), ca_file)
        return Login(
            where, Credentials(front), user, lambda name: Devices(tmp_path / name, lambda: DEVICE), features
        )

    return make


@pytest.fixture
def log_in(make_login: Callable[..., Login]) -> LogIn:
    """Log in and close."""

    async def run(front: GivenAnswers, user: str | None = None) -> frames.AuthAck:
        link, ack = await make_login(front, user).run()
        await link.close()
        return ack

    return run


def auths(server: ScriptedServer) -> list[tuple[str, str]]:
    """Name and password of every attempt."""
    return [(frame.user, frame.password) for frame in server.received if isinstance(frame, frames.Auth)]


def nack(code: ErrorCode, retry_after: float | None = None) -> frames.AuthNack:
    """A refusal."""
    return frames.AuthNack(code, ERROR_CODES[code].sentence, retry_after)


async def test_name_and_password_are_asked_for(server: ScriptedServer, log_in: LogIn) -> None:
    """The name is folded before it is sent."""
    ack = await log_in(GivenAnswers("wonderland", users=["Alice "]))
    assert ack.user == "alice"
    assert auths(server) == [("alice", "wonderland")]


async def test_a_given_name_is_not_asked_for(log_in: LogIn) -> None:
    """`--user`."""
    ack = await log_in(GivenAnswers("builder", users=[]), user="bob")
    assert ack.user == "bob"


async def test_what_comes_with_the_ack_is_not_lost(
    server: ScriptedServer, make_login: Callable[..., Login]
) -> None:
    """The list of who is online is received after the login."""
    server.come("dave")
    link, _ = await make_login(GivenAnswers("wonderland"), "alice").run()
    async with link:
        [page, *_] = await link.receive()
    assert isinstance(page, frames.OnlineUsers)
    assert [person.user for person in page.users] == ["dave"]


async def test_a_wrong_password_is_asked_for_again(log_in: LogIn) -> None:
    """Over the same connection, with the server's sentence between."""
    front = GivenAnswers("wrong", "wonderland")
    await log_in(front)
    assert front.told == ["The user name or the password is wrong."]


async def test_three_wrong_passwords_are_enough(server: ScriptedServer, log_in: LogIn) -> None:
    """Then the client gives up."""
    with pytest.raises(AuthRefusedError, match="password is wrong"):
        await log_in(GivenAnswers("a", "b", "c"))
    assert len(auths(server)) == 3


async def test_a_pipe_has_one_try(server: ScriptedServer, log_in: LogIn) -> None:
    """The next line is no password."""
    with pytest.raises(AuthRefusedError):
        await log_in(GivenAnswers("wrong", "wonderland", tries=1))
    assert len(auths(server)) == 1


async def test_a_locked_account_is_not_tried_again(server: ScriptedServer, log_in: LogIn) -> None:
    """Another password would not help."""
    server.refuses = [nack(ErrorCode.ACCOUNT_LOCKED)]
    with pytest.raises(AuthRefusedError, match="locked"):
        await log_in(GivenAnswers("a", "b"))


async def test_a_busy_server_gets_the_same_password_again(server: ScriptedServer, log_in: LogIn) -> None:
    """Nobody is asked twice."""
    server.refuses = [nack(ErrorCode.BUSY, 0.001)]
    await log_in(GivenAnswers("wonderland"))
    assert auths(server) == [("alice", "wonderland")] * 2


async def test_another_protocol_version_is_no_matter_of_passwords(
    server: ScriptedServer, log_in: LogIn
) -> None:
    """It has its own exit code."""
    server.refuses = [nack(ErrorCode.PROTOCOL_VERSION)]
    with pytest.raises(IncompatibleError, match="This client is version"):
        await log_in(GivenAnswers("wonderland"))


@pytest.mark.parametrize("code", [ErrorCode.LOGIN_TIMEOUT, ErrorCode.TOO_MANY_ATTEMPTS])
async def test_who_types_slowly_gets_a_new_connection(
    code: ErrorCode, server: ScriptedServer, log_in: LogIn
) -> None:
    """The password is not asked for again."""
    server.refuses = [frames.Error(code, ERROR_CODES[code].sentence)]
    await log_in(GivenAnswers("wonderland"))
    assert auths(server) == [("alice", "wonderland")] * 2


async def test_an_error_ends_the_login(server: ScriptedServer, log_in: LogIn) -> None:
    """Its sentence is told."""
    server.refuses = [frames.Error(ErrorCode.INTERNAL, "Something\x1b went wrong.")]
    with pytest.raises(EndedError, match=r"^Something went wrong\.$"):
        await log_in(GivenAnswers("wonderland"))


async def test_an_invalid_name_is_asked_for_again(log_in: LogIn) -> None:
    """An empty one without a word."""
    front = GivenAnswers("wonderland", users=["", "not a name", "alice"])
    await log_in(front)
    [sentence] = front.told
    assert "not a valid name" in sentence


async def test_an_invalid_name_in_a_pipe_ends_it(log_in: LogIn) -> None:
    """Nobody can be asked again."""
    with pytest.raises(UsageError, match="not a valid name"):
        await log_in(GivenAnswers(users=["not a name"], tries=1))


@pytest.mark.parametrize(
    ("password", "part"), [("x" * 1025, "longer than 1024 bytes"), ("\udcff", "not UTF-8")]
)
async def test_an_impossible_password_is_not_sent(
    password: str, part: str, server: ScriptedServer, log_in: LogIn
) -> None:
    """The protocol has no room for it."""
    with pytest.raises(UsageError, match=part):
        await log_in(GivenAnswers(password))
    assert auths(server) == []
