"""What a server can make the client keep."""

import tracemalloc

import pytest

from qscp import frames
from qscp.limits import BODY_LIMIT
from qscp.rooms import RoomRole
from qscp_client.core import memory, sync
from qscp_client.core.notices import Problem, ProblemCode
from qscp_client.core.typing_status import TypingStatus
from tests.support.engine_harness import EngineHarness, chat, in_room, ready, user

LIMIT = 400
"""Names that are kept, in these tests."""


@pytest.fixture(autouse=True)
def low(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower the limits."""
    monkeypatch.setattr(memory, "NAMES_LIMIT", LIMIT)
    monkeypatch.setattr(memory, "TEXTS_LIMIT", 64 * BODY_LIMIT)
    monkeypatch.setattr(memory, "_CHECKED_EVERY", 8 * BODY_LIMIT)


def of_chat(number: int) -> frames.ServerFrame:
    """Return a message in a conversation of its own."""
    return frames.Chat(f"c{number}", 1, f"{number:032x}", f"u{number}", "alice", "hi", 1000, "live")


ENDLESS = {
    "conversations": of_chat,
    "positions": lambda number: frames.Delivered(f"c{number}", 1),
    "gaps": lambda number: frames.Gap(f"c{number}", 1, 2, "pruned"),
    "users": lambda number: frames.PresenceChanges(number + 10, [user(f"u{number}")]),
    "snapshots without an end": lambda number: frames.OnlineUsers(9, [user(f"u{number}")], more=True),
    "typing users": lambda number: frames.Typing("#dev", [f"u{number}"], 1),
    "members": lambda number: frames.MembersChanged(
        "c-#dev", 9, [frames.MemberChange(f"u{number}", RoomRole.MEMBER)], 0
    ),
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=list(ENDLESS))
def test_an_endless_server_is_left(make: object) -> None:
    """A server that names more and more users, rooms or conversations is left."""
    assert callable(make)
    harness = in_room()
    harness.engine.typing._on = True
    for number in range(20 * LIMIT):
        harness.engine.receive(make(number))
        harness.engine.events_to_show()
        harness.engine.changes_to_save()
        if harness.engine.ending is not None:
            break
    ending = harness.engine.ending
    assert ending is not None
    assert (ending.code, ending.reconnect) == (memory.TOO_MUCH, False)


def test_names_are_counted_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is not counted for each frame: that would take longer and longer."""
    monkeypatch.setattr(memory, "NAMES_LIMIT", 20 * LIMIT)
    counts = 0

    def kept(status: TypingStatus) -> int:
        nonlocal counts
        counts += 1
        return len(status._users)

    monkeypatch.setattr(TypingStatus, "kept", property(kept))
    harness = ready()
    frames_received = 0
    while harness.engine.ending is None:
        frames_received += 1
        harness.engine.receive(frames.Typing("bob", [f"u{frames_received}"], 1))
    assert frames_received < 20 * LIMIT * 9 / 8
    assert counts < frames_received / 10


def test_texts_of_many_conversations_are_bounded() -> None:
    """However much is written in however many conversations, the client keeps only so much of it."""
    harness = ready("bob", chat_with="bob")
    tracemalloc.start()
    try:
        for number in range(2000):
            body = f"{number:04}" + "x" * (BODY_LIMIT - 4)
            frame = chat(number // 50 + 1, body, sender=f"u{number % 50}", conversation=f"c{number % 50}")
            harness.engine.receive(frame)
            harness.engine.events_to_show()
            harness.engine.changes_to_save()
            harness.engine.frames_to_send()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert harness.engine.ending is None
    assert size < 2 * 64 * BODY_LIMIT


def test_a_message_that_was_dropped_can_be_read_again() -> None:
    """A command about a message that is not kept any more says how to get it."""
    harness = ready("bob", chat_with="bob")
    for number in range(80):
        harness.receive(chat(number + 1, "x" * BODY_LIMIT))
    [problem] = harness.enter("/react 1 👍")
    assert isinstance(problem, Problem)
    assert problem.code is ProblemCode.MESSAGE_OUTDATED


def test_what_was_replayed_is_forgotten_from_a_number_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay of any length does not grow the list of what was replayed."""
    monkeypatch.setattr(sync, "REPLAYED_LIMIT", 10)
    harness = EngineHarness()
    harness.connect("bob")
    for number in range(50):
        harness.receive(chat(number + 1, origin="replay"))
    assert len(harness.engine._sync._replayed) == 10
