"""Codec: bytes to lines, lines to frames, frames to bytes."""

import functools
import operator
from collections.abc import Sequence
from typing import Final

import msgspec

from qscp import frames
from qscp.errors import ErrorCode, RemoteProtocolError

__all__ = ["LineSplitter", "decode_client_frame", "decode_server_frame", "encode", "encode_lines"]


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


class LineSplitter:
    r"""Splitter of a byte stream into lines.

    A line is refused as soon as more bytes than the limit have come without a newline,
    so a peer never makes us buffer more than the limit. After that everything is
    discarded: the tail of an overlong line is never parsed as a frame.
    Cost: linear in the input, however it is split.

    Attributes:
        limit: Most bytes in a line, without its `\n`; can be changed between calls.
        overlong: Whether a line went over the limit.
    """

    __slots__ = ("_partial", "limit", "overlong")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.overlong = False
        self._partial = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add bytes and return the lines that they complete, without newlines.

        When `overlong` is true afterwards, the returned lines came before the bad one.
        """
        if self.overlong:
            return []
        partial = self._partial
        size = len(partial) + len(data)
        lines = data.split(b"\n")
        rest = lines.pop()
        if partial and lines:
            partial += lines[0]
            lines[0] = bytes(partial)
            partial.clear()
        partial += rest
        # No line can be longer than all of the input.
        if size > self.limit and (len(partial) > self.limit or max(map(len, lines), default=0) > self.limit):
            self._refuse(lines)
        return lines

    def _refuse(self, lines: list[bytes]) -> None:
        """Keep only the lines before the overlong one."""
        self.overlong = True
        self._partial.clear()
        for index, line in enumerate(lines):
            if len(line) > self.limit:
                del lines[index:]
                break


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


def encode_lines(batch: Sequence[frames.Frame | msgspec.Raw]) -> bytes:
    """Encode frames as lines, each with its newline, in one go.

    Args:
        batch: Frames, or output of `encode` without its newline.
    """
    return _encoder.encode_lines(batch)


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
