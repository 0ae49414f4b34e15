"""Cursors move one way; nothing is reported before it was applied or displayed."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from qscp_client.core.cursors import Cursors

SEQS = st.integers(1, 30)
MOVES = st.one_of(
    st.tuples(st.sampled_from(["apply", "display", "show", "prune", "extend_back"]), SEQS),
    st.tuples(st.sampled_from(["take_received", "take_read"]), st.none()),
)


def move(cursors: Cursors, name: str, seq: int | None) -> None:
    """Call a method by its name."""
    method = getattr(cursors, name)
    method() if seq is None else method(seq)


@given(st.lists(MOVES))
def test_no_cursor_moves_back(moves: list[tuple[str, int | None]]) -> None:
    """Calls in any order never move a cursor back; `oldest` only decreases."""
    cursors = Cursors()
    for name, seq in moves:
        before = dataclasses.replace(cursors)
        move(cursors, name, seq)
        assert (cursors.applied or 0) >= (before.applied or 0)
        assert cursors.reported >= before.reported
        assert cursors.displayed >= before.displayed
        assert cursors.read_reported >= before.read_reported
        assert cursors.shown >= before.shown
        assert cursors.first >= before.first
        assert before.oldest == 0 or 0 < cursors.oldest <= before.oldest


@given(st.lists(MOVES))
def test_nothing_is_reported_early(moves: list[tuple[str, int | None]]) -> None:
    """`received` never passes what was applied, nor `read` what was displayed."""
    cursors = Cursors()
    for name, seq in moves:
        move(cursors, name, seq)
        assert cursors.reported <= (cursors.applied or 0)
        assert cursors.read_reported <= cursors.displayed <= cursors.shown


@given(st.lists(MOVES), SEQS)
def test_rewind_resets_all_cursors(moves: list[tuple[str, int | None]], seq: int) -> None:
    """After a rewind, no cursor is beyond the seq, and later seqs can be applied again."""
    cursors = Cursors()
    for name, to in moves:
        move(cursors, name, to)
    cursors.rewind(seq)
    assert cursors.applied == seq
    assert max(cursors.reported, cursors.displayed, cursors.read_reported, cursors.shown) <= seq
    assert cursors.apply(seq + 1)


def test_a_seq_is_applied_once() -> None:
    """A seq is applied once; the first one can have any value."""
    cursors = Cursors()
    assert not cursors.has_applied(5)
    assert cursors.apply(5)
    assert cursors.has_applied(4)
    assert not cursors.apply(5)
    assert cursors.apply(6)


def test_received_is_reported_once_and_again_after_a_loss() -> None:
    """`received` is reported once, and again after a lost connection."""
    cursors = Cursors(applied=3, reported=3)
    assert cursors.take_received() is None
    cursors.apply(4)
    assert cursors.take_received() == 4
    assert cursors.take_received() is None
    cursors.repeat_received()
    assert cursors.take_received() == 4


def test_read_is_reported_until_the_server_has_it() -> None:
    """`read` is reported until the server confirms it, or has a later one."""
    cursors = Cursors()
    assert cursors.display(4)
    assert not cursors.display(4)
    assert cursors.take_read() == 4
    cursors.confirm_read(2)
    assert cursors.has_read_to_report
    assert cursors.take_read() == 4
    cursors.confirm_read(9)
    cursors.display(8)
    assert cursors.take_read() is None


def test_your_own_messages_are_shown_and_not_reported() -> None:
    """Showing your own messages reports no read position."""
    cursors = Cursors()
    cursors.show(3)
    assert (cursors.shown, cursors.displayed, cursors.take_read()) == (3, 0, None)
