"""How loaded this machine is, and how much of it is not our doing, from the kernel's accounts through psutil.

The kernel counts in ticks of 10 ms, so figures over one epoch are coarse. What the load is for is not known here.
"""

from __future__ import annotations

import os

import psutil

from scheduler.messages import HostTelemetry


class HostMeter:
    """Reads the machine's load; knows its own process, and is told of the others that are ours."""

    def __init__(self) -> None:
        self._ours: dict[int, psutil.Process] = {}
        self._used_s: dict[int, float] = {}  # CPU time of each of ours at the last reading
        self.watch(os.getpid())
        self._cores = _core_times()

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
        """The load since the last call, or since the beginning."""
        cores = _core_times()
        spans = [
            (busy_s - old_busy_s, all_s - old_all_s)
            for (busy_s, all_s), (old_busy_s, old_all_s) in zip(cores, self._cores, strict=True)
        ]
        self._cores = cores
        wall_s = sum(all_s for _, all_s in spans) / len(spans)
        others_s = sum(busy_s for busy_s, _ in spans) - self._ours_since_s()
        return HostTelemetry(
            cores=tuple(_share(busy_s, all_s) for busy_s, all_s in spans),
            others=min(max(0.0, others_s / wall_s), float(len(spans))) if wall_s > 0 else 0.0,
            memory_used_mb=psutil.virtual_memory().used / 1e6,
        )

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


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
