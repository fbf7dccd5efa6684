"""Compaction places as scx_lavd does, by examples worked out by hand.

Of the snapshots' board: two CPUs of big have a capacity of 1 each, two of little 0.5. An active CPU serves half of its
capacity: big 0.5 each, little 0.25 each. Medium runs for 40 ms on little. At 5 Hz its average is 0.493 of a CPU there
(see the first test), so 1.25 · 0.5 · 0.493 = 0.308 has to be served for one such application.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.snapshots import BIG, LITTLE, gear, make_points, make_snapshot, make_view
from scheduler.policies import make_policy, place, place_compactly
from scheduler.policies.compaction import Cluster, active_cpus, critical_apps, held_utilisation

CLUSTERS = {"little": Cluster(cpus=2, capacity=0.5, big=False), "big": Cluster(cpus=2, capacity=1.0, big=True)}


def mediums(*rates_hz: float):
    return [make_view(app, min_accuracy=0.7, rate_hz=rate) for app, rate in zip("abcd", rates_hz, strict=False)]


def decide(views, **changes):
    snapshot = make_snapshot(*views, **changes)
    return place_compactly(snapshot, {view.app: "medium" for view in views})


def units_of(plan):
    return {app: gear.unit for app, gear in plan.gears.items()}


def test_utilisation_rises_fast_and_falls_slowly():
    # Every 100 ms: three looks with a busy share of 1, then seven with 0. Before a run it is at 0.38895.
    run = [0.84724, 0.96181, 0.99045]
    rest = [run[-1] * 0.875**look for look in range(1, 8)]
    assert rest[-1] == pytest.approx(0.38895, abs=1e-4)
    assert held_utilisation(10.0, 30.0) == pytest.approx(sum(run + rest) / 10, abs=1e-4)
    # Every 200 ms: four looks with 1, sixteen with 0. Before a run it is at 0.1177.
    run = [0.7794, 0.9449, 0.9862, 0.9966]
    rest = [run[-1] * 0.875**look for look in range(1, 17)]
    mean = sum(run + rest) / 20
    assert mean == pytest.approx(0.493, abs=1e-3)
    assert held_utilisation(5.0, 40.0) == pytest.approx(mean, abs=1e-4)


@given(st.floats(0, 50), st.floats(0.1, 60))
def test_utilisation_is_a_share(rate_hz, work_ms):
    assert 0 <= held_utilisation(rate_hz, work_ms) <= 1
    assert held_utilisation(1000 / work_ms, work_ms) == pytest.approx(1.0)


def test_where_runs_are_rare_it_is_in_proportion_to_their_rate():
    assert held_utilisation(0.0, 30.0) == 0.0
    assert held_utilisation(1e-6, 30.0) == pytest.approx(1e-6 / 0.5 * held_utilisation(0.5, 30.0), rel=0.01)


@pytest.mark.parametrize(
    ("used", "little", "big"),
    [
        (0.0, 0, 0),
        (0.2, 1, 0),  # 0.25 has to be served
        (0.21, 2, 0),
        (0.4, 2, 0),
        (0.41, 2, 1),
        (1.2, 2, 2),  # 1.5
        (3.0, 2, 2),  # all are too few
    ],
)
def test_no_more_cpus_are_active_than_are_needed_at_half_of_their_capacity(used, little, big):
    assert active_cpus(CLUSTERS, used) == {"little": little, "big": big}


def test_little_cpus_are_filled_first():
    plan = decide(mediums(5.0))
    assert units_of(plan) == {"a": "little"}
    assert plan.awake_cpus == {"little": 2}  # 0.25 of 0.308 each
    assert units_of(place(make_snapshot(*mediums(5.0)), {"a": "medium"})) == {"a": "big"}
    small = place_compactly(make_snapshot(make_view(rate_hz=1.0)), {"a": "small"})
    assert small.awake_cpus == {"little": 1}


def test_what_is_more_than_they_serve_goes_to_big_ones_the_critical_first():
    """For two 0.616: little serves 0.5, one CPU of big the rest. Half of what is active is big."""
    alike = decide(mediums(5.0, 5.0))
    assert alike.awake_cpus == {"little": 2, "big": 1}
    assert units_of(alike) == {"a": "little", "b": "little"}  # none is above the mean
    assert units_of(decide(mediums(5.0, 6.0))) == {"a": "little", "b": "big"}


def test_criticality_grows_with_rate_and_use():
    """2 · log2(rate + 1) + log2(use): 3 Hz and 0.5 give 3, 7 Hz and 0.25 give 4; weighted by rate the mean is 3.7."""
    views = [make_view("a", rate_hz=3.0), make_view("b", rate_hz=7.0)]
    uses = {"a": 0.5, "b": 0.25}
    assert critical_apps(views, uses, 0.5) == {"b"}
    assert critical_apps(views, uses, 0.0) == set()
    assert critical_apps(views, uses, 1.0) == {"a", "b"}
    assert critical_apps(views, {"a": 2.0, "b": 0.25}, 0.5) == {"a"}  # 5 and 4: the mean is 4.3


@pytest.mark.parametrize(
    ("share_of_big", "critical"),
    [
        (0.99, "bcd"),  # the bound is hardly above the least
        (0.75, "cd"),  # half-way from the least, 3, to the mean, 5: at 4
        (0.5, "cd"),  # the mean itself
        (0.25, "d"),  # half-way from the mean to the most, 7: at 6
    ],
)
def test_with_more_big_cpus_more_is_critical(share_of_big, critical):
    # At 1 Hz each, criticality is 2 + log2(use): 3, 4, 6 and 7, with a mean of 5.
    views = [make_view(app, rate_hz=1.0) for app in "abcd"]
    uses = {"a": 2.0, "b": 4.0, "c": 16.0, "d": 32.0}
    assert critical_apps(views, uses, share_of_big) == set(critical)


def test_use_is_measured_where_an_app_runs():
    """Medium runs for 20 ms on big, where its average is 0.386 at 5 Hz: 0.965 for two, 0.482 for one."""
    assert held_utilisation(5.0, 20.0) == pytest.approx(0.386, abs=1e-3)
    views = mediums(5.0, 5.0, 5.0)
    assert decide(views).awake_cpus == {"little": 2, "big": 1}  # 0.925
    on_big = [replace(view, gear=gear("medium", "big")) for view in views]
    assert decide(on_big).awake_cpus == {"little": 2, "big": 2}  # 1.447


def test_an_app_stays_on_its_unit_if_that_will_do():
    twin = replace(BIG, name="twin", cpus_online=(4, 5))
    points = tuple(point for point in make_points() if point.unit == "big")
    points += tuple(replace(point, unit="twin") for point in points)
    for present in ("big", "twin"):
        # 1.25 · 2 · (at 45 Hz nearly 1) are more than big's two CPUs serve: both units are active.
        views = [make_view(app, points=points, rate_hz=45.0, gear=gear("medium", present)) for app in "ab"]
        assert units_of(decide(views, units=(BIG, twin))) == dict.fromkeys("ab", present)


def test_a_unit_has_as_many_cpus_awake_as_an_app_has_threads():
    plan = place_compactly(make_snapshot(make_view(rate_hz=0.5, target_ms=9.0)), {"a": "small"})
    assert plan.gears == {"a": gear("small", "little", 2)}
    assert plan.awake_cpus == {"little": 2}


def test_what_runs_on_a_gpu_stays_there():
    gpu = replace(BIG, name="gpu", kind="gpu", cpus_online=(0,))
    fast = tuple(replace(p, unit="gpu", latency_ms=1.0, service_ms=1.0) for p in make_points() if p.unit == "big")
    points = make_points() + tuple(point for point in fast if point.cores == 1)
    snapshot = make_snapshot(make_view("a", points=points), make_view("b"), units=(BIG, LITTLE, gpu))
    assert units_of(place_compactly(snapshot, {"a": "small", "b": "small"})) == {"a": "gpu", "b": "little"}


def test_power_figures_do_not_matter():
    dark = (replace(BIG, dynamic_w=None, static_w=None), replace(LITTLE, dynamic_w=None, static_w=None))
    assert decide(mediums(5.0, 6.0), units=dark).gears == decide(mediums(5.0, 6.0)).gears


@pytest.mark.parametrize("networks", ["largest", "floor", "ladder", "race"])
def test_lavd_places_and_has_the_clocks(networks):
    plan = make_policy(f"{networks}+lavd").decide(make_snapshot(make_view(rate_hz=1.0)))
    assert units_of(plan) == {"a": "little"}
    assert plan.clocks == {"big": "lavd", "little": "lavd"}
    assert plan.awake_cpus


def test_lavd_alone_is_largest_under_lavd():
    snapshot = make_snapshot(make_view(target_ms=15.0))
    assert make_policy("lavd").decide(snapshot) == make_policy("largest+lavd").decide(snapshot)
