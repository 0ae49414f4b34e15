"""What a piped client imports: no library that only a terminal needs."""

import subprocess
import sys

from tests.client.conftest import REPOSITORY

PROGRAM = """
import sys
sys.path.insert(0, "client")
import qscp_client.cli, qscp_client.runner, qscp_client.ui.plain, qscp_client.ui.rows
print(*sorted(sys.modules))
"""


def test_a_pipe_needs_no_terminal_library() -> None:
    """The command, its front end for pipes, and what cuts lines to a width."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    imported = {name.partition(".")[0] for name in run.stdout.split()}
    assert "qscp_client" in imported
    assert not imported & {"prompt_toolkit", "textual", "curses", "readline"}
