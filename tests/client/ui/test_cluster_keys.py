"""Keys of the input line, pressed in a real line editor: a cluster is moved over and deleted as one."""

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from qscp_client.ui.cluster_keys import cluster_keys

FAMILY = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{BOY}"
LEFT, RIGHT, BACKSPACE, DELETE = "\x1b[D", "\x1b[C", "\x7f", "\x1b[3~"


async def type_keys(keys: str) -> str:
    """Return the line that the keys make."""
    with create_pipe_input() as pipe:
        session: PromptSession[str] = PromptSession(
            input=pipe, output=DummyOutput(), key_bindings=cluster_keys()
        )
        pipe.send_text(f"{keys}\r")
        return await session.prompt_async()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (f"a{FAMILY}{BACKSPACE}b", "ab"),
        (f"a{FAMILY}{LEFT}{DELETE}b", "ab"),
        (f"a{FAMILY}{LEFT}b", f"ab{FAMILY}"),
        (f"{FAMILY}a{LEFT}{LEFT}{RIGHT}b", f"{FAMILY}ba"),
        (f"{FAMILY}{LEFT}{BACKSPACE}{LEFT}b", f"b{FAMILY}"),
        (f"{FAMILY}{RIGHT}{DELETE}b", f"{FAMILY}b"),
        (f"plain{LEFT}{BACKSPACE}t", "platn"),
    ],
)
async def test_keys_take_a_cluster_as_one(keys: str, line: str) -> None:
    """At the ends of the line nothing happens; a line of ASCII has the editor's own keys."""
    assert await type_keys(keys) == line
