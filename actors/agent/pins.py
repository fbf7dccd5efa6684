"""The processes that a board agent has pinned: it puts them back when the kernel has let them go elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress

from actors import pinning
from actors.affinity import Affinity
from actors.agent.memory import Memory, Pinning
from actors.pinning import GoneError, PinError
from actors.process_identity import read_stat
from scheduler.messages import Repinned


class Pins:
    """The pinned worker of each application. Its methods may be called from several threads.

    Args:
        affinity: the kernel's masks of threads.
        memory: the agent's memory, from which pins of an agent before are gone on with.
    """

    def __init__(self, affinity: Affinity, memory: Memory) -> None:
        self._affinity = affinity
        self._memory = memory
        self._lock = threading.Lock()
        self._pinned: dict[str, tuple[int, tuple[int, ...]]] = {}  # process and CPUs as read back
        self._faults: dict[str, str] = {}  # why a worker could not be pinned again, told once
        self._online = affinity.online()

    def pin(self, app: str, pid: int, cpus: Collection[int]) -> tuple[int, ...]:
        """Move all threads of a worker to these CPUs; see `BoardAgent.pin`."""
        stat = read_stat(pid)
        order = Pinning(pid=pid, start_ticks=None if stat is None else stat.start_ticks, cpus=tuple(cpus))
        with self._lock, self._memory.ordering("pins", app, order):
            pinned = pinning.pin(pid, cpus, self._affinity)
            self._pinned[app] = pid, pinned
        return pinned

    def go_on(self) -> None:
        """Pin again whom an agent before had pinned, or was about to; one that can't be is tried again by `repin`."""
        for app, order in [*self._memory.content.pins.items()]:
            stat = read_stat(order.pid)
            if stat is None or stat.start_ticks != order.start_ticks:
                continue
            with suppress(PinError):
                self.pin(app, order.pid, order.cpus)
                continue
            self._pinned[app] = order.pid, order.cpus

    def pinned(self) -> dict[str, tuple[int, tuple[int, ...]]]:
        """Return the process of each application that was pinned, and its CPUs as read back."""
        with self._lock:
            return dict(self._pinned)

    def repin(self) -> tuple[Repinned, ...]:
        """Put workers back where they were pinned, if CPUs have gone or come, or a worker's main thread has been moved.

        The kernel lets threads run anywhere once none of their CPUs is online, and gives nothing back when they return:
        CPU 3 may have gone and come between two calls, and a worker that was pinned there runs on all others too. The
        main thread shows it; a worker's other threads may be elsewhere on purpose (`pinning.aside`).

        Returns:
            The workers that were moved, or that could not be; the same fault is told once.
        """
        with self._lock:
            before, self._online = self._online, self._affinity.online()
            moved = [
                self._repin(app, pid, cpus)
                for app, (pid, cpus) in [*self._pinned.items()]
                if self._online != before or pinning.has_strayed(pid, self._online.intersection(cpus), self._affinity)
            ]
        return tuple(one for one in moved if one is not None)

    def _repin(self, app: str, pid: int, cpus: tuple[int, ...]) -> Repinned | None:
        try:
            before = pinning.repin(pid, cpus, self._affinity)
        except GoneError:  # whoever takes its place is pinned anew
            del self._pinned[app]
            self._memory.forget("pins", app)
            return None
        except PinError as error:
            told, self._faults[app] = self._faults.get(app), str(error)
            return None if told == str(error) else Repinned(app=app, before=(), cpus=(), fault=str(error))
        self._faults.pop(app, None)
        if before is None:
            return None
        return Repinned(app=app, before=before, cpus=tuple(cpu for cpu in cpus if cpu in self._online))
