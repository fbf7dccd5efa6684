"""Processes share a lock and a ledger, exclude each other, and may be killed at any moment."""

import inspect
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger
from actors.ledger.lock import SharedLock
from actors.ledger.shared import SharedRecords
from helpers.small_ledger import BOARD, Request


def count_up(lock, records, rounds):
    """Add to a record under a lock, with time for others to come between."""
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
from actors.ledger.lock import SharedLock
from actors.ledger.shared import SharedRecords
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


def test_what_a_killed_process_held_goes_to_who_waits_for_it_and_counts_as_busy_until_then(wall):
    ledger, start = wall
    child = start(0, "hold")
    start_s = float(child.stdout.readline())
    waiter = Request(ledger, 1, [4], 0.0)
    child.send_signal(signal.SIGKILL)
    child.wait()
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
