"""`python -m qscpd` is `qscpd`."""

from qscpd.cli import main

main()
