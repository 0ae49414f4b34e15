"""Erasing: text is removed from every file; seqs stay.

The sentence of the design that is proved here: *never removed from the middle: erase leaves a
tombstone with its seq*.
"""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from qscpd.domain.model import Keep, MessageMeta, NewMessage, Refused, StoredMessage
from qscpd.domain.rooms import RoomChange
from qscpd.store.base import Store
from tests.support.ids import IdMaker
from tests.support.searches import search_page
from tests.support.stores import StoreFactory, housekeep, housekeeping_step, rows_of, unread_of

ALICE, BOB, CAROL, DAN = 1, 2, 3, 4
NEWEST = (2**53, 0, 0)


@pytest.fixture
def store(store_factory: StoreFactory, tmp_path: Path) -> Iterator[Store]:
    """A store with four accounts."""
    with contextlib.closing(store_factory.open(tmp_path)) as store:
        for name in ("alice", "bob", "carol", "dan"):
            store.add_account(name, "x")
        yield store


make_id = IdMaker()


def message(sender: int, recipient: int, body: str) -> NewMessage:
    """Make a message with a new id."""
    return NewMessage(sender, recipient, make_id(), body)


def finish(store: Store) -> None:
    """Do all housekeeping."""
    housekeep(store)


def erase(store: Store, account: int = ALICE) -> int:
    """Erase an account completely; return the number of steps."""
    steps = 1
    while store.housekeeping.erase_step(account):
        steps += 1
    return steps


def shown(store: Store, conversation: int) -> list[tuple[int, int, str | None]]:
    """Return seq, sender and body of all messages of a conversation."""
    rows = rows_of(store, conversation)
    return [(row.seq, row.sender, row.body) for row in rows]


def test_a_tombstone_keeps_its_seq(store: Store) -> None:
    """An erased message keeps seq, sender, id and time; messages of others are unchanged."""
    store.append([message(ALICE, BOB, "mine"), message(BOB, ALICE, "yours"), message(ALICE, CAROL, "hers")])
    store.append([message(BOB, CAROL, "theirs")])
    before = rows_of(store, 1)
    erase(store)
    assert shown(store, 1) == [(1, ALICE, None), (2, BOB, "yours")]
    assert shown(store, 2) == [(1, ALICE, None)]
    assert shown(store, 3) == [(1, BOB, "theirs")]
    assert rows_of(store, 1) == [before[0]._replace(body=None), before[1]]


def test_seqs_continue_after_erasing(store: Store) -> None:
    """Seqs of erased messages are not reused, and unread counts still include them."""
    store.append([message(ALICE, BOB, "mine")])
    erase(store)
    outcomes, _ = store.append([message(BOB, ALICE, "more")])
    assert isinstance(outcomes[0], StoredMessage)
    assert outcomes[0].seq == 2
    assert unread_of(store, BOB, 1) == (1, 0)


def test_an_erased_message_is_not_found(store: Store) -> None:
    """Search finds no word of an erased message, and still finds messages of others."""
    store.append([message(ALICE, BOB, "secret plan"), message(BOB, ALICE, "what plan")])
    finish(store)
    erase(store)
    for words, expected in ((["plan"], [2]), (["secret"], [])):
        matches, _, _ = search_page(store, BOB, words, limit=9)
        assert [each.message.seq for each in matches] == expected


def test_an_erased_message_is_not_indexed(store: Store) -> None:
    """A message that was erased before it was indexed is never found."""
    store.append([message(ALICE, BOB, "secret plan")])
    erase(store)
    finish(store)
    assert search_page(store, BOB, ["secret"], limit=9) == ([], True, None)


def test_a_retry_of_an_erased_message_is_still_a_retry(store: Store) -> None:
    """A retry of an erased message gets its original place; another text under its id is refused."""
    sent = message(ALICE, BOB, "mine")
    first, _ = store.append([sent])
    stored = first[0]
    assert isinstance(stored, StoredMessage)
    erase(store)
    again, _ = store.append([sent, NewMessage(ALICE, BOB, sent.id, "other")])
    assert again == [StoredMessage(1, 1, stored.time_ms, new=False), Refused()]


def test_erasing_can_be_resumed(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """After an interruption and a restart, erasing again completes it."""
    store.append([message(ALICE, BOB, f"text{number}") for number in range(1000)])
    while shown(store, 1)[0][2] is not None:
        assert store.housekeeping.erase_step(ALICE)
    store.close()
    with contextlib.closing(store_factory.open(tmp_path)) as again:
        assert any(body for _, _, body in shown(again, 1))
        erase(again)
        assert not any(body for _, _, body in shown(again, 1))
        assert erase(again) < 10  # nothing was left to erase


@pytest.mark.parametrize("seed", range(6))
def test_no_trace_of_the_text_is_left(
    store: Store, store_factory: StoreFactory, tmp_path: Path, seed: int
) -> None:
    """Erasing removes every trace of the text, whatever was stored before and is stored meanwhile."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    accounts = [ALICE, BOB, CAROL, DAN]
    keep = Keep(messages=chance.choice([None, 30, 100]))
    for _ in range(chance.randrange(20, 150)):
        batch = []
        for _ in range(chance.choice([1, 1, 3, 30, 120])):
            sender, recipient = chance.sample(accounts, 2)
            word = f"{'canary' if sender == ALICE else 'sparrow'}{chance.randrange(10**6)}"
            parts = chance.choice([1, 2, 10, 60, 600])
            batch.append(message(sender, recipient, " ".join(f"{word}x{part}" for part in range(parts))))
        store.append(batch)
        for _ in range(chance.choice([0, 1, 3])):
            housekeeping_step(store, keep)
    assert store_factory.has_trace(tmp_path, b"canary")
    store.delete_account("alice")
    while store.housekeeping.erase_step(ALICE):
        if chance.random() < 0.3:
            store.append([message(BOB, CAROL, f"sparrow{chance.randrange(10**6)}")])
        if chance.random() < 0.3:
            housekeeping_step(store, keep)
    assert not store.housekeeping.compaction_due()
    assert not store_factory.has_trace(tmp_path, b"canary")
    assert store_factory.has_trace(tmp_path, b"sparrow")


def test_reactions_and_reasons_are_erased(store: Store, store_factory: StoreFactory, tmp_path: Path) -> None:
    """Erasing removes an account's reactions and the reasons in its log entries; the entries stay."""
    room = store.change_room(RoomChange(action="create", room="#dev", actor=ALICE, text="herbs")).room
    store.change_room(RoomChange(action="join", room="#dev", actor=BOB))
    store.change_room(RoomChange(action="mute", room="#dev", actor=ALICE, target=BOB, text="parsley"))
    store.change_room(RoomChange(action="unmute", room="#dev", actor=ALICE, target=BOB))
    store.append([NewMessage(BOB, -room.id, make_id(), "hello")])
    store.append([NewMessage(ALICE, -room.id, make_id(), "basil", MessageMeta(kind="react", target=1))])
    store.delete_account("alice")
    erase(store)
    first, second = store.export_room(room.id)
    assert (first.body, first.meta.reactions, second.body) == ("hello", {}, None)
    logged = [(entry.action, entry.actor, entry.text) for entry in store.room_log(room.id)]
    assert ("mute", ALICE, "") in logged
    mute = store.last_mute(room.id, BOB)
    assert mute is not None
    assert (mute.actor, mute.text) == (ALICE, "")
    assert not store_factory.has_trace(tmp_path, b"parsley")
    assert not store_factory.has_trace(tmp_path, b"basil")
