"""CPUs that go offline and come back, and what the kernel says of their place in the machine.

Sources: drivers/base/core.c (online_store), drivers/base/cpu.c, drivers/base/topology.c and drivers/base/cacheinfo.c of
Linux 6.1.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from .kernel import FakeKernel
from .texts import cpu_ranges, kernel_error, strict_bool

CPU = "sys/devices/system/cpu"


@dataclass(frozen=True)
class Core:
    """The place of one CPU, as its `topology` and `cache` directories tell it.

    Attributes:
        siblings: the CPUs that are threads of its core, itself too.
        core: `core_id`.
        cluster: `cluster_id`.
        package: `physical_package_id`.
        capacity: `cpu_capacity`, 1024 for the fastest; None where there is no such file.
        caches: (level, type, CPUs that share it) of each cache: `(2, "Unified", (0, 1))`.
    """

    siblings: tuple[int, ...]
    core: int = 0
    cluster: int = 0
    package: int = 0
    capacity: int | None = None
    caches: tuple[tuple[int, str, tuple[int, ...]], ...] = ()


class Cpus:
    """The CPUs of a machine.

    Attributes:
        possible: their numbers.
        online: those that work now.
    """

    def __init__(self, kernel: FakeKernel, cores: Sequence[Core], *, fixed: Collection[int] = ()) -> None:
        """Add the files of some CPUs, which are all online.

        Args:
            kernel: the kernel that they belong to.
            cores: each CPU's place.
            fixed: those that have no file `online`, like CPU 0 on x86.
        """
        self.possible = tuple(range(len(cores)))
        self.online: set[int] = set(self.possible)
        self._kernel = kernel
        self._cores = cores
        # Called with each CPU that came (True) or went (False).
        self._watchers: list[Callable[[int, bool], None]] = []
        kernel.cpus = self
        kernel.file(f"{CPU}/online", lambda: cpu_ranges(self.online))
        kernel.file(f"{CPU}/offline", lambda: cpu_ranges({*self.possible} - self.online))
        for name in ("possible", "present"):
            kernel.text(f"{CPU}/{name}", cpu_ranges(self.possible))
        for cpu in self.possible:
            capacity = cores[cpu].capacity
            if capacity is not None:
                kernel.text(f"{CPU}/cpu{cpu}/cpu_capacity", str(capacity))
            if cpu not in fixed:
                self._add_switch(cpu)
            self._add_place(cpu)

    def watch(self, watcher: Callable[[int, bool], None]) -> None:
        """Have something called with each CPU that came (True) or went (False)."""
        self._watchers.append(watcher)

    def switch(self, cpu: int, on: bool) -> None:
        """Switch a CPU on or off.

        Raises:
            OSError: EBUSY if it is the last one.
        """
        with self._kernel.lock:
            if on == (cpu in self.online):
                return
            if self.online == {cpu}:
                raise kernel_error(errno.EBUSY)
            if on:
                self.online.add(cpu)
                self._add_place(cpu)
            else:
                self.online.discard(cpu)
                for directory in ("topology", "cache"):
                    if self._kernel.exists(f"{CPU}/cpu{cpu}/{directory}"):
                        self._kernel.remove(f"{CPU}/cpu{cpu}/{directory}")
            for watcher in self._watchers:
                watcher(cpu, on)

    def _add_switch(self, cpu: int) -> None:
        self._kernel.file(
            f"{CPU}/cpu{cpu}/online",
            lambda: str(int(cpu in self.online)),
            lambda content: self.switch(cpu, strict_bool(content)),
        )

    def _add_place(self, cpu: int) -> None:
        core = self._cores[cpu]
        base = f"{CPU}/cpu{cpu}/topology"

        # Those that are offline are left out of every list of neighbours.
        def here(cpus: Collection[int]) -> Callable[[], str]:
            return lambda: cpu_ranges(self.online.intersection(cpus))

        def alike(field: str) -> tuple[int, ...]:
            return tuple(other for other in self.possible if getattr(self._cores[other], field) == getattr(core, field))

        self._kernel.text(f"{base}/core_id", str(core.core))
        self._kernel.text(f"{base}/physical_package_id", str(core.package))
        self._kernel.file(f"{base}/thread_siblings_list", here(core.siblings))
        self._kernel.file(f"{base}/core_siblings_list", here(alike("package")))
        if self._kernel.release >= (5, 3):
            self._kernel.file(f"{base}/core_cpus_list", here(core.siblings))
            self._kernel.file(f"{base}/package_cpus_list", here(alike("package")))
        if self._kernel.release >= (5, 16):
            self._kernel.text(f"{base}/cluster_id", str(core.cluster))
        for index, (level, kind, cpus) in enumerate(core.caches):
            cache = f"{CPU}/cpu{cpu}/cache/index{index}"
            self._kernel.text(f"{cache}/level", str(level))
            self._kernel.text(f"{cache}/type", kind)
            self._kernel.file(f"{cache}/shared_cpu_list", here(cpus))
