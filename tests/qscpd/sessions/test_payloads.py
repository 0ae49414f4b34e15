"""Slices of queued payloads: nothing is lost, doubled or moved, however they are cut."""

from hypothesis import given
from hypothesis import strategies as st

from qscpd.sessions.payloads import Payload, take_slice


@given(st.lists(st.binary(min_size=1, max_size=8)), st.lists(st.integers(1, 12), min_size=1))
def test_slices_are_the_payloads_in_order(added: list[bytes], sizes: list[int]) -> None:
    """Whatever is cut, the bytes come in order, and what is left begins where the slice ended."""
    payloads: list[Payload] = list(added)
    expected = b"".join(added)
    for size in sizes:
        taken = take_slice(payloads, size)
        assert taken == expected[:size]
        expected = expected[size:]
        assert b"".join(payloads) == expected
        assert all(payloads)
