"""The handlers of `presence` and `whois`."""

import dataclasses
from collections.abc import Callable

import pytest

from qscp import codec, frames
from qscp.frames import ServerFrame
from qscpd.domain.model import AccountState
from tests.support.doubles import RouterDouble

Say = Callable[[frames.ClientFrame], list[ServerFrame]]


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
def test_a_user_is_found_by_name(say: Say, typed: str) -> None:
    """However the name is written; with their presence."""
    assert say(frames.WhoisRequest(typed)) == [frames.Whois("bob", known=True, status="online")]


def test_whois_has_the_presence_that_others_see(router: RouterDouble, say: Say) -> None:
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
def test_an_unknown_name_is_answered(say: Say, asked: str, answered: str) -> None:
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
