"""The operating system under faults: calls on files below one directory are counted, and the n-th fails.

Python's own file objects write by themselves, past `os.write`. So files there are opened as `_File`, whose raw reads
and writes are points too; what lies above them (buffers, text, zip files) is Python's own.
"""

from __future__ import annotations

import builtins
import fcntl
import io
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from faults.points import Killed, Kind, Points, kind

CHANGES = ("write", "truncate", "make", "rename", "remove", "sync")
LOOKS = ("open", "read", "stat", "list")

FILE_KINDS: tuple[Kind, ...] = (
    kind("EIO", *CHANGES, *LOOKS, "create"),
    kind("EINTR", *CHANGES, *LOOKS, "create"),
    kind("ENOMEM", *LOOKS, "create", "write", "map"),
    kind("EMFILE", "open", "create"),
    kind("EACCES", "open", "create", "make", "rename", "remove"),
    kind("ENOSPC", "create", "write", "truncate", "make", "rename", "sync"),
    kind("ENOSPC from then on", "create", "write", "truncate", "make", "rename", "sync", lasts=True),
    kind("EDQUOT", "create", "write", "make"),
    kind("EDQUOT from then on", "create", "write", "make", lasts=True),
    kind("EROFS from then on", "create", "write", "truncate", "make", "rename", "remove", lasts=True),
    kind("EIO from then on", *CHANGES, *LOOKS, "create", lasts=True),
    kind("short write", "write"),
    kind("killed", *CHANGES, *LOOKS, "create"),
)
"""What files may do. `create` is opening for writing, `make` a directory, a link or a pipe."""

# Functions of `os`, and what a call of each is; the first argument is a path or a descriptor.
_OF_OS = {
    "pwrite": "write",
    "read": "read",
    "pread": "read",
    "fsync": "sync",
    "fdatasync": "sync",
    "ftruncate": "truncate",
    "truncate": "truncate",
    "mkdir": "make",
    "symlink": "make",
    "link": "make",
    "mkfifo": "make",
    "rename": "rename",
    "replace": "rename",
    "unlink": "remove",
    "remove": "remove",
    "rmdir": "remove",
    "stat": "stat",
    "listdir": "list",
    "scandir": "list",
}
_TARGET_SECOND = {"symlink"}
"""Calls whose second argument is the path that is made."""


class _Watch:
    """The points of the calls on files below a directory."""

    def __init__(self, points: Points, directory: Path, end: Callable[[], None] | None) -> None:
        self._points = points
        self._below = os.path.realpath(directory)
        self._end = end or self._die
        self.dead = False

    def _die(self) -> None:
        self.dead = True
        raise Killed

    def watches(self, place: object) -> bool:
        """Return True if a path or a descriptor is below the directory."""
        if isinstance(place, int):
            try:
                name = _readlink(f"/proc/self/fd/{place}")
            except OSError:
                return False
        elif isinstance(place, str | bytes | os.PathLike):
            name = os.path.abspath(os.fsdecode(place))
        else:
            return False
        return name.startswith(self._below)

    def at(self, operation: str, place: object) -> bool:
        """Pass an operation: raise what strikes it, or return True if it is to be done in part."""
        if self.dead:
            raise Killed
        if not self._points.strikes(operation):
            return False
        if self._points.kind.name == "short write":
            return True
        if self._points.kind.error is None:
            self._end()
        raise self._points.kind.raised(None if isinstance(place, int) else place)

    # ------------------------------------------------------------ in place of the system's calls

    def open(self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **more: Any) -> Any:
        """Open a file as Python's `open` does."""
        if not self.watches(file):
            return _open(file, mode, buffering, *rest, **more)
        encoding, errors, newline, closefd, opener = _text_arguments(*rest, **more)
        raw = _File(self, file, mode.replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        writes = io.BufferedWriter if any(letter in mode for letter in "wax") else io.BufferedReader
        buffered: Any = (io.BufferedRandom if "+" in mode else writes)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding or "utf-8", errors, newline)

    def os_open(self, path: Any, flags: int, *rest: Any, **more: Any) -> int:
        """Open a file as `os.open` does."""
        if self.watches(path):
            self.at("create" if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR) else "open", path)
        return _os_open(path, flags, *rest, **more)

    def os_write(self, file: int, data: Any) -> int:
        """Write as `os.write` does, or half of it."""
        if self.watches(file) and self.at("write", file):
            data = bytes(data)[: len(data) // 2]
        return _os_write(file, data)

    def map(self, file: int, *rest: Any, **more: Any) -> mmap.mmap:
        """Map a file as `mmap.mmap` does."""
        if self.watches(file):
            self.at("map", file)
        return _mmap(file, *rest, **more)

    def flock(self, file: int, operation: int) -> None:
        """Lock or unlock a file as `fcntl.flock` does."""
        if self.watches(file):
            self.at("unlock" if operation & fcntl.LOCK_UN else "lock", file)
        _flock(file, operation)

    def pidfd_open(self, pid: int, flags: int = 0) -> int:
        """Open a process as `os.pidfd_open` does."""
        self.at("pidfd", pid)
        return _pidfd_open(pid, flags)

    def called(self, name: str, operation: str) -> Callable[..., Any]:
        """Return a function of `os` with a point before it."""
        real = getattr(os, name)
        place = 1 if name in _TARGET_SECOND else 0

        def call(*arguments: Any, **more: Any) -> Any:
            if len(arguments) > place and self.watches(arguments[place]):
                self.at(operation, arguments[place])
            return real(*arguments, **more)

        return call


class _File(io.FileIO):
    """A file whose opening, reads and writes are points."""

    def __init__(self, watch: _Watch, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        self._watch = watch
        # One that is opened already is a descriptor, and nothing can fail then.
        if not isinstance(file, int):
            watch.at("create" if any(letter in mode for letter in "wax+") else "open", file)
        super().__init__(file, mode, closefd, opener)

    def write(self, data: Any) -> int:
        if self._watch.dead:  # a buffer of the dead process is lost
            return len(memoryview(data).cast("B"))
        if self._watch.at("write", self.fileno()):
            data = memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2]
        return super().write(data)

    def readinto(self, buffer: Any) -> int:
        self._watch.at("read", self.fileno())
        return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        self._watch.at("read", self.fileno())
        return super().read(size)

    def readall(self) -> bytes:
        self._watch.at("read", self.fileno())
        return super().readall()

    def truncate(self, size: int | None = None) -> int:
        self._watch.at("truncate", self.fileno())
        return super().truncate(size)


def _text_arguments(
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> tuple[str | None, str | None, str | None, bool, Any]:
    return encoding, errors, newline, closefd, opener


_open, _os_open, _os_write, _readlink = open, os.open, os.write, os.readlink
_mmap, _flock, _pidfd_open = mmap.mmap, fcntl.flock, os.pidfd_open


@contextmanager
def under_faults(points: Points, directory: Path, end: Callable[[], None] | None = None) -> Iterator[None]:
    """Count the calls on files below a directory within the block, and have the fault strike at its n-th.

    Args:
        points: the points, and the fault.
        directory: the directory.
        end: raises what ends the process where the fault is no error; None for `Killed`, after which every further call
            raises it again, and what lies in buffers is lost.
    """
    watch = _Watch(points, directory, end)
    of_os: dict[str, Any] = {name: watch.called(name, operation) for name, operation in _OF_OS.items()}
    of_os |= {"open": watch.os_open, "write": watch.os_write, "pidfd_open": watch.pidfd_open}
    with (
        patch.multiple(os, **of_os),
        patch.object(builtins, "open", watch.open),
        patch.object(io, "open", watch.open),
        patch.object(mmap, "mmap", watch.map),
        patch.object(fcntl, "flock", watch.flock),
    ):
        yield


def left_open(directory: Path) -> list[str]:
    """Return the files below a directory that this process has open."""
    below, names = os.path.realpath(directory), []
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if name.startswith(below):
            names.append(name)
    return names
