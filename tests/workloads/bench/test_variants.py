"""A bench changes mixes and boards: clones, floors and power figures."""

import pytest

from actors.cluster import packaged_board
from scheduler.board import Board, BoardUnit
from workloads import App, Mix, Periodic, Poisson, at
from workloads.bench.sensitivity import CHANGES, bent_power, idle_share, moved_memory_share, scaled_static
from workloads.bench.variants import clone_apps, with_floors
from workloads.mix.events import AppChange

MIX = Mix(
    "gate",
    duration_s=20,
    apps=[App("in", "ofa-plates", Poisson(hz=5), 60, min_accuracy=0.8), App("out", "ofa-plates", Periodic(hz=2), 90)],
    events=[
        at(5, "in", latency_ms=30, min_accuracy=0.7),
        at(8, unit="big", max_mhz=1400),
        at(10, add=App("yard", "ofa-plates", Poisson(hz=3), 200, min_accuracy=0.6)),
        at(12, "out", min_accuracy=0.75),
        at(15, remove="yard"),
    ],
)

UNIT = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0, 1),
    dvfs="emulated",
    mhz=(500.0, 1000.0),
    static_w=(0.2, 1.0),
    dynamic_w=(0.4, 2.0),
)
BOARD = Board(name="board", units=(UNIT,), base_w=None, sensor="none", power_source="made up")


def floors_of(mix: Mix, app: str) -> list[tuple[float, float]]:
    return [(target.from_s, target.min_accuracy) for target in mix.targets_of(app)]


def test_clones_have_names_of_their_own_and_the_same_targets() -> None:
    cloned = clone_apps(MIX, 3)
    names = [presence.app.name for presence in cloned.all_apps()]
    assert sorted(names) == sorted([f"{app}{tail}" for app in ("in", "out", "yard") for tail in ("", "-2", "-3")])
    for app in ("in", "out", "yard"):
        assert cloned.targets_of(f"{app}-3") == MIX.targets_of(app)
    assert {presence.app.name: presence.to_s for presence in cloned.all_apps()}["yard-2"] == 15


def test_clones_of_a_poisson_app_have_arrivals_of_their_own_and_the_first_keeps_its() -> None:
    arrivals_s, before_s = clone_apps(MIX, 2).arrivals_s(seed=1), MIX.arrivals_s(seed=1)
    assert arrivals_s["in"].tolist() == before_s["in"].tolist()
    assert arrivals_s["in-2"].tolist() != before_s["in"].tolist()


def test_what_happens_to_the_board_happens_once() -> None:
    assert sum(not isinstance(event, AppChange) and event.at_s == 8 for event in clone_apps(MIX, 4).events) == 1


def test_once_is_the_mix_itself() -> None:
    assert clone_apps(MIX, 1) == MIX


def test_floors_take_the_place_of_a_mix_s_own() -> None:
    changed = with_floors(MIX, {"in": [(0.0, 0.9), (5.0, 0.85)], "yard": [(10.0, 0.5)]})
    assert floors_of(changed, "in") == [(0.0, 0.9), (5.0, 0.85)]
    assert floors_of(changed, "yard") == [(10.0, 0.5)]
    assert floors_of(changed, "out") == floors_of(MIX, "out")
    assert [target.latency_ms for target in changed.targets_of("in")] == [60, 30]


def test_an_event_that_changed_a_floor_alone_is_replaced_whole() -> None:
    changed = with_floors(MIX, {"out": [(0.0, 0.6), (12.0, 0.65)]})
    assert floors_of(changed, "out") == [(0.0, 0.6), (12.0, 0.65)]
    assert len(changed.events) == len(MIX.events)


def test_static_power_is_booked_differently_and_a_busy_unit_takes_what_it_took() -> None:
    unit = scaled_static(BOARD, 1.5).unit("big")
    # By hand: 0.2 · 1.5 of 0.2 + 2 · 0.4 = 1, the rest over two cores; 1 · 1.5 of 5.
    assert unit.static_w == pytest.approx((0.3, 1.5))
    assert unit.dynamic_w == pytest.approx((0.35, 1.75))


def test_static_power_never_takes_all() -> None:
    unit = scaled_static(BOARD, 100.0).unit("big")
    assert unit.static_w == pytest.approx((0.95, 4.75))
    assert unit.dynamic_w == pytest.approx((0.025, 0.125))


def test_a_bent_curve_is_as_it_was_at_the_top() -> None:
    unit = bent_power(BOARD, 0.5).unit("big")
    assert unit.dynamic_w == pytest.approx((0.4 * 0.5**0.5, 2.0))
    assert unit.static_w == UNIT.static_w


def test_idle_power_is_a_share_of_static() -> None:
    assert idle_share(BOARD, 0.25).unit("big").idle_share == 0.25


def test_a_moved_memory_share_stays_a_share_and_leaves_the_top_clock_s_times_alone() -> None:
    more, less = (moved_memory_share(BOARD, by).unit("big") for by in (0.15, -0.15))
    assert (more.memory_share, less.memory_share) == (0.15, 0.0)
    assert moved_memory_share(BOARD, 2.0).unit("big").memory_share < 1
    # By hand: at half the clock a millisecond's work takes 0.15 + 0.85 · 2.
    assert more.pace(500.0) == pytest.approx(1 / 1.85)
    assert more.pace(1000.0) == UNIT.pace(1000.0)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["two-core-host", "one-unit-host"])
def test_every_change_of_a_packaged_board_is_a_board(change: str, name: str) -> None:
    before = packaged_board(name)
    after = CHANGES[change](before)
    # A change may leave a figure alone, but not the board; only idle power and memory share start at an end there.
    assert after != before or change in {"idle power 100 % of static", "memory share 0.15 less"}
    for was, unit in zip(before.units, after.units, strict=True):
        assert was.static_w
        assert was.dynamic_w
        assert unit.static_w
        assert unit.dynamic_w
        assert list(unit.static_w) == sorted(unit.static_w)
        assert min(unit.dynamic_w) > 0
        top_w = unit.static_w[-1] + unit.cores * unit.dynamic_w[-1]
        assert top_w == pytest.approx(was.static_w[-1] + was.cores * was.dynamic_w[-1])


@pytest.mark.parametrize("change", CHANGES)
def test_a_board_without_power_figures_stays_without(change: str) -> None:
    bare = Board(
        name="bare",
        units=(BoardUnit(name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1.0,), static_w=None, dynamic_w=None),),
        base_w=None,
        sensor="none",
        power_source="unknown",
    )
    changed = CHANGES[change](bare).unit("cpu")
    assert (changed.static_w, changed.dynamic_w) == (None, None)
