"""Bytes to lines, lines to frames, frames to bytes."""

import json
from typing import Any, Final

import msgspec

from qscp import frames
from qscp.errors import ErrorCode, RemoteProtocolError

__all__ = ["LineSplitter", "decode_client_frame", "decode_server_frame", "encode"]

ClientFrames = (
    frames.Auth
    | frames.SetPresence
    | frames.SendChat
    | frames.ClientPing
    | frames.ClientPong
    | frames.ClientBye
)
ServerFrames = (
    frames.AuthAck
    | frames.AuthNack
    | frames.PresenceAck
    | frames.OnlineUsers
    | frames.PresenceChanges
    | frames.Chat
    | frames.ChatAck
    | frames.ChatNack
    | frames.ServerPing
    | frames.ServerPong
    | frames.ServerBye
    | frames.Error
)

_client_decoder: Final = msgspec.json.Decoder(ClientFrames)
_server_decoder: Final = msgspec.json.Decoder(ServerFrames)
_encoder: Final = msgspec.json.Encoder()


class LineSplitter:
    r"""Cuts a stream of bytes at its newlines.

    A line is refused as soon as more bytes than the limit have come without a newline,
    so a peer never makes us hold more than the limit. After that everything is thrown
    away: the tail of an overlong line is never taken for a frame.
    Cost: linear in the input, however it is split.

    Attributes:
        limit: Most bytes in a line, without its `\n`; may be changed between calls.
        overlong: Whether a line went over the limit.
    """

    __slots__ = ("_partial", "limit", "overlong")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.overlong = False
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in and return the lines that they complete, without newlines.

        When `overlong` is true afterwards, the returned lines came before the bad one.
        """
        if self.overlong:
            return []
        *lines, rest = data.split(b"\n")
        if lines and self._partial:
            lines[0] = bytes(self._partial) + lines[0]
            self._partial.clear()
        self._partial += rest
        if len(self._partial) > self.limit or (lines and max(map(len, lines)) > self.limit):
            self._refuse(lines)
        return lines

    def _refuse(self, lines: list[bytes]) -> None:
        """Keep the lines before the overlong one, and nothing after it."""
        self.overlong = True
        self._partial.clear()
        for index, line in enumerate(lines):
            if len(line) > self.limit:
                del lines[index:]
                break


def decode_client_frame(line: bytes) -> frames.ClientFrame:
    """Decode what a client sent, strictly.

    Raises:
        RemoteProtocolError: With the first of these that is true: `not_utf8`, `not_json`,
            `not_an_object`, `unknown_type`, `unknown_field`, `bad_field`.
    """
    try:
        frame: frames.ClientFrame = _client_decoder.decode(line)
        if type(frame) is frames.Auth:
            line.decode()  # the decoder skips the unknown fields of `auth` without looking inside
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _violation(line, error) from error
    return frame


def decode_server_frame(line: bytes) -> frames.ServerFrame | None:
    """Decode what a server sent, leniently.

    Returns:
        The frame, or None for a type that this version does not know.

    Raises:
        RemoteProtocolError: As `decode_client_frame`, but never `unknown_field`; and
            `unknown_type` only for a frame without any type.
    """
    try:
        frame: frames.ServerFrame = _server_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        violation = _violation(line, error)
        if violation.code is ErrorCode.UNKNOWN_TYPE and isinstance(json.loads(line).get("type"), str):
            return None
        raise violation from error
    return frame


def encode(frame: frames.Frame) -> bytes:
    """Encode a frame as a line, with its newline."""
    return _encoder.encode(frame) + b"\n"


def _violation(line: bytes, error: Exception) -> RemoteProtocolError:
    """Find out what is wrong with a line that did not decode; speed does not matter here."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return RemoteProtocolError(ErrorCode.NOT_UTF8)
    try:
        value: Any = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return RemoteProtocolError(ErrorCode.NOT_JSON)
    if not isinstance(error, msgspec.ValidationError):
        return RemoteProtocolError(ErrorCode.NOT_JSON)  # such as half of a surrogate pair
    if not isinstance(value, dict):
        return RemoteProtocolError(ErrorCode.NOT_AN_OBJECT)
    reason = str(error)
    if "type" not in value or reason.endswith("`$.type`"):
        return RemoteProtocolError(ErrorCode.UNKNOWN_TYPE)
    if "unknown field" in reason:
        return RemoteProtocolError(ErrorCode.UNKNOWN_FIELD)
    return RemoteProtocolError(ErrorCode.BAD_FIELD, _where(reason))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _where(reason: str) -> str:
    """Keep of msgspec's message what names a field of ours, and nothing that the peer sent."""
    _, _, path = reason.rpartition("`$")
    if reason.startswith("Object missing required field"):
        return f"Missing: {reason.split('`')[1]}."
    return f"Wrong: {path.strip('`.')}." if path else ""
