"""Applications share units of several cores CPU by CPU, as worked out by hand and close to the coarse rule."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.placement import spread
from scheduler.policies.sharing import RARE, evaluate_by_cpu, evaluate_likely, several_cores
from scheduler.problem import Demand, OperatingPoint, Problem, Unit
from scheduler.solver import evaluate

QUAD = Unit(name="quad", kind="cpu", cores=4, mhz=(1000.0,), static_w=(0.1,))
MHZ = {"quad": 1000.0}


def demand(app: str, *, service_ms: float, rate_hz: float = 5.0, target_ms: float = 100.0, cores: int = 1) -> Demand:
    point = OperatingPoint(
        subnet="s",
        unit="quad",
        cores=cores,
        mhz=1000.0,
        latency_ms=1.1 * service_ms,
        energy_mj=1.0,
        accuracy=0.9,
        service_ms=service_ms,
    )
    return Demand(app=app, rate_hz=rate_hz, target_ms=target_ms, min_accuracy=0.0, weight=1.0, points=(point,))


def came_to(*demands: Demand, unit: Unit = QUAD):
    problem = Problem(units=(unit,), demands=demands)
    choice = {one.app: one.points[0] for one in demands}
    return evaluate_by_cpu(problem, choice, MHZ), evaluate(problem, choice, MHZ)


def test_six_on_four_cores_wait_only_for_whom_they_share_a_cpu_with():
    # Loads 0.3, 0.25, 0.2, 0.15 go to one CPU each, then 0.1 to the one with 0.15, and 0.05 to that with 0.2.
    services_ms = {"a": 60.0, "b": 50.0, "c": 40.0, "d": 30.0, "e": 20.0, "f": 10.0}
    fine, coarse = came_to(*(demand(app, service_ms=ms) for app, ms in services_ms.items()))
    assert fine.latency_ms == pytest.approx(
        {"a": 66.0, "b": 55.0, "c": 44 + 10, "d": 33 + 20, "e": 22 + 30, "f": 11 + 40}
    )
    assert coarse.latency_ms["a"] == pytest.approx(66 + 150)
    assert (fine.violation, coarse.violation > 0) == (0.0, True)
    assert fine.power_w == coarse.power_w


def test_waiting_for_another_is_likely_as_far_as_more_than_few_meet_it():
    # Alone on one core: b takes 5 % of it, so 2.5 % of the requests wait for more than half of its 50 ms; c takes 1 %.
    single = replace(QUAD, cores=1)
    demands = [
        demand("a", service_ms=20.0, rate_hz=2.0),
        demand("b", service_ms=50.0, rate_hz=1.0),
        demand("c", service_ms=10.0, rate_hz=1.0),
    ]
    problem = Problem(units=(single,), demands=tuple(demands))
    choice = {one.app: one.points[0] for one in demands}
    likely = evaluate_likely(problem, choice, MHZ)
    assert RARE == 0.025
    assert likely.latency_ms["a"] == pytest.approx(22 + 25 + 0)
    assert likely.latency_ms["b"] == pytest.approx(55 + 20 * (1 - 0.025 / 0.04))
    assert likely.waits_ms == evaluate(problem, choice, MHZ).waits_ms == {"a": 60.0, "b": 30.0, "c": 70.0}
    # Where less waiting counts than is likely, that much does.
    little = replace(problem, demands=(replace(demands[0], wait_share=0.1), *demands[1:]))
    assert evaluate_likely(little, choice, MHZ).latency_ms["a"] == pytest.approx(22 + 0.1 * 50)


def test_what_waits_for_nobody_is_likely_what_it_is():
    _, coarse = came_to(*(demand(app, service_ms=50.0) for app in "abcd"))
    problem = Problem(units=(QUAD,), demands=tuple(demand(app, service_ms=50.0) for app in "abcd"))
    assert evaluate_likely(problem, {one.app: one.points[0] for one in problem.demands}, MHZ) == coarse


def test_waiting_counts_as_far_as_it_is_known_to_happen():
    services_ms = {"a": 60.0, "b": 50.0, "c": 40.0, "d": 30.0, "e": 20.0, "f": 10.0}
    fine, coarse = came_to(*(replace(demand(app, service_ms=ms), wait_share=0.5) for app, ms in services_ms.items()))
    assert fine.latency_ms["d"] == pytest.approx(33 + 0.5 * 20)
    assert coarse.latency_ms["d"] == pytest.approx(33 + 0.5 * 180)
    assert (fine.own_ms["d"], fine.waits_ms["d"], coarse.waits_ms["d"]) == pytest.approx((33, 20, 180))


def test_waiting_may_count_for_more_than_a_request_s_own_latency():
    """A request that alone takes half of what its point says has waiting count twice at a target twice as long."""
    services_ms = {"a": 60.0, "b": 50.0, "c": 40.0, "d": 30.0, "e": 20.0, "f": 10.0}
    demands = [replace(demand(app, service_ms=ms, rate_hz=5.0), wait_share=2.0) for app, ms in services_ms.items()]
    fine, _ = came_to(*demands)
    assert fine.latency_ms["d"] == pytest.approx(33 + 2 * 20)
    problem = Problem(units=(QUAD,), demands=tuple(demands))
    likely = evaluate_likely(problem, {one.app: one.points[0] for one in demands}, MHZ)
    assert likely.latency_ms["d"] == pytest.approx(33 + 2 * 20 * (1 - RARE / 0.1))


def test_the_most_loaded_cpu_is_what_is_overloaded():
    # Five of load 0.5 on four cores: one CPU has two of them, 1.0 of 0.9; on average the unit has 2.5 / 4.
    fine, coarse = came_to(*(demand(app, service_ms=50.0, rate_hz=10.0, target_ms=500.0) for app in "abcde"))
    assert fine.unit_terms == pytest.approx({"quad": 1.0 / 0.9 - 1})
    assert coarse.unit_terms == {"quad": 0.0}


def test_a_unit_with_cores_enough_and_a_unit_of_one_core_are_as_in_the_problem():
    fine, coarse = came_to(demand("a", service_ms=50.0, cores=2), demand("b", service_ms=50.0, cores=2))
    assert fine == coarse
    single = Unit(name="quad", kind="cpu", cores=1, mhz=(1000.0,), static_w=(0.1,))
    fine, coarse = came_to(demand("a", service_ms=50.0), demand("b", service_ms=50.0), unit=single)
    assert fine == coarse
    assert not several_cores(Problem(units=(single,), demands=(demand("a", service_ms=50.0),)))


APPS = st.lists(
    st.tuples(st.floats(1, 100), st.floats(0.1, 20), st.floats(10, 500), st.integers(1, 4)), min_size=1, max_size=8
)


@settings(deadline=None)
@given(apps=APPS)
def test_nobody_waits_longer_than_for_everybody(apps):
    fine, coarse = came_to(
        *(
            demand(f"a{number}", service_ms=ms, rate_hz=hz, target_ms=target, cores=cores)
            for number, (ms, hz, target, cores) in enumerate(apps)
        )
    )
    for app, latency_ms in fine.latency_ms.items():
        assert latency_ms <= coarse.latency_ms[app] + 1e-9
        assert fine.app_terms[app] <= coarse.app_terms[app] + 1e-9


# ---------------------------------------------------------------- spreading


def test_the_heaviest_are_spread_first():
    loads = {"a": 0.8, "b": 0.8, "c": 0.1}
    cpus = spread((0, 1), dict.fromkeys(loads, 1), loads, dict.fromkeys(loads, ()))
    assert cpus == {"a": (0,), "b": (1,), "c": (0,)}


def test_what_is_held_is_kept_while_it_is_hardly_worse():
    cores = dict.fromkeys("abc", 1)
    held = {"a": (1,), "b": (1,), "c": (0,)}
    nearly_even = {"a": 0.30, "b": 0.29, "c": 0.55}
    assert spread((0, 1), cores, nearly_even, held) == held
    uneven = {"a": 0.8, "b": 0.8, "c": 0.1}
    assert spread((0, 1), cores, uneven, held) != held


@settings(deadline=None)
@given(
    loads=st.lists(st.floats(0.01, 1), min_size=1, max_size=8),
    cores=st.integers(1, 4),
    wide=st.integers(1, 4),
)
def test_what_was_spread_is_spread_the_same_again(loads, cores, wide):
    names = {f"a{number}": load for number, load in enumerate(loads)}
    widths = dict.fromkeys(names, min(wide, cores))
    first = spread(range(cores), widths, names, dict.fromkeys(names, ()))
    assert spread(range(cores), widths, names, first) == first
    assert all(len(set(cpus)) == widths[app] for app, cpus in first.items())
