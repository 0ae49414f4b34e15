"""Entry point of `python -m qscpd`, which is the command `qscpd`."""

from qscpd.cli import main

main()
