"""The load of this machine, and how much of it is not ours, from the kernel's accounts.

The kernel counts in ticks of 10 ms, so the cores' load over one epoch is coarse. CPUs go offline and come back, so each
is known by its number: `/proc/stat` has a line for each that is online. What the load is used for is not known here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from scheduler.messages import HostTelemetry

_SLOW_S = 1.0
"""For how long a reading of what others use stays good. To ask after every process of ours takes most of a reading, and
over a shorter time the kernel's ticks would blur it anyway."""

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


class CpuTime(NamedTuple):
    """The time of one CPU since boot, or between two readings.

    Attributes:
        busy_s: time in which it ran something; guests are part of `user`.
        all_s: busy, idle and stolen time. Stolen time is neither ours nor others' here.
    """

    busy_s: float
    all_s: float


class HostMeter:
    """A meter of the machine's load. It knows its own process, and is told of the others that are ours.

    Args:
        stat: the kernel's accounts of its CPUs, in the form of `/proc/stat`.
    """

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._ours: dict[int, psutil.Process] = {}
        self._used_s: dict[int, float] = {}  # CPU time of each of ours at the last reading
        self.watch(os.getpid())
        self._cpus = self._others_cpus = self._read_cpus()
        self._count = 0  # CPUs seen so far, those below the highest included
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
        """Return the CPUs' load since the last call, or since the beginning; the rest is up to a second old."""
        before, self._cpus = self._cpus, self._read_cpus()
        self._count = max(self._count, 1 + max((*before, *self._cpus), default=-1))
        since = _since(before, self._cpus)
        if self._others is None or _wall_s(_since(self._others_cpus, self._cpus)) >= _SLOW_S:
            self._others, self._memory_used_mb = self._read_others(), psutil.virtual_memory().used / 1e6
        return HostTelemetry(
            cores=tuple(_share(*since[cpu]) if cpu in since else None for cpu in range(self._count)),
            others=self._others,
            memory_used_mb=self._memory_used_mb,
        )

    def _read_cpus(self) -> dict[int, CpuTime]:
        with open(self._stat, encoding="ascii", errors="replace") as stat:
            return cpu_times(stat)

    def _read_others(self) -> float:
        """Return how many CPUs others kept busy since the last time: 1.5 is one and a half."""
        before, self._others_cpus = self._others_cpus, self._cpus
        since = _since(before, self._cpus)
        wall_s = _wall_s(since)
        others_s = sum(cpu.busy_s for cpu in since.values()) - self._ours_since_s()
        return min(max(0.0, others_s / wall_s), float(len(since))) if wall_s > 0 else 0.0

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


def cpu_times(stat: Iterable[str]) -> dict[int, CpuTime]:
    """Return the time of each CPU online since boot, by its number.

    Args:
        stat: the lines of `/proc/stat`, of which `cpu3 10 0 5 80 1 0 0 0 0 0` says that CPU 3 spent 10 ticks on
            users' programs, none on nice ones, 5 on the kernel, 80 idle and 1 waiting for a disk (proc(5)).
    """
    times = {}
    for line in stat:
        if not line.startswith("cpu"):  # those of CPUs come first
            break
        name, *ticks = line.split()
        if name == "cpu":  # all of them together
            continue
        user, nice, system, idle, iowait, irq, softirq, steal = (_TICK_S * int(count) for count in ticks[:8])
        busy_s = user + nice + system + irq + softirq
        times[int(name[3:])] = CpuTime(busy_s=busy_s, all_s=busy_s + idle + iowait + steal)
    return times


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _since(before: Mapping[int, CpuTime], cpus: Mapping[int, CpuTime]) -> dict[int, CpuTime]:
    """Return the time between two readings of each CPU that both have, and whose accounts did not run back."""
    return {
        cpu: CpuTime(busy_s=now.busy_s - before[cpu].busy_s, all_s=now.all_s - before[cpu].all_s)
        for cpu, now in cpus.items()
        if cpu in before and now.all_s >= before[cpu].all_s
    }


def _wall_s(since: Mapping[int, CpuTime]) -> float:
    """Return how much time has passed; a CPU that was away for a part of it has counted less."""
    return median(cpu.all_s for cpu in since.values()) if since else 0.0


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
