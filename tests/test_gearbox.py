"""Preparing, engaging and evicting networks; the engine is the real one."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_networks import RESOLUTIONS, Numbers, ladder

from actors.gearbox import Form, Gearbox, GearboxError
from scheduler.views import Gear

PATIENCE_S = 60  # the machine may stall; a test that is right never waits so long


def gear(subnet: str, cores: int = 1, unit: str = "pair") -> Gear:
    return Gear(subnet=subnet, unit=unit, cores=cores)


class HeldNumbers(Numbers):
    """Inputs of the large network are made only when the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "begun", threading.Event())
        object.__setattr__(self, "allowed", threading.Event())
        object.__setattr__(self, "niceness", {})

    def inputs(self, artifact):
        self.niceness[artifact.subnet] = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
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
    box = Gearbox(artifacts, Numbers())
    assert box.prepare(gear("large"), 0) == (gear("large"), 0)
    assert output(box.engage(gear("large")), 21) == 42.0
    assert box.ready == (Form("large", 1),)


def test_threads_follow_the_cores_and_units_share_a_network(artifacts):
    box = Gearbox(artifacts, Numbers())
    box.prepare(gear("small", 1, "big"), 0)
    box.prepare(gear("small", 1, "little"), 1)
    box.prepare(gear("small", 2), 2)
    assert box.ready == (Form("small", 1), Form("small", 2))
    assert box.engage(gear("small", 1, "big")) is box.engage(gear("small", 1, "little"))


def test_forms_of_one_input_shape_share_their_inputs(artifacts):
    box = Gearbox(artifacts, Numbers())
    for epoch, one in enumerate([gear("small", 1), gear("small", 2), gear("large", 1)]):
        box.prepare(one, epoch)
    assert box.engage(gear("small", 1)).inputs is box.engage(gear("small", 2)).inputs
    assert box.engage(gear("large", 1)).inputs(0).shape[-1] == RESOLUTIONS["large"]


def test_engaging_what_is_not_ready_says_so(artifacts):
    with pytest.raises(GearboxError, match="small on 2 threads must be prepared"):
        Gearbox(artifacts, Numbers()).engage(gear("small", 2))


def test_an_unknown_sub_network_is_named_with_the_ladder(artifacts):
    with pytest.raises(GearboxError, match="no sub-network 'huge': small, large"):
        Gearbox(artifacts, Numbers()).prepare(gear("huge"), 0)


def test_too_small_a_bound_is_refused(artifacts):
    with pytest.raises(ValueError, match="at least 2"):
        Gearbox(artifacts, Numbers(), bound=1)


def test_the_least_recently_used_goes_but_never_the_engaged_or_the_wished(artifacts):
    box = Gearbox(artifacts, Numbers(), bound=2)
    box.prepare(gear("small", 1), 0)
    box.engage(gear("small", 1))
    box.prepare(gear("large", 1), 1)
    box.prepare(gear("small", 2), 2)
    assert box.ready == (Form("small", 1), Form("small", 2))
    box.engage(gear("small", 2))
    box.prepare(gear("large", 2), 3)
    assert box.ready == (Form("small", 2), Form("large", 2))


def test_what_was_engaged_lately_stays_longer_than_what_was_only_prepared(artifacts):
    box = Gearbox(artifacts, Numbers(), bound=3)
    box.prepare(gear("small", 1), 0)
    box.prepare(gear("large", 1), 1)
    box.engage(gear("small", 1))
    box.prepare(gear("small", 2), 2)
    box.engage(gear("small", 2))
    box.prepare(gear("large", 2), 3)
    assert box.ready == (Form("small", 1), Form("small", 2), Form("large", 2))


def test_a_file_that_is_no_network_fails_each_wish_until_it_is_one(artifacts, tmp_path):
    path = tmp_path / "small.onnx"
    good = path.read_bytes()
    path.write_bytes(b"garbage")
    box = Gearbox(artifacts, Numbers())
    for epoch in (0, 1):
        with pytest.raises(GearboxError, match="small on 1 threads can't be prepared: SupernetError"):
            box.prepare(gear("small"), epoch)
    path.write_bytes(good)
    assert box.prepare(gear("small"), 2) == (gear("small"), 2)


def test_the_latest_wish_wins_and_answers_those_it_overtook(artifacts, pool):
    source = HeldNumbers()
    box = Gearbox(artifacts, source)
    overtaken = pool.submit(box.prepare, gear("large"), 5)
    assert source.begun.wait(PATIENCE_S)
    latest = pool.submit(box.prepare, gear("small"), 6)
    older = pool.submit(box.prepare, gear("large"), 4)
    source.allowed.set()
    for answer in (overtaken, latest, older):
        assert answer.result(PATIENCE_S) == (gear("small"), 6)
    # What was begun for the older wish is not thrown away.
    assert set(box.ready) == {Form("large", 1), Form("small", 1)}


def test_the_engaged_network_runs_while_another_is_prepared(artifacts, pool):
    source = HeldNumbers()
    box = Gearbox(artifacts, source)
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
    box = Gearbox(artifacts, source)
    waiting = pool.submit(box.prepare, gear("large"), 0)
    assert source.begun.wait(PATIENCE_S)
    box.close()
    with pytest.raises(GearboxError, match="stopped"):
        waiting.result(PATIENCE_S)
    source.allowed.set()
    with pytest.raises(GearboxError, match="stopped"):
        box.prepare(gear("small"), 1)


def test_preparing_yields_to_requests_unless_the_engine_starts_threads(artifacts):
    here = os.getpriority(os.PRIO_PROCESS, 0)
    if here > 14:
        pytest.skip("this process is as nice as can be already")
    source = HeldNumbers()
    source.allowed.set()
    box = Gearbox(artifacts, source)
    box.prepare(gear("small", 1), 0)
    box.prepare(gear("large", 2), 1)
    assert source.niceness["small"] > here
    assert source.niceness["large"] == here
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == here


def test_a_source_that_raises_costs_only_the_wish(artifacts):
    class Sour(Numbers):
        def inputs(self, artifact):
            if artifact.subnet == "large":
                raise OSError("no pictures")
            return super().inputs(artifact)

    box = Gearbox(artifacts, Sour())
    with pytest.raises(GearboxError, match="OSError: no pictures"):
        box.prepare(gear("large"), 0)
    box.prepare(gear("small"), 1)
    np.testing.assert_equal(output(box.engage(gear("small")), 3), 3.0)
