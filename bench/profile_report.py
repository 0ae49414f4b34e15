"""Print where the time goes, from collapsed stacks as `py-spy record --format raw` writes them.

Three tables: threads, functions of the daemon with all that they call, and functions
(native ones too) by themselves.
"""

import re
import sys
from collections import Counter
from pathlib import Path

_SHOWN = 40
_FRAME = re.compile(r"(?P<name>.*) \((?P<file>[^()]*)\)")
_LINE = re.compile(r":\d+$")


def _label(frame: str) -> str:
    """Name a frame by its function and file, without line and folder."""
    match = _FRAME.fullmatch(frame)
    if match is None:
        return frame
    file = _LINE.sub("", match["file"])
    return f"{match['name']} ({'/'.join(file.split('/')[-2:])})"


def _print(title: str, counts: Counter[str], total: int) -> None:
    print(f"\n{title}")
    for name, count in counts.most_common(_SHOWN):
        if count * 200 < total:
            break
        print(f"{count / total:7.1%}  {name}")


def main(path: Path) -> None:
    """Read the file and print the tables."""
    threads: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    own: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_label(frame) for frame in stack.split(";")]
        threads[frames[0]] += int(count)
        own[frames[-1]] += int(count)
        for frame in {frame for frame in frames if ".py" in frame}:
            inclusive[frame] += int(count)
    total = threads.total()
    print(f"{total} samples")
    _print("By thread", threads, total)
    _print("Python functions with all that they call", inclusive, total)
    _print("Functions by themselves", own, total)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
