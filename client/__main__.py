"""Lets `python -m client` run from a bare checkout, without an installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from qscp_client.cli import main  # found through the line above

main()
