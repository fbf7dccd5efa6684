"""Whole simulations keep balanced books, repeat to the byte for the same seed, and name a policy at fault."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.requests.records import Status
from helpers.fake_world import BOARD, PROFILE
from helpers.summary_schema import SCHEMA
from scheduler.idle_state import IdleState
from scheduler.thermal import Thermal
from scheduler.views import Gear, Plan
from workloads import App, Mix, Periodic, Poisson, Saturate, at
from workloads.mix.errors import MixError
from workloads.report.run_report import write_report
from workloads.results.run_dir import read_run
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import Costs, Simulated, SimulationError, simulate

HERE = Path(__file__).parent
TESTS = HERE.parents[1]
PROFILES = {"net": PROFILE}
RICH = replace(
    BOARD,
    base_w=1.0,
    units=tuple(
        replace(
            unit,
            transition_us=300.0,
            idle_share=0.3,
            idle_states=(IdleState(residency_us=5000, exit_us=500),),
            thermal=Thermal(c_per_w=10.0, tau_s=1.0, trip_c=45.0, polling_ms=100.0, static_per_c=0.01),
        )
        for unit in BOARD.units
    ),
)


def app(name: str, arrivals=None, **facts) -> App:
    return App(name, "net", arrivals or Poisson(hz=30), **{"latency_ms": 60, **facts})


MIX = Mix(
    "three",
    duration_s=2.05,
    apps=[
        app("a", min_accuracy=0.7),
        app("b", Periodic(hz=25, jitter_ms=5), latency_ms=40, drop="oldest", queue=2),
        app("loop", Saturate(), latency_ms=150),
    ],
    events=[
        at(0.5, "a", latency_ms=25),
        at(0.8, unit="big", max_mhz=1000, busy=0.3),
        at(1.0, add=app("late", drop="newest")),
        at(1.2, unit="big", cores=1),
        at(1.3, ambient_c=60),
        at(1.4, power_cap_w=2.0),
        at(1.6, remove="b"),
    ],
)


def run(mix: Mix = MIX, board=RICH, policy: str = "joint", costs: Costs | None = None, seed: int = 0) -> Simulated:
    return simulate(plan_simulation(mix, board, policy=policy, profiles=PROFILES, costs=costs, seed=seed))


def digest() -> str:
    """All that a simulation gives, as text."""
    simulated = run(policy="joint+schedutil", seed=3)
    records = {name: rows.tobytes().hex() for name, rows in simulated.records.items()}
    return json.dumps([simulated.summary.to_json(), records, repr(simulated.entries), repr(simulated.residency)])


def events():
    times = st.floats(0, 1)
    return st.lists(
        st.one_of(
            st.builds(lambda t, ms: at(t, "a", latency_ms=ms), times, st.floats(5, 200)),
            st.builds(lambda t, share: at(t, "a", min_accuracy=share), times, st.sampled_from([0.0, 0.7, 0.9])),
            st.builds(
                lambda t, unit, mhz: at(t, unit=unit, max_mhz=mhz),
                times,
                st.sampled_from(["big", "little", "gpu"]),
                st.sampled_from([None, 500.0, 1000.0]),
            ),
            st.builds(
                lambda t, unit, cores: at(t, unit=unit, cores=cores),
                times,
                st.sampled_from(["big", "little"]),
                st.sampled_from([None, 1]),
            ),
            st.builds(
                lambda t, unit, busy: at(t, unit=unit, busy=busy),
                times,
                st.sampled_from(["big", "gpu"]),
                st.floats(0, 1),
            ),
            st.builds(lambda t, celsius: at(t, ambient_c=celsius), times, st.floats(0, 90)),
            st.builds(lambda t, watt: at(t, power_cap_w=watt), times, st.one_of(st.none(), st.floats(0.5, 9))),
            st.builds(lambda t: at(t, add=app("new")), times),
            st.builds(lambda t: at(t, remove="b"), st.floats(0.1, 1)),
        ),
        max_size=6,
        unique_by=lambda event: (type(event).__name__, getattr(event, "unit", ""), *getattr(event, "changes", ())),
    )


ARRIVALS = st.one_of(
    st.builds(lambda hz: Periodic(hz=hz), st.floats(1, 80)),
    st.builds(lambda hz: Poisson(hz=hz), st.floats(1, 80)),
    st.just(Saturate()),
)


@st.composite
def mixes(draw) -> Mix:
    apps = [
        app(
            name,
            draw(ARRIVALS),
            latency_ms=draw(st.floats(5, 300)),
            drop=draw(st.sampled_from(["late", "oldest", "newest"])),
        )
        for name in "ab"
    ]
    return Mix("random", apps=apps, events=draw(events()), duration_s=1.05)


class TestTheBooks:
    @settings(deadline=None, max_examples=25)
    @given(mixes(), st.sampled_from(["joint", "largest+schedutil", "floor", "joint+ondemand"]), st.integers(0, 9))
    def test_they_balance_whatever_the_mix(self, mix, policy, seed):
        simulated = run(mix, policy=policy, seed=seed)
        summary = json.loads(simulated.summary.to_json())
        jsonschema.validate(summary, SCHEMA)
        for name, one in summary["apps"].items():
            assert one["submitted"] == one["completed"] + one["dropped"] + one["failed"] + one["in_flight"]
            assert one["submitted"] == len(simulated.arrivals_s[name])
            assert one["failed"] == 0
            assert all(0 <= at_s <= 1.05 for at_s in simulated.arrivals_s[name])
            rows = simulated.records[name]
            ended = rows[rows["status"] != Status.ARRIVED]
            assert len(np.unique(ended["index"])) == len(ended)
            assert all(ended["end_s"] <= 1.05 + 2 + 1e-9)
            served = ended[ended["status"] == Status.COMPLETED]
            assert all(served["start_s"] >= served["arrival_s"])
            assert all(served["end_s"] > served["start_s"])
        for name, spent in simulated.residency.items():
            unit = RICH.unit(name)
            assert math.fsum(spent.time_s) == pytest.approx(1.05)
            managed_s = math.fsum(spent.managing_s)
            assert math.fsum(spent.busy_s) <= unit.cores * 1.05 + managed_s + 1e-9
            for busy_s, managing_s in zip(spent.busy_s, spent.managing_s, strict=True):
                assert 0 <= managing_s <= busy_s + 1e-9

    def test_the_energy_is_that_of_the_run_alone(self):
        # Nothing to do, no heat: three units at their lowest clocks, and what manages them is not of the board.
        mix = Mix("idle", duration_s=1.23, apps=[app("a", Periodic(hz=0.1))])
        simulated = run(mix, BOARD, policy="largest+powersave", costs=Costs(on_board=False))
        served_j = 0.2 * float(np.nansum(simulated.records["a"]["service_ms"])) / 1e3
        assert simulated.summary.energy.units_j == pytest.approx(3 * 0.1 * 1.23 + served_j, abs=1e-6)
        assert simulated.summary.energy.board_j is None  # its base is unknown

    def test_the_boards_energy_has_the_base_on_top(self):
        energy = run().summary.energy
        assert energy.board_j == pytest.approx(energy.units_j + 2.05)
        assert energy.source == "modelled"

    def test_without_power_figures_the_energy_is_unknown(self):
        dark = replace(BOARD, units=(replace(BOARD.units[0], static_w=None, dynamic_w=None), *BOARD.units[1:]))
        simulated = run(Mix("m", duration_s=1, apps=[app("a")]), dark, policy="largest+schedutil")
        assert (simulated.summary.energy.units_j, simulated.summary.energy.source) == (None, "unknown")
        assert simulated.managing_j is None

    def test_managing_is_charged(self):
        free, charged = run(costs=Costs.none()), run()
        assert free.managing_j == 0.0
        assert charged.managing_j > 0.0
        managing_j = sum(
            w * s
            for unit in RICH.units
            for w, s in zip(unit.dynamic_w, charged.residency[unit.name].managing_s, strict=True)
        )
        assert charged.managing_j == pytest.approx(managing_j)

    def test_a_closed_loop_keeps_its_core_busy_from_the_start_to_the_end(self):
        mix = Mix("loop", duration_s=2, apps=[app("a", Saturate(), min_accuracy=0.9)])
        simulated = run(mix, BOARD, policy="largest+performance", costs=Costs.none())
        one = simulated.summary.apps["a"]
        service_s = simulated.records["a"]["service_ms"][-1] / 1e3
        assert one.submitted == pytest.approx(2 / service_s, abs=1)
        assert simulated.arrivals_s["a"][0] == pytest.approx(0.0, abs=1e-6)

    def test_what_a_drain_does_not_finish_is_in_flight(self):
        # 12 ms of target leave a drain of 24 ms; on `big` at 500 MHz a service of `l` takes 80.
        mix = Mix("m", duration_s=1, apps=[app("a", Periodic(hz=10), latency_ms=12, min_accuracy=0.9, drop="newest")])
        gear = Gear(subnet="l", unit="big", cores=1)
        plan = plan_simulation(mix, BOARD, profiles=PROFILES, costs=Costs.none())
        simulated = simulate(replace(plan, make_policy=lambda: Wants(gear, 500.0)))
        one = simulated.summary.apps["a"]
        assert (one.submitted, one.completed, one.in_flight) == (10, 10, 0)  # the last ends at 0.98 s
        longer = simulate(replace(plan, mix=replace(mix, duration_s=0.93), make_policy=lambda: Wants(gear, 500.0)))
        one = longer.summary.apps["a"]
        assert (one.submitted, one.completed, one.in_flight) == (10, 9, 1)


class TestSameSeed:
    def test_another_process_with_other_hashes_gives_the_same_bytes(self):
        code = "import test_simulation as one; print(one.digest())"
        environment = {**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{TESTS}", "PYTHONHASHSEED": "77"}
        other = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=TESTS.parent, env=environment, check=True
        )
        assert other.stdout.strip() == digest()

    def test_another_seed_gives_others(self):
        assert run(seed=1).summary.to_json() != run(seed=2).summary.to_json()

    def test_arrivals_are_the_same_under_every_policy(self):
        joint, floor = run(policy="joint"), run(policy="floor+schedutil")
        for name in ("a", "b", "late"):
            assert joint.arrivals_s[name].tolist() == floor.arrivals_s[name].tolist()


class TestGovernorsThatSample:
    """On an emulated board governors hear of tasks, unless the simulation is to be like a real run there."""

    LATE = Mix("late", duration_s=2, apps=[app("a", Periodic(hz=10))])

    def clocks(self, dvfs: str, *, governors_sample: bool) -> dict[str, float]:
        board = replace(BOARD, units=tuple(replace(unit, dvfs=dvfs) for unit in BOARD.units))
        plan = plan_simulation(self.LATE, board, policy="floor+schedutil", profiles=PROFILES, costs=Costs.none())
        summary = simulate(replace(plan, governors_sample=governors_sample)).summary
        return {name: unit.mean_mhz for name, unit in summary.units.items()}

    def test_unless_asked_to_an_emulated_board_is_as_one_with_clocks_of_its_own(self):
        assert self.clocks("emulated", governors_sample=False) == self.clocks("cpufreq", governors_sample=False)

    def test_those_of_an_emulated_board_can_be_made_to_sample_and_others_not(self):
        told = self.clocks("cpufreq", governors_sample=False)
        assert self.clocks("cpufreq", governors_sample=True) == told
        sampled = self.clocks("emulated", governors_sample=True)
        # Without util_est, what a task needed before it slept is half forgotten when it is back: the clock is lower.
        assert sum(sampled.values()) < sum(told.values())


class Wants:
    """A policy that wants one gear for every application."""

    def __init__(self, gear: Gear, mhz: float = 500.0) -> None:
        self.gear = gear
        self.mhz = mhz

    def decide(self, snapshot) -> Plan:
        return Plan(
            gears={view.app: self.gear for view in snapshot.apps},
            clocks={unit.name: self.mhz for unit in snapshot.units},
        )


class Raises:
    """A policy that fails at its second decision."""

    def __init__(self) -> None:
        self.decided = 0

    def decide(self, snapshot) -> Plan:
        self.decided += 1
        if self.decided > 1:
            raise ZeroDivisionError("a bug of mine")
        return Wants(Gear(subnet="s", unit="big", cores=1)).decide(snapshot)


class NamesAnother(Wants):
    def decide(self, snapshot) -> Plan:
        plan = super().decide(snapshot)
        return replace(plan, gears={**plan.gears, "nobody": self.gear})


SMALL = Gear(subnet="s", unit="big", cores=1)


class TestAPolicyAtFault:
    @pytest.mark.parametrize(
        ("policy", "fault"),
        [
            (Raises, r"'joint' failed at 0\.5 s: .*a bug of mine"),
            (lambda: NamesAnother(SMALL), r"'joint' failed at 0 s: .*nobody"),
            (lambda: Wants(replace(SMALL, cores=3)), r"'joint' failed at 0 s: .*cores"),
            (lambda: Wants(replace(SMALL, unit="npu")), r"'joint' failed at 0 s: .*npu"),
            (lambda: Wants(replace(SMALL, subnet="xl")), r"'joint' failed at 0 s: .*xl"),
            (lambda: Wants(SMALL, 777.0), r"'joint' failed at 0 s: .*777"),
        ],
    )
    def test_it_is_named_with_the_time_and_the_fault(self, policy, fault):
        plan = plan_simulation(MIX, RICH, profiles=PROFILES)
        with pytest.raises(SimulationError, match=fault):
            simulate(replace(plan, make_policy=policy))

    def test_more_cores_than_are_online_now_are_its_fault_too(self):
        mix = Mix("m", duration_s=1, apps=[app("a")], events=[at(0.5, unit="big", cores=1)])
        plan = plan_simulation(mix, BOARD, profiles=PROFILES)
        with pytest.raises(SimulationError, match=r"failed at 0\.5 s: .*2 cores; 'big' has 1"):
            simulate(replace(plan, make_policy=lambda: Wants(replace(SMALL, cores=2))))


class TestBadInput:
    @pytest.mark.parametrize(
        ("facts", "fault"),
        [
            ({"seed": -1}, "seed"),
            ({"epoch_ms": 0.5}, "epoch_ms"),
            ({"policy": "jiont"}, "jiont.*Did you mean"),
            ({"profiles": {}}, "app 'a': no profile of supernet 'net'"),
        ],
    )
    def test_it_is_found_before_anything_runs(self, facts, fault):
        with pytest.raises(ValueError, match=fault):
            plan_simulation(MIX, RICH, **{"profiles": PROFILES, **facts})

    def test_times_of_another_machine_do_not_fit_the_board(self):
        other = {"net": replace(PROFILE, speed_of="xavier")}
        with pytest.raises(MixError, match=r"'xavier'.*relative to 'host'"):
            plan_simulation(MIX, RICH, profiles=other)


def test_the_run_directory_is_read_and_reported(tmp_path):
    plan = plan_simulation(MIX, RICH, profiles=PROFILES)
    simulated = simulate(plan)
    write_simulated(plan, simulated, tmp_path / "run")
    read = read_run(tmp_path / "run")
    assert read.summary.to_json() == simulated.summary.to_json()
    for name, records in simulated.records.items():
        assert read.records[name].tobytes() == records.tobytes()
    page = write_report(tmp_path / "run").read_text(encoding="utf-8")
    assert "three" in page
    assert all(name in page for name in simulated.summary.apps)


def test_without_its_log_a_simulation_comes_to_the_same():
    plan = plan_simulation(MIX, RICH, profiles=PROFILES)
    quiet = simulate(plan, log=False)
    assert quiet.entries == []
    assert quiet.summary == simulate(plan).summary
