"""Unread counts, compared with a model that counts a list of messages."""

import dataclasses

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qscp_client.core.messages import Message
from qscp_client.core.unread import UnreadCounter
from tests.support.items import amendment, message

ME = "alice"


@dataclasses.dataclass
class Model:
    """A conversation on the server: its messages, and the read position of the account."""

    messages: list[Message] = dataclasses.field(default_factory=list)
    last: int = 0
    read: int = 0

    def unread(self, read: int, last: int) -> list[Message]:
        """Return the unread messages between a read position and the last known seq."""
        return [each for each in self.messages if read < each.seq <= last and each.sender != ME]

    def count(self, read: int, last: int) -> tuple[int, int]:
        """Return the number of unread messages, and of those that mention you."""
        unread = self.unread(read, last)
        return len(unread), sum(ME in each.mentions for each in unread)


class Counting(RuleBasedStateMachine):
    """A device that applies and displays everything in order, while other devices read."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.counter = UnreadCounter(ME)
        self.buffered: list[Message] = []

    @rule(sender=st.sampled_from([ME, "bob", "carol"]), mentions=st.sampled_from([(), (ME,), ("carol",)]))
    def write(self, sender: str, mentions: tuple[str, ...]) -> None:
        """A member sends a message, which is applied."""
        self.model.last += 1
        written = message(self.model.last, sender=sender, mentions=mentions)
        self.model.messages.append(written)
        self.counter.apply(written)
        self.counter.apply(written)
        if sender != ME:
            self.buffered.append(written)

    @rule()
    def amend(self) -> None:
        """A member edits a message: a seq without a new message."""
        self.model.last += 1
        self.counter.apply(amendment(self.model.last, 1))

    @precondition(lambda self: self.buffered)
    @rule(count=st.integers(1, 5))
    def display(self, count: int) -> None:
        """Display some buffered messages, and report it to the server."""
        for shown in self.buffered[:count]:
            self.counter.display(shown.seq, 1, int(ME in shown.mentions))
            self.model.read = max(self.model.read, shown.seq)
        del self.buffered[:count]

    @rule(back=st.integers(0, 5))
    def read_elsewhere(self, back: int) -> None:
        """Another device reads up to a seq, perhaps one read before."""
        seq = max(self.model.last - back, 0)
        self.model.read = max(self.model.read, seq)
        self.counter.read_elsewhere(seq, self.buffered, is_complete=True)

    @rule(behind=st.integers(0, 3))
    def learn(self, behind: int) -> None:
        """Receive the list of conversations, perhaps older than the last message."""
        last = max(self.model.last - behind, 0)
        counted = self.model.count(self.model.read, last)
        self.counter.learn(self.model.read, last, counted, self.buffered)

    @invariant()
    def is_recounted(self) -> None:
        """The count equals that of the model."""
        expected = self.model.count(self.model.read, self.model.last)
        assert (self.counter.messages, self.counter.mentions) == expected
        assert self.counter.read == self.model.read
        assert self.counter.last == self.model.last


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


class CountingWithHoles(RuleBasedStateMachine):
    """A device with missing messages, and a server that sends any counts."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = UnreadCounter(ME)
        self.read = 0

    @rule(step=st.integers(1, 4), sender=st.sampled_from([ME, "bob"]), mentioned=st.booleans())
    def apply(self, step: int, sender: str, mentioned: bool) -> None:
        """Receive a message after some that are missing."""
        mentions = (ME,) if mentioned else ()
        self.counter.apply(message(self.counter.last + step, sender=sender, mentions=mentions))

    @rule(seq=st.integers(0, 60), messages=st.integers(0, 9), mentions=st.integers(0, 9))
    def display(self, seq: int, messages: int, mentions: int) -> None:
        """Display up to a seq, with any count."""
        self.counter.display(seq, messages, mentions)

    @rule(seq=st.integers(0, 60), is_complete=st.booleans())
    def read_elsewhere(self, seq: int, is_complete: bool) -> None:
        """Another device reads up to a seq."""
        buffered = [message(self.counter.last)] if self.counter.last else []
        self.counter.read_elsewhere(seq, buffered, is_complete=is_complete)

    @rule(
        read=st.integers(0, 60),
        last=st.integers(0, 60),
        unread=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
    )
    def learn(self, read: int, last: int, unread: tuple[int, int]) -> None:
        """Receive any counts, true or not."""
        self.counter.learn(read, last, unread, [])

    @rule()
    def display_all(self) -> None:
        """Display everything."""
        self.counter.display_all()
        assert (self.counter.messages, self.counter.mentions) == (0, 0)

    @rule(seq=st.integers(0, 60))
    def rewind(self, seq: int) -> None:
        """The server loses its last messages."""
        self.counter.rewind(seq)
        self.read = min(self.read, seq)
        assert self.counter.last <= seq

    @invariant()
    def is_possible(self) -> None:
        """The count is at most the seqs after the read position, which never moves back."""
        counter = self.counter
        assert 0 <= counter.mentions <= counter.messages <= max(counter.last - counter.read, 0)
        assert counter.read >= self.read
        self.read = counter.read


TestCountingWithHoles = CountingWithHoles.TestCase
TestCountingWithHoles.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)


def test_reading_elsewhere_never_counts_too_few() -> None:
    """With messages missing here, the highest possible number remains unread."""
    counter = UnreadCounter(ME)
    counter.learn(2, 10, (8, 3), [])
    counter.read_elsewhere(4, [message(10)], is_complete=False)
    assert (counter.messages, counter.mentions) == (6, 3)
    counter.read_elsewhere(9, [message(10)], is_complete=False)
    assert (counter.messages, counter.mentions) == (1, 1)


def test_messages_read_here_stay_read() -> None:
    """An outdated list of conversations makes no read message unread again."""
    counter = UnreadCounter(ME)
    for seq in (1, 2, 3):
        counter.apply(message(seq))
    counter.apply(message(4, sender=ME))
    counter.display(2, 2)
    counter.learn(0, 4, (3, 0), [message(3)])
    assert (counter.messages, counter.read) == (1, 2)


def test_a_room_begins_with_everything_read() -> None:
    """Messages from before you joined are not unread."""
    counter = UnreadCounter(ME)
    counter.skip_to(7)
    counter.apply(message(7))
    assert counter.messages == 0
    counter.apply(message(8, mentions=(ME,)))
    assert (counter.messages, counter.mentions) == (1, 1)
