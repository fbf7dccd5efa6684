"""One look at a run from outside: memory, descriptors and threads of each process, and the sizes of what it writes."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from actors.run_places import PREFIX, RAY, SHARED_MEMORY, bases
from helpers.run_processes import tagged_processes

_NAMES = {
    "WorkerActor": "worker",
    "AgentActor": "board agent",
    "ManagerActor": "manager",
    "ExecutorActor": "executor",
    "host_watch": "host sentinel",
    "gcs_server": "Ray gcs_server",
    "raylet/raylet": "Ray raylet",
    "DashboardAgent": "Ray dashboard agent",
    "RuntimeEnvAgent": "Ray runtime-env agent",
}
"""A part of the command line of each process, and what the process is called in a table."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One process at one moment.

    Attributes:
        pid: its number.
        memory_mb: memory of its own, in MB of 2**20 bytes: what it has allocated. Mapped files are left out, since
            whose they are depends on which other processes run.
        descriptors: files that it has open.
        threads: its threads.
        cpu_s: CPU time since its start.
    """

    pid: int
    memory_mb: float
    descriptors: int
    threads: int
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A run at one moment.

    Attributes:
        at_s: board time.
        processes: all its processes by name; several of one name are numbered by age.
        sizes_kb: sizes of what it writes, in kB of 1,024 bytes on the disk.
    """

    at_s: float
    processes: dict[str, Figures]
    sizes_kb: dict[str, float]

    def to_json(self) -> str:
        """Return it on one line."""
        return json.dumps(asdict(self))


def look(driver: int, out: Path, at_s: float) -> Sample:
    """Look at a run.

    Args:
        driver: number of its driver's process.
        out: its directory.
        at_s: board time.
    """
    return Sample(at_s=at_s, processes=_processes(driver), sizes_kb=_sizes_kb(driver, out))


def _processes(driver: int) -> dict[str, Figures]:
    run: dict[int, psutil.Process] = {}
    with suppress(psutil.Error):
        own = psutil.Process(driver)
        run = {process.pid: process for process in (own, *own.children(recursive=True), *tagged_processes(driver))}
    found: dict[str, Figures] = {}
    seen: Counter[str] = Counter()
    for pid, process in sorted(run.items()):
        with suppress(psutil.Error, OSError):
            name = "driver" if pid == driver else _name(" ".join(process.cmdline()))
            figures = Figures(
                pid=pid,
                memory_mb=_allocated_mb(pid),
                descriptors=process.num_fds(),
                threads=process.num_threads(),
                cpu_s=sum(process.cpu_times()[:2]),
            )
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name} {seen[name]}"] = figures
    return found


def _sizes_kb(driver: int, out: Path) -> dict[str, float]:
    sizes = dict.fromkeys(("Ray's logs", "shared memory"), 0.0)
    for base in bases():
        for directory in base.glob(f"{PREFIX}{driver}-*"):
            if base == SHARED_MEMORY:
                sizes["shared memory"] += _size_kb(directory)
            if not (directory / RAY).is_symlink():
                logs = (logs for logs in directory.glob(f"{RAY}/*/logs") if not logs.parent.is_symlink())
                sizes["Ray's logs"] += sum(map(_size_kb, logs))
    for file in out.glob("*"):
        with suppress(OSError):
            sizes[file.name] = file.stat().st_blocks / 2
    return sizes


def _allocated_mb(pid: int) -> float:
    """Return a process's anonymous memory, in use and swapped out, as the kernel counts it (proc_pid_status(5))."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(lines.get(field, "0 kB").split()[0]) for field in ("RssAnon", "VmSwap")) / 1024


def _name(command: str) -> str:
    return next((name for part, name in _NAMES.items() if part in command), command[:40])


def _size_kb(directory: Path) -> float:
    total = 0
    for path in directory.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink():
                total += path.stat().st_blocks * 512
    return total / 1024
