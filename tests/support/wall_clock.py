"""A wall clock that jumps, for whole programs: a library in front of the C library adds an offset."""

import mmap
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["WallClock"]

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead_s;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("QSCP_TEST_WALL_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED)
            ahead_s = mapped;
        close(file);
    }
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && ahead_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *ahead_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where)
{
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where)
        *where = exact.tv_sec;
    return exact.tv_sec;
}
"""


class WallClock:
    """The wall clock of the programs that this test starts; each sees a jump at once.

    Skip the test where no such library can be made.

    Args:
        folder: Where the library goes.
        monkeypatch: Sets the environment of the programs.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        library = _library(folder)
        shared = folder / "ahead"
        shared.write_bytes(bytes(8))
        with shared.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), 8)
        monkeypatch.setenv("QSCP_TEST_WALL_CLOCK", str(shared))
        monkeypatch.setenv("LD_PRELOAD", f"{library} {os.environ.get('LD_PRELOAD', '')}".strip())
        self._ahead_s = 0

    def jump(self, seconds: int) -> None:
        """Set the wall clock ahead or back."""
        self._ahead_s += seconds
        self._shared[:] = struct.pack("=q", self._ahead_s)

    def close(self) -> None:
        """Forget the offset."""
        self._shared.close()


def _library(folder: Path) -> Path:
    compiler = shutil.which("cc")
    if sys.platform != "linux":
        pytest.skip("only Linux puts a library in front of the C library with LD_PRELOAD")
    if compiler is None:
        pytest.skip("the C compiler is missing; get it by: apt-get install gcc libc6-dev")
    source, library = folder / "wall_clock.c", folder / "wall_clock.so"
    source.write_text(_SOURCE)
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    made = subprocess.run(command, capture_output=True, check=False, text=True)
    if made.returncode:
        pytest.skip(
            f"the headers of the C library are missing; get them by: apt-get install libc6-dev\n{made.stderr}"
        )
    return library
