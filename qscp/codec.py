"""Codec: lines to frames, frames to lines."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from qscp import frames
from qscp.errors import ErrorCode, RemoteProtocolError

__all__ = ["decode_client_frame", "decode_server_frame", "encode", "encode_lines"]


class _AnyFrame(msgspec.Struct):
    """The field that every frame has."""

    type: str


_client_decoder: Final = msgspec.json.Decoder(functools.reduce(operator.or_, frames.CLIENT_FRAMES))
_server_decoder: Final = msgspec.json.Decoder(functools.reduce(operator.or_, frames.SERVER_FRAMES))
_any_frame_decoder: Final = msgspec.json.Decoder(_AnyFrame)
_syntax_decoder: Final = msgspec.json.Decoder(msgspec.Raw)
_encoder: Final = msgspec.json.Encoder()

_JSON_BLANKS: Final = " \t\r\n"
"""White space of RFC 8259, section 2."""


def decode_client_frame(line: bytes) -> frames.ClientFrame:
    """Decode what a client sent, strictly.

    Raises:
        RemoteProtocolError: With the first of these codes that applies: `not_utf8`, `not_json`,
            `not_an_object`, `unknown_type`; then `unknown_field` or `bad_field`.
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
        The frame, or None for an unknown type.

    Raises:
        RemoteProtocolError: As `decode_client_frame`, but never `unknown_field`; and
            `unknown_type` only for a frame without any type.
    """
    try:
        # The decoder skips unknown fields without looking inside: check the encoding of everything first.
        text = line.decode()
        frame: frames.ServerFrame = _server_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        violation = _violation(line, error)
        if violation.code is ErrorCode.UNKNOWN_TYPE and _has_type(line):
            return None
        raise violation from error
    return frame


def encode(frame: frames.Frame) -> bytes:
    """Encode a frame as a line, with its newline."""
    return _encoder.encode(frame) + b"\n"


# The encoder's own method: a function around it would be a call per batch on the hot path.
encode_lines: Final[Callable[[Sequence[frames.Frame]], bytes]] = _encoder.encode_lines
"""Encode frames as lines, each with its newline, in one go."""


def _has_type(line: bytes) -> bool:
    try:
        _any_frame_decoder.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _violation(line: bytes, error: Exception) -> RemoteProtocolError:
    """Classify a line that did not decode; speed does not matter here."""
    try:
        text = line.decode()
        _syntax_decoder.decode(text)
    except UnicodeDecodeError:
        return RemoteProtocolError(ErrorCode.NOT_UTF8)
    except (msgspec.DecodeError, RecursionError):
        return RemoteProtocolError(ErrorCode.NOT_JSON)
    if not isinstance(error, msgspec.ValidationError):
        return RemoteProtocolError(ErrorCode.NOT_JSON)  # nested so deeply that only one decoder succeeded
    if not text.lstrip(_JSON_BLANKS).startswith("{"):
        return RemoteProtocolError(ErrorCode.NOT_AN_OBJECT)
    return _schema_violation(str(error))


def _schema_violation(reason: str) -> RemoteProtocolError:
    """Translate msgspec's message, which can quote input of the peer.

    msgspec reports the cause only as text. The tests break every field of every frame,
    so they notice when a new version changes its wording.
    """
    if reason.startswith("Object contains unknown field"):
        return RemoteProtocolError(ErrorCode.UNKNOWN_FIELD)
    if reason.endswith("`$.type`") or reason == "Object missing required field `type`":
        return RemoteProtocolError(ErrorCode.UNKNOWN_TYPE)
    return RemoteProtocolError(ErrorCode.BAD_FIELD, _where(reason))


def _where(reason: str) -> str:
    """Return the field that msgspec's message names, without any input of the peer."""
    if reason.startswith("Object missing required field"):
        return f"Missing: {reason.split('`')[1]}."
    _, _, path = reason.rpartition("`$")
    return f"Wrong: {path.strip('`.')}." if path else ""
