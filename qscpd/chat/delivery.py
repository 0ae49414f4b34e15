"""Delivery of commits: fan messages out, answer their senders, notify of positions.

A sender's own `chat_ack` is part of the order in a conversation, like the others' messages there. So the
two alternate: the messages of one session to one recipient are fanned out, then answered, then the next.
"""

from collections.abc import Sequence

from qscpd.bus.base import Answers, Commit
from qscpd.chat.acknowledger import Acknowledger
from qscpd.chat.fan_out import FanOut
from qscpd.chat.room_batch import RoomBatch
from qscpd.domain.events import MessagesStored, PositionMoved
from qscpd.domain.model import NewMessage
from qscpd.sessions.session import Session


class Delivery:
    """Delivers what was committed.

    Args:
        fan_out: Sends it to everyone else.
        acknowledger: Answers the senders.
    """

    def __init__(self, fan_out: FanOut, acknowledger: Acknowledger) -> None:
        self._fan_out = fan_out
        self._acknowledger = acknowledger

    def on_commit(self, commit: Commit[Session]) -> None:
        """Deliver the messages and positions of a commit, and answer the senders on this node.

        The answers have all of its messages, and their sessions. Without answers, it is another node's.
        """
        batches: dict[int, RoomBatch] = {}
        answers = commit.answers
        if answers.messages:
            self._deliver_answered(answers, batches)
        else:
            for event in commit.events:
                if isinstance(event, MessagesStored):
                    self._deliver_stored(event, batches)
        for event in commit.events:
            if isinstance(event, PositionMoved):
                self._fan_out.send_position(event)
        if batches:
            self._fan_out.send_rooms(batches)
        if self._acknowledger.waiting:
            self._acknowledger.let_continue()

    def _deliver_answered(self, answers: Answers[Session], batches: dict[int, RoomBatch]) -> None:
        send_run, answer_run = self._fan_out.send_run, self._acknowledger.answer_run
        for run in _runs(answers.messages, answers.sessions):
            session = answers.sessions[run.start]
            messages, outcomes = answers.messages[run], answers.outcomes[run]
            send_run(session, messages, outcomes, batches)
            answer_run(session, messages, outcomes)

    def _deliver_stored(self, event: MessagesStored, batches: dict[int, RoomBatch]) -> None:
        messages, places = event.messages, event.places
        for run in _runs(messages):
            self._fan_out.send_run(None, messages[run], places[run], batches)


def _runs(messages: Sequence[NewMessage], sessions: Sequence[Session] = ()) -> list[slice]:
    """Return runs of messages with the same session, sender and recipient: what they share is found once.

    Args:
        messages: The messages.
        sessions: Of each of the messages; empty if they are of another node.
    """
    runs: list[slice] = []
    start, count = 0, len(messages)
    while start < count:
        sender, recipient = messages[start].sender, messages[start].recipient
        end = start + 1
        if sessions:  # each has one account
            session = sessions[start]
            while end < count and sessions[end] is session and messages[end].recipient == recipient:
                end += 1
        else:
            while end < count and messages[end].recipient == recipient and messages[end].sender == sender:
                end += 1
        runs.append(slice(start, end))
        start = end
    return runs
