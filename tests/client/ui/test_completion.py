"""Completion with Tab."""

import pytest

from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Engine
from qscp_client.ui.completion import complete
from tests.support.engine_harness import EngineHarness, info


@pytest.fixture
def engine() -> Engine:
    """Return an engine in the picker, with two users online and one known from a conversation."""
    harness = EngineHarness()
    harness.connect("bob", "carol", infos=[info("bert", 3)])
    return harness.engine


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("b", ["bert", "bob"]),
        ("BO", ["bob"]),
        ("", ["bert", "bob", "carol"]),
        ("@c", ["@carol"]),
        ("/w", ["/who"]),
        ("/sa", ["/say "]),
        ("/ret", ["/retry"]),
        ("x", []),
    ],
)
def test_the_picker_completes_names_and_commands(engine: Engine, typed: str, words: list[str]) -> None:
    """The picker completes commands, and all known names, with or without @."""
    assert complete(engine, typed) == words


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/b", ["/back", "/block ", "/blocks", "/ban "]),
        ("/he", ["/help", "/here"]),
        ("b", []),
        ("hello b", []),
        ("hi /w", []),
    ],
)
def test_a_chat_completes_commands_only(engine: Engine, typed: str, words: list[str]) -> None:
    """A chat completes commands only, at the beginning of a line."""
    engine.enter(TypedLine("bob"))
    assert complete(engine, typed) == words
