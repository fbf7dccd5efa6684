"""A worker runs its network in the executor of a GPU: the token is the ledger's, and no CPU is needed."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from actors.agent.fences import FenceReports
from actors.executor.client import ExecutorHungError, RemoteNetwork
from actors.executor.server import Executor, ExecutorServer
from actors.executor.underway import Hang
from actors.ledger.leases import FencedError
from actors.requests.records import Status
from actors.worker.gearbox import Form, GearboxError
from actors.worker.loading import NetworkLoader
from helpers.shares import with_shares
from helpers.tiny_networks import Numbers, board, gpu_times, profile, with_gpu
from helpers.worker_rig import PATIENCE_S, SMALL
from scheduler.views import Gear
from supernets import engines


class TestGpu:
    """A gear on a GPU: the network runs in the executor, the token is the ledger's, and no CPU is needed."""

    GPU = Gear(subnet="small", unit="gpu", cores=1)  # 4 ms at the top clock
    GPU_LARGE = Gear(subnet="large", unit="gpu", cores=1)  # 8 ms

    @pytest.fixture
    def executor(self, tmp_path):
        executor = Executor(engines.prepare)
        server = ExecutorServer(executor, tmp_path / "socket")
        yield executor
        server.close()

    @pytest.fixture
    def on_gpu(self, rig, executor, tmp_path):
        def make(dvfs="emulated", **facts):
            return rig(
                board=with_gpu(board(dvfs), dvfs),
                profile=gpu_times(profile(), small=2.0, large=4.0),
                executors={"gpu": str(tmp_path / "socket")},
                **facts,
            )

        return make

    def test_requests_run_in_the_executor_and_take_the_gpus_token(self, on_gpu, executor):
        one = on_gpu(arrivals_s=[0.1, 0.1, 0.2])
        one.ledger.set_unit("gpu", mhz=1000.0)
        one.shift(self.GPU)
        assert [artifact.subnet for artifact in executor.ready] == ["small"]
        one.run_until(1)
        assert [row["end_s"] for row in one.ends.values()] == pytest.approx([0.104, 0.108, 0.204])
        assert [row["credit"] for row in one.ends.values()] == [1, 1, 1]
        assert [row["unit"] for row in one.ends.values()] == [3, 3, 3]
        assert one.ledger.read("gpu").busy_s == pytest.approx((0.012,))
        assert one.ledger.read("big").busy_s == (0.0,)

    def test_from_a_core_to_the_gpu_and_back_between_two_requests(self, on_gpu):
        one = on_gpu(arrivals_s=[0.1, 0.2, 0.3, 0.4], source=Numbers())
        one.ledger.set_unit("gpu", mhz=1000.0)
        one.shift(SMALL)
        one.clock.script.append((0.15, lambda: one.shift(self.GPU_LARGE, plan=1)))
        one.clock.script.append((0.25, lambda: one.shift(SMALL, plan=2)))
        one.clock.script.append((0.35, lambda: one.shift(self.GPU, plan=3)))
        one.run_until(1)
        rows = one.ends
        assert [(rows[index]["subnet"], rows[index]["unit"]) for index in range(4)] == [(0, 0), (1, 3), (0, 0), (0, 3)]
        assert [rows[index]["credit"] for index in range(4)] == [1, 0, 1, 1]

    def test_on_a_fixed_gpu_the_service_is_what_it_took(self, on_gpu):
        one = on_gpu(dvfs="fixed", arrivals_s=[0.5])
        one.shift(self.GPU)
        one.run_until(1)
        assert (one.ends[0]["service_ms"], one.ends[0]["status"]) == (0.0, Status.COMPLETED)

    def test_a_bad_input_fails_only_its_request(self, on_gpu):
        one = on_gpu(arrivals_s=[0.1, 0.2, 0.3], source=Numbers(broken={1}))
        one.shift(self.GPU)
        one.run_until(1)
        assert list(one.statuses().values()) == [Status.COMPLETED, Status.FAILED, Status.COMPLETED]
        assert "takes an input of (1, 1, 4, 4), not (2, 3)" in one.worker.totals().faults[0].text

    def test_a_worker_whose_network_hung_records_the_request_reports_itself_and_ends(self, on_gpu, monkeypatch):
        hang = Hang(why="hung", own=True, held_s=2.5, bound_s=2.0)

        def run(network, x, stop):
            raise ExecutorHungError("the executor of unit 'gpu' hung", hang)

        monkeypatch.setattr(RemoteNetwork, "__call__", run)
        one = on_gpu(arrivals_s=[0.1, 0.2])
        one.shift(self.GPU)
        with pytest.raises(FencedError, match="its network hung on gpu"):
            one.run_until(1)
        assert one.statuses() == {0: Status.FAILED}
        assert "ExecutorHungError: the executor of unit 'gpu' hung" in one.worker.totals().faults[0].text
        assert one.ledger.holders("gpu") == (None,)
        (told,) = FenceReports(one.ledger, {"a": 0, "b": 1}).new()
        assert (told.app, told.unit, told.why) == ("a", "gpu", "its network hung in the executor")
        assert (told.held_ms, told.bound_ms) == (2500.0, 2000.0)
        with pytest.raises(FencedError, match="was fenced off"):
            one.run_until(2)

    def test_an_inference_may_last_four_times_the_slowest_of_the_profile_at_the_lowest_clock(self, on_gpu):
        one = on_gpu(dvfs="devfreq")
        loader = NetworkLoader(replace(one.spec, profile=gpu_times(profile(), small=600.0, large=4.0)))
        gpu = one.board.unit("gpu")
        assert loader._bound_s(Form("large", "gpu", 1)) == 2.0
        assert loader._bound_s(Form("small", "gpu", 1)) == pytest.approx(2.4 / gpu.pace(gpu.mhz[0]))
        loader.close()
        # With a second clock of half the first: twice the time there, or 1.2 times by a share of its own of 0.8.
        slower = replace(gpu, mhz=(gpu.mhz[0] / 2, *gpu.mhz), static_w=None, dynamic_w=None)
        two_clocks = replace(one.board, units=tuple(slower if unit == gpu else unit for unit in one.board.units))
        times = gpu_times(profile(), small=600.0, large=4.0)
        for share, stretch in ((None, 2.0), (0.8, 1.2)):
            loader = NetworkLoader(replace(one.spec, board=two_clocks, profile=with_shares(times, [share])))
            assert loader._bound_s(Form("small", "gpu", 1)) == pytest.approx(2.4 * stretch / gpu.speed)
            loader.close()

    def test_an_unknown_gpu_or_network_is_refused(self, on_gpu):
        one = on_gpu()
        with pytest.raises(GearboxError, match="small on gpu must be prepared before"):
            one.activate(self.GPU)

    def test_a_stopped_worker_gives_its_networks_back(self, on_gpu, executor):
        executor._bound_mb = 0.0
        one = on_gpu(arrivals_s=[0.1])
        one.shift(self.GPU)
        assert executor.ready
        one.worker.stop()
        deadline_s = time.monotonic() + PATIENCE_S
        while executor.ready and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert not executor.ready
