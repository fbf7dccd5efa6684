"""How loaded this machine is, and how much of it is not our doing, from the kernel's accounts through psutil.

The kernel counts in ticks of 10 ms, so the cores' load over one epoch is coarse. What it is for is not known here.
"""

from __future__ import annotations

import os

import psutil

from scheduler.messages import HostTelemetry

_SLOW_S = 1.0
"""How long what others use is good for: to ask after every process of ours takes most of a reading, and over less the
kernel's ticks would blur it anyway."""


class HostMeter:
    """Reads the machine's load; knows its own process, and is told of the others that are ours."""

    def __init__(self) -> None:
        self._ours: dict[int, psutil.Process] = {}
        self._used_s: dict[int, float] = {}  # CPU time of each of ours at the last reading
        self.watch(os.getpid())
        self._cores = self._others_cores = _core_times()
        self._others: float | None = None
        self._memory_used_mb = 0.0

    def watch(self, pid: int) -> None:
        """Counts a process as ours from now on; one that is gone is left out."""
        try:
            process = psutil.Process(pid)
            known = self._ours.get(pid)
            if known != process:  # equal only if the same process, not one that got its number later
                self._ours[pid], self._used_s[pid] = process, _used_s(process)
        except psutil.NoSuchProcess:
            return

    def read(self) -> HostTelemetry:
        """The cores' load since the last call, or since the beginning; the rest as of the latest `_SLOW_S`."""
        cores, before = _core_times(), self._cores
        self._cores = cores
        if self._others is None or _wall_s(cores, self._others_cores) >= _SLOW_S:
            self._others, self._memory_used_mb = self._read_others(cores), psutil.virtual_memory().used / 1e6
        return HostTelemetry(
            cores=tuple(_share(busy_s, all_s) for busy_s, all_s in _since(before, cores)),
            others=self._others,
            memory_used_mb=self._memory_used_mb,
        )

    def _read_others(self, cores: list[tuple[float, float]]) -> float:
        """CPUs' worth of what is used beside our processes since the last time."""
        before, self._others_cores = self._others_cores, cores
        wall_s = _wall_s(cores, before)
        others_s = sum(busy_s for busy_s, _ in _since(before, cores)) - self._ours_since_s()
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


def _core_times() -> list[tuple[float, float]]:
    """Busy and total seconds of each CPU; stolen time is neither ours nor others' here, guests' is in user's."""
    return [
        (
            cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq,
            cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq + cpu.idle + cpu.iowait + cpu.steal,
        )
        for cpu in psutil.cpu_times(percpu=True)
    ]


def _since(before: list[tuple[float, float]], cores: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Busy and total seconds of each CPU between two readings."""
    return [(now[0] - old[0], now[1] - old[1]) for old, now in zip(before, cores, strict=True)]


def _wall_s(cores: list[tuple[float, float]], before: list[tuple[float, float]]) -> float:
    return sum(all_s for _, all_s in _since(before, cores)) / len(cores)


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
