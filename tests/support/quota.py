"""Disk quota for one directory of a program under test: writes that exceed it fail with EDQUOT.

A quota needs a file system and a kernel that have it. So a small library, loaded with `LD_PRELOAD`, counts
the bytes of the directory's files, as a quota does, and refuses what would exceed the limit.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

__all__ = ["Quota"]

_SOURCE: Final = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

#define BROKEN -2

/* The bytes that may still be added to a file of the directory; -1: it is not one, or there is no limit. */
static long long left(int fd) {
    const char *directory = getenv("QUOTA_DIRECTORY"), *limit_file = getenv("QUOTA_LIMIT");
    if (!directory || !limit_file) return -1;
    char link[64], path[4096], text[32] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return -1;
    path[length] = 0;
    size_t prefix = strlen(directory);
    if (strncmp(path, directory, prefix) || path[prefix] != '/') return -1;
    int limit = open(limit_file, O_RDONLY | O_CLOEXEC);
    if (limit < 0) return -1;
    ssize_t got = read(limit, text, sizeof text - 1);
    close(limit);
    if (text[0] == 'E') return BROKEN;
    long long free = got > 0 ? atoll(text) : 0;
    DIR *files = opendir(directory);
    if (!files) return -1;
    struct dirent *entry;
    struct stat found;
    while ((entry = readdir(files)))
        if (!fstatat(dirfd(files), entry->d_name, &found, AT_SYMLINK_NOFOLLOW) && S_ISREG(found.st_mode))
            free -= found.st_size;
    closedir(files);
    if (!fstat(fd, &found) && !found.st_nlink) free -= found.st_blocks * 512;
    return free > 0 ? free : 0;
}

/* How many of some bytes at an offset may be written. */
static ssize_t allowed(int fd, size_t count, off_t offset) {
    long long room = left(fd);
    struct stat found;
    if (room == BROKEN) { errno = EIO; return -1; }
    if (room < 0 || fstat(fd, &found)) return count;
    off_t begin = offset > found.st_size ? offset : found.st_size;
    off_t added = offset + (off_t) count - begin;
    if (added <= room) return count;
    ssize_t fits = count - added + room;
    if (fits > 0) return fits;
    errno = EDQUOT;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    ssize_t fits = allowed(fd, count, offset);
    return fits < 0 ? -1 : REAL(pwrite)(fd, data, fits, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    return pwrite(fd, data, count, offset);
}

ssize_t write(int fd, const void *data, size_t count) {
    struct stat found;
    int saved = errno;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    errno = saved;
    if (offset < 0 || fstat(fd, &found)) return REAL(write)(fd, data, count);
    if (fcntl(fd, F_GETFL) & O_APPEND) offset = found.st_size;
    ssize_t fits = allowed(fd, count, offset);
    return fits < 0 ? -1 : REAL(write)(fd, data, fits);
}

int ftruncate(int fd, off_t length) {
    struct stat found;
    if (!fstat(fd, &found) && length > found.st_size) {
        long long room = left(fd);
        if (room >= 0 && length - found.st_size > room) { errno = EDQUOT; return -1; }
    }
    return REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int posix_fallocate(int fd, off_t offset, off_t length) {
    struct stat found;
    long long room = left(fd);
    if (room == BROKEN) return EIO;
    if (room >= 0 && !fstat(fd, &found)) {
        off_t begin = offset > found.st_size ? offset : found.st_size;
        if (offset + length - begin > room) return EDQUOT;
    }
    return REAL(posix_fallocate)(fd, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) { return posix_fallocate(fd, offset, length); }
"""


class Quota:
    """Quota of a directory; it is unlimited until `leave`.

    Skips the test where no C compiler is installed, or no `LD_PRELOAD`.

    Args:
        directory: The directory; files in its folders don't count.
        folder: Where the library is made.
    """

    def __init__(self, directory: Path, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None or not Path("/proc/self/fd").exists():
            pytest.skip("a quota is emulated with a C library on Linux; `apt-get install gcc libc6-dev`")
        folder.mkdir(exist_ok=True)
        source, self._library, self._limit = folder / "quota.c", folder / "quota.so", folder / "limit"
        source.write_text(_SOURCE)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", self._library, source, "-ldl"], check=True)
        self._directory = directory.resolve()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that put a program under the quota."""
        return {
            "LD_PRELOAD": str(self._library),
            "QUOTA_DIRECTORY": str(self._directory),
            "QUOTA_LIMIT": str(self._limit),
        }

    @property
    def command(self) -> tuple[str, ...]:
        """Words before a command that put it under the quota."""
        return ("env", *(f"{name}={value}" for name, value in self.environment.items()))

    def break_disk(self) -> None:
        """Let each write fail as on a broken disk (EIO)."""
        self._set("EIO")

    def leave(self, count: int) -> None:
        """Set the limit so that this many bytes can still be written."""
        used = sum(each.stat().st_size for each in self._directory.iterdir() if each.is_file())
        self._set(str(used + count))

    def lift(self) -> None:
        """Remove the limit."""
        self._limit.unlink(missing_ok=True)

    def _set(self, limit: str) -> None:
        unfinished = self._limit.with_suffix(".new")
        unfinished.write_text(limit)
        unfinished.replace(self._limit)
