"""The load of this machine, and how much of it is not ours, from the kernel's accounts through psutil.

The kernel counts in ticks of 10 ms, so the cores' load over one epoch is coarse. What the load is used for is not known
here.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import psutil

from scheduler.messages import HostTelemetry

_SLOW_S = 1.0
"""For how long a reading of what others use stays good. To ask after every process of ours takes most of a reading, and
over a shorter time the kernel's ticks would blur it anyway."""


class CpuTime(NamedTuple):
    """The time of one CPU since boot, or between two readings.

    Attributes:
        busy_s: time in which it ran something; guests are part of `user`.
        all_s: busy, idle and stolen time. Stolen time is neither ours nor others' here.
    """

    busy_s: float
    all_s: float


class HostMeter:
    """A meter of the machine's load. It knows its own process, and is told of the others that are ours."""

    def __init__(self) -> None:
        self._ours: dict[int, psutil.Process] = {}
        self._used_s: dict[int, float] = {}  # CPU time of each of ours at the last reading
        self.watch(os.getpid())
        self._cores = self._others_cores = _core_times()
        self._others: float | None = None
        self._memory_used_mb = 0.0

    def watch(self, pid: int) -> None:
        """Count a process as ours from now on. One that is gone is left out."""
        try:
            process = psutil.Process(pid)
            known = self._ours.get(pid)
            if known != process:  # equal only if the same process, not one that got its number later
                self._ours[pid], self._used_s[pid] = process, _used_s(process)
        except psutil.NoSuchProcess:
            return

    def read(self) -> HostTelemetry:
        """Return the cores' load since the last call, or since the beginning; the rest is up to a second old."""
        cores, before = _core_times(), self._cores
        self._cores = cores
        if self._others is None or _wall_s(cores, self._others_cores) >= _SLOW_S:
            self._others, self._memory_used_mb = self._read_others(cores), psutil.virtual_memory().used / 1e6
        return HostTelemetry(
            cores=tuple(_share(cpu.busy_s, cpu.all_s) for cpu in _since(before, cores)),
            others=self._others,
            memory_used_mb=self._memory_used_mb,
        )

    def _read_others(self, cores: list[CpuTime]) -> float:
        """Return how many CPUs others kept busy since the last time: 1.5 is one and a half."""
        before, self._others_cores = self._others_cores, cores
        wall_s = _wall_s(cores, before)
        others_s = sum(cpu.busy_s for cpu in _since(before, cores)) - self._ours_since_s()
        return min(max(0.0, others_s / wall_s), float(len(cores))) if wall_s > 0 else 0.0

    def _ours_since_s(self) -> float:
        total_s = 0.0
        for pid, process in list(self._ours.items()):
            try:
                used_s = _used_s(process)
            except psutil.NoSuchProcess:
                del self._ours[pid], self._used_s[pid]
                continue
            total_s += used_s - self._used_s[pid]
            self._used_s[pid] = used_s
        return total_s


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _core_times() -> list[CpuTime]:
    return [
        CpuTime(
            busy_s=cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq,
            all_s=cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq + cpu.idle + cpu.iowait + cpu.steal,
        )
        for cpu in psutil.cpu_times(percpu=True)
    ]


def _since(before: list[CpuTime], cores: list[CpuTime]) -> list[CpuTime]:
    """Return the time of each CPU between two readings."""
    return [
        CpuTime(busy_s=now.busy_s - old.busy_s, all_s=now.all_s - old.all_s)
        for old, now in zip(before, cores, strict=True)
    ]


def _wall_s(cores: list[CpuTime], before: list[CpuTime]) -> float:
    return sum(cpu.all_s for cpu in _since(before, cores)) / len(cores)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
