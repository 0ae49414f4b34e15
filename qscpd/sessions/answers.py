"""Frames with an error code: those that refuse a request, and the last one of a session."""

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode


def refusal(
    frame: frames.ClientFrame, code: ErrorCode, *, message: str = "", retry_after_s: float | None = None
) -> frames.Error:
    """Return an `error` that answers a frame, where the protocol has no other answer.

    Args:
        frame: The refused frame.
        code: Why.
        message: The code's sentence with more, such as a limit; the sentence alone if empty.
        retry_after_s: Seconds until the frame makes sense again, if known.
    """
    if retry_after_s is not None:
        retry_after_s = round(retry_after_s, 3)
    return frames.Error(code, message or ERROR_CODES[code].sentence, frame.type, retry_after_s)


def last_frame(code: ErrorCode, *, error: bool) -> frames.ServerFrame:
    """Return the frame that ends a session: an `error`, or a `bye`.

    A client reconnects automatically only if the daemon ended, not because of its user or account.
    """
    sentence = ERROR_CODES[code].sentence
    if error:
        return frames.Error(code=code, message=sentence)
    return frames.ServerBye(code, sentence, code in (ErrorCode.SHUTDOWN, ErrorCode.INTERNAL))
