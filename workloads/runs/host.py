"""The host sentinel: it measures how much the machine itself stalled during a run.

One thread for each core, pinned to it, sleeps 2 ms of board time at a time and looks at the clock. If two looks are
more than 5 ms apart, the core was not ours: a hypervisor or the machine stood still. A run that lost more than 1 % of
its time in such gaps is void. The threads live in a process of their own, `workloads.runs.host_watch`.

They ask for real-time priority, so that the run's own load does not look like a stall. Where that is not allowed (it
takes CAP_SYS_NICE), load can look like a stall: the sentinel then calls some good runs void, never the reverse. It does
not see a CPU quota of a container, which spares real-time threads, nor the programs that use the cores.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from actors.clock import BoardClock
from scheduler.board import Board
from supernets.cpus import usable
from workloads.results.summary import HostSummary
from workloads.runs import host_watch

VOID_SHARE = 0.01
"""A run is void if it lost more than this share of its time."""

_ANSWER_S = 10.0
"""Wall time that the watching process has for its last answer; it needs milliseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """A time in which a core was not ours.

    Attributes:
        cpu: The kernel's number of the core.
        at_s: Begin of the gap, board time.
        lost_ms: Length of the gap, board time.
    """

    cpu: int
    at_s: float
    lost_ms: float


def cpus_to_watch(board: Board) -> list[int]:
    """Return the cores on which a run has its processes: those of this process's mask, and isolated ones of the board.

    Args:
        board: the board that this machine is.
    """
    theirs = {cpu for unit in board.units for cpu in unit.cpus}
    return sorted(os.sched_getaffinity(0) | (theirs & usable()))


class HostSentinel:
    """A watch over cores between `start` and `stop`; usable as a context manager.

    A run's sentinel carries the run's tag: whatever stops all processes of the run stops it too, and it sees that.

    Attributes:
        cpus: The kernel's numbers of the cores watched.
        gaps: The longest gaps, at most 256, in order of time; empty until `stop`.
    """

    def __init__(self, cpus: Sequence[int], clock: BoardClock, tag: Mapping[str, str] | None = None) -> None:
        """Make a sentinel that does not watch yet, for at least one core.

        Args:
            cpus: The kernel's numbers of the cores.
            clock: Board time.
            tag: The run's tag as its environment has it; None outside a run.
        """
        self.cpus = tuple(cpus)
        self.gaps: tuple[Gap, ...] = ()
        self._clock = clock
        self._environment = os.environ | (tag or {})
        self._process: subprocess.Popen[str] | None = None
        self._result = HostSummary(steal_s=None, stall_ms_max=None, stalled_share=None, void=False)

    def start(self) -> None:
        """Begin to watch; return once every core is watched.

        Raises:
            ValueError: A core does not exist or is not allowed to this process.
        """
        allowed = usable()
        if strange := [cpu for cpu in self.cpus if cpu not in allowed]:
            raise ValueError(f"cpus {strange!r} cannot be watched; this process may use {sorted(allowed)}.")
        # -P: nothing beside the script may stand in for a module of the standard library.
        command = [sys.executable, "-P", host_watch.__file__, repr(self._clock.zero_s), repr(self._clock.time_scale)]
        self._process = subprocess.Popen(
            [*command, *map(str, self.cpus)],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None  # it is a pipe
        self._process.stdout.readline()
        self._started_s = self._clock.now_s()
        self._steal_at_start_s = read_steal_s(self.cpus)

    def stop(self) -> None:
        """End the watch; a second call does nothing."""
        if self._process is None:
            return
        process, self._process = self._process, None
        elapsed_s = self._clock.now_s() - self._started_s
        steal_at_stop_s = read_steal_s(self.cpus)
        try:
            said, _ = process.communicate(timeout=_ANSWER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        if not said:
            # It was killed, so nothing is known.
            return
        found = json.loads(said)
        self.gaps = tuple(Gap(cpu=cpu, at_s=at_s, lost_ms=lost_ms) for cpu, at_s, lost_ms in found["gaps"])
        stolen_s = (
            None
            if self._steal_at_start_s is None or steal_at_stop_s is None
            else steal_at_stop_s - self._steal_at_start_s
        )
        self._result = summarize(
            self.gaps, found["lost_ms"], cores=len(self.cpus), elapsed_s=elapsed_s, steal_s=stolen_s
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def result(self) -> HostSummary:
        """Return the sum of the watch; all is None until `stop`, and if the watching process was killed."""
        return self._result


def summarize(
    gaps: Sequence[Gap], lost_ms: float, *, cores: int, elapsed_s: float, steal_s: float | None
) -> HostSummary:
    """Sum gaps up.

    Gaps of 30 and 10 ms on two cores that were watched for 1 s make a share of 0.02, and a void run.

    Args:
        gaps: The longest gaps of all cores.
        lost_ms: Length of all gaps together, board time.
        cores: Number of cores that were watched.
        elapsed_s: Time of the watch, board time.
        steal_s: Time that a hypervisor took, as the kernel counts it; None where it does not say.

    Returns:
        The longest gap (0 where there was none) and the share of time lost in gaps, mean over the cores; void
        where that is more than `VOID_SHARE`.
    """
    share = min(1.0, lost_ms / 1000 / (cores * elapsed_s)) if elapsed_s > 0 else None
    return HostSummary(
        steal_s=steal_s,
        stall_ms_max=max((gap.lost_ms for gap in gaps), default=0.0),
        stalled_share=share,
        void=share is not None and share > VOID_SHARE,
    )


def read_steal_s(cpus: Sequence[int], proc_stat: Path = Path("/proc/stat")) -> float | None:
    """Read the seconds that a hypervisor has kept these cores since boot; None where the kernel does not say.

    They are the eighth figure of a core's line, in clock ticks (proc_stat(5)).
    """
    wanted = {f"cpu{cpu}" for cpu in cpus}
    ticks = 0
    try:
        lines = proc_stat.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        name, *figures = line.split() or [""]
        if name in wanted and len(figures) > 7:
            ticks += int(figures[7])
            wanted.remove(name)
    return None if wanted else ticks / os.sysconf("SC_CLK_TCK")
