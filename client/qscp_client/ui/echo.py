"""The echo of a terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator

if sys.platform != "win32":
    import termios

    @contextlib.contextmanager
    def no_echo(descriptor: int) -> Iterator[None]:
        """Switch the echo of a terminal off; anything else stays as it is."""
        if not os.isatty(descriptor):
            yield
            return
        before = termios.tcgetattr(descriptor)
        quiet = termios.tcgetattr(descriptor)
        quiet[3] &= ~termios.ECHO
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSANOW, before)

else:

    @contextlib.contextmanager
    def no_echo(descriptor: int) -> Iterator[None]:
        """Do nothing: a Windows console echoes only what is being read."""
        del descriptor
        yield
