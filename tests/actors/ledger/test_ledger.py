"""The ledger's integrals against piecewise sums, its tokens among threads and processes, and death at any store."""

import inspect
import itertools
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger, LedgerError
from actors.ledger.shared import SharedLock, SharedRecords
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board, BoardUnit

BIG = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(4, 5),
    dvfs="emulated",
    mhz=(500.0, 1000.0, 2000.0),
    static_w=(0.1, 0.3, 0.9),
    dynamic_w=(0.2, 0.7, 2.0),
    speed=0.05,
    memory_share=0.2,
)
GPU = BoardUnit(name="gpu", kind="gpu", cpus=(), dvfs="emulated", mhz=(100.0, 400.0), static_w=None, dynamic_w=None)
BOARD = Board(name="test", units=(BIG, GPU), base_w=None, sensor="none", power_source="made up")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A new ledger's directory at each call."""
    base = tmp_path_factory.mktemp("ledgers")
    return lambda: base / str(len(os.listdir(base)))


@pytest.fixture
def ledger(place, monkeypatch):
    monkeypatch.setattr("actors.ledger.ledger._POLL_MS", 30_000)  # a waiter that nobody wakes is to be noticed
    ledger = BoardLedger.create(place(), BOARD, slots=3, clock=VirtualClock())
    yield ledger
    ledger.remove()


class ScriptedClock(VirtualClock):
    """Virtual time in which something happens at given times."""

    def __init__(self, now_s=0.0):
        super().__init__(now_s)
        self.script = []

    def sleep_until(self, at_s):
        while self.script and self.script[0][0] <= at_s:
            due_s, action = self.script.pop(0)
            super().sleep_until(due_s)
            action()
        super().sleep_until(at_s)


# ---------------------------------------------------------------- integrals

STEPS = st.lists(
    st.tuples(
        st.floats(0, 10),  # seconds until it happens
        st.sampled_from(["clock", "other", "online", "take", "release"]),
        st.integers(0, 2),
        st.floats(0, 1),
    ),
    max_size=25,
)


@given(steps=STEPS, start_s=st.floats(-100, 100))
@settings(max_examples=60, deadline=None)
def test_totals_equal_the_sum_over_every_piece_of_constant_rates(place, steps, start_s):
    clock = VirtualClock(start_s)
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    step, other, online = 0, 0.0, 2
    leases = [None, None]
    busy_s, dynamic_j, static_j, mhz_s, changes = [0.0, 0.0], 0.0, 0.0, 0.0, 0
    try:
        for wait_s, action, number, share in [*steps, (1.0, "end", 0, 0.0)]:
            clock.sleep_until(clock.now_s() + wait_s)
            static_j += BIG.static_w[step] * wait_s
            mhz_s += BIG.mhz[step] * wait_s
            for core in (0, 1):
                share_taken = 1.0 if leases[core] else other if core < online else 0.0
                busy_s[core] += share_taken * wait_s
                dynamic_j += BIG.dynamic_w[step] * share_taken * wait_s
            core = number % 2
            if action == "clock":
                changes += step != number
                step = number
                ledger.set_unit("big", mhz=BIG.mhz[step])
            elif action == "other":
                other = share
                ledger.set_unit("big", other_load=other)
            elif action == "online":
                online = number
                ledger.set_unit("big", cores_online=online)
            elif action == "take" and not leases[core]:
                leases[core] = ledger.take(0, "big", [BIG.cpus[core]], 0.0)
            elif action == "release" and leases[core]:
                ledger.release(leases[core])
                leases[core] = None
        reading = ledger.read("big")
    finally:
        ledger.remove()
    assert reading.busy_s == pytest.approx(busy_s, abs=1e-9)
    assert reading.dynamic_j == pytest.approx(dynamic_j, abs=1e-9)
    assert reading.static_j == pytest.approx(static_j, abs=1e-9)
    assert reading.mhz_s == pytest.approx(mhz_s, abs=1e-6)
    assert (reading.mhz, reading.clock_changes) == (BIG.mhz[step], changes)
    assert (reading.other_load, reading.cores_online) == (other, online)


def test_power_that_is_not_known_stays_unknown(ledger):
    lease = ledger.take(0, "gpu", (), 0.0)
    ledger._clock.sleep_until(2.0)
    ledger.release(lease)
    reading = ledger.read("gpu")
    assert (reading.static_j, reading.dynamic_j, reading.busy_s) == (None, None, (2.0,))


def test_a_request_lasts_as_section_3_says_at_a_constant_clock(ledger):
    # t · (m + (1 - m) · f_max / f) / speed = 2 ms · (0.2 + 0.8 · 2000 / 500) / 0.05 = 136 ms
    lease = ledger.take(0, "big", [4], 0.0)
    assert ledger.stretch(lease, 2.0) == pytest.approx(0.136, abs=1e-9)


def test_a_clock_change_acts_in_the_middle_of_a_request(place):
    clock = ScriptedClock()
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)
    # At 2000 MHz a profiled ms takes 20 ms, at 500 MHz 68 ms. 100 ms cover 5 of 8 ms; the other 3 take 204 ms.
    clock.script = [(0.100, lambda: ledger.set_unit("big", mhz=500.0))]
    lease = ledger.take(0, "big", [4], 0.0)
    assert ledger.stretch(lease, 8.0) == pytest.approx(0.304, abs=1e-9)
    ledger.remove()


def test_load_of_others_slows_a_request_by_its_share(ledger):
    ledger.set_unit("big", mhz=2000.0, other_load=0.75)
    lease = ledger.take(0, "big", [5], 0.0)
    assert ledger.stretch(lease, 1.0) == pytest.approx(0.080, abs=1e-9)


@given(
    service_ms=st.floats(0.01, 10),
    changes=st.lists(st.tuples(st.floats(0.001, 0.3), st.integers(0, 2), st.floats(0, 0.9)), max_size=6),
)
@settings(max_examples=40, deadline=None)
def test_a_stretch_ends_when_the_progress_covers_it_and_notices_a_rise_within_a_slice(place, service_ms, changes):
    clock = ScriptedClock()
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    at_s, plan = 0.0, [(0.0, BIG.pace(500.0))]
    for wait_s, step, other in changes:
        at_s += wait_s
        clock.script.append(
            (at_s, lambda step=step, other=other: ledger.set_unit("big", mhz=BIG.mhz[step], other_load=other))
        )
        plan.append((at_s, BIG.pace(BIG.mhz[step]) * (1 - other)))
    left_ms, due_s = service_ms, math.nan
    for (from_s, pace), (to_s, _) in itertools.pairwise([*plan, (math.inf, 0.0)]):
        if left_ms <= 1e3 * pace * (to_s - from_s):
            due_s = from_s + left_ms / (1e3 * pace)
            break
        left_ms -= 1e3 * pace * (to_s - from_s)
    end_s = ledger.stretch(ledger.take(0, "big", [4], 0.0), service_ms)
    ledger.remove()
    assert due_s - 1e-6 <= end_s <= due_s + 0.002 + 1e-9


def test_a_stretch_that_is_over_returns_at_once_and_one_that_gives_up_early(ledger):
    lease = ledger.take(0, "big", [4], 0.0)
    ledger._clock.sleep_until(5.0)
    assert ledger.stretch(lease, 2.0) == 5.0
    ledger.set_unit("big", other_load=1.0)  # no progress at all
    assert ledger.stretch(lease, 1e6, give_up=lambda: ledger._clock.now_s() > 6.0) == pytest.approx(6.0, abs=0.003)


def test_a_stretch_on_the_wall_never_ends_early(place):
    clock = BoardClock(zero_s=time.monotonic(), time_scale=2.0)
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)
    lease = ledger.take(0, "big", [4], 0.0)
    end_s = ledger.stretch(lease, 0.5)
    assert lease.start_s + 0.010 - 1e-9 <= end_s <= clock.now_s()
    ledger.remove()


class SteppedClock(BoardClock):
    """A wall clock that is none: 10 µs of board time pass at each look, and sleeps are noted and over at once."""

    def __init__(self, time_scale):
        super().__init__(zero_s=0.0, time_scale=time_scale)
        object.__setattr__(self, "past", {"now_s": 0.0, "slept_until_s": []})

    def now_s(self):
        self.past["now_s"] += 1e-5
        return self.past["now_s"]

    def sleep_until(self, at_s):
        self.past["slept_until_s"].append(at_s)
        self.past["now_s"] = max(at_s, self.past["now_s"])


@pytest.mark.parametrize("time_scale", [1.0, 4.0])
def test_the_slices_and_the_spun_end_of_a_stretch_are_wall_time(place, time_scale):
    clock = SteppedClock(time_scale)
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=clock)
    ledger.set_unit("big", mhz=2000.0)  # a profiled ms takes 20 ms
    lease = ledger.take(0, "big", [4], 0.0)
    end_s = ledger.stretch(lease, 0.5)
    ledger.remove()
    assert end_s == pytest.approx(lease.start_s + 0.010, abs=1e-4)
    slept_until_s = clock.past["slept_until_s"]
    assert slept_until_s[0] == pytest.approx(lease.start_s + 0.002 / time_scale, abs=1e-4)
    assert slept_until_s[1] == pytest.approx(slept_until_s[0] + 0.002 / time_scale, abs=1e-4)
    assert slept_until_s[-1] == pytest.approx(lease.start_s + 0.010 - 0.001 / time_scale, abs=1e-9)


@pytest.mark.parametrize(
    "figures", [{"mhz": 700.0}, {"mhz": math.nan}, {"other_load": 1.1}, {"other_load": -0.1}, {"cores_online": 3}]
)
def test_an_impossible_figure_is_refused_and_changes_nothing(ledger, figures):
    before = ledger.read("big")
    with pytest.raises(ValueError, match=f"{next(iter(figures))} of unit 'big' must be"):
        ledger.set_unit("big", **figures)
    assert ledger.read("big") == before


# ---------------------------------------------------------------- tokens among threads


class Request(threading.Thread):
    """A request that waits on a thread of its own; `lease` is None while it waits."""

    def __init__(self, ledger, slot, cpus, deadline_s):
        super().__init__(daemon=True)
        self.ledger, self.slot, self.lease, self.given_up = ledger, slot, None, False
        self.args = (slot, "big", cpus, deadline_s)
        self.start()
        until(lambda: waits(ledger, slot) or self.lease)

    def run(self):
        self.lease = self.ledger.take(*self.args, give_up=lambda: self.given_up)

    def got(self):
        self.join(10)
        return self.lease


def waits(ledger, slot):
    return ledger._file.entry(slot).queue > 0


def until(condition, timeout_s=20):
    """Waits for another thread or process; the limit only keeps a failure from hanging."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen"
        time.sleep(0.001)


def test_waiting_requests_are_served_by_deadline(ledger):
    first = ledger.take(0, "big", [4, 5], 9.0)
    late, early = Request(ledger, 1, [4], 5.0), Request(ledger, 2, [4, 5], 3.0)
    ledger.release(first)
    assert early.got().cpus == (4, 5)
    assert waits(ledger, 1)
    ledger.release(early.lease)
    assert late.got().cpus == (4,)


def test_no_later_deadline_passes_an_earlier_one_to_a_core_that_both_want(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    pair, behind = Request(ledger, 1, [4, 5], 1.0), Request(ledger, 2, [5], 2.0)
    assert waits(ledger, 2)  # core 5 is free, but kept for the pair
    ledger.release(first)
    assert pair.got()
    assert waits(ledger, 2)
    ledger.release(pair.lease)
    assert behind.got()


def test_an_earlier_deadline_passes_a_waiting_pair(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    pair = Request(ledger, 1, [4, 5], 2.0)
    assert ledger.take(2, "big", [5], 1.0)
    assert waits(ledger, 1)
    ledger.release(first)
    pair.given_up = True
    ledger.wake(1)
    pair.join(10)


def test_giving_up_frees_the_way_for_those_behind(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    pair, behind = Request(ledger, 1, [4, 5], 1.0), Request(ledger, 2, [5], 2.0)
    pair.given_up = True
    ledger.wake(1)
    assert behind.got()
    assert pair.got() is None
    ledger.release(first)
    assert ledger.take(0, "big", [4], 1.0)


def test_a_lease_begins_when_the_cores_were_given_not_when_the_waiter_woke(ledger):
    first = ledger.take(0, "big", [4], 9.0)
    ledger._clock.sleep_until(3.0)
    second = Request(ledger, 1, [4], 1.0)
    ledger._clock.sleep_until(7.0)
    ledger.release(first)
    ledger._clock.sleep_until(8.0)
    lease = second.got()
    assert lease.start_s == 7.0
    assert lease.start_progress_ms == pytest.approx(7e3 * BIG.pace(500.0))


def test_units_do_not_wait_for_each_other_and_a_gpu_is_one_token(ledger):
    ledger.take(0, "big", [4, 5], 1.0)
    lease = ledger.take(1, "gpu", (), 1.0)
    assert lease.cpus == ()
    assert ledger.take(2, "gpu", (), 0.0, give_up=lambda: True) is None
    ledger.release(lease)
    assert ledger.take(2, "gpu", (), 0.0)


def test_releasing_again_or_after_a_reap_takes_nothing_from_others(ledger):
    stale = ledger.take(0, "big", [4], 1.0)
    ledger.reap(0)
    ledger.take(0, "big", [4], 1.0)
    ledger.release(stale)
    assert ledger.take(1, "big", [4], 0.0, give_up=lambda: True) is None


def test_reaping_leaves_the_others_alone(ledger):
    ledger.take(0, "big", [4], 1.0)
    ledger.take(1, "big", [5], 1.0)
    ledger.reap(0)
    assert ledger.take(2, "big", [5], 0.0, give_up=lambda: True) is None
    assert ledger.take(2, "big", [4], 0.0)


def test_a_reaped_waiter_gets_nothing(ledger):
    first = ledger.take(0, "big", [4], 1.0)
    waiter = Request(ledger, 1, [4], 1.0)
    ledger.reap(1)
    ledger.wake(1)
    assert waiter.got() is None
    ledger.release(first)
    assert ledger.take(2, "big", [4], 1.0)


@pytest.mark.parametrize("cpus", [[3], [4, 6], []])
def test_cpus_of_another_unit_are_refused(ledger, cpus):
    with pytest.raises(ValueError, match="cpus must be some of unit 'big'"):
        ledger.take(0, "big", cpus, 0.0)


# ---------------------------------------------------------------- the file


def test_attaching_sees_the_same_board_and_refuses_others(ledger, place):
    lease = ledger.take(2, "big", [4], 1.0)
    twin = BoardLedger.attach(ledger.path, BOARD, ledger._clock)
    assert (twin.slots, twin.read("big")) == (3, ledger.read("big"))
    twin.release(lease)
    assert ledger.take(0, "big", [4], 1.0)
    twin.close()
    other = Board(name="other", units=(GPU, BIG), base_w=None, sensor="none", power_source="")
    with pytest.raises(LedgerError, match="was not made for board 'other'"):
        BoardLedger.attach(ledger.path, other, ledger._clock)
    with pytest.raises(LedgerError, match="holds no ledger"):
        BoardLedger.attach(place(), BOARD, ledger._clock)
    with pytest.raises(LedgerError, match="holds a ledger already"):
        BoardLedger.create(ledger.path, BOARD, slots=3, clock=ledger._clock)


def test_removing_leaves_nothing(place):
    ledger = BoardLedger.create(place(), BOARD, slots=1, clock=VirtualClock())
    ledger.take(0, "big", [4], 1.0)
    ledger.wake(0)
    ledger.remove()
    assert not ledger.path.exists()


# ---------------------------------------------------------------- death


class Killed(BaseException):
    """The process dies here."""


class MortalRecords(SharedRecords):
    """Dies at the n-th store: before it, or between writing the copy and making it count."""

    def __init__(self, path, at, half):
        super().__init__(path)
        self.at, self.half, self.stores = at, half, 0

    def put(self, place, values):
        self.stores += 1
        if self.stores == self.at:
            if self.half:
                counts = self._cells[place]
                super().put(place, values)
                self._cells[place] = counts
            raise Killed
        super().put(place, values)


def dying_at(ledger, store, *, half):
    """The same ledger as a process that dies at that store has it."""
    mortal = BoardLedger.attach(ledger.path, BOARD, ledger._clock)
    mortal._file.records.close()
    mortal._file.records = MortalRecords(ledger.path / "ledger", store, half)
    return mortal


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("store", range(1, 5))
def test_a_worker_may_die_while_it_takes_its_cores(ledger, store, half):
    mortal = dying_at(ledger, store, half=half)
    ledger._clock.sleep_until(1.0)
    with pytest.raises(Killed):
        mortal.take(0, "big", [4, 5], 5.0)
    ledger._clock.sleep_until(4.0)
    ledger.reap(0)
    assert set(ledger.read("big").busy_s) <= {0.0, 3.0}  # of the cores that it got or did not get
    ledger._clock.sleep_until(6.0)
    assert set(ledger.read("big").busy_s) <= {0.0, 3.0}
    assert ledger.take(1, "big", [4, 5], 9.0).start_s == 6.0
    mortal.close()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("store", range(1, 6))
def test_a_worker_may_die_while_it_hands_its_cores_to_another(ledger, store, half):
    mortal = dying_at(ledger, store, half=half)
    ledger._clock.sleep_until(1.0)
    lease = ledger.take(0, "big", [4, 5], 5.0)
    heir = Request(ledger, 1, [4, 5], 6.0)
    ledger._clock.sleep_until(3.0)
    with pytest.raises(Killed):
        mortal.release(lease)
    ledger._clock.sleep_until(4.0)
    ledger.reap(0)
    assert heir.got().start_s == 4.0
    assert set(ledger.read("big").busy_s) <= {2.0, 3.0}  # each core was given up at 3 s, or kept until now
    ledger.release(heir.lease)
    totals = ledger.read("big").busy_s
    ledger._clock.sleep_until(9.0)
    assert ledger.read("big").busy_s == totals
    assert ledger.take(2, "big", [4, 5], 9.0)
    mortal.close()


def test_a_handover_that_a_killed_process_began_is_finished_before_an_earlier_deadline_is_served(ledger):
    mortal = dying_at(ledger, 4, half=False)  # both cores are free and one of them is handed on
    lease = ledger.take(0, "big", [4, 5], 5.0)
    heir = Request(ledger, 1, [4, 5], 6.0)
    with pytest.raises(Killed):
        mortal.release(lease)
    urgent = Request(ledger, 2, [4, 5], 1.0)
    ledger.wake(1)
    assert heir.got()
    assert waits(ledger, 2)
    ledger.release(heir.lease)
    assert urgent.got()
    mortal.close()


@pytest.mark.parametrize("half", [False, True])
def test_the_agent_may_die_while_it_changes_a_clock(ledger, half):
    ledger._clock.sleep_until(2.0)
    before = ledger.read("big")
    mortal = dying_at(ledger, 1, half=half)
    with pytest.raises(Killed):
        mortal.set_unit("big", mhz=2000.0)
    assert ledger.read("big") == before
    mortal.close()


def count_up(lock, records, rounds):
    """Adds to a record under a lock, with time for others to come between."""
    for _ in range(rounds):
        with lock:
            (count,) = records.get(1, 1)
            time.sleep(0.0005)
            records.put(1, [count + 1])


def test_a_lock_excludes_threads_and_processes(tmp_path):
    SharedRecords.create(tmp_path / "records", 4)
    records, lock = SharedRecords(tmp_path / "records"), SharedLock(tmp_path / "lock")
    source = inspect.getsource(count_up)
    script = f"""
import sys, time
from pathlib import Path
from actors.ledger.shared import SharedLock, SharedRecords
{source}
count_up(SharedLock(Path(sys.argv[1]) / "lock"), SharedRecords(Path(sys.argv[1]) / "records"), 100)
"""
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    threads = [threading.Thread(target=count_up, args=(lock, records, 100)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert child.wait() == 0
    assert records.get(1, 1) == [300.0]
    records.close()
    lock.close()


CHILD = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from actors.clock import BoardClock
    from actors.ledger.ledger import BoardLedger
    from scheduler.board import Board, BoardUnit
    path, board, zero_s, slot, errand = Path(sys.argv[1]), eval(sys.argv[2]), *map(float, sys.argv[3:5]), sys.argv[5]
    slot = int(slot)
    ledger = BoardLedger.attach(path, board, BoardClock(zero_s=zero_s))
    print("ready", flush=True)
    if errand == "hold":
        lease = ledger.take(slot, "big", [4, 5], 1.0)
        print(lease.start_s, flush=True)
        sys.stdin.read()
    rounds = 200 if errand == "contend" else 10**9
    for _ in range(rounds):
        lease = ledger.take(slot, "big", [4, 5] if slot else [4], 1.0)
        if errand == "contend":
            os.close(os.open(path / "mine", os.O_CREAT | os.O_EXCL))  # fails if anyone else is in here
            os.unlink(path / "mine")
        ledger.release(lease)
    print("done", flush=True)
    """
)


@pytest.fixture
def wall(place):
    """A ledger on the wall's clock, and a way to start processes that use it."""
    zero_s = time.monotonic()
    ledger = BoardLedger.create(place(), BOARD, slots=3, clock=BoardClock(zero_s=zero_s))
    children = []

    def start(slot, errand):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(ledger.path), repr(BOARD), str(zero_s), str(slot), errand],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield ledger, start
    for child in children:
        child.kill()
        child.communicate()
    ledger.remove()


def test_two_processes_never_hold_the_same_core(wall):
    _, start = wall
    children = [start(0, "contend"), start(1, "contend")]
    for child in children:
        assert child.stdout.readline() == "done\n"


def test_what_a_killed_process_held_is_freed_by_reaping_and_counts_as_busy(wall):
    ledger, start = wall
    child = start(0, "hold")
    start_s = float(child.stdout.readline())
    waiter = Request(ledger, 1, [4], 0.0)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert waiter.lease is None
    ledger.reap(0)
    lease = waiter.got()
    busy_s = ledger.read("big").busy_s
    assert busy_s[1] == pytest.approx(lease.start_s - start_s, abs=1e-9)
    assert busy_s[0] > busy_s[1]  # and since then it is the waiter's


def test_processes_killed_anywhere_leave_a_sound_ledger(wall):
    ledger, start = wall
    for round_ in range(4):
        children = [start(slot, "hammer") for slot in (0, 1)]
        time.sleep(0.02 * (round_ + 1))
        for child in children:
            child.send_signal(signal.SIGKILL)
            child.wait()
        for slot in (0, 1):
            ledger.reap(slot)
        lease = ledger.take(2, "big", [4, 5], 0.0)
        assert lease
        ledger.release(lease)
        reading = ledger.read("big")
        assert all(0 < busy_s < reading.now_s for busy_s in reading.busy_s)
