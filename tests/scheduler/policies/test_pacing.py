"""The rules for requests' clocks: down to the thriftiest clock where nobody else is hurt, else to the plan's."""

from dataclasses import replace

import pytest

from helpers.fake_world import BOARD, PROFILE, make_unit
from helpers.snapshots import BIG, LITTLE, make_snapshot, make_view
from scheduler.points import ArrivalModel, operating_points
from scheduler.policies import PolicyError, check_plan, make_policy, unit_of
from scheduler.policies.pacing import paces_of
from scheduler.request_clock import Pace
from scheduler.views import AppView, Gear, Plan, Snapshot

PACED = replace(BIG, paced=True)
RULE = Pace(rest_mhz=1000.0, least_mhz=1000.0, share=0.95)


def point(view: AppView, *, subnet: str = "small", cores: int = 1, mhz: float = 2000.0):
    return next(p for p in view.points if (p.subnet, p.unit, p.cores, p.mhz) == (subnet, "big", cores, mhz))


def paces(*views: AppView, cores: int = 1, **changes: object):
    snapshot = make_snapshot(*views, units=(PACED, LITTLE), **changes)
    return paces_of({view.app: point(view, cores=cores) for view in views}, {"big": 2000.0, "little": 500.0}, snapshot)


def test_alone_and_regular_it_goes_down_to_the_clock_of_least_energy() -> None:
    view = make_view("a", arrivals="periodic", rate_hz=5.0, slo=0.9, service_ratio=1.2)
    pace = paces(view)["a"]
    assert (pace.least_mhz, pace.most_mhz, pace.period_ms, pace.slowdown) == (1000.0, None, 200.0, 1.2)
    assert pace.share == pytest.approx(0.95)  # half of the misses that the slo allows
    # Where the lower clock takes more energy, it goes down to the higher one only.
    dear = tuple(replace(p, energy_mj=p.energy_mj + 1e3 * (p.mhz == 1000.0)) for p in view.points)
    assert paces(replace(view, points=dear))["a"].least_mhz == 2000.0


@pytest.mark.parametrize("arrivals", ["poisson", "saturate"])
def test_where_requests_come_at_random_it_stays_at_the_plans_clock(arrivals: str) -> None:
    pace = paces(make_view("a", arrivals=arrivals))["a"]
    assert (pace.least_mhz, pace.period_ms) == (2000.0, None)


def test_where_others_wait_for_it_it_stays_at_the_plans_clock() -> None:
    both = [make_view(app, arrivals="periodic") for app in "ab"]
    assert [pace.least_mhz for pace in paces(*both).values()] == [1000.0, 1000.0]
    assert [pace.least_mhz for pace in paces(*both, cores=2).values()] == [2000.0, 2000.0]


def test_under_a_power_cap_it_does_not_go_above_the_plans_clock() -> None:
    assert paces(make_view("a", arrivals="periodic"), power_cap_w=3.0)["a"].most_mhz == 2000.0


def on(snapshot: Snapshot, *, paced: bool) -> Snapshot:
    return replace(snapshot, units=tuple(replace(unit, paced=paced) for unit in snapshot.units))


def test_joint_paces_the_units_that_can_be_and_steady_none() -> None:
    snapshot = make_snapshot(make_view("a", arrivals="periodic", target_ms=30.0))
    plan = make_policy("joint").decide(on(snapshot, paced=True))
    assert set(plan.paces) == {"a"}
    assert make_policy("joint").decide(on(snapshot, paced=False)).paces == {}
    assert make_policy("steady").paces is False
    assert make_policy("joint").paces is True
    assert not getattr(make_policy("joint+schedutil"), "paces", False)


def test_a_paced_unit_is_priced_at_rest_at_its_lowest_clock() -> None:
    assert unit_of(replace(BIG, idle_share=0.5)).static_w == pytest.approx((0.05, 0.15))
    assert unit_of(replace(PACED, idle_share=0.5)).static_w == pytest.approx((0.05, 0.05))


def test_its_points_have_what_it_takes_above_that_while_it_is_busy() -> None:
    big = make_unit("big", "cpu", (0,))
    board = replace(BOARD, units=(big,))
    # A change of clock takes 0.35 ms at the top clock and 1.4 at the lowest, where a core takes 0.2 W.
    for paced, at_top_w, changes_mj in ((("big",), 2.0 + 0.4 - 0.1, 2 * 1.4 * 0.2), ((), 2.0, 0.0)):
        points = operating_points(board, PROFILE, app="a", arrivals=ArrivalModel(kind="saturate"), slo=0.9, paced=paced)
        top = [point for point in points if point.mhz == 2000.0]
        assert [point.energy_mj for point in top] == pytest.approx(
            [at_top_w * point.busy_ms + changes_mj for point in top]
        )
        low = next(point for point in points if point.mhz == 500.0)
        assert low.energy_mj == pytest.approx(0.2 * low.busy_ms)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paces": {"x": RULE}}, "paces has app 'x', which is unknown"),
        ({"paces": {"a": RULE}}, "paces has 'a' and lacks 'b', which is on 'big' too; add it"),
        ({"paces": {"a": RULE, "b": RULE}, "clocks": {"big": "schedutil", "little": 500.0}}, "is left to 'schedutil'"),
    ],
)
def test_rules_that_cannot_be_carried_out_are_refused(changes: dict[str, object], message: str) -> None:
    snapshot = make_snapshot(make_view("a"), make_view("b"), units=(PACED, LITTLE))
    gears = {app: Gear(subnet="small", unit="big", cores=1) for app in "ab"}
    plan = replace(Plan(gears=gears, clocks={"big": 2000.0, "little": 500.0}), **changes)  # type: ignore[arg-type]
    possible = dict.fromkeys("ab", frozenset(gears.values()))
    with pytest.raises(PolicyError, match=message):
        check_plan(plan, snapshot, possible)
    with pytest.raises(PolicyError, match="'big' is not `paced`; leave 'a' out"):
        check_plan(replace(plan, paces={"a": RULE, "b": RULE}), on(snapshot, paced=False), possible)


def test_a_unit_rests_at_the_plans_clock_where_changes_would_take_more_than_they_save() -> None:
    view = make_view("a", arrivals="periodic", rate_hz=5.0)
    assert paces(view)["a"].rest_mhz == 1000.0
    # With clocks that all take the same power at rest and per request, only the changes are left.
    flat = replace(PACED, static_w=(0.1, 0.1), dynamic_w=(0.4, 0.4))
    same = tuple(replace(p, energy_mj=10.0) for p in view.points)
    snapshot = make_snapshot(replace(view, points=same), units=(flat, LITTLE))
    pace = paces_of({"a": point(replace(view, points=same))}, {"big": 2000.0, "little": 500.0}, snapshot)["a"]
    assert (pace.rest_mhz, pace.least_mhz) == (2000.0, 2000.0)
    # Where power is unknown there is nothing to save.
    unknown = make_snapshot(view, units=(replace(PACED, static_w=None, dynamic_w=None), LITTLE))
    assert paces_of({"a": point(view)}, {"big": 2000.0, "little": 500.0}, unknown)["a"].rest_mhz == 2000.0
