"""Everything of a person's conversations as JSON Lines, for that person or for another program.

One object a line, in the order: the account, its conversations, their messages by conversation
and seq. `docs/backup.md` has the fields.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from qscp import __version__
from qscpd.conversationid import conversation_id
from qscpd.store.base import Account, ConversationRow, Found, StoreReader

__all__ = ["EXPORT_FORMAT", "export_lines"]

EXPORT_FORMAT: Final = 1
"""Of the lines; a new field does not change it, another meaning does."""

_encode: Final = msgspec.json.Encoder().encode


def export_lines(reader: StoreReader, account: Account) -> Iterator[bytes]:
    """Yield the lines, each with its end; reading takes the store as it is now."""
    names = reader.account_names()
    yield _line(
        {
            "type": "account",
            "format": EXPORT_FORMAT,
            "program": f"qscpd {__version__}",
            "exported": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "epoch": reader.epoch(),
            "account": f"a{account.id}",
            "name": account.name,
            "state": account.state.value,
            "created": account.created_ms,
        }
    )
    for row in reader.conversations(account.id):
        yield _line(
            {
                "type": "conversation",
                "conversation": conversation_id(row.id),
                **_with(row),
                "first_seq": row.first_seq,
                "last_seq": row.last_seq,
                "read": row.read,
                "delivered": row.delivered,
            }
        )
    for found in reader.export(account.id):
        yield _line(_message(found, names))


def _with(row: ConversationRow) -> dict[str, object]:
    if row.peer is None:
        return {"kind": "room", "with": row.name}
    return {"kind": "pair", "with": row.name, "with_account": f"a{row.peer}"}


def _message(found: Found, names: dict[int, str]) -> dict[str, object]:
    message = found.message
    return {
        "type": "message",
        "conversation": conversation_id(found.conversation),
        "seq": message.seq,
        "id": message.id,
        "time": message.time_ms,
        "from": names.get(message.sender, ""),
        "from_account": f"a{message.sender}",
        "body": message.body or "",
        "erased": message.body is None,
    }


def _line(fields: dict[str, object]) -> bytes:
    return _encode(fields) + b"\n"
