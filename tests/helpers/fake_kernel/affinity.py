"""The CPUs on which threads may run, on a fake kernel whose CPUs go and come.

A thread's mask is what was set, and the kernel keeps CPUs in it that are offline; who asks is told those that are
online. A thread that has none left gets all CPUs, and keeps them when its own comes back. In a cpuset it is the other
way round: the kernel sets every thread to the whole set whenever the CPUs of the set that are online change.

Sources: kernel/sched/core.c (select_fallback_rq, sched_getaffinity, sched_setaffinity) and kernel/cgroup/cpuset.c
(hotplug_update_tasks, with cgroup v2) of Linux 6.1. From 6.2 on a cpuset remembers what threads asked for; not here.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection

from .kernel import FakeKernel
from .texts import kernel_error


class FakeAffinity:
    """The masks of threads.

    Attributes:
        kernel: the kernel that they belong to.
        asleep: threads that sleep: they notice that their CPU has gone when they wake, and have no CPU until then.
    """

    def __init__(
        self,
        kernel: FakeKernel,
        *,
        cpuset: Collection[int] | None = None,
        isolated: Collection[int] = (),
        real: bool = False,
    ) -> None:
        """Add masks to a kernel.

        Args:
            kernel: the kernel; it has CPUs.
            cpuset: the CPUs of the threads' cpuset; None if they are in the root.
            isolated: CPUs that are left out of masks that nobody has set, as with isolcpus=.
            real: True to pin the real threads of that number as well: to CPU `n % CPUs of this machine` for CPU n.
        """
        self.asleep: set[int] = set()
        self.kernel = kernel
        self._cpus = kernel.cpus
        self._cpuset = None if cpuset is None else frozenset(cpuset)
        self._effective = self._effective_now()
        self._isolated = frozenset(isolated)
        self._real = real
        self._here = sorted(os.sched_getaffinity(0))
        self._masks: dict[int, frozenset[int]] = {}
        kernel.cpus.watch(self._cpu_changed)
        kernel.affinity = self

    def get(self, tid: int) -> frozenset[int]:
        """Return the CPUs on which a thread may run; thread 0 is the one that asks.

        Raises:
            ProcessLookupError: if there is no such thread; only real ones can be missing.
        """
        tid = tid or threading.get_native_id()
        with self.kernel.lock:
            if self._real:
                os.sched_getaffinity(tid)
            return self._mask(tid) & self._cpus.online

    def set(self, tid: int, cpus: Collection[int]) -> None:
        """Have a thread run on these CPUs, as far as they are online and allowed.

        Raises:
            OSError: EINVAL if none is; ESRCH if there is no such thread.
        """
        tid = tid or threading.get_native_id()
        with self.kernel.lock:
            mask = frozenset(cpus) & self._effective & self._cpus.online
            if not mask:
                raise kernel_error(errno.EINVAL)
            self._put(tid, mask)

    def online(self) -> frozenset[int]:
        """Return the CPUs that are online."""
        with self.kernel.lock:
            return frozenset(self._cpus.online)

    def granted(self) -> frozenset[int]:
        """Return the CPUs online that the cpuset grants."""
        with self.kernel.lock:
            return self._effective & self._cpus.online

    def wake(self, tid: int) -> None:
        """Have a thread that slept wake up."""
        with self.kernel.lock:
            self.asleep.discard(tid)
            self._widen(tid)

    def _mask(self, tid: int) -> frozenset[int]:
        # A thread that was started since has its creator's mask; that of its process comes close.
        known = self._masks.get(tid)
        if known is None and self._real:
            known = self._masks.get(_leader(tid))
        return self._effective - self._isolated if known is None else known

    def _put(self, tid: int, mask: frozenset[int]) -> None:
        if self._real:
            os.sched_setaffinity(tid, {self._here[cpu % len(self._here)] for cpu in mask})
        self._masks[tid] = mask

    def _widen(self, tid: int) -> None:
        if not self._masks[tid] & self._cpus.online:
            self._put_if_alive(tid, frozenset(self._cpus.possible))

    def _put_if_alive(self, tid: int, mask: frozenset[int]) -> None:
        try:
            self._put(tid, mask)
        except ProcessLookupError:
            del self._masks[tid]

    def _effective_now(self) -> frozenset[int]:
        """Return the CPUs that the cpuset grants: without one all; where all of its own are offline, its parent's."""
        if self._cpuset is None:
            return frozenset(self._cpus.possible)
        return self._cpuset & self._cpus.online or frozenset(self._cpus.online)

    def _cpu_changed(self, cpu: int, on: bool) -> None:
        before, self._effective = self._effective, self._effective_now()
        for tid in [*self._masks]:
            if self._effective != before:
                self._put_if_alive(tid, self._effective)
            elif not on and tid not in self.asleep:
                self._widen(tid)


def _leader(tid: int) -> int:
    """Return the number of a real thread's process; its own if it is gone."""
    try:
        with open(f"/proc/{tid}/status", encoding="ascii", errors="replace") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    except OSError:
        return tid
