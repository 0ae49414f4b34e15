"""Speed of an upgrade from an old schema, and sizes: `python bench/upgrade.py [SCHEMA [MESSAGES]]`.

The old store is made by the frozen steps of its schema, as its program left it: chunks by commit, all
message ids and all words indexed, 100 messages at a time. Schema 1 had no index.
"""

import contextlib
import itertools
import random
import resource
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from qscpd.domain.messages import id_hash
from qscpd.domain.model import NO_META
from qscpd.store import open_store
from qscpd.store.sqlite import chunks
from qscpd.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS

ACCOUNTS = 100
NOW_MS = 1_790_000_000_000

_STEP = 100
"""Messages that a step of indexing took."""


class Shape(NamedTuple):
    """How messages came."""

    commit: int
    """Messages in a commit."""
    conversations: int
    """Conversations that they were spread over."""


SHAPES = {"dm": Shape(600, 50), "dm1": Shape(23, 600)}


def texts() -> list[str]:
    """Return texts of ten words as frequent as in a language: the n-th one in proportion to 1/n."""
    rng = random.Random(1)  # noqa: S311 - texts
    vocabulary = [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)
    ]
    weights = list(itertools.accumulate(1 / n for n in range(1, len(vocabulary) + 1)))
    return [" ".join(rng.choices(vocabulary, cum_weights=weights, k=10)) for _ in range(10_000)]


def make(path: Path, shape: Shape, schema: int, messages: int) -> None:
    """Make a store of an old schema."""
    rng = random.Random(2)  # noqa: S311 - conversations
    bodies = texts()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("".join(MIGRATIONS[:schema]))
        accounts = [(f"user{n}", NOW_MS) for n in range(ACCOUNTS)]
        db.executemany("INSERT INTO accounts VALUES (NULL, ?, 'active', 'x', ?)", accounts)
        pairs = list(itertools.combinations(range(1, ACCOUNTS + 1), 2))[: shape.conversations]
        for low, high in pairs:
            db.execute(
                "INSERT INTO conversations (low, high, last_seq, last_ms) VALUES (?, ?, 0, ?)",
                (low, high, NOW_MS),
            )
        last = [0] * len(pairs)
        count, words = 0, []
        while count < messages:
            commit: dict[int, list[tuple[int, int, str, str]]] = {}
            for _ in range(shape.commit):
                at, count = rng.randrange(len(pairs)), count + 1
                number = f"{NOW_MS + count:012x}7{count & 0xFFF:03x}8{rng.getrandbits(60):015x}"
                commit.setdefault(at, []).append(
                    (NOW_MS + count, rng.choice(pairs[at]), number, rng.choice(bodies))
                )
            for at, entries in commit.items():
                for seq, (time_ms, sender, number, body) in enumerate(entries, last[at] + 1):
                    words.append(((at + 1) << 32 | seq, body))
                    if schema > 1:
                        key = id_hash(sum(pairs[at]) - sender, body, NO_META)
                        db.execute(
                            "INSERT INTO sent_ids VALUES (?, ?, ?, ?, ?, ?)",
                            (sender, bytes.fromhex(number), key, at + 1, seq, time_ms),
                        )
                last[at] += len(entries)
                values = (at + 1, last[at], chunks.pack(entries))
                db.execute("INSERT INTO chunks (conversation, last_seq, messages) VALUES (?, ?, ?)", values)
            while schema > 1 and len(words) >= _STEP:
                db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", words[:_STEP])
                del words[:_STEP]
                db.commit()
        rows = [(seq, at + 1) for at, seq in enumerate(last)]
        db.executemany("UPDATE conversations SET last_seq = ? WHERE id = ?", rows)
        if schema > 1:
            db.executemany("INSERT INTO words (rowid, body) VALUES (?, ?)", words)
            newest = db.execute("SELECT max(id) FROM chunks").fetchone()[0]
            db.execute(
                "UPDATE meta SET value = ? WHERE key IN ('ids_indexed', 'words_indexed')", (str(newest),)
            )
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {schema}")
        db.commit()


def measure(name: str, schema: int, messages: int) -> str:
    """Upgrade a store, and return a line of a table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "q.db"
        make(path, SHAPES[name], schema, messages)
        old = path.stat().st_size
        cpu_s, begin_s = time.process_time(), time.monotonic()
        open_store(f"sqlite://{path}").close()
        cpu_s, real_s = time.process_time() - cpu_s, time.monotonic() - begin_s
        new = path.stat().st_size
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return (
        f"{name:6}{messages / cpu_s:10,.0f}/s of CPU{messages / real_s:10,.0f}/s{old / messages:6.0f} -> "
        f"{new / messages:.0f} bytes a message ({new / old:.2f}), {memory} MiB of memory"
    )


def main() -> None:
    """Measure all shapes."""
    given = [int(each) for each in sys.argv[1:]]
    schema, messages = given + [5, 500_000][len(given) :]
    for name in SHAPES:
        print(measure(name, schema, messages), flush=True)


if __name__ == "__main__":
    main()
