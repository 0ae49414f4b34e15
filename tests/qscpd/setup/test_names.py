"""Changes of the names of a certificate."""

import pytest

from qscpd.errors import UsageError
from qscpd.setup.names import change_names

PRESENT = ("localhost", "Chat.example.org", "::1")


@pytest.mark.parametrize(
    ("add", "drop", "sentence"),
    [
        ([], ["other"], "'other' is not in the certificate, which is for localhost, chat.example.org, ::1"),
        (["a"], ["A"], "a is both added and dropped; use one of --name and --drop-name"),
        ([], PRESENT, "a certificate needs a name; drop fewer, or add one"),
        (["no name"], [], "'no name' is neither a DNS name nor an IP address"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(add: list[str], drop: list[str], sentence: str) -> None:
    """A name that is not there, one that is meant both ways, and none at all are refused."""
    with pytest.raises(UsageError) as caught:
        change_names(PRESENT, add, drop)
    assert sentence in str(caught.value)


def test_names_are_compared_as_clients_do() -> None:
    """Letter case and forms of an address make no difference."""
    change = change_names(PRESENT, ["LOCALHOST", "a", "a"], ["chat.EXAMPLE.org", "0::1"])
    assert (change.kept, change.added, change.dropped) == (
        ("localhost",),
        ("a",),
        ("chat.example.org", "::1"),
    )


def test_a_name_of_another_issuer_can_be_dropped() -> None:
    """Names that we would not issue can be left out."""
    assert change_names(("chat_1", "b"), [], ["chat_1"]).names == ("b",)
