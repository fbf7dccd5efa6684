"""The CPUs on which threads may run, and those that are online: the kernel's calls, behind an interface for tests.

It pins nothing and knows no boards.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Protocol

from actors.agent.devices.sysfs import KnobError, Tree, cpu_list
from actors.agent.devices.topology import CPU, cpu_ranges, cpus_named, isolated_cpus
from actors.control_groups import cpuset
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

    def granted(self) -> frozenset[int]:
        """Return the CPUs online on which the kernel would let a thread of this process run, whatever its mask."""
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

    def granted(self) -> frozenset[int]:
        """See `Affinity.granted`."""
        return cpus.usable()


def why_not(cpus: Collection[int], affinity: Affinity, tree: Tree) -> str | None:
    """Return why this process cannot run on some CPUs, as a sentence without its stop; None if it can run on all.

    An isolated CPU is left out of every mask, so that only those run there who ask for it; so may a board.

    Args:
        cpus: the kernel's numbers of the CPUs.
        affinity: the kernel's masks.
        tree: the kernel's files.
    """
    mask = frozenset(affinity.get(0))
    lacking = frozenset(cpus) - mask
    if not lacking:
        return None
    present = tree.text_or_none(f"{CPU}/present")
    if present is not None and (absent := lacking.difference(cpu_list(present))):
        return f"{cpus_named(absent)} {_be(absent)} not there (this machine has {present})"
    if away := lacking - affinity.online():
        return (
            f"{cpus_named(away)} {_be(away)} offline: a power mode (nvpmodel) or hotplug took {_them(away)} away. "
            f"Choose another mode, or write 1 to /{CPU}/cpu{min(away)}/online"
        )
    granted = affinity.granted()
    if barred := lacking - granted:
        seen = cpuset(tree)
        where = f" ({seen.path} has {cpu_ranges(seen.cpus)})" if seen else ""
        return (
            f"{cpus_named(barred)} {_be(barred)} not allowed to this process: its cpuset leaves {_them(barred)} out"
            f"{where}. Widen it (--cpuset-cpus of a container, AllowedCPUs of a service)"
        )
    if masked := lacking.difference(isolated_cpus(tree)):
        return (
            f"{cpus_named(masked)} {_be(masked)} not allowed to this process: its mask, {cpu_ranges(mask)}, leaves "
            f"{_them(masked)} out. Start it without taskset (or CPUAffinity of a service)"
        )
    return None


def _be(cpus: Collection[int]) -> str:
    return "is" if len(cpus) == 1 else "are"


def _them(cpus: Collection[int]) -> str:
    return "it" if len(cpus) == 1 else "them"
