"""Frames with an error code: those that refuse a request, and the last one of a session."""

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode


def refusal(frame: frames.ClientFrame, code: ErrorCode, sentence: str = "") -> frames.Error:
    """Return an `error` that answers a frame, where the protocol has no other answer.

    Args:
        frame: The frame.
        code: Why it is refused.
        sentence: Says more than the code's own sentence.
    """
    return frames.Error(code=code, message=sentence or ERROR_CODES[code].sentence, ref=frame.type)


def last_frame(code: ErrorCode, *, error: bool) -> frames.ServerFrame:
    """Return the frame that ends a session: an `error`, or a `bye`.

    A client reconnects automatically only if the daemon ended, not because of its user or account.
    """
    sentence = ERROR_CODES[code].sentence
    if error:
        return frames.Error(code=code, message=sentence)
    return frames.ServerBye(code, sentence, code in (ErrorCode.SHUTDOWN, ErrorCode.INTERNAL))
