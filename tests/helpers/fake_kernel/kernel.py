"""The kernel behind a tree of files, as far as gearshift's device layer can tell it from a real one.

A file is two functions over the state of a model, as in the kernel. So a limit that is written may be read back
smaller, a file may refuse a value, be there and have no value, go and come back. The models are in the modules beside
this one and put their files into a `FakeKernel`; `boards` builds whole machines of them.

A test plays everybody else: it turns the models' attributes (another program, the firmware, the weather), or writes to
files as root with `write`, and breaks single files with `fail`, `garbage`, `freeze` and `vanish`.
"""

from __future__ import annotations

import errno
import re
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .nodes import Directory, File, Link, Node, Nodes, reborn
from .texts import kernel_error

if TYPE_CHECKING:
    from .affinity import FakeAffinity
    from .cooling import CoolingDevice
    from .cpufreq import Cpufreq, Policy
    from .cpus import Cpus
    from .devfreq import Devfreq
    from .jetson import Jetson
    from .thermal import ThermalZone

_MOST_BYTES = 4096
"""Most that one call writes: a page."""
_AT_OPEN = {errno.ENOENT, errno.EACCES, errno.EROFS}
"""Errors with which `open` answers; all others come from reading and writing."""

Show = Callable[[], str | bytes]
Store = Callable[[bytes], None]


@dataclass(frozen=True)
class Write:
    """A write that came through a tree.

    Attributes:
        path: the file that was opened, without links.
        content: what was written.
        error: number of the kernel's error; None if it took the content.
    """

    path: str
    content: bytes
    error: int | None


@dataclass
class _Fault:
    error: int | None = None
    times: int | None = None
    content: bytes | None = None


class FakeKernel:
    """A kernel in memory. Safe to use from several threads.

    Attributes:
        release: the version that it behaves like, (4, 9) or (6, 1).
        now_s: the clock that sensors and pollers go by.
        root: True if the process that uses a tree is root.
        read_only: True if /sys is mounted read-only, as in a container.
        before_write: called with path and content before a write through a tree reaches the kernel. It may raise what
            the write then raises, or kill the writer.
        writes: the writes that came through trees, in order.
        reads: how often each file was read through a tree, by its path without links.
        rails: power of each rail in watts, by its name, as a function of `now_s`.
        lock: held during each call.
        cpus: its CPUs.
        cpufreq: the clock domains of its CPUs.
        affinity: the masks of threads, if a test added them.
        gpu: its GPU, where it has one under devfreq.
        jetson: NVIDIA's tools, on a Jetson.
        cooling: its cooling devices by number.
        zones: its thermal zones by number.
    """

    def __init__(self, release: tuple[int, int] = (6, 1), *, now_s: Callable[[], float] = time.monotonic) -> None:
        self.release = release
        self.now_s = now_s
        self.root = True
        self.read_only = False
        self.before_write: Callable[[str, bytes], None] | None = None
        self.writes: list[Write] = []
        self.reads: Counter[str] = Counter()
        self.rails: dict[str, Callable[[float], float]] = {}
        self.lock = threading.RLock()
        self.cpus: Cpus
        self.cpufreq: Cpufreq
        self.affinity: FakeAffinity
        self.cooling: list[CoolingDevice] = []
        self.zones: list[ThermalZone] = []
        self.gpu: Devfreq
        self.jetson: Jetson
        self._nodes = Nodes()
        self._faults: dict[str, _Fault] = {}
        self._gone: dict[str, Node] = {}
        self._at_ticks: list[Callable[[], None]] = []
        self._at_pauses: list[Callable[[], None]] = []
        self._lock_directory: tempfile.TemporaryDirectory[str] | None = None
        self.boot()

    # ------------------------------------------------------------ building

    def file(self, path: str, show: Show | None, store: Store | None = None, *, mode: int | None = None) -> None:
        """Add a file whose content is what `show` returns: bytes as they are, a text with a newline.

        Args:
            path: where, without a leading slash.
            show: returns the content, or raises `OSError`; None for a file that nobody can read.
            store: takes what is written, or raises `OSError`; None for a file that nobody can write.
            mode: permission bits; by default 0644, 0444 or 0200, as the functions allow.
        """
        usual = (0o444 if show else 0) | (0o200 if store else 0)
        with self.lock:
            self._nodes.put(path, File(show, store, usual if mode is None else mode))

    def text(self, path: str, content: str, *, mode: int = 0o444) -> None:
        """Add a file that holds a text; where the mode lets somebody write it, what was written last."""
        held = [content]

        def store(written: bytes) -> None:
            held[0] = written.decode(errors="replace").strip("\n")

        self.file(path, lambda: held[0], store if mode & 0o222 else None, mode=mode)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link; the target is a path from the root of the tree."""
        with self.lock:
            self._nodes.put(path, Link(target))

    def directory(self, path: str) -> None:
        """Add an empty directory."""
        with self.lock:
            self._nodes.put(path, Directory())

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it: a driver is gone."""
        with self.lock:
            self._nodes.take(path)

    def chmod(self, path: str, mode: int) -> None:
        """Change the permission bits of a file, as udev may; `0o664` gives it to the user's group, too."""
        with self.lock:
            self._file(path)[1].mode = mode

    def boot(self) -> None:
        """Have a new boot id."""
        self.text("proc/sys/kernel/random/boot_id", str(uuid.uuid4()))

    def at_ticks(self, action: Callable[[], None], *, at_pauses: bool = True) -> None:
        """Have something done at each tick, and by default at each pause, which is shorter."""
        self._at_ticks.append(action)
        if at_pauses:
            self._at_pauses.append(action)

    # ------------------------------------------------------------ what other processes do

    def read(self, path: str) -> bytes:
        """Return what root reads.

        Raises:
            OSError: as the kernel does.
        """
        with self.lock:
            real, file = self._file(path)
            if not file.permits(writing=False, root=True):
                raise kernel_error(errno.EACCES, path)
            return self._show(real, file)

    def write(self, path: str, content: bytes | str) -> None:
        """Write as root, as another program on the machine would. It is not in `writes`.

        Raises:
            OSError: as the kernel does.
        """
        with self.lock:
            real, file = self._file(path)
            if not file.permits(writing=True, root=True):
                raise kernel_error(errno.EACCES, path)
            self._store(real, file, content.encode() if isinstance(content, str) else content)

    def exists(self, path: str) -> bool:
        """Return True if a path leads to something."""
        with self.lock:
            try:
                self._nodes.at(path)
            except OSError:
                return False
            return True

    def names(self, path: str) -> list[str]:
        """Return the names in a directory.

        Raises:
            OSError: if it is none.
        """
        with self.lock:
            node = self._nodes.at(path)
            if not isinstance(node, Directory):
                raise kernel_error(errno.ENOTDIR, path)
            return list(node.children)

    def real(self, path: str) -> str:
        """Return a path without links."""
        with self.lock:
            return self._nodes.real(path)

    def may(self, path: str, *, write: bool, root: bool) -> bool:
        """Return what access(2) says. It lets root do what `open` then may refuse: write to a file of mode 0444."""
        with self.lock:
            try:
                real, file = self._file(path)
            except OSError:
                return False
            if self._denies_open(real) or (write and self.read_only):
                return False
            return root or file.permits(writing=write, root=False)

    def mode(self, path: str) -> int | None:
        """Return the permission bits of a file; None if there is none."""
        with self.lock:
            try:
                return self._file(path)[1].mode
            except OSError:
                return None

    def files(self, path: str = "") -> list[tuple[str, File | Link]]:
        """Return every file and link below a directory, by its path; links unfollowed."""
        with self.lock:
            return list(self._nodes.files(path))

    def tick(self) -> None:
        """Let everything that polls look once: devfreq governors, and limits that are still on their way."""
        with self.lock:
            for action in self._at_ticks:
                action()

    def pause(self) -> None:
        """Let pass the milliseconds in which what was written takes effect; rules on heat look less often."""
        with self.lock:
            for action in self._at_pauses:
                action()

    # ------------------------------------------------------------ what breaks

    def fail(self, path: str, error: int, times: int | None = None) -> None:
        """Have a file answer with an error, so many times; for good if `times` is None."""
        with self.lock:
            self._faults[self.real(path)] = _Fault(error=error, times=times)

    def garbage(self, path: str, content: bytes) -> None:
        """Have a file read like that."""
        with self.lock:
            self._faults[self.real(path)] = _Fault(content=content)

    def freeze(self, path: str) -> None:
        """Have a file read like now from now on."""
        self.garbage(path, self.read(path))

    def heal(self, path: str) -> None:
        """Undo `fail`, `garbage` and `freeze`."""
        with self.lock:
            self._faults.pop(self.real(path), None)

    def vanish(self, path: str) -> None:
        """Remove a file or directory until `come_back`. Files that are open then answer ENODEV."""
        with self.lock:
            self._gone[path] = self._nodes.take(path)

    def come_back(self, path: str) -> None:
        """Add what vanished again. Files that were open stay dead."""
        with self.lock:
            self._nodes.put(path, reborn(self._gone.pop(path)))

    # ------------------------------------------------------------ what trees call

    def open(self, path: str, *, writing: bool, root: bool) -> tuple[str, File]:
        """Return a file and its path without links, if this user may open it.

        Raises:
            OSError: as the kernel does.
        """
        with self.lock:
            real, file = self._file(path)
            denied = self._denies_open(real)
            if denied:
                raise kernel_error(denied, path)
            # A file system is found to be read-only before the file's own mode is looked at
            # (fs/namei.c: inode_permission).
            if writing and self.read_only:
                raise kernel_error(errno.EROFS, path)
            if not file.permits(writing=writing, root=root):
                raise kernel_error(errno.EACCES, path)
            return real, file

    def show(self, path: str, file: File) -> bytes:
        """Return the content of a file that was opened.

        Raises:
            OSError: as the kernel does.
        """
        with self.lock:
            self.reads[path] += 1
            return self._show(path, file)

    def store(self, path: str, file: File, content: bytes) -> None:
        """Hand a file that was opened what is written.

        Raises:
            OSError: as the kernel does.
        """
        # Not under the lock: a callback may wait for somebody who needs the kernel.
        if self.before_write is not None:
            self.before_write(path, content)
        with self.lock:
            try:
                self._store(path, file, content)
            except OSError as error:
                self.writes.append(Write(path, content, error.errno))
                raise
            self.writes.append(Write(path, content, None))

    def lock_directory(self) -> Path:
        """Return the directory of the real files that stand for those of the tree where they are locked."""
        with self.lock:
            if self._lock_directory is None:
                self._lock_directory = tempfile.TemporaryDirectory(prefix="fake-kernel-")
            return Path(self._lock_directory.name)

    def lock_name(self, path: str) -> str:
        """Return the name, in the lock directory, of the file that stands for one of the tree."""
        name = re.sub(r"\W", "-", self.real(path))
        (self.lock_directory() / name).touch()
        return name

    def _show(self, path: str, file: File) -> bytes:
        fault = self._struck(path, file)
        if fault is not None and fault.content is not None:
            return fault.content
        assert file.show is not None
        content = file.show()
        return content if isinstance(content, bytes) else f"{content}\n".encode()

    def _store(self, path: str, file: File, content: bytes) -> None:
        self._struck(path, file)
        assert file.store is not None
        # An empty write ends before it reaches the file (fs/kernfs/file.c, fs/sysfs/file.c) and looks like a success.
        if content:
            file.store(content[:_MOST_BYTES])

    def _file(self, path: str) -> tuple[str, File]:
        node = self._nodes.at(path)
        if isinstance(node, Directory):
            raise kernel_error(errno.EISDIR, path)
        assert isinstance(node, File)
        return self._nodes.real(path), node

    def _denies_open(self, path: str) -> int | None:
        fault = self._faults.get(path)
        return fault.error if fault is not None and fault.error in _AT_OPEN else None

    def _struck(self, path: str, file: File) -> _Fault | None:
        if not file.alive:
            raise kernel_error(errno.ENODEV, path)
        fault = self._faults.get(path)
        if fault is None or fault.error is None or fault.error in _AT_OPEN:
            return fault
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                del self._faults[path]
        raise kernel_error(fault.error, path)

    def policy(self, number: int) -> Policy:
        """Return a cpufreq policy by its number."""
        return self.cpufreq.policies[number]
