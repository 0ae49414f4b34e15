"""The events of a commit of messages and positions."""

from collections.abc import Sequence
from itertools import compress
from typing import cast

from qscpd.domain.events import Event, MessagesStored, PositionMoved
from qscpd.domain.model import NewMessage, Outcome, StoredMessage


def events_of(
    messages: Sequence[NewMessage], outcomes: Sequence[Outcome], moved: Sequence[PositionMoved | None]
) -> Sequence[Event]:
    """Return the events of an `append`; retries and refusals cause none."""
    events: list[Event] = []
    new = [type(each) is StoredMessage and each.new for each in outcomes]
    if any(new):
        places = cast("list[StoredMessage]", list(compress(outcomes, new)))
        events.append(MessagesStored(list(compress(messages, new)), places))
    events += [each for each in moved if each is not None]
    return events
