"""Searches of a store, over all their steps."""

from collections.abc import Sequence
from typing import Final

from qscpd.domain.model import FoundPage
from qscpd.domain.search import Place, Search, SearchQuery
from qscpd.store.base import StoreReader

__all__ = ["NEWEST", "search_page"]

NEWEST: Final = Place(2**53, 0, 0)
"""A place after all messages."""


def search_page(
    reader: StoreReader,
    account: int,
    words: Sequence[str],
    *,
    conversation: int | None = None,
    before: tuple[int, int, int] = NEWEST,
    limit: int,
) -> FoundPage:
    """Return a page of a search, after as many steps as it takes."""
    search = Search(SearchQuery(account, tuple(words), conversation, Place(*before), limit))
    while (page := reader.search(search)) is None:
        pass
    return page
