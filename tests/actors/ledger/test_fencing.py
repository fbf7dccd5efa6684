"""Processes that die, are stopped or hang on their cores, or within a lock, keep no other process waiting."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from actors.clock import BoardClock
from actors.ledger.layout import FenceReason
from actors.ledger.leases import FencedError
from actors.ledger.ledger import BoardLedger
from helpers.small_ledger import BOARD, Request, until
from scheduler.request_clock import Pace, Timing

TIMING = Timing(samples_ms=(1.0,), arrival_s=0.0, deadline_s=1.0, next_deadline_s=1.0)


class Crew:
    """A ledger on the wall's clock, and forked processes that use it."""

    def __init__(self, path) -> None:
        self.clock = BoardClock(time.monotonic())
        self.ledger = BoardLedger.create(path, BOARD, slots=3, clock=self.clock)
        self.pids: list[int] = []

    def fork(self, work: Callable[[BoardLedger], object]) -> int:
        """Start a process that does a work on a ledger of its own, and return its number once it is about to begin."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                mine = BoardLedger.attach(self.ledger.path, BOARD, self.clock)
                os.write(writing, b"x")
                work(mine)
            finally:
                os._exit(1)
        os.close(writing)
        os.read(reading, 1)
        os.close(reading)
        self.pids.append(pid)
        return pid

    def holds(self, slot: int) -> bool:
        return slot in self.ledger.holders("big")

    def end(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        self.ledger.remove()


@pytest.fixture
def crew(place) -> Iterator[Crew]:
    crew = Crew(place())
    yield crew
    crew.end()


def has_died(pid: int) -> bool:
    found, status = os.waitpid(pid, os.WNOHANG)
    return found == pid and os.WIFSIGNALED(status)


def hold_for_ever(mine: BoardLedger) -> None:
    mine.take(0, "big", [4, 5], 1.0, most_ms=1.0)
    while True:
        time.sleep(1)


def test_the_cores_of_a_dead_process_go_to_who_waits_and_to_who_comes(crew):
    pid = crew.fork(hold_for_ever)
    until(lambda: crew.holds(0))
    waiter = Request(crew.ledger, 1, [4], 0.5)
    os.kill(pid, signal.SIGKILL)
    assert waiter.got()
    assert Request(crew.ledger, 2, [5], 0.5).got()
    assert [fence.times for fence in crew.ledger.fences()] == [0, 0, 0]


def test_a_dead_waiter_stands_in_nobodys_way(crew):
    mine = crew.ledger.take(1, "big", [4, 5], 1.0)
    pid = crew.fork(lambda ledger: ledger.take(0, "big", [4, 5], 0.1))
    until(lambda: crew.ledger._file.entry(0).queue)
    later = Request(crew.ledger, 2, [4], 9.0)
    os.kill(pid, signal.SIGKILL)
    crew.ledger.release(mine)
    assert later.got()


def test_a_process_stopped_on_its_cores_is_fenced_off_and_killed(crew):
    pid = crew.fork(hold_for_ever)
    until(lambda: crew.holds(0))
    os.kill(pid, signal.SIGSTOP)
    assert Request(crew.ledger, 1, [4, 5], 0.5).got()
    until(lambda: has_died(pid))
    fence = crew.ledger.fences()[0]
    assert (fence.times, fence.why, fence.unit, fence.pid) == (1, FenceReason.STOPPED, 0, pid)
    assert fence.held_ms > fence.bound_ms > 0


def test_a_process_that_hangs_on_its_cores_is_fenced_off_by_the_agent_too(crew, monkeypatch):
    for module in ("holding", "referee"):
        monkeypatch.setattr(f"actors.ledger.{module}.LEAST_WALL_S", 0.2)
    crew.ledger.set_unit("big", mhz=2000.0)
    pid = crew.fork(hold_for_ever)
    until(lambda: crew.holds(0))

    def enforced() -> bool:
        crew.ledger.enforce()
        return not crew.holds(0)

    until(enforced)
    until(lambda: has_died(pid))
    fence = crew.ledger.fences()[0]
    assert (fence.times, fence.why) == (1, FenceReason.HELD)
    assert fence.held_ms >= fence.bound_ms


def test_what_a_fenced_process_still_writes_has_no_effect(crew, monkeypatch):
    """The process goes on after it was fenced off, as one may before the signal reaches it."""
    monkeypatch.setattr("actors.ledger.processes.ProcessKey.kill", lambda key: None)
    reading, writing = os.pipe()

    def work(mine: BoardLedger) -> None:
        lease = mine.take(0, "big", [4, 5], 1.0)
        os.kill(os.getpid(), signal.SIGSTOP)
        mine.ask(lease, TIMING)
        mine.release(lease)
        try:
            mine.take(0, "big", [4], 1.0)
        except FencedError:
            os.write(writing, b"fenced")

    crew.ledger.pace("big", 500.0, {slot: Pace(rest_mhz=500.0, least_mhz=2000.0, share=1.0) for slot in range(3)})
    pid = crew.fork(work)
    os.close(writing)  # so that a child that dies ends the read below
    until(lambda: crew.holds(0))
    heir = Request(crew.ledger, 1, [4, 5], 0.5).got()
    before = crew.ledger._file.entry(1), crew.ledger._file.cores(0), crew.ledger.wanted_mhz("big")
    os.kill(pid, signal.SIGCONT)
    assert os.read(reading, 9) == b"fenced"
    assert (crew.ledger._file.entry(1), crew.ledger._file.cores(0), crew.ledger.wanted_mhz("big")) == before
    assert crew.ledger.holders("big") == (1, 1)
    crew.ledger.release(heir)


def test_a_process_stopped_within_a_lock_is_killed_and_the_others_get_on(crew):
    def work(mine: BoardLedger) -> None:
        mine.take(0, "big", [4], 1.0)
        with mine._locks[0]:
            os.kill(os.getpid(), signal.SIGSTOP)

    pid = crew.fork(work)
    os.waitpid(pid, os.WUNTRACED)
    assert crew.ledger.read("big")
    until(lambda: has_died(pid))
    fence = crew.ledger.fences()[0]
    assert (fence.times, fence.why, fence.pid) == (1, FenceReason.LOCKED, pid)
    assert Request(crew.ledger, 1, [4, 5], 0.5).got()


@pytest.mark.parametrize("seed", range(6))
def test_processes_killed_and_stopped_at_random_moments_leave_the_others_their_cores(crew, seed):
    """Three take and give back all the time; two of them are hurt at random moments, the third must always get on."""
    draw = random.Random(seed)

    def hammer(slot: int) -> Callable[[BoardLedger], None]:
        def work(mine: BoardLedger) -> None:
            while True:
                lease = mine.take(slot, "big", [4, 5] if slot else [4], 1.0)
                mine.release(lease)

        return work

    for _ in range(3):
        hurt = [crew.fork(hammer(slot)) for slot in (0, 1)]
        time.sleep(draw.uniform(0, 0.02))
        for pid in hurt:
            os.kill(pid, draw.choice([signal.SIGKILL, signal.SIGSTOP]))
        for _ in range(20):
            lease = crew.ledger.take(2, "big", [4, 5], 0.0)
            assert crew.ledger.holders("big") == (2, 2)
            crew.ledger.release(lease)
        for pid in hurt:
            os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)
        crew.ledger.enforce()
    assert crew.ledger.holders("big") == (None, None)
    reading = crew.ledger.read("big")
    assert all(0 < busy_s <= reading.now_s for busy_s in reading.busy_s)
    totals = crew.ledger.read("big").busy_s
    assert crew.ledger.read("big").busy_s == totals  # nobody holds anything, so nothing grows
