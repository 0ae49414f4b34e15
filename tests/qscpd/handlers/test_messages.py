"""The handlers of messages, positions and typing indicators."""

from collections.abc import Callable

import pytest

from qscp import codec, frames
from qscp.features import TYPING
from qscp.frames import ServerFrame
from qscpd.domain.model import Mark, PositionKind, RefusedMessage
from qscpd.store.items import PendingChat, PendingSkip
from tests.support.doubles import FakeLink, RouterDouble

Say = Callable[[frames.ClientFrame], list[ServerFrame]]


def test_a_valid_message_goes_to_the_store(router: RouterDouble, say: Say) -> None:
    """A valid message is submitted with the session's account as sender, and not answered at once."""
    assert say(frames.SendChat("Bob", "hello", "0" * 32)) == []
    (chat,) = router.writer.waiting
    assert isinstance(chat, PendingChat)
    message = chat.message
    assert (message.sender, message.recipient, message.body) == (1, 2, "hello")


def test_a_message_to_an_offline_user_goes_to_the_store(router: RouterDouble, say: Say) -> None:
    """A message to an offline user is submitted like any other."""
    assert say(frames.SendChat("dora", "for later", "0" * 32)) == []
    assert len(router.writer.waiting) == 1
    router.writer.answer(router)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (frames.Received("c7", 3), PositionKind.DELIVERED),
        (frames.ClientRead("c7", 3), PositionKind.READ),
    ],
)
def test_a_position_goes_to_the_store(
    router: RouterDouble, say: Say, frame: frames.ClientFrame, kind: PositionKind
) -> None:
    """A position is submitted for the session's account, and nothing is sent at once."""
    assert say(frame) == []
    (mark,) = router.writer.waiting
    (session,) = router.sessions_of(1)
    assert mark == Mark(1, 7, kind, 3, session.id, receipt=False)


@pytest.mark.parametrize(
    "conversation", ["", "7", "c", "c0", "c07", "C7", "c-1", "c7 ", "c" + "9" * 16, "a1"]
)
def test_a_position_in_an_invalid_conversation_is_ignored(
    router: RouterDouble, say: Say, conversation: str
) -> None:
    """A position with an invalid conversation is neither submitted nor answered."""
    assert say(frames.Received(conversation, 3)) == []
    assert say(frames.ClientRead(conversation, 3)) == []
    assert router.writer.waiting == []


def test_a_skip_goes_to_the_store(router: RouterDouble, say: Say) -> None:
    """A skip is submitted after earlier messages."""
    say(frames.SendChat("bob", "hello", "0" * 32))
    say(frames.Skip("1" * 32))
    skip = router.writer.waiting[1]
    assert isinstance(skip, PendingSkip)
    assert (skip.session, skip.id) == (router.sessions_of(1)[0], "1" * 32)


@pytest.mark.parametrize(
    ("to", "body", "code"),
    [
        ("zoe", "x", "unknown_recipient"),
        ("../etc", "x", "unknown_recipient"),
        ("#zoe", "x", "unknown_room"),
        ("#../etc", "x", "unknown_room"),
        ("alice", "x", "recipient_is_self"),
        ("ALICE", "x", "recipient_is_self"),
        ("bob", "", "body_empty"),
        ("bob", "x" * 16385, "body_too_long"),
        ("bob", "\u202e", "body_characters"),
    ],
)
def test_an_invalid_message_is_submitted_with_its_code(
    router: RouterDouble, say: Say, to: str, body: str, code: str
) -> None:
    """An invalid message goes to the store, which knows whether its id was used; then it is answered."""
    assert say(frames.SendChat(to, body, "0" * 32)) == []
    (chat,) = router.writer.waiting
    assert isinstance(chat, PendingChat)
    message = chat.message
    assert isinstance(message, RefusedMessage)
    assert (message.sender, message.recipient, message.body, message.to) == (1, 0, body, to)
    assert (message.id, message.code) == ("0" * 32, code)


@pytest.mark.parametrize("to", ["bob", "zoe", "alice", "#zoe", ""])
@pytest.mark.parametrize("message_id", ["", "F" * 32, "0" * 33])
def test_an_invalid_id_is_refused(router: RouterDouble, say: Say, to: str, message_id: str) -> None:
    """A message with an invalid id is nacked at once with its id, and not submitted."""
    (nack,) = say(frames.SendChat(to, "x", message_id))
    assert isinstance(nack, frames.ChatNack)
    assert (nack.id, nack.code) == (message_id, "bad_id")
    assert router.writer.waiting == []


def test_an_invisible_user_gets_messages(router: RouterDouble, say: Say) -> None:
    """A user who appears offline gets messages at once."""
    session, link = router.login("dora")
    session.receive(codec.encode(frames.SetPresence("offline")))
    say(frames.SendChat("dora", "psst", "0" * 32))
    router.writer.answer(router)
    router.flush()
    assert [frame.body for frame in link.take() if isinstance(frame, frames.Chat)] == ["psst"]
    assert isinstance(link, FakeLink)


@pytest.mark.parametrize(
    ("writer", "peer", "shown"),
    [((TYPING,), (TYPING,), True), ((), (TYPING,), False), ((TYPING,), (), False)],
)
async def test_a_typing_indicator_needs_both_sides(
    router: RouterDouble, writer: tuple[str, ...], peer: tuple[str, ...], shown: bool
) -> None:
    """A typing indicator reaches the peer at most once a second, and only if both clients support it."""
    session, link = router.login("alice", *writer)
    _, bobs = router.login("bob", *peer)
    router.flush()
    bobs.take()
    for to in ("bob", "Bob", "nosuch", "#nosuch"):
        session.receive(codec.encode(frames.SetTyping(to)))
    router.flush()
    indicators = [each for each in bobs.take() if isinstance(each, frames.Typing)]
    assert indicators == [frames.Typing("bob", ["alice"], 1)] * shown
    assert not [each for each in link.take() if isinstance(each, frames.Typing | frames.Error)]


@pytest.mark.parametrize("to", ["nosuch", "no name!", "#nosuch", "#no name!"])
async def test_a_typing_indicator_to_nobody_is_dropped(router: RouterDouble, to: str) -> None:
    """A typing indicator to an unknown user or room is dropped without an answer."""
    session, link = router.login("alice", TYPING)
    router.flush()
    link.take()
    session.receive(codec.encode(frames.SetTyping(to)))
    router.flush()
    assert link.take() == []
