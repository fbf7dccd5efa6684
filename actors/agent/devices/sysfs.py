"""The kernel's files as the device layer sees them: a tree of files that hold one value each.

A file of sysfs is a function call in the kernel. It can be there and still have no value (a clock domain without a CPU,
a sensor that is off), it can refuse what is written, and each opening costs more than the reading. So a `Knob` keeps
its descriptors, reads and writes bytes, and tells four failures apart: *denied*, *away*, *refused* and *garbage*.

The root of the tree is handed in. On a machine it is `/`; a dump of another machine can be anywhere.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TypeVar

_T = TypeVar("_T")

_PAGE_BYTES = 4096
"""Most that a file of sysfs holds (Documentation/filesystems/sysfs.rst). Other files may be longer."""

_MOST_CPUS = 8192
"""Most CPUs that Linux can be configured for on any machine (CONFIG_NR_CPUS of x86)."""


class DeviceError(RuntimeError):
    """A device cannot do what was asked, now or later."""


class KnobError(DeviceError):
    """A file of the kernel's could not be read or written.

    Attributes:
        path: the file, from the root of the tree, without a leading slash.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"/{path}: {message}")
        self.path = path


class DeniedError(KnobError):
    """This process may not do that: not root, or the file system is read-only."""


class AwayError(KnobError):
    """There is no value now: the file is not there, or what it stands for is switched off. It may come back."""


class RefusedError(KnobError):
    """The kernel does not take that value."""


class GarbageError(KnobError):
    """The file holds something other than it should."""


_KINDS: dict[int, type[KnobError]] = {
    errno.EACCES: DeniedError,
    errno.EPERM: DeniedError,
    errno.EROFS: DeniedError,
    errno.EINVAL: RefusedError,
    errno.ERANGE: RefusedError,
    # The rest say that there is nothing to talk to: no such file, a clock domain all of whose CPUs are offline (EBUSY),
    # a sensor that is gated (EAGAIN; newer kernels ENODATA) or disabled (ENODATA), a device that was removed under an
    # open file (ENODEV), a bus that does not answer (EIO, ENXIO, ETIMEDOUT).
    errno.ENOENT: AwayError,
    errno.ENOTDIR: AwayError,
    errno.EBUSY: AwayError,
    errno.EAGAIN: AwayError,
    errno.ENODATA: AwayError,
    errno.ENODEV: AwayError,
    errno.ENXIO: AwayError,
    errno.EIO: AwayError,
    errno.ETIMEDOUT: AwayError,
    errno.EISDIR: GarbageError,
}


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn the system's errors on a file into those of this module."""
    try:
        yield
    except OSError as error:
        kind = _KINDS.get(error.errno or 0, KnobError)
        raise kind(path, os.strerror(error.errno) if error.errno else str(error)) from None


class File(Protocol):
    """An open file of a tree. Its methods raise `OSError` as the kernel does."""

    def read(self) -> bytes:
        """Return its present content."""
        ...

    def write(self, content: bytes) -> None:
        """Hand the kernel a value, in one call."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _KernelFile:
    """A file that the operating system opened; it is closed with its last user."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._close = weakref.finalize(self, os.close, file)

    def read(self) -> bytes:
        try:
            content = os.pread(self._file, _PAGE_BYTES, 0)
        except OSError as error:
            if error.errno != errno.ESPIPE:
                raise
            # Plain figures of debugfs can't be read at a place, only from their beginning, and once for each opening.
            return os.read(self._file, _PAGE_BYTES)
        while content and len(content) % _PAGE_BYTES == 0 and (more := os.pread(self._file, _PAGE_BYTES, len(content))):
            content += more
        return content

    def write(self, content: bytes) -> None:
        os.pwrite(self._file, content, 0)

    def close(self) -> None:
        self._close()


class Tree:
    """A tree of the kernel's files. Paths in it have no leading slash: `sys/devices/system/cpu/online`.

    Attributes:
        root: the directory that stands for `/`.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    # The methods up to `pause` touch the files, or wait for the kernel; a tree that is kept elsewhere replaces these.

    def open(self, path: str, *, writing: bool = False) -> File:
        """Open a file; raises `OSError` as the kernel does."""
        flags = os.O_WRONLY if writing else os.O_RDONLY
        return _KernelFile(os.open(self.root / path, flags | os.O_CLOEXEC))

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, cpu2 before cpu10; none if it is not there or may not be read."""
        try:
            return sorted(os.listdir(self.root / directory), key=natural)
        except OSError:
            return []

    def exists(self, path: str) -> bool:
        """Return True if there is a file or directory of that path."""
        # Not `Path.exists`, which fails where a directory above may not be entered, as those of debugfs.
        return os.path.exists(self.root / path)

    def real(self, path: str) -> str:
        """Return a path without symbolic links, from the root of the tree."""
        return str((self.root / path).resolve().relative_to(self.root.resolve()))

    def may(self, path: str, *, write: bool = False) -> bool:
        """Return True if this process may read, or write, a file that is there."""
        return os.access(self.root / path, os.W_OK if write else os.R_OK)

    def mode(self, path: str) -> int | None:
        """Return the permission bits of a file; None if it is not there."""
        try:
            return (self.root / path).stat().st_mode & 0o777
        except OSError:
            return None

    def lock(self, path: str) -> Callable[[], None] | None:
        """Lock a file against other processes that lock it.

        Returns:
            The call that unlocks it, which the end of the process makes up for; a second one does nothing. None if
            another has the lock.

        Raises:
            KnobError: if the file cannot be opened.
        """
        with _translated(path):
            file = os.open(self.lock_file(path), os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return None
        held = [file]

        def unlock() -> None:
            while held:
                os.close(held.pop())

        return unlock

    def lock_file(self, path: str) -> Path:
        """Return the file of this machine that is locked where one of the tree is."""
        return self.root / path

    def pause(self, seconds: float) -> None:
        """Leave the kernel time to act on what was written; it is time on the wall, not the board's."""
        time.sleep(seconds)

    # ------------------------------------------------------------ what is made of them

    def find(self, pattern: str) -> list[str]:
        """Return the paths of that pattern, in natural order; `*` and `?` stand for parts of one name.

        `find("sys/devices/system/cpu/cpufreq/policy*")` may give those of policy0 and policy4.
        """
        found = [""]
        for part in pattern.split("/"):
            if any(wild in part for wild in "*?["):
                found = [_join(base, name) for base in found for name in self.names(base) if fnmatchcase(name, part)]
            else:
                found = [path for path in (_join(base, part) for base in found) if self.exists(path)]
        return found

    def knob(self, path: str) -> Knob:
        """Return a file of the tree that is read or written more than once. It need not be there yet."""
        return Knob(self, path)

    def text(self, path: str) -> str:
        """Return the content of a file, without white space around it.

        Raises:
            KnobError: if it cannot be read.
        """
        knob = self.knob(path)
        try:
            return knob.text()
        finally:
            knob.close()

    def text_or_none(self, path: str) -> str | None:
        """Return the content of a file, without white space around it; None if it cannot be read."""
        try:
            return self.text(path)
        except KnobError:
            return None

    def number_or_none(self, path: str) -> int | None:
        """Return the whole number that a file holds; None if it cannot be read, or holds none."""
        try:
            return number(path, self.text(path))
        except KnobError:
            return None


class Knob:
    """One file of a tree, kept open. Its content is text without white space around it.

    Attributes:
        path: the file, from the root of the tree, without a leading slash.
    """

    def __init__(self, tree: Tree, path: str) -> None:
        self.path = path
        self._tree = tree
        self._files: dict[bool, File] = {}

    def raw(self) -> bytes:
        """Return the present content as it is; `text_of` makes text of it later, where reading must not take long.

        Raises:
            KnobError: if it cannot be read.
        """
        try:
            return self._files[False].read()
        except (KeyError, OSError):  # not open yet, or a failure that has to be told, or mended by opening it anew
            return self._call(lambda file: file.read(), writing=False)

    def text_of(self, content: bytes) -> str:
        """Return what `raw` gave as text.

        Raises:
            AwayError: if there is nothing in it.
        """
        text = content.decode("utf-8", errors="replace").strip("\0 \t\r\n")
        if not text:
            raise AwayError(self.path, "is empty")
        return text

    def text(self) -> str:
        """Return the present content.

        Raises:
            KnobError: if it cannot be read, or is empty.
        """
        return self.text_of(self.raw())

    def number(self) -> int:
        """Return the present content, a whole number.

        Raises:
            KnobError: if it cannot be read.
            GarbageError: if it is no whole number.
        """
        return number(self.path, self.text())

    def numbers(self) -> tuple[int, ...]:
        """Return the present content, whole numbers with blanks between them.

        Raises:
            KnobError: if it cannot be read.
            GarbageError: if one is no whole number.
        """
        return tuple(number(self.path, part) for part in self.text().split())

    def words(self) -> tuple[str, ...]:
        """Return the present content, words with blanks between them.

        Raises:
            KnobError: if it cannot be read.
        """
        return tuple(self.text().split())

    def write(self, value: str | int) -> None:
        """Hand the kernel a value. What it made of it has to be read back.

        Raises:
            KnobError: if the kernel did not take it.
        """
        # The kernel never hears of an empty write, which would look like a success.
        assert value != ""
        content = str(value).encode()
        self._call(lambda file: file.write(content), writing=True)

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        while self._files:
            self._files.popitem()[1].close()

    def _call(self, action: Callable[[File], _T], *, writing: bool) -> _T:
        with _translated(self.path):
            kept = self._files.get(writing)
            if kept is not None:
                try:
                    return action(kept)
                except OSError as error:
                    # A driver that was removed and added again has new files under the old names.
                    if error.errno != errno.ENODEV:
                        raise
                    self._files.pop(writing).close()
            opened = self._files[writing] = self._tree.open(self.path, writing=writing)
            return action(opened)


def number(path: str, text: str) -> int:
    """Return the whole number that a file's text says.

    Raises:
        GarbageError: if it says none.
    """
    try:
        return int(text)
    except ValueError:
        raise GarbageError(path, f"should hold a whole number, not {text[:40]!r}") from None


def cpu_list(text: str) -> tuple[int, ...]:
    """Return the CPUs of one of the kernel's lists: "0-2,5" and "0 1 2 5" both give (0, 1, 2, 5).

    Raises:
        ValueError: if it is no such list.
    """
    cpus: set[int] = set()
    for part in text.replace(",", " ").split():
        first, _, last = part.partition("-")
        if not 0 <= int(first) <= int(last or first) < _MOST_CPUS:
            raise ValueError(f"{part!r} is no range of CPUs")
        cpus |= {*range(int(first), int(last or first) + 1)}
    return tuple(sorted(cpus))


def _join(base: str, name: str) -> str:
    return f"{base}/{name}" if base else name


def natural(name: str) -> list[int | str]:
    """Return a key that sorts names naturally, cpu2 before cpu10."""
    # Numbers and text alternate, text first, so that two names never compare a number with text.
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]
