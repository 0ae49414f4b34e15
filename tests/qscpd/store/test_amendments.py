"""Edits, redactions and reactions in the store: their effects and their refusals."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from qscp.errors import ErrorCode
from qscp.limits import REACTIONS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.model import Keep, MessageMeta, MessageRow, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import ManualClock, StoreFactory, conversation_of, housekeep, rows_of, unread_of

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
ROOM = -1
START = 1_700_000_000_000
WITHIN = 60_000
NEWEST = (2**53, 0, 0)
UNKNOWN = Refused(ErrorCode.UNKNOWN_MESSAGE)

make_id = IdMaker()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """A store with a room, conversation 1: alice owns it, bob moderates it, carol is a member, dan is not."""
    opened = store_factory.open(tmp_path, clock=clock, edit_within_ms=WITHIN)
    with contextlib.closing(opened) as store:
        for name in ("alice", "bob", "carol", "dan"):
            store.add_account(name, "x")
        store.change_room(RoomChange(action="create", room="#dev", actor=ALICE, history=HistoryFrom.FULL))
        join(store, BOB)
        join(store, CAROL)
        change = RoomChange(action="role", room="#dev", actor=ALICE, target=BOB, role=RoomRole.MODERATOR)
        store.change_room(change)
        yield store


def join(store: Store, account: int) -> None:
    """Let a user join the room."""
    store.change_room(RoomChange(action="join", room="#dev", actor=account))


def say(sender: int, to: int, body: str, **meta: object) -> NewMessage:
    """Make a message."""
    return NewMessage(sender, to, make_id(), body, MessageMeta(**meta))  # type: ignore[arg-type]  # fields of a MessageMeta


def edit(sender: int, to: int, target: int, body: str) -> NewMessage:
    """Make an edit."""
    return say(sender, to, body, kind="edit", target=target)


def redact(sender: int, to: int, target: int, reason: str = "") -> NewMessage:
    """Make a redaction."""
    return say(sender, to, reason, kind="redact", target=target)


def react(sender: int, to: int, target: int, text: str, *, removed: bool = False) -> NewMessage:
    """Make a reaction."""
    return say(sender, to, text, kind="react", target=target, removed=removed)


def store_all(store: Store, *messages: NewMessage) -> list[Outcome]:
    """Store each message in its own transaction; return the outcomes."""
    return [store.append([message])[0][0] for message in messages]


def codes(outcomes: list[Outcome]) -> list[str]:
    """Return the code of each refusal, and an empty string for each stored message."""
    return [str(each.code) if isinstance(each, Refused) else "" for each in outcomes]


def rows(store: Store, conversation: int = 1) -> list[MessageRow]:
    """Return all rows of a conversation; check that a page of history has the same messages."""
    rows = rows_of(store, conversation)
    account = next((each.id for each in store.accounts() if conversation_of(store, each.id, conversation)), 0)
    page = store.history_page(account, conversation, limit=10**6, max_bytes=10**9)
    if page is not None:
        first = page.conversation.first_seq
        assert page.messages == [row for row in rows if not row.meta.kind and row.seq >= first]
    return rows


def finish(store: Store, keep: Keep = Keep()) -> None:  # noqa: B008 - it is immutable
    """Do all housekeeping."""
    housekeep(store, keep)


def found(store: Store, account: int, word: str) -> list[int]:
    """Return the seqs of the messages that a search for a word finds."""
    finish(store)
    matches, complete, _ = search_page(store, account, [word], limit=99)
    assert complete
    return [each.message.seq for each in matches]


def test_an_edit_replaces_the_text(store: Store, clock: ManualClock) -> None:
    """An edited message has the new text and edit time; the old text is neither read nor found."""
    store_all(store, say(ALICE, ROOM, "apple"), say(BOB, ROOM, "other"))
    assert found(store, CAROL, "apple") == [1]
    clock.ms += 500
    store_all(store, edit(ALICE, ROOM, 1, "birch"))
    clock.ms += 500
    store_all(store, edit(ALICE, ROOM, 1, "cedar"))
    message, _, first, second = rows(store)
    assert (message.body, message.time_ms, message.meta.edited_ms) == ("cedar", START, START + 1000)
    assert [(each.body, each.meta.kind, each.meta.target) for each in (first, second)] == [
        ("cedar", "edit", 1),  # an edit is read with the current text
        ("cedar", "edit", 1),
    ]
    assert found(store, CAROL, "apple") == found(store, CAROL, "birch") == []
    assert found(store, CAROL, "cedar") == [1]  # not the edits themselves
    assert [each.message.body for each in store.export(CAROL)] == ["cedar", "other", "cedar", "cedar"]


def test_an_edit_replaces_the_mentions(store: Store) -> None:
    """An edit replaces the mentions of its message; amendments do not count as unread."""
    store_all(store, say(ALICE, ROOM, "@bob", mentions=(BOB,)))
    assert unread_of(store, BOB, 1) == (1, 1)
    store_all(store, say(ALICE, ROOM, "@carol", kind="edit", target=1, mentions=(CAROL,)))
    store_all(store, react(CAROL, ROOM, 1, "+1"))
    assert unread_of(store, BOB, 1) == (1, 0)
    assert unread_of(store, CAROL, 1) == (1, 1)
    assert rows(store)[1].meta.mentions == (CAROL,)
    store_all(store, redact(ALICE, ROOM, 1))
    assert unread_of(store, CAROL, 1) == (1, 0)


def test_only_the_author_can_edit_for_a_limited_time(store: Store, clock: ManualClock) -> None:
    """Only the author can edit a message, and only within the limit after it was stored."""
    store_all(store, say(CAROL, ROOM, "mine"))
    clock.ms += WITHIN - 1
    outcomes = store_all(store, edit(ALICE, ROOM, 1, "hers"), edit(CAROL, ROOM, 1, "better"))
    clock.ms += 1
    outcomes += store_all(store, edit(CAROL, ROOM, 1, "late"), redact(CAROL, ROOM, 1))
    assert codes(outcomes) == ["not_allowed", "", "too_late", ""]


def test_a_redaction_leaves_an_empty_message(store: Store) -> None:
    """A redaction removes text, edits' texts, reactions and mentions; the row and its reply stay."""
    store_all(
        store,
        say(BOB, ROOM, "question"),
        say(ALICE, ROOM, "apple @bob", reply_to=1, mentions=(BOB,)),
        edit(ALICE, ROOM, 2, "birch @bob"),
        react(CAROL, ROOM, 2, "+1"),
    )
    before = rows(store)
    store_all(store, redact(ALICE, ROOM, 2, "not for the log"))
    after = rows(store)
    assert after[1] == before[1]._replace(body=None, meta=MessageMeta(reply_to=1))
    assert (after[2].body, after[3].meta.count) == (None, 0)
    assert (after[4].body, after[4].meta) == (None, MessageMeta(kind="redact", target=2))
    assert found(store, BOB, "birch") == []
    assert store.room_log(1, limit=1)[0].action == "role"  # redacting one's own message is not moderation


def test_owners_and_moderators_redact_messages_of_lower_roles(store: Store) -> None:
    """Owners and moderators can redact messages of lower roles and former members; it is logged."""
    join(store, DAN)
    store_all(store, *(say(each, ROOM, "x") for each in (ALICE, BOB, CAROL, DAN, CAROL)))
    store.change_room(RoomChange(action="leave", room="#dev", actor=DAN))
    outcomes = store_all(
        store,
        redact(CAROL, ROOM, 4),
        redact(CAROL, ROOM, 1),
        redact(BOB, ROOM, 1),
        redact(BOB, ROOM, 3, "rude"),
        redact(BOB, ROOM, 4),
        redact(ALICE, ROOM, 2),
        redact(CAROL, ROOM, 5),
    )
    assert codes(outcomes) == ["not_allowed", "not_allowed", "not_allowed", "", "", "", ""]
    log = [(each.actor, each.target, each.seq, each.text) for each in store.room_log(1, limit=3)]
    assert log == [(ALICE, BOB, 2, ""), (BOB, DAN, 4, ""), (BOB, CAROL, 3, "rude")]


def test_in_a_pair_each_changes_only_their_own_messages(store: Store) -> None:
    """In a pair each account can edit or redact only its own messages; both can react."""
    outcomes = store_all(
        store,
        say(ALICE, BOB, "hello"),
        edit(BOB, ALICE, 1, "goodbye"),
        redact(BOB, ALICE, 1),
        react(BOB, ALICE, 1, "+1"),
        react(ALICE, BOB, 1, "+1"),
        redact(ALICE, BOB, 1),
    )
    assert codes(outcomes) == ["", "not_allowed", "not_allowed", "", "", ""]
    assert [each.body for each in rows(store, 2)] == [None, "+1", "+1", None]


def test_invalid_targets_are_refused(store: Store, clock: ManualClock) -> None:
    """Seqs beyond the end, amendments, and redacted or pruned messages are no valid targets."""
    store_all(store, say(ALICE, ROOM, "one"), react(BOB, ROOM, 1, "+1"), redact(ALICE, ROOM, 1))
    store_all(store, *(say(ALICE, ROOM, f"{n}") for n in range(4)))
    clock.ms += 1
    finish(store, Keep(messages=2))
    for target in (0, 1, 2, 3, 4, 5, 8, 2**53 - 1):
        events = (
            edit(ALICE, ROOM, target, "x"),
            redact(ALICE, ROOM, target),
            react(ALICE, ROOM, target, "x"),
        )
        # Seq 8 is what the first of these amendments would get.
        assert store.append(events)[0] == [UNKNOWN, UNKNOWN, UNKNOWN], target
    assert isinstance(store_all(store, edit(ALICE, ROOM, 6, "x"))[0], StoredMessage)


def test_replies(store: Store) -> None:
    """A reply can name a redacted message; a reply to a message that never existed is refused."""
    outcomes = store_all(
        store,
        say(ALICE, ROOM, "one"),
        redact(ALICE, ROOM, 1),
        say(BOB, ROOM, "to what is gone", reply_to=1),
        say(BOB, ROOM, "to the next", reply_to=4),
        say(BOB, CAROL, "to what is elsewhere", reply_to=1),
    )
    assert codes(outcomes) == ["", "", "", "unknown_message", "unknown_message"]
    assert rows(store)[2].meta.reply_to == 1


def test_messages_from_before_joining_are_no_targets(store: Store) -> None:
    """A member can amend or answer messages from before they joined only with full history."""
    join(store, DAN)
    store_all(store, say(ALICE, ROOM, "one"), say(DAN, ROOM, "mine"))
    for action in ("leave", "join"):
        store.change_room(RoomChange(action=action, room="#dev", actor=DAN))
    store_all(store, say(ALICE, ROOM, "three"))

    def tries() -> list[str]:
        return codes(
            store_all(
                store,
                react(DAN, ROOM, 1, "+1"),
                edit(DAN, ROOM, 2, "mine again"),
                say(DAN, ROOM, "answer", reply_to=1),
                react(DAN, ROOM, 3, "+1"),
                redact(DAN, ROOM, 2),
            )
        )

    store.change_room(RoomChange(action="set", room="#dev", actor=ALICE, history=HistoryFrom.JOINING))
    assert tries() == ["unknown_message", "unknown_message", "unknown_message", "", "unknown_message"]
    store.change_room(RoomChange(action="set", room="#dev", actor=ALICE, history=HistoryFrom.FULL))
    assert tries() == ["", "", "", "unchanged", ""]


def test_reactions_are_counted_by_account(store: Store) -> None:
    """Each account counts once, a repeated reaction is refused, and removing the last one deletes it."""
    store_all(store, say(ALICE, ROOM, "one"))
    outcomes = store_all(
        store,
        react(BOB, ROOM, 1, "+1"),
        react(CAROL, ROOM, 1, "+1"),
        react(BOB, ROOM, 1, "+1"),
        react(BOB, ROOM, 1, "-1", removed=True),
        react(BOB, ROOM, 1, "+1", removed=True),
        react(BOB, ROOM, 1, "+1", removed=True),
        react(ALICE, ROOM, 1, "ok"),
    )
    assert codes(outcomes) == ["", "", "unchanged", "unchanged", "", "unchanged", ""]
    assert [each.count for each in outcomes if isinstance(each, StoredMessage)] == [1, 2, 1, 1]
    assert rows(store)[0].meta.reactions == {"+1": (CAROL,), "ok": (ALICE,)}
    store_all(store, react(CAROL, ROOM, 1, "+1", removed=True))
    assert rows(store)[0].meta.reactions == {"ok": (ALICE,)}
    assert [each.meta.count for each in rows(store)[1:]] == [0, 0, 0, 1, 0]  # the current counts


def test_the_number_of_different_reactions_is_limited(store: Store) -> None:
    """At the limit a new reaction is refused; existing ones can be joined, and a removed one replaced."""
    store_all(store, say(ALICE, ROOM, "one"), *(react(BOB, ROOM, 1, f"r{n}") for n in range(REACTIONS_LIMIT)))
    outcomes = store_all(
        store,
        react(CAROL, ROOM, 1, "new"),
        react(CAROL, ROOM, 1, "r0"),
        react(CAROL, ROOM, 1, "new", removed=True),
        react(BOB, ROOM, 1, "r1", removed=True),
        react(CAROL, ROOM, 1, "new"),
    )
    assert codes(outcomes) == ["too_many_reactions", "", "unchanged", "", ""]


def test_a_refused_amendment_stays_refused(store: Store) -> None:
    """The id of a refused amendment stays refused when the reason is gone; a new id is accepted."""
    early = react(ALICE, ROOM, 1, "+1")
    assert store_all(store, early, say(ALICE, ROOM, "one"), early, react(ALICE, ROOM, 1, "+1")) == [
        UNKNOWN,
        StoredMessage(1, 1, START),
        UNKNOWN,
        StoredMessage(1, 2, START, count=1),
    ]
    assert store_all(store, early) == [UNKNOWN]


def test_a_repeated_reaction_has_the_count_of_now(store: Store) -> None:
    """A reaction that is sent again has its number of users now: in its batch, later, and if only read."""
    mine, again, other = react(ALICE, ROOM, 1, "+1"), react(BOB, ROOM, 1, "+1"), react(CAROL, ROOM, 1, "+1")
    stored = StoredMessage(1, 2, START, new=False)
    assert store_all(store, say(ALICE, ROOM, "one"), mine, again, mine)[1:] == [
        StoredMessage(1, 2, START, count=1),
        StoredMessage(1, 3, START, count=2),
        msgspec.structs.replace(stored, count=2),
    ]
    assert store_all(store, other, mine)[1] == msgspec.structs.replace(stored, count=3)
    assert store.known([mine]) == [msgspec.structs.replace(stored, count=3)]
    store_all(store, redact(ALICE, ROOM, 1))
    assert store_all(store, mine) == store.known([mine]) == [stored]
    housekeep(store, Keep(messages=1))
    assert store_all(store, mine) == store.known([mine]) == [stored]


def test_members_of_an_announcement_room_only_react(store: Store) -> None:
    """In an announcement room members can react and amend their earlier messages, but not send."""
    store_all(store, say(CAROL, ROOM, "before"))
    store.change_room(
        RoomChange(action="set", room="#dev", actor=ALICE, kind=RoomKind.ANNOUNCEMENT, seconds=60)
    )
    outcomes = store_all(
        store,
        say(CAROL, ROOM, "no"),
        say(BOB, ROOM, "news"),
        react(CAROL, ROOM, 2, "+1"),
        react(CAROL, ROOM, 2, "ok"),  # slow mode does not apply to reactions
        edit(CAROL, ROOM, 1, "better"),
        redact(CAROL, ROOM, 1),
    )
    assert codes(outcomes) == ["not_allowed", "", "", "", "", ""]


def test_muted_or_archived_or_former_members_amend_nothing(store: Store) -> None:
    """Muted members, members of an archived room and former members cannot amend their own messages."""
    store_all(store, say(CAROL, ROOM, "mine"))

    def events() -> list[NewMessage]:
        return [edit(CAROL, ROOM, 1, "x"), redact(CAROL, ROOM, 1), react(CAROL, ROOM, 1, "+1")]

    mute = RoomChange(action="mute", room="#dev", actor=ALICE, target=CAROL, seconds=9)
    store.change_room(mute)
    muted = events()
    assert store_all(store, *muted) == [Refused(ErrorCode.MUTED, 9.0)] * 3
    store.change_room(RoomChange(action="archive", room="#dev", actor=ALICE))
    assert codes(store_all(store, *events())) == ["room_archived"] * 3
    store.change_room(RoomChange(action="unarchive", room="#dev", actor=ALICE))
    store.change_room(RoomChange(action="leave", room="#dev", actor=CAROL))
    assert codes(store_all(store, *events())) == ["not_a_member"] * 3
    assert store_all(store, *muted) == [Refused(ErrorCode.MUTED)] * 3


@pytest.mark.parametrize("indexed", [False, True], ids=["not indexed", "indexed"])
@pytest.mark.parametrize("reopened", [False, True], ids=["open", "reopened"])
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_retries_get_the_original_outcome(
    store: Store,
    store_factory: StoreFactory,
    tmp_path: Path,
    clock: ManualClock,
    *,
    indexed: bool,
    reopened: bool,
    at_once: bool,
) -> None:
    """A retry of a message or amendment gets its original place; other content is a conflict."""
    sent = [
        say(ALICE, ROOM, "one"),
        edit(ALICE, ROOM, 1, "two"),
        react(ALICE, ROOM, 1, "+1"),
        edit(ALICE, ROOM, 1, "three"),
        redact(ALICE, ROOM, 1, "why"),
        say(ALICE, BOB, "pair"),
        edit(ALICE, BOB, 1, "pair 2"),
    ]
    first = store.append(sent)[0] if at_once else store_all(store, *sent)
    assert codes(list(first)) == [""] * len(sent)
    expected = [
        StoredMessage(each.conversation, each.seq, each.time_ms, new=False)
        for each in first
        if isinstance(each, StoredMessage)
    ]
    if indexed:
        finish(store)
    if reopened:
        store.close()
        store = store_factory.open(tmp_path, clock=clock, edit_within_ms=WITHIN)
    conflicts = [
        NewMessage(ALICE, ROOM, sent[0].id, "three"),
        NewMessage(ALICE, ROOM, sent[1].id, "three", sent[1].meta),
        NewMessage(ALICE, ROOM, sent[1].id, "two", MessageMeta(kind="edit", target=2)),
        NewMessage(ALICE, ROOM, sent[1].id, "two"),
        NewMessage(ALICE, ROOM, sent[2].id, "-1", sent[2].meta),
        NewMessage(ALICE, ROOM, sent[2].id, "+1", MessageMeta(kind="react", target=1, removed=True)),
        NewMessage(ALICE, ROOM, sent[4].id, "why", MessageMeta(kind="redact", target=3)),
        NewMessage(ALICE, CAROL, sent[5].id, "pair"),
        NewMessage(ALICE, CAROL, sent[6].id, "pair 2", sent[6].meta),
    ]
    before = [rows(store, each) for each in (1, 2)]
    try:
        assert list(store.known(sent)) == expected
        assert list(store.known(conflicts)) == [Refused()] * len(conflicts)
        for again in (sent, [*sent, *sent]):
            assert list(store.append(again)[0]) == expected * (len(again) // len(sent))
        assert list(store.append(conflicts)[0]) == [Refused()] * len(conflicts)
        assert [rows(store, each) for each in (1, 2)] == before
    finally:
        store.close()


def test_a_retry_in_the_same_commit_is_a_retry(store: Store) -> None:
    """Mentions and the reason of a redaction are not compared, in the same commit or in a later one."""
    message = say(ALICE, ROOM, "@bob", mentions=(BOB,))
    redaction = redact(ALICE, ROOM, 1, "why")
    again = [
        NewMessage(ALICE, ROOM, message.id, "@bob"),
        NewMessage(ALICE, ROOM, redaction.id, "", redaction.meta),
    ]
    outcomes, _ = store.append([message, redaction, *again])
    assert list(outcomes[2:]) == list(store.append(again)[0])
    assert codes(list(outcomes)) == [""] * 4


def test_a_page_of_edits_respects_the_byte_limit(store: Store) -> None:
    """An edit counts with its message's current text against the byte limit of a page."""
    store_all(store, say(ALICE, ROOM, "short"), *(edit(ALICE, ROOM, 1, "x" * 10_000) for _ in range(5)))
    page = store.replay_page(ALICE, 1, after=1, limit=100, max_bytes=45_000)
    assert page is not None
    assert [each.seq for each in page.messages] == [2, 3]


def test_erasing_removes_every_trace_of_amendments(
    store: Store, store_factory: StoreFactory, tmp_path: Path
) -> None:
    """Erasing removes texts, earlier texts, redacted texts and reactions of an account."""
    canaries = [f"canary{n}" for n in range(6)]
    store_all(
        store,
        say(CAROL, ROOM, canaries[0]),
        say(ALICE, ROOM, "sparrow"),
        edit(CAROL, ROOM, 1, canaries[1]),
        react(CAROL, ROOM, 2, canaries[2]),
        react(BOB, ROOM, 1, "sparrow"),
        say(CAROL, ROOM, canaries[3]),
    )
    finish(store)
    store_all(store, redact(CAROL, ROOM, 6), say(CAROL, ROOM, "short"))
    store.append([say(CAROL, ROOM, canaries[4]), edit(CAROL, ROOM, 9, canaries[5])])
    finish(store)
    assert store_factory.has_trace(tmp_path, b"canary")
    store.delete_account("carol")
    while store.housekeeping.erase_step(CAROL):
        pass
    assert not store.housekeeping.compaction_due()
    assert not store_factory.has_trace(tmp_path, b"canary")
    after = rows(store)
    assert [each.body for each in after if each.sender == CAROL] == [None] * 8
    assert after[1].meta.reactions == {}
    assert not any(each.meta.digest for each in after)
    assert codes(store_all(store, react(ALICE, ROOM, 1, "+1"), redact(ALICE, ROOM, 6))) == [
        "unknown_message",
        "unknown_message",
    ]


def test_amendments_in_many_chunks(store: Store, store_factory: StoreFactory) -> None:
    """One commit that changes many chunks, some of them twice, keeps every change."""
    store_all(store, *(say(ALICE, ROOM, f"word{n}") for n in range(30)))
    finish(store)
    batch = [edit(ALICE, ROOM, target, f"other{target}") for target in range(1, 31)]
    batch += [react(BOB, ROOM, target, "+1") for target in (1, 30, 2, 29)]
    assert codes(list(store.append(batch)[0])) == [""] * 34
    after = rows(store)
    assert [row.body for row in after[:30]] == [f"other{target}" for target in range(1, 31)]
    assert [row.seq for row in after[:30] if row.meta.reactions] == [1, 2, 29, 30]
    assert found(store, BOB, "other1") == [1]
    assert found(store, BOB, "word1") == []
    store_factory.check(store)
