"""The manager is steady: evidence is shared, a new plan excuses only whom it moves, and a change of gears pays back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.fake_world import EPOCH_S, World, make_world, retarget
from helpers.fake_world import gear as in_gear
from helpers.scripted import Scripted
from helpers.snapshots import BIG, LITTLE, gear, make_snapshot, make_view
from scheduler.messages import Telemetry, Tick
from scheduler.policies import Joint
from scheduler.policies.solving import HORIZON_S, HYSTERESIS, PREPARE_S, change_j
from scheduler.problem import OperatingPoint

# ---------------------------------------------------------------- the manager


def reported(world: World, epochs: int, **by_app: dict[str, object] | None) -> None:
    """Let epochs pass in which applications report so; one that is None does not."""
    for _ in range(epochs):
        world.now_s += EPOCH_S
        reports = tuple(world.report(app, **changes) for app, changes in by_app.items() if changes is not None)
        world.manager.on(Telemetry(apps=reports, units=(), power_w=None), world.now_s)
        world.manager.on(Tick(epoch=0), world.now_s)


def settled(**gears: object) -> tuple[World, Scripted]:
    policy = Scripted(dict(gears))
    world = make_world(policy, tuple(gears))
    world.run(2.0)
    return world, policy


def test_an_application_without_requests_is_planned_by_what_another_met_on_its_unit() -> None:
    world, policy = settled(a=in_gear("s"), b=in_gear("s"), c=in_gear("s", "little"))
    before = {view.app: min(p.latency_ms for p in view.points if p.unit == "big") for view in policy.snapshots[-1].apps}
    slow = {"service_ratio": 1.5, "latencies_ms": (15.0,)}
    reported(world, 5, a=slow, b=None, c=None)
    views = {view.app: view for view in policy.snapshots[-1].apps}
    for app in "abc":
        # So would the third be that runs elsewhere.
        now = min(point.latency_ms for point in views[app].points if point.unit == "big")
        assert now == pytest.approx(1.5 * before[app], rel=0.1)
    slowdowns = {unit.name: unit.slowdown for unit in policy.snapshots[-1].units}
    assert (slowdowns["little"], slowdowns["gpu"]) == (1.0, 1.0)


def test_one_slow_report_is_not_decided_on_and_neither_is_one_between_two_gears() -> None:
    world, policy = settled(a=in_gear("s"))
    decisions = len(policy.snapshots)
    reported(world, 1, a={"service_ratio": 9.0})
    reported(world, 10, a={"service_ratio": 1.0})
    assert len(policy.snapshots) == decisions
    # Requests before a change of gear ran on another unit.
    for unit in ("little", "big") * 5:
        reported(world, 1, a={"service_ratio": 9.0, "gear": in_gear("s", unit)})
    assert len(policy.snapshots) == decisions


@pytest.mark.parametrize(("moved", "learns"), [("a", True), ("b", False)])
def test_a_new_plan_excuses_only_whom_it_moves(moved: str, learns: bool) -> None:
    world, policy = settled(a=in_gear("s"), b=in_gear("s"))
    policy.gears[moved] = in_gear("m")
    world.send(retarget(moved, target_ms=90.0))
    # `b` is late from here on.
    reported(world, 9, a=None, b={"finished": 3, "on_time": 0, "latencies_ms": (500.0,) * 3})
    learned = {view.app: view.margin for view in policy.snapshots[-1].apps}
    assert learned["a"] == 0.0
    assert (learned["b"] > 0) is learns


def test_a_unit_found_slower_excuses_those_on_it() -> None:
    world, policy = settled(a=in_gear("s"), b=in_gear("s"))
    late = {"finished": 3, "on_time": 0, "latencies_ms": (500.0,) * 3, "service_ratio": 1.5}
    reported(world, 3, a={**late, "on_time": 3}, b=None)
    assert {unit.name: unit.slowdown > 1.3 for unit in policy.snapshots[-1].units}["big"]
    reported(world, 9, a=late, b=late)
    assert [view.margin for view in policy.snapshots[-1].apps] == [0.0, 0.0]


# ---------------------------------------------------------------- the price of a change


def point(subnet: str, unit: str, energy_mj: float, latency_ms: float = 50.0, cores: int = 1) -> OperatingPoint:
    mhz = {"big": 1000.0, "little": 500.0}[unit]
    return OperatingPoint(
        subnet=subnet, unit=unit, cores=cores, mhz=mhz, latency_ms=latency_ms, energy_mj=energy_mj, accuracy=0.8
    )


def test_a_change_takes_the_energy_of_the_networks_that_are_made_ready() -> None:
    assert LITTLE.least_edp_mhz == 1000.0
    network_j = PREPARE_S * (0.2 + 0.05 - 0.02)
    views = [
        make_view("same", gear=gear("small", "big")),
        make_view("moves", gear=gear("small", "big")),
        make_view("threads", gear=gear("small", "big", 1)),
        make_view("other", gear=gear("small", "big")),
        make_view("new", gear=None),
    ]
    gears = {
        "same": gear("small", "big"),
        "moves": gear("small", "little"),
        "threads": gear("small", "big", 2),
        "other": gear("large", "big"),
        "new": gear("large", "big"),
    }
    assert change_j(make_snapshot(*views), gears) == pytest.approx(2 * network_j)
    unknown = make_snapshot(*views, units=tuple(replace(one, static_w=None, dynamic_w=None) for one in (BIG, LITTLE)))
    assert change_j(unknown, gears) == 0.0


@pytest.mark.parametrize("pays", [False, True])
def test_a_change_must_pay_back_within_the_horizon(pays: bool) -> None:
    """At rest the units take 120 mW, so 2 % are 2.4 mW or more; a network takes 23 mJ, 2.3 mW over ten seconds.

    Three networks take 6.9 mW, which is the greater of the two.
    """
    least_mw = 3 * PREPARE_S * (0.2 + 0.05 - 0.02) * 1000 / HORIZON_S
    saved_mj = least_mw / 3 / 5 * (1.05 if pays else 0.95)
    views = [
        make_view(
            app, points=(point("x", "little", 1.0), point("y", "little", 1.0 + saved_mj)), gear=gear("y", "little")
        )
        for app in "abc"
    ]
    snapshot = make_snapshot(*views, units=(BIG, replace(LITTLE, cpus_online=(2, 3, 4, 5))))
    assert least_mw > HYSTERESIS * 1000 * (0.12 + 0.015 + 3 * 5 * saved_mj / 1000)
    assert {one.subnet for one in Joint().decide(snapshot).gears.values()} == {"x" if pays else "y"}


def test_a_change_that_mends_a_target_is_never_withheld() -> None:
    late = point("y", "little", 1.0, latency_ms=101.0)
    in_time = point("x", "little", 50.0, latency_ms=99.0)
    view = make_view(points=(late, in_time), gear=gear("y", "little"))
    assert Joint(hysteresis=1.0).decide(make_snapshot(view)).gears["a"].subnet == "x"
