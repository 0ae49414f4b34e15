"""The index of message ids: refusals and other exceptions, and runs, in memory and in the file."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qscp.errors import ErrorCode
from qscp.rooms import HistoryFrom
from qscpd.domain.model import (
    Keep,
    MessageMeta,
    NewMessage,
    Refused,
    RefusedMessage,
    StoredMessage,
)
from qscpd.domain.retention import KEEP_IDS_MS
from qscpd.store.sqlite import id_runs, ids
from qscpd.store.sqlite.ids import UsedId
from qscpd.store.sqlite.store import SqliteStore
from tests.support.memory import memory_folder
from tests.support.stores import ManualClock, add_room, clock_of, close_killed, housekeep, kill

SENT = NewMessage(1, 2, f"{1:032x}", "hello")

ALICE, BOB, CAROL = 1, 2, 3
ROOM: Final = 1
"""The conversation of #dev."""
DAY: Final = 24 * 3600 * 1000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with alice and bob."""
    with contextlib.closing(SqliteStore(tmp_path / "qscpd.db", clock=clock_of(lambda: 1000))) as opened:
        for name in ("alice", "bob"):
            opened.add_account(name, "hash")
        yield opened


# --- refusals


def test_a_refusal_is_a_row_without_a_conversation(store: SqliteStore) -> None:
    """A refusal is kept as its code, in conversation 0 at seq 0, with its time."""
    refused = RefusedMessage(1, 0, SENT.id, "hello", code=ErrorCode.UNKNOWN_RECIPIENT, to="zoe")
    assert store.append([refused])[0] == [Refused(ErrorCode.UNKNOWN_RECIPIENT)]
    rows = store._db.read("SELECT * FROM sent_ids")
    assert rows == [(1, bytes.fromhex(SENT.id), b"unknown_recipient", 0, 0, 1000)]


@pytest.mark.parametrize("key", [b"of_a_newer_version", b"\xff\xfe", b""])
def test_an_unknown_code_is_a_refusal(store: SqliteStore, key: bytes) -> None:
    """A refusal with the code of a newer version is one for good, as before the downgrade."""
    with store._db.transaction() as db:
        db.execute("INSERT INTO sent_ids VALUES (1, ?, ?, 0, 0, 1000)", (bytes.fromhex(SENT.id), key))
    assert store.append([SENT])[0] == list(store.known([SENT])) == [Refused(ErrorCode.ID_CONFLICT)]


@pytest.mark.parametrize("code", ErrorCode)
def test_every_code_is_kept(code: ErrorCode) -> None:
    """What is kept of a refusal gives the refusal."""
    assert UsedId.by_refusal(code, 1000).refusal == Refused(code)
    assert UsedId(b"\0" * 8, 1, 1, 1000).refusal is None


# --- runs


class Chat:
    """A store with alice, bob and carol, all of them in #dev, that can crash.

    Attributes:
        store: The store.
        clock: Its clock.
    """

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self._path = folder / "qscpd.db"
        self.store = self._open()
        for name in ("alice", "bob", "carol"):
            self.store.add_account(name, "hash")
        add_room(self.store, "#dev", "alice", "bob", "carol", history=HistoryFrom.FULL)

    def _open(self) -> SqliteStore:
        store = SqliteStore(self._path, clock=self.clock, edit_within_ms=2**40)
        store._db.run("PRAGMA synchronous = OFF")
        return store

    def append(self, *messages: NewMessage) -> list[StoredMessage]:
        """Store messages that are new."""
        outcomes = list(self.store.append(messages)[0])
        assert all(isinstance(each, StoredMessage) and each.new for each in outcomes)
        return [each for each in outcomes if isinstance(each, StoredMessage)]

    def fold(self) -> None:
        """Fold the journal."""
        housekeep(self.store)

    def crash(self) -> None:
        """Open the store again, as after a SIGKILL."""
        kill(self.store)
        before, self.store = self.store, self._open()
        close_killed(before)

    def reopen(self) -> None:
        """Close and open the store."""
        self.store.close()
        self.store = self._open()

    def count(self, table: str) -> int:
        """Return the number of rows of a table."""
        return int(self.store._db.read(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - ours

    def check(self, sent: Sequence[NewMessage], outcomes: Sequence[StoredMessage]) -> None:
        """Check that retries get the outcome, and that other messages under these ids are refused."""
        expected = [msgspec.structs.replace(each, new=False, count=0) for each in outcomes]
        assert list(self.store.known(sent)) == expected
        assert list(self.store.append(sent)[0]) == expected
        others = [msgspec.structs.replace(each, body=f"not {each.body}") for each in sent]
        assert list(self.store.append(others)[0]) == list(self.store.known(others)) == [Refused()] * len(sent)

    def check_new(self, *messages: NewMessage) -> None:
        """Check that ids are new."""
        assert list(self.store.known(messages)) == [None] * len(messages)


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[Chat]:
    """A chat."""
    made = Chat(tmp_path)
    yield made
    made.store.close()


def message(number: int, sender: int = ALICE, recipient: int = BOB) -> NewMessage:
    """Return a message with an id and a text that are made from a number."""
    return NewMessage(sender, recipient, f"{number:032x}", f"text {number}")


STATES: Final[dict[str, Sequence[Callable[[Chat], None]]]] = {
    "in the tail": (),
    "in the tail, after a crash": (Chat.crash,),
    "folded": (Chat.fold,),
    "folded, after a crash": (Chat.fold, Chat.crash),
    "folded when closed": (Chat.reopen,),
}

in_each_state = pytest.mark.parametrize("state", STATES.values(), ids=STATES)


def bring(chat: Chat, state: Sequence[Callable[[Chat], None]]) -> None:
    """Bring what is stored into a state."""
    for step in state:
        step(chat)


@in_each_state
def test_an_id_of_a_run_is_known(chat: Chat, state: Sequence[Callable[[Chat], None]]) -> None:
    """Also if others have written between, under the same ids, there and in other conversations."""
    sent = [
        message(number, sender, recipient)
        for number in range(10, 400, 10)
        for sender, recipient in ((ALICE, BOB), (BOB, ALICE), (CAROL, -ROOM), (ALICE, -ROOM), (BOB, CAROL))
        if (number, sender, recipient) != (10, BOB, ALICE)
    ]
    sent = [msgspec.structs.replace(each, id=f"{n:032x}") for n, each in enumerate(sent, 1000)]
    stored = [outcome for each in sent for outcome in chat.append(each)]
    bring(chat, state)
    assert chat.count("sent_ids") == 0
    chat.check(sent, stored)
    others = {ALICE: BOB, BOB: CAROL, CAROL: ALICE}
    chat.check_new(*(msgspec.structs.replace(each, sender=others[each.sender]) for each in sent))
    chat.check_new(message(1), message(9_999), message(1, BOB, ALICE))


@in_each_state
def test_many_messages_have_few_runs(chat: Chat, state: Sequence[Callable[[Chat], None]]) -> None:
    """A run has many messages, and few enough to be read at a look-up."""
    sent = [message(number) for number in range(2000)]
    stored = [outcome for begin in range(0, 2000, 10) for outcome in chat.append(*sent[begin : begin + 10])]
    bring(chat, state)
    if state:
        chat.fold()
        assert 2000 // id_runs._RUN_MESSAGES <= chat.count("id_runs") <= 10
    chat.check(sent[::97], stored[::97])


@in_each_state
def test_an_id_that_does_not_rise_is_an_exception(
    chat: Chat, state: Sequence[Callable[[Chat], None]]
) -> None:
    """It is looked up, is stored once, and has a row; those above it are in runs as before."""
    high = [message(number) for number in (100, 200, 300)]
    stored = chat.append(*high)
    bring(chat, state)
    low = [message(150), message(50), message(299, recipient=-ROOM), message(250, recipient=CAROL)]
    chat.check_new(*low)
    stored += chat.append(*low)
    assert chat.count("sent_ids") == 4
    chat.check([*high, *low], stored)
    bring(chat, state)
    chat.check([*high, *low], stored)
    stored += chat.append(message(400))
    assert chat.count("sent_ids") == 4
    bring(chat, state)
    chat.check([*high, *low, message(400)], stored)


@in_each_state
def test_an_id_twice_in_a_commit(chat: Chat, state: Sequence[Callable[[Chat], None]]) -> None:
    """Rising or not, the second one gets the outcome of the first."""
    chat.append(message(100))
    bring(chat, state)
    sent = [message(50), message(200), message(50), message(200), message(100)]
    outcomes = chat.store.append(sent)[0]
    places = [(each.seq, each.new) for each in outcomes if isinstance(each, StoredMessage)]
    assert places == [(2, True), (3, True), (2, False), (3, False), (1, False)]
    bring(chat, state)
    assert chat.store.known(sent) == [msgspec.structs.replace(each, new=False) for each in outcomes]


def edit(chat: Chat) -> None:
    """Edit the messages of the pair."""
    for target in range(1, 5):
        meta = MessageMeta(kind="edit", target=target)
        chat.append(NewMessage(ALICE, BOB, f"{1000 + target:032x}", "edited", meta))


def redact(chat: Chat) -> None:
    """Redact the messages of the pair."""
    for target in range(1, 5):
        meta = MessageMeta(kind="redact", target=target)
        chat.append(NewMessage(ALICE, BOB, f"{1000 + target:032x}", "", meta))


def edit_and_redact(chat: Chat) -> None:
    """Edit the messages of the pair, and redact them."""
    edit(chat)
    for target in range(1, 5):
        meta = MessageMeta(kind="redact", target=target)
        chat.append(NewMessage(ALICE, BOB, f"{2000 + target:032x}", "", meta))


def prune(chat: Chat) -> None:
    """Remove the first messages of the pair."""
    chat.append(message(900, BOB, ALICE))
    chat.fold()
    housekeep(chat.store, Keep(messages=2))


def prune_all(chat: Chat) -> None:
    """Remove all messages of alice."""
    chat.append(message(900, BOB, ALICE))
    chat.fold()
    housekeep(chat.store, Keep(messages=1))


def erase(chat: Chat) -> None:
    """Erase what alice wrote."""
    while chat.store.housekeeping.erase_step(ALICE):
        pass


def delete_peer(chat: Chat) -> None:
    """Delete the account that they were sent to, and erase it."""
    chat.store.delete_account("bob")
    while chat.store.housekeeping.erase_step(BOB):
        pass


@in_each_state
@pytest.mark.parametrize("change", [edit, redact, edit_and_redact, prune, prune_all, erase, delete_peer])
def test_an_id_stays_known_whatever_becomes_of_its_message(
    chat: Chat, change: Callable[[Chat], None], state: Sequence[Callable[[Chat], None]]
) -> None:
    """A retry has the text that was sent first, and that decides, for thirty days."""
    sent = [message(100), message(200), message(300), message(150)]
    stored = chat.append(*sent)
    bring(chat, state)
    change(chat)
    chat.check(sent, stored)
    bring(chat, state)
    chat.check(sent, stored)
    chat.clock.wind((KEEP_IDS_MS - 1000) / 1000)
    chat.store.housekeeping.confirm_clock()
    chat.fold()
    bring(chat, state)
    chat.check(sent, stored)


# --- sweeps


def later(chat: Chat, ms: int) -> None:
    """Let time pass, and do all housekeeping."""
    chat.clock.wind(ms / 1000)
    chat.store.housekeeping.confirm_clock()
    chat.fold()


def test_exceptions_are_forgotten_after_thirty_days(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steps it takes; ids of messages that still exist are known as before."""
    monkeypatch.setattr(ids, "_SWEEP", 3)
    rising = [message(number) for number in range(1000, 1010)]
    stored = chat.append(*rising)
    chat.append(*(message(number) for number in range(100, 110)))
    later(chat, KEEP_IDS_MS)
    assert chat.count("sent_ids") == 10
    late = chat.append(message(200))
    later(chat, DAY)
    assert chat.count("sent_ids") == 1
    chat.check([*rising, message(200)], [*stored, *late])
    chat.check_new(message(100))


def test_runs_are_forgotten_when_all_their_messages_are_pruned(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their ids have rows then, until they are thirty days old."""
    monkeypatch.setattr(ids, "_SWEEP", 2)
    monkeypatch.setattr(id_runs, "_RUN_MESSAGES", 4)
    sent = [message(number) for number in range(1000, 1040)]
    stored = [outcome for each in sent for outcome in chat.append(each)]
    chat.fold()
    assert chat.count("id_runs") == 10
    later(chat, DAY)
    assert chat.count("id_runs") == 10
    housekeep(chat.store, Keep(messages=10))
    assert chat.count("sent_ids") == 30
    later(chat, DAY)
    assert chat.count("id_runs") == 3
    chat.check(sent, stored)
    later(chat, KEEP_IDS_MS)
    assert (chat.count("sent_ids"), chat.count("id_runs")) == (0, 3)
    chat.check(sent[30:], stored[30:])
    chat.check_new(*sent[:30])
    assert chat.store._ids.newest_of(ALICE) == sent[-1].id


def test_nothing_is_forgotten_while_the_clock_is_in_doubt(chat: Chat) -> None:
    """A wall clock that jumps ahead forgets no id."""
    chat.append(message(100))
    sent, (stored,) = message(50), chat.append(message(50))
    chat.fold()
    chat.clock.jump(400 * DAY / 1000)
    chat.reopen()
    chat.fold()
    assert chat.store.housekeeping.clock_doubt() is not None
    assert chat.count("sent_ids") == 1
    chat.check([sent], [stored])


# --- anything


OPS = st.lists(
    st.one_of(
        st.lists(
            st.tuples(st.sampled_from((ALICE, BOB)), st.sampled_from((CAROL, 0, -ROOM)), st.integers(0, 40)),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from(("fold", "steps", "crash", "reopen", "prune", "edit", "redact")),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(ops=OPS)
def test_any_order_of_ids_has_the_outcomes_of_a_dict(ops: Sequence[str | list[tuple[int, int, int]]]) -> None:
    """Whatever the order of senders, recipients and ids, and of folding, crashes and changes between."""
    with pytest.MonkeyPatch.context() as patch, memory_folder() as folder:
        patch.setattr(id_runs, "_RUN_MESSAGES", 5)
        patch.setattr(id_runs, "_RUN_PLACES", 2)
        patch.setattr(ids, "_ACCOUNTS", 1)
        chat = Chat(Path(folder))
        known: dict[tuple[int, str], tuple[NewMessage, StoredMessage]] = {}
        amendments = 0
        for op in ops:
            if isinstance(op, list):
                batch = [
                    message(1000 + number, sender, recipient or ALICE + BOB - sender)
                    for sender, recipient, number in op
                ]
                outcomes = chat.store.append(batch)[0]
                for each, outcome in zip(batch, outcomes, strict=True):
                    first, stored = known.get((each.sender, each.id), (each, None))
                    if stored is None:
                        assert isinstance(outcome, StoredMessage)
                        assert outcome.new
                        known[each.sender, each.id] = each, msgspec.structs.replace(outcome, new=False)
                    else:
                        assert outcome == (stored if first == each else Refused())
            elif op in ("edit", "redact"):
                for sent, stored in [*known.values()][-3:]:
                    amendments += 1
                    meta = MessageMeta(kind="edit" if op == "edit" else "redact", target=stored.seq)
                    new_id = f"{5000 + amendments:032x}"
                    body = "edited" if op == "edit" else ""
                    chat.store.append([NewMessage(sent.sender, sent.recipient, new_id, body, meta)])
            elif op == "steps":
                chat.store._fold.request()
                for _ in range(2):
                    chat.store.housekeeping.step(Keep())
            elif op == "prune":
                housekeep(chat.store, Keep(messages=3))
            else:
                {"fold": Chat.fold, "crash": Chat.crash, "reopen": Chat.reopen}[op](chat)
            asked = [sent for sent, _ in known.values()]
            assert list(chat.store.known(asked)) == [stored for _, stored in known.values()]
            unused = [
                message(1000 + number, sender)
                for sender in (ALICE, BOB)
                for number in range(41)
                if (sender, f"{1000 + number:032x}") not in known
            ]
            chat.check_new(*unused)
        chat.store.close()
