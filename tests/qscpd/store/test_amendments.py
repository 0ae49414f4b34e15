"""Edits, redactions and reactions in the store: what each of them does, and to whom it is refused."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscp.errors import ErrorCode
from qscp.limits import REACTIONS_LIMIT
from qscp.rooms import HistoryFrom, RoomKind, RoomRole
from qscpd.domain.model import Keep, MessageMeta, MessageRow, NewMessage, Outcome, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.stores import ManualClock, StoreFactory, conversation_of, rows_of, unread_of

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
ROOM = -1
START = 1_700_000_000_000
WITHIN = 60_000
NEWEST = (2**53, 0, 0)
FREE = Refused(ErrorCode.UNKNOWN_MESSAGE)

make_id = IdMaker()


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path, clock: ManualClock) -> Iterator[Store]:
    """Four people; alice owns a room, conversation 1, bob moderates it, and carol is in it."""
    opened = store_factory.open(tmp_path, clock_ms=clock, edit_within_ms=WITHIN)
    with contextlib.closing(opened) as store:
        for name in ("alice", "bob", "carol", "dan"):
            store.add_account(name, "x")
        store.change_room(RoomChange(action="create", room="#dev", actor=ALICE, history=HistoryFrom.FULL))
        join(store, BOB)
        join(store, CAROL)
        change = RoomChange(action="role", room="#dev", actor=ALICE, target=BOB, role=RoomRole.MODERATOR)
        store.change_room(change)
        yield store


def join(store: Store, person: int) -> None:
    """Let a user join the room."""
    store.change_room(RoomChange(action="join", room="#dev", actor=person))


def say(sender: int, to: int, body: str, **meta: object) -> NewMessage:
    """Make a message."""
    return NewMessage(sender, to, make_id(), body, MessageMeta(**meta))  # type: ignore[arg-type]  # of an MessageMeta


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
    """Store each in a commit of its own."""
    return [store.append([message])[0][0] for message in messages]


def codes(outcomes: list[Outcome]) -> list[str]:
    """Return the code of each refusal, and nothing for what was stored."""
    return [str(each.code) if isinstance(each, Refused) else "" for each in outcomes]


def rows(store: Store, conversation: int = 1) -> list[MessageRow]:
    """Return everything in a conversation; its messages are the same when read backward."""
    rows = rows_of(store, conversation)
    account = next((each.id for each in store.accounts() if conversation_of(store, each.id, conversation)), 0)
    page = store.history_page(account, conversation, limit=10**6, max_bytes=10**9)
    if page is not None:
        first = page.conversation.first_seq
        assert page.messages == [row for row in rows if not row.meta.kind and row.seq >= first]
    return rows


def finish(store: Store, keep: Keep = Keep()) -> None:  # noqa: B008 - it is immutable
    """Do all housekeeping."""
    for _ in range(2):
        while store.housekeeping.step(keep):
            pass


def found(store: Store, person: int, word: str) -> list[int]:
    """Return the seqs that a search finds."""
    finish(store)
    matches, complete = store.search(person, [word], conversation=None, before=NEWEST, limit=99)
    assert complete
    return [each.message.seq for each in matches]


def test_an_edit_replaces_the_text(store: Store, clock: ManualClock) -> None:
    """The message says the new text and when it got it; the old one is neither read nor found any more."""
    store_all(store, say(ALICE, ROOM, "apple"), say(BOB, ROOM, "other"))
    assert found(store, CAROL, "apple") == [1]
    clock.ms += 500
    store_all(store, edit(ALICE, ROOM, 1, "birch"))
    clock.ms += 500
    store_all(store, edit(ALICE, ROOM, 1, "cedar"))
    message, _, first, second = rows(store)
    assert (message.body, message.time_ms, message.meta.edited_ms) == ("cedar", START, START + 1000)
    assert [(each.body, each.meta.kind, each.meta.target) for each in (first, second)] == [
        ("cedar", "edit", 1),  # read later, it has the text of that time
        ("cedar", "edit", 1),
    ]
    assert found(store, CAROL, "apple") == found(store, CAROL, "birch") == []
    assert found(store, CAROL, "cedar") == [1]  # and not the edits
    assert [each.message.body for each in store.export(CAROL)] == ["cedar", "other", "cedar", "cedar"]


def test_an_edit_mentions_anew(store: Store) -> None:
    """Whom the old text mentioned is not any more; neither edits nor anything else is unread."""
    store_all(store, say(ALICE, ROOM, "@bob", mentions=(BOB,)))
    assert unread_of(store, BOB, 1) == (1, 1)
    store_all(store, say(ALICE, ROOM, "@carol", kind="edit", target=1, mentions=(CAROL,)))
    store_all(store, react(CAROL, ROOM, 1, "+1"))
    assert unread_of(store, BOB, 1) == (1, 0)
    assert unread_of(store, CAROL, 1) == (1, 1)
    assert rows(store)[1].meta.mentions == (CAROL,)
    store_all(store, redact(ALICE, ROOM, 1))
    assert unread_of(store, CAROL, 1) == (1, 0)


def test_an_edit_is_for_the_author_and_for_a_while(store: Store, clock: ManualClock) -> None:
    """Not even an owner edits others' messages, and the time begins when the message was stored."""
    store_all(store, say(CAROL, ROOM, "mine"))
    clock.ms += WITHIN - 1
    outcomes = store_all(store, edit(ALICE, ROOM, 1, "hers"), edit(CAROL, ROOM, 1, "better"))
    clock.ms += 1
    outcomes += store_all(store, edit(CAROL, ROOM, 1, "late"), redact(CAROL, ROOM, 1))
    assert codes(outcomes) == ["not_allowed", "", "too_late", ""]


def test_a_redaction_takes_everything_but_the_place(store: Store) -> None:
    """Text, reactions and mentions go; the place and the reply stay; earlier edits have no text."""
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
    assert store.room_log(1, limit=1)[0].action == "role"  # no moderation


def test_who_may_redact_whose(store: Store) -> None:
    """An owner everybody's, a moderator those of members and of who left; the log says who, whose and why."""
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


def test_between_two_only_one_s_own(store: Store) -> None:
    """In a pair neither outranks the other, and both can react."""
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


def test_what_is_not_there_is_no_target(store: Store, clock: ManualClock) -> None:
    """Neither a seq beyond the end, nor an event, nor what is redacted or pruned."""
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
        # The first one would have seq 8 in the commit in which it is.
        assert store.append(events)[0] == [FREE, FREE, FREE], target
    assert isinstance(store_all(store, edit(ALICE, ROOM, 6, "x"))[0], StoredMessage)


def test_replies(store: Store) -> None:
    """A reply keeps what it answers, also when that is gone; what was never there can't be answered."""
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


def test_what_was_before_one_joined_is_not_there(store: Store) -> None:
    """Without the full history, older messages can be neither target nor answered; with it, they can."""
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


def test_reactions_are_counted_by_person(store: Store) -> None:
    """Each person once, and what changes nothing is refused; the last one takes the reaction away."""
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
    assert [each.meta.count for each in rows(store)[1:]] == [0, 0, 0, 1, 0]  # as it is now


def test_so_many_different_reactions(store: Store) -> None:
    """At the limit there is no new one, but more of those that are there, and a new one instead of one."""
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


def test_a_refused_event_can_be_sent_again_under_its_id(store: Store) -> None:
    """Nothing happened, so the id is free; afterwards it is known."""
    early = react(ALICE, ROOM, 1, "+1")
    assert store_all(store, early, say(ALICE, ROOM, "one"), early, early) == [
        FREE,
        StoredMessage(1, 1, START),
        StoredMessage(1, 2, START, count=1),
        StoredMessage(1, 2, START, new=False),
    ]


def test_announcements(store: Store) -> None:
    """Members react there, and change what they wrote before, but write nothing."""
    store_all(store, say(CAROL, ROOM, "before"))
    store.change_room(
        RoomChange(action="set", room="#dev", actor=ALICE, kind=RoomKind.ANNOUNCEMENT, seconds=60)
    )
    outcomes = store_all(
        store,
        say(CAROL, ROOM, "no"),
        say(BOB, ROOM, "news"),
        react(CAROL, ROOM, 2, "+1"),
        react(CAROL, ROOM, 2, "ok"),  # slow mode is for messages
        edit(CAROL, ROOM, 1, "better"),
        redact(CAROL, ROOM, 1),
    )
    assert codes(outcomes) == ["not_allowed", "", "", "", "", ""]


def test_the_muted_and_the_archived_change_nothing(store: Store) -> None:
    """Not even what is theirs."""
    store_all(store, say(CAROL, ROOM, "mine"))
    events = [edit(CAROL, ROOM, 1, "x"), redact(CAROL, ROOM, 1), react(CAROL, ROOM, 1, "+1")]
    mute = RoomChange(action="mute", room="#dev", actor=ALICE, target=CAROL, seconds=9)
    store.change_room(mute)
    assert store_all(store, *events) == [Refused(ErrorCode.MUTED, 9.0)] * 3
    store.change_room(RoomChange(action="archive", room="#dev", actor=ALICE))
    assert codes(store_all(store, *events)) == ["room_archived"] * 3
    store.change_room(RoomChange(action="unarchive", room="#dev", actor=ALICE))
    store.change_room(RoomChange(action="leave", room="#dev", actor=CAROL))
    assert codes(store_all(store, *events)) == ["not_a_member"] * 3


@pytest.mark.parametrize("indexed", [False, True], ids=["not indexed", "indexed"])
@pytest.mark.parametrize("reopened", [False, True], ids=["open", "reopened"])
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_retries_are_answered_as_the_first_time(
    store: Store,
    store_factory: StoreFactory,
    tmp_path: Path,
    clock: ManualClock,
    *,
    indexed: bool,
    reopened: bool,
    at_once: bool,
) -> None:
    """Of messages and events alike, whatever became of them since; with other content it is a conflict."""
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
        store = store_factory.open(tmp_path, clock_ms=clock, edit_within_ms=WITHIN)
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


def test_a_retry_in_one_commit_is_judged_as_later(store: Store) -> None:
    """What is no part of the content, like who was a member when it was sent, makes no conflict."""
    message = say(ALICE, ROOM, "@bob", mentions=(BOB,))
    redaction = redact(ALICE, ROOM, 1, "why")
    again = [
        NewMessage(ALICE, ROOM, message.id, "@bob"),
        NewMessage(ALICE, ROOM, redaction.id, "", redaction.meta),
    ]
    outcomes, _ = store.append([message, redaction, *again])
    assert list(outcomes[2:]) == list(store.append(again)[0])
    assert codes(list(outcomes)) == [""] * 4


def test_a_page_of_edits_is_no_larger_than_asked_for(store: Store) -> None:
    """An edit is as large as its message's current text."""
    store_all(store, say(ALICE, ROOM, "short"), *(edit(ALICE, ROOM, 1, "x" * 10_000) for _ in range(5)))
    page = store.replay_page(ALICE, 1, after=1, limit=100, max_bytes=45_000)
    assert page is not None
    assert [each.seq for each in page.messages] == [2, 3]


def test_nothing_of_it_is_stored_after_erasing(
    store: Store, store_factory: StoreFactory, tmp_path: Path
) -> None:
    """Old texts of edits, redacted ones, reactions: all that an erased account wrote is gone."""
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


def test_events_all_over_a_conversation(store: Store, store_factory: StoreFactory) -> None:
    """However many chunks one commit changes, each change is kept, also a second one after others."""
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
