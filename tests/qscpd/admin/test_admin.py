import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from qscp.limits import ROOMS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind
from qscpd import admin
from qscpd.accounts.passwords import PasswordHasher
from qscpd.admin.messages import REQUEST_LIMIT, decode_reply, decode_request, encode
from qscpd.config import Argon2Config, Config, ServerConfig, StoreConfig
from qscpd.domain.rooms import RoomChange
from qscpd.errors import (
    ConfigError,
    ExistsError,
    ExitCode,
    NotFoundError,
    NotRunningError,
    PermissionDeniedError,
    QscpdError,
    StoreError,
    StoreFullError,
    UnansweredError,
    UsageError,
)
from qscpd.store import open_store, store_url
from qscpd.store.base import Store
from qscpd.store.sqlite.lock import StoreLock
from tests.support.users import NOBODY, as_user, passable

HASH = PasswordHasher(Argon2Config(8, 1, 1)).hash("correct horse")
OTHER_HASH = PasswordHasher(Argon2Config(8, 1, 1)).hash("battery staple")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store."""
    with contextlib.closing(open_store(store_url(tmp_path / "q.db"))) as store:
        yield store


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration whose daemon is not running."""
    return Config(
        server=ServerConfig(admin_socket=tmp_path / "admin.sock"), store=StoreConfig(path=tmp_path / "q.db")
    )


def done(reply: admin.Reply) -> admin.AccountInfo:
    """Return the account of a `Done` reply."""
    assert isinstance(reply, admin.Done)
    return reply.account


def names(reply: admin.Reply) -> list[tuple[str, str]]:
    """Return names and states of an `Accounts` reply."""
    assert isinstance(reply, admin.Accounts)
    return [(account.name, account.state) for account in reply.accounts]


# --- messages


@pytest.mark.parametrize(
    "request_",
    [
        admin.AddUser("alice", HASH, reuse_name=True),
        admin.SetPassword("alice", HASH),
        admin.DeleteUser("alice"),
        admin.EraseUser("alice", 12),
        admin.LockUser("alice"),
        admin.UnlockUser("alice"),
        admin.ListUsers(),
        admin.CreateRoom("dev", "alice", RoomKind.CLOSED, HistoryFrom.FULL, "\U0001f600" * 100),
        admin.ArchiveRoom("dev"),
        admin.DeleteRoom("dev"),
        admin.Status(),
    ],
)
def test_a_request_survives_the_wire_and_hides_its_hash(request_: admin.Request) -> None:
    """Each request is one short line, and its `repr` has no hash."""
    line = encode(request_)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line) < REQUEST_LIMIT
    assert decode_request(line) == request_
    assert HASH not in repr(request_)


@pytest.mark.parametrize(
    "kind", [UsageError, NotFoundError, ExistsError, PermissionDeniedError, NotRunningError, QscpdError]
)
def test_an_error_keeps_its_exit_code_and_sentence(kind: type[QscpdError]) -> None:
    """An error in the daemon ends the command as an error in the command would."""
    reply = decode_reply(encode(admin.Failed(kind.exit_code, "what happened")))
    assert isinstance(reply, admin.Failed)
    error = reply.error()
    assert (type(error), str(error), error.exit_code) == (kind, "what happened", kind.exit_code)


def test_a_config_error_and_an_unknown_code_can_be_restored() -> None:
    """ConfigError and a code of a future version can be restored."""
    assert isinstance(admin.Failed(ExitCode.CONFIG, "x").error(), ConfigError)
    assert type(admin.Failed(99, "x").error()) is QscpdError


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"x",
        b"{}",
        b"[]",
        b"\xff",
        b'{"request":"reboot"}',
        b'{"request":"list_users","x":' + b"[" * 4000,
        '{"request":"\u202ereboot\x85"}'.encode(),
        b'{"request":"lock_user"}',
        b'{"request":"create_room","name":"dev","owner":"alice","kind":"secret"}',
        b'{"request":"delete_room","name":"dev","yes":true}',
    ],
)
def test_an_invalid_request_is_a_usage_error(line: bytes) -> None:
    """Any other line is a usage error, in one line without invisible characters."""
    with pytest.raises(UsageError, match="not a request") as caught:
        decode_request(line)
    assert str(caught.value).isprintable()


# --- actions on a real store


def test_the_states_of_an_account(store: Store) -> None:
    """An account is added, changed, locked, unlocked and deleted, and its name is reused."""
    assert done(admin.perform(admin.AddUser(" Alice ", HASH), store)).name == "alice"
    done(admin.perform(admin.SetPassword("alice", OTHER_HASH), store))
    credentials = store.credentials("alice")
    assert credentials is not None
    assert credentials.password_hash == OTHER_HASH
    assert done(admin.perform(admin.LockUser("alice"), store)).state == "locked"
    assert names(admin.perform(admin.ListUsers(), store)) == [("alice", "locked")]
    assert done(admin.perform(admin.UnlockUser("ALICE"), store)).state == "active"
    first = done(admin.perform(admin.DeleteUser("alice"), store))
    assert names(admin.perform(admin.ListUsers(), store)) == []
    assert done(admin.perform(admin.AddUser("alice", HASH, reuse_name=True), store)).id != first.id


@pytest.mark.parametrize(
    ("request_", "exit_code", "sentence"),
    [
        (admin.AddUser("bob", HASH), ExitCode.EXISTS, "bob"),
        (admin.AddUser("no/name", HASH), ExitCode.USAGE, "not a valid name"),
        (admin.AddUser("carol", "plain text"), ExitCode.FAILED, "malformed"),
        (admin.SetPassword("bob", "plain text"), ExitCode.FAILED, "malformed"),
        (admin.SetPassword("carol", HASH), ExitCode.NOT_FOUND, "carol"),
        (admin.DeleteUser("carol"), ExitCode.NOT_FOUND, "carol"),
        (admin.LockUser("carol"), ExitCode.NOT_FOUND, "carol"),
        (admin.UnlockUser("carol"), ExitCode.NOT_FOUND, "carol"),
        (admin.Status(), ExitCode.NOT_RUNNING, "not running"),
    ],
)
def test_a_failed_request_is_a_reply(
    store: Store, request_: admin.Request, exit_code: ExitCode, sentence: str
) -> None:
    """Each failure is a reply with exit code and sentence, and changes nothing."""
    admin.perform(admin.AddUser("bob", HASH), store)
    reply = admin.perform(request_, store)
    assert isinstance(reply, admin.Failed)
    assert reply.exit_code == exit_code
    assert sentence in reply.message
    assert names(admin.perform(admin.ListUsers(), store)) == [("bob", "active")]


def test_the_states_of_a_room(store: Store) -> None:
    """A room is created with its settings, archived and deleted, and its name is reused."""
    admin.perform(admin.AddUser("alice", HASH), store)
    made = admin.perform(admin.CreateRoom(" #Dev ", "ALICE", RoomKind.ANNOUNCEMENT, topic="Talk"), store)
    assert made == admin.RoomChanged(1, "#dev")
    row = store.find_room("#dev")
    assert (row.kind, row.history, row.topic, row.state) == ("announcement", "joining", "Talk", "active")
    assert {account: membership.role for account, membership in store.memberships(1).items()} == {1: "owner"}
    assert admin.perform(admin.ArchiveRoom("dev"), store) == made
    assert store.find_room("#dev").state == "archived"
    assert admin.perform(admin.DeleteRoom("#dev"), store) == made
    assert (store.rooms(), store.memberships(1)) == ([], {})
    assert admin.perform(admin.CreateRoom("dev", "alice"), store) == admin.RoomChanged(2, "#dev")
    assert [(row.actor, row.action) for row in store.room_log(1)] == [
        (None, "delete"),
        (None, "archive"),
        (None, "create"),
    ]


@pytest.mark.parametrize(
    ("request_", "exit_code", "sentence"),
    [
        (admin.CreateRoom("dev", "alice"), ExitCode.EXISTS, "room #dev already exists"),
        (admin.CreateRoom("DEV", "alice"), ExitCode.EXISTS, "room #dev already exists"),
        (admin.CreateRoom("ops", "zoe"), ExitCode.NOT_FOUND, "account zoe not found; `qscpd listusers`"),
        (admin.CreateRoom("ops", "gone"), ExitCode.NOT_FOUND, "account gone not found; `qscpd listusers`"),
        (admin.CreateRoom("ops", "a b"), ExitCode.USAGE, "'a b' is not a valid name"),
        (
            admin.CreateRoom("ops", "alice", topic="two\nlines"),
            ExitCode.USAGE,
            "too long or contains a character that is not allowed",
        ),
        (
            admin.CreateRoom("ops", "alice", topic="x" * 401),
            ExitCode.USAGE,
            "too long or contains a character that is not allowed",
        ),
        (
            admin.CreateRoom("ops", "alice", topic="\x1b[2J"),
            ExitCode.USAGE,
            "too long or contains a character that is not allowed",
        ),
        *(
            (admin.CreateRoom(name, "alice"), ExitCode.USAGE, "is not a valid name")
            for name in ("", "#", "##x", "# x", "x y", "\u212aelvin", "x" * 33, "../etc", "\x1b[2J")
        ),
        (admin.ArchiveRoom("old"), ExitCode.FAILED, "#old is already archived"),
        (admin.ArchiveRoom("ops"), ExitCode.NOT_FOUND, "room #ops not found; `qscpd room list` shows all"),
        (admin.ArchiveRoom("deleted"), ExitCode.NOT_FOUND, "room #deleted not found"),
        (admin.DeleteRoom("ops"), ExitCode.NOT_FOUND, "room #ops not found; `qscpd room list` shows all"),
        (admin.DeleteRoom("no/name"), ExitCode.USAGE, "is not a valid name"),
    ],
)
def test_a_failed_room_request_is_a_reply(
    store: Store, request_: admin.RoomRequest, exit_code: ExitCode, sentence: str
) -> None:
    """Each failure is a reply with exit code and sentence for the operator, and changes nothing."""
    earlier: list[admin.Request] = [
        admin.AddUser("alice", HASH),
        admin.AddUser("gone", HASH),
        admin.DeleteUser("gone"),
        *(admin.CreateRoom(name, "alice") for name in ("dev", "old", "deleted")),
        admin.ArchiveRoom("old"),
        admin.DeleteRoom("deleted"),
    ]
    for done in earlier:
        assert not isinstance(admin.perform(done, store), admin.Failed)
    before = store.rooms(), [len(store.room_log(number)) for number in (1, 2, 3)]
    reply = admin.perform(request_, store)
    assert isinstance(reply, admin.Failed)
    assert (reply.exit_code, sentence in reply.message) == (exit_code, True)
    assert (store.rooms(), [len(store.room_log(number)) for number in (1, 2, 3)]) == before


def test_an_owner_of_too_many_rooms(store: Store) -> None:
    """Creating a room for an owner at the limit of rooms fails with the owner's name."""
    admin.perform(admin.AddUser("alice", HASH), store)
    for number in range(ROOMS_LIMIT):
        store.change_room(RoomChange(action="create", room=f"#r{number}", actor=1))
    reply = admin.perform(admin.CreateRoom("one-more", "Alice"), store)
    assert reply == admin.Failed(
        ExitCode.FAILED, "alice has reached the limit of rooms; choose another owner"
    )


def test_a_failing_store_is_not_hidden_in_a_reply(store: Store) -> None:
    """A store error is raised, because the daemon must know it."""
    store.close()
    with pytest.raises(StoreError):
        admin.perform(admin.ListUsers(), store)


# --- the daemon's end of the socket


Handle = Callable[[admin.Request], Awaitable[admin.Reply]]


async def answer_list(request: admin.Request) -> admin.Reply:
    """Answer every request with an empty list."""
    del request
    return admin.Accounts([])


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """Socket of a server that answers every request with an empty list."""
    async with admin.AdminServer(tmp_path / "admin.sock", answer_list):
        yield tmp_path / "admin.sock"


async def exchange(path: Path, sent: bytes) -> bytes:
    """Send bytes, and return the answer until the end of the stream."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(sent)
    writer.write_eof()
    received = await reader.read()
    writer.close()
    await writer.wait_closed()
    return received


async def test_one_request_one_reply(path: Path) -> None:
    """A line is answered with a line, then the server closes."""
    assert decode_reply(await exchange(path, encode(admin.ListUsers()))) == admin.Accounts([])


def mode_of(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


async def test_the_socket_is_private(path: Path) -> None:
    """The mode is 0600, and another user can not connect."""
    assert mode_of(path) == 0o600
    with as_user(path.parent), socket.socket(socket.AF_UNIX) as other, pytest.raises(PermissionError):
        other.connect(str(path))


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (b"nonsense\n", "not a request"),
        (b'{"request":"list_users"}', "no end of line"),
        (b"x" * (2 * REQUEST_LIMIT) + b"\n", "longer than 4096 bytes"),
        (b"x" * (2 * REQUEST_LIMIT), "longer than 4096 bytes"),
        (b"\xff\xfe\n", "not a request"),
    ],
)
async def test_bad_input_is_answered_with_an_error(path: Path, sent: bytes, sentence: str) -> None:
    """Invalid input is answered with a sentence, and the next peer is served."""
    reply = decode_reply(await exchange(path, sent))
    assert isinstance(reply, admin.Failed)
    assert reply.exit_code == ExitCode.USAGE
    assert sentence in reply.message
    assert await exchange(path, encode(admin.ListUsers()))


async def test_a_peer_that_only_connects_gets_nothing(path: Path) -> None:
    """A peer that closes without a request gets no reply."""
    assert await exchange(path, b"") == b""


@pytest.mark.parametrize(
    ("error", "exit_code", "sentence"),
    [
        (NotFoundError("no carol"), ExitCode.NOT_FOUND, "no carol"),
        (StoreFullError("disk full"), ExitCode.FAILED, "disk full"),
        (ZeroDivisionError("secret detail"), ExitCode.FAILED, "the daemon's log has the details"),
    ],
)
async def test_an_error_of_the_handler_is_sent_without_a_traceback(
    tmp_path: Path, error: Exception, exit_code: ExitCode, sentence: str
) -> None:
    """Our errors keep their sentence; a bug is in the log only, and the server goes on."""

    async def fail(request: admin.Request) -> admin.Reply:
        del request
        raise error

    async with admin.AdminServer(tmp_path / "a.sock", fail):
        for _ in range(2):
            reply = decode_reply(await exchange(tmp_path / "a.sock", encode(admin.ListUsers())))
            assert isinstance(reply, admin.Failed)
            assert reply.exit_code == exit_code
            assert sentence in reply.message
            assert "secret detail" not in reply.message


async def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """A socket that a crash left behind is replaced."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as crashed:
        crashed.bind(str(path))
    async with admin.AdminServer(path, answer_list):
        assert await exchange(path, encode(admin.ListUsers()))
    assert not path.exists()


async def test_a_socket_in_use_is_left_alone(path: Path) -> None:
    """A second daemon on the same socket is refused, and the first goes on."""
    with pytest.raises(ExistsError, match="another daemon listens on it"):
        async with admin.AdminServer(path, answer_list):
            raise AssertionError
    assert await exchange(path, encode(admin.ListUsers()))


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    """A file at the path of the socket is not removed."""
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ExistsError, match="is not a socket"):
        async with admin.AdminServer(path, answer_list):
            raise AssertionError
    assert path.read_text() == "data"


async def test_a_missing_directory_is_created(tmp_path: Path) -> None:
    """A missing directory, as /run after a boot, is created."""
    path = tmp_path / "run" / "admin.sock"
    async with admin.AdminServer(path, answer_list):
        assert await exchange(path, encode(admin.ListUsers()))


async def test_a_running_request_is_answered_before_closing(tmp_path: Path) -> None:
    """A stopping daemon finishes running requests."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: admin.Request) -> admin.Reply:
        begun.set()
        await go_on.wait()
        return await answer_list(request)

    async with admin.AdminServer(tmp_path / "a.sock", slow):
        answer = asyncio.create_task(exchange(tmp_path / "a.sock", encode(admin.ListUsers())))
        await begun.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
    assert decode_reply(await answer) == admin.Accounts([])


# --- the command's end


def test_without_a_daemon_the_command_opens_the_store(config: Config) -> None:
    """Without a socket the command opens the store itself, and closes it."""
    assert done(admin.call(config, admin.AddUser("alice", HASH))).name == "alice"
    assert names(admin.call(config, admin.ListUsers())) == [("alice", "active")]
    with StoreLock(config.store.path):
        pass


def test_an_error_keeps_its_class(config: Config) -> None:
    """A `Failed` reply raises the original class."""
    with pytest.raises(NotFoundError, match="alice"):
        admin.call(config, admin.LockUser("alice"))


def test_status_needs_a_daemon(config: Config) -> None:
    """`Status` without a daemon raises NotRunningError."""
    with pytest.raises(NotRunningError, match="no daemon answers"):
        admin.call(config, admin.Status())


async def test_with_a_daemon_the_daemon_performs_the_request(config: Config) -> None:
    """The daemon performs the request, while it holds the store."""
    with StoreLock(config.store.path), contextlib.closing(open_store(store_url(config.store.path))) as store:

        async def handle(request: admin.Request) -> admin.Reply:
            if isinstance(request, admin.Status):
                return admin.DaemonStatus("1", os.getpid(), 1.5, 2, 1, 1, clock_confirmed=True)
            return admin.perform(request, store)

        async with admin.AdminServer(config.server.admin_socket, handle):
            added = await asyncio.to_thread(admin.call, config, admin.AddUser("alice", HASH))
            assert done(added).name == "alice"
            with pytest.raises(ExistsError):
                await asyncio.to_thread(admin.call, config, admin.AddUser("alice", HASH))
            status = await asyncio.to_thread(admin.call, config, admin.Status())
            assert isinstance(status, admin.DaemonStatus)
        assert names(admin.perform(admin.ListUsers(), store)) == [("alice", "active")]


def test_a_held_lock_without_a_socket_is_reported(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon with another socket, or that hangs, is not bypassed."""
    monkeypatch.setattr("qscpd.admin.client._LOCK_PATIENCE_S", 0.0)
    with StoreLock(config.store.path), pytest.raises(NotRunningError, match="none answers on"):
        admin.call(config, admin.AddUser("alice", HASH))


@pytest.mark.parametrize(
    ("request_", "error", "advice"),
    [
        (admin.ListUsers(), NotRunningError, "try again"),
        (admin.Status(), NotRunningError, "try again"),
        (admin.LockUser("bob"), UnansweredError, "whether the request was done"),
    ],
)
def test_a_daemon_that_dies_while_answering_is_reported(
    config: Config, request_: admin.Request, error: type[QscpdError], advice: str
) -> None:
    """A daemon that dies before it answers raises an error that says so; only a change can have been done."""
    code = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print('up', flush=True)\n"
        "s.accept()[0].recv(9999)\n"
    )
    command = [sys.executable, "-c", code, str(config.server.admin_socket)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as peer:
        assert peer.stdout is not None
        assert peer.stdout.readline()
        with pytest.raises(error, match=f"exited before it answered; .*{advice}"):
            admin.call(config, request_)


def test_a_missing_directory_of_the_store_is_reported(tmp_path: Path) -> None:
    """A missing directory of the store is an error that names the fix; it is not created."""
    config = Config(
        server=ServerConfig(admin_socket=tmp_path / "no/a.sock"), store=StoreConfig(path=tmp_path / "no/q.db")
    )
    with pytest.raises(StoreError, match="create it with `qscpd init`"):
        admin.call(config, admin.ListUsers())
    assert not (tmp_path / "no").exists()


def test_the_store_keeps_its_owner_when_root_changes_it(config: Config) -> None:
    """Root acts as the directory's owner, so that the daemon's user owns new files."""
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    os.chown(config.store.path.parent, NOBODY, NOBODY)
    with passable(config.store.path.parent):
        done(admin.call(config, admin.AddUser("alice", HASH)))
    assert os.geteuid() == 0
    made = list(config.store.path.parent.iterdir())
    assert {(path.stat().st_uid, path.stat().st_gid) for path in made} == {(NOBODY, NOBODY)}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in made} == {0}


def test_another_user_is_refused(config: Config) -> None:
    """A user without access to socket and store gets exit code 6."""
    admin.call(config, admin.AddUser("alice", HASH))
    with as_user(config.store.path.parent), pytest.raises(PermissionDeniedError):
        admin.call(config, admin.ListUsers())


def test_commands_that_race_take_turns(config: Config) -> None:
    """Concurrent processes without a daemon all succeed, and each account exists once."""
    code = (
        "import sys; from pathlib import Path; from qscpd import admin\n"
        "from qscpd.config import Config, ServerConfig, StoreConfig\n"
        "root = Path(sys.argv[1])\n"
        "config = Config(server=ServerConfig(admin_socket=root / 'admin.sock'),"
        " store=StoreConfig(path=root / 'q.db'))\n"
        "admin.call(config, admin.AddUser(sys.argv[2], sys.argv[3]))\n"
    )
    root = str(config.store.path.parent)
    racers = [subprocess.Popen([sys.executable, "-c", code, root, f"user{n}", HASH]) for n in range(5)]
    assert [racer.wait() for racer in racers] == [0] * 5
    assert names(admin.call(config, admin.ListUsers())) == [(f"user{n}", "active") for n in range(5)]
