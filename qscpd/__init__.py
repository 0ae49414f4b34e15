"""`qscpd`, the daemon of QSCP; `qscpd.app` assembles it.

Importing this package points OpenSSL at `openssl.cnf` beside this file, unless the operator
set another configuration: Python's `ssl` has no call that sets the list of
key-exchange groups, and OpenSSL reads its configuration once, before the first context.
"""

import os
from pathlib import Path

os.environ.setdefault("OPENSSL_CONF", str(Path(__file__).with_name("openssl.cnf")))
