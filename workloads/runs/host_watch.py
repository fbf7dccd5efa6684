"""The process behind `workloads.runs.host`: it sleeps on each core and reports when it could not wake.

It runs as a script, uses the standard library and `actors.clock` alone, and has an interpreter to itself: in the run's
own process a thread that is preempted while it holds the interpreter's lock would look like a stall of the machine.

Arguments: `zero_s` and `time_scale` of the run's `BoardClock`, then the cores. It writes a line `ready` once it
watches. It ends when its standard input ends, as it also does when the run is killed; then it writes one JSON map:
`gaps`, the 256 longest, [cpu, at_s, lost_ms] each in order of time, and `lost_ms`, the length of all together.

When a core goes offline (nvpmodel, hotplug), the kernel lets its thread run anywhere, and leaves it so when the core is
back; the thread is then put back onto it.
"""

import heapq
import json
import os
import select
import signal
import sys
import threading
from contextlib import suppress

from actors.clock import BoardClock, Clock

PERIOD_S = 0.002
"""Board time that a thread sleeps before each look at the clock."""

GAP_S = 0.005
"""Two looks that are farther apart than this are a gap."""

REPIN_S = 0.1
"""Wall time between two looks whether the threads are still where they should be."""

MOST_GAPS = 256
"""Gaps that are kept: a machine that stalls for weeks has any number."""


class Gaps:
    """The longest gaps of all cores, and the length of all. Safe to use from several threads.

    Attributes:
        lost_ms: Length of all gaps together, board time.
    """

    def __init__(self) -> None:
        self.lost_ms = 0.0
        self._longest: list[tuple[float, float, int]] = []  # a heap: the shortest comes first
        self._lock = threading.Lock()

    def add(self, cpu: int, at_s: float, lost_ms: float) -> None:
        """Add one gap."""
        with self._lock:
            self.lost_ms += lost_ms
            heapq.heappush(self._longest, (lost_ms, at_s, cpu))
            if len(self._longest) > MOST_GAPS:
                heapq.heappop(self._longest)

    def in_time(self) -> list[tuple[int, float, float]]:
        """Return the longest gaps in order of time, as (cpu, begin in s, length in ms)."""
        with self._lock:
            return sorted(((cpu, at_s, lost_ms) for lost_ms, at_s, cpu in self._longest), key=lambda gap: gap[1])

    def clear(self) -> None:
        """Forget all gaps."""
        with self._lock:
            self.lost_ms = 0.0
            self._longest.clear()


def watch(cpu: int, clock: Clock, gaps: Gaps, stopping: threading.Event) -> None:
    """Look at the clock every `PERIOD_S` and note every gap of more than `GAP_S`, until told to stop.

    Args:
        cpu: The kernel's number of the core that the thread is on.
        clock: Board time.
        gaps: What each gap is added to, in board time.
        stopping: Event that ends the watch.
    """
    looked_s = clock.now_s()
    while not stopping.is_set():
        clock.sleep_until(looked_s + PERIOD_S)
        now_s = clock.now_s()
        if now_s - looked_s > GAP_S:
            gaps.add(cpu, looked_s, (now_s - looked_s) * 1000)
        looked_s = now_s


def main(zero_s: float, time_scale: float, cpus: list[int]) -> None:
    """Watch the cores until the end of standard input."""
    # The run handles Ctrl-C; it then ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    clock = BoardClock(zero_s, time_scale)
    stopping = threading.Event()
    gaps = Gaps()
    threads = []
    places: dict[int, int] = {}  # by the kernel's number of a thread, its core
    for cpu in cpus:
        thread = threading.Thread(target=watch, args=(cpu, clock, gaps, stopping), daemon=True)
        thread.start()
        threads.append(thread)
        assert thread.native_id is not None  # it has started
        places[thread.native_id] = cpu
        os.sched_setaffinity(thread.native_id, {cpu})
        # Above all ordinary work, or the run's own load would look like a stall.
        with suppress(PermissionError):
            os.sched_setscheduler(thread.native_id, os.SCHED_FIFO, os.sched_param(1))
    # Time that threads lost before they were in place says nothing.
    gaps.clear()
    print("ready", flush=True)
    # Nothing is ever written to our input, so there is something to read only once it has ended.
    while not select.select([sys.stdin], [], [], REPIN_S)[0]:
        for tid, cpu in places.items():
            if os.sched_getaffinity(tid) != {cpu}:
                with suppress(OSError):  # the core is offline
                    os.sched_setaffinity(tid, {cpu})
    stopping.set()
    for thread in threads:
        thread.join()
    # Nobody listens any more if the run was killed.
    with suppress(BrokenPipeError):
        print(json.dumps({"gaps": gaps.in_time(), "lost_ms": gaps.lost_ms}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), [int(cpu) for cpu in sys.argv[3:]])
