"""URLs of stores, and optional capabilities of drivers."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from qscpd import store as stores
from qscpd.errors import StoreBusyError, StoreError
from qscpd.store import (
    copy_store,
    inspect_copy,
    lock_store,
    newest_schema,
    open_reader,
    open_store,
    store_url,
)
from qscpd.store.base import Store, StoreReader
from qscpd.store.clock import Clock
from tests.support.programs import unmeasured
from tests.support.stores import ManualClock


class PlainDriver:
    """A driver without optional capabilities."""

    def open_store(self, location: str, *, clock: Clock | None, edit_within_ms: int) -> Store:
        """Raise; it is not used."""
        raise NotImplementedError(location, clock, edit_within_ms)

    def open_reader(self, location: str) -> StoreReader:
        """Raise; it is not used."""
        raise NotImplementedError(location)


def no_pause() -> None:
    """Return at once."""


def test_a_store_is_opened_by_its_url(tmp_path: Path) -> None:
    """A URL locks a store, opens it with a clock for writing, and opens it for reading."""
    clock = ManualClock()
    url = store_url(tmp_path / "q.db")
    assert url == f"sqlite://{tmp_path}/q.db"
    with (
        lock_store(url),
        contextlib.closing(open_store(url, clock=clock)) as store,
        contextlib.closing(open_reader(url)) as reader,
    ):
        assert store.add_account("alice", "x").created_ms == clock.ms
        assert reader.accounts() == store.accounts()
        assert reader.epoch() == store.epoch()
        with pytest.raises(StoreBusyError), lock_store(url):
            pass


def test_any_path_makes_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path stays relative, and no character of a path is special in its URL."""
    monkeypatch.chdir(tmp_path)
    for name in ("q.db", "a b%20c?d=e#f.db", "x://y.db"):
        path = Path("var") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.parent.joinpath("x:").mkdir(exist_ok=True)
        open_store(store_url(path)).close()
        assert (tmp_path / path).is_file()


@pytest.mark.parametrize("url", ["postgres://host/qscp", "/var/lib/qscp/qscpd.db", "sqlite:/q.db", ""])
def test_an_unknown_url_names_the_known_ones(url: str, tmp_path: Path) -> None:
    """Every function that takes a URL refuses an unknown scheme and names the known ones."""
    for use in (
        open_store,
        open_reader,
        lock_store,
        inspect_copy,
        newest_schema,
        lambda url: copy_store(url, tmp_path, no_pause),
    ):
        with pytest.raises(StoreError, match=r"has to begin with one of: sqlite://$") as caught:
            use(url)
        assert str(caught.value).startswith(f"{url}: ")


def test_a_driver_may_lack_capabilities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Using a capability that the driver lacks raises an error that says what to do instead."""
    monkeypatch.setattr(stores, "_DRIVERS", {"plain": PlainDriver})
    with pytest.raises(StoreError, match="only by the running daemon"):
        lock_store("plain://x")
    for use in (inspect_copy, newest_schema, lambda url: copy_store(url, tmp_path, no_pause)):
        with pytest.raises(StoreError, match="their database's own tools"):
            use("plain://x")


def test_a_driver_is_imported_when_it_is_used() -> None:
    """Importing the package does not import a database driver."""
    program = "import sys, qscpd.store.writer; assert 'sqlite3' not in sys.modules; print('ok')"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=unmeasured()
    )
    assert ran.stdout == "ok\n"
