"""Stores of every driver, for the tests of what any store does."""

import pytest

from tests.support.stores import SqliteFactory, StoreFactory


@pytest.fixture(scope="session", params=[SqliteFactory()], ids=["sqlite"])
def store_factory(request: pytest.FixtureRequest) -> StoreFactory:
    """Every driver, in turn."""
    factory: StoreFactory = request.param
    return factory
