"""A daemon and a command of different versions, as after an upgrade without a restart."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import qscp
from qscpd import admin
from qscpd.admin.messages import decode_request
from qscpd.config import Config, ServerConfig, StoreConfig
from qscpd.errors import ExitCode, QscpdError, UsageError

_UNKNOWN = b"\"not a request of qscpd: Invalid value 'create_room' - at `$.request`\""
_FIELD = b'"not a request of qscpd: Object contains unknown field `reuse_name`"'
_MISSING = b'"not a request of qscpd: Object missing required field `owner`"'


def status(version: str) -> bytes:
    """Return the status of a daemon whose other fields are not those of this version."""
    return b'{"reply":"status","version":"%s","pid":1,"load":0.5}\n' % version.encode()


@contextlib.contextmanager
def daemon(path: Path, reply: bytes, state: bytes) -> Iterator[None]:
    """Serve as a daemon of another version: one reply to each status, another to everything else."""

    def serve(listener: socket.socket) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                line = connection.recv(1 << 16)
                if not line:
                    return
                connection.sendall(state if b'"status"' in line else reply)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(path))
            server.join()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A configuration in a temporary directory."""
    return Config(
        server=ServerConfig(admin_socket=tmp_path / "admin.sock"),
        store=StoreConfig(path=tmp_path / "qscpd.db"),
    )


def failed(message: bytes) -> bytes:
    """Return the reply of a daemon that does not know a request."""
    return b'{"reply":"failed","exit_code":2,"message":%s}\n' % message


def ask(config: Config, reply: bytes, state: bytes) -> str:
    """Return the error of a request to a daemon of another version."""
    with (
        daemon(config.server.admin_socket, reply, state),
        pytest.raises(QscpdError) as caught,
    ):
        admin.call(config, admin.CreateRoom("dev", "alice"))
    assert caught.value.exit_code == ExitCode.FAILED
    return str(caught.value)


@pytest.mark.parametrize("message", [_UNKNOWN, _FIELD])
def test_an_older_daemon(config: Config, message: bytes) -> None:
    """A request or a field that it does not know: the sentence has both versions, and what to do."""
    sentence = ask(config, failed(message), status("0.0.9"))
    assert sentence.startswith(
        f"the running daemon is older (qscpd 0.0.9; this command is qscpd {qscp.__version__}"
    )
    assert "restart it (`systemctl restart qscpd`)" in sentence


def test_an_older_daemon_of_the_same_version(config: Config) -> None:
    """Between two releases the version does not tell, but the request does."""
    sentence = ask(config, failed(_UNKNOWN), status(qscp.__version__))
    assert sentence.startswith(f"the running daemon is older (qscpd {qscp.__version__}; this command")


@pytest.mark.parametrize("message", [_UNKNOWN, _MISSING])
def test_a_newer_daemon(config: Config, message: bytes) -> None:
    """A field that it wants, or a request that it has no more: the command is the older one."""
    sentence = ask(config, failed(message), status("99.0"))
    assert sentence.startswith("the running daemon is newer (qscpd 99.0; this command is")


@pytest.mark.parametrize(
    ("reply", "older"),
    [
        (b'{"reply":"room_made","id":1}\n', "newer"),
        (b'{"reply":"room_changed","id":1}\n', "older"),
    ],
)
def test_a_reply_of_another_version(config: Config, reply: bytes, older: str) -> None:
    """A reply that this command does not know is a newer daemon's; one that lacks a field, an older one's."""
    assert ask(config, reply, b"\n").startswith(f"the running daemon is {older} than this command (qscpd ")


def test_a_status_of_an_older_daemon(config: Config) -> None:
    """The status itself can lack a field."""
    with (
        daemon(config.server.admin_socket, b"", status("0.0.1")),
        pytest.raises(QscpdError, match=r"the running daemon is older \(qscpd 0\.0\.1; "),
    ):
        admin.call(config, admin.Status())


def test_another_program(config: Config) -> None:
    """What does not speak JSON is no daemon of any version."""
    assert ask(config, b"220 mail ESMTP\n", b"220\n").startswith("unexpected reply on the admin socket")


def test_an_older_command_is_answered() -> None:
    """It shows the text as it is, which names our version and what to do."""
    with pytest.raises(UsageError) as caught:
        decode_request(b'{"request":"reboot"}')
    sentence = str(caught.value)
    assert sentence.startswith(f"not a request of qscpd {qscp.__version__}: ")
    assert "if it is older, use the `qscpd` of the daemon's installation" in sentence
