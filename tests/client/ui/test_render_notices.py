"""Every code has a sentence."""

import dataclasses
import re

import pytest

from qscp.errors import ERROR_CODES, ErrorCode
from qscp.rooms import RoomRole
from qscp_client.core.commands.table import COMMANDS
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.outbox import Failure, FailureCode
from qscp_client.text import Kind
from qscp_client.ui.render import describe
from qscp_client.ui.render_errors import explain_error, explain_failure
from qscp_client.ui.render_notices import NOTICES, PROBLEMS, describe_notice, describe_problem
from tests.support.engine_harness import WALL_MS, room

HOSTILE = "x\x1b[2J\n15:06 bob: hi"


def fields(text: str) -> dict[str, object]:
    """Return a value for every field of a notice."""
    return {
        "name": "#dev",
        "user": "carol",
        "by": "alice",
        "is_operator": False,
        "text": text,
        "error": ErrorCode.BAD_TEXT,
        "command": "edit",
        "count": 2,
        "seconds": 3600,
        "until_ms": WALL_MS,
        "role": RoomRole.MODERATOR,
        "room": room(),
    }


def test_all_fields_are_covered() -> None:
    """`fields` has every field of notices and problems, so the other tests set them all."""
    names = {field.name for field in dataclasses.fields(Notice)}
    assert names == {*fields(""), "code"} == {field.name for field in dataclasses.fields(Problem)}


def test_every_code_has_a_renderer() -> None:
    """Every code has a renderer, and each renderer a code."""
    assert set(NOTICES) == set(NoticeCode)
    assert set(PROBLEMS) == set(ProblemCode)


@pytest.mark.parametrize("text", ["", "A text.", HOSTILE])
@pytest.mark.parametrize("code", NoticeCode)
def test_a_notice_is_one_line(code: NoticeCode, text: str) -> None:
    """A notice is one line without control characters, with all fields or only the required ones."""
    full = Notice(code, **fields(text))  # type: ignore[arg-type]
    bare = Notice(code, name="#dev", text=text)
    for notice in (full, bare):
        [line] = describe(notice, "alice")
        assert line.kind is Kind.NOTICE
        assert line.text
        assert not re.search(r"[\x00-\x1f]", line.text)
    if text == "A text.":
        assert re.search(r"[.:)]$", describe_notice(full))
        assert "None" not in describe_notice(full)


@pytest.mark.parametrize("text", ["", "A text.", HOSTILE])
@pytest.mark.parametrize("code", ProblemCode)
def test_a_problem_is_one_line(code: ProblemCode, text: str) -> None:
    """A problem is one line without control characters."""
    problem = Problem(code, **fields(text))  # type: ignore[arg-type]
    [line] = describe(problem, "alice")
    assert line.kind is Kind.PROBLEM
    assert not re.search(r"[\x00-\x1f]", line.text)
    assert line.text


@pytest.mark.parametrize("code", [*NoticeCode, *ProblemCode])
def test_commands_that_a_sentence_names_exist(code: NoticeCode | ProblemCode) -> None:
    """Every command named in a sentence exists."""
    if isinstance(code, NoticeCode):
        text = describe_notice(Notice(code, **fields("x")))  # type: ignore[arg-type]
    else:
        text = describe_problem(Problem(code, **fields("help")))  # type: ignore[arg-type]
    for name in re.findall(r"(?<![/\w])/([a-z]+)", text):
        assert name in COMMANDS, text


def test_every_refusal_has_a_sentence() -> None:
    """Every error code has a sentence; an unknown one has the server's text."""
    for code in ErrorCode:
        for name, user in (("", ""), ("#dev", ""), ("#dev", "carol")):
            sentence = explain_error(code, ERROR_CODES[code].sentence, name=name, user=user)
            assert re.fullmatch(r"\S.*\.", sentence), sentence
    assert explain_error("moon_phase", "Not today.") == "Not today."
    assert explain_error("moon_phase") == "The server refused it (moon_phase)."


@pytest.mark.parametrize("code", [*ErrorCode, *FailureCode, "moon_phase"])
def test_every_failure_has_a_reason(code: str) -> None:
    """Every failure has a reason, without a full stop as it is part of a sentence."""
    for failure in (Failure(code), Failure(code, "Not today.", 59), Failure(code, "Not today.", 7000)):
        reason = explain_failure(failure, "#dev")
        assert reason
        assert not reason.endswith(".")


def test_a_short_wait_is_in_seconds() -> None:
    """A short wait is in seconds, rounded up."""
    assert explain_failure(Failure("muted", "", 58.5), "#dev") == "you are muted for another 59 s"
    assert explain_failure(Failure("muted", "", 3600), "#dev") == "you are muted for another 60 minutes"
    assert explain_failure(Failure("slow_mode", "", 0.1), "#dev") == "slow mode; wait 1 s"
    quota = explain_failure(Failure("quota_exceeded", "", 7200), "bob")
    assert quota == "you have sent as much as the server stores in a day; wait 2 hours"


@pytest.mark.parametrize(
    ("failure", "saved"),
    [
        (Failure(ErrorCode.MUTED, "You may not write.", 60), "muted"),
        (Failure(FailureCode.EXPIRED), "expired"),
        (Failure("moon_phase", "Not today."), "Not today."),
        (Failure("moon_phase"), "moon_phase"),
    ],
)
def test_a_saved_failure_is_explained_again(failure: Failure, saved: str) -> None:
    """A saved failure is explained by its code, or by the server's text if the code is unknown."""
    assert failure.saved == saved
    loaded = Failure.load(saved)
    assert loaded.saved == saved
    assert explain_failure(loaded, "bob")


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (Problem(ProblemCode.USAGE, command="say"), "Usage: /say TEXT"),
        (Problem(ProblemCode.USAGE, command="history", count=100), "Usage: /history [N] (N is 1 to 100)"),
        (
            Problem(ProblemCode.USAGE, command="role"),
            "Usage: /role NAME ROLE. ROLE is owner, moderator or member.",
        ),
        (Problem(ProblemCode.TAKES_NO_ARGUMENT, command="help"), "/help takes no argument."),
        (
            Problem(ProblemCode.UNKNOWN_COMMAND, command="x"),
            (
                "Unknown command /x; nothing was sent. /help lists commands. "
                "To send a message that starts with /, type //x."
            ),
        ),
        (
            Problem(ProblemCode.INVALID_DURATION, command="mute", text="5x"),
            '"5x" is not a duration. Examples: 30s, 10m, 2h, 7d.',
        ),
        (
            Problem(ProblemCode.ROOM_REFUSED, error="last_owner", text="The room needs you."),
            (
                "You are the only owner. "
                "Make someone else an owner (/role NAME owner) or /archive the room first."
            ),
        ),
        (
            Problem(ProblemCode.ROOM_REFUSED, error="too_many_rooms", text="You are in too many."),
            "You have reached the limit of rooms; leave one first.",
        ),
        (
            Problem(ProblemCode.ROOM_REFUSED, error="unchanged", text="It is like that already."),
            "No change: it is already so.",
        ),
        (
            Problem(ProblemCode.ROOM_REFUSED, error="unknown_user", name="#dev", user="nobody"),
            'No user named "nobody".',
        ),
        (Problem(ProblemCode.ROOM_REFUSED, error="banned", name="#dev"), "You are banned from #dev."),
        (
            Problem(ProblemCode.ROOM_REFUSED, error="declined", name="#dev", user="bob", seconds=86_400),
            "bob has declined an invitation to #dev. Wait 24 hours.",
        ),
        (
            Problem(
                ProblemCode.ROOM_REFUSED, error="rate_limited", text="Too often. The limit is 9.", seconds=18
            ),
            "Too often. The limit is 9. Wait 18 s.",
        ),
        (
            Problem(ProblemCode.ROOM_REFUSED, error="too_many_owned", text="Enough. The limit is 50."),
            "Enough. The limit is 50.",
        ),
    ],
)
def test_common_problems_have_these_sentences(problem: Problem, sentence: str) -> None:
    """The most common problems have exactly these sentences."""
    assert describe_problem(problem) == sentence
