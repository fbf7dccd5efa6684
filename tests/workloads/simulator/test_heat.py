"""Simulated heat follows its closed form and the kernel's step-wise rule, and a hot board is slowed."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from helpers.fake_world import BOARD, PROFILE
from scheduler.board import Board
from scheduler.thermal import Thermal
from scheduler.views import Gear, Plan
from workloads import App, Mix, Periodic, at
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Costs, Simulated, simulate
from workloads.simulator.agenda import Agenda
from workloads.simulator.board import SimulatedBoard
from workloads.simulator.heat import Heat

THERMAL = Thermal(c_per_w=10.0, tau_s=4.0, trip_c=60.0, polling_ms=500.0)
BIG = BOARD.unit("big")


class TestTemperature:
    @pytest.mark.parametrize("steps", [1, 100])
    def test_at_constant_power_it_nears_its_end_exponentially(self, steps):
        heat = Heat(BIG, THERMAL, 25.0)
        for _ in range(steps):
            heat.pass_time(6.0 / steps, 3.0)
        assert heat.temp_c == pytest.approx(25.0 + 30.0 * (1 - math.exp(-6.0 / 4.0)))

    def test_it_cools_to_the_new_ambient(self):
        heat = Heat(BIG, THERMAL, 25.0)
        heat.pass_time(1000.0, 3.0)
        heat.ambient_c = 5.0
        heat.pass_time(4.0, 0.0)
        assert heat.temp_c == pytest.approx(5.0 + 50.0 / math.e)

    def test_leakage_is_the_stated_share_per_degree_about_the_reference(self):
        heat = Heat(BIG, replace(THERMAL, static_per_c=0.01, reference_c=45.0), 65.0)
        assert heat.leakage() == pytest.approx(0.2)
        heat.pass_time(1e9, -500.0)  # as cold as never
        assert heat.leakage() == -1.0


class TestTheStepWiseGovernor:
    def test_one_step_down_for_each_look_at_a_rising_temperature_above_the_trip_and_one_up_when_it_falls_below(self):
        heat = Heat(BIG, THERMAL, 25.0)
        looks = [
            (59.0, None),  # rising, below the trip
            (60.0, 1000.0),  # there, rising
            (62.0, 500.0),
            (63.0, 500.0),  # there is no lower clock
            (61.0, 500.0),  # falling, but above
            (61.0, 500.0),
            (59.0, 1000.0),  # below, falling
            (59.5, 1000.0),  # below, rising
            (59.0, None),
            (58.0, None),
            (70.0, 1000.0),
        ]
        for temp_c, allowed_mhz in looks:
            heat.temp_c = temp_c
            assert heat.poll() == allowed_mhz


def hot_board(**thermal: float) -> Board:
    return replace(BOARD, units=(replace(BIG, thermal=replace(THERMAL, **thermal)), *BOARD.units[1:]))


class TestABoardThatGetsHot:
    def test_power_heats_a_unit_as_the_closed_form_says(self):
        agenda = Agenda(0.0)
        board = SimulatedBoard(hot_board(trip_c=1e9), agenda)
        board.units["big"].set_clock(2000.0, None)
        agenda.run(3.0)
        (big, *others) = board.telemetry()
        assert big.temp_c == pytest.approx(25.0 + 0.4 * 10.0 * (1 - math.exp(-3.0 / 4.0)))
        assert [unit.temp_c for unit in others] == [None, None]

    def test_leakage_is_priced_to_the_moment(self):
        agenda = Agenda(0.0)
        # No resistance: always at the ambient 65 degrees, 20 above the reference.
        board = SimulatedBoard(replace(hot_board(c_per_w=0.0, static_per_c=0.01, trip_c=1e9), ambient_c=65.0), agenda)
        agenda.run(1.234)
        assert board.leaked_j("big") == pytest.approx(0.2 * 0.1 * 1.234)
        assert board.telemetry()[0].power_w == pytest.approx(0.12)
        assert board.leaked_j("little") == 0.0

    def test_a_unit_without_power_figures_stays_as_it_is(self):
        agenda = Agenda(0.0)
        unknown = replace(hot_board().units[0], static_w=None, dynamic_w=None)
        board = SimulatedBoard(replace(BOARD, units=(unknown,)), agenda)
        agenda.run(5.0)
        assert board.telemetry()[0].temp_c is None


class Top:
    """Everything in the largest network on `big`, at the highest clock that is allowed."""

    def __init__(self) -> None:
        self.allowed: list[tuple[float, float]] = []

    def decide(self, snapshot):
        self.allowed.append((snapshot.now_s, snapshot.units[0].mhz_allowed[-1]))
        return Plan(
            gears={view.app: Gear(subnet="l", unit="big", cores=1) for view in snapshot.apps},
            clocks={unit.name: unit.mhz_allowed[-1] for unit in snapshot.units},
        )


def run_hot() -> tuple[Simulated, Top]:
    mix = Mix(
        "hot",
        duration_s=60.0,
        apps=[App("a", "net", Periodic(hz=20), latency_ms=200)],
        events=[at(20, ambient_c=75.0), at(40, ambient_c=10.0)],
    )
    plan = plan_simulation(mix, hot_board(), profiles={"net": PROFILE}, costs=Costs.none())
    policy = Top()
    return simulate(replace(plan, make_policy=lambda: policy)), policy


def test_a_hot_board_is_held_down_the_manager_is_told_and_it_recovers():
    simulated, policy = run_hot()
    texts = [(entry["now_s"], entry["text"]) for entry in simulated.entries if entry["kind"] == "event"]
    hot = [now_s for now_s, text in texts if text.startswith("big held at ")]
    cool = [now_s for now_s, text in texts if text == "big no longer held at 1000 MHz"]
    assert hot
    assert 20 < hot[0] < 30
    assert 40 < cool[-1] < 55
    reasons = [text for entry in simulated.entries if entry["kind"] == "plan" for text in entry["why"]]
    assert any(re.fullmatch(r"big held at 500 MHz by modelled heat, \d+ °C", text) for text in reasons)
    # What the policy may choose follows, and so do the service times.
    assert min(mhz for now_s, mhz in policy.allowed if hot[0] < now_s < 40) == 500.0
    assert policy.allowed[-1][1] == 2000.0
    records = simulated.records["a"]
    for from_s, to_s, service_ms in ((5, 19, 20.0), (32, 39, 80.0), (56, 59, 20.0)):
        within = (records["start_s"] > from_s) & (records["end_s"] < to_s)
        assert records["service_ms"][within] == pytest.approx(service_ms, rel=1e-6)


def test_what_a_hot_board_leaks_is_part_of_its_energy_and_not_of_its_residency():
    mix = Mix("m", duration_s=1.25, apps=[App("a", "net", Periodic(hz=20), latency_ms=200)])
    board = replace(hot_board(c_per_w=0.0, static_per_c=0.01), ambient_c=55.0)
    plan = plan_simulation(mix, board, profiles={"net": PROFILE}, costs=Costs.none(), policy="largest+powersave")
    simulated = simulate(plan)
    stated_j = sum(simulated.residency[unit.name].energy_j(unit) for unit in board.units)
    assert simulated.summary.energy.units_j == pytest.approx(stated_j + 0.1 * 0.1 * 1.25)
