"""A worker runs in real time on threads and processes of its own, may be killed, and imports no torch."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from actors.clock import BoardClock
from actors.requests.records import Status, read_records
from actors.worker.results import WorkerClosedError
from helpers.tiny_networks import profile
from helpers.worker_rig import LARGE, LITTLE, PATIENCE_S, SMALL, Rig, serve_until_killed


class TestThreads:
    """In real time: what is asserted holds however slow the machine is."""

    @pytest.fixture
    def real(self, rig):
        return lambda **facts: rig(clock=BoardClock(time.monotonic()), **facts)

    def test_serves_its_schedule(self, real):
        one = real(arrivals_s=np.arange(10) * 0.02, profile=profile(small_ms=(1.0,)), segments=((0.0, 1e6),))
        one.shift(SMALL)
        one.worker.start()
        while len(one.ends) < 10:
            time.sleep(0.01)
        assert set(one.statuses().values()) == {Status.COMPLETED}
        assert min(row["service_ms"] for row in one.ends.values()) >= 2.0
        assert all(row["start_s"] >= row["arrival_s"] for row in one.ends.values())
        thread = one.worker.status().thread
        assert thread != os.getpid()
        assert Path(f"/proc/self/task/{thread}").exists()

    def test_control_is_answered_while_a_request_is_served(self, real):
        hour_ms = 3.6e6
        one = real(profile=profile(small_ms=(hour_ms,)), segments=((0.0, 2 * hour_ms),))
        one.shift(SMALL)
        one.prepare(LITTLE, plan=1)
        one.worker.start()
        endless = one.worker.submit(np.zeros(1))
        while one.ledger.take(1, "big", (0,), 0.0, give_up=lambda: True) is not None:
            one.ledger.reap(1)
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(one.activate, LITTLE, 1).result(PATIENCE_S).gear == LITTLE
            assert pool.submit(one.prepare, LARGE, 2).result(PATIENCE_S).gear == LARGE
            telemetry = pool.submit(one.telemetry).result(PATIENCE_S)
        assert (telemetry.gear, telemetry.arrived, telemetry.finished) == (LITTLE, 1, 0)
        assert not endless.done()
        one.worker.stop()  # and an endless request does not outlast it
        with pytest.raises(WorkerClosedError):
            endless.result(PATIENCE_S)

    def test_a_request_that_waits_for_cores_takes_the_new_gear(self, real, monkeypatch):
        monkeypatch.setattr("actors.ledger.leases._POLL_MS", 10_000_000)  # so that only being woken ends the wait
        one = real(profile=profile(small_ms=(1.0,)), segments=((0.0, 1e9),))
        other = one.ledger.take(1, "big", (0,), 0.0)
        one.shift(SMALL)
        one.worker.start()
        future = one.worker.submit(np.zeros(1))
        time.sleep(0.02)  # most likely it waits by now; the test holds either way
        assert not future.done()
        one.shift(LITTLE, plan=1)
        future.result(PATIENCE_S)
        assert one.ends[0]["unit"] == 1
        one.ledger.release(other)

    def test_a_drain_ends_the_thread(self, real):
        one = real(profile=profile(small_ms=(1.0,)), segments=((0.0, 1e9),))
        one.shift(SMALL)
        one.worker.start()
        futures = [one.worker.submit(np.zeros(1)) for _ in range(3)]
        one.worker.drain(1e9)
        assert one.worker.join(PATIENCE_S)
        assert all(future.result(0).subnet == "small" for future in futures)


def test_a_killed_worker_is_followed_by_one_that_accounts_for_its_losses(tmp_path):
    zero_s = time.monotonic()
    Rig(tmp_path, clock=BoardClock(zero_s)).worker.stop()  # makes the ledger, as the agent would
    victim = multiprocessing.get_context("spawn").Process(target=serve_until_killed, args=(tmp_path, zero_s))
    victim.start()
    records = tmp_path / "records"
    while len(read_records(records)) < 20:
        time.sleep(0.01)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()

    clock = BoardClock(zero_s)
    before = len(read_records(records))
    resume_from_s = clock.now_s()
    arrivals_s = np.arange(4000) * 0.005
    one = Rig(
        tmp_path,
        clock=clock,
        arrivals_s=arrivals_s,
        profile=profile(small_ms=(1.0,)),
        queue_bound=5,
        resume_from_s=resume_from_s,
    )
    one.ledger.reap(0)
    due = int((arrivals_s < resume_from_s).sum())
    assert sorted(one.ends) == list(range(due))
    failed = [index for index, status in one.statuses().items() if status == Status.FAILED]
    assert len(failed) == due - before
    one.shift(SMALL)
    one.worker.start()
    while max(one.ends) < due + 3:
        time.sleep(0.01)
    one.worker.stop()
    one.ledger.remove()


def test_a_worker_imports_no_torch(tmp_path):
    script = """
        import sys
        from pathlib import Path
        sys.path[:0] = {paths!r}
        from helpers.worker_rig import SMALL, Rig
        for name in [name for name in sys.modules if name.split(".")[0] in ("torch", "ray")]:
            raise SystemExit(f"{{name}} was imported by the tests themselves")
        one = Rig(Path({directory!r}), arrivals_s=[0.1])
        one.shift(SMALL)
        one.run_until(1)
        assert len(one.ends) == 1
        print([name for name in ("torch", "ray") if name in sys.modules])
    """
    tests = Path(__file__).parents[2]
    code = textwrap.dedent(script).format(paths=[str(tests.parent), str(tests)], directory=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
