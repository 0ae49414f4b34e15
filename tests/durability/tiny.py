"""`qscpd` with tiny chunks, and transactions that end before the second message that takes long."""

from qscpd.cli import main
from tests.support.stores import tiny_transactions

if __name__ == "__main__":
    with tiny_transactions():
        main()
