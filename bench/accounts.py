"""Create the accounts of a benchmark in a new store: u0, u1 and so on, and s0 to s3.

All have the same password and so the same hash, computed once with the daemon's default
parameters: each login still verifies it in full.
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
    """Create the store and its accounts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    password_hash = PasswordHasher(Argon2Config()).hash(password)
    store = open_store(store_url(path))
    try:
        for name in chain((f"u{i}" for i in range(users)), (f"s{i}" for i in range(_SENDERS))):
            store.add_account(name, password_hash)
    finally:
        store.close()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path, help="the store to create")
    parser.add_argument("users", type=int, help="number of accounts u0, u1 ...")
    # Default of the load generator too; it is not a secret.
    parser.add_argument(
        "--password", default="secretpw", help="password of all accounts (default: %(default)s)"
    )
    arguments = parser.parse_args()
    if arguments.store.exists():
        sys.exit(f"{arguments.store} already exists; remove it first")
    make_accounts(arguments.store, arguments.users, arguments.password)


if __name__ == "__main__":
    main()
