"""Each policy chooses as it promises; joint is as good as the solver and does not flap; names and plans are checked."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.snapshots import BIG, LADDER, LITTLE, gear, make_points, make_snapshot, make_view, posed
from scheduler.governors import GOVERNORS
from scheduler.policies import (
    HINDSIGHT,
    HYSTERESIS,
    NETWORKS,
    Floor,
    Joint,
    Largest,
    PolicyError,
    UnderGovernor,
    appraise,
    check_plan,
    evaluate_choice,
    make_policy,
    problem_of,
)
from scheduler.policies.checks import counted
from scheduler.policies.protocol import points_of
from scheduler.problem import OperatingPoint
from scheduler.solver import evaluate, solve
from scheduler.views import Plan

# ---------------------------------------------------------------- joint


def test_joint_takes_the_solvers_answer_at_first():
    snapshot = make_snapshot(make_view("a", min_accuracy=0.7), make_view("b", target_ms=30.0))
    plan = Joint().decide(snapshot)
    best = solve(posed(snapshot))
    assert plan.gears == {app: gear(p.subnet, p.unit, p.cores) for app, p in best.choice.items()}
    assert plan.clocks == best.mhz
    assert plan.optimal is best.optimal is True
    # By hand: b's 30 ms rule out everything slower than small on big at full clock but small on two of little's cores.
    assert plan.gears["a"].subnet == "medium"
    assert plan.gears["b"].subnet == "small"


def test_joint_without_apps_rests():
    plan = Joint().decide(make_snapshot())
    assert plan.gears == {}
    assert plan.clocks == {"big": 1000.0, "little": 500.0}


def test_joint_keeps_gears_that_are_nearly_as_good():
    """The best costs 5 · 4.00 mJ/s = 20 mW and the present gear 1 % more; static power is the same."""
    cheap = OperatingPoint(
        subnet="x", unit="little", cores=1, mhz=500.0, latency_ms=50, energy_mj=4.0, accuracy=0.8, service_ms=40
    )
    static_mw = 1000 * (BIG.static_w[0] + LITTLE.static_w[0])
    for extra, stays in ((0.5 * HYSTERESIS, True), (1.5 * HYSTERESIS, False)):
        dear = replace(cheap, subnet="y", energy_mj=4.0 + (static_mw + 20) * extra / 5)
        view = make_view(points=(cheap, dear), gear=gear("y", "little"))
        assert Joint().decide(make_snapshot(view)).gears["a"].subnet == ("y" if stays else "x")


def test_joint_leaves_a_gear_that_violates():
    view = make_view(min_accuracy=0.8, gear=gear("small", "little"))
    assert Joint(hysteresis=0.9).decide(make_snapshot(view)).gears["a"].subnet == "large"


def test_joint_leaves_a_gear_of_less_accuracy_where_that_counts():
    view = make_view(gear=gear("medium", "little"))
    plan = Joint(hysteresis=0.9).decide(make_snapshot(view, objective="accuracy"))
    assert plan.gears["a"].subnet == "large"


def test_joint_leaves_a_gear_that_is_no_longer_possible():
    view = make_view(gear=gear("huge", "little"))
    assert Joint().decide(make_snapshot(view)).gears["a"].subnet in LADDER


VIEWS = st.lists(
    st.builds(
        dict,
        target_ms=st.floats(5, 300),
        min_accuracy=st.sampled_from([0.0, 0.7, 0.8]),
        rate_hz=st.floats(0.5, 30),
        gear=st.none()
        | st.builds(gear, st.sampled_from(list(LADDER)), st.sampled_from(["big", "little"]), st.integers(1, 2)),
    ),
    min_size=1,
    max_size=3,
).map(lambda kinds: [make_view(name, **kind) for name, kind in zip("abc", kinds, strict=False)])


def at(clocks, points):
    """The point among those of one gear that is at its unit's clock; None where there is none."""
    return next((point for point in points if point.mhz == clocks[point.unit]), None)


@settings(max_examples=60, deadline=None)
@given(views=VIEWS, objective=st.sampled_from(["energy", "accuracy", "fair"]), share=st.sampled_from([0.5, 0.1]))
def test_joint_is_no_worse_than_the_optima_that_it_looks_at_and_settles(views, objective, share):
    snapshot = make_snapshot(*views, objective=objective)
    plan = Joint().decide(snapshot)
    came_to = appraise(plan, snapshot)
    assert came_to is not None
    found = solve(posed(snapshot, share))
    optimum = evaluate_choice(snapshot, found.choice, found.mhz, found.cpus)
    if objective != "fair":
        assert came_to.violation <= optimum.violation + 1e-7
    if objective == "energy" and optimum.violation <= came_to.violation:
        assert came_to.power_w <= optimum.power_w * (1 + 1e-6)
    # Once in its gears it stays there.
    there = (replace(v, gear=plan.gears[v.app], cpus=plan.cpus[v.app]) for v in views)
    settled = make_snapshot(*there, objective=objective)
    assert Joint().decide(settled) == plan


def test_a_crowded_unit_goes_as_slow_as_its_cpus_can():
    """As one server the three would need the upper clock for their 60 ms; on two CPUs each waits for one at most."""
    views = [make_view(name, target_ms=60.0, points=on_little(20.0)) for name in "abc"]
    problem = replace(posed(make_snapshot(*views), 1.0), sharing="unit")
    assert solve(problem).mhz["little"] == 1000.0
    plan = Joint().decide(make_snapshot(*views))
    assert plan.clocks["little"] == 500.0
    assert sorted(len([app for app in "abc" if cpu in plan.cpus[app]]) for cpu in LITTLE.cpus_online) == [1, 2]


def test_nobody_is_moved_off_a_unit_whose_cpus_are_enough():
    """Little would be late with all three as one server, 24 + 20 + 20 ms of 60, and big takes more power."""
    dear = OperatingPoint(
        subnet="x", unit="big", cores=1, mhz=1000.0, latency_ms=12, energy_mj=1.1, accuracy=0.8, service_ms=10
    )
    views = [make_view(name, target_ms=60.0, points=(on_little(20.0)[0], dear)) for name in "abc"]
    problem = replace(posed(make_snapshot(*views), 1.0), sharing="unit")
    assert {p.unit for p in solve(problem).choice.values()} == {"big", "little"}
    assert {chosen.unit for chosen in Joint().decide(make_snapshot(*views)).gears.values()} == {"little"}


def test_a_crowded_unit_that_is_late_goes_as_fast_as_helps():
    views = [make_view(name, target_ms=25.0, points=on_little(20.0)) for name in "abc"]
    assert Joint().decide(make_snapshot(*views)).clocks["little"] == 1000.0


def test_two_that_would_hardly_meet_share_a_core_before_one_is_late_every_time():
    """At twice a second each takes 1 % of the core: one in a hundred waits, where on little all would be late."""
    one_core = tuple(replace(unit, cpus_online=unit.cpus_online[:1]) for unit in (BIG, LITTLE))
    points = tuple(
        OperatingPoint(
            subnet="x", unit=unit, cores=1, mhz=mhz, latency_ms=ms, energy_mj=ms, accuracy=0.8, service_ms=ms
        )
        for unit, mhz, ms in (("big", 2000.0, 5.0), ("little", 1000.0, 12.0))
    )
    views = [make_view(name, target_ms=6.0, rate_hz=2.0, points=points) for name in "ab"]
    snapshot = make_snapshot(*views, units=one_core)
    assert {p.unit for p in solve(posed(snapshot, 1.0)).choice.values()} == {"big", "little"}
    plan = Joint().decide(snapshot)
    assert {chosen.unit for chosen in plan.gears.values()} == {"big"}
    there = (replace(view, gear=plan.gears[view.app], cpus=plan.cpus[view.app]) for view in views)
    settled = make_snapshot(*there, units=one_core)
    assert Joint().decide(settled) == plan


def on_little(service_ms: float) -> tuple[OperatingPoint, ...]:
    """One gear on one of little's two cores, at both of its clocks; service at the lower."""
    return tuple(
        OperatingPoint(
            subnet="x",
            unit="little",
            cores=1,
            mhz=mhz,
            latency_ms=1.2 * service_ms * 500 / mhz,
            energy_mj=mhz / 500,
            accuracy=0.8,
            service_ms=service_ms * 500 / mhz,
        )
        for mhz in (500.0, 1000.0)
    )


@settings(max_examples=15, deadline=None)
@given(
    views=st.lists(
        st.builds(dict, target_ms=st.floats(5, 300), rate_hz=st.floats(0.5, 30)), min_size=3, max_size=5
    ).map(lambda kinds: [make_view(name, **kind) for name, kind in zip("abcde", kinds, strict=False)]),
    power_cap_w=st.none() | st.floats(0.1, 5.0),
)
def test_what_is_proven_is_the_optimum_of_the_plan_s_own_waiting(views, power_cap_w):
    snapshot = make_snapshot(*views, power_cap_w=power_cap_w)
    plan = Joint().decide(snapshot)
    came_to = appraise(plan, snapshot)
    choice = {view.app: at(plan.clocks, points_of(plan.gears[view.app], view)) for view in views}
    cpus = counted(plan.cpus, plan.gears, snapshot)
    full_ms = evaluate(posed(snapshot, 1.0), choice, plan.clocks, cpus).waits_ms
    # The part that each waits in the plan. Who waits for nobody there would wait for very long in any other.
    shares = {app: came_to.waits_ms[app] / ms if ms else 1e3 for app, ms in full_ms.items()}
    problem = problem_of(snapshot, shares)
    assert evaluate(problem, choice, plan.clocks, cpus).latency_ms == pytest.approx(came_to.latency_ms)
    if plan.optimal:
        optimum = solve(problem)
        assert came_to.violation <= optimum.violation + 1e-7
        if optimum.violation <= came_to.violation:
            assert came_to.power_w <= optimum.power_w * (1 + 1e-6)


# ---------------------------------------------------------------- fixed networks


def test_largest_takes_the_largest_that_meets_its_target_alone():
    views = [make_view("a", target_ms=39.0), make_view("b", target_ms=41.0), make_view("c", target_ms=1.0)]
    plan = Largest().decide(make_snapshot(*views))
    # On two cores of big, large takes 40 / 2 ** 0.8 = 23 ms.
    assert {app: g.subnet for app, g in plan.gears.items()} == {"a": "large", "b": "large", "c": "small"}
    assert plan.clocks == {"big": 2000.0, "little": 1000.0}


def test_largest_does_not_follow_its_target():
    policy = Largest()
    assert policy.decide(make_snapshot(make_view())).gears["a"].subnet == "large"
    assert policy.decide(make_snapshot(make_view(target_ms=15.0))).gears["a"].subnet == "large"
    assert Largest().decide(make_snapshot(make_view(target_ms=15.0))).gears["a"].subnet == "medium"


def test_largest_chooses_anew_where_its_network_is_gone():
    policy = Largest()
    assert policy.decide(make_snapshot(make_view(target_ms=15.0))).gears["a"].subnet == "medium"
    left = tuple(point for point in make_points() if point.subnet == "large")
    assert policy.decide(make_snapshot(make_view(target_ms=15.0, points=left))).gears["a"].subnet == "large"


def test_floor_follows_its_floor():
    policy = Floor()
    for floor, subnet in ((0.0, "small"), (0.75, "medium"), (0.8, "large"), (0.95, "large"), (0.6, "small")):
        assert policy.decide(make_snapshot(make_view(min_accuracy=floor))).gears["a"].subnet == subnet


def test_fixed_networks_spread_over_units():
    """The heaviest first, on the least loaded unit: medium at 20 Hz is .2 of big or .4 of little (two cores each)."""
    views = [make_view(name, min_accuracy=0.7, rate_hz=20.0) for name in "abc"]
    plan = Floor().decide(make_snapshot(*views))
    assert plan.gears == {"a": gear("medium", "big"), "b": gear("medium", "big"), "c": gear("medium", "little")}


def test_fixed_networks_take_more_cores_only_to_meet_the_target():
    plan = Floor().decide(make_snapshot(make_view(target_ms=9.0)))
    assert plan.gears["a"] == gear("small", "big", 2)
    assert Floor().decide(make_snapshot(make_view(target_ms=10.0))).gears["a"] == gear("small", "big", 1)


def test_fixed_networks_that_meet_it_nowhere_take_their_fastest_point():
    assert Floor().decide(make_snapshot(make_view(target_ms=1.0))).gears["a"] == gear("small", "big", 2)


def test_fixed_networks_stay_where_they_are_for_a_little_load():
    """Small at 5 Hz is .025 of big and .05 of little."""
    assert Floor().decide(make_snapshot(make_view())).gears["a"].unit == "big"
    assert Floor().decide(make_snapshot(make_view(gear=gear("small", "little")))).gears["a"].unit == "little"


def test_fixed_networks_run_at_the_highest_clock_allowed():
    low = replace(BIG, mhz_allowed=(1000.0,), static_w=(0.1,))
    plan = Floor().decide(make_snapshot(make_view(), units=(low, LITTLE)))
    assert plan.clocks == {"big": 1000.0, "little": 1000.0}


# ---------------------------------------------------------------- governors and names


@pytest.mark.parametrize("networks", [name for name in NETWORKS if name not in HINDSIGHT])
@pytest.mark.parametrize("governor", ["performance", "powersave", "ondemand", "conservative", "interactive"])
def test_a_governor_takes_the_clocks_and_nothing_else(networks, governor):
    snapshot = make_snapshot(make_view("a", min_accuracy=0.7), make_view("b"))
    plain, governed = (make_policy(name).decide(snapshot) for name in (networks, f"{networks}+{governor}"))
    assert governed.gears == plain.gears
    assert governed.clocks == {"big": governor, "little": governor}
    assert appraise(governed, snapshot) is None


def test_a_gpu_under_a_governor_has_its_own():
    gpu = replace(BIG, name="gpu", kind="gpu", cpus_online=(0,))
    snapshot = make_snapshot(make_view(), units=(BIG, LITTLE, gpu))
    clocks = make_policy("floor+ondemand").decide(snapshot).clocks
    assert clocks == {"big": "ondemand", "little": "ondemand", "gpu": "podgov"}


def test_schedutil_uclamp_is_told_the_clock_that_each_app_needs():
    """For 30 ms medium needs little's two cores at the top clock, 23 ms; for 50 ms half of it will do, 46 ms."""
    for target_ms, mhz in ((30.0, 1000.0), (50.0, 500.0)):
        snapshot = make_snapshot(make_view(min_accuracy=0.7, target_ms=target_ms))
        plan = make_policy("joint+schedutil-uclamp").decide(snapshot)
        assert plan.gears["a"] == gear("medium", "little", 2)
        assert plan.clamps_mhz == {"a": mhz}
        assert make_policy("joint+schedutil").decide(snapshot).clamps_mhz == {}


def test_a_bare_governor_means_largest():
    snapshot = make_snapshot(make_view(target_ms=15.0))
    assert make_policy("schedutil").decide(snapshot) == make_policy("largest+schedutil").decide(snapshot)


def test_policies_are_made_fresh():
    assert make_policy("largest") is not make_policy("largest")
    assert isinstance(make_policy("ondemand"), UnderGovernor)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jiont", ["'jiont'", "joint, steady, largest, floor", "Did you mean 'joint'?"]),
        ("schedutl", ["'schedutl'", "Did you mean 'schedutil'?"]),
        ("joint+schedutl", ["policy 'joint'", "'schedutl'", "Did you mean 'schedutil'?"]),
        ("larges+schedutil", ["'larges'", "Did you mean 'largest'?"]),
        ("schedutil+joint", ["'schedutil+joint'", "'schedutil' is unknown"]),
        ("joint+", ["governor ''"]),
        ("", ["policy ''"]),
        ("mine:Mine", ["'mine:Mine'", "joint, steady, largest, floor", "FILE.py:Class", *GOVERNORS]),
        ("orcale", ["'orcale'", "Did you mean 'oracle'?"]),
        ("oracle", ["'oracle'", "--backend sim", "gearshift bench"]),
        ("best+schedutil", ["'best+schedutil'", "--backend sim", "gearshift bench"]),
    ],
)
def test_an_unknown_name_says_what_there_is(name, said):
    with pytest.raises(PolicyError) as caught:
        make_policy(name)
    for text in said:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 10_000, "joint+" + "\udc91" * 10_000, "oracle+" + "x" * 10_000])
def test_a_name_that_is_too_long_is_cut(name):
    with pytest.raises(PolicyError) as caught:
        make_policy(name)
    assert len(str(caught.value)) < 1000


GOOD = Plan(gears={"a": gear("small", "big")}, clocks={"big": 1000.0, "little": "schedutil"})


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (replace(GOOD, gears={}), "lacks app 'a'"),
        (replace(GOOD, gears={**GOOD.gears, "b": gear("small", "big")}), "app 'b', which is unknown"),
        (None, "decide returned None; return a Plan("),
        (replace(GOOD, gears={"a": "small"}), "is 'small'; a gear is a Gear("),
        (replace(GOOD, gears={"a": gear("smal", "big")}), "Did you mean 'small'?"),
        (replace(GOOD, gears={"a": gear("small", "bgi")}), "Did you mean 'big'?"),
        (replace(GOOD, gears={"a": gear("large", "little")}), "not profiled here"),
        (replace(GOOD, gears={"a": gear("small", "big", 2)}), "2 cores; 'big' has 1 online"),
        (replace(GOOD, clocks={"big": 1000.0}), "lacks unit 'little'"),
        (replace(GOOD, clocks={**GOOD.clocks, "litle": 500.0}), "Did you mean 'little'?"),
        (replace(GOOD, clocks={**GOOD.clocks, "big": 1500.0}), "1500.0; allowed now are (1000.0, 2000.0)"),
        (replace(GOOD, clocks={**GOOD.clocks, "big": "perfomance"}), "Did you mean 'performance'?"),
        (replace(GOOD, awake_cpus={"bgi": 1}), "awake_cpus has 'bgi', which is no unit. Did you mean 'big'?"),
        (replace(GOOD, awake_cpus={"little": 3}), "awake_cpus of 'little' is 3; it must be from 1 to 2"),
        (replace(GOOD, awake_cpus={"little": 0}), "awake_cpus of 'little' is 0"),
        (replace(GOOD, cpus={"b": (1,)}), "cpus has app 'b', which is unknown"),
        (replace(GOOD, cpus={"a": (0,)}), "cpus of 'a' are (0,); its gear has 1 cores on 'big'"),
        (replace(GOOD, cpus={"a": (1, 1)}), "cpus of 'a' are (1, 1)"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused(plan, said):
    snapshot = make_snapshot(make_view(), units=(replace(BIG, cpus_online=(1,)), LITTLE))
    possible = {"a": frozenset({gear("small", "big"), gear("small", "big", 2), gear("large", "big")})}
    check_plan(GOOD, snapshot, possible)
    with pytest.raises(PolicyError) as caught:
        check_plan(plan, snapshot, possible)
    assert said in str(caught.value)


def test_a_plan_gives_cpus_to_all_of_a_unit_or_none_and_keeps_awake_what_its_gears_need():
    views = (make_view("a"), make_view("b"))
    plan = Plan(gears={app: gear("small", "big") for app in "ab"}, clocks=GOOD.clocks, cpus={"a": (1,)})
    possible = dict.fromkeys("ab", frozenset({gear("small", "big")}))
    check_plan(replace(plan, cpus={"a": (1,), "b": (1,)}), make_snapshot(*views), possible)
    with pytest.raises(PolicyError, match=r"cpus has 'a' and lacks 'b', which is on 'big' too"):
        check_plan(plan, make_snapshot(*views), possible)
    with pytest.raises(PolicyError, match=r"'a', which is on the GPU 'big'; leave it out"):
        check_plan(plan, make_snapshot(*views, units=(replace(BIG, kind="gpu"), LITTLE)), possible)
    wide = replace(plan, gears={app: gear("small", "big", 2) for app in "ab"}, cpus={}, awake_cpus={"big": 1})
    with pytest.raises(PolicyError, match=r"awake_cpus of 'big' is 1, but 'a' has 2 cores there"):
        check_plan(wide, make_snapshot(*views), dict.fromkeys("ab", frozenset({gear("small", "big", 2)})))


def test_appraise_says_what_the_model_says():
    snapshot = make_snapshot(make_view(target_ms=10.0))
    plan = Plan(gears={"a": gear("medium", "big")}, clocks={"big": 2000.0, "little": 500.0})
    outcome = appraise(plan, snapshot)
    assert outcome.app_terms == {"a": pytest.approx(1.0)}  # 20 ms against 10
    assert outcome.power_w == pytest.approx(0.3 + 0.02 + 5 * 0.020 * 2.0)


def test_appraise_is_silent_where_a_gear_is_no_operating_point():
    snapshot = make_snapshot(make_view(rate_hz=30.0))
    plan = Plan(gears={"a": gear("large", "little")}, clocks={"big": 2000.0, "little": 500.0})
    assert appraise(plan, snapshot) is None
