"""A dump as the files of a machine: what could be read reads the same, and nothing can be turned."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from actors.agent.devices.sysfs import File, Tree, natural
from actors.board_commands.dump import Dump, Dumped


class DumpTree(Tree):
    """The files of a dump, as those of a machine that cannot be turned.

    Args:
        dump: the dump.
        place: where it came from, for messages.
    """

    def __init__(self, dump: Dump, place: Path) -> None:
        super().__init__(place)
        self._dump = dump
        self._names: dict[str, set[str]] = {}
        for path in (*dump.files, *dump.links):
            parts = path.split("/")
            for depth in range(len(parts)):
                self._names.setdefault("/".join(parts[:depth]), set()).add(parts[depth])

    def open(self, path: str, *, writing: bool = False) -> File:
        """Open a file; raises `OSError` as the dumped machine did."""
        real = self.real(path)
        file = self._dump.files.get(real)
        if file is None:
            number = errno.EISDIR if real in self._names else errno.ENOENT
            raise OSError(number, os.strerror(number), path)
        if writing and not file.writable:
            number = file.write_error or errno.EACCES
            raise OSError(number, os.strerror(number), path)
        if not writing and file.error in (errno.EACCES, errno.EPERM):
            raise OSError(file.error, os.strerror(file.error), path)
        return _DumpFile(file, self._dump.contents.get(real, b""))

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, cpu2 before cpu10; none if it is not there."""
        return sorted(self._names.get(self.real(directory), ()), key=natural)

    def exists(self, path: str) -> bool:
        """Return True if there is a file or directory of that path."""
        real = self.real(path)
        return real in self._dump.files or real in self._names

    def real(self, path: str) -> str:
        """Return a path without symbolic links, from the root of the tree."""
        here = ""
        for name in path.split("/"):
            step = f"{here}/{name}" if here else name
            here = self._dump.links.get(step, step)
        return here

    def may(self, path: str, *, write: bool = False) -> bool:
        """Return True if the process that made the dump might read, or write, a file."""
        file = self._dump.files.get(self.real(path))
        if file is None:
            return False
        return file.writable if write else file.error not in (errno.EACCES, errno.EPERM)

    def mode(self, path: str) -> int | None:
        """Return the permission bits of a file; None where they are not known."""
        file = self._dump.files.get(self.real(path))
        return None if file is None else file.mode

    def lock(self, path: str) -> Callable[[], None] | None:
        """Nobody locks a dump."""
        return lambda: None


class _DumpFile:
    def __init__(self, file: Dumped, content: bytes) -> None:
        self._file = file
        self._content = content

    def read(self) -> bytes:
        if self._file.error is not None:
            raise OSError(self._file.error, os.strerror(self._file.error))
        return self._content

    def write(self, content: bytes) -> None:
        raise OSError(errno.EROFS, "a dump can't be turned")

    def close(self) -> None:
        pass
