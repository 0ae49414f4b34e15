"""Every typed line has exactly one meaning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp_client.core.chat_state import TypedLine
from qscp_client.core.commands.table import (
    COMMANDS,
    Meaning,
    Nothing,
    Pick,
    Refuse,
    Run,
    Say,
    interpret,
    typed_name,
)
from qscp_client.core.notices import Problem, ProblemCode
from qscp_client.ui.render_notices import describe_problem

LINES = st.one_of(
    st.text(),
    st.sampled_from(["back", "quit", "/", "//", "@", "/say ", "/back"]).flatmap(
        lambda start: st.text(max_size=5).map(lambda rest: start + rest)
    ),
)


def typed(text: str, *, chatting: bool = True) -> Meaning:
    """Return the meaning of a line typed by hand."""
    return interpret(TypedLine(text), chatting=chatting)


def pasted(text: str, *, chatting: bool = True) -> Meaning:
    """Return the meaning of a pasted line."""
    return interpret(TypedLine(text, pasted=True), chatting=chatting)


@pytest.mark.parametrize("chatting", [True, False])
@pytest.mark.parametrize("word", ["back", "quit", "back ", "quit\t"])
def test_back_and_quit_are_commands(word: str, chatting: bool) -> None:
    """`back` and `quit` are commands, in a chat and in the picker."""
    assert typed(word, chatting=chatting) == Run(COMMANDS[word.strip()], "")


@pytest.mark.parametrize("text", ["back to work", "i quit", "Back", " back", "quit!", "back\nquit"])
def test_words_inside_a_line_are_text(text: str) -> None:
    """`back` and `quit` inside a longer line are text."""
    assert typed(text) == Say(text)


@pytest.mark.parametrize("text", [" /topic", "\t/topic", "\n /topic", "\u00a0/topic"])
@pytest.mark.parametrize("chatting", [True, False])
def test_a_command_after_a_blank_is_a_command(text: str, chatting: bool) -> None:
    """A command after blanks is still a command and is not sent as text."""
    assert typed(text, chatting=chatting) == Run(COMMANDS["topic"], "")
    assert typed(" //x") == Say("/x")
    assert isinstance(typed(f"{text}x"), Refuse)


@pytest.mark.parametrize("text", ["back", "quit", "/help", " /help", "//x", "/no such", "one\ntwo"])
def test_a_paste_is_text(text: str) -> None:
    """Pasted text is never a command."""
    assert pasted(text) == Say(text)


def test_a_pasted_name_is_chosen() -> None:
    """In the picker a paste is a name, even `back`."""
    assert pasted("back", chatting=False) == Pick("back")


def test_a_paste_keeps_its_lines_and_loses_the_last_newline() -> None:
    """A paste keeps its lines; only the final newline of most clipboards is removed."""
    assert pasted("one\n  two\n") == Say("one\n  two")


@pytest.mark.parametrize("text", ["", " ", "\t", "\r\n"])
@pytest.mark.parametrize("chatting", [True, False])
def test_blank_lines_do_nothing(text: str, chatting: bool) -> None:
    """Blank lines do nothing, typed or pasted."""
    assert typed(text, chatting=chatting) == Nothing()
    assert pasted(text, chatting=chatting) == Nothing()


@pytest.mark.parametrize("name", ["help", "who", "back", "quit"])
def test_a_slash_begins_a_command(name: str) -> None:
    """A slash and a command's name run that command without an argument."""
    assert typed(f"/{name}") == Run(COMMANDS[name], "")


@pytest.mark.parametrize("text", ["back", "/x", " indented", "a b"])
def test_say_takes_the_rest_of_the_line(text: str) -> None:
    """`/say` takes the rest of the line unchanged."""
    assert typed(f"/say {text}") == Run(COMMANDS["say"], text)


@pytest.mark.parametrize(
    ("text", "body"), [("//x", "/x"), ("//", "/"), ("///x", "//x"), ("//say hi", "/say hi")]
)
def test_two_slashes_send_one(text: str, body: str) -> None:
    """`//x` sends `/x`."""
    assert typed(text) == Say(body)


@pytest.mark.parametrize(
    "text", ["/", "/x", "/ help", "/HELP", "/usr/bin/env", "/say", "/say  ", "/quit now"]
)
def test_an_unknown_command_is_refused(text: str) -> None:
    """An unknown command, or one with wrong arguments, is never sent as a message."""
    assert isinstance(typed(text), Refuse)


def test_a_misspelt_command_gets_a_hint() -> None:
    """The refusal names the nearest command, and how to send the text."""
    refusal = typed("/halp")
    assert isinstance(refusal, Refuse)
    assert refusal.problem == Problem(ProblemCode.UNKNOWN_COMMAND, command="halp", text="help")
    sentence = describe_problem(refusal.problem)
    assert "/help?" in sentence
    assert "//" in sentence


@pytest.mark.parametrize(
    ("text", "name"), [("bob", "bob"), ("@bob", "bob"), ("@back", "back"), (" bob ", "bob")]
)
def test_the_picker_takes_names(text: str, name: str) -> None:
    """A line in the picker is a name, with or without @."""
    assert typed(text, chatting=False) == Pick(name)


def test_a_mention_in_a_chat_is_text() -> None:
    """In a chat, a line that begins with @ is text."""
    assert typed("@bob look") == Say("@bob look")


@pytest.mark.parametrize(
    ("name", "word"), [("bob", "bob"), ("back", "@back"), ("quit", "@quit"), ("help", "help")]
)
def test_typed_name_selects_that_user(name: str, word: str) -> None:
    """Typing what `typed_name` returns selects that user."""
    assert typed_name(name) == word
    assert typed(word, chatting=False) == Pick(name)


@given(text=LINES, is_paste=st.booleans(), chatting=st.booleans())
def test_no_line_is_both_command_and_message(text: str, is_paste: bool, chatting: bool) -> None:
    """A typed /x is never sent unchanged, and a paste is never a command."""
    meaning = interpret(TypedLine(text, is_paste), chatting=chatting)
    if isinstance(meaning, Say):
        assert chatting or text.startswith("//")
        assert is_paste or not text.startswith("/") or text.startswith("//")
        assert is_paste or text.rstrip() not in {"back", "quit"}
    if isinstance(meaning, Run | Refuse):
        assert not is_paste
        assert text.startswith("/") or text.rstrip() in {"back", "quit"}
