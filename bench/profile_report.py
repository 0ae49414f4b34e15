"""Print a CPU profile from collapsed stacks of `py-spy record --format raw`.

There are three tables: threads, functions including their callees, and lines on their own.
The cost of a C function is in the line that calls it.
"""

import re
import sys
from collections import Counter
from pathlib import Path

_SHOWN = 40
_FRAME = re.compile(r"(?P<name>.*) \((?P<file>[^()]*)\)")
_LINE = re.compile(r":\d+$")


def _label(frame: str, *, line: bool) -> str:
    """Return the label of a frame: its function and file, with one folder."""
    match = _FRAME.fullmatch(frame)
    if match is None:
        return frame
    file = match["file"] if line else _LINE.sub("", match["file"])
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
        thread, *frames = stack.split(";")
        threads[thread] += int(count)
        own[_label((frames or [thread])[-1], line=True)] += int(count)
        # Frames between the command line and the loop are irrelevant.
        for function in {_label(frame, line=False) for frame in frames if "click/" not in frame}:
            inclusive[function] += int(count)
    total = threads.total()
    print(f"{total} samples")
    _print("By thread", threads, total)
    _print("Functions including callees", inclusive, total)
    _print("Lines on their own", own, total)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
