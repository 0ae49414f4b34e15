"""Labels of accounts."""

from hypothesis import given
from hypothesis import strategies as st

from qscp.errors import InvalidNameError
from qscp.names import normalize_name
from qscpd.domain.labels import AccountLabels


def labels(*names: str) -> dict[int, str]:
    """Return the labels of accounts with these names, by ids from 1 on."""
    made = AccountLabels()
    for account, name in enumerate(names, 1):
        made.add(account, name)
    return made.by_id


def is_name(text: str) -> bool:
    """Return whether an account can have this name."""
    try:
        normalize_name(text)
    except InvalidNameError:
        return False
    return True


def test_the_last_holder_has_the_plain_name() -> None:
    """Former holders are numbered in the order of their ids; other names are left alone."""
    assert labels("bob", "alice", "bob", "bob") == {1: "bob~1", 2: "alice", 3: "bob~2", 4: "bob"}


def test_a_known_account_keeps_its_label() -> None:
    """Adding an account again, as after a change of its state, changes nothing."""
    made = AccountLabels({1: "bob~1", 2: "bob"})
    seen = made.by_id
    made.add(1, "bob")
    made.add(2, "bob")
    assert seen == {1: "bob~1", 2: "bob"}
    made.add(3, "bob")
    assert seen == {1: "bob~1", 2: "bob~2", 3: "bob"}


@given(st.lists(st.sampled_from(["bob", "bo", "bob-1", "b.ob"]), max_size=30), st.integers(0, 30))
def test_any_names(names: list[str], loaded: int) -> None:
    """Labels tell all accounts apart, and are the same whether they were loaded or added one by one.

    A label of a former holder is no name that an account can have.
    """
    whole = labels(*names)
    assert len(set(whole.values())) == len(names)
    assert {label for label in whole.values() if is_name(label)} == set(names)
    continued = AccountLabels(labels(*names[:loaded]))
    for account, name in enumerate(names, 1):
        continued.add(account, name)
    assert continued.by_id == whole
