"""The process behind `workloads.runs.host`: it sleeps on each core and reports when it could not wake.

It runs as a script, uses the standard library and `actors.clock` alone, and has an interpreter to itself: in the run's
own process a thread that is preempted while it holds the interpreter's lock would look like a stall of the machine.

Arguments: `zero_s` and `time_scale` of the run's `BoardClock`, then the cores. It writes a line `ready` once it
watches. It ends when its standard input ends, as it also does when the run is killed; then it writes one JSON list of
gaps, [cpu, at_s, lost_ms] each.

When a core goes offline (nvpmodel, hotplug), the kernel lets its thread run anywhere, and leaves it so when the core is
back; the thread is then put back onto it.
"""

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


def watch(cpu: int, clock: Clock, gaps: list[tuple[int, float, float]], stopping: threading.Event) -> None:
    """Look at the clock every `PERIOD_S` and append every gap of more than `GAP_S`, until told to stop.

    Args:
        cpu: The kernel's number of the core that the thread is on.
        clock: Board time.
        gaps: List that each gap is appended to, as (cpu, begin in s, length in ms), board time.
        stopping: Event that ends the watch.
    """
    looked_s = clock.now_s()
    while not stopping.is_set():
        clock.sleep_until(looked_s + PERIOD_S)
        now_s = clock.now_s()
        if now_s - looked_s > GAP_S:
            gaps.append((cpu, looked_s, (now_s - looked_s) * 1000))
        looked_s = now_s


def main(zero_s: float, time_scale: float, cpus: list[int]) -> None:
    """Watch the cores until the end of standard input."""
    # The run handles Ctrl-C; it then ends our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    clock = BoardClock(zero_s, time_scale)
    stopping = threading.Event()
    gaps: list[tuple[int, float, float]] = []
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
        print(json.dumps(sorted(gaps, key=lambda gap: gap[1])), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]), [int(cpu) for cpu in sys.argv[3:]])
