"""Stores of every driver, for the tests that every driver must pass."""

import pytest

from tests.support.stores import ManualClock, SqliteFactory, StoreFactory


@pytest.fixture(scope="session", params=[SqliteFactory()], ids=["sqlite"])
def store_factory(request: pytest.FixtureRequest) -> StoreFactory:
    """Factory of stores, one for each driver."""
    factory: StoreFactory = request.param
    return factory


@pytest.fixture
def clock() -> ManualClock:
    """The store's clock."""
    return ManualClock()
