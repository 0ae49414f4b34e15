"""Fair shares: every share has its turn, and the largest one is at hand."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscpd.fairness import Lane, Lanes, ShareQueue, ShareSizes

PATHS = st.tuples(st.sampled_from("ab"), st.sampled_from("cdef"))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans())))
def test_sizes_agree_with_a_counter(changes: list[tuple[str, bool]]) -> None:
    """After any changes, sizes and the largest one are those of a plain counter."""
    sizes: ShareSizes[str] = ShareSizes()
    model: Counter[str] = Counter()
    for key, grows in changes:
        if grows:
            sizes.grow(key)
            model[key] += 1
        elif model[key]:
            sizes.shrink(key)
            model[key] -= 1
        model = +model
        assert {each: sizes[each] for each in "abcd" if sizes[each]} == model
        assert len(sizes) == len(model)
        if model:
            assert model[sizes.largest()] == model[sizes.largest(newest=False)] == max(model.values())
            assert len(sizes._keys) <= len(model)
    with pytest.raises(KeyError):
        ShareSizes[str]().largest()


@given(st.lists(PATHS, max_size=40))
def test_shares_have_their_turns(paths: list[tuple[str, str]]) -> None:
    """Items of a share come in their order, and no share gets two turns while another one waits for one."""
    queue: ShareQueue[int] = ShareQueue()
    for number, path in enumerate(paths):
        queue.push(number, *path)
    assert len(queue) == len(paths)
    order = [queue.pop() for _ in paths]
    popped = [paths[number] for number in order]
    for path in set(paths):
        mine = [number for number in order if paths[number] == path]
        assert mine == sorted(mine)
    waiting = Counter(top for top, _ in paths)
    turns: Counter[str] = Counter()
    for top, _ in popped:
        assert all(turns[top] <= turns[other] for other in waiting if waiting[other])
        turns[top] += 1
        waiting[top] -= 1
    with pytest.raises(IndexError):
        queue.pop()


@given(st.lists(PATHS, min_size=1, max_size=40))
def test_drop_takes_the_newest_of_the_longest_share(paths: list[tuple[str, str]]) -> None:
    """What is dropped is the newest item of a longest share, at each level."""
    queue: ShareQueue[int] = ShareQueue()
    left = dict(enumerate(paths))
    for number, path in left.items():
        queue.push(number, *path)
    for _ in paths:
        dropped = queue.drop()
        top, inner = left[dropped]
        tops = Counter(each for each, _ in left.values())
        assert tops[top] == max(tops.values())
        inners = Counter(each for other, each in left.values() if other == top)
        assert inners[inner] == max(inners.values())
        assert dropped == max(number for number, path in left.items() if path == (top, inner))
        del left[dropped]
        assert queue.size(top, inner) == sum(path == (top, inner) for path in left.values())


@given(st.lists(PATHS, max_size=20), st.sets(st.integers(0, 19)))
def test_discarded_items_leave_nothing(paths: list[tuple[str, str]], discarded: set[int]) -> None:
    """A discarded item never comes, also if it is discarded twice; empty shares are forgotten."""
    queue: ShareQueue[int] = ShareQueue()
    for number, path in enumerate(paths):
        queue.push(number, *path)
    for number in discarded & set(range(len(paths))):
        queue.discard(number, *paths[number])
        queue.discard(number, *paths[number])
    left = set(range(len(paths))) - discarded
    assert len(queue) == len(left)
    assert queue.turns() == len({paths[number][0] for number in left})
    assert {queue.pop() for _ in left} == left
    assert queue.turns() == 0


def test_who_comes_into_a_crowd_does_not_wait_behind_it() -> None:
    """With more shares than the bound the newest one is next, and each still has one turn in a round."""
    queue: ShareQueue[str] = ShareQueue(newest_first_above=3)
    for name in "abcde":
        queue.push(f"{name}1", name)
        queue.push(f"{name}2", name)
    first = [queue.pop() for _ in range(2)]
    queue.push("new", "n")
    assert [*first, queue.pop()] == ["e1", "d1", "new"]
    assert [queue.pop() for _ in range(3)] == ["c1", "b1", "a1"]
    assert sorted(queue.pop() for _ in range(5)) == ["a2", "b2", "c2", "d2", "e2"]


def test_lanes_leave_turns_to_the_next_one() -> None:
    """One of four turns belongs to the next lane, one of sixteen to that behind it."""
    lanes: Lanes[Lane] = Lanes()
    for lane in Lane:
        for number in range(32):
            lanes[lane].push(lane, number)
    turns = Counter(lanes.pop() for _ in range(16))
    assert turns == {Lane.KNOWN: 12, Lane.CLEAN: 3, Lane.FAILED: 1}
    assert lanes.drop() is Lane.LAST
    rest = [lanes.pop() for _ in range(len(lanes))]
    assert rest[-31:] == [Lane.LAST] * 31
    with pytest.raises(IndexError):
        lanes.pop()
    with pytest.raises(IndexError):
        lanes.drop()
