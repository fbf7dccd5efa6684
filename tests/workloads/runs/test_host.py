"""The host sentinel finds gaps and adds them up right in virtual time, and works on this machine."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from actors.clock import BoardClock
from helpers.live_runs import wait_for
from helpers.virtual_clock import VirtualClock
from workloads.results.summary import HostSummary
from workloads.runs import host_watch
from workloads.runs.host import Gap, HostSentinel, read_steal_s, summarize
from workloads.runs.host_watch import GAP_S, MOST_GAPS, PERIOD_S, Gaps, watch


def watchers() -> list[psutil.Process]:
    """Watching processes of this one; other tests may have left children of other kinds, and ended ones."""
    return [child for child in psutil.Process().children() if host_watch.__file__ in command_of(child)]


def command_of(process: psutil.Process) -> list[str]:
    """The process's command line; nothing of one that has ended."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


class StallingClock(VirtualClock):
    """Wakes late by the next of the given times; after the last it tells the watch to stop."""

    def __init__(self, late_s: list[float], stopping: threading.Event) -> None:
        super().__init__()
        self._late_s: Iterator[float] = iter(late_s)
        self._left = len(late_s)
        self._stopping = stopping

    def sleep_until(self, at_s: float) -> None:
        super().sleep_until(at_s + next(self._late_s))
        self._left -= 1
        if not self._left:
            self._stopping.set()


def watched(late_s: list[float]) -> tuple[list[tuple[int, float, float]], float]:
    stopping, gaps = threading.Event(), Gaps()
    clock = StallingClock(late_s, stopping)
    watch(1, clock, gaps, stopping)
    assert gaps.lost_ms == pytest.approx(sum(lost_ms for _, _, lost_ms in gaps.in_time()))
    return gaps.in_time(), clock.now_s()


def test_gaps_over_five_milliseconds_are_recorded_with_their_time_and_length() -> None:
    gaps, _ = watched([0.0, 0.0025, 0.1, 0.004, 0.0])
    assert gaps == [(1, pytest.approx(0.0065), pytest.approx(102.0)), (1, pytest.approx(0.1085), pytest.approx(6.0))]


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=50))
def test_lost_time_is_what_passed_between_distant_looks(late_s: list[float]) -> None:
    gaps, elapsed_s = watched(late_s)
    lengths_s = [PERIOD_S + late for late in late_s]
    assert elapsed_s == pytest.approx(sum(lengths_s))
    # A length at the threshold itself may fall on either side by rounding.
    assume(all(abs(length_s - GAP_S) > 1e-9 for length_s in lengths_s))
    expected_ms = 1000 * sum(length_s for length_s in lengths_s if length_s > GAP_S)
    assert sum(lost_ms for _, _, lost_ms in gaps) == pytest.approx(expected_ms)


def test_of_many_gaps_the_longest_are_kept_and_all_are_summed() -> None:
    gaps = Gaps()
    for number in range(1000):
        gaps.add(number % 2, float(number), 10.0 + number * 7 % 1000)
    kept = gaps.in_time()
    assert len(kept) == MOST_GAPS
    assert min(lost_ms for _, _, lost_ms in kept) == 10.0 + 1000 - MOST_GAPS
    assert [at_s for _, at_s, _ in kept] == sorted(at_s for _, at_s, _ in kept)
    assert gaps.lost_ms == sum(10.0 + number for number in range(1000))


def test_stalled_share_is_the_mean_over_the_cores_and_voids_above_one_per_cent() -> None:
    gaps = [Gap(cpu=0, at_s=1.0, lost_ms=150.0), Gap(cpu=1, at_s=3.0, lost_ms=50.0)]
    at_limit = summarize(gaps, 200.0, cores=2, elapsed_s=10.0, steal_s=0.25)
    assert at_limit.stalled_share == pytest.approx(0.01)
    assert (at_limit.steal_s, at_limit.stall_ms_max, at_limit.void) == (0.25, 150.0, False)
    assert summarize(gaps, 200.0, cores=2, elapsed_s=9.9, steal_s=None).void
    quiet = summarize([], 0.0, cores=2, elapsed_s=10.0, steal_s=0.0)
    assert (quiet.stall_ms_max, quiet.stalled_share, quiet.void) == (0.0, 0.0, False)


PROC_STAT = """cpu  9 9 9 9 9 9 9 999 0 0
cpu0 1 1 1 1 1 1 1 30 0 0
cpu1 1 1 1 1 1 1 1 12 0 0
intr 5
"""


def test_steal_time_is_of_the_watched_cores(tmp_path: Path) -> None:
    path = tmp_path / "stat"
    path.write_text(PROC_STAT, encoding="ascii")
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert read_steal_s([1], path) == 12 / ticks_per_s
    assert read_steal_s([0, 1], path) == 42 / ticks_per_s
    assert read_steal_s([0, 2], path) is None
    assert read_steal_s([0], tmp_path / "nowhere") is None


def test_sentinel_watches_each_core_from_a_thread_on_it_in_a_process_of_its_own() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    clock = BoardClock(zero_s=time.monotonic() - 20, time_scale=2.0)
    with HostSentinel(cpus, clock) as sentinel:
        (child,) = watchers()
        pinned = [sorted(os.sched_getaffinity(thread.id)) for thread in child.threads()]
        assert [[cpu] for cpu in cpus] == sorted(one for one in pinned if len(one) == 1)[-len(cpus) :]
        time.sleep(0.3)
    assert not child.is_running()
    # The machine may stall or not: whatever the figures are, they must agree.
    host = sentinel.result()
    assert host.stalled_share is not None
    assert 0 <= host.stalled_share <= 1
    assert host.stall_ms_max == max((gap.lost_ms for gap in sentinel.gaps), default=0.0)
    assert all(gap.at_s > 0 and gap.lost_ms > 1000 * GAP_S for gap in sentinel.gaps)
    assert host.void == (host.stalled_share > 0.01)
    sentinel.stop()
    assert sentinel.result() == host


def test_a_thread_that_the_kernel_has_let_go_is_put_back() -> None:
    """It is let go here as the kernel does when its core goes offline; a core of this machine can't go."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("a thread has nowhere else to go on one core")
    with HostSentinel(cpus[:1], BoardClock(time.monotonic())) as sentinel:
        (process,) = watchers()
        (tid,) = [one.id for one in process.threads() if os.sched_getaffinity(one.id) == {cpus[0]}]
        os.sched_setaffinity(tid, cpus)
        wait_for(lambda: os.sched_getaffinity(tid) == {cpus[0]})
    assert sentinel.result().stalled_share is not None


def test_a_stall_of_the_watching_process_is_found() -> None:
    (cpu, *_) = sorted(os.sched_getaffinity(0))
    clock = BoardClock(zero_s=time.monotonic())
    with HostSentinel([cpu], clock) as sentinel:
        (child,) = watchers()
        child.suspend()
        stopped_s = clock.now_s()
        time.sleep(0.1)
        resumed_s = clock.now_s()
        child.resume()
        time.sleep(0.02)
    longest = max(sentinel.gaps, key=lambda gap: gap.lost_ms)
    assert longest.cpu == cpu
    assert longest.at_s <= stopped_s + 0.01
    assert longest.at_s + longest.lost_ms / 1000 >= resumed_s - 0.01
    assert sentinel.result().void


def test_nothing_is_known_if_the_watching_process_was_killed() -> None:
    with HostSentinel([min(os.sched_getaffinity(0))], BoardClock(zero_s=time.monotonic())) as sentinel:
        (child,) = watchers()
        child.kill()
        child.wait()
    assert sentinel.result() == HostSummary(steal_s=None, stall_ms_max=None, stalled_share=None, void=False)


def test_watching_process_does_not_outlive_a_killed_run() -> None:
    script = (
        "import os, time, psutil\n"
        "from actors.clock import BoardClock\n"
        "from workloads.runs.host import HostSentinel\n"
        "HostSentinel([min(os.sched_getaffinity(0))], BoardClock(zero_s=time.monotonic())).start()\n"
        "print(psutil.Process().children()[0].pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    out = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=False)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(out.stdout)).wait(timeout=30)


def test_a_core_that_is_not_there_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"cpus \[4095\] cannot be watched; this process may use"):
        HostSentinel([min(os.sched_getaffinity(0)), 4095], BoardClock(zero_s=0.0)).start()
    assert not watchers()
