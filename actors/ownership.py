"""Ownership of CPUs and GPUs: one run at a time, unless the second is to share.

Two runs on the same cores slow each other down, and each would count the other's energy as its own. An emulated board
burns the cores of this machine too. So a run claims the CPUs of its board for as long as it lasts. Where others have
them, a run is refused. Two on emulated boards have nothing to break: the second goes on, and both are void.

- A claim is a lock of the kernel's on a file of sysfs that every CPU has: no user can make, replace or delete it, and
  the kernel frees the lock when the process ends, however it ends.
- A run that shares has a second lock, on the CPU's directory. By it the owner sees that it is not alone.
- What a claim is for stands in a file in memory that the process has open, and that goes with it.

It holds between all processes that see the same sysfs. A container with a network name space of its own has another.
All GPUs of one driver count as one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from actors.agent.devices.lock import owners_of
from actors.agent.devices.sysfs import Tree
from actors.run_tag import age_s
from scheduler.board import Board
from scheduler.errors import InputError

SHARE = "GEARSHIFT_SHARE"
"""Variable of the environment that, set to 1, has every run share."""

_CPU = "sys/devices/system/cpu/cpu{}"
_DRIVERS = ("sys/module/nvidia", "sys/module/nvgpu")
_OWNED = "uevent"
"""File of every device and module in sysfs that is locked by its owner; who shares locks the directory."""

_LABEL = "gearshift-claim"
_LABEL_BYTES = 4096
_WAIT_S = 2.0
"""Longest wait of a run that shares for an owner that is just looking whether it is alone."""


class BusyError(InputError):
    """Another run uses CPUs or GPUs of this board; the message names it."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What can be claimed: a CPU, or the GPUs of a driver.

    Attributes:
        name: in words.
        directory: its directory in sysfs.
    """

    name: str
    directory: str

    @property
    def owned(self) -> str:
        """The file that its owner locks."""
        return f"{self.directory}/{_OWNED}"


class Claim:
    """The claim of a run to the CPUs and GPUs of its boards, as a context manager.

    Args:
        boards: the boards.
        run: the run's name, which others are told.
        share: True to go on beside a run that has some of them; both are void then. None does so where
            `GEARSHIFT_SHARE` is 1, or where nothing but emulated boards is known to be on either side.
        tree: files of the machine; None for this one.

    Attributes:
        notice: a sentence for the user, once it is entered; nothing where the run is alone.
        shared: True once another run used some of them too.
    """

    def __init__(
        self, boards: Iterable[Board], run: str, *, share: bool | None = None, tree: Tree | None = None
    ) -> None:
        boards = list(boards)
        self._tree = tree or Tree()
        self._run = run
        units = [unit for board in boards for unit in board.units]
        self._emulated = all(unit.emulated for unit in units)
        self._told_to_share = os.environ.get(SHARE) == "1" if share is None else share
        self._may_share = share is None and self._emulated
        cpus = sorted({cpu for unit in units for cpu in unit.cpus})
        self._parts = [_Part(str(cpu), _CPU.format(cpu)) for cpu in cpus]
        if any(unit.kind == "gpu" for unit in units):
            self._parts += [_Part("GPU", driver) for driver in _DRIVERS if self._tree.exists(driver)]
        self._owned: list[_Part] = []
        self._locks = ExitStack()
        self.notice = ""
        self.shared = False

    def __enter__(self) -> Claim:
        """Take them.

        Raises:
            BusyError: if another run has some of them, and this one is not to share.
        """
        try:
            self._take()
        except BaseException:
            self._locks.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._locks.close()
        self._owned.clear()

    def look(self) -> bool:
        """Return True if another run has used some of them since this run took them."""
        for part in self._owned:
            if not self.shared:
                lock = self._lock(part.directory, fcntl.LOCK_EX)
                self.shared = lock is None
                if lock is not None:
                    lock()
        return self.shared

    def _take(self) -> None:
        taken: list[_Part] = []
        try:
            for part in self._parts:
                lock = self._lock(part.owned, fcntl.LOCK_EX)
                if lock is None:
                    taken.append(part)
                else:
                    self._locks.callback(lock)
                    self._owned.append(part)
            # Whoever shares them has no lock on the file, but one on the directory.
            taken += [part for part in self._owned if not self._alone(part)]
        except OSError as error:
            self.notice = f"whether another run uses the same CPUs can't be seen here ({error.strerror})"
            return
        if taken:
            self._share(taken)
        self._locks.callback(os.close, self._label())

    def _share(self, taken: list[_Part]) -> None:
        """Go on beside the processes that have these parts.

        Raises:
            BusyError: if this run is not to.
        """
        others = self._others(taken)
        kept_out_by = [] if self._told_to_share else [pid for pid in others if not self._may_go_on_beside(pid)]
        pid = (kept_out_by or others)[0]
        owner = "a run that can't be seen from here, as in another container" if pid is None else _owner_words(pid)
        busy = f"{owner}, uses {_names([part.name for part in taken])}"
        if kept_out_by:
            raise BusyError(f"{busy}; wait for it or end it, or share with --share, which makes both void")
        self.shared = True
        self.notice = f"{busy} too, so the figures of both runs are void"
        for part in self._parts:
            self._join(part)

    def _alone(self, part: _Part) -> bool:
        lock = self._lock(part.directory, fcntl.LOCK_EX)
        if lock is not None:
            lock()
        return lock is not None

    def _join(self, part: _Part) -> None:
        deadline_s = time.monotonic() + _WAIT_S
        while (lock := self._lock(part.directory, fcntl.LOCK_SH)) is None and time.monotonic() < deadline_s:
            time.sleep(0.01)
        if lock is not None:
            self._locks.callback(lock)

    def _lock(self, path: str, how: int) -> Callable[[], None] | None:
        """Lock a file or directory, and return the call that unlocks it; None if another has it."""
        file = os.open(self._tree.lock_file(path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        return lambda: os.close(file)

    def _label(self) -> int:
        """Return a file in memory that says what the claim is for; others read it by way of `/proc`."""
        file = os.memfd_create(_LABEL, os.MFD_CLOEXEC)
        claimed = {"run": self._run, "since_s": _boot_s(), "emulated": self._emulated}
        os.write(file, json.dumps(claimed).encode())
        return file

    def _may_go_on_beside(self, pid: int | None) -> bool:
        """Return True if neither this run nor that process is known to use a board with real clocks."""
        told = None if pid is None else _read_label(pid)
        return self._may_share and (told is None or told.emulated)

    def _others(self, taken: list[_Part]) -> list[int | None]:
        """Return the processes that own or share these parts; one None where none can be seen."""
        places = [place for part in taken for place in (part.owned, part.directory)]
        own = {part.owned for part in self._owned}
        seen = dict.fromkeys(pid for place in places if place not in own for pid in owners_of(self._tree, place))
        return list(seen) or [None]


@dataclass(frozen=True, slots=True)
class _Label:
    """The words of a claim.

    Attributes:
        run: name of the run.
        since_s: its begin, on the clock since boot.
        emulated: True if all units of its boards are emulated.
    """

    run: str
    since_s: float
    emulated: bool


def _owner_words(pid: int) -> str:
    """Return the words for the process that has a claim: its run, its number, and since when."""
    told = _read_label(pid)
    since_s = age_s(pid)
    if told is not None:
        since_s = max(0.0, _boot_s() - told.since_s)
        who = f"run {told.run!r} of process {pid}"
    else:
        who = f"process {pid}"
        with suppress(OSError):
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
            who += f" ({command[:80]})"
    return who + ("" if since_s is None else f", for {_span(since_s)}")


def _read_label(pid: int) -> _Label | None:
    """Return what a claim says; None where it says nothing or may not be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        files = Path(f"/proc/{pid}/fd")
        for name in os.listdir(files):
            if _LABEL in os.readlink(files / name):
                with (files / name).open("rb") as file:
                    told = json.loads(file.read(_LABEL_BYTES))
                return _Label(str(told["run"]), float(told["since_s"]), bool(told["emulated"]))
    return None


def _boot_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _names(names: list[str]) -> str:
    cpus = [name for name in names if name != "GPU"]
    words = [f"CPU {cpus[0]}" if len(cpus) == 1 else f"CPUs {', '.join(cpus)}"] if cpus else []
    return " and ".join(words + (["the GPU"] if "GPU" in names else []))


def _span(seconds: float) -> str:
    """Return a span of time in words: 75 gives `75 s`, 200 gives `3 min`, 9,000 gives `2 h 30 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
