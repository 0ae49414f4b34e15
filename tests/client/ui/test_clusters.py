"""Widths of clusters, and their stand-ins in the input line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from qscp_client.ui.clusters import settle, split, stand_in, width
from tests.support.cluster_text import CLUSTERS, clustered_text, most_columns


@given(text=clustered_text())
def test_no_terminal_gives_more_columns(text: str) -> None:
    """`width` is the most that a terminal gives to a text; the clusters are the text."""
    assert width(text) >= most_columns(text)
    assert "".join(cluster for cluster, _ in split(text)) == text


@given(text=clustered_text(), other=clustered_text())
def test_joining_makes_nothing_wider(text: str, other: str) -> None:
    """Texts that fit beside each other fit when they are joined."""
    assert width(text + other) <= width(text) + width(other)


STAND_INS = {
    "heart with selector": "\u2764",
    "keycap": "1",
    "letter with selector": "a",
    "flag": "DE",
    "half a flag": "D",
    "family": "\U0001f468",
    "eye in a bubble": "\U0001f441",
    "skin tone": "\U0001f44d",
    "profession with skin tone": "\U0001f469",
    "watch as text": "\u231a",
    "joiner": "",
    "selector": "",
    "isolate": "\u05d0",
    "mark of direction": "",
}


@pytest.mark.parametrize("kind", CLUSTERS)
def test_what_is_certain_is_shown_as_it_is(kind: str) -> None:
    """An emoji of disputed width is shown by its base; letters of any script stay as they are."""
    assert settle(CLUSTERS[kind]) == STAND_INS.get(kind, CLUSTERS[kind])


WHOLE = sorted(CLUSTERS[kind] for kind in CLUSTERS if kind not in ("joiner", "selector", "number sign"))


@given(text=st.lists(st.sampled_from([*WHOLE, "a", " "])).map("".join))
def test_stand_ins_have_one_width(text: str) -> None:
    """The line editor, and a terminal that joins clusters, agree on the emoji that are shown."""
    shown = settle(text)
    for cluster, _ in split(shown):
        assert stand_in(cluster) == cluster
    assert get_cwidth(shown) <= width(text)
