"""Where typed lines go: the transition table, and the engine that follows it."""

import ast
import itertools
import re
from pathlib import Path

import pytest

from qscp import frames
from qscp.errors import ERROR_CODES, ErrorCode
from qscp_client.core import chat_state
from qscp_client.core.chat_state import TRANSITIONS, ChatState, CurrentChat, Step
from tests.support.engine_harness import EngineHarness, info, ready, room, room_changed

PAIRS = [*itertools.product(ChatState, Step)]
PACKAGE = Path(chat_state.__file__).parents[1]


def in_state(state: ChatState) -> CurrentChat:
    """Return a chat in a state."""
    chat = CurrentChat()
    first = {ChatState.RESOLVING: Step.FIND, ChatState.JOINING: Step.JOIN, ChatState.CHAT: Step.OPEN}
    if state in first:
        chat.change(first[state], "#dev")
    return chat


@pytest.mark.parametrize(("state", "step"), PAIRS)
def test_every_step_is_as_in_the_table(state: ChatState, step: Step) -> None:
    """Every step follows the table; one that is not in it raises and changes nothing."""
    chat = in_state(state)
    assert chat.state is state
    if step not in TRANSITIONS[state]:
        with pytest.raises(KeyError):
            chat.change(step, "bob")
        assert (chat.state, chat.name) == (state, "" if state is ChatState.PICKER else "#dev")
        return
    chat.change(step, "bob")
    assert chat.state is TRANSITIONS[state][step]


@pytest.mark.parametrize(
    ("state", "partner", "joining", "is_undecided"),
    [
        (ChatState.PICKER, None, None, False),
        (ChatState.RESOLVING, None, None, True),
        (ChatState.JOINING, None, "#dev", True),
        (ChatState.CHAT, "#dev", None, False),
    ],
)
def test_only_an_open_chat_has_a_partner(
    state: ChatState, partner: str | None, joining: str | None, is_undecided: bool
) -> None:
    """Only an open chat has a partner, so nothing can be sent to an unresolved name."""
    chat = in_state(state)
    assert (chat.partner, chat.joining, chat.is_undecided) == (partner, joining, is_undecided)


def test_every_state_is_reached_and_left() -> None:
    """Every state can be reached from the first one, and left."""
    assert set(TRANSITIONS) == set(ChatState)
    reached = {ChatState.PICKER}
    for _ in ChatState:
        reached |= {after for state in reached for after in TRANSITIONS[state].values()}
    assert reached == set(ChatState)
    assert all(TRANSITIONS.values())


def test_the_diagram_matches_the_table() -> None:
    """Each arrow of the docstring's diagram is a transition, and each transition an arrow."""
    arrows = re.findall(r"(\w+) +--(\w+)--> (?=(\w+))", chat_state.__doc__ or "")
    drawn = [(ChatState[before], Step[step], ChatState[after]) for before, step, after in arrows]
    table = {(state, step, after) for state, steps in TRANSITIONS.items() for step, after in steps.items()}
    assert len(drawn) == len(table)
    assert set(drawn) == table


class Recorder(CurrentChat):
    """Chat that records each step of the engine."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[ChatState, Step]] = []

    def change(self, step: Step, name: str = "") -> None:
        """Record a step and apply it."""
        self.steps.append((self.state, step))
        super().change(step, name)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Return the chat of the next engine."""
    chat = Recorder()
    monkeypatch.setattr("qscp_client.core.engine.CurrentChat", lambda: chat)
    return chat


def test_the_engine_takes_every_step_of_the_table(recorder: Recorder) -> None:
    """The engine takes every transition of the table, and no other."""
    harness: EngineHarness = ready("bob")
    harness.enter("nosuch")
    harness.receive(frames.Whois("nosuch", known=False))
    harness.enter("dora")
    harness.receive(frames.Whois("dora", True, "offline"))
    harness.enter("back", "bob", "/join #dev")
    refused = ErrorCode.UNKNOWN_ROOM
    harness.receive(frames.Error(refused, ERROR_CODES[refused].sentence, "join"))
    assert recorder.state is ChatState.PICKER
    harness.enter("/join #dev")
    harness.receive(room_changed(room()), frames.RoomAck("join", "#dev"))
    assert recorder.partner == "#dev"
    table = {(state, step) for state, steps in TRANSITIONS.items() for step in steps}
    assert set(recorder.steps) == table


def test_an_unrequested_answer_opens_nothing() -> None:
    """An answer that was not requested opens neither a chat nor the room being joined."""
    harness = ready("bob")
    harness.enter("/join #dev", "for the room")
    harness.frames()
    whois, error = frames.Whois("#dev", known=True), frames.Error("busy", "Not now.", ref="whois")
    harness.receive(whois, error, frames.RoomAck("room", "#dev"))
    assert harness.engine.partner is None
    assert harness.engine.queues_lines
    assert harness.chats() == []
    harness = ready("bob", chat_with="bob")
    harness.receive(frames.Conversations([info("#dev", 0)]), frames.Whois("carol", known=True), error)
    assert harness.engine.partner == "bob"


def test_only_the_switcher_changes_the_state() -> None:
    """Only `chat_switcher.py` changes the state; other modules read it."""
    callers = {
        path.name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr == "change"
        and "Step." in path.read_text(encoding="utf-8")
    }
    assert callers == {"chat_switcher.py"}
