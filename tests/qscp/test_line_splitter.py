import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.connection import LineSplitter
from tests.support.strategies import splits


def expected(data: bytes, limit: int) -> tuple[list[bytes], bool]:
    """Return the lines of an input and whether it is overlong, computed in the simplest way."""
    lines: list[bytes] = []
    line = b""
    for byte in data:
        if byte == ord("\n"):
            lines.append(line)
            line = b""
        else:
            line += bytes([byte])
            if len(line) > limit:
                return lines, True
    return lines, False


def fed(parts: list[bytes], limit: int) -> tuple[list[bytes], bool]:
    """Return the lines of a splitter that gets the input in parts."""
    splitter = LineSplitter(limit)
    lines = [line for part in parts for line in splitter.feed(part)]
    return lines, splitter.overlong


def all_splits(data: bytes) -> Iterator[list[bytes]]:
    """Yield every way to cut bytes into non-empty parts."""
    for cuts in itertools.product([False, True], repeat=len(data) - 1):
        parts = [data[:1]]
        for index, cut in enumerate(cuts, 1):
            if cut:
                parts.append(b"")
            parts[-1] += data[index : index + 1]
        yield parts


@pytest.mark.parametrize(
    "data", [b"ab\nc\n\nd", b"abc\nabcd\nx", b"\n\n\n", b"abcd", b"abcde\nx\n", b"abc\nabc\nab"]
)
def test_every_split_of_small_inputs_gives_the_same_lines(data: bytes) -> None:
    """Lines and verdict do not depend on how bytes arrive, at limit and at limit + 1 bytes."""
    for parts in all_splits(data):
        assert fed(parts, 3) == expected(data, 3)


def test_all_small_inputs_give_the_right_lines() -> None:
    """All inputs of up to six bytes, whole and byte by byte, with a limit of two, are split correctly."""
    for size in range(7):
        for letters in itertools.product(b"a\n", repeat=size):
            data = bytes(letters)
            assert fed([data], 2) == fed([bytes([byte]) for byte in data], 2) == expected(data, 2)


@given(
    st.data(), st.lists(st.sampled_from([b"a", b"bcd", b"\n", b"efghijk"]), max_size=30), st.integers(1, 12)
)
def test_random_splits_give_the_same_lines(data: st.DataObject, parts: list[bytes], limit: int) -> None:
    """Longer inputs, cut at random and with empty parts, give the same lines."""
    whole = b"".join(parts)
    parts = data.draw(splits(whole))
    assert b"".join(parts) == whole
    assert fed(parts, limit) == expected(whole, limit)


@pytest.mark.parametrize("cut", [1, 50, 99, 100, 101, 102])
def test_a_line_of_the_limit_passes_and_one_byte_more_does_not(cut: int) -> None:
    """The limit is exact wherever the bytes were cut."""
    good, bad = b"x" * 100 + b"\n", b"x" * 101 + b"\n"
    assert fed([good[:cut], good[cut:]], 100) == ([b"x" * 100], False)
    assert fed([bad[:cut], bad[cut:]], 100) == ([], True)


def test_nothing_is_taken_from_the_tail_of_an_overlong_line() -> None:
    """Bytes after an overlong line, even after its newline, are never a line."""
    splitter = LineSplitter(10)
    assert splitter.feed(b'ok\n{"type":"ping"}\n{}\n') == [b"ok"]
    assert splitter.overlong
    assert splitter.feed(b"{}\n") == []


def test_an_overlong_line_is_refused_before_its_newline_comes() -> None:
    """The peer can not make us buffer more than the limit."""
    splitter = LineSplitter(10)
    splitter.feed(b"x" * 11)
    assert splitter.overlong
    assert not splitter._partial


def test_a_new_limit_counts_for_what_is_there_already() -> None:
    """A line that began under the small limit can end under the large one."""
    splitter = LineSplitter(4)
    splitter.feed(b"abcd")
    splitter.limit = 8
    assert splitter.feed(b"efgh\n") == [b"abcdefgh"]
