"""What Tab completes."""

import pytest

from qscp import frames
from qscp_client.commands import TypedLine
from qscp_client.completion import complete
from qscp_client.engine import Engine


@pytest.fixture
def engine() -> Engine:
    """The picker with three people."""
    picker = Engine("alice", str)
    people = [frames.UserPresence(name, "online") for name in ("bob", "bert", "carol")]
    picker.receive(frames.OnlineUsers(1, people))
    return picker


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("b", ["bert", "bob"]),
        ("BO", ["bob"]),
        ("", ["bert", "bob", "carol"]),
        ("@c", ["@carol"]),
        ("/w", ["/who"]),
        ("/s", ["/say "]),
        ("x", []),
    ],
)
def test_the_picker_completes_names_and_commands(engine: Engine, typed: str, words: list[str]) -> None:
    """Names of who is online, with @ where it was typed."""
    assert complete(engine, typed) == words


@pytest.mark.parametrize(("typed", "words"), [("/b", ["/back"]), ("b", []), ("hello b", []), ("hi /w", [])])
def test_a_chat_completes_commands_only(engine: Engine, typed: str, words: list[str]) -> None:
    """And only at the beginning of a line."""
    engine.enter(TypedLine("bob"))
    assert complete(engine, typed) == words
