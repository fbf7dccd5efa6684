"""The baselines decide by their own rules: two-stage, race, ladder, alert, and plans made beforehand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.snapshots import BIG, gear, make_points, make_snapshot, make_view
from scheduler.policies import (
    Alert,
    Floor,
    Joint,
    Ladder,
    Largest,
    PolicyError,
    Race,
    Scripted,
    TwoStage,
    appraise,
    make_policy,
    place,
)
from scheduler.policies.protocol import ladder_of
from scheduler.problem import OperatingPoint
from scheduler.views import Plan

LATEST = 20
LOWEST = {"big": 1000.0, "little": 500.0}

# ---------------------------------------------------------------- two-stage


def test_two_stage_misses_a_gear_that_pays_only_at_a_lower_clock():
    """At the top clock medium is cheapest on one core of little, 40 ms; half the clock is then too slow for 50 ms.

    Two cores at half the clock take 20 / .5 / 2 ** .8 · 2 = 46 ms.
    """
    snapshot = make_snapshot(make_view(min_accuracy=0.7, target_ms=50.0))
    apart, jointly = TwoStage().decide(snapshot), Joint().decide(snapshot)
    assert (apart.gears["a"], apart.clocks["little"]) == (gear("medium", "little", 1), 1000.0)
    assert (jointly.gears["a"], jointly.clocks["little"]) == (gear("medium", "little", 2), 500.0)


def test_two_stage_lowers_the_clock_where_there_is_time():
    plan = TwoStage().decide(make_snapshot(make_view(min_accuracy=0.7, target_ms=80.0)))
    assert plan == Plan(gears={"a": gear("medium", "little")}, clocks=LOWEST, cpus={"a": (2,)})


@settings(max_examples=40, deadline=None)
@example(asked=[(86.0, 0.0, 1.0), (86.0, 0.7, 19.0)])  # within the unit's load as one server, beyond one CPU's
@given(
    asked=st.lists(
        st.tuples(st.floats(5, 300), st.sampled_from([0.0, 0.7, 0.8]), st.floats(0.5, 25)), min_size=1, max_size=3
    )
)
def test_a_proven_plan_is_no_worse_than_a_two_stage_plan_in_which_nobody_waits(asked):
    """Such a plan comes to the same whatever waiting a problem counts, so the proof covers it."""
    views = [
        make_view(app, target_ms=target_ms, min_accuracy=floor, rate_hz=rate_hz)
        for app, (target_ms, floor, rate_hz) in zip("abc", asked, strict=False)
    ]
    snapshot = make_snapshot(*views)
    plan = Joint().decide(snapshot)
    apart, together = appraise(TwoStage().decide(snapshot), snapshot), appraise(plan, snapshot)
    if not plan.optimal or any(apart.waits_ms.values()):
        return
    assert apart.violation >= together.violation - 1e-7
    if apart.violation <= together.violation + 1e-7:
        assert apart.power_w >= together.power_w * (1 - 1e-6)


# ---------------------------------------------------------------- ladders


def top(subnet: str, latency_ms: float, accuracy: float, unit: str = "big") -> OperatingPoint:
    return OperatingPoint(
        subnet=subnet, unit=unit, cores=1, mhz=2000.0, latency_ms=latency_ms, energy_mj=1.0, accuracy=accuracy
    )


def test_a_network_that_is_slower_and_less_accurate_is_no_rung():
    points = [top("a", 10, 0.6), top("b", 12, 0.5), top("c", 20, 0.7), top("d", 20, 0.65), top("e", 30, 0.7)]
    # One of unknown accuracy is a rung, and so is one that is as accurate or as fast as another.
    assert ladder_of([*points, top("f", 40, 0.0)]) == ["a", "c", "d", "e", "f"]


def test_a_network_is_as_fast_as_on_its_fastest_unit():
    points = [top("a", 10, 0.6), top("b", 50, 0.5, "little"), top("b", 9, 0.5)]
    assert ladder_of(points) == ["a", "b"]


def test_largest_and_ladder_go_along_the_rungs():
    points = (top("a", 10, 0.6), top("b", 20, 0.8), top("c", 30, 0.7), top("d", 40, 0.9), top("e", 50, 0.85))
    snapshot = make_snapshot(make_view(points=points, target_ms=35))
    assert Largest().decide(snapshot).gears["a"].subnet == "b"
    assert Ladder().decide(snapshot).gears["a"].subnet == "b"  # the second largest of a, b, d


# ---------------------------------------------------------------- race


def test_race_takes_the_smallest_that_will_do_and_idle_units_rest():
    plan = Race().decide(make_snapshot(make_view(min_accuracy=0.7)))
    assert plan == Plan(gears={"a": gear("medium", "big")}, clocks={"big": 2000.0, "little": 500.0})


def test_race_passes_over_a_small_network_that_is_too_slow():
    slow = tuple(replace(p, latency_ms=70.0) if p.subnet == "small" else p for p in make_points())
    snapshot = make_snapshot(make_view(points=slow, target_ms=60.0))
    assert Race().decide(snapshot).gears["a"].subnet == "medium"
    assert Floor().decide(snapshot).gears["a"].subnet == "small"


def test_race_keeps_to_the_floor_before_the_target():
    assert Race().decide(make_snapshot(make_view(min_accuracy=0.7, target_ms=1.0))).gears["a"].subnet == "medium"
    assert Race().decide(make_snapshot(make_view(min_accuracy=0.95))).gears["a"].subnet == "large"


# ---------------------------------------------------------------- ladder


class Feed:
    """Ask a policy epoch by epoch; what it answers is in force one epoch later, if `follows`."""

    def __init__(self, policy, **view):
        self.policy, self.view = policy, make_view(**view)
        self.epoch = 0
        self.follows = True

    def epochs(self, count=1, *, again=False, **changes):
        """The sub-networks that it wants in the next epochs, or in this one once more."""
        subnets = []
        for _ in range(count):
            self.epoch += not again
            self.view = replace(self.view, **changes)
            plan = self.policy.decide(make_snapshot(self.view, epoch=self.epoch))
            subnets.append(plan.gears["a"].subnet)
            if self.follows:
                self.view = replace(self.view, gear=plan.gears["a"])
        return subnets


def test_ladder_begins_on_the_second_largest_rung():
    assert Feed(Ladder()).epochs() == ["medium"]
    only = tuple(point for point in make_points() if point.subnet == "small")
    assert Feed(Ladder(), points=only).epochs() == ["small"]


def test_ladder_goes_one_down_when_the_mean_of_twenty_is_too_slow():
    feed = Feed(Ladder(), target_ms=100.0)
    # The first epoch chooses, the second is the first in that gear; then four requests finish in each.
    assert feed.epochs(6, n=4, mean_ms=100.1) == ["medium"] * 6
    assert feed.epochs(n=4) == ["small"]
    assert feed.epochs(10, n=4) == ["small"] * 10


def test_ladder_waits_for_new_latencies_after_a_step():
    view = {"points": make_points() + tuple(replace(p, subnet="huge", accuracy=0.95) for p in make_points()[-8:])}
    feed = Feed(Ladder(), **view)
    feed.epochs(2)
    feed.follows = False
    # While the step is not carried out, what finishes is of the old gear.
    assert feed.epochs(5, n=LATEST, mean_ms=300.0) == ["medium"] * 5
    feed.follows = True
    assert feed.epochs(2, n=LATEST) == ["medium"] * 2
    assert feed.epochs(n=LATEST - 1) == ["medium"]
    assert feed.epochs(n=1) == ["small"]


def test_ladder_counts_an_epoch_once_however_often_it_is_asked():
    feed = Feed(Ladder())
    feed.epochs(2)
    assert feed.epochs(n=10, mean_ms=300.0) == ["medium"]
    assert feed.epochs(5, again=True) == ["medium"] * 5
    assert feed.epochs() == ["small"]


def test_ladder_never_goes_up_for_spare_time():
    feed = Feed(Ladder())
    feed.epochs(3, n=LATEST, mean_ms=300.0)
    assert feed.epochs(20, mean_ms=1.0) == ["small"] * 20


def test_ladder_goes_one_up_when_below_the_floor():
    feed = Feed(Ladder())
    feed.epochs(2)
    assert feed.epochs(min_accuracy=0.8) == ["large"]
    assert feed.epochs(3, min_accuracy=0.95) == ["large"] * 3


def test_ladder_whose_rung_is_lost_goes_to_the_nearest_by_accuracy():
    points = make_points()
    without_medium = tuple(point for point in points if point.subnet != "medium")
    feed = Feed(Ladder())
    assert feed.epochs(points=without_medium) == ["small"]  # the second largest of two
    feed = Feed(Ladder())
    feed.epochs(2)
    # medium has 0.75: as far from 0.9 as from 0.6 to the last digit, so one of them is brought nearer.
    nearer = tuple(replace(p, accuracy=0.85) if p.subnet == "large" else p for p in without_medium)
    assert feed.epochs(points=nearer) == ["large"]


def test_ladder_leaves_places_and_clocks_to_others():
    snapshot = make_snapshot(make_view("a"), make_view("b"))
    assert Ladder().decide(snapshot) == place(snapshot, {"a": "medium", "b": "medium"})


# ---------------------------------------------------------------- alert


def test_alert_alone_chooses_as_joint():
    snapshot = make_snapshot(make_view(min_accuracy=0.7, target_ms=50.0))
    alone, joint = Alert().decide(snapshot), Joint().decide(snapshot)
    assert (alone.gears, alone.clocks) == (joint.gears, joint.clocks)


def test_alert_gives_a_unit_the_highest_clock_that_is_asked_for():
    """On little, medium takes 80 ms at 500 MHz, and 23 ms on two cores at 1000 MHz."""
    views = [make_view("a", min_accuracy=0.7), make_view("b", min_accuracy=0.7, target_ms=30.0)]
    plan = Alert().decide(make_snapshot(*views))
    assert plan.gears == {"a": gear("medium", "little", 1), "b": gear("medium", "little", 2)}
    assert plan.clocks == {"big": 1000.0, "little": 1000.0}


def test_alert_learns_that_it_is_slower_than_predicted():
    """Medium on little at 500 MHz takes 80 ms; at twice that it must be done in 50 ms of its own time."""
    policy = Alert()
    view = make_view(min_accuracy=0.7)
    for epoch in range(60):
        plan = policy.decide(make_snapshot(view, epoch=epoch))
        if plan.gears["a"] != gear("medium", "little", 1):
            break
        view = replace(view, gear=plan.gears["a"], n=5, mean_ms=160.0)
    assert epoch > 2  # a sample moves the estimate by a tenth at most
    # The slowdown is on its way to two: less than 80 ms must do, and two cores at the same clock do it in 46.
    assert (plan.gears["a"], plan.clocks["little"]) == (gear("medium", "little", 2), 500.0)


def test_alert_predicts_each_request_by_the_gear_it_finished_in():
    """On big at 1000 MHz large takes 80 ms on one core and 46 ms on two: 63 ms in the mean of ten of each.

    That is no slowdown, and the margin of medium on little, 80 of 84 ms, allows for none.
    """
    policy = Alert()
    view = make_view(min_accuracy=0.7, target_ms=84.0, n=10, mean_ms=(80.0 + 80.0 / 2**0.8) / 2)
    plans = []
    for epoch in range(30):
        in_turns = gear("large", "big", 1 + epoch % 2)
        plans.append(policy.decide(make_snapshot(replace(view, gear=in_turns), epoch=epoch)))
    assert {plan.gears["a"] for plan in plans[-20:]} == {gear("medium", "little", 1)}


def test_alert_learns_once_an_epoch_however_often_it_is_asked():
    policy = Alert()
    view = make_view(min_accuracy=0.7)
    view = replace(view, gear=policy.decide(make_snapshot(view, epoch=0)).gears["a"], n=5, mean_ms=160.0)
    for _ in range(20):
        plan = policy.decide(make_snapshot(view, epoch=1))
    assert plan.gears["a"] == gear("medium", "little", 1)


@pytest.mark.parametrize("name", ["ladder", "alert", "ladder+schedutil", "alert+ondemand"])
def test_policies_that_live_on_feedback_are_asked_every_epoch(name):
    assert make_policy(name).every_epoch


@pytest.mark.parametrize("name", ["joint", "two-stage", "race", "schedutil"])
def test_other_policies_are_asked_where_something_changed(name):
    assert not getattr(make_policy(name), "every_epoch", False)


# ---------------------------------------------------------------- scripted

EARLY = Plan(gears={"a": gear("small", "big"), "b": gear("small", "little")}, clocks={"big": 2000.0, "little": 500.0})
LATE = Plan(gears={"a": gear("large", "big", 2)}, clocks={"big": "schedutil", "little": 1000.0})


@pytest.mark.parametrize(("now_s", "plan"), [(-1.0, EARLY), (0.0, EARLY), (4.99, EARLY), (5.0, LATE), (99.0, LATE)])
def test_a_script_plays_the_last_plan_that_has_begun(now_s, plan):
    played = Scripted([(0.0, EARLY), (5.0, LATE)]).decide(make_snapshot(make_view("a"), now_s=now_s))
    assert played == Plan(gears={"a": plan.gears["a"]}, clocks=plan.clocks)


def test_a_script_keeps_within_the_clocks_allowed():
    low = replace(BIG, mhz_allowed=(500.0, 1000.0, 1500.0))
    snapshot = make_snapshot(make_view("a"), units=(low,))
    assert Scripted([(0.0, EARLY)]).decide(snapshot).clocks == {"big": 1500.0}
    slow = Plan(gears=EARLY.gears, clocks={"big": 100.0})
    assert Scripted([(0.0, slow)]).decide(snapshot).clocks == {"big": 500.0}


@pytest.mark.parametrize(
    ("plans", "said"),
    [
        ([], "there is no plan"),
        ([(5.0, EARLY), (5.0, LATE)], "from 5.0 s follows one from 5.0 s"),
        ([(0.0, LATE)], "no gear for app 'b'"),
        ([(0.0, replace(EARLY, clocks={"big": 2000.0}))], "no clock for unit 'little'"),
    ],
)
def test_a_script_that_cannot_be_played_says_why(plans, said):
    with pytest.raises(PolicyError, match=said):
        Scripted(plans).decide(make_snapshot(make_view("a"), make_view("b")))
