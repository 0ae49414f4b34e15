"""Output to the terminal that never asks it anything."""

import sys

from prompt_toolkit.output import ColorDepth, Output, create_output

if sys.platform != "win32":
    import os

    from prompt_toolkit.output.vt100 import Vt100_Output

    class _Screen(Vt100_Output):
        """Output that does not ask for the position of the cursor.

        Some terminals never answer, and over a slow line the answer is typed into the next prompt, or into
        the shell. The line editor needs it only to put the status line at the bottom of the window.
        """

        def get_rows_below_cursor_position(self) -> int:
            """Return the one row that there is for certain; the status line follows the input line."""
            return 1

    def create_screen() -> Output:
        """Return the output to the terminal on standard output."""
        return _Screen.from_pty(
            sys.stdout, term=os.environ.get("TERM"), default_color_depth=ColorDepth.from_env()
        )

else:
    create_screen = create_output  # a Windows console knows where its cursor is
