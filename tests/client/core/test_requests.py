"""Requests in flight: matching answers to requests."""

from qscp import frames
from qscp_client.core.conversation import Conversation
from qscp_client.core.effects import Output
from qscp_client.core.requests import PendingHistory, PendingRequests, PendingRoomRequest, PendingSearch


def history(name: str) -> PendingHistory:
    """Return a request for messages."""
    return PendingHistory(Conversation(f"c-{name}", name), None, 10)


def test_an_answer_belongs_to_the_first_request_of_its_type() -> None:
    """An answer belongs to the first request of its type."""
    requests = PendingRequests(out := Output())
    first, second = history("bob"), history("carol")
    search = PendingSearch("tea", 20)
    room = PendingRoomRequest(frames.Leave("#dev"))
    for each in (first, room, search, second):
        requests.ask(each)
    assert out.take_frames() == [each.frame for each in (first, room, search, second)]
    assert requests.take_history() is first
    assert requests.take_search() is search
    assert requests.take_room("join") is None
    assert requests.take_room("leave") is room
    assert requests.take_history() is second
    assert requests.take_history() is None
    assert len(requests) == 0


def test_a_delayed_request_is_answered_after_those_sent_before_it() -> None:
    """A delayed request is answered in the order of its frame, not of its line."""
    requests = PendingRequests(out := Output())
    delayed, other = history("bob"), history("carol")
    requests.delay(delayed)
    requests.ask(other)
    assert out.take_frames() == [other.frame]
    assert requests.awaits_messages
    requests.send_delayed(delayed)
    assert out.take_frames() == [delayed.frame]
    assert requests.take_history() is other
    assert requests.take_history() is delayed


def test_only_join_and_create_outlive_a_connection() -> None:
    """Join and create are repeated after a reconnect, and marked as repeated."""
    requests = PendingRequests(out := Output())
    join = PendingRoomRequest(frames.Join("#dev"))
    create = PendingRoomRequest(frames.RoomRequest("create", "#ops"))
    leave = PendingRoomRequest(frames.Leave("#dev"))
    for each in (join, history("bob"), create, leave):
        requests.ask(each)
    out.take_frames()
    assert leave in requests.disconnected()
    assert list(requests) == [join, create]
    requests.connected()
    assert out.take_frames() == [join.frame, create.frame]
    assert join.is_again
    assert create.is_again


def test_room_requests_in_flight_are_listed() -> None:
    """Room requests in flight are listed, so that a notice is not shown twice."""
    requests = PendingRequests(Output())
    requests.ask(PendingRoomRequest(frames.RoomsRequest()))
    ban = PendingRoomRequest(frames.RoomRequest("ban", "#dev", user="bob"))
    requests.ask(ban)
    assert requests.room_requests == [ban.frame]
    assert not requests.awaits_messages
