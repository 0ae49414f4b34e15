import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qscp.ids import is_message_id, make_message_id


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7(unix_ms: int, random: bytes) -> None:
    """The standard library reads version, variant and time from an id."""
    made = uuid.UUID(make_message_id(unix_ms, random))
    assert (made.int >> 76 & 0xF, made.variant, made.int >> 80) == (7, uuid.RFC_4122, unix_ms)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_made_here_is_in_the_allowed_form(unix_ms: int, random: bytes) -> None:
    """`is_message_id` accepts the ids of `make_message_id`."""
    assert is_message_id(make_message_id(unix_ms, random))


@given(st.lists(st.integers(0, 2**48 - 1), unique=True, min_size=2))
def test_ids_rise_with_time(times: list[int]) -> None:
    """Ids sort as text in the order of their times, whatever their random part is."""
    made = [make_message_id(ms, bytes([ms % 256] * 10)) for ms in sorted(times)]
    assert made == sorted(made)


def test_the_random_bits_all_count() -> None:
    """74 of the 80 random bits are in the id; the others give way to version and variant."""
    ones, zeros = (int(make_message_id(0, byte * 10), 16) for byte in (b"\xff", b"\x00"))
    assert (ones ^ zeros).bit_count() == 74


@pytest.mark.parametrize("size", [0, 9, 11])
def test_too_few_or_too_many_random_bytes_are_refused(size: int) -> None:
    """Only exactly ten random bytes are accepted."""
    with pytest.raises(ValueError, match=f"got {size}"):
        make_message_id(0, b"\x00" * size)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 31,
        "0" * 33,
        "A" * 32,
        "g" * 32,
        "0" * 32 + "\n",
        " " + "0" * 31,
        "-" * 32,
        "\u0660" * 32,  # ARABIC-INDIC DIGIT ZERO: a digit to Python
        "\uff10" * 32,  # FULLWIDTH DIGIT ZERO
        "01234567-89ab-7def-8123-456789abcdef",
    ],
)
def test_other_forms_are_no_ids(text: str) -> None:
    """Only 32 lower-case ASCII hexadecimal digits are an id."""
    assert not is_message_id(text)
