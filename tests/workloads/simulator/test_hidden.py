"""Noise and slowdowns reach requests and reports of a simulated run, and the manager finds out by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actors.requests.draws import Draws
from actors.requests.records import Status
from helpers.fake_world import BOARD, PROFILE
from helpers.scripted import Scripted
from scheduler.manager import Manager
from scheduler.messages import Event, HiddenEvent, Telemetry
from scheduler.views import Gear
from workloads import App, Mix, Periodic, at
from workloads.results.run_dir import read_run
from workloads.runs.simulated import plan_simulation, write_simulated
from workloads.simulator import Costs, Simulated, simulate

SMALL = Gear(subnet="s", unit="big", cores=1)  # 4 ms at the top clock
LARGE = Gear(subnet="l", unit="big", cores=1)  # 20 ms
ON_GPU = Gear(subnet="l", unit="gpu", cores=1)  # 5 ms
TOP = {unit.name: 2000.0 for unit in BOARD.units}
SLOWED = [at(1.0, unit="big", slowdown=1.5), at(2.0, unit="big", slowdown=None)]


def plan(*, apps=None, events=(), noise=0.0, duration_s=3.0, board=BOARD, costs=None, seed=0):
    apps = apps or [App("a", "net", Periodic(hz=20), latency_ms=200)]
    mix = Mix("m", apps=apps, events=events, duration_s=duration_s, noise=noise)
    return plan_simulation(mix, board, profiles={"net": PROFILE}, costs=costs or Costs.none(), seed=seed)


def run(gear: Gear, **facts) -> Simulated:
    made = plan(**facts)
    policy = Scripted({presence.app.name: gear for presence in made.mix.all_apps()}, clocks=TOP)
    return simulate(replace(made, make_policy=lambda: policy))


def service_ms(simulated: Simulated) -> np.ndarray:
    return simulated.records["a"]["service_ms"]


@pytest.mark.parametrize(("gear", "unit", "plain_ms"), [(LARGE, "big", 20.0), (ON_GPU, "gpu", 5.0)])
def test_a_unit_that_is_slowed_down_takes_so_many_times_as_long_until_that_ends(gear, unit, plain_ms):
    slowed = run(gear, events=[at(1.0, unit=unit, slowdown=1.5), at(2.0, unit=unit, slowdown=None)])
    arrival_s = slowed.records["a"]["arrival_s"]
    within = (arrival_s >= 1.0) & (arrival_s < 2.0)
    assert service_ms(slowed)[within] == pytest.approx(1.5 * plain_ms)
    assert service_ms(slowed)[~within] == pytest.approx(plain_ms)
    assert slowed.summary.units[unit].busy > run(gear).summary.units[unit].busy


def test_another_unit_is_not_slowed_down():
    assert service_ms(run(LARGE, events=[at(1.0, unit="little", slowdown=5)])) == pytest.approx(20.0)


def test_it_acts_in_the_middle_of_a_request():
    # The request of 1.0 s has done half of its 20 ms when it begins.
    slowed = run(LARGE, events=[at(1.01, unit="big", slowdown=3)])
    (one,) = service_ms(slowed)[slowed.records["a"]["arrival_s"] == 1.0]
    assert one == pytest.approx(10 + 3 * 10)


def test_every_policy_meets_the_same_noise():
    small, large = (service_ms(run(gear, noise=0.3, seed=5)) for gear in (SMALL, LARGE))
    factors = [Draws(5, "a", 0.3).factor(index) for index in range(60)]
    assert small / 4.0 == pytest.approx(factors)
    assert large / 20.0 == pytest.approx(factors)
    assert run(LARGE, noise=0.3, seed=6).records["a"]["service_ms"].tolist() != large.tolist()


def test_noise_has_the_spread_that_the_mix_asks_for_and_leaves_the_mean():
    apps = [App("a", "net", Periodic(hz=20), latency_ms=200)]
    took_ms = service_ms(run(LARGE, noise=0.1, apps=apps, duration_s=150.0))
    assert len(took_ms) == 3000
    assert took_ms.mean() == pytest.approx(20.0, rel=0.01)
    assert took_ms.std() / took_ms.mean() == pytest.approx(0.1, rel=0.06)


class Told(Manager):
    """The real manager, with what it was told."""

    journal: list[tuple[float, object]]

    def on(self, message, now_s):
        self.journal.append((now_s, message))
        return super().on(message, now_s)


def test_the_manager_is_told_of_neither_and_the_user_of_the_slowdown(monkeypatch, tmp_path):
    Told.journal = []
    monkeypatch.setattr("workloads.simulator.simulation.Manager", Told)
    made = plan(events=[*SLOWED, at(1.5, "a", latency_ms=150)], noise=0.1)
    simulated = simulate(replace(made, make_policy=lambda: Scripted({"a": LARGE}, clocks=TOP)))
    assert not [message for _, message in Told.journal if isinstance(message, HiddenEvent)]
    assert [now_s for now_s, message in Told.journal if isinstance(message, Event)] == [1.5]
    # What it is told are the reports of requests.
    ratios = {
        now_s: report.service_ratio
        for now_s, message in Told.journal
        if isinstance(message, Telemetry)
        for report in message.apps
        if report.service_ratio is not None
    }
    slow = [ratio for now_s, ratio in ratios.items() if 1.2 < now_s < 2.0]
    plain = [ratio for now_s, ratio in ratios.items() if now_s < 1.0]
    assert np.mean(slow) / np.mean(plain) == pytest.approx(1.5, abs=0.1)
    assert [(entry["now_s"], entry["text"]) for entry in simulated.entries if entry["kind"] == "event"] == [
        (1.0, "big: requests take 1.5 times as long (the manager is not told)"),
        (1.5, "a: latency_ms 150"),
        (2.0, "big: requests take no longer than they should (the manager is not told)"),
    ]
    write_simulated(made, simulated, tmp_path / "out")
    said = [(event.now_s, event.text) for event in read_run(tmp_path / "out").events]
    assert said[0] == (1.0, "big: requests take 1.5 times as long (the manager is not told)")


@pytest.mark.parametrize(("hz", "noise"), [(1.0, 0.0), (10.0, 0.0), (10.0, 0.05), (30.0, 0.05)])
def test_joint_learns_a_slowdown_from_reports_and_its_end(hz, noise):
    """Two cores at 500 MHz take 40 ms of 50; slowed down they take 60, and at 1000 MHz 30."""
    lone = replace(BOARD, units=BOARD.units[:1])
    apps = [App("a", "net", Periodic(hz=hz), latency_ms=50, min_accuracy=0.8)]
    events = [at(10, unit="big", slowdown=1.5), at(20, unit="big", slowdown=1)]
    made = plan(apps=apps, events=events, noise=noise, board=lone, duration_s=40.0, costs=Costs())
    simulated = simulate(made)
    records = simulated.records["a"]
    assert (records["status"] == Status.COMPLETED).all()
    on_time = (records["end_s"] - records["arrival_s"]) * 1000 <= records["target_ms"]
    # It is enough to see five epochs or five requests, whichever takes longer.
    learned_s = 10 + max(0.5, 5 / hz)
    there = (records["arrival_s"] > learned_s) & (records["arrival_s"] < 20)
    assert on_time[there].mean() >= (0.95 if noise else 1.0)
    # Some 5 s after its end it is forgotten: what requests take is again what they took before.
    before, after = (records["arrival_s"] > 5) & (records["arrival_s"] < 10), records["arrival_s"] > 30
    assert records["service_ms"][after].mean() == pytest.approx(records["service_ms"][before].mean(), rel=0.1)


def test_a_slowdown_that_leaves_no_core_to_spare_ends_with_late_requests_and_no_error():
    simulated = run(LARGE, events=[at(1.0, unit="big", slowdown=1000)])
    app = simulated.summary.apps["a"]
    assert app.submitted == app.completed + app.dropped + app.failed + app.in_flight
    assert app.completed < 30
