"""The energy-aware policy places by the kernel's formulas, worked out by hand.

Of the snapshots' board: a core of little has half the capacity of one of big. Dynamic power is 0.4 W at 1000 MHz and
2 W at 2000 MHz on big, 0.05 W at 500 MHz and 0.2 W at 1000 MHz on little. A core utilised to a share u of its capacity
asks for 1.25 · u of the top clock, and at a share c of that clock takes u / c of the power there. Utilisations are
those of `tracked`, which goes through time step by step.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.snapshots import BIG, LITTLE, gear, make_points, make_snapshot, make_view
from scheduler.policies import Floor, make_policy, place, place_by_energy
from scheduler.policies.energy_aware import estimated_utilisation


def tracked(rate_hz: float, work_ms: float) -> float:
    """Utilisation when a run ends, by the kernel's recurrence over periods of 1024 · 1024 ns, a twentieth at a time."""
    step_ms, util = 1.048576 / 20, 0.0
    y = 0.5 ** (1 / 32 / 20)
    run, cycle = round(work_ms / step_ms), round(1000 / rate_hz / step_ms)
    for _ in range(10):
        for step in range(cycle):
            util = util * y + (1 - y) * (step >= cycle - run)
    return util


def units_of(plan):
    return {app: gear.unit for app, gear in plan.gears.items()}


def mediums(*rates_hz: float):
    return [make_view(app, min_accuracy=0.7, rate_hz=rate) for app, rate in zip("abcd", rates_hz, strict=False)]


def decide(views, **changes):
    snapshot = make_snapshot(*views, **changes)
    return place_by_energy(snapshot, {view.app: "medium" for view in views})


def test_utilisation_is_that_of_the_end_of_a_run():
    """Medium is 20 ms of work on big: at 5 Hz .344, though its mean is .1."""
    assert tracked(5.0, 20.0) == pytest.approx(0.344, abs=1e-3)
    for rate_hz, work_ms in ((5.0, 20.0), (12.0, 20.0), (25.0, 11.5), (15.0, 40.0)):
        assert estimated_utilisation(rate_hz, work_ms) == pytest.approx(tracked(rate_hz, work_ms), abs=2e-3)
    assert estimated_utilisation(0.0, 20.0) == pytest.approx(tracked(1.0, 20.0), abs=2e-3)


def test_a_light_app_goes_to_the_efficient_unit():
    """At 5 Hz medium is .344 of big: 0.4 · 2 · .344 = 275 mW at 1000 MHz. Of little it is .688: 0.2 · .688 = 138 mW."""
    assert units_of(decide(mediums(5.0))) == {"a": "little"}
    assert units_of(place(make_snapshot(*mediums(5.0)), {"a": "medium"})) == {"a": "big"}


def test_who_would_over_utilise_a_core_goes_elsewhere():
    """At 10 Hz medium is .775 of a core of little: two have one each, and there is no room for a third."""
    assert units_of(decide(mediums(10.0, 10.0, 10.0))) == {"a": "little", "b": "little", "c": "big"}


def test_a_clock_that_would_rise_for_all_counts():
    """At 5 Hz small is .3795 of little, at 500 MHz: a and b take 0.05 · 2 · .759 = 76 mW.

    With c at 1 Hz, .3734, one core has .753 and asks for 941 MHz; at 1000 MHz all take 0.2 · 1.1324 = 226 mW, 150.6
    more. On big c is .1867, at 1000 MHz 0.4 · 2 · .1867 = 149.4 mW.
    """
    views = [make_view("a"), make_view("b"), make_view("c", rate_hz=1.0)]
    subnets = dict.fromkeys("abc", "small")
    assert units_of(place_by_energy(make_snapshot(*views), subnets)) == {"a": "little", "b": "little", "c": "big"}
    # Were big's 1000 MHz to take 0.44 W, it would be 164 mW there, and c would join the others.
    dear = replace(BIG, dynamic_w=(0.44, 2.0))
    assert units_of(place_by_energy(make_snapshot(*views, units=(dear, LITTLE)), subnets)) == dict.fromkeys(
        "abc", "little"
    )


def test_a_fifth_of_a_core_is_left_free():
    """Medium is .8 of a core of little at (1 - 2^(-20 / h)) / (1 - 2^(-T / h)) = .4: T = 90.6 ms, 11.04 Hz."""
    assert units_of(decide(mediums(11.0))) == {"a": "little"}
    assert units_of(decide(mediums(11.1))) == {"a": "big"}


def test_over_utilised_it_spreads_as_ever():
    """Large at 15 Hz is .752 of a core of big and too much for one of little: there is room for two."""
    views = [make_view(app, min_accuracy=0.8, rate_hz=15.0) for app in "abc"]
    subnets = dict.fromkeys("abc", "large")
    two, three = make_snapshot(*views[:2]), make_snapshot(*views)
    assert units_of(place_by_energy(two, subnets)) == dict.fromkeys("ab", "big")
    with_light = make_snapshot(*views, make_view("d"))
    subnets["d"] = "small"
    assert place_by_energy(with_light, subnets) == place(with_light, subnets)
    assert units_of(place_by_energy(with_light, subnets))["d"] == "little"
    assert place_by_energy(three, subnets) == place(three, subnets)


def test_it_knows_no_targets_and_keeps_the_cores():
    """For 9 ms small needs two cores of big, 5.7 ms; the kernel puts both threads on little, where it takes 11.5."""
    snapshot = make_snapshot(make_view(target_ms=9.0))
    assert place(snapshot, {"a": "small"}).gears == {"a": gear("small", "big", 2)}
    assert place_by_energy(snapshot, {"a": "small"}).gears == {"a": gear("small", "little", 2)}


def test_threads_of_one_app_take_a_core_each():
    """Medium on two cores at 25 Hz is .75 of each of little's: for two apps there is no room there."""
    views = [make_view(app, min_accuracy=0.7, target_ms=19.0, rate_hz=25.0) for app in "ab"]
    plan = decide(views)
    assert plan.gears == {"a": gear("medium", "little", 2), "b": gear("medium", "big", 2)}


def test_among_equals_the_present_unit_is_kept():
    twin, dear = replace(BIG, name="twin"), replace(LITTLE, dynamic_w=(1.0, 4.0))
    points = make_points()
    points += tuple(replace(point, unit="twin") for point in points if point.unit == "big")
    for present in ("big", "twin"):
        view = make_view(points=points, gear=gear("small", present))
        snapshot = make_snapshot(view, units=(BIG, twin, dear))
        assert units_of(place_by_energy(snapshot, {"a": "small"})) == {"a": present}


def test_what_runs_on_a_gpu_stays_there():
    gpu = replace(BIG, name="gpu", kind="gpu", cpus_online=(0,))
    fast = tuple(replace(p, unit="gpu", latency_ms=1.0, service_ms=1.0) for p in make_points() if p.unit == "big")
    points = make_points() + tuple(point for point in fast if point.cores == 1)
    views = [make_view("a", points=points), make_view("b")]
    snapshot = make_snapshot(*views, units=(BIG, LITTLE, gpu))
    assert units_of(place_by_energy(snapshot, {"a": "small", "b": "small"})) == {"a": "gpu", "b": "little"}


@pytest.mark.parametrize(
    "units",
    [
        (BIG, replace(LITTLE, capacity=1.0)),
        (BIG, replace(LITTLE, dynamic_w=None)),
        (BIG, replace(LITTLE, capacity=0.9999)),
    ],
)
def test_it_needs_cores_that_differ_and_power_figures(units):
    assert units_of(decide(mediums(5.0), units=units)) == {"a": "big"}


@pytest.mark.parametrize("networks", ["largest", "floor", "ladder", "race"])
def test_only_schedutil_places_by_energy(networks):
    snapshot = make_snapshot(make_view(target_ms=15.0))
    assert units_of(make_policy(f"{networks}+schedutil").decide(snapshot)) == {"a": "little"}
    assert units_of(make_policy(f"{networks}+ondemand").decide(snapshot)) == {"a": "big"}
    assert units_of(make_policy(networks).decide(snapshot)) == {"a": "big"}


def test_networks_are_chosen_as_without_it():
    snapshot = make_snapshot(*mediums(5.0, 12.0))
    placed = make_policy("floor+schedutil").decide(snapshot)
    assert {gear.subnet for gear in placed.gears.values()} == {"medium"}
    assert placed.clocks == {"big": "schedutil", "little": "schedutil"}
    assert Floor(place_by_energy).decide(snapshot).gears == placed.gears
