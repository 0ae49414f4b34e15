"""The echo of a terminal."""

import contextlib
import os
import sys
from collections.abc import Iterator

if sys.platform != "win32":
    import termios

    @contextlib.contextmanager
    def echo(descriptor: int, *, on: bool) -> Iterator[None]:
        """Switch the echo of a terminal on or off; anything else stays as it is."""
        if not os.isatty(descriptor):
            yield
            return
        before = termios.tcgetattr(descriptor)
        changed = termios.tcgetattr(descriptor)
        changed[3] = changed[3] | termios.ECHO if on else changed[3] & ~termios.ECHO
        termios.tcsetattr(descriptor, termios.TCSANOW, changed)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSANOW, before)

else:

    @contextlib.contextmanager
    def echo(descriptor: int, *, on: bool) -> Iterator[None]:
        """Do nothing: a Windows console echoes only what is being read."""
        del descriptor, on
        yield
