"""A conversation as a whole: its parts change together."""

import itertools

from qscp import frames
from qscp_client.core.changes import SavedPosition
from qscp_client.core.conversation import Conversation
from qscp_client.core.conversations import Conversations
from qscp_client.core.messages import Missing
from qscp_client.core.outbox import EntryKind
from tests.support.engine_harness import info
from tests.support.items import amendment, message


def conversation(name: str = "bob", *, applied: int | None = None) -> Conversation:
    """Return a conversation of alice's."""
    saved = None if applied is None else SavedPosition(f"c-{name}", name, applied, applied)
    return Conversation("alice", f"c-{name}", name, saved)


def test_a_saved_position_is_applied_and_reported() -> None:
    """A saved position counts as applied and reported, with nothing unread."""
    bob = conversation(applied=4)
    assert (bob.cursors.applied, bob.cursors.reported) == (4, 4)
    assert (bob.unread.last, bob.unread.messages) == (4, 0)


def test_displaying_moves_the_read_position() -> None:
    """Displaying a message of another user reads it; your own last one reads all before it."""
    bob = conversation()
    for seq in (1, 2, 3):
        bob.apply_message(message(seq))
    bob.apply_message(message(4, sender="alice"))
    assert bob.display(message(1))
    assert (bob.unread.messages, bob.cursors.displayed) == (2, 1)
    assert not bob.display(message(1))
    assert not bob.display(message(4, sender="alice"))
    assert (bob.unread.messages, bob.cursors.displayed, bob.cursors.shown) == (0, 1, 4)


def test_a_missing_range_counts_as_its_messages() -> None:
    """Displaying a missing range reads all the messages in it."""
    bob = conversation()
    bob.learn(info("bob", 5, unread=5))
    assert bob.display(Missing(1, 4, "older"))
    assert (bob.unread.messages, bob.unread.read) == (1, 4)


def test_an_amendment_reaches_its_message_everywhere() -> None:
    """An amendment updates the backlog, the message cache and delivery tracking."""
    bob = conversation()
    bob.apply_message(message(1, body="old"))
    bob.backlog.add(message(1, body="old"))
    edit = bob.apply_amendment(amendment(2, 1))
    assert (edit.before, edit.folded) == ("old", True)
    [known] = bob.known
    assert bob.backlog.take() == [known]
    bob.delivery.track(message(3, sender="alice"))
    bob.apply_amendment(amendment(4, 3, EntryKind.REDACT))
    assert bob.delivery.deliver(9) == []


def test_amendments_of_invisible_messages_are_folded() -> None:
    """Amendments of messages from before you joined are folded."""
    room = conversation("#dev")
    room.cursors.prune(5)
    assert room.apply_amendment(amendment(6, 4, EntryKind.REACT)).folded
    assert not room.apply_amendment(amendment(7, 5, EntryKind.REACT)).folded


def test_the_start_follows_what_was_shown_or_read() -> None:
    """A chat starts after the read position, or without unread messages, after what was shown."""
    bob = conversation(applied=3)
    assert (bob.start, bob.has_all) == (3, True)
    bob.learn(info("bob", 6, read=2, unread=4))
    assert (bob.start, bob.has_all) == (2, False)
    bob.backlog.add(message(7))
    assert (bob.start, bob.has_all) == (2, False)
    bob.cursors.show(6)
    assert (bob.start, bob.has_all) == (6, True)


def test_messages_before_the_first_seq_are_not_missing() -> None:
    """A room starts at the first seq that you can see."""
    room = conversation("#dev")
    room.cursors.prune(9)
    assert room.start == 8


def test_only_messages_are_missing() -> None:
    """Nothing is marked missing if all unread messages are in the backlog."""
    bob = conversation(applied=1)
    bob.apply_message(message(5))
    bob.backlog.add(message(5))
    bob.mark_missing()
    assert len(bob.backlog) == 1
    bob.learn(info("bob", 5, read=1, unread=3))
    bob.mark_missing()
    assert bob.backlog.take() == [Missing(2, 4, "older"), message(5)]


def test_a_page_goes_back_to_its_cursor() -> None:
    """A page extends the history back to its cursor, or to its first message without one."""
    bob = conversation()
    bob.extend_back(frames.History(conversation="c-bob", messages=[], first_seq=1, last_seq=10))
    assert bob.cursors.oldest == 0
    older = frames.Message(5, f"{5:032x}", "bob", "hi", 1005)
    bob.extend_back(frames.History(conversation="c-bob", messages=[older], first_seq=2, last_seq=10))
    assert (bob.cursors.oldest, bob.cursors.first) == (5, 2)
    bob.extend_back(frames.History(conversation="c-bob", messages=[], first_seq=2, last_seq=10, cursor=3))
    assert bob.cursors.oldest == 3


def test_rewind_goes_back_in_all_parts() -> None:
    """Rewind resets the cursors, unread count, backlog, message cache and delivery."""
    bob = conversation()
    for seq in (1, 2, 3):
        bob.apply_message(message(seq))
        bob.backlog.add(message(seq))
        bob.cursors.apply(seq)
    bob.delivery.deliver(3)
    bob.rewind(1)
    assert (bob.cursors.applied, bob.unread.last, bob.unread.messages) == (1, 1, 1)
    assert (len(bob.backlog), bob.known.get(2), bob.delivery.delivered) == (1, None, 1)


def test_restart_keeps_only_the_name() -> None:
    """Restarting a conversation forgets everything but its name."""
    conversations = Conversations("alice", [SavedPosition("c-bob", "bob", 4, 4)])
    conversations.restart()
    [bob] = conversations
    assert (bob.name, bob.cursors.applied, bob.unread.last) == ("bob", None, 0)
    assert conversations.positions() == []


def test_conversations_are_found_by_id_and_name() -> None:
    """The newest conversation of a name is found; rooms are listed by name."""
    conversations = Conversations("alice", [SavedPosition("c-old", "bob", 4, 4)])
    newer = conversations.get("c-new", "bob")
    assert conversations.named("bob") is newer
    assert conversations.outdated
    assert conversations.positions() == [frames.Position("c-old", 4)]
    rooms = [conversations.get(f"c-{name}", name) for name in ("#b", "#a")]
    assert conversations.rooms() == rooms[::-1]
    newer.apply_message(message(1))
    rooms[0].apply_message(message(1))
    assert conversations.unread() == {"bob": 1}
    assert conversations.remove("c-#a") is rooms[1]
    assert "c-#a" not in conversations


def listed(conversation: str, name: str, *, deleted: bool = False) -> frames.ConversationInfo:
    """Return an entry of the server's list."""
    return frames.ConversationInfo(conversation, name, "pair", 1, 5, 5, 5, 0, 0, deleted)


def names_of(conversations: Conversations) -> dict[str, str]:
    """Return the names of all conversations by id, after a check that each is found by its name."""
    names = {each.id: each.name for each in conversations}
    for conversation, name in names.items():
        found = conversations.named(name)
        assert found is not None
        assert found.id == conversation
    return names


def test_a_name_goes_to_the_conversation_that_was_seen_with_it_last() -> None:
    """The one before gets the next free number until the server's list comes."""
    conversations = Conversations("alice", [SavedPosition("c1", "bob~1", 4), SavedPosition("c2", "bob", 4)])
    assert not conversations.outdated
    conversations.get("c3", "bob")
    assert names_of(conversations) == {"c1": "bob~1", "c2": "bob~2", "c3": "bob"}
    assert [each.deleted for each in conversations] == [False, True, False]
    assert conversations.outdated


def test_a_frame_renames_no_conversation() -> None:
    """A name that came late is not applied, but the list is asked for again."""
    conversations = Conversations("alice", [SavedPosition("c1", "bob~1", 4), SavedPosition("c2", "bob", 4)])
    conversations.get("c1", "bob")
    assert names_of(conversations) == {"c1": "bob~1", "c2": "bob"}
    assert conversations.outdated


def test_the_list_has_the_last_word() -> None:
    """Names of the server's list are applied in any order, and no two conversations have the same."""
    entries = [listed("c1", "bob~2", deleted=True), listed("c2", "bob"), listed("c3", "bob~1", deleted=True)]
    for order in itertools.permutations(entries):
        saved = [SavedPosition("c1", "bob", 4), SavedPosition("c3", "bob", 4)]
        conversations = Conversations("alice", saved)
        for entry in order:
            conversations.learn(entry)
        assert names_of(conversations) == {"c1": "bob~2", "c2": "bob", "c3": "bob~1"}
        assert {each.id for each in conversations if each.deleted} == {"c1", "c3"}
        assert not conversations.outdated
        assert [conversations.learn(entry)[1] for entry in order] == [False, False, False]
