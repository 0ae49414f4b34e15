"""Pipe that takes nothing more until it is read."""

import contextlib
import os

__all__ = ["fill_pipe"]


def fill_pipe(writer: int) -> None:
    """Fill the pipe of a descriptor, whose own flags stay as they are.

    Other descriptors of the same pipe have flags of their own if they are opened anew.
    """
    again = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(again, b"x" * size)
    os.close(again)
