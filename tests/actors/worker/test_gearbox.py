"""The gearbox prepares, engages and evicts networks; the engine is real except where only memory matters."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import pinning
from actors.worker.gearbox import CPU, Form, Gearbox, GearboxError
from helpers.tiny_networks import RESOLUTIONS, Numbers, ladder
from scheduler.views import Gear
from supernets import engines
from supernets.artifact import Artifact

PATIENCE_S = 60  # the machine may stall; a test that is right never waits so long


def gear(subnet: str, cores: int = 1, unit: str = "pair") -> Gear:
    return Gear(subnet=subnet, unit=unit, cores=cores)


def form_of(one: Gear) -> Form:
    return Form(one.subnet, one.unit if one.unit == "gpu" else CPU, one.cores)


def form(subnet: str, threads: int = 1) -> Form:
    return Form(subnet, CPU, threads)


def really(artifact: Artifact, wanted: Form) -> engines.PreparedNetwork:
    return engines.prepare(artifact, threads=wanted.threads)


def make(artifacts, source=None, *, prepare=really, bound_mb=0.0):
    """By default no more is kept than must be, so that nothing is prepared but what a test wishes for."""
    return Gearbox(artifacts, source or Numbers(), prepare=prepare, form_of=form_of, bound_mb=bound_mb)


@dataclass
class Heavy:
    """A network of so many megabytes."""

    memory_mb: float

    def __call__(self, x):
        return x


def settled(box: Gearbox) -> set[Form]:
    """Return what is ready once nothing more is prepared by itself."""
    deadline = time.monotonic() + PATIENCE_S
    while any(thread.name.startswith("prepare ") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return set(box.ready)


class HeldNumbers(Numbers):
    """Inputs of the large network are made only when the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "begun", threading.Event())
        object.__setattr__(self, "allowed", threading.Event())

    def inputs(self, artifact):
        if artifact.subnet == "large":
            self.begun.set()
            assert self.allowed.wait(PATIENCE_S)
        return super().inputs(artifact)


@pytest.fixture
def artifacts(tmp_path):
    return ladder(tmp_path)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as executor:
        yield executor


def output(ready, index: int) -> float:
    return float(ready.run(ready.inputs(index))[0])


def test_prepares_and_engages_a_real_network(artifacts):
    box = make(artifacts)
    assert box.prepare(gear("large"), 0) == (gear("large"), 0)
    assert output(box.engage(gear("large")), 21) == 42.0
    assert box.ready == (form("large"),)


def test_threads_follow_the_cores_and_cpu_units_share_a_network(artifacts):
    box = make(artifacts, prepare=lambda artifact, wanted: Heavy(1.0), bound_mb=1e3)
    box.prepare(gear("small", 1, "big"), 0)
    box.prepare(gear("small", 1, "little"), 1)
    box.prepare(gear("small", 2), 2)
    box.prepare(gear("small", 1, "gpu"), 3)
    assert {form("small"), form("small", 2), Form("small", "gpu", 1)} <= settled(box)
    assert box.engage(gear("small", 1, "big")) is box.engage(gear("small", 1, "little"))
    assert box.engage(gear("small", 1, "gpu")) is not box.engage(gear("small", 1, "big"))


def test_forms_of_one_input_shape_share_their_inputs(artifacts):
    box = make(artifacts, bound_mb=1e3)
    for plan, one in enumerate([gear("small", 1), gear("small", 2), gear("large", 1)]):
        box.prepare(one, plan)
    assert box.engage(gear("small", 1)).inputs is box.engage(gear("small", 2)).inputs
    assert box.engage(gear("large", 1)).inputs(0).shape[-1] == RESOLUTIONS["large"]


def test_engaging_what_is_not_ready_says_so(artifacts):
    with pytest.raises(GearboxError, match="small on 2 threads must be prepared"):
        make(artifacts).engage(gear("small", 2))


def test_an_unknown_sub_network_is_named_with_the_ladder(artifacts):
    with pytest.raises(GearboxError, match="no sub-network 'huge': small, large"):
        make(artifacts).prepare(gear("huge"), 0)


class TestBound:
    """Least recently used by megabytes; the small network takes 10, the large one 30, on two threads 1 more."""

    @staticmethod
    def box(artifacts, bound_mb):
        def weigh(artifact, wanted):
            return Heavy({"small": 10.0, "large": 30.0}[artifact.subnet] + (wanted.threads - 1))

        return make(artifacts, prepare=weigh, bound_mb=bound_mb)

    def test_the_least_recently_used_goes_but_never_the_engaged_or_the_wished(self, artifacts):
        box = self.box(artifacts, 45.0)
        box.prepare(gear("small", 1), 0)
        box.engage(gear("small", 1))
        box.prepare(gear("large", 1), 1)
        box.prepare(gear("small", 2), 2)
        assert box.ready == (form("small"), form("small", 2))  # 51 would be too much, and 10 of it are engaged
        box.engage(gear("small", 2))
        box.prepare(gear("large", 2), 3)
        assert box.ready == (form("small", 2), form("large", 2))

    def test_what_was_engaged_lately_stays_longer_than_what_was_only_prepared(self, artifacts):
        box = self.box(artifacts, 51.0)
        box.prepare(gear("small", 1), 0)
        box.prepare(gear("large", 1), 1)
        box.engage(gear("small", 1))
        box.prepare(gear("small", 2), 2)
        assert box.ready == (form("large"), form("small"), form("small", 2))
        box.engage(gear("small", 2))
        box.prepare(gear("large", 2), 3)
        assert box.ready == (form("small", 2), form("large", 2))

    def test_the_engaged_and_the_wished_are_kept_whatever_they_take(self, artifacts):
        box = self.box(artifacts, 0.0)
        box.prepare(gear("small", 1), 0)
        box.engage(gear("small", 1))
        for plan, one in enumerate([gear("large", 1), gear("large", 2)], start=1):
            box.prepare(one, plan)
            assert box.ready == (form("small"), form_of(one))
            assert box.engage(gear("small", 1)).run.memory_mb == 10.0

    def test_weights_that_are_shared_count_once(self, artifacts):
        def mapped(artifact, wanted):
            weights = engines.Mapped(artifact.path, 20.0)
            return engines.Network(engine="fake", run=lambda x: x, memory_mb=1.0, mapped=weights)

        box = make(artifacts, prepare=mapped, bound_mb=22.0)
        box.prepare(gear("small", 1), 0)
        box.prepare(gear("small", 2), 1)
        assert settled(box) == {form("small"), form("small", 2)}
        box.prepare(gear("large", 1), 2)
        assert settled(box) == {form("large")}

    @given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 2), st.booleans()), max_size=12), st.floats(0, 200))
    def test_the_bound_holds_for_all_that_may_go(self, wishes, bound_mb):
        artifacts = {
            str(number): Artifact(subnet=str(number), path="", input_shape=(1,), weights_hash="") for number in range(6)
        }
        box = make(
            artifacts, prepare=lambda artifact, wanted: Heavy(10.0 * (int(artifact.subnet) + 1)), bound_mb=bound_mb
        )
        engaged = None
        for plan, (subnet, threads, engages) in enumerate(wishes):
            wish = gear(str(subnet), threads)
            box.prepare(wish, plan)
            ready = settled(box)
            kept = {form_of(wish), engaged} - {None}
            assert kept <= ready
            assert sum(10.0 * (int(one.subnet) + 1) for one in ready) <= bound_mb or ready == kept
            if engages:  # what was engaged before may stay until another network is ready
                box.engage(wish)
                engaged = form_of(wish)


class TestNeighbours:
    @staticmethod
    def box(bound_mb, broken=()):
        order = []

        def weigh(artifact, wanted):
            order.append(wanted)
            if artifact.subnet in broken:
                raise OSError("no such file")
            return Heavy(10.0)

        artifacts = {
            name: Artifact(subnet=name, path="", input_shape=(1,), weights_hash="") for name in ("a", "b", "c", "d")
        }
        return make(artifacts, prepare=weigh, bound_mb=bound_mb), order

    def test_they_follow_a_wish_the_next_smaller_first_on_as_many_threads(self):
        box, order = self.box(1e3)
        box.prepare(gear("b", 2), 0)
        settled(box)
        assert order == [form("b", 2), form("a", 2), form("c", 2), form("d", 2)]

    def test_they_evict_nothing(self):
        box, order = self.box(30.0)
        box.prepare(gear("c"), 0)
        settled(box)
        assert order == [form("c"), form("b"), form("d")]
        box.prepare(gear("c", 2), 1)
        assert settled(box) == {form("d"), form("c"), form("c", 2)}
        assert order[3:] == [form("c", 2)]

    def test_one_that_fails_is_passed_over_until_it_is_wished_for(self):
        box, order = self.box(1e3, broken=("a",))
        assert box.prepare(gear("b"), 0) == (gear("b"), 0)
        assert settled(box) == {form("b"), form("c"), form("d")}
        assert order.count(form("a")) == 1
        with pytest.raises(GearboxError, match="a on 1 threads can't be prepared: OSError: no such file"):
            box.prepare(gear("a"), 1)

    def test_a_gpu_s_memory_is_not_filled(self):
        box, order = self.box(1e3)
        box.prepare(gear("b", unit="gpu"), 0)
        settled(box)
        assert order == [Form("b", "gpu", 1)]


def test_a_file_that_is_no_network_fails_each_wish_until_it_is_one(artifacts, tmp_path):
    path = tmp_path / "small.onnx"
    good = path.read_bytes()
    path.write_bytes(b"garbage")
    box = make(artifacts)
    for plan in (0, 1):
        with pytest.raises(GearboxError, match="small on 1 threads can't be prepared: SupernetError"):
            box.prepare(gear("small"), plan)
    path.write_bytes(good)
    assert box.prepare(gear("small"), 2) == (gear("small"), 2)


def test_the_latest_wish_wins_and_answers_those_it_overtook(artifacts, pool):
    source = HeldNumbers()
    box = make(artifacts, source)
    overtaken = pool.submit(box.prepare, gear("large"), 5)
    assert source.begun.wait(PATIENCE_S)
    latest = pool.submit(box.prepare, gear("small"), 6)
    older = pool.submit(box.prepare, gear("large"), 4)
    source.allowed.set()
    for answer in (overtaken, latest, older):
        assert answer.result(PATIENCE_S) == (gear("small"), 6)
    # What was begun for the older wish is not thrown away.
    assert form("small") in box.ready  # what was begun for the older wish may stay, where there is room


def test_the_engaged_network_runs_while_another_is_prepared(artifacts, pool):
    source = HeldNumbers()
    box = make(artifacts, source)
    box.prepare(gear("small"), 0)
    ready = box.engage(gear("small"))
    preparing = pool.submit(box.prepare, gear("large"), 1)
    assert source.begun.wait(PATIENCE_S)
    assert [output(ready, index) for index in range(3)] == [0.0, 1.0, 2.0]
    assert not preparing.done()
    source.allowed.set()
    assert preparing.result(PATIENCE_S) == (gear("large"), 1)


def test_closing_frees_whoever_waits(artifacts, pool):
    source = HeldNumbers()
    box = make(artifacts, source)
    waiting = pool.submit(box.prepare, gear("large"), 0)
    assert source.begun.wait(PATIENCE_S)
    box.close()
    with pytest.raises(GearboxError, match="stopped"):
        waiting.result(PATIENCE_S)
    source.allowed.set()
    with pytest.raises(GearboxError, match="stopped"):
        box.prepare(gear("small"), 1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
class TestAside:
    """Preparing keeps off the cores that serve; what an engine starts for inference does not."""

    @pytest.fixture
    def pinned(self):
        """The process, as this machine's first CPU alone serves; its gearboxes were made before."""
        everywhere = os.sched_getaffinity(0)
        home = {min(everywhere)}

        def pin():
            os.sched_setaffinity(0, home)
            return home, everywhere - home

        yield pin
        os.sched_setaffinity(0, everywhere)

    def test_it_works_on_other_cores_and_nicer(self, artifacts, pinned):
        where = {}

        def look(artifact, wanted):
            where.update(cpus=os.sched_getaffinity(0), nice=os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return Heavy(1.0)

        box = make(artifacts, prepare=look)
        home, others = pinned()
        box.prepare(gear("small"), 0)
        assert where["cpus"] == others
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert where["nice"] == min(19, own + 5) or not pinning._niceness_can_be_shed()
        assert os.sched_getaffinity(0) == home

    @pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
    def test_what_an_engine_starts_serves_on_the_process_s_cores(self, artifacts, pinned, engine):
        def prepare(artifact, wanted):
            before.add(threading.get_native_id())  # the thread that prepares may be seen a little longer than it lives
            return engines.prepare(artifact, engine, threads=wanted.threads)

        box = make(artifacts, prepare=prepare)
        home, _ = pinned()
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        before = pinning.threads()
        box.prepare(gear("large", 3), 0)
        settled(box)
        new = pinning.threads() - before
        assert new or engine == "openvino"  # whose pool may have been there, and outlives its networks
        for tid in new:
            assert os.sched_getaffinity(tid) == home
            assert os.getpriority(os.PRIO_PROCESS, tid) == niceness


def test_a_source_that_raises_costs_only_the_wish(artifacts):
    class Sour(Numbers):
        def inputs(self, artifact):
            if artifact.subnet == "large":
                raise OSError("no pictures")
            return super().inputs(artifact)

    box = make(artifacts, Sour())
    with pytest.raises(GearboxError, match="OSError: no pictures"):
        box.prepare(gear("large"), 0)
    box.prepare(gear("small"), 1)
    np.testing.assert_equal(output(box.engage(gear("small")), 3), 3.0)
