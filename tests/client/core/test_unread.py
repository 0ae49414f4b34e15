"""The count of unread messages, against a model that recounts a list of messages."""

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
        """The unread messages between a read position and the last seq that is known."""
        return [each for each in self.messages if read < each.seq <= last and each.sender != ME]

    def count(self, read: int, last: int) -> tuple[int, int]:
        """How many they are, and how many of them mention you."""
        unread = self.unread(read, last)
        return len(unread), sum(ME in each.mentions for each in unread)


class Counting(RuleBasedStateMachine):
    """One device that applies and displays everything in order, while others read, too."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.counter = UnreadCounter(ME)
        self.buffered: list[Message] = []

    @rule(sender=st.sampled_from([ME, "bob", "carol"]), mentions=st.sampled_from([(), (ME,), ("carol",)]))
    def write(self, sender: str, mentions: tuple[str, ...]) -> None:
        """A member writes, and it is applied here."""
        self.model.last += 1
        written = message(self.model.last, sender=sender, mentions=mentions)
        self.model.messages.append(written)
        self.counter.apply(written)
        self.counter.apply(written)
        if sender != ME:
            self.buffered.append(written)

    @rule()
    def amend(self) -> None:
        """A member edits something: a seq, and no message."""
        self.model.last += 1
        self.counter.apply(amendment(self.model.last, 1))

    @precondition(lambda self: self.buffered)
    @rule(count=st.integers(1, 5))
    def display(self, count: int) -> None:
        """Some of what waits is displayed, and the server hears of it."""
        for shown in self.buffered[:count]:
            self.counter.display(shown.seq, 1, int(ME in shown.mentions))
            self.model.read = max(self.model.read, shown.seq)
        del self.buffered[:count]

    @rule(back=st.integers(0, 5))
    def read_elsewhere(self, back: int) -> None:
        """Another device reads up to a seq, maybe one that was read before."""
        seq = max(self.model.last - back, 0)
        self.model.read = max(self.model.read, seq)
        self.counter.read_elsewhere(seq, self.buffered, is_complete=True)

    @rule(behind=st.integers(0, 3))
    def learn(self, behind: int) -> None:
        """The server's list of conversations comes; it may be older than what was applied since."""
        last = max(self.model.last - behind, 0)
        counted = self.model.count(self.model.read, last)
        self.counter.learn(self.model.read, last, counted, self.buffered)

    @invariant()
    def is_recounted(self) -> None:
        """The count is what a list of all messages says."""
        expected = self.model.count(self.model.read, self.model.last)
        assert (self.counter.messages, self.counter.mentions) == expected
        assert self.counter.read == self.model.read
        assert self.counter.last == self.model.last


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


class CountingWithHoles(RuleBasedStateMachine):
    """A device that does not have everything, and a server that says anything: the count stays possible."""

    def __init__(self) -> None:
        super().__init__()
        self.counter = UnreadCounter(ME)
        self.read = 0

    @rule(step=st.integers(1, 4), sender=st.sampled_from([ME, "bob"]), mentioned=st.booleans())
    def apply(self, step: int, sender: str, mentioned: bool) -> None:
        """A message comes after some that did not."""
        mentions = (ME,) if mentioned else ()
        self.counter.apply(message(self.counter.last + step, sender=sender, mentions=mentions))

    @rule(seq=st.integers(0, 60), messages=st.integers(0, 9), mentions=st.integers(0, 9))
    def display(self, seq: int, messages: int, mentions: int) -> None:
        """Something is displayed, with any count."""
        self.counter.display(seq, messages, mentions)

    @rule(seq=st.integers(0, 60), is_complete=st.booleans())
    def read_elsewhere(self, seq: int, is_complete: bool) -> None:
        """Another device reads on."""
        buffered = [message(self.counter.last)] if self.counter.last else []
        self.counter.read_elsewhere(seq, buffered, is_complete=is_complete)

    @rule(
        read=st.integers(0, 60),
        last=st.integers(0, 60),
        unread=st.tuples(st.integers(0, 1000), st.integers(0, 1000)),
    )
    def learn(self, read: int, last: int, unread: tuple[int, int]) -> None:
        """The server says something, true or not."""
        self.counter.learn(read, last, unread, [])

    @rule()
    def display_all(self) -> None:
        """Everything was displayed."""
        self.counter.display_all()
        assert (self.counter.messages, self.counter.mentions) == (0, 0)

    @rule(seq=st.integers(0, 60))
    def rewind(self, seq: int) -> None:
        """The server lost its last messages."""
        self.counter.rewind(seq)
        self.read = min(self.read, seq)
        assert self.counter.last <= seq

    @invariant()
    def is_possible(self) -> None:
        """There are no more unread messages than seqs after the read position, which never moves back."""
        counter = self.counter
        assert 0 <= counter.mentions <= counter.messages <= max(counter.last - counter.read, 0)
        assert counter.read >= self.read
        self.read = counter.read


TestCountingWithHoles = CountingWithHoles.TestCase
TestCountingWithHoles.settings = settings(max_examples=100, stateful_step_count=20, deadline=None)


def test_reading_elsewhere_never_counts_too_few() -> None:
    """Where messages are missing here, as many as there can be remain unread."""
    counter = UnreadCounter(ME)
    counter.learn(2, 10, (8, 3), [])
    counter.read_elsewhere(4, [message(10)], is_complete=False)
    assert (counter.messages, counter.mentions) == (6, 3)
    counter.read_elsewhere(9, [message(10)], is_complete=False)
    assert (counter.messages, counter.mentions) == (1, 1)


def test_what_was_read_here_is_not_unread_again() -> None:
    """A list of conversations that the server made before it heard of it changes nothing."""
    counter = UnreadCounter(ME)
    for seq in (1, 2, 3):
        counter.apply(message(seq))
    counter.apply(message(4, sender=ME))
    counter.display(2, 2)
    counter.learn(0, 4, (3, 0), [message(3)])
    assert (counter.messages, counter.read) == (1, 2)


def test_a_room_begins_with_everything_read() -> None:
    """What was said before you joined is not unread."""
    counter = UnreadCounter(ME)
    counter.skip_to(7)
    counter.apply(message(7))
    assert counter.messages == 0
    counter.apply(message(8, mentions=(ME,)))
    assert (counter.messages, counter.mentions) == (1, 1)
