"""Silence of a server, in virtual time."""

import pytest

from qscp import frames
from qscp_client.net.silence import Due, Patience, SilenceWatch

PATIENCE = Patience(unanswered_s=5, dead_s=15, quiet_s=60, login_s=60)
MESSAGE = frames.SendChat("bob", "hello", "1" * 32)
ACK = frames.ChatAck("1" * 32, "c1", 1, 1000)


class Watched:
    """A watch, whose client does what is due.

    Attributes:
        now: The time.
        pings: When pings were sent.
        late: When an answer became late, and when none was any more.
        gave_up: When the server counted as dead; 0 if it does not.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.pings: list[float] = []
        self.late: list[tuple[float, bool]] = []
        self.gave_up = 0.0
        self.watch = SilenceWatch(self.now, PATIENCE)

    def send(self, frame: frames.ClientFrame) -> None:
        """Send a frame."""
        self.watch.sent(frame, self.now)

    def receive(self, frame: frames.ServerFrame) -> None:
        """Receive a frame."""
        self.watch.arrived(self.now)
        self.watch.received(frame, self.now)
        self._look()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while not self.gave_up and (due := self.watch.next_due()) <= end:
            self.now = max(self.now, due)
            match self.watch.check(self.now):
                case Due.PING:
                    self.pings.append(self.now - 1000)
                    self.send(frames.ClientPing())
                case Due.GIVE_UP:
                    self.gave_up = self.now - 1000
                case Due.NOTHING:
                    pass
            self._look()
        self.now = end

    def _look(self) -> None:
        is_late = self.watch.is_late(self.now)
        if is_late != (self.late[-1][1] if self.late else False):
            self.late.append((self.now - 1000, is_late))


@pytest.fixture
def watched() -> Watched:
    """Return a watch over a new connection."""
    return Watched()


def test_a_dead_server_is_noticed(watched: Watched) -> None:
    """An answer is late after 5 s, which sends a ping; 15 s later the server counts as dead."""
    watched.send(MESSAGE)
    watched.wait(100)
    assert watched.late == [(5, True)]
    assert watched.pings == [5]
    assert watched.gave_up == 20


def test_an_answer_ends_the_wait(watched: Watched) -> None:
    """When the answer has come, nothing is late and nothing is due before the long silence."""
    watched.send(MESSAGE)
    watched.wait(7)
    watched.receive(frames.ServerPong())
    watched.receive(ACK)
    watched.wait(50)
    assert watched.late == [(5, True), (7, False)]
    assert watched.pings == [5]
    assert not watched.gave_up


@pytest.mark.parametrize("life", [frames.ServerPong(), frames.ServerPing(), frames.PresenceChanges(1, [])])
def test_a_server_that_shows_life_is_waited_for(life: frames.ServerFrame, watched: Watched) -> None:
    """While anything comes in, a missing answer never ends the connection; the server is pinged again."""
    watched.send(MESSAGE)
    for _ in range(20):
        watched.wait(14)
        watched.receive(life)
    assert not watched.gave_up
    assert watched.late == [(5, True)]
    assert len(watched.pings) >= 20
    died = watched.now - 1000
    watched.wait(100)
    assert 15 <= watched.gave_up - died <= 20


def test_the_pause_of_a_server_is_no_silence(watched: Watched) -> None:
    """After `throttled` nothing is late, pinged or dead before the announced time is over."""
    watched.send(MESSAGE)
    watched.wait(1)
    watched.receive(frames.Throttled("messages", 120))
    watched.wait(120)
    assert not watched.pings
    assert not watched.late
    watched.wait(100)
    assert watched.pings == [126]
    assert watched.late == [(126, True)]
    assert watched.gave_up == 141


def test_throttled_after_the_ping_moves_the_end(watched: Watched) -> None:
    """A ping that waits with everything else is not expected to be answered."""
    watched.send(MESSAGE)
    for _ in range(10):
        watched.wait(6)
        watched.receive(frames.Throttled("bytes", 6))
    assert not watched.gave_up


def test_a_quiet_connection_is_pinged(watched: Watched) -> None:
    """Without missing answers, a silent server is pinged after a minute, and is dead 15 s later."""
    watched.wait(30)
    watched.receive(frames.ServerPing())
    watched.wait(200)
    assert watched.pings == [90]
    assert watched.late == [(95, True)]
    assert watched.gave_up == 105


def test_a_login_is_not_pinged(watched: Watched) -> None:
    """A login without an answer is late after 5 s, and is given up after a minute: others can be ahead."""
    watched.send(frames.Auth(user="alice", password="x"))
    watched.wait(100)
    assert watched.late == [(5, True)]
    assert watched.pings == []
    assert watched.gave_up == 60


def test_a_suspected_connection_has_little_time(watched: Watched) -> None:
    """After this computer slept, the answer to the ping may take 5 s."""
    watched.wait(10)
    watched.send(frames.ClientPing())
    watched.watch.suspect(watched.now)
    watched.wait(100)
    assert watched.gave_up == 15


@pytest.mark.parametrize("frame", [MESSAGE, frames.Auth(user="alice", password="x")])
def test_a_stopped_client_blames_nobody(frame: frames.ClientFrame, watched: Watched) -> None:
    """After Ctrl-Z or a blocked output, the server gets the time to be read before it counts as dead."""
    watched.send(frame)
    watched.wait(6)
    watched.now += 3600
    assert watched.watch.check(watched.now) is Due.NOTHING
    assert watched.watch.next_due() == watched.now + 5
    stopped = watched.now - 1000
    watched.wait(100)
    assert watched.gave_up == stopped + 5


ANSWERS: list[tuple[frames.ClientFrame, frames.ServerFrame]] = [
    (MESSAGE, ACK),
    (MESSAGE, frames.ChatNack("1" * 32, "unknown_recipient", "")),
    (frames.SendEdit("bob", 1, "x", "1" * 32), ACK),
    (frames.SendRedaction("bob", 1, "1" * 32), ACK),
    (frames.SendReaction("bob", 1, "x", "1" * 32), ACK),
    (frames.Resume([]), frames.Resumed()),
    (frames.ClientPing(), frames.ServerPong()),
    (frames.WhoisRequest("bob"), frames.Whois("bob", known=False)),
    (frames.WhoisRequest("bob"), frames.Error("bad_name", "", "whois")),
    (frames.ConversationsRequest(), frames.Conversations([])),
    (frames.HistoryRequest("c1"), frames.History(conversation="c1", messages=[], first_seq=0, last_seq=0)),
    (frames.HistoryRequest("c1"), frames.Error("unknown_conversation", "", "history")),
    (frames.SearchRequest("x"), frames.SearchResults([])),
    (frames.SetPresence("away"), frames.PresenceAck("away")),
    (frames.Join("#dev"), frames.RoomAck("join", "#dev")),
    (frames.Leave("#dev"), frames.RoomAck("leave", "#dev")),
    (frames.RoomRequest("topic", "#dev"), frames.RoomAck("room", "#dev", "topic")),
    (frames.RoomRequest("members", "#dev"), frames.RoomMembers("#dev", [])),
    (frames.RoomRequest("log", "#dev"), frames.RoomLog("#dev", [])),
    (frames.RoomsRequest(), frames.Rooms([])),
    (frames.Block("bob"), frames.BlockAck("block", "bob")),
    (frames.Unblock("bob"), frames.BlockAck("unblock", "bob")),
    (frames.Auth(user="alice", password="x"), frames.AuthNack("busy", "")),
]


@pytest.mark.parametrize(("frame", "answer"), ANSWERS)
def test_each_answer_is_known(
    frame: frames.ClientFrame, answer: frames.ServerFrame, watched: Watched
) -> None:
    """Every frame that the server answers is waited for until its answer comes, and no longer."""
    watched.send(frame)
    watched.wait(6)
    assert watched.late == [(5, True)]
    watched.receive(answer)
    assert watched.late[1:] == [(6, False)] or isinstance(frame, frames.ClientPing)
    watched.receive(frames.ServerPong())
    assert watched.late[1:] == [(6, False)]


def test_all_frames_of_a_client_are_known() -> None:
    """A frame is either answered, see above, or has no answer."""
    unanswered = {
        frames.ClientBye,
        frames.ClientPong,
        frames.ClientRead,
        frames.Received,
        frames.SetTyping,
        frames.Skip,
    }
    answered = {type(frame) for frame, _ in ANSWERS}
    assert answered.isdisjoint(unanswered)
    assert answered | unanswered == set(frames.CLIENT_FRAMES)


def test_one_answer_is_not_enough_for_two(watched: Watched) -> None:
    """The oldest missing answer counts, also behind others that came."""
    watched.send(frames.WhoisRequest("bob"))
    watched.wait(3)
    watched.send(frames.WhoisRequest("carol"))
    watched.receive(frames.Whois("bob", known=False))
    watched.wait(4)
    assert watched.late == []
    watched.wait(2)
    assert watched.late == [(8, True)]
