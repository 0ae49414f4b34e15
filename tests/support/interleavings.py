"""What the state machines of devices share: who is there, and how many examples are tried."""

import contextlib
import os
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from qscp.rooms import HistoryFrom
from qscpd.config import Config
from qscpd.store.sqlite.store import SqliteStore
from tests.support.in_process_server import make_accounts
from tests.support.limits import NO_RATES
from tests.support.stores import add_room

USERS = ("alice", "bob", "carol")
DEVICES = ("alice", "bob", "alice", "bob", "carol")
"""The user of each device."""

CONFIG = Config(limits=replace(NO_RATES, output_queue_bytes=600))
"""A session whose peer does not read falls behind after two or three messages."""

NUMBERS = st.integers(0, len(DEVICES) - 1)
"""Numbers of devices."""

_ASKED_FOR = "QSCP_TEST_INTERLEAVINGS" in os.environ

SETTINGS = settings(
    max_examples=int(os.environ.get("QSCP_TEST_INTERLEAVINGS", "100")),
    # A failing example is made smaller, for minutes, only where more examples are asked for.
    phases=[*Phase] if _ASKED_FOR else [Phase.reuse, Phase.generate],
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def make_world(path: Path) -> None:
    """Make a store with the users, a room of all with its full history, and a club of alice."""
    make_accounts(path, *USERS)
    with contextlib.closing(SqliteStore(path)) as store:
        add_room(store, "#all", *USERS, history=HistoryFrom.FULL)
        add_room(store, "#club", "alice", history=HistoryFrom.JOINING)
