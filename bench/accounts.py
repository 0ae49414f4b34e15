"""Make the accounts of a benchmark quickly, in a fresh store: u0, u1 and so on, and s0 to s3.

They all have one password, and so one hash, made once with the parameters that the daemon
ships with: a login verifies it in full.
"""

import argparse
import sys
from itertools import chain
from pathlib import Path

from qscpd.accounts.passwords import PasswordHasher
from qscpd.config.model import Argon2Config
from qscpd.store import open_store, store_url

_SENDERS = 4


def make_accounts(path: Path, users: int, password: str) -> None:
    """Make the store and its accounts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    password_hash = PasswordHasher(Argon2Config()).hash(password)
    store = open_store(store_url(path))
    try:
        for name in chain((f"u{i}" for i in range(users)), (f"s{i}" for i in range(_SENDERS))):
            store.add_account(name, password_hash)
    finally:
        store.close()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="the file to make")
    parser.add_argument("users", type=int, help="how many of u0, u1 ...")
    # The load generator's own default; nothing here is secret.
    parser.add_argument("--password", default="secretpw", help="of all of them (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.store.exists():
        sys.exit(f"{arguments.store} is there already")
    make_accounts(arguments.store, arguments.users, arguments.password)


if __name__ == "__main__":
    main()
