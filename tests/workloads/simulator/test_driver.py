"""The manager's driver sends messages at the right virtual times, counts the manager's cost and delivers events."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from helpers.fake_world import BOARD, PROFILE
from helpers.switching_world import SWITCHING_BOARD
from scheduler.board import BoardUnit
from scheduler.views import Gear, Plan
from workloads import App, Mix, Periodic, at
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Costs, Simulated, simulate

FREE = Costs.none()
SMALL = Gear(subnet="s", unit="big", cores=1)
LARGE = Gear(subnet="l", unit="big", cores=1)
LITTLE = Gear(subnet="l", unit="little", cores=1)
TOP = {"big": 2000.0, "little": 500.0, "gpu": 500.0}


class Script:
    """A policy that wants each gear from a certain time on, with all clocks fixed."""

    solves = True

    def __init__(self, *gears: tuple[float, Gear], clocks=TOP) -> None:
        self.gears = gears
        self.clocks = clocks
        self.snapshots = []

    def decide(self, snapshot) -> Plan:
        self.snapshots.append(snapshot)
        gear = [gear for from_s, gear in self.gears if from_s <= snapshot.now_s + 1e-9][-1]
        return Plan(gears={view.app: gear for view in snapshot.apps}, clocks=self.clocks)


def app(name: str = "a", hz: float = 20, **facts) -> App:
    return App(name, "net", Periodic(hz=hz), **{"latency_ms": 200, **facts})


def run(policy, *, apps=None, events=(), costs=FREE, duration_s=3.0, board=BOARD, epoch_ms=100.0) -> Simulated:
    mix = Mix("m", apps=apps or [app()], events=events, duration_s=duration_s)
    plan = plan_simulation(mix, board, profiles={"net": PROFILE}, costs=costs, epoch_ms=epoch_ms)
    return simulate(replace(plan, make_policy=lambda: policy))


def logged(simulated: Simulated, kind: str) -> list[dict]:
    return [entry for entry in simulated.entries if entry["kind"] == kind]


def changed_s(simulated: Simulated, app: str, subnet: str) -> float:
    """When an app had its first gear of that sub-network."""
    return next(
        entry["now_s"]
        for entry in logged(simulated, "gear")
        if entry["app"] == app and entry["to"] and entry["to"][0] == subnet
    )


# A retarget wakes the policy at 1 s: a decision is made when something changed.
AT_ONE = at(1.0, "a", latency_ms=190)


class TestManagingForNothing:
    def test_a_new_gear_is_in_force_at_the_epoch_that_decides_on_it(self):
        simulated = run(Script((-9, SMALL), (1.0, LARGE)), events=[AT_ONE])
        records = simulated.records["a"]
        assert changed_s(simulated, "a", "l") == pytest.approx(1.0, abs=1e-6)
        assert [PROFILE.rungs[subnet].subnet for subnet in records["subnet"]] == ["s"] * 20 + ["l"] * 40

    def test_the_first_gears_are_in_force_before_the_first_request(self):
        simulated = run(Script((-9, LARGE)))
        assert changed_s(simulated, "a", "l") < 0
        assert simulated.summary.apps["a"].completed == 60

    def test_an_event_at_the_moment_of_a_tick_is_known_to_that_tick(self):
        policy = Script((-9, SMALL))
        run(policy, events=[AT_ONE])
        at_one = [snapshot for snapshot in policy.snapshots if snapshot.now_s == pytest.approx(1.0)]
        assert [snapshot.apps[0].target_ms for snapshot in at_one[-1:]] == [190.0]

    def test_epochs_do_not_drift(self):
        simulated = run(Script((-9, SMALL)), duration_s=30.0, epoch_ms=7.0)
        epochs = [entry["now_s"] for entry in logged(simulated, "epoch")]
        assert epochs == pytest.approx([-1 + 0.007 * number for number in range(len(epochs))], abs=1e-9)
        assert len(epochs) == simulated.summary.manager.epochs

    def test_it_takes_no_energy(self):
        assert run(Script((-9, SMALL))).managing_j == 0.0


class TestCosts:
    def test_what_is_sent_waits_for_the_decision_and_the_call_and_a_clock_for_its_transition_too(self):
        slow = replace(BOARD, units=tuple(replace(unit, transition_us=7000.0) for unit in BOARD.units))
        costs = replace(FREE, decisions_ms=((1, 40.0),), call_ms=3.0, on_board=False)
        simulated = run(Script((-9, SMALL), clocks={**TOP, "big": 1000.0}), costs=costs, board=slow)
        # Decided at -1 s, sent 40 ms later; there and back to prepare the network, there and back for the clock.
        clocks = [entry for entry in logged(simulated, "clock") if entry["unit"] == "big"]
        assert [entry["now_s"] for entry in clocks] == [pytest.approx(-1 + 0.040 + 0.006 + 0.006 + 0.007, abs=1e-6)]

    def test_a_network_is_made_ready_once_for_all_cpu_units(self):
        costs = replace(FREE, prepare_ms=200.0, on_board=False)
        policy = Script((-9, SMALL), (1.0, LARGE), (2.0, SMALL), (3.0, LITTLE))
        events = [at(s, "a", latency_ms=200 - s) for s in (1.0, 2.0, 3.0)]
        simulated = run(policy, events=events, costs=costs, duration_s=4.0)
        changes = [(entry["to"][:2], entry["now_s"]) for entry in logged(simulated, "gear") if entry["to"]]
        assert [to for to, _ in changes] == [["s", "big"], ["l", "big"], ["s", "big"], ["l", "little"]]
        assert [now_s for _, now_s in changes] == pytest.approx([-0.8, 1.2, 2.0, 3.0], abs=1e-6)

    def test_a_network_that_is_still_being_made_ready_is_waited_for(self):
        costs = replace(FREE, prepare_ms=500.0, on_board=False)
        policy = Script((-9, SMALL), (1.0, LARGE), (1.2, SMALL), (1.3, LARGE))
        events = [at(s, "a", latency_ms=200 - s) for s in (1.0, 1.2, 1.3)]
        simulated = run(policy, events=events, costs=costs)
        assert changed_s(simulated, "a", "l") == pytest.approx(1.5, abs=1e-6)

    def test_a_network_is_made_ready_at_a_high_clock_of_the_unit_that_manages(self):
        costs = replace(FREE, prepare_ms=100.0)
        simulated = run(Script((-9, SMALL)), costs=costs)
        # It is `little`, the last of equals. Its power grows as its clock does, so the top clock of 2000 MHz has the
        # least product of energy and time.
        assert changed_s(simulated, "a", "s") == pytest.approx(-0.9, abs=1e-6)
        clocks = [entry["to"] for entry in logged(simulated, "clock") if entry["unit"] == "little"]
        assert clocks == [2000.0, 500.0]

    def test_each_epoch_and_decision_is_charged_to_the_unit_that_takes_least_power(self):
        costs = replace(FREE, epoch_ms=0.1, epoch_app_ms=0.05, decisions_ms=((1, 3.0),))
        free, charged = run(Script((-9, SMALL))), run(Script((-9, SMALL)), costs=costs)
        epochs = sum(0 <= entry["now_s"] < 3 for entry in logged(charged, "epoch"))
        decided = sum(entry["decided"] for entry in logged(charged, "epoch") if 0 <= entry["now_s"] < 3)
        spent_s = 4 * 1e-3 * (0.15 * epochs + 3.0 * decided)  # a quarter of the top clock
        assert charged.residency["little"].managing_s[0] == pytest.approx(spent_s, abs=4 * 1.5e-4 + 1e-9)
        assert charged.managing_j == pytest.approx(0.2 * charged.residency["little"].managing_s[0])
        more_j = charged.summary.energy.units_j - free.summary.energy.units_j
        assert more_j == pytest.approx(charged.managing_j)

    @pytest.mark.parametrize(("apps", "cpu_ms"), [(0, 4.0), (1, 4.0), (2, 4.0), (3, 6.0), (4, 8.0), (8, 16.0)])
    def test_a_decision_is_charged_what_one_of_that_size_takes(self, apps, cpu_ms):
        costs = Costs(decisions_ms=((2, 4.0), (4, 8.0)))
        assert costs.of_decision_ms(apps, solves=True) == pytest.approx(cpu_ms)
        assert costs.faster(4.0).of_decision_ms(apps, solves=True) == pytest.approx(cpu_ms / 4)
        assert costs.of_decision_ms(apps, solves=False) == pytest.approx(costs.rule_app_ms * apps)

    def test_a_faster_board_takes_less_for_everything(self):
        faster = replace(Costs(), on_board=False).faster(4.0)
        assert faster.wake_ms == Costs().wake_ms / 4
        assert faster.prepare_ms == Costs().prepare_ms / 4
        assert not faster.on_board

    def test_another_machine_that_manages_costs_the_board_nothing(self):
        simulated = run(Script((-9, SMALL)), costs=Costs(on_board=False))
        assert simulated.managing_j == 0.0


class TestApps:
    def test_one_that_joins_is_served_from_then_and_one_that_leaves_no_more(self):
        policy = Script((-9, SMALL))
        simulated = run(
            policy, apps=[app(), app("b")], events=[at(1.0, add=app("c")), at(2.0, remove="b")], duration_s=3.0
        )
        present = [(round(one.now_s, 3), {view.app for view in one.apps}) for one in policy.snapshots]
        assert {apps for now_s, apps in map(lambda pair: (pair[0], frozenset(pair[1])), present)} == {
            frozenset("ab"),
            frozenset("abc"),
            frozenset("ac"),
        }
        arrivals_s = simulated.arrivals_s
        assert 1.0 <= arrivals_s["c"].min() < 1.05
        assert 1.95 <= arrivals_s["b"].max() < 2.0
        assert {name: one.completed for name, one in simulated.summary.apps.items()} == {"a": 60, "b": 40, "c": 40}

    def test_a_limit_of_cores_reaches_board_and_manager(self):
        policy = Script((-9, SMALL))
        run(policy, events=[at(1.0, unit="big", cores=1, max_mhz=2000.0), at(2.0, unit="big", cores=None)])
        cores = [(one.now_s >= 1.0) + (one.now_s >= 2.0) for one in policy.snapshots]
        online = [one.units[0].cores_online for one in policy.snapshots]
        assert [[2, 1, 2][phase] for phase in cores] == online
        assert set(cores) == {0, 1, 2}

    def test_other_load_is_busy_time_and_stretches_services(self):
        simulated = run(Script((-9, LARGE)), events=[at(1.0, unit="big", busy=0.5)])
        records = simulated.records["a"]
        after = records["start_s"] > 1.0
        assert records["service_ms"][after] == pytest.approx(40.0, rel=1e-6)
        assert records["service_ms"][records["end_s"] < 1.0] == pytest.approx(20.0, rel=1e-6)


def test_every_gear_is_acknowledged_in_the_order_of_its_plans():
    gears = [SMALL, LARGE] * 5
    steps = [(0.2 * number - (9 if number == 0 else 0), gear) for number, gear in enumerate(gears)]
    events = [at(0.2 * number, "a", latency_ms=200 - number) for number in range(1, 10)]
    simulated = run(Script(*steps), events=events, costs=Costs(call_ms=20.0, prepare_ms=1.0))
    entries = [entry for entry in logged(simulated, "gear") if entry["to"]]
    assert all(before["to"] == after["from"] for before, after in pairwise(entries))
    assert simulated.summary.apps["a"].switches == len(entries) - 1
    assert Counter(entry["app"] for entry in entries) == {"a": 10}


class TestUnitsSwitchedOff:
    @staticmethod
    def simulated(**figures) -> tuple[Simulated, BoardUnit]:
        little = replace(SWITCHING_BOARD.unit("little"), **figures)
        units = tuple(little if unit.name == "little" else unit for unit in SWITCHING_BOARD.units)
        policy = Script((-9, SMALL), (4.0, LITTLE))
        events = [at(4.0, "a", latency_ms=190)]
        return run(policy, events=events, board=replace(SWITCHING_BOARD, units=units), duration_s=6.0), little

    def test_it_goes_and_comes_in_its_time_and_takes_off_w_between(self):
        simulated, little = self.simulated(off_w=0.01, off_ms=30.0, on_ms=50.0)
        off, on = logged(simulated, "switch")
        assert (off["unit"], off["on"], off["took_ms"]) == ("little", False, pytest.approx(30.0))
        assert (on["unit"], on["on"], on["took_ms"]) == ("little", True, pytest.approx(50.0))
        residency = simulated.residency["little"]
        off_s = math.fsum(residency.off_s)
        assert off_s == pytest.approx(on["now_s"] - 0.05 - max(0.0, off["now_s"]))
        assert off_s > 1.5
        # One core works on coming back, at an activity of 1, and the request's core comes on top.
        records = simulated.records["a"][simulated.records["a"]["unit"] == 1]
        served_s = math.fsum(np.maximum(0.0, np.minimum(records["end_s"], 6.0) - records["start_s"]))
        assert math.fsum(residency.active_s) == pytest.approx(served_s + 0.05 + (0.03 if off["now_s"] > 0.03 else 0.0))
        assert residency.energy_j(replace(little, off_w=None)) - residency.energy_j(little) == pytest.approx(
            math.fsum((w - 0.01) * s for w, s in zip(little.static_w, residency.off_s, strict=True))
        )

    def test_where_its_power_is_unknown_it_takes_what_it_takes_idle(self):
        simulated, _ = self.simulated()
        assert [entry["on"] for entry in logged(simulated, "switch")] == [False, True]
        assert set(simulated.residency["little"].off_s) == {0.0}
