"""The engine's rules for typed lines and received frames, without I/O."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp import frames
from qscp_client.core import events
from qscp_client.core.changes import Added
from qscp_client.core.chat_state import TypedLine
from qscp_client.core.events import Place
from qscp_client.core.notices import Notice, NoticeCode, Problem, ProblemCode
from qscp_client.core.outbox import Failure, FailureCode
from tests.support.engine_harness import EngineHarness, ack, chat, info, ready, shown_texts, user, welcome

UNKNOWN = frames.Whois("nosuch", known=False)


def received(
    body: str = "hi",
    place: Place = Place.THIS_CHAT,
    *,
    sender: str = "bob",
    seq: int = 1,
    is_first: bool = False,
) -> events.MessageReceived:
    """Return a live message as it is shown."""
    return events.MessageReceived(sender, body, 1000 + seq, place, is_first)


# --- login


@pytest.mark.parametrize("shows_at_once", [False, True])
def test_a_pipe_waits_for_what_was_missed(shows_at_once: bool) -> None:
    """A pipe is busy until the replay has ended; a terminal can be left at once."""
    harness = EngineHarness(shows_at_once=shows_at_once)
    harness.connect("bob")
    assert (harness.engine.ready, harness.engine.busy) == (True, shows_at_once)
    harness.receive(frames.Resumed())
    assert not harness.engine.busy


def test_the_welcome_waits_for_the_last_pages() -> None:
    """The welcome waits for the last pages of users and conversations."""
    harness = EngineHarness()
    harness.engine.connected(welcome())
    assert harness.receive(frames.OnlineUsers(1, [user("bob")], more=True)) == []
    assert harness.receive(frames.Conversations([], cursor="x")) == []
    assert harness.frames()[-1] == frames.ConversationsRequest("x")
    assert harness.receive(frames.OnlineUsers(1, [user("alice")])) == []
    assert not harness.engine.ready
    shown = harness.receive(frames.Conversations([]))
    assert shown == [events.Welcome("alice"), events.PickerOpened((user("bob"),))]
    assert harness.engine.ready


# --- picker


def test_a_name_opens_the_chat() -> None:
    """A name is folded as the server does it, and opens the chat."""
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
def test_an_invalid_choice_is_a_problem(typed: str, code: ProblemCode) -> None:
    """An invalid name, or your own, shows a problem; the picker stays and nothing is sent."""
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
def test_an_unlisted_name_is_looked_up(answer: frames.Whois, opened: events.Event) -> None:
    """An unlisted name is looked up; the chat opens with the user's presence."""
    harness = ready("bob")
    assert harness.enter("Dora") == []
    assert harness.frames() == [frames.WhoisRequest("dora")]
    assert (harness.engine.partner, harness.engine.busy) == (None, True)
    assert harness.receive(answer) == [opened]
    assert (harness.engine.partner, harness.engine.busy) == ("dora", False)


def test_an_unknown_name_is_a_problem() -> None:
    """An unknown name shows a problem and keeps the picker; a later choice clears the failure."""
    harness = ready("bob")
    harness.enter("nosuch")
    assert harness.receive(UNKNOWN) == [Problem(ProblemCode.UNKNOWN_USER, name="nosuch")]
    assert harness.engine.partner is None
    assert harness.engine.pick_failed
    assert not harness.engine.busy
    assert harness.enter("bob") == [events.ChatOpened("bob")]
    assert not harness.engine.pick_failed


def test_an_away_user_opens_with_the_status_text() -> None:
    """A chat with a user who is away opens with the status text."""
    harness = ready()
    harness.receive(frames.PresenceChanges(2, [user("bob", "away", "lunch")]))
    assert harness.enter("bob") == [events.ChatOpened("bob", "away", "lunch")]


def test_a_user_with_a_conversation_is_not_looked_up() -> None:
    """A user with a conversation is known, so no `whois` is sent."""
    harness = ready()
    harness.receive(frames.Conversations([info("dora", 3, read=3)]))
    assert harness.enter("dora") == [events.ChatOpened("dora", "offline")]
    assert harness.frames() == []


def test_lines_wait_for_the_answer_to_whois() -> None:
    """Lines typed after a name wait for the answer, and are then carried out in order."""
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
    harness.receive(UNKNOWN)
    assert harness.chats() == [("bob", "three", 3)]
    assert harness.engine.leaving


def test_a_name_is_accepted_offline() -> None:
    """Offline, a name opens a chat without a look-up."""
    harness = ready("bob")
    harness.engine.disconnected()
    assert harness.enter("nosuch") == [events.ChatOpened("nosuch", "offline", known=False)]
    assert harness.engine.partner == "nosuch"


def test_a_lost_look_up_opens_the_chat() -> None:
    """If the connection is lost during a look-up, chats open and lines go to the outbox."""
    harness = ready("bob")
    harness.enter("dora", "one", "back", "eve", "two")
    harness.engine.disconnected()
    opened = [each for each in harness.engine.events_to_show() if isinstance(each, events.ChatOpened)]
    assert [each.name for each in opened] == ["dora", "eve"]
    assert (harness.engine.partner, harness.engine.pending, harness.engine.queues_lines) == ("eve", 2, False)
    harness.frames()
    harness.connect("bob")
    assert harness.chats() == [("dora", "one", 1), ("eve", "two", 2)]
    assert harness.receive(UNKNOWN) == []


def test_an_error_in_place_of_the_answer_opens_the_chat() -> None:
    """An error in reply to `whois` opens the chat and sends the lines that waited."""
    harness = ready("bob")
    harness.enter("dora", "hi")
    harness.receive(frames.Error("busy", "Not now.", ref="whois"))
    assert harness.chats() == [("dora", "hi", 1)]


def test_ending_keeps_lines_that_wait_for_whois() -> None:
    """At the end, lines that wait for `whois` are saved and reported."""
    harness = ready("bob")
    harness.enter("dora", "hi")
    harness.engine.show_unanswered(keeps=True)
    assert [each.entry.body for each in harness.engine.additions_to_save() if isinstance(each, Added)] == [
        "hi"
    ]
    assert isinstance(harness.engine.events_to_show()[-1], events.MessageFailed)
    assert harness.engine.pending == 1


def test_a_seen_user_is_known_offline() -> None:
    """Offline, a user who was seen before opens as known."""
    harness = ready("bob")
    harness.receive(frames.PresenceChanges(2, [user("bob", "offline")]))
    harness.engine.disconnected()
    assert harness.enter("bob") == [events.ChatOpened("bob", "offline")]


def test_a_later_choice_clears_a_failed_one() -> None:
    """`pick_failed` is about the last name only."""
    harness = ready("bob")
    harness.enter("no body", "bob")
    assert not harness.engine.pick_failed


@pytest.mark.parametrize("name", ["back", "quit"])
def test_a_user_named_like_a_word_is_chosen_with_at(name: str) -> None:
    """`back` stays a command and hints at `@back`, which opens the chat."""
    harness = ready("back", "quit")
    [problem] = harness.enter("back")
    assert isinstance(problem, Problem)
    assert "@back" in shown_texts([problem])[0]
    assert harness.enter(f"@{name}") == [events.ChatOpened(name)]


def test_a_user_named_like_a_command_is_a_name() -> None:
    """A command's name without a slash is a user name."""
    assert ready("help", "say").enter("help") == [events.ChatOpened("help")]


# --- sending


def test_a_line_in_a_chat_is_sent() -> None:
    """Each line is a message with its own id, and is shown as pending."""
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
    """`//` and `/say` send text that would otherwise be a command."""
    harness = ready("bob", chat_with="bob")
    harness.enter(typed)
    assert harness.chats() == [("bob", body, 1)]


@pytest.mark.parametrize("text", ["back", "quit", "one\nback\nquit", "/help\nx"])
def test_a_paste_is_one_message(text: str) -> None:
    """A paste is one message, whatever lines are in it."""
    harness = ready("bob", chat_with="bob")
    harness.enter(text, pasted=True)
    assert harness.chats() == [("bob", text, 1)]
    assert harness.engine.partner == "bob"
    assert not harness.engine.leaving


@pytest.mark.parametrize("typed", ["", "   ", "/nope", "/say", "/who", "/help", "/status", "/retry", "/drop"])
def test_blank_lines_and_commands_are_not_sent(typed: str) -> None:
    """Blank lines, and commands that need no server, send nothing."""
    harness = ready("bob", chat_with="bob")
    harness.enter(typed)
    assert harness.frames() == []


def test_ending_shows_each_unanswered_message() -> None:
    """At the end, each unanswered message is shown, and whether it was kept."""
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


# --- receiving


def test_the_partner_writes_into_this_chat() -> None:
    """A message of the partner is shown without a hint."""
    assert ready("bob", chat_with="bob").receive(chat(1)) == [received()]


def test_a_message_from_elsewhere_keeps_the_chat() -> None:
    """A message of another user is marked, with a hint once; the open chat stays."""
    harness = ready("bob", "carol", chat_with="bob")
    first, second = harness.receive(chat(1, sender="carol"), chat(2, sender="carol"))
    assert first == received("hi", Place.OTHER_CHAT, sender="carol", is_first=True)
    assert second == received("hi", Place.OTHER_CHAT, sender="carol", seq=2)
    assert harness.engine.unread == {"carol": 2}
    harness.enter("for bob")
    assert harness.chats() == [("bob", "for bob", 1)]


def test_a_message_in_the_picker_opens_no_chat() -> None:
    """A message in the picker opens no chat; opening it shows the message and reads it."""
    harness = ready("bob")
    assert harness.receive(chat(1)) == [received("hi", Place.PICKER, is_first=True)]
    assert harness.engine.partner is None
    assert harness.enter("bob") == [events.ChatOpened("bob"), received()]
    assert harness.engine.unread == {}


# --- presence


def test_the_chat_says_when_the_partner_leaves_and_returns() -> None:
    """The partner's presence changes are shown, and the chat stays open."""
    harness = ready("bob", chat_with="bob")
    gone = harness.receive(frames.PresenceChanges(2, [user("bob", "offline")]))
    back = harness.receive(frames.PresenceChanges(3, [user("bob")]))
    assert gone == [events.PresenceChanged(user("bob", "offline"), was_online=True, is_partner=True)]
    assert back == [events.PresenceChanged(user("bob"), was_online=False, is_partner=True)]
    assert harness.engine.partner == "bob"


def test_others_come_and_go_silently_during_a_chat() -> None:
    """In a chat, presence changes of other users update the list without a line."""
    harness = ready("bob", chat_with="bob")
    assert harness.receive(frames.PresenceChanges(2, [user("carol")])) == []
    assert harness.enter("/who") == [events.WhoAsked((user("bob"), user("carol")))]


def test_the_picker_shows_presence_changes() -> None:
    """In the picker, presence changes are shown for all users but yourself."""
    harness = ready("bob")
    shown = harness.receive(frames.PresenceChanges(2, [user("carol"), user("alice", "away")]))
    assert shown == [events.PresenceChanged(user("carol"), was_online=False, is_partner=False)]


def test_a_later_snapshot_is_shown_as_changes() -> None:
    """A later snapshot is shown as presence changes, without a second welcome."""
    harness = ready("bob", chat_with="bob")
    shown = harness.receive(frames.OnlineUsers(9, []))
    assert shown == [events.PresenceChanged(user("bob", "offline"), was_online=True, is_partner=True)]


# --- the server


def test_a_ping_is_answered() -> None:
    """A ping is answered with a pong, and nothing is shown."""
    harness = ready()
    assert harness.receive(frames.ServerPing()) == []
    assert harness.frames() == [frames.ClientPong()]


def test_an_error_with_a_ref_is_a_notice() -> None:
    """An error that refers to a frame is shown as a notice; the session goes on."""
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
            events.Ending("shutdown", "Stopping.", reconnect=True),
        ),
        (frames.ServerBye("replaced", "Replaced."), events.Ending("replaced", "Replaced.")),
        (frames.Error("bad_field", "Wrong."), events.Ending("bad_field", "Wrong.")),
    ],
)
def test_the_server_ends_the_session(frame: frames.ServerFrame, ending: events.Ending) -> None:
    """`bye`, or an error without `ref`, ends the session and keeps the reason."""
    harness = ready()
    harness.receive(frame)
    assert harness.engine.ending == ending


@given(
    text=st.one_of(st.text(), st.text(max_size=6).map(lambda rest: f"/{rest}")),
    pasted=st.booleans(),
    chatting=st.booleans(),
)
def test_a_line_sends_at_most_one_message_or_acts(text: str, pasted: bool, chatting: bool) -> None:
    """A line either sends one message to the partner or acts, and never both."""
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
