"""Your own presence: hidden from the login on, over reconnects, and in what this device reports."""

from qscp import frames
from qscp.features import LOGIN_PRESENCE, TYPING
from qscp_client.core.changes import Hidden, Saved, SavedPosition
from tests.support.engine_harness import EngineHarness, chat, info, shown_texts, welcome

HIDDEN = (
    "You appear offline to others, also at the next start. Messages reach you, but their senders see "
    "\u2713\u2713 delivered only after /here."
)


def connected(
    *, hidden: bool = False, features: tuple[str, ...] = (LOGIN_PRESENCE,), saved: Saved | None = None
) -> EngineHarness:
    """Return alice's engine after the login, in the chat with bob."""
    harness = EngineHarness(saved, hidden=hidden, features=features, sends_typing=True)
    harness.connect("bob", infos=[info("bob", 0)])
    harness.receive(frames.Resumed())
    harness.enter("bob")
    harness.engine.changes_to_save()
    return harness


def presence(harness: EngineHarness) -> list[frames.ClientFrame]:
    """Return the presence to send now."""
    return [each for each in harness.frames() if isinstance(each, frames.SetPresence)]


def test_hiding_is_shown_sent_and_saved_once() -> None:
    """/hide and /here are sent at once, and the device remembers them."""
    harness = connected()
    assert shown_texts(harness.enter("/hide")) == [HIDDEN]
    assert presence(harness) == [frames.SetPresence("offline")]
    harness.enter("/hide")
    assert harness.engine.changes_to_save() == [Hidden(hidden=True)]
    assert harness.engine.presence.status == "offline"
    assert shown_texts(harness.enter("/here")) == ["You no longer appear offline."]
    assert presence(harness)[-1] == frames.SetPresence("online")
    assert harness.engine.changes_to_save() == [Hidden(hidden=False)]


def test_a_hidden_login_sends_no_presence() -> None:
    """What the login has set is not sent again; it is shown at the start, and carried by each later login."""
    harness = EngineHarness(hidden=True, features=(LOGIN_PRESENCE,))
    assert HIDDEN in shown_texts(harness.connect("bob"))
    assert presence(harness) == []
    for _ in range(2):
        harness.engine.disconnected()
        assert harness.engine.presence.for_login() == frames.SetPresence("offline")
        assert HIDDEN not in shown_texts(harness.connect("bob"))
        assert presence(harness) == []


def test_what_is_typed_during_a_login_is_sent_after_it() -> None:
    """/hide, /away or /here without a connection is carried by the login, or sent after it."""
    harness = connected()
    harness.engine.disconnected()
    harness.enter("/away lunch")
    assert harness.engine.presence.for_login() == frames.SetPresence("away", "lunch")
    harness.enter("/hide")
    harness.connect("bob")
    assert presence(harness) == [frames.SetPresence("offline")]
    harness.engine.disconnected()
    harness.engine.presence.for_login()
    harness.enter("/here")
    harness.connect("bob")
    assert presence(harness) == [frames.SetPresence("online")]


def test_an_older_server_gets_the_presence_after_the_login() -> None:
    """A server that can't hide a login gets the presence after it, and the user learns of the moment."""
    harness = EngineHarness(hidden=True)
    shown = shown_texts(harness.connect("bob"))
    assert "This server is too old to hide a login: others saw you online for a moment." in shown
    assert presence(harness) == [frames.SetPresence("offline")]


def test_another_device_can_hide_you() -> None:
    """The user learns that they appear offline because of another device: once, and when they ask."""
    elsewhere = "You appear offline: another of your devices hides you. /here on that device ends it."
    harness = connected()
    for _ in range(2):
        shown = harness.receive(frames.PresenceAck("online", hidden=True))
        assert shown_texts(shown) == [elsewhere]
    assert harness.receive(frames.PresenceAck("away")) == []
    for shows in (True, False):
        harness.engine.disconnected()
        ack = welcome(features=[LOGIN_PRESENCE])
        ack.hidden = True
        harness.engine.events_to_show()
        harness.engine.connected(ack)
        assert (elsewhere in shown_texts(harness.engine.events_to_show())) is shows


def test_nothing_is_reported_as_received_while_hidden() -> None:
    """`received` waits for /here or /away; `read` does not, because your other devices need it."""
    harness = connected(hidden=True)
    harness.receive(chat(1), chat(2))
    assert harness.wait(1) == [frames.ClientRead("c-bob", 2)]
    harness.enter("/here")
    assert harness.wait(1) == [frames.Received("c-bob", 2)]
    harness.enter("/hide")
    harness.receive(chat(3))
    assert frames.Received("c-bob", 3) not in harness.wait(1)
    harness.enter("/away")
    assert harness.wait(1) == [frames.Received("c-bob", 3)]


def test_what_was_received_while_hidden_is_reported_by_a_later_run() -> None:
    """A later run that is visible reports what an earlier one withheld."""
    saved = Saved("e1", "a1", (SavedPosition("c-bob", "bob", 5, reported=3),))
    assert frames.Received("c-bob", 5) not in connected(hidden=True, saved=saved).wait(1)
    assert frames.Received("c-bob", 5) in connected(saved=saved).wait(1)


def test_no_typing_indicator_is_sent_while_hidden() -> None:
    """A hidden user sends no typing indicator, also if they hide in the middle of a line."""
    harness = connected(features=(LOGIN_PRESENCE, TYPING))
    typing = harness.engine.typing
    typing.edit_line("bob", "hel")
    harness.enter("/hide")
    assert frames.SetTyping("bob") not in harness.wait(0.1)
    typing.edit_line("bob", "hello")
    assert frames.SetTyping("bob") not in harness.wait(10)
    harness.enter("/here")
    typing.edit_line("bob", "hello")
    assert frames.SetTyping("bob") in harness.wait(0.1)
