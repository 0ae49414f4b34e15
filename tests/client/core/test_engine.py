"""The rules of the line, on pure values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp import frames
from qscp_client.core import events
from qscp_client.core.changes import Added
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.engine import Ending
from qscp_client.core.events import Place
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.outbox import Failure, FailureCode
from tests.support.engine_harness import EngineHarness, ack, chat, info, person, ready, told, welcome

NOBODY = frames.Whois("nosuch", known=False)


def received(
    body: str = "hi",
    place: Place = Place.THIS_CHAT,
    *,
    sender: str = "bob",
    seq: int = 1,
    is_first: bool = False,
) -> events.MessageReceived:
    """A live message as it is shown."""
    return events.MessageReceived(sender, body, 1000 + seq, place, is_first)


# --- the beginning


@pytest.mark.parametrize("shows_at_once", [False, True])
def test_a_pipe_waits_for_what_was_missed(shows_at_once: bool) -> None:
    """It may have no line to send, and is there to read; a user at a terminal can leave at once."""
    harness = EngineHarness(shows_at_once=shows_at_once)
    harness.connect("bob")
    assert (harness.engine.ready, harness.engine.busy) == (True, shows_at_once)
    harness.receive(frames.Resumed())
    assert not harness.engine.busy


def test_the_welcome_comes_with_all_that_is_known() -> None:
    """Nothing is shown, and no line is taken, before the last page of people and of conversations."""
    harness = EngineHarness()
    harness.engine.connected(welcome())
    assert harness.receive(frames.OnlineUsers(1, [person("bob")], more=True)) == []
    assert harness.receive(frames.Conversations([], cursor="x")) == []
    assert harness.frames()[-1] == frames.ConversationsRequest("x")
    assert harness.receive(frames.OnlineUsers(1, [person("alice")])) == []
    assert not harness.engine.ready
    shown = harness.receive(frames.Conversations([]))
    assert shown == [events.Welcome("alice"), events.PickerOpened((person("bob"),))]
    assert harness.engine.ready


# --- choosing


def test_a_name_opens_the_chat() -> None:
    """Names are folded as the server folds them."""
    harness = ready("bob")
    assert harness.enter(" Bob ") == [events.ChatOpened("bob")]
    assert harness.engine.partner == "bob"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("alice", ProblemCode.OWN_NAME),
        ("hello there", ProblemCode.INVALID_NAME),
        ("caf\u00e9", ProblemCode.INVALID_NAME),
        ("@", ProblemCode.INVALID_NAME),
    ],
)
def test_who_can_not_be_chosen_gets_a_sentence(typed: str, code: ProblemCode) -> None:
    """The picker stays, and nothing is sent."""
    harness = ready("bob")
    [problem] = harness.enter(typed)
    assert isinstance(problem, Problem)
    assert problem.code is code
    assert harness.engine.partner is None
    assert harness.engine.pick_failed
    assert harness.frames() == []


@pytest.mark.parametrize(
    ("answer", "opened"),
    [
        (frames.Whois("dora", True, "offline"), events.ChatOpened("dora", "offline")),
        (frames.Whois("dora", True, "online"), events.ChatOpened("dora")),
        (frames.Whois("dora", True, "away", "lunch"), events.ChatOpened("dora", "away", "lunch")),
    ],
)
def test_the_server_is_asked_who_is_not_in_the_list(answer: frames.Whois, opened: events.Event) -> None:
    """The chat opens when it knows them, with their presence."""
    harness = ready("bob")
    assert harness.enter("Dora") == []
    assert harness.frames() == [frames.WhoisRequest("dora")]
    assert (harness.engine.partner, harness.engine.busy) == (None, True)
    assert harness.receive(answer) == [opened]
    assert (harness.engine.partner, harness.engine.busy) == ("dora", False)


def test_a_name_that_nobody_has_is_told_at_once() -> None:
    """The line stays for choosing, and a later choice makes up for it."""
    harness = ready("bob")
    harness.enter("nosuch")
    assert harness.receive(NOBODY) == [Problem(ProblemCode.UNKNOWN_USER, name="nosuch")]
    assert harness.engine.partner is None
    assert harness.engine.pick_failed
    assert not harness.engine.busy
    assert harness.enter("bob") == [events.ChatOpened("bob")]
    assert not harness.engine.pick_failed


def test_who_is_away_is_chosen_with_their_text() -> None:
    """As the list has it."""
    harness = ready()
    harness.receive(frames.PresenceChanges(2, [person("bob", "away", "lunch")]))
    assert harness.enter("bob") == [events.ChatOpened("bob", "away", "lunch")]


def test_who_has_a_conversation_is_not_asked_for() -> None:
    """We know them."""
    harness = ready()
    harness.receive(frames.Conversations([info("dora", 3, read=3)]))
    assert harness.enter("dora") == [events.ChatOpened("dora", "offline")]
    assert harness.frames() == []


def test_lines_behind_a_name_wait_for_the_answer() -> None:
    """Then they are carried out in order: messages to who was found, or names."""
    harness = ready("bob")
    assert harness.enter("dora", "one", "/say two", "back", "nosuch", "bob", "three", "quit", "lost") == []
    assert harness.frames() == [frames.WhoisRequest("dora")]
    harness.receive(frames.Whois("dora", True, "offline"))
    assert harness.frames() == [
        frames.SendChat("dora", "one", f"{1:032x}"),
        frames.SendChat("dora", "two", f"{2:032x}"),
        frames.WhoisRequest("nosuch"),
    ]
    assert not harness.engine.leaving
    harness.receive(NOBODY)
    assert harness.chats() == [("bob", "three", 3)]
    assert harness.engine.leaving


def test_without_a_connection_a_name_is_taken_as_it_is() -> None:
    """The first message will show."""
    harness = ready("bob")
    harness.engine.disconnected()
    assert harness.enter("nosuch") == [events.ChatOpened("nosuch", "offline", known=False)]
    assert harness.engine.partner == "nosuch"


def test_a_name_is_taken_as_it_is_when_the_connection_is_lost() -> None:
    """What was typed behind it is in the outbox, and the next name is not asked for either."""
    harness = ready("bob")
    harness.enter("dora", "one", "back", "eve", "two")
    harness.engine.disconnected()
    opened = [each for each in harness.engine.events_to_show() if isinstance(each, events.ChatOpened)]
    assert [each.name for each in opened] == ["dora", "eve"]
    assert (harness.engine.partner, harness.engine.pending, harness.engine.queues_lines) == ("eve", 2, False)
    harness.frames()
    harness.connect("bob")
    assert harness.chats() == [("dora", "one", 1), ("eve", "two", 2)]
    assert harness.receive(NOBODY) == []


def test_an_error_in_place_of_the_answer_opens_the_chat() -> None:
    """It is shown, and nothing waits for ever."""
    harness = ready("bob")
    harness.enter("dora", "hi")
    harness.receive(frames.Error("busy", "Not now.", ref="whois"))
    assert harness.chats() == [("dora", "hi", 1)]


def test_giving_up_keeps_what_waits_behind_a_name() -> None:
    """Nothing that was typed is lost silently."""
    harness = ready("bob")
    harness.enter("dora", "hi")
    harness.engine.show_unanswered(keeps=True)
    assert [each.entry.body for each in harness.engine.additions_to_save() if isinstance(each, Added)] == [
        "hi"
    ]
    assert isinstance(harness.engine.events_to_show()[-1], events.MessageFailed)
    assert harness.engine.pending == 1


def test_who_was_seen_and_is_offline_can_be_chosen_without_a_connection() -> None:
    """The opening says that we know them."""
    harness = ready("bob")
    harness.receive(frames.PresenceChanges(2, [person("bob", "offline")]))
    harness.engine.disconnected()
    assert harness.enter("bob") == [events.ChatOpened("bob", "offline")]


def test_a_later_choice_makes_up_for_a_failed_one() -> None:
    """`pick_failed` is about the last name."""
    harness = ready("bob")
    harness.enter("no body", "bob")
    assert not harness.engine.pick_failed


@pytest.mark.parametrize("name", ["back", "quit"])
def test_somebody_named_like_a_word_is_chosen_with_at(name: str) -> None:
    """`back` itself keeps its meaning, and says how to choose the person."""
    harness = ready("back", "quit")
    [problem] = harness.enter("back")
    assert isinstance(problem, Problem)
    assert "@back" in told([problem])[0]
    assert harness.enter(f"@{name}") == [events.ChatOpened(name)]


def test_somebody_named_like_a_command_is_just_a_name() -> None:
    """Commands begin with a slash, names never do."""
    assert ready("help", "say").enter("help") == [events.ChatOpened("help")]


# --- writing


def test_a_line_in_a_chat_is_sent() -> None:
    """Each message has its own id, and is shown as pending."""
    harness = ready("bob", chat_with="bob")
    assert harness.enter("one", "two") == [
        events.MessageSent(f"{1:032x}", "bob", "one"),
        events.MessageSent(f"{2:032x}", "bob", "two"),
    ]
    assert harness.chats() == [("bob", "one", 1), ("bob", "two", 2)]
    assert harness.engine.pending == 2


@pytest.mark.parametrize(
    ("typed", "body"), [("//x", "/x"), ("/say back", "back"), ("/say /x", "/x"), ("back!", "back!")]
)
def test_escapes_send_the_text(typed: str, body: str) -> None:
    """There is a way to send every text."""
    harness = ready("bob", chat_with="bob")
    harness.enter(typed)
    assert harness.chats() == [("bob", body, 1)]


@pytest.mark.parametrize("text", ["back", "quit", "one\nback\nquit", "/help\nx"])
def test_a_paste_is_one_message(text: str) -> None:
    """Whatever is in it."""
    harness = ready("bob", chat_with="bob")
    harness.enter(text, pasted=True)
    assert harness.chats() == [("bob", text, 1)]
    assert harness.engine.partner == "bob"
    assert not harness.engine.leaving


@pytest.mark.parametrize("typed", ["", "   ", "/nope", "/say", "/who", "/help", "/status", "/retry", "/drop"])
def test_what_is_no_message_is_not_sent(typed: str) -> None:
    """Empty lines and commands send nothing."""
    harness = ready("bob", chat_with="bob")
    harness.enter(typed)
    assert harness.frames() == []


def test_giving_up_tells_of_each_unanswered_message() -> None:
    """Nothing is lost silently at the end, and it says whether it goes out next time."""
    harness = ready("bob", chat_with="bob")
    harness.enter("one", "two")
    harness.receive(ack(1, 1))
    harness.engine.show_unanswered(keeps=True)
    [kept] = harness.engine.events_to_show()
    harness.engine.show_unanswered(keeps=False)
    [lost] = harness.engine.events_to_show()
    assert isinstance(kept, events.MessageFailed)
    assert isinstance(lost, events.MessageFailed)
    assert kept.body == lost.body == "two"
    assert kept.failure == Failure(FailureCode.UNANSWERED_KEPT)
    assert lost.failure == Failure(FailureCode.UNANSWERED)
    assert harness.engine.pending == 1


# --- reading


def test_the_partner_writes_into_this_chat() -> None:
    """No hint is needed."""
    assert ready("bob", chat_with="bob").receive(chat(1)) == [received()]


def test_somebody_else_is_marked_and_does_not_switch_the_chat() -> None:
    """The first message comes with a hint, the others do not; what is typed goes to the partner."""
    harness = ready("bob", "carol", chat_with="bob")
    first, second = harness.receive(chat(1, sender="carol"), chat(2, sender="carol"))
    assert first == received("hi", Place.OTHER_CHAT, sender="carol", is_first=True)
    assert second == received("hi", Place.OTHER_CHAT, sender="carol", seq=2)
    assert harness.engine.unread == {"carol": 2}
    harness.enter("for bob")
    assert harness.chats() == [("bob", "for bob", 1)]


def test_a_message_in_the_picker_chooses_nobody() -> None:
    """It is announced; when its sender is chosen it stands in the chat, and is unread no more."""
    harness = ready("bob")
    assert harness.receive(chat(1)) == [received("hi", Place.PICKER, is_first=True)]
    assert harness.engine.partner is None
    assert harness.enter("bob") == [events.ChatOpened("bob"), received()]
    assert harness.engine.unread == {}


# --- coming and going


def test_the_chat_says_when_the_partner_leaves_and_returns() -> None:
    """And the chat stays open."""
    harness = ready("bob", chat_with="bob")
    gone = harness.receive(frames.PresenceChanges(2, [person("bob", "offline")]))
    back = harness.receive(frames.PresenceChanges(3, [person("bob")]))
    assert gone == [events.PresenceChanged(person("bob", "offline"), was_online=True, is_partner=True)]
    assert back == [events.PresenceChanged(person("bob"), was_online=False, is_partner=True)]
    assert harness.engine.partner == "bob"


def test_others_come_and_go_silently_during_a_chat() -> None:
    """The list knows of them."""
    harness = ready("bob", chat_with="bob")
    assert harness.receive(frames.PresenceChanges(2, [person("carol")])) == []
    assert harness.enter("/who") == [events.WhoAsked((person("bob"), person("carol")))]


def test_the_picker_tells_of_everybody() -> None:
    """But never of yourself."""
    harness = ready("bob")
    shown = harness.receive(frames.PresenceChanges(2, [person("carol"), person("alice", "away")]))
    assert shown == [events.PresenceChanged(person("carol"), was_online=False, is_partner=False)]


def test_a_later_snapshot_is_told_as_changes() -> None:
    """No second welcome."""
    harness = ready("bob", chat_with="bob")
    shown = harness.receive(frames.OnlineUsers(9, []))
    assert shown == [events.PresenceChanged(person("bob", "offline"), was_online=True, is_partner=True)]


# --- the server


def test_a_ping_is_answered() -> None:
    """Without a line."""
    harness = ready()
    assert harness.receive(frames.ServerPing()) == []
    assert harness.frames() == [frames.ClientPong()]


def test_an_error_about_something_else_is_a_notice() -> None:
    """The session goes on."""
    harness = ready("bob")
    refusal = frames.Error("bad_status_text", "Too long.", ref="presence")
    assert harness.receive(refusal) == [
        Notice(NoticeCode.SERVER_ERROR, error="bad_status_text", text="Too long.")
    ]
    assert harness.engine.ending is None


@pytest.mark.parametrize(
    ("frame", "ending"),
    [
        (
            frames.ServerBye("shutdown", "Stopping.", reconnect=True),
            Ending("shutdown", "Stopping.", reconnect=True),
        ),
        (frames.ServerBye("replaced", "Replaced."), Ending("replaced", "Replaced.")),
        (frames.Error("bad_field", "Wrong."), Ending("bad_field", "Wrong.")),
    ],
)
def test_the_server_ends_the_session(frame: frames.ServerFrame, ending: Ending) -> None:
    """The reason is kept for the last sentence."""
    harness = ready()
    harness.receive(frame)
    assert harness.engine.ending == ending


@given(
    text=st.one_of(st.text(), st.text(max_size=6).map(lambda rest: f"/{rest}")),
    pasted=st.booleans(),
    chatting=st.booleans(),
)
def test_a_line_sends_at_most_one_message_or_acts(text: str, pasted: bool, chatting: bool) -> None:
    """No typed line both sends and does something else, and what is sent goes to the partner."""
    harness = ready("bob", "a", chat_with="bob" if chatting else None)
    before = harness.engine.partner
    harness.engine.enter(TypedLine(text, pasted))
    sent = harness.frames()
    shown = harness.engine.events_to_show()
    assert len(sent) <= 1
    assert len(shown) <= 1
    for frame in sent:
        if isinstance(frame, frames.SearchRequest):
            continue
        if isinstance(frame, frames.WhoisRequest):
            assert before is harness.engine.partner is None
            assert shown == []
            continue
        assert isinstance(frame, frames.SendChat)
        assert frame.to == before == harness.engine.partner == "bob"
        assert shown == [events.MessageSent(frame.id, "bob", frame.body)]
        assert not harness.engine.leaving
        assert pasted or not text.startswith("/") or text.startswith(("//", "/say"))
