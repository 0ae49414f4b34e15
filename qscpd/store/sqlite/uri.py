"""URIs of SQLite's files (https://sqlite.org/uri.html)."""

import os
from pathlib import Path
from urllib.parse import quote_from_bytes


def file_uri(path: Path, *options: str) -> str:
    """Return the URI of a file for `sqlite3.connect`.

    `Path.as_uri` imports a network client for it since Python 3.14, at its first use: that can be while root
    acts as another user, who might have no right to read the module.

    Args:
        path: The file; a relative one is of the working directory.
        options: Query parameters such as `mode=ro`.
    """
    return f"file://{quote_from_bytes(os.fsencode(path.absolute()))}?{'&'.join(options)}"
