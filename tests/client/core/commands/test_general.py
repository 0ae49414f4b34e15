"""Commands for chats: what they send and show, and the problems they report."""

import pytest

from qscp import frames
from qscp.errors import ErrorCode
from qscp_client.core import events
from qscp_client.core.notices import Problem, ProblemCode
from qscp_client.core.outbox import Failure, FailureCode
from tests.support.engine_harness import ack, chat, ready, user


@pytest.mark.parametrize("typed", ["//x", "/say hi"])
def test_a_message_without_a_chat_is_refused(typed: str) -> None:
    """A message typed in the picker is refused and counts as not delivered."""
    harness = ready("bob")
    assert harness.enter(typed) == [Problem(ProblemCode.PICK_FIRST)]
    assert harness.engine.failed == 1


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("x" * 16385, Failure(ErrorCode.BODY_TOO_LONG, "The message is longer than 16 KiB.")),
        (
            "a\x1b[2Jb",
            Failure(
                ErrorCode.BODY_CHARACTERS,
                "The message contains a character that is not allowed. Not allowed: U+001B (character 2).",
            ),
        ),
        ("a\udcffb", Failure(FailureCode.NOT_ENCODABLE)),
    ],
)
def test_an_invalid_body_is_not_sent(body: str, failure: Failure) -> None:
    """A body that the server would refuse is shown again with the reason and is not sent."""
    harness = ready("bob", chat_with="bob")
    assert harness.enter(body) == [events.MessageFailed("bob", body, failure)]
    assert harness.frames() == []


@pytest.mark.parametrize("typed", ["back", "/back"])
def test_back_opens_the_picker(typed: str) -> None:
    """`back` shows the current online list and the unread counts."""
    harness = ready("bob", chat_with="bob")
    harness.receive(chat(1, sender="carol"))
    assert harness.enter(typed) == [events.PickerOpened((user("bob"),), (("carol", 1),))]
    assert harness.engine.partner is None


@pytest.mark.parametrize("typed", ["quit", "/quit"])
@pytest.mark.parametrize("partner", [None, "bob"])
def test_quit_leaves_from_everywhere(typed: str, partner: str | None) -> None:
    """`quit` works in the picker and in a chat; `bye` is not sent until `send_bye`."""
    harness = ready("bob", chat_with=partner)
    harness.enter(typed)
    assert harness.engine.leaving
    assert harness.frames() == []
    harness.engine.send_bye()
    assert harness.frames() == [frames.ClientBye()]


def test_help_is_shown() -> None:
    """`/help` emits a `HelpAsked` event."""
    assert ready().enter("/help") == [events.HelpAsked()]


def test_status_lists_every_line() -> None:
    """`/status` lists recent stored and delivered lines, and all failed and pending ones."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two", "three", "four")
    refusal = frames.ChatNack(f"{3:032x}", ErrorCode.BODY_EMPTY, "There is nothing in it.")
    harness.receive(ack(1, 1), ack(2, 2), frames.Delivered("c-bob", 1), refusal)
    [status] = harness.enter("/status")
    assert isinstance(status, events.StatusAsked)
    assert [(each.body, each.state.name) for each in status.lines] == [
        ("one", "DELIVERED"),
        ("two", "STORED"),
        ("three", "FAILED"),
        ("four", "PENDING"),
    ]


@pytest.mark.parametrize("typed", ["/nonsense", "/say", "/who bob"])
def test_a_wrong_command_counts_as_failed(typed: str) -> None:
    """A wrong command counts as a failure, so that a script ends with a non-zero exit code."""
    harness = ready("bob", chat_with="bob")
    [problem] = harness.enter(typed)
    assert isinstance(problem, Problem)
    assert harness.engine.failed == 1


@pytest.mark.parametrize("typed", ["/retry x", "/drop x", "/retry", "/drop", "/history 0", "/history x"])
def test_an_impossible_command_is_a_problem(typed: str) -> None:
    """A command that can't be carried out shows a problem and sends nothing."""
    harness = ready("bob", chat_with="bob")
    [problem] = harness.enter(typed)
    assert isinstance(problem, Problem)
    assert harness.frames() == []


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("\ufeffhello\u200b there", "hello there"),
        ("one\u2028two", "one\ntwo"),
        ("/say \u200b/x", "/x"),
        ("\u05d0\u200f\u200d", "\u05d0\u200f\u200d"),
    ],
)
def test_what_came_with_a_paste_is_dropped(typed: str, sent: str) -> None:
    """Invisible characters of a paste are not sent; those that scripts need are."""
    harness = ready("bob", chat_with="bob")
    harness.enter(typed)
    assert [frame.body for frame in harness.frames() if isinstance(frame, frames.SendChat)] == [sent]


def test_a_paste_of_nothing_visible_sends_nothing() -> None:
    """A line that has only dropped characters is an empty line."""
    harness = ready("bob", chat_with="bob")
    assert harness.enter("\ufeff\u200b") == []
    assert harness.frames() == []
