"""The server's list of conversations, as it is asked for."""

from qscp import frames
from qscp_client.core.changes import Moved, SavedPosition
from qscp_client.core.conversation_list import ConversationList
from qscp_client.core.conversations import Conversations
from qscp_client.core.effects import Output
from tests.support.engine_harness import info

ASKED = frames.ConversationsRequest()


class Harness:
    """A list with its output.

    Attributes:
        conversations: The conversations: bob, and the room #dev, from an earlier run.
        list: The list.
    """

    def __init__(self) -> None:
        self.out = Output()
        saved = [SavedPosition("c-bob", "bob", 4), SavedPosition("c-#dev", "#dev", 4)]
        self.conversations = Conversations("alice", saved)
        self.list = ConversationList(self.out, self.conversations)

    def receive(self, *infos: frames.ConversationInfo, cursor: str | None = None) -> list[str]:
        """Apply a page; return what is gone after the last one."""
        list(self.list.apply(frames.Conversations(list(infos), cursor)))
        return self.list.end() if cursor is None else []

    def frames(self) -> list[frames.ClientFrame]:
        """Return the frames to send now."""
        return self.out.take_frames()


def test_the_list_is_asked_for_page_by_page() -> None:
    """A login asks for the first page, and each page for the next one."""
    harness = Harness()
    harness.list.connected(is_new=False)
    assert harness.frames() == [ASKED]
    harness.receive(info("bob", 5), cursor="more")
    assert harness.frames() == [frames.ConversationsRequest("more")]
    before = harness.list.complete
    harness.receive(info("carol", 5))
    assert (before, harness.list.complete) == (False, True)
    assert harness.frames() == []


def test_an_outdated_list_is_asked_for_once() -> None:
    """It is asked for again when a name changed, also while an answer was on its way: that may be older."""
    harness = Harness()
    harness.list.connected(is_new=False)
    harness.list.refresh()
    harness.conversations.get("c-new", "bob")
    harness.list.refresh()
    assert harness.frames() == [ASKED]
    harness.receive(info("bob", 5))
    assert [each.name for each in harness.conversations if each.id == "c-bob"] == ["bob"]
    for _ in range(2):
        harness.list.refresh()
    assert harness.frames() == [ASKED]
    harness.list.lost()
    harness.conversations.outdated = True
    harness.list.connected(is_new=False)
    harness.list.refresh()
    assert harness.frames() == [ASKED]


def test_a_new_name_is_saved_with_the_position() -> None:
    """Only a name that changed is saved, and only of a conversation with a position."""
    harness = Harness()
    harness.list.connected(is_new=False)
    bob = info("bob~1", 5)
    bob.conversation = "c-bob"
    harness.receive(bob, info("#dev", 5), info("carol", 5))
    assert harness.out.changes == [Moved("c-bob", "bob~1", 4)]


def test_what_is_not_listed_is_gone() -> None:
    """A room that is not listed is gone, unless it was joined meanwhile; a pair only in another history."""
    for is_new, gone in ((False, ["c-#dev"]), (True, ["c-bob", "c-#dev"])):
        harness = Harness()
        if is_new:
            harness.conversations.restart()
        harness.list.connected(is_new=is_new)
        harness.conversations.get("c-#new", "#new")
        harness.list.add("c-#new")
        assert harness.receive(info("carol", 5)) == gone
