"""CPU time and disk space of the store alone, for each message: `python bench/store.py [SHAPE ...]`.

A shape is how messages come: how many in a commit, in how many conversations of it. What is stored is then
folded and indexed to the end, and that counts as deferred. Only the interface of the store is used, so that
an older commit can be measured by its own checkout: `PYTHONPATH=OTHER python bench/store.py`.
"""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from qscpd.domain.model import Keep, NewMessage
from qscpd.store import open_store

MESSAGES = 200_000
ACCOUNTS = 1_300


class Shape(NamedTuple):
    """How messages come."""

    commit: int
    """Messages in a commit."""
    conversations: int
    """Conversations that they are spread over."""
    words: int = 10
    messages: int = MESSAGES


SHAPES = {
    "dm": Shape(600, 50),
    "dm1": Shape(23, 20),
    "alone": Shape(1, 50, messages=20_000),
    "wide": Shape(600, 600),
    "long": Shape(64, 5, 2_000, messages=3_200),
}


def texts(words: int) -> list[str]:
    """Return texts of words as frequent as in a language: the n-th one in proportion to 1/n."""
    rng = random.Random(1)  # noqa: S311 - no secret
    vocabulary = [
        "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(20_000)
    ]
    weights = [1 / n for n in range(1, len(vocabulary) + 1)]
    return [
        " ".join(rng.choices(vocabulary, weights, k=words))[:16_000] for _ in range(20_000 // words + 100)
    ]


def measure(shape: Shape, folder: Path) -> str:
    """Store messages of a shape, and return a line of a table."""
    store = open_store(f"sqlite://{folder / 'q.db'}", edit_within_ms=3_600_000)
    for number in range(ACCOUNTS):
        store.add_account(f"user{number}", "x")
    bodies = texts(shape.words)
    rng = random.Random(2)  # noqa: S311 - no secret
    number = 0
    longest = 0.0
    path = deferred = 0.0
    while number < shape.messages:
        batch: list[NewMessage] = []
        for part in range(shape.conversations):
            size = max(shape.commit // shape.conversations, 1)
            peer = part if shape.commit > 1 else number % shape.conversations
            for _ in range(size):
                number += 1
                sender, recipient = 2 * peer + 1, 2 * peer + 2
                batch.append(NewMessage(sender, recipient, f"{number:032x}", rng.choice(bodies)))
            if len(batch) >= shape.commit:
                break
        begin = time.process_time()
        store.append(batch)
        path += time.process_time() - begin
        more = True
        while more:
            begin = time.process_time()
            more = store.housekeeping.step(Keep())
            spent = time.process_time() - begin
            deferred += spent
            longest = max(longest, spent)
    begin = time.process_time()
    while store.housekeeping.step(Keep()):
        pass
    store.close()
    deferred += time.process_time() - begin
    size = sum(each.stat().st_size for each in folder.iterdir()) / number
    per = 1e6 / number
    return (
        f"{path * per:8.2f} {deferred * per:9.2f} {(path + deferred) * per:8.2f} "
        f"{longest * 1000:8.1f} {size:8.0f}"
    )


def main() -> None:
    """Measure the shapes that are named, or all."""
    print(f"{'':8} {'path us':>8} {'deferred':>9} {'total':>8} {'step ms':>8} {'bytes':>8}")
    for name in sys.argv[1:] or SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name:8} {measure(SHAPES[name], Path(folder))}", flush=True)


if __name__ == "__main__":
    main()
