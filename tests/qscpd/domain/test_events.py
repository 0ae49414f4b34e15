"""Domain events: values that can be serialised."""

import msgspec
import pytest

from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.events import (
    AccountChanged,
    BlockChanged,
    Event,
    MessagesStored,
    PositionMoved,
    RoomChanged,
)
from qscpd.domain.model import (
    Account,
    AccountState,
    Mark,
    MessageMeta,
    NewMessage,
    PositionKind,
    StoredMessage,
)
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, Membership, RoomChange, RoomRow, RoomState

ROOM = RoomRow(7, "#dev", RoomKind.CLOSED, HistoryFrom.FULL, "Tea", 30, RoomState.ARCHIVED, 5, 1, 40, 2, 1)

META = MessageMeta(
    kind="react", target=3, reply_to=2, mentions=(1, 2), count=2, reactions={"👍": (1, 2)}, digest=b"\x00\xff"
)


@pytest.mark.parametrize(
    "event",
    [
        MessagesStored([], []),
        MessagesStored(
            [NewMessage(1, 2, "0" * 32, "hello"), NewMessage(1, -7, "1" * 32, "👍", META)],
            [StoredMessage(1, 1, 5), StoredMessage(7, 41, 6, count=2)],
        ),
        PositionMoved(Mark(1, 7, PositionKind.READ, 40), None),
        PositionMoved(Mark(1, 1, PositionKind.READ, 1, "5e55", receipt=True), 2),
        RoomChanged(ROOM, {}),
        RoomChanged(
            ROOM,
            {1: Membership(RoomRole.OWNER, 3), 2: NO_MEMBERSHIP, 3: Membership(banned_until_ms=FOREVER_MS)},
            RoomChange(action="ban", room="#dev", actor=1, target=3, text="spam", role=RoomRole.MEMBER),
        ),
        BlockChanged(1, 2),
        BlockChanged(1, 2, removed=True),
        AccountChanged(Account(1, "alice", AccountState.LOCKED, 5)),
    ],
)
def test_an_event_is_the_same_after_a_round_trip(event: Event) -> None:
    """Each event survives encoding and decoding in JSON and MessagePack, with its type."""
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=Event) == event
