"""What each frame of a client does."""

import dataclasses
from collections.abc import AsyncIterator, Callable

import pytest

from qscp import codec, frames
from qscp.frames import ServerFrame
from qscpd.domain.model import AccountState, Mark, PositionKind
from qscpd.store.writer import PendingChat, PendingMark, PendingSkip
from tests.support.doubles import FakeLink, RouterDouble


@pytest.fixture
async def router() -> AsyncIterator[RouterDouble]:
    """A router that knows four users; alice, bob and carol are online."""
    made = RouterDouble("alice", "bob", "carol", "dora")
    yield made
    made.close()


@pytest.fixture
def say(router: RouterDouble) -> Callable[[frames.ClientFrame], list[ServerFrame]]:
    """Let alice say something, and return the answers of that tick."""
    router.login("bob")
    router.login("carol")
    session, link = router.login("alice")
    router.flush()
    link.take()

    def say(frame: frames.ClientFrame) -> list[ServerFrame]:
        session.receive(codec.encode(frame))
        router.flush()
        return link.take()

    return say


async def test_every_frame_of_a_client_has_a_handler(router: RouterDouble) -> None:
    """A frame that can be decoded can be handled."""
    known = {cls for cls in frames.ClientFrame.__subclasses__() if not cls.__name__.startswith("_")}
    assert {frames.Auth, *router.handlers.after_login} == known


Say = Callable[[frames.ClientFrame], list[ServerFrame]]


def test_a_good_message_goes_to_the_store(router: RouterDouble, say: Say) -> None:
    """Not answered before it is stored; the sender is the account that logged in."""
    assert say(frames.SendChat("Bob", "hello", "0" * 32)) == []
    (chat,) = router.writer.waiting
    assert isinstance(chat, PendingChat)
    message = chat.message
    assert (chat.to, message.sender, message.recipient, message.body) == ("bob", 1, 2, "hello")


def test_a_message_to_somebody_offline_goes_to_the_store(router: RouterDouble, say: Say) -> None:
    """Like any other: it waits for them there."""
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
    """It is the account's own, and no one is notified before it is stored."""
    assert say(frame) == []
    (mark,) = router.writer.waiting
    assert isinstance(mark, PendingMark)
    assert mark.mark == Mark(1, 7, kind, 3)


@pytest.mark.parametrize(
    "conversation", ["", "7", "c", "c0", "c07", "C7", "c-1", "c7 ", "c" + "9" * 16, "a1"]
)
def test_a_position_in_what_is_no_conversation_is_ignored(
    router: RouterDouble, say: Say, conversation: str
) -> None:
    """There are no such conversations, and so no such positions."""
    assert say(frames.Received(conversation, 3)) == []
    assert say(frames.ClientRead(conversation, 3)) == []
    assert router.writer.waiting == []


def test_giving_up_goes_to_the_store(router: RouterDouble, say: Say) -> None:
    """Behind the messages that came before it."""
    say(frames.SendChat("bob", "hello", "0" * 32))
    say(frames.Skip("1" * 32))
    skip = router.writer.waiting[1]
    assert isinstance(skip, PendingSkip)
    assert (skip.session, skip.id) == (router.sessions_of(1)[0], "1" * 32)


@pytest.mark.parametrize(
    ("to", "body", "message_id", "code"),
    [
        ("nobody", "x", "0" * 32, "unknown_recipient"),
        ("../etc", "x", "0" * 32, "unknown_recipient"),
        ("alice", "x", "0" * 32, "recipient_is_self"),
        ("ALICE", "x", "0" * 32, "recipient_is_self"),
        ("bob", "", "0" * 32, "body_empty"),
        ("bob", "x" * 16385, "0" * 32, "body_too_long"),
        ("bob", "\u202e", "0" * 32, "body_characters"),
        ("bob", "x", "", "bad_id"),
        ("bob", "x", "F" * 32, "bad_id"),
        ("bob", "x", "0" * 33, "bad_id"),
    ],
)
def test_a_bad_message_is_refused(
    router: RouterDouble, say: Say, to: str, body: str, message_id: str, code: str
) -> None:
    """With the reason and the id as it was sent; nothing reaches the store."""
    (nack,) = say(frames.SendChat(to, body, message_id))
    assert isinstance(nack, frames.ChatNack)
    assert (nack.id, nack.code) == (message_id, code)
    assert router.writer.waiting == []


def test_a_status_is_acknowledged_and_shown(router: RouterDouble, say: Say) -> None:
    """Only `away` has a text."""
    assert say(frames.SetPresence("away", "lunch")) == [frames.PresenceAck("away", "lunch")]
    assert say(frames.SetPresence("online", "not shown")) == [frames.PresenceAck("online")]
    (page,) = map(codec.decode_server_frame, router.presence.pages(""))
    assert isinstance(page, frames.OnlineUsers)
    assert frames.UserPresence("alice", "online") in page.users


@pytest.mark.parametrize("text", ["x" * 201, "two\nlines", "\x1b[2J"])
def test_a_bad_status_text_changes_nothing(router: RouterDouble, say: Say, text: str) -> None:
    """Its `error` has a `ref`, which is not the end of the session."""
    say(frames.SetPresence("away", "lunch"))
    (error,) = say(frames.SetPresence("away", text))
    assert isinstance(error, frames.Error)
    assert (error.code, error.ref) == ("bad_status_text", "presence")
    (page,) = map(codec.decode_server_frame, router.presence.pages(""))
    assert isinstance(page, frames.OnlineUsers)
    assert frames.UserPresence("alice", "away", "lunch") in page.users


@pytest.mark.parametrize("typed", ["bob", "BOB", " bob "])
def test_who_has_a_name_is_told(say: Say, typed: str) -> None:
    """However the name is written; with their presence."""
    assert say(frames.WhoisRequest(typed)) == [frames.Whois("bob", known=True, status="online")]


def test_a_presence_is_told_as_everybody_sees_it(router: RouterDouble, say: Say) -> None:
    """Away with the text; an invisible user is offline like an absent one; so is your own name."""
    say(frames.SetPresence("away", "lunch"))
    assert say(frames.WhoisRequest("alice")) == [frames.Whois("alice", True, "away", "lunch")]
    say(frames.SetPresence("offline"))
    assert say(frames.WhoisRequest("alice")) == [frames.Whois("alice", True, "offline")]
    assert say(frames.WhoisRequest("dora")) == [frames.Whois("dora", True, "offline")]
    assert router.writer.waiting == []


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("nosuch", "nosuch"),
        (" NoSuch", "nosuch"),
        ("", ""),
        ("no name!", "no name!"),
        ("\u212aen", "\u212aen"),
        ("\x01" * 10_000, "\x01" * 200),
        ("x" * 60_000, "x" * 200),
    ],
)
def test_a_name_that_nobody_has_is_not_known(say: Say, asked: str, answered: str) -> None:
    """Also an invalid name, of which no more than fits into a line comes back."""
    assert say(frames.WhoisRequest(asked)) == [frames.Whois(answered, known=False)]


@pytest.mark.parametrize(("state", "known"), [(AccountState.LOCKED, True), (AccountState.DELETED, False)])
def test_a_locked_account_is_known_and_a_deleted_one_is_not(
    router: RouterDouble, say: Say, state: AccountState, known: bool
) -> None:
    """A message to a locked one waits; one to a deleted one is refused."""
    dora = router.directory.by_name("dora")
    assert dora is not None
    router.directory.update(dataclasses.replace(dora, state=state))
    (answer,) = say(frames.WhoisRequest("dora"))
    assert isinstance(answer, frames.Whois)
    assert (answer.known, answer.status) == (known, "offline" if known else None)


def test_ping_pong_and_bye(say: Say) -> None:
    """One is answered, one is not, and one is the last."""
    assert say(frames.ClientPing()) == [frames.ServerPong()]
    assert say(frames.ClientPong()) == []
    (bye,) = say(frames.ClientBye())
    assert isinstance(bye, frames.ServerBye)


def test_who_hides_can_be_written_to(router: RouterDouble, say: Say) -> None:
    """Appearing offline is not being offline."""
    session, link = router.login("dora")
    session.receive(codec.encode(frames.SetPresence("offline")))
    say(frames.SendChat("dora", "psst", "0" * 32))
    router.writer.answer(router)
    router.flush()
    assert [frame.body for frame in link.take() if isinstance(frame, frames.Chat)] == ["psst"]
    assert isinstance(link, FakeLink)
