"""The identity of a process: what tells it from every other process, also from a later one of the same number.

A process is told by its number, by the kernel's time of its start, and by the boot and the PID namespace in which both
count. None of these moves when the wall clock is set. It does not know what the process is for.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_DEAD_STATES = frozenset("ZXx")
"""Letters of proc(5) for a process that has ended: a zombie, or one that the kernel takes down."""
_STOPPED_STATES = frozenset("Tt")
"""Letters of proc(5) for a process that was stopped by a signal or by a debugger."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessStat:
    """The part of `/proc/PID/stat` that tells a process's identity and state.

    Attributes:
        state: its state's letter, as in proc(5).
        threads: its number of threads.
        start_ticks: time of its start since the boot, in the kernel's clock ticks.
    """

    state: str
    threads: int
    start_ticks: int

    @property
    def ended(self) -> bool:
        """True if it runs no more. A process whose main thread alone has ended still runs."""
        return self.state in _DEAD_STATES and self.threads <= 1

    @property
    def stopped(self) -> bool:
        """True if a signal or a debugger has stopped it."""
        return self.state in _STOPPED_STATES


def parse_stat(text: str) -> ProcessStat:
    """Return what a `/proc/PID/stat` says.

    The second field is the command's name in parentheses, and a name may have spaces and parentheses itself:
    `7 (a) b) R 1 ...` is process 7 of the name `a) b`, which runs.

    Raises:
        ValueError: if the text is no such file.
    """
    _, parenthesis, rest = text.rpartition(")")
    fields = rest.split()
    if not parenthesis or len(fields) < 20:
        raise ValueError(f"a stat of a process must have 22 fields or more, not {text[:60]!r}")
    # Counted from 1 as in proc(5), with the name as the second: the state is 3, threads are 20, the start is 22.
    return ProcessStat(state=fields[0], threads=int(fields[17]), start_ticks=int(fields[19]))


def read_stat(pid: int) -> ProcessStat | None:
    """Return the stat of the process of that number here; None if there is none."""
    try:
        # Bytes that are no UTF-8 are possible in a name, and do not matter.
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessIdentity:
    """The identity of a process.

    Attributes:
        pid: its number in its PID namespace.
        start_ticks: time of its start since the boot, in the kernel's clock ticks.
        boot_id: the kernel's name of the boot.
        pid_namespace: inode of its PID namespace.
    """

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: int

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Return the identity of the process of that number in this process's PID namespace; None if there is none."""
        stat = read_stat(pid)
        if stat is None or stat.ended:
            return None
        return cls(pid=pid, start_ticks=stat.start_ticks, boot_id=boot_id(), pid_namespace=pid_namespace())

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        identity = cls.of(os.getpid())
        assert identity is not None
        return identity

    def alive(self) -> bool | None:
        """Return True if the process runs, stopped ones included, and False if it has ended.

        Returns:
            None where that can't be seen: the process is in another PID namespace of this boot.
        """
        if self.boot_id != boot_id():
            return False
        if self.pid_namespace != pid_namespace():
            return None
        stat = read_stat(self.pid)
        return stat is not None and stat.start_ticks == self.start_ticks and not stat.ended

    def open(self) -> int | None:
        """Return a file of the process, a pidfd, that becomes readable when it ends; None if it does not run here.

        The caller closes it.
        """
        try:
            process = os.pidfd_open(self.pid)
        except (ProcessLookupError, PermissionError):
            return None
        # Looked at after it was opened: from then on the number can't come to mean another process.
        if self.alive():
            return process
        os.close(process)
        return None

    def send(self, signal_number: int) -> bool:
        """Send a signal to the process and to no other; return False if it has ended or can't be reached."""
        process = self.open()
        if process is None:
            return False
        try:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(process, signal_number)
                return True
            return False
        finally:
            os.close(process)


@cache
def boot_id() -> str:
    """Return the kernel's name of this boot; empty where the kernel does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Return the inode of this process's PID namespace."""
    return os.stat("/proc/self/ns/pid").st_ino
