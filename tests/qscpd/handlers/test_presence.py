"""The handlers of `presence` and `whois`."""

import dataclasses
from collections.abc import Callable

import pytest

from qscp import codec, frames
from qscp.frames import ServerFrame
from qscpd.domain.model import AccountState
from tests.support.doubles import RouterDouble

Say = Callable[[frames.ClientFrame], list[ServerFrame]]


def test_a_status_is_acknowledged_and_published(router: RouterDouble, say: Say) -> None:
    """A status is acknowledged and published; only `away` has a text."""
    assert say(frames.SetPresence("away", "lunch")) == [frames.PresenceAck("away", "lunch")]
    assert say(frames.SetPresence("online", "not shown")) == [frames.PresenceAck("online")]
    (page,) = map(codec.decode_server_frame, router.presence.pages(""))
    assert isinstance(page, frames.OnlineUsers)
    assert frames.UserPresence("alice", "online") in page.users


@pytest.mark.parametrize("text", ["x" * 201, "two\nlines", "\x1b[2J"])
def test_an_invalid_status_text_changes_nothing(router: RouterDouble, say: Say, text: str) -> None:
    """An invalid text gets an `error` with `ref`, and the presence stays."""
    say(frames.SetPresence("away", "lunch"))
    (error,) = say(frames.SetPresence("away", text))
    assert isinstance(error, frames.Error)
    assert (error.code, error.ref) == ("bad_status_text", "presence")
    (page,) = map(codec.decode_server_frame, router.presence.pages(""))
    assert isinstance(page, frames.OnlineUsers)
    assert frames.UserPresence("alice", "away", "lunch") in page.users


@pytest.mark.parametrize("typed", ["bob", "BOB", " bob "])
def test_a_user_is_found_by_name(say: Say, typed: str) -> None:
    """`whois` finds a user in any spelling of the name, with their presence."""
    assert say(frames.WhoisRequest(typed)) == [frames.Whois("bob", known=True, status="online")]


def test_whois_has_the_published_presence(router: RouterDouble, say: Say) -> None:
    """`whois` shows away with its text; invisible and absent users are offline, even to themselves."""
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
    """An unknown or invalid name is answered as unknown, cut to a length that fits into a line."""
    assert say(frames.WhoisRequest(asked)) == [frames.Whois(answered, known=False)]


@pytest.mark.parametrize(("state", "known"), [(AccountState.LOCKED, True), (AccountState.DELETED, False)])
def test_a_locked_account_is_known_and_a_deleted_one_is_not(
    router: RouterDouble, say: Say, state: AccountState, known: bool
) -> None:
    """`whois` knows a locked account, as offline, but not a deleted one."""
    dora = router.directory.by_name("dora")
    assert dora is not None
    router.directory.update(dataclasses.replace(dora, state=state))
    (answer,) = say(frames.WhoisRequest("dora"))
    assert isinstance(answer, frames.Whois)
    assert (answer.known, answer.status) == (known, "offline" if known else None)
