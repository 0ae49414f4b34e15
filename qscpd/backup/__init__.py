"""Backups: folders with everything that a server needs, made while the daemon runs.

`manifest` describes the content, `make` creates a backup, `verify` checks it, `restore` turns
it into an installation, `system` puts it in the place of the service, and `prune` removes old ones.
"""

from qscpd.backup.make import make_backup
from qscpd.backup.manifest import Manifest, read_manifest
from qscpd.backup.prune import Pruned, prune_backups
from qscpd.backup.restore import Restored, restore_backup
from qscpd.backup.system import Change, SystemRestored, restore_system
from qscpd.backup.verify import find_problems

__all__ = [
    "Change",
    "Manifest",
    "Pruned",
    "Restored",
    "SystemRestored",
    "find_problems",
    "make_backup",
    "prune_backups",
    "read_manifest",
    "restore_backup",
    "restore_system",
]
