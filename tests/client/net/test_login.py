"""Logins to a scripted server, with a scripted front end."""

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
from qscp_client.errors import AuthRefusedError, EndedError, IncompatibleError, UnreachableError, UsageError
from qscp_client.net.address import ServerAddress
from qscp_client.net.connection import Server
from qscp_client.net.login import Login
from qscp_client.state.device import Devices
from qscp_client.ui.credentials import Credentials
from qscp_client.ui.render import describe
from tests.support.scripted_server import ScriptedServer

DEVICE = "d" * 32


class GivenAnswers:
    """Front end with prepared answers that records the texts it shows."""

    counts_failures = False
    shows_at_once = False
    patience_s = None

    def __init__(self, *passwords: str, users: Sequence[str] = ("alice",), tries: int = 3) -> None:
        self.password_tries = tries
        self.texts: list[str] = []
        self._users = list(users)
        self._passwords = list(passwords)

    def private(self) -> AbstractContextManager[None]:
        """Hide nothing."""
        return contextlib.nullcontext()

    async def ask_user(self) -> str:
        """Return the next name."""
        return self._users.pop(0)

    async def ask_password(self) -> str:
        """Return the next password."""
        return self._passwords.pop(0)

    def attached(self, engine: Engine, touched: Callable[[], None]) -> AbstractContextManager[None]:
        """Use nothing of the engine."""
        del engine, touched
        return contextlib.nullcontext()

    async def drain(self) -> None:
        """Do nothing: events are kept in memory."""

    def check_output(self) -> None:
        """Do nothing: events are kept in memory."""

    def show(self, happened: Sequence[Event]) -> None:
        """Record the texts of events."""
        self.texts += [line.text for event in happened for line in describe(event, "alice")]

    async def read_lines(self) -> list[TypedLine]:
        """Not reached."""
        return []


LogIn = Callable[..., Awaitable[frames.AuthAck]]


@pytest.fixture
def make_login(server: ScriptedServer, ca_file: Path, tmp_path: Path) -> Callable[..., Login]:
    """Return a factory of logins to the server, with devices in the test's directory."""

    def make(front: GivenAnswers, user: str | None = None, features: Sequence[str] = ()) -> Login:
        where = Server(ServerAddress("localhost", server.port), ca_file)
        return Login(
            where, Credentials(front), user, lambda name: Devices(tmp_path / name, lambda: DEVICE), features
        )

    return make


@pytest.fixture
def log_in(make_login: Callable[..., Login]) -> LogIn:
    """Return a function that logs in and closes the connection."""

    async def run(front: GivenAnswers, user: str | None = None) -> frames.AuthAck:
        link, ack = await make_login(front, user).run()
        await link.close()
        return ack

    return run


def auths(server: ScriptedServer) -> list[tuple[str, str]]:
    """Return name and password of every attempt."""
    return [(frame.user, frame.password) for frame in server.received if isinstance(frame, frames.Auth)]


def nack(code: ErrorCode, retry_after: float | None = None) -> frames.AuthNack:
    """Return a refusal."""
    return frames.AuthNack(code, ERROR_CODES[code].sentence, retry_after)


async def test_name_and_password_are_prompted(server: ScriptedServer, log_in: LogIn) -> None:
    """Name and password are prompted, and the name is folded before it is sent."""
    ack = await log_in(GivenAnswers("wonderland", users=["Alice "]))
    assert ack.user == "alice"
    assert auths(server) == [("alice", "wonderland")]


async def test_a_given_name_is_not_prompted(log_in: LogIn) -> None:
    """With `--user`, no name is prompted."""
    ack = await log_in(GivenAnswers("builder", users=[]), user="bob")
    assert ack.user == "bob"


async def test_frames_after_the_ack_are_not_lost(
    server: ScriptedServer, make_login: Callable[..., Login]
) -> None:
    """Frames that follow the ack are received after the login."""
    server.come("dave")
    link, _ = await make_login(GivenAnswers("wonderland"), "alice").run()
    async with link:
        [page, *_] = await link.receive()
    assert isinstance(page, frames.OnlineUsers)
    assert [each.user for each in page.users] == ["dave"]


async def test_a_wrong_password_is_prompted_again(log_in: LogIn) -> None:
    """A wrong password is reported and prompted again on the same connection."""
    front = GivenAnswers("wrong", "wonderland")
    await log_in(front)
    assert front.texts == ["The user name or the password is wrong."]


async def test_three_wrong_passwords_end_the_login(server: ScriptedServer, log_in: LogIn) -> None:
    """After three wrong passwords, the login fails."""
    with pytest.raises(AuthRefusedError, match="password is wrong"):
        await log_in(GivenAnswers("a", "b", "c"))
    assert len(auths(server)) == 3


async def test_a_pipe_has_one_try(server: ScriptedServer, log_in: LogIn) -> None:
    """With one try, the next line is not sent as a password."""
    with pytest.raises(AuthRefusedError):
        await log_in(GivenAnswers("wrong", "wonderland", tries=1))
    assert len(auths(server)) == 1


async def test_a_locked_account_is_not_tried_again(server: ScriptedServer, log_in: LogIn) -> None:
    """A locked account ends the login without another prompt."""
    server.refuses = [nack(ErrorCode.ACCOUNT_LOCKED)]
    with pytest.raises(AuthRefusedError, match="locked"):
        await log_in(GivenAnswers("a", "b"))


async def test_a_busy_server_gets_the_same_password_again(server: ScriptedServer, log_in: LogIn) -> None:
    """A busy server receives the same password again, without another prompt."""
    server.refuses = [nack(ErrorCode.BUSY, 0.001)]
    await log_in(GivenAnswers("wonderland"))
    assert auths(server) == [("alice", "wonderland")] * 2


async def test_too_many_sessions_end_the_first_login_but_no_reconnect(
    server: ScriptedServer, log_in: LogIn, make_login: Callable[..., Login]
) -> None:
    """A user who logs in gets the sentence with the limit; a reconnect treats it as temporary."""
    sentence = f"{ERROR_CODES[ErrorCode.TOO_MANY_SESSIONS].sentence} The limit is 20."
    full = frames.AuthNack(ErrorCode.TOO_MANY_SESSIONS, sentence, 30.0)
    server.refuses = [full]
    with pytest.raises(AuthRefusedError, match="The limit is 20"):
        await log_in(GivenAnswers("wonderland"))
    assert len(auths(server)) == 1
    login = make_login(GivenAnswers("wonderland"), None)
    link, _ = await login.run()
    await link.close()
    server.refuses = [full]
    with pytest.raises(UnreachableError, match="The limit is 20"):
        await login.again(frames.SetPresence("online"))


async def test_a_long_wait_is_left_to_the_user(server: ScriptedServer, log_in: LogIn) -> None:
    """If the server asks for a long wait, the login ends and says how long it is."""
    server.refuses = [nack(ErrorCode.BUSY, 95)]
    with pytest.raises(AuthRefusedError, match=r"busy .* Try again in 95 seconds\.$"):
        await log_in(GivenAnswers("wonderland"))
    assert len(auths(server)) == 1


async def test_a_busy_login_is_tried_three_times(server: ScriptedServer, log_in: LogIn) -> None:
    """A server that stays busy is tried three times, and the user sees that it is tried again."""
    server.refuses = [nack(ErrorCode.BUSY, 0.001)] * 3
    front = GivenAnswers("wonderland")
    with pytest.raises(AuthRefusedError, match="busy"):
        await log_in(front)
    assert len(auths(server)) == 3
    assert front.texts == ["The server is busy; trying again in 1 second."] * 2


async def test_another_protocol_version_is_incompatible(server: ScriptedServer, log_in: LogIn) -> None:
    """A refused protocol version raises `IncompatibleError`."""
    server.refuses = [nack(ErrorCode.PROTOCOL_VERSION)]
    with pytest.raises(IncompatibleError, match="This client is version"):
        await log_in(GivenAnswers("wonderland"))


@pytest.mark.parametrize("code", [ErrorCode.LOGIN_TIMEOUT, ErrorCode.TOO_MANY_ATTEMPTS])
async def test_a_login_timeout_connects_again(code: ErrorCode, server: ScriptedServer, log_in: LogIn) -> None:
    """After a login timeout, a new connection sends the same password."""
    server.refuses = [frames.Error(code, ERROR_CODES[code].sentence)]
    await log_in(GivenAnswers("wonderland"))
    assert auths(server) == [("alice", "wonderland")] * 2


async def test_an_error_ends_the_login(server: ScriptedServer, log_in: LogIn) -> None:
    """An error ends the login with its text, with marks in place of control characters."""
    server.refuses = [frames.Error(ErrorCode.INTERNAL, "Something\x1b went wrong.")]
    with pytest.raises(EndedError, match=r"^Something<U\+001B> went wrong\.$"):
        await log_in(GivenAnswers("wonderland"))


async def test_an_invalid_name_is_prompted_again(log_in: LogIn) -> None:
    """An invalid name is reported and prompted again; an empty one without a message."""
    front = GivenAnswers("wonderland", users=["", "not a name", "alice"])
    await log_in(front)
    [sentence] = front.texts
    assert "not a valid name" in sentence


async def test_an_invalid_name_in_a_pipe_ends_the_login(log_in: LogIn) -> None:
    """In a pipe, an invalid name ends the login."""
    with pytest.raises(UsageError, match="not a valid name"):
        await log_in(GivenAnswers(users=["not a name"], tries=1))


@pytest.mark.parametrize(
    ("password", "part"), [("x" * 1025, "longer than 1024 bytes"), ("\udcff", "not UTF-8")]
)
async def test_an_impossible_password_is_not_sent(
    password: str, part: str, server: ScriptedServer, log_in: LogIn
) -> None:
    """A password that the protocol can't carry is refused without sending it."""
    with pytest.raises(UsageError, match=part):
        await log_in(GivenAnswers(password))
    assert auths(server) == []
