"""The SQLite schema, as a list of steps that only ever grows at its end.

A step that has been released is never edited: `PRAGMA user_version` counts how many of
them a file has seen, and a file from a newer version than ours is refused.
"""

import sqlite3
from pathlib import Path
from typing import Final, NamedTuple

from qscpd.errors import StoreDamagedError

APPLICATION_ID: Final = 0x51534350
"""`PRAGMA application_id` of our files: "QSCP"."""

MIGRATIONS: Final[tuple[str, ...]] = (
    # 1: accounts, pairs of users, messages.
    #
    # Messages of one conversation that were committed together are one row, a *chunk*:
    # SQLite's cost is per row, not per byte, and with one row a message it would be most of
    # what the daemon does (docs/performance.md). chunks.id is the order of the commits.
    """
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'locked', 'deleted')),
        password_hash TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX account_names ON accounts (name) WHERE state <> 'deleted';
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        low INTEGER NOT NULL REFERENCES accounts (id),
        high INTEGER NOT NULL REFERENCES accounts (id),
        last_seq INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        UNIQUE (low, high),
        CHECK (low < high)
    ) STRICT;
    CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        last_seq INTEGER NOT NULL,
        messages BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX chunk_positions ON chunks (conversation, last_seq);
    """,
    # 2: positions, message ids, the search index, what was pruned.
    #
    # The search index is contentless: the text is in the chunks. Its rowid is
    # conversation << 32 | seq, so that a search can be kept to one conversation.
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES
        ('epoch', lower(hex(randomblob(8)))), ('ids_indexed', '0'), ('words_indexed', '0');
    ALTER TABLE conversations ADD COLUMN first_seq INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE positions (
        account INTEGER NOT NULL REFERENCES accounts (id),
        conversation INTEGER NOT NULL REFERENCES conversations (id),
        read_seq INTEGER NOT NULL DEFAULT 0,
        delivered_seq INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, conversation)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX position_members ON positions (conversation);
    INSERT INTO positions (account, conversation) SELECT low, id FROM conversations;
    INSERT INTO positions (account, conversation) SELECT high, id FROM conversations;
    CREATE TABLE sent_ids (
        account INTEGER NOT NULL,
        id BLOB NOT NULL,
        hash BLOB NOT NULL,
        conversation INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5 (body, content='', tokenize='unicode61 remove_diacritics 2');
    """,
    # 3: rooms. A conversation is a pair (low, high) or a room, which has neither.
    #
    # Made anew, because SQLite can't make a column accept NULL (https://sqlite.org/lang_altertable.html#otheralter).
    """
    CREATE TABLE conversations_3 (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        low INTEGER REFERENCES accounts (id),
        high INTEGER REFERENCES accounts (id),
        last_seq INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        first_seq INTEGER NOT NULL DEFAULT 1,
        UNIQUE (low, high),
        CHECK (low < high),
        CHECK ((low IS NULL) = (high IS NULL))
    ) STRICT;
    INSERT INTO conversations_3 (id, low, high, last_seq, last_ms, first_seq)
        SELECT id, low, high, last_seq, last_ms, first_seq FROM conversations;
    DROP TABLE conversations;
    ALTER TABLE conversations_3 RENAME TO conversations;
    CREATE TABLE rooms (
        conversation INTEGER PRIMARY KEY REFERENCES conversations (id),
        name TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('open', 'closed', 'announcement')),
        history TEXT NOT NULL CHECK (history IN ('joining', 'full')),
        topic TEXT NOT NULL,
        slow_s INTEGER NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('active', 'archived', 'deleted')),
        created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX room_names ON rooms (name) WHERE state <> 'deleted';
    CREATE TABLE standings (
        conversation INTEGER NOT NULL REFERENCES rooms (conversation),
        account INTEGER NOT NULL REFERENCES accounts (id),
        role TEXT CHECK (role IN ('owner', 'moderator', 'member')),
        since INTEGER NOT NULL,
        invited_by INTEGER,
        muted_until_ms INTEGER NOT NULL,
        banned_until_ms INTEGER NOT NULL,
        PRIMARY KEY (conversation, account)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rooms_of_account ON standings (account) WHERE role IS NOT NULL;
    CREATE TABLE room_log (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation INTEGER NOT NULL REFERENCES rooms (conversation),
        time_ms INTEGER NOT NULL,
        actor INTEGER,
        action TEXT NOT NULL,
        target INTEGER,
        seq INTEGER,
        until_ms INTEGER,
        text TEXT NOT NULL
    ) STRICT;
    CREATE INDEX room_log_of_room ON room_log (conversation, id);
    """,
    # 4: who created a room (NULL: the operator), and invitations that were declined.
    """
    ALTER TABLE rooms ADD COLUMN founder INTEGER REFERENCES accounts (id);
    UPDATE rooms SET founder = (
        SELECT actor FROM room_log l WHERE l.conversation = rooms.conversation AND l.action = 'create');
    ALTER TABLE standings ADD COLUMN declined_until_ms INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX invitations_of_account ON standings (account) WHERE invited_by IS NOT NULL;
    """,
    # 5: blocks.
    """
    CREATE TABLE blocks (
        account INTEGER NOT NULL REFERENCES accounts (id),
        blocked INTEGER NOT NULL REFERENCES accounts (id),
        time_ms INTEGER NOT NULL,
        PRIMARY KEY (account, blocked),
        CHECK (account <> blocked)
    ) STRICT, WITHOUT ROWID;
    """,
    # 6: a journal first (`journal.py`), folded behind (`fold.py`) into chunks with checksums (`chunks.py`).
    #
    # A place is conversation << 32 | seq. `chunks` is keyed by the place of its first message, `amendments`
    # by that of the changed one, and it is the rowid of `words`. conversations.last_seq is the last message
    # that is folded. Nobody ranks, so the search index needs no sizes; phrases are looked for in the texts.
    # The rows of messages are converted by `rewriting.py`, into a new file.
    """
    DROP TABLE chunks;
    DROP TABLE words;
    DELETE FROM meta WHERE key IN ('ids_indexed', 'words_indexed');
    INSERT INTO meta VALUES ('folded', '0');
    CREATE TABLE journal (id INTEGER PRIMARY KEY AUTOINCREMENT, batch BLOB NOT NULL) STRICT;
    CREATE TABLE chunks (place INTEGER PRIMARY KEY, messages BLOB NOT NULL) STRICT;
    CREATE TABLE amendments (place INTEGER PRIMARY KEY, change BLOB NOT NULL) STRICT;
    CREATE TABLE id_runs (
        account INTEGER NOT NULL,
        last_id BLOB NOT NULL,
        first_id BLOB NOT NULL,
        places BLOB NOT NULL,
        PRIMARY KEY (account, last_id)
    ) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5 (
        body, content='', columnsize=0, detail=none, tokenize='unicode61 remove_diacritics 2');
    INSERT INTO words (words, rank) VALUES ('automerge', 0);
    INSERT INTO words (words, rank) VALUES ('crisismerge', 1999);
    INSERT INTO words (words, rank) VALUES ('usermerge', 8);
    """,
)


class Migration(NamedTuple):
    """An upgrade that was made; see `rewriting.py`."""

    path: str
    old: int
    new: int
    seconds: float
    copy: str
    damaged: int
    """Ranges of messages that could not be read."""

    def __str__(self) -> str:
        sentence = (
            f"{self.path}: was brought from schema {self.old} to {self.new} in {self.seconds:.1f} s; "
            f"the store as it was is {self.copy}"
        )
        if not self.damaged:
            return f"{sentence}, which you can remove"
        places = "1 place" if self.damaged == 1 else f"{self.damaged} places"
        return (
            f"{sentence}. It has damaged messages in {places}, which the new one leaves out; "
            "if a backup has them, restore it"
        )


def copy_path(path: Path, schema: int) -> Path:
    """Return where an upgrade leaves the old file of a store."""
    return Path(f"{path}.schema{schema}")


def part_path(path: Path) -> Path:
    """Return where an upgrade makes a new file."""
    return Path(f"{path}.part")


def prepare_file(db: sqlite3.Connection) -> None:
    """Let an empty database keep track of its pages, so that unused ones can be removed in steps."""
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")


def create_tables(db: sqlite3.Connection) -> None:
    """Give an empty database the newest schema, in one transaction."""
    prepare_file(db)
    db.executescript(
        f"BEGIN EXCLUSIVE; {''.join(MIGRATIONS)}"
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {len(MIGRATIONS)}; COMMIT;"
    )


def check_schema(db: sqlite3.Connection, path: str) -> None:
    """Check that a database has the newest schema.

    Raises:
        StoreDamagedError: The file belongs to another program, or to a newer or an older version.
    """
    version = schema_of(db, path)
    refuse_empty(version, path)
    if version < len(MIGRATIONS):
        raise StoreDamagedError(
            f"{path}: made by an older qscpd (schema {version}, this one has {len(MIGRATIONS)}); "
            "start or restart the daemon (`qscpd run`), which brings it up to date and keeps a copy"
        )


def refuse_empty(content: int, path: str) -> None:
    """Refuse a file without content: a new store is never that, so a full one was lost.

    Args:
        content: Its size, or its schema.
        path: The file.

    Raises:
        StoreDamagedError: There is none.
    """
    if not content:
        raise StoreDamagedError(
            f"{path}: the file is empty, so its content was lost. Restore a backup (`qscpd restore`); "
            "for a new installation, delete this file"
        )


def schema_of(db: sqlite3.Connection, path: str) -> int:
    """Return the schema of a database; 0 if it is empty.

    Raises:
        StoreDamagedError: The file belongs to another program or to a newer version.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    owner: int = db.execute("PRAGMA application_id").fetchone()[0]
    tables: int = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreDamagedError(f"{path}: this is a database of another program; name another file")
    if version > len(MIGRATIONS):
        raise StoreDamagedError(
            f"{path}: made by a newer qscpd (schema {version}, this one knows {len(MIGRATIONS)}); "
            "install that version or restore an older backup"
        )
    return version
