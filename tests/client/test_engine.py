"""The rules of the conversation, on pure values."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp import frames
from qscp_client import events
from qscp_client.commands import TypedLine
from qscp_client.engine import Ending, Engine
from qscp_client.events import Place

CHOOSE_FIRST = "Nothing was sent: choose somebody by their name before you write."


def person(name: str, status: frames.Status = "online", text: str = "") -> frames.UserPresence:
    """Somebody's presence."""
    return frames.UserPresence(name, status, text)


def make_engine(*online: str, chat_with: str | None = None) -> Engine:
    """Alice's engine after the welcome, in the picker or in a chat."""
    numbers = itertools.count(1)
    engine = Engine("alice", lambda: f"{next(numbers):032x}")
    engine.receive(frames.OnlineUsers(1, [person(name) for name in online]))
    if chat_with:
        engine.enter(TypedLine(chat_with))
    engine.events_to_show()
    return engine


def enter(engine: Engine, text: str, *, pasted: bool = False) -> list[events.Event]:
    """Enter a line and return what is shown."""
    engine.enter(TypedLine(text, pasted))
    return engine.events_to_show()


def receive(engine: Engine, frame: frames.ServerFrame) -> list[events.Event]:
    """Receive a frame and return what is shown."""
    engine.receive(frame)
    return engine.events_to_show()


def message(sender: str, body: str = "hi") -> frames.Chat:
    """A message to alice."""
    return frames.Chat(conversation="c1", seq=1, id="f" * 32, sender=sender, to="alice", body=body, time=1000)


def bodies(engine: Engine) -> list[tuple[str, str]]:
    """What would be sent now: recipient and text."""
    return [(each.to, each.body) for each in engine.frames_to_send() if isinstance(each, frames.SendChat)]


# --- the beginning


def test_the_welcome_comes_with_the_whole_list() -> None:
    """Nothing is shown, and no line is taken, before the last page."""
    engine = Engine("alice", str)
    assert receive(engine, frames.OnlineUsers(1, [person("bob")], more=True)) == []
    assert not engine.ready
    shown = receive(engine, frames.OnlineUsers(1, [person("alice")]))
    assert shown == [events.Welcome("alice"), events.PickerOpened((person("bob"),))]
    assert engine.ready


# --- choosing


def test_a_name_opens_the_chat() -> None:
    """Names are folded as the server folds them."""
    engine = make_engine("bob")
    assert enter(engine, " Bob ") == [events.ChatOpened("bob")]
    assert engine.partner == "bob"


@pytest.mark.parametrize(
    ("typed", "part"),
    [
        ("nobody", "Nobody named nobody is online"),
        ("alice", "your own name"),
        ("hello there", "not a valid name"),
        ("caf\u00e9", "not a valid name"),
        ("@", "not a valid name"),
    ],
)
def test_who_can_not_be_chosen_gets_a_sentence(typed: str, part: str) -> None:
    """The picker stays, and nothing is sent."""
    engine = make_engine("bob")
    [problem] = enter(engine, typed)
    assert isinstance(problem, events.Problem)
    assert part in problem.sentence
    assert engine.partner is None
    assert engine.choice_failed
    assert engine.frames_to_send() == []


def test_somebody_who_left_is_called_offline() -> None:
    """A name seen in this session is not called unknown."""
    engine = make_engine("bob")
    receive(engine, frames.PresenceChanges(2, [person("bob", "offline")]))
    [problem] = enter(engine, "bob")
    assert problem == events.Problem("bob is offline. Choose somebody who is online (/who).")


def test_a_later_choice_makes_up_for_a_failed_one() -> None:
    """`choice_failed` is about the last name."""
    engine = make_engine("bob")
    enter(engine, "nobody")
    enter(engine, "bob")
    assert not engine.choice_failed


@pytest.mark.parametrize("name", ["back", "quit"])
def test_somebody_named_like_a_word_is_chosen_with_at(name: str) -> None:
    """`back` itself keeps its meaning, and says how to choose the person."""
    engine = make_engine("back", "quit")
    [problem] = enter(engine, "back")
    assert isinstance(problem, events.Problem)
    assert "@back" in problem.sentence
    assert enter(engine, f"@{name}") == [events.ChatOpened(name)]


def test_somebody_named_like_a_command_is_just_a_name() -> None:
    """Commands begin with a slash, names never do."""
    engine = make_engine("help", "say")
    assert enter(engine, "help") == [events.ChatOpened("help")]


# --- writing


def test_a_line_in_a_chat_is_sent() -> None:
    """Each message has its own id, and is shown as on its way."""
    engine = make_engine("bob", chat_with="bob")
    assert enter(engine, "one") == [events.MessageSent("bob", "one")]
    enter(engine, "two")
    sent = engine.frames_to_send()
    assert sent == [
        frames.SendChat("bob", "one", f"{1:032x}"),
        frames.SendChat("bob", "two", f"{2:032x}"),
    ]
    assert engine.pending == 2


@pytest.mark.parametrize(
    ("typed", "body"), [("//x", "/x"), ("/say back", "back"), ("/say /x", "/x"), ("back!", "back!")]
)
def test_escapes_send_the_text(typed: str, body: str) -> None:
    """There is a way to send every text."""
    engine = make_engine("bob", chat_with="bob")
    enter(engine, typed)
    assert bodies(engine) == [("bob", body)]


@pytest.mark.parametrize("text", ["back", "quit", "one\nback\nquit", "/help\nx"])
def test_a_paste_is_one_message(text: str) -> None:
    """Whatever is in it."""
    engine = make_engine("bob", chat_with="bob")
    enter(engine, text, pasted=True)
    assert bodies(engine) == [("bob", text)]
    assert engine.partner == "bob"
    assert not engine.leaving


@pytest.mark.parametrize("typed", ["", "   ", "/nope", "/say", "/who", "/help"])
def test_what_is_no_message_is_not_sent(typed: str) -> None:
    """Empty lines and commands send nothing."""
    engine = make_engine("bob", chat_with="bob")
    enter(engine, typed)
    assert engine.frames_to_send() == []


@pytest.mark.parametrize("typed", ["//x", "/say hi"])
def test_a_message_without_a_chat_is_refused(typed: str) -> None:
    """And counts as not delivered."""
    engine = make_engine("bob")
    assert enter(engine, typed) == [events.Problem(CHOOSE_FIRST)]
    assert engine.failed == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [("x" * 16385, "longer than 16 KiB"), ("a\x1b[2Jb", "control characters"), ("a\udcffb", "not UTF-8")],
)
def test_what_the_server_would_refuse_is_not_sent(body: str, reason: str) -> None:
    """The text is told with the reason, so that it is not lost."""
    engine = make_engine("bob", chat_with="bob")
    [failure] = enter(engine, body)
    assert isinstance(failure, events.MessageFailed)
    assert (failure.to, failure.body) == ("bob", body)
    assert reason in failure.reason
    assert engine.frames_to_send() == []


def test_an_ack_settles_quietly() -> None:
    """A stored message needs no line."""
    engine = make_engine("bob", chat_with="bob")
    enter(engine, "hi")
    assert receive(engine, frames.ChatAck(f"{1:032x}", "c1", 1, 0)) == []
    assert engine.pending == 0
    assert engine.failed == 0


@pytest.mark.parametrize(
    "refusal",
    [
        frames.ChatNack(f"{1:032x}", "recipient_offline", "That person is offline."),
        frames.Error("bad_id", "That person is offline.", ref=f"{1:032x}"),
    ],
)
def test_a_refused_message_is_told_with_its_text(refusal: frames.ServerFrame) -> None:
    """Also when the chat is with somebody else by then."""
    engine = make_engine("bob", "carol", chat_with="bob")
    enter(engine, "hi")
    enter(engine, "back")
    enter(engine, "carol")
    assert receive(engine, refusal) == [events.MessageFailed("bob", "hi", "That person is offline.")]
    assert (engine.pending, engine.failed) == (0, 1)


def test_an_error_about_something_else_is_a_notice() -> None:
    """The session goes on."""
    engine = make_engine("bob")
    refusal = frames.Error("bad_status_text", "Too long.", ref="presence")
    assert receive(engine, refusal) == [events.Notice("Too long.")]
    assert engine.ending is None


def test_giving_up_tells_of_each_unanswered_message() -> None:
    """Nothing is lost silently at the end."""
    engine = make_engine("bob", chat_with="bob")
    enter(engine, "one")
    enter(engine, "two")
    receive(engine, frames.ChatAck(f"{1:032x}", "c1", 1, 0))
    engine.give_up("no answer")
    assert engine.events_to_show() == [events.MessageFailed("bob", "two", "no answer")]
    assert (engine.pending, engine.failed) == (0, 1)


# --- reading


def test_the_partner_writes_into_this_chat() -> None:
    """No hint is needed."""
    engine = make_engine("bob", chat_with="bob")
    assert receive(engine, message("bob")) == [
        events.MessageReceived("bob", "hi", 1000, Place.THIS_CHAT, is_first=False)
    ]


def test_somebody_else_is_marked_and_does_not_switch_the_chat() -> None:
    """The first message comes with a hint, the others do not; what is typed goes to the partner."""
    engine = make_engine("bob", "carol", chat_with="bob")
    first, second = receive(engine, message("carol")) + receive(engine, message("carol"))
    assert first == events.MessageReceived("carol", "hi", 1000, Place.OTHER_CHAT, is_first=True)
    assert second == events.MessageReceived("carol", "hi", 1000, Place.OTHER_CHAT, is_first=False)
    assert engine.waiting["carol"] == 2
    enter(engine, "for bob")
    assert bodies(engine) == [("bob", "for bob")]


def test_a_message_in_the_picker_chooses_nobody() -> None:
    """It only waits, until its sender is chosen."""
    engine = make_engine("bob")
    assert receive(engine, message("bob")) == [
        events.MessageReceived("bob", "hi", 1000, Place.PICKER, is_first=True)
    ]
    assert engine.partner is None
    enter(engine, "bob")
    assert not engine.waiting


# --- coming and going


def test_the_chat_says_when_the_partner_leaves_and_returns() -> None:
    """And the chat stays open, with honest refusals by the server."""
    engine = make_engine("bob", chat_with="bob")
    gone = receive(engine, frames.PresenceChanges(2, [person("bob", "offline")]))
    back = receive(engine, frames.PresenceChanges(3, [person("bob")]))
    assert gone == [events.PresenceChanged(person("bob", "offline"), was_online=True, is_partner=True)]
    assert back == [events.PresenceChanged(person("bob"), was_online=False, is_partner=True)]
    assert engine.partner == "bob"


def test_others_come_and_go_silently_during_a_chat() -> None:
    """The list knows of them."""
    engine = make_engine("bob", chat_with="bob")
    assert receive(engine, frames.PresenceChanges(2, [person("carol")])) == []
    assert enter(engine, "/who") == [events.WhoAsked((person("bob"), person("carol")))]


def test_the_picker_tells_of_everybody() -> None:
    """But never of yourself."""
    engine = make_engine("bob")
    shown = receive(engine, frames.PresenceChanges(2, [person("carol"), person("alice", "away")]))
    assert shown == [events.PresenceChanged(person("carol"), was_online=False, is_partner=False)]


def test_a_later_snapshot_is_told_as_changes() -> None:
    """No second welcome."""
    engine = make_engine("bob", chat_with="bob")
    shown = receive(engine, frames.OnlineUsers(9, []))
    assert shown == [events.PresenceChanged(person("bob", "offline"), was_online=True, is_partner=True)]


# --- leaving


@pytest.mark.parametrize("typed", ["back", "/back"])
def test_back_opens_the_picker(typed: str) -> None:
    """With the list as it is now."""
    engine = make_engine("bob", chat_with="bob")
    assert enter(engine, typed) == [events.PickerOpened((person("bob"),))]
    assert engine.partner is None


@pytest.mark.parametrize("typed", ["quit", "/quit"])
@pytest.mark.parametrize("partner", [None, "bob"])
def test_quit_leaves_from_everywhere(typed: str, partner: str | None) -> None:
    """The bye waits until it is said."""
    engine = make_engine("bob", chat_with=partner)
    enter(engine, typed)
    assert engine.leaving
    assert engine.frames_to_send() == []
    engine.say_bye()
    assert engine.frames_to_send() == [frames.ClientBye()]


def test_help_is_shown() -> None:
    """`/help` is an event of its own."""
    assert enter(make_engine(), "/help") == [events.HelpAsked()]


# --- the server


def test_a_ping_is_answered() -> None:
    """Without a line."""
    engine = make_engine()
    assert receive(engine, frames.ServerPing()) == []
    assert engine.frames_to_send() == [frames.ClientPong()]


@pytest.mark.parametrize(
    ("frame", "ending"),
    [
        (frames.ServerBye("shutdown", "Stopping."), Ending("shutdown", "Stopping.")),
        (frames.Error("bad_field", "Wrong."), Ending("bad_field", "Wrong.")),
    ],
)
def test_the_server_ends_the_session(frame: frames.ServerFrame, ending: Ending) -> None:
    """The reason is kept for the last sentence."""
    engine = make_engine()
    receive(engine, frame)
    assert engine.ending == ending


@given(
    text=st.one_of(st.text(), st.text(max_size=6).map(lambda rest: f"/{rest}")),
    pasted=st.booleans(),
    chatting=st.booleans(),
)
def test_a_line_sends_at_most_one_message_or_acts(text: str, pasted: bool, chatting: bool) -> None:
    """No typed line both sends and does something else, and what is sent goes to the partner."""
    engine = make_engine("bob", "a", chat_with="bob" if chatting else None)
    before = engine.partner
    engine.enter(TypedLine(text, pasted))
    sent = engine.frames_to_send()
    shown = engine.events_to_show()
    assert len(sent) <= 1
    assert len(shown) <= 1
    for frame in sent:
        assert isinstance(frame, frames.SendChat)
        assert frame.to == before == engine.partner == "bob"
        assert shown == [events.MessageSent("bob", frame.body)]
        assert not engine.leaving
        assert pasted or not text.startswith("/") or text.startswith(("//", "/say"))
