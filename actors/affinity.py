"""The CPUs on which threads may run, and those that are online: the kernel's calls, behind an interface for tests.

It pins nothing and knows no boards.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Protocol

from actors.agent.devices.sysfs import KnobError, Tree, cpu_list
from actors.agent.devices.topology import CPU
from supernets import cpus


class Affinity(Protocol):
    """The kernel's masks of threads, and the CPUs that are online."""

    def get(self, tid: int) -> Collection[int]:
        """Return the CPUs online on which a thread may run; thread 0 is the one that asks.

        Raises:
            ProcessLookupError: if there is no such thread.
        """
        ...

    def set(self, tid: int, cpus: Collection[int]) -> None:
        """Let a thread run on those of these CPUs that are online and allowed to it.

        Raises:
            OSError: as the kernel does: ESRCH if there is no such thread, EINVAL if there is no such CPU.
        """
        ...

    def online(self) -> frozenset[int]:
        """Return the CPUs that are online."""
        ...


class SystemAffinity:
    """The masks that this machine's kernel has.

    Args:
        tree: the kernel's files.
    """

    def __init__(self, tree: Tree | None = None) -> None:
        self._tree = tree or Tree()

    def get(self, tid: int) -> Collection[int]:
        """See `Affinity.get`."""
        return os.sched_getaffinity(tid)

    def set(self, tid: int, cpus: Collection[int]) -> None:
        """See `Affinity.set`."""
        os.sched_setaffinity(tid, cpus)

    def online(self) -> frozenset[int]:
        """See `Affinity.online`; those that this process may use where sysfs doesn't know the kernel's numbers.

        lxcfs shows a container that owns CPU 24 alone that CPU 0 is online, and some sandboxes have no sysfs.
        """
        try:
            # No file is kept open: these masks are handed to other processes.
            listed = frozenset(cpu_list(self._tree.text(f"{CPU}/online")))
        except (KnobError, ValueError):
            listed = frozenset()
        return listed if listed.issuperset(self.get(0)) else cpus.usable()


def why_not(cpu: int, affinity: Affinity, tree: Tree) -> str | None:
    """Return why this process cannot run on a CPU, in words that follow "CPU 4"; None if it can.

    Args:
        cpu: the kernel's number of the CPU.
        affinity: the kernel's masks.
        tree: the kernel's files.
    """
    if cpu in affinity.get(0):
        return None
    present = tree.text_or_none(f"{CPU}/present")
    if present is not None and cpu not in cpu_list(present):
        return f"is not there (this machine has {present})"
    if cpu not in affinity.online():
        return (
            f"is offline: a power mode (nvpmodel) or hotplug took it away. Choose another mode, or write 1 to "
            f"/{CPU}/cpu{cpu}/online"
        )
    return "is not allowed to this process: a cpuset or taskset leaves it out"
