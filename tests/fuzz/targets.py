"""Fuzz targets: a function for each parser takes any bytes, and raises if the parser misbehaves."""

from collections.abc import Callable
from typing import Final

from qscp import codec, frames
from qscp.characters import mark_forbidden
from qscp.connection import ClientConnection, LineSplitter, ServerConnection
from qscp.errors import InvalidNameError, InvalidTextError, QscpError, RemoteProtocolError
from qscp.ids import is_message_id
from qscp.limits import (
    BODY_LIMIT,
    LINE_LIMIT,
    LINE_LIMIT_BEFORE_LOGIN,
    MENTIONS_LIMIT,
    REACTION_LIMIT,
    STATUS_TEXT_LIMIT,
    TOPIC_LIMIT,
)
from qscp.names import normalize_name
from qscp.rooms import check_reaction, check_topic, is_room, mentioned, normalize_room
from qscp.states import State
from qscp.text import check_body, check_status_text
from tests.fuzz.file_targets import (
    admin_reply,
    admin_request,
    backup_manifest,
    backup_store,
    client_config,
    daemon_config,
)
from tests.fuzz.tls_targets import tls

__all__ = ["TARGETS"]

_AUTH_ACK: Final = frames.AuthAck(
    user="a",
    account="a1",
    session="s",
    protocol=1,
    features=[],
    limits=frames.Limits(line=1, body=1),
    retention=frames.Retention(),
    epoch="e",
)


def client_decoder(data: bytes) -> None:
    """Decode a line as a server: it survives its encoding, or is a violation."""
    try:
        frame = codec.decode_client_frame(data)
    except RemoteProtocolError:
        return
    _check_frame(frame)
    assert codec.decode_client_frame(codec.encode(frame)) == frame


def server_decoder(data: bytes) -> None:
    """Decode a line as a client: it survives its encoding, is ignored, or is a violation."""
    try:
        frame = codec.decode_server_frame(data)
    except RemoteProtocolError:
        return
    if frame is not None:
        _check_frame(frame)
        assert codec.decode_server_frame(codec.encode(frame)) == frame


def splitter(data: bytes) -> None:
    """Split input cut anywhere: lines are the same and within the limit, and the buffer is too."""
    cut, limit, rest = data[:1], data[1:2], data[2:]
    size, most = sum(cut) + 1, sum(limit) + 1
    whole, parts = LineSplitter(most), LineSplitter(most)
    lines = whole.feed(rest)
    found: list[bytes] = []
    for start in range(0, len(rest), size):
        found += parts.feed(rest[start : start + size])
        assert len(parts._partial) <= most
    assert (found, parts.overlong) == (lines, whole.overlong)
    assert all(len(line) <= most and b"\n" not in line for line in lines)
    consumed = b"".join(line + b"\n" for line in lines)
    assert rest.startswith(consumed)
    if not whole.overlong:
        assert consumed + bytes(whole._partial) == rest


def server_connection(data: bytes) -> None:
    """Feed a server in parts and whole: the result is the same."""
    size, rest = sum(data[:1]) + 1, data[1:]
    assert _serve([rest]) == _serve([rest[start : start + size] for start in range(0, len(rest), size)])


def client_connection(data: bytes) -> None:
    """Feed a client: it raises nothing but a violation, and sends nothing."""
    client = ClientConnection()
    client.send(frames.Auth(user="a", password="b"))
    client.data_to_send()
    client.receive_data(data)
    try:
        for frame in client.events():
            _check_frame(frame)
    except RemoteProtocolError:
        assert client.state is State.CLOSED
    assert client.data_to_send() == b""


def names_and_texts(data: bytes) -> None:
    """Check names, ids and texts: the rules only refuse, and agree with the marks that the client shows."""
    text = data.decode(errors="surrogateescape")
    is_message_id(text)
    try:
        name = normalize_name(text)
    except InvalidNameError as error:
        _check_sentence(error)
    else:
        assert normalize_name(name.upper()) == name
        assert name.isascii()
    marked = mark_forbidden(text)
    marked.encode()
    assert mark_forbidden(marked) == marked
    for check, limit in (
        (check_body, BODY_LIMIT),
        (check_status_text, STATUS_TEXT_LIMIT),
        (check_topic, TOPIC_LIMIT),
        (check_reaction, REACTION_LIMIT),
    ):
        try:
            check(text)
        except InvalidTextError as error:
            _check_sentence(error)
        else:
            assert text == marked
            assert len(text.encode()) <= limit


def rooms_and_mentions(data: bytes) -> None:
    """Check rooms and mentions: accepted names are valid, and stand in the text."""
    text = data.decode(errors="surrogateescape")
    try:
        room = normalize_room(text)
    except InvalidNameError as error:
        _check_sentence(error)
    else:
        assert is_room(room)
        assert room == "#" + normalize_name(room[1:])
        assert normalize_room(room) == room
    names = mentioned(text)
    assert len(set(names)) == len(names) <= MENTIONS_LIMIT
    for name in names:
        assert normalize_name(name) == name
        assert f"@{name}" in text.lower()


def _check_sentence(error: QscpError) -> None:
    assert str(error).isprintable()
    assert len(str(error)) < 600  # 40 characters of a name are quoted, escaped


def _check_frame(frame: frames.Frame) -> None:
    assert str(frame).isprintable()
    assert repr(frame).startswith(type(frame).__name__)


def _serve(parts: list[bytes]) -> tuple[list[frames.ClientFrame], bytes, State]:
    """Feed a server that accepts every login with a name, and answers pings."""
    server = ServerConnection()
    received: list[frames.ClientFrame] = []
    sent = b""
    for part in parts:
        server.receive_data(part)
        try:
            for frame in server.events():
                received.append(frame)
                _answer(server, frame)
        except RemoteProtocolError:
            assert server.state is State.CLOSED
        sent += server.data_to_send()
        assert len(server._splitter._partial) <= LINE_LIMIT
        if server.state is State.UNAUTHENTICATED:
            assert len(server._splitter._partial) <= LINE_LIMIT_BEFORE_LOGIN
        assert not server._buffered
    if server.state is State.CLOSED:
        assert sent.count(b'"type":"error"') + sent.count(b'"type":"bye"') == 1
    return received, sent, server.state


def _answer(server: ServerConnection, frame: frames.ClientFrame) -> None:
    if isinstance(frame, frames.Auth):
        server.send(_AUTH_ACK if frame.user else frames.AuthNack("bad_credentials", ""))
    elif isinstance(frame, frames.ClientPing):
        server.send(frames.ServerPong())
    elif isinstance(frame, frames.ClientBye) and server.frames_in % 2:
        server.send(frames.ServerBye("bye", "Good-bye."))


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        client_decoder,
        server_decoder,
        splitter,
        server_connection,
        client_connection,
        names_and_texts,
        rooms_and_mentions,
        tls,
        daemon_config,
        client_config,
        admin_request,
        admin_reply,
        backup_manifest,
        backup_store,
    )
}
"""Every target by its name."""
