"""Message rules: refusals, effects of amendments, and retries."""

import itertools
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import pytest

from qscp.errors import ErrorCode
from qscp.limits import REACTIONS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.messages import (
    Amendment,
    amend,
    as_seen,
    digest,
    erased,
    id_hash,
    pair_refusal,
    repeats,
    room_refusal,
)
from qscpd.domain.model import NO_META, MessageMeta, MessageRow, NewMessage, Refused
from qscpd.domain.moderation import LogEntry
from qscpd.domain.rooms import FOREVER_MS, NO_MEMBERSHIP, Membership, RoomRow, RoomState
from tests.support import room_rows

ALICE, BOB, CAROL = 1, 2, 3
NOW = 1_700_000_000_000
WITHIN = 60_000
ROOM: Final = room_rows.ROOM._replace(created_ms=NOW, members=9, owners=2)
MEMBER: Final = Membership(RoomRole.MEMBER, since=5)
HELLO: Final = MessageRow(9, NOW, ALICE, "a" * 32, "hello", MessageMeta(reply_to=3, mentions=(BOB,)))


def new(kind: str = "", *, sender: int = ALICE, body: str = "text", **meta: object) -> NewMessage:
    """Make a message or an amendment."""
    fields = MessageMeta(kind=kind, **meta) if kind or meta else NO_META  # type: ignore[arg-type]  # fields of a MessageMeta
    return NewMessage(sender, -7, "f" * 32, body, fields)


def refused(
    message: NewMessage,
    room: RoomRow = ROOM,
    membership: Membership = MEMBER,
    waited_ms: int | None = None,
) -> Refused | None:
    """Return the refusal of a message in a room, or None."""
    return room_refusal(message, room, membership, last_seq=40, waited_ms=waited_ms, now_ms=NOW)


def amended(
    event: NewMessage,
    target: MessageRow = HELLO,
    actor: RoomRole | None = None,
    author: RoomRole | None = None,
    time_ms: int = NOW,
) -> Amendment | ErrorCode:
    """Return the effect of an amendment, or the code of its refusal."""
    outcome = amend(
        event,
        target,
        actor=Membership(actor),
        author=Membership(author),
        time_ms=time_ms,
        now_ms=time_ms,
        edit_within_ms=WITHIN,
    )
    return outcome.code if isinstance(outcome, Refused) else outcome


def finder(*rows: MessageRow) -> Callable[[int], MessageRow | None]:
    """Return a function that finds the given messages by seq."""
    by_seq = {row.seq: row for row in rows}
    return by_seq.get


# --- sending


@pytest.mark.parametrize(("seq", "known"), [(1, True), (40, True), (41, False), (2**53 - 1, False)])
def test_a_target_has_to_exist(seq: int, known: bool) -> None:
    """In a pair, messages up to the last seq are valid targets of replies and amendments."""
    for message in (new(reply_to=seq), new("edit", target=seq), new("redact", target=seq)):
        assert pair_refusal(message, 40) == (None if known else Refused(ErrorCode.UNKNOWN_MESSAGE))
    assert pair_refusal(new(), 0) is None


def test_a_target_has_to_be_visible() -> None:
    """Messages from before a member joined are no valid targets for them, except with full history."""
    full = ROOM._replace(history=HistoryFrom.FULL)
    for seq in (1, 4, 5, 40, 41):
        for message in (new(reply_to=seq), new("react", target=seq)):
            code = ErrorCode.UNKNOWN_MESSAGE
            assert refused(message) == (None if 5 <= seq <= 40 else Refused(code)), seq
            assert refused(message, full) == (None if seq <= 40 else Refused(code)), seq


def test_the_refusal_of_a_muted_member_has_the_time_left() -> None:
    """A muted member's refusal has the seconds left, or None for a mute without end, for every kind."""
    for message in (new(), new("edit", target=9), new("redact", target=9), new("react", target=9)):
        muted = MEMBER._replace(muted_until_ms=NOW + 1500)
        assert refused(message, membership=muted) == Refused(ErrorCode.MUTED, 1.5)
        for_ever = MEMBER._replace(muted_until_ms=FOREVER_MS)
        assert refused(message, membership=for_ever) == Refused(ErrorCode.MUTED, None)
        assert refused(message, membership=MEMBER._replace(muted_until_ms=NOW)) is None


def test_slow_mode_applies_to_messages_of_members() -> None:
    """Slow mode delays only messages of members, and for exactly its number of seconds."""
    slow = ROOM._replace(slow_s=30)
    assert refused(new(), slow) is None
    for ago, wait_s in ((0, 30.0), (1, 29.999), (29_999, 0.001), (30_000, None), (99_999, None)):
        outcome = refused(new(), slow, waited_ms=ago)
        assert outcome == (None if wait_s is None else Refused(ErrorCode.SLOW_MODE, wait_s))
        assert refused(new(), ROOM, waited_ms=ago) is None
        for kind in ("edit", "redact", "react"):
            assert refused(new(kind, target=9), slow, waited_ms=ago) is None
        for role in (RoomRole.MODERATOR, RoomRole.OWNER):
            assert refused(new(), slow, Membership(role), waited_ms=ago) is None


def test_the_rules_of_the_room_come_first() -> None:
    """Membership, archiving and the kind of the room are checked before the message itself."""
    assert refused(new(), membership=NO_MEMBERSHIP) == Refused(ErrorCode.NOT_A_MEMBER)
    closed = ROOM._replace(kind=RoomKind.CLOSED)
    assert refused(new(reply_to=99), closed, NO_MEMBERSHIP) == Refused(ErrorCode.UNKNOWN_ROOM)
    archived = ROOM._replace(state=RoomState.ARCHIVED)
    assert refused(new("react", target=9), archived) == Refused(ErrorCode.ROOM_ARCHIVED)
    announcements = ROOM._replace(kind=RoomKind.ANNOUNCEMENT)
    assert refused(new(), announcements) == Refused(ErrorCode.NOT_ALLOWED)
    assert refused(new("react", target=9), announcements) is None


# --- amendments


def test_an_edit_replaces_text_and_mentions() -> None:
    """An edit keeps reply and reactions; its own row has a digest in place of the text."""
    liked = HELLO._replace(meta=msgspec.structs.replace(HELLO.meta, reactions={"+1": (BOB,)}))
    outcome = amended(new("edit", target=9, mentions=(CAROL,)), liked, time_ms=NOW + 5)
    assert isinstance(outcome, Amendment)
    meta = MessageMeta(reply_to=3, mentions=(CAROL,), edited_ms=NOW + 5, reactions={"+1": (BOB,)})
    assert outcome == Amendment(
        liked._replace(body="text", meta=meta),
        None,
        MessageMeta(kind="edit", target=9, digest=digest("text")),
    )


def test_without_time_no_message_can_be_edited() -> None:
    """With an edit window of nothing no edit is in time, not even of a message with a time to come."""
    for time_ms in (HELLO.time_ms, HELLO.time_ms - 1, HELLO.time_ms - 10**9):
        outcome = amend(
            new("edit", target=9),
            HELLO,
            actor=NO_MEMBERSHIP,
            author=NO_MEMBERSHIP,
            time_ms=time_ms,
            now_ms=time_ms,
            edit_within_ms=0,
        )
        assert outcome == Refused(ErrorCode.TOO_LATE)


@pytest.mark.parametrize(("age", "code"), [(0, None), (WITHIN - 1, None), (WITHIN, ErrorCode.TOO_LATE)])
def test_only_the_author_can_edit_for_a_limited_time(age: int, code: ErrorCode | None) -> None:
    """An edit after the time limit or of another user's message is refused, even to an owner."""
    outcome = amended(new("edit", target=9), time_ms=NOW + age)
    assert isinstance(outcome, Amendment) if code is None else outcome is code
    edit = new("edit", sender=BOB, target=9)
    assert amended(edit, actor=RoomRole.OWNER, time_ms=NOW + age) is ErrorCode.NOT_ALLOWED


def test_a_redaction_keeps_only_the_reply() -> None:
    """A redaction removes text, mentions, reactions and the edit time; the reply stays."""
    outcome = amended(new("redact", target=9, body="a reason"))
    assert outcome == Amendment(
        HELLO._replace(body=None, meta=MessageMeta(reply_to=3)), None, MessageMeta(kind="redact", target=9)
    )


@pytest.mark.parametrize(("actor", "author"), list(itertools.product([*RoomRole, None], repeat=2)))
def test_redactions_depend_on_the_roles(actor: RoomRole | None, author: RoomRole | None) -> None:
    """Moderators redact messages of lower roles, owners all messages; it is logged with the reason."""
    moderator = actor is RoomRole.MODERATOR and author in {RoomRole.MEMBER, None}
    outcome = amended(new("redact", sender=BOB, target=9, body="why"), actor=actor, author=author)
    if actor is RoomRole.OWNER or moderator:
        assert isinstance(outcome, Amendment)
        assert outcome.logged == LogEntry("redact", BOB, ALICE, seq=9, text="why")
    else:
        assert outcome is ErrorCode.NOT_ALLOWED


def test_a_user_reacts_once_with_the_same_text() -> None:
    """Repeated adding or removing of a reaction is refused; the last removal deletes it."""
    row = HELLO
    steps = [(BOB, False, 1), (CAROL, False, 2), (BOB, False, None), (BOB, True, 1), (BOB, True, None)]
    for user, removed, count in [*steps, (CAROL, True, 0)]:
        outcome = amended(new("react", sender=user, body="+1", target=9, removed=removed), row)
        if count is None:
            assert outcome is ErrorCode.UNCHANGED
            continue
        assert isinstance(outcome, Amendment)
        assert (outcome.body, outcome.meta.count, outcome.logged) == ("+1", count, None)
        row = outcome.message
    assert row == HELLO


def test_the_number_of_different_reactions_is_limited() -> None:
    """At the limit a new reaction is refused; another user can join an existing one."""
    full: Mapping[str, tuple[int, ...]] = {f"r{n}": (BOB,) for n in range(REACTIONS_LIMIT)}
    row = HELLO._replace(meta=MessageMeta(reactions=dict(full)))
    assert amended(new("react", body="x", target=9), row) is ErrorCode.TOO_MANY_REACTIONS
    assert isinstance(amended(new("react", body="r0", target=9), row), Amendment)


@pytest.mark.parametrize("kind", ["edit", "redact", "react"])
def test_only_messages_with_a_text_are_targets(kind: str) -> None:
    """Amendments, and redacted or erased messages, are no valid targets."""
    for target in (HELLO._replace(body=None), HELLO._replace(meta=MessageMeta(kind="react", target=3))):
        assert amended(new(kind, target=9), target) is ErrorCode.UNKNOWN_MESSAGE


# --- rows as they are read later


def test_an_edit_is_read_with_the_current_text() -> None:
    """An edit has its message's current text and mentions, or neither if that is pruned or not visible."""
    row = MessageRow(20, NOW, ALICE, "e" * 32, None, MessageMeta(kind="edit", target=9))
    current = row._replace(body="hello", meta=MessageMeta(kind="edit", target=9, mentions=(BOB,)))
    assert as_seen(row, finder(HELLO)) == as_seen(row, finder(HELLO), 9) == current
    assert as_seen(row, finder(HELLO), 10) == as_seen(row, finder()) == row


def test_a_reaction_is_read_with_the_current_count() -> None:
    """A reaction has the current count, zero for a pruned message, even if that is not visible."""
    row = MessageRow(20, NOW, BOB, "e" * 32, "+1", MessageMeta(kind="react", target=9, count=1))
    liked = HELLO._replace(meta=MessageMeta(reactions={"+1": (BOB, CAROL, ALICE)}))
    for message, count in ((liked, 3), (HELLO, 0), (None, 0)):
        seen = as_seen(row, finder(*filter(None, [message])), 15)
        assert seen == row._replace(meta=MessageMeta(kind="react", target=9, count=count))
    assert as_seen(HELLO, finder(), 99) == HELLO


def test_erasing_removes_the_content_of_an_account() -> None:
    """Erasing removes an account's texts, mentions, digests and reactions, and nothing else."""
    meta = MessageMeta(reply_to=3, mentions=(BOB,), reactions={"+1": (BOB,), "-1": (BOB, CAROL)})
    row = HELLO._replace(meta=meta)
    assert erased(row, ALICE) == row._replace(body=None, meta=MessageMeta(reply_to=3))
    left = msgspec.structs.replace(meta, reactions={"-1": (CAROL,)})
    assert erased(row, BOB) == row._replace(meta=left)
    assert erased(HELLO, CAROL) is None
    edit = MessageRow(10, NOW, ALICE, "e" * 32, None, MessageMeta(kind="edit", target=9, digest=b"12345678"))
    assert erased(edit, ALICE) == edit._replace(meta=MessageMeta(kind="edit", target=9))
    for done in (erased(row, ALICE), erased(edit, ALICE)):
        assert done is not None
        assert erased(done, ALICE) is None


# --- message ids


def test_the_id_hash_covers_the_content() -> None:
    """The id hash of a message is the same as sent and as stored, and differs for other content."""
    sent = [
        new(),
        new(body="other"),
        new("edit", target=9),
        new("edit", target=9, body="other"),
        new("edit", target=8),
        new("react", target=9),
        new("react", target=9, removed=True),
        new("redact", target=9),
        NewMessage(ALICE, BOB, "f" * 32, "text"),
    ]
    hashes = [id_hash(each.recipient, each.body, each.meta) for each in sent]
    assert len(set(hashes)) == len(sent)
    stored = MessageMeta(kind="edit", target=9, digest=digest("text"))
    assert id_hash(-7, "", stored) == hashes[2]
    assert id_hash(-7, "another reason", sent[7].meta) == hashes[7]
    assert id_hash(-7, "text", MessageMeta(reply_to=3, mentions=(BOB,))) == hashes[0]


def test_a_retry_is_recognised_by_the_stored_recipient() -> None:
    """A retry repeats the stored message, also if the name has another holder now; another text does not."""
    key = id_hash(-7, "text", NO_META)
    assert repeats(new(), -7, key)
    assert repeats(msgspec.structs.replace(new(), recipient=0), -7, key)
    assert not repeats(new(body="other"), -7, key)
    assert not repeats(new(), -8, key)
