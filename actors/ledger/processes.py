"""The processes behind the tickets of a ledger: who of them has ended, who is stopped, and the end of those that hang.

It knows no cores. A process is told by its number and the kernel's time of its start, as the ledger has them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from actors.process_identity import ProcessIdentity, boot_id, pid_namespace, read_stat


class ProcessKey(NamedTuple):
    """A process as the ledger names it. Both fields are plain floats; 0 names none."""

    pid: float
    start_ticks: float

    @classmethod
    def own(cls) -> ProcessKey:
        """Return the key of this process."""
        own = ProcessIdentity.own()
        return cls(float(own.pid), float(own.start_ticks))

    @property
    def identity(self) -> ProcessIdentity:
        """The identity; all processes of a ledger are of one boot and one PID namespace."""
        return ProcessIdentity(
            pid=int(self.pid), start_ticks=int(self.start_ticks), boot_id=boot_id(), pid_namespace=pid_namespace()
        )

    def kill(self) -> None:
        """Kill the process; a stopped one dies too. One that has ended is left alone, and so is this process."""
        if self.pid != os.getpid():
            self.identity.send(signal.SIGKILL)

    @property
    def stopped(self) -> bool:
        """True if the process is stopped by a signal or a debugger."""
        stat = read_stat(int(self.pid))
        return stat is not None and stat.start_ticks == self.start_ticks and stat.stopped


class ProcessFiles:
    """The files of some processes, each of which becomes readable when its process ends.

    As a context manager it closes them.
    """

    def __init__(self) -> None:
        self._files: dict[ProcessKey, int | None] = {}

    def __enter__(self) -> ProcessFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        self.keep(())

    def keep(self, keys: Collection[ProcessKey]) -> None:
        """Have the files of these processes open, and no others."""
        wanted = {key for key in keys if key.pid}
        for key in set(self._files) - wanted:
            file = self._files.pop(key)
            if file is not None:
                os.close(file)
        for key in wanted - set(self._files):
            # One that has ended has no file, and where no more files can be opened there is none either: whoever waits
            # looks at the processes now and then all the same.
            self._files[key] = None
            with contextlib.suppress(OSError):
                self._files[key] = key.identity.open()

    @property
    def readable_at_end(self) -> list[int]:
        """The files."""
        return [file for file in self._files.values() if file is not None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """Some processes at one moment.

    Attributes:
        ended: those that have ended, by slot.
        stopped: slots whose process is stopped by a signal or a debugger.
        wall_s: when they were looked at, in seconds on the wall.
    """

    ended: Mapping[int, ProcessKey]
    stopped: Set[int]
    wall_s: float


def look(processes: Mapping[int, ProcessKey]) -> Sight:
    """Look at processes, given by slot."""
    ended, stopped = {}, set()
    for slot, key in processes.items():
        if not key.pid:  # nobody asked for cores in this slot yet
            continue
        stat = read_stat(int(key.pid))
        if stat is None or stat.start_ticks != key.start_ticks or stat.ended:
            ended[slot] = key
        elif stat.stopped:
            stopped.add(slot)
    return Sight(ended=ended, stopped=stopped, wall_s=time.monotonic())
