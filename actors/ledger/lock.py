"""A lock among threads and processes that no process can hold for ever, whether it dies, is stopped or hangs.

The kernel releases the lock of a process that dies. One that is stopped within the lock could go on at any time and
write what it was about to write, so the lock can't simply be taken from it: whoever has waited too long kills it, and
the kernel hands the lock over. What it left half done is what a killed process leaves anywhere.

What the lock guards lasts some ten microseconds. A holder that is stopped is killed after `STOPPED_WALL_S`, and any
other after `LONGEST_WALL_S`, which is more than the gaps in which a virtual machine was seen to stand still (0.8 s).
Only time that the waiter itself saw pass counts, so nobody is killed because the whole machine stood still.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from actors.ledger.processes import ProcessKey
from actors.process_identity import read_stat

STOPPED_WALL_S = 0.1
LONGEST_WALL_S = 1.0

_HOPELESS_WALL_S = 10.0
"""Longest wait where the holder can't be found or does not die, as one that waits for a broken disk does not."""

_LOOK_WALL_S = 0.02
"""Time between two looks at the holder; most of each look's time that counts is twice as much."""

_SHORTEST_PAUSE_WALL_S, _LONGEST_PAUSE_WALL_S = 50e-6, 1e-3


class LockError(RuntimeError):
    """A lock can't be had: its holder can't be found, or does not die."""


def _nobody(process: ProcessKey, waited_wall_s: float, bound_wall_s: float) -> None:
    pass


class SharedLock:
    """A lock among threads and among processes, as a context manager.

    A forked child shares its parent's hold, so it must open the lock anew.

    Args:
        path: its file, made if missing.
        on_killed: called with the lock held after a holder was killed: with its process, the time waited for it and
            the bound on that, in seconds on the wall.
    """

    def __init__(self, path: Path, on_killed: Callable[[ProcessKey, float, float], None] = _nobody) -> None:
        # The kernel's lock belongs to the open file, which all threads share: they need a lock of their own.
        self._threads = threading.Lock()
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._on_killed = on_killed

    def __enter__(self) -> None:
        """Take the lock.

        Raises:
            LockError: if it can't be had.
        """
        # The thread that has it may wait for the kernel's as long as that takes, and then for its own turn once more.
        if not self._threads.acquire(timeout=2 * _HOPELESS_WALL_S):
            raise LockError(f"a thread of this process does not give {self._path} back")
        try:
            if not self._taken():
                self._wait()
        except BaseException:
            self._threads.release()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _wait(self) -> None:
        """Wait for the kernel's lock, and kill a holder that does not give it back."""
        patience, killed, pause_s = _Patience(), None, _SHORTEST_PAUSE_WALL_S
        while not self._taken():
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_WALL_S)
            if not patience.looks():
                continue
            holder = self._holder()
            bound_s = patience.exceeded(holder)
            if holder is not None and bound_s is not None:
                killed = holder, patience.waited_s, bound_s
                holder.kill()
            if patience.hopeless:
                raise LockError(f"{self._path} can't be had: it is held by process {holder and int(holder.pid)}")
        if killed is not None:
            self._on_killed(*killed)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holder(self) -> ProcessKey | None:
        """Return the process that holds the kernel's lock, as the kernel says; None if there is none or it is hidden.

        The kernel is asked, since what a process writes down itself is wrong if it is stopped before it does.
        """
        status = os.fstat(self._file)
        file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
        try:
            locks = Path("/proc/locks").read_text(encoding="ascii")
        except OSError:
            return None
        for line in locks.splitlines():
            # `2: FLOCK  ADVISORY  WRITE 1234 00:1a:77 0 EOF`; one that waits has an arrow after its number.
            fields = line.split()
            if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == file:
                stat = read_stat(int(fields[4]))
                return None if stat is None else ProcessKey(float(fields[4]), float(stat.start_ticks))
        return None


class _Patience:
    """The time that one wait has seen pass, and what of it one holder has had the lock."""

    def __init__(self) -> None:
        self._looked_s = time.monotonic()
        self._passed_s = 0.0
        self._total_s = 0.0
        self._holder: ProcessKey | None = None
        self._stopped_s = 0.0
        self.waited_s = 0.0

    @property
    def hopeless(self) -> bool:
        """True if there is no sense in waiting longer."""
        return self._total_s >= _HOPELESS_WALL_S

    def looks(self) -> bool:
        """Return True if it is time to look at the holder."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_WALL_S:
            return False
        self._passed_s = min(now_s - self._looked_s, 2 * _LOOK_WALL_S)
        self._looked_s = now_s
        self._total_s += self._passed_s
        return True

    def exceeded(self, holder: ProcessKey | None) -> float | None:
        """Take in who holds the lock at this look; return the bound that it exceeds, None if it does not.

        A holder that gave the lock back and took it again can't be told from one that kept it. That goes on for so long
        only where it hands nothing to anybody, and then it is no better.
        """
        if holder is None or holder != self._holder or holder.pid == os.getpid():
            self._holder, self.waited_s, self._stopped_s = holder, 0.0, 0.0
            return None
        self.waited_s += self._passed_s
        self._stopped_s = self._stopped_s + self._passed_s if holder.stopped else 0.0
        if self._stopped_s >= STOPPED_WALL_S:
            return STOPPED_WALL_S
        return LONGEST_WALL_S if self.waited_s >= LONGEST_WALL_S else None
