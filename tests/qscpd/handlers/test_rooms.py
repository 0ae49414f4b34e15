"""The handlers of room requests."""

from qscp import frames
from qscp.rooms import RoomKind, RoomRole
from qscpd.domain.rooms import Membership, RoomRow
from qscpd.handlers.rooms import RoomHandlers
from tests.support import room_rows
from tests.support.doubles import RouterDouble

ALICE, BOB = 1, 2


def closed_room(number: int) -> RoomRow:
    """Return a closed room."""
    return room_rows.ROOM._replace(id=number, name=f"#r{number:05}", kind=RoomKind.CLOSED, last_seq=0)


def list_rooms(router: RouterDouble, account: int, cursor: str = "") -> tuple[frames.ServerFrame, int]:
    """Return the answer to `rooms`, and how often others had a turn before it."""
    handlers = getattr(router.handlers.after_login[frames.RoomsRequest], "__self__", None)
    assert isinstance(handlers, RoomHandlers)
    work = handlers._list_rooms(account, frames.RoomsRequest(cursor))
    turns = 0
    try:
        while True:
            work.send(None)
            turns += 1
    except StopIteration as done:
        answer: frames.ServerFrame = done.value
        return answer, turns


async def test_a_long_list_of_rooms_leaves_turns_to_others(router: RouterDouble) -> None:
    """However many closed rooms of others there are, a turn looks at some; no hidden name is a cursor."""
    for number in range(1, 2001):
        owner = ALICE if number > 1990 else BOB
        router.rooms.load(closed_room(number), {owner: Membership(RoomRole.OWNER)})
    answer, turns = list_rooms(router, ALICE)
    assert isinstance(answer, frames.Rooms)
    assert [each.name for each in answer.rooms] == [f"#r{number:05}" for number in range(1991, 2001)]
    assert (answer.cursor, turns) == (None, 4)
    answer, turns = list_rooms(router, BOB)
    assert isinstance(answer, frames.Rooms)
    assert (len(answer.rooms), answer.cursor, turns) == (50, "#r00050", 0)
