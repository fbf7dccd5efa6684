"""Placement is exclusive where it fits, balanced where it does not, and moves nobody without need."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.board import Board, BoardUnit
from scheduler.placement import assign_cpus
from scheduler.views import Gear


def make_unit(name: str, kind: str, cpus: tuple[int, ...]) -> BoardUnit:
    return BoardUnit(
        name=name, kind=kind, cpus=cpus, dvfs="emulated", mhz=(500.0, 1000.0), static_w=None, dynamic_w=None
    )


BOARD = Board(
    name="six",
    units=(
        make_unit("big", "cpu", (4, 5, 6, 7)),
        make_unit("little", "cpu", (0, 1)),
        make_unit("gpu", "gpu", ()),
    ),
    base_w=None,
    sensor="none",
    power_source="none",
)
ONLINE = {"big": (4, 5, 6, 7), "little": (0, 1), "gpu": (0,)}


def gear(unit: str, cores: int) -> Gear:
    return Gear(subnet="s", unit=unit, cores=cores)


def test_takes_the_units_first_cpus():
    gears = {"a": gear("big", 2), "b": gear("big", 1), "c": gear("little", 2), "d": gear("gpu", 1)}
    assert assign_cpus(BOARD, gears, {}, ONLINE) == {"a": (4, 5), "b": (6,), "c": (0, 1), "d": ()}


def test_keeps_what_is_held_and_fills_from_what_is_free():
    gears = {"a": gear("big", 2), "b": gear("big", 2)}
    held = {"a": ("big", (7,)), "b": ("big", (4, 6))}
    assert assign_cpus(BOARD, gears, held, ONLINE) == {"a": (5, 7), "b": (4, 6)}


def test_shrinking_keeps_a_part():
    held = {"a": ("big", (5, 6, 7))}
    assert assign_cpus(BOARD, {"a": gear("big", 1)}, held, ONLINE) == {"a": (5,)}


def test_cpus_of_another_unit_are_not_held_here():
    assert assign_cpus(BOARD, {"a": gear("little", 1)}, {"a": ("big", (4, 5))}, ONLINE) == {"a": (0,)}


def test_lost_cores_are_not_given():
    held = {"a": ("big", (6, 7)), "b": ("big", (4,))}
    cpus = assign_cpus(BOARD, {"a": gear("big", 1), "b": gear("big", 1)}, held, {**ONLINE, "big": (4, 6)})
    assert cpus == {"a": (6,), "b": (4,)}


def test_more_cores_than_online_takes_all_that_are():
    assert assign_cpus(BOARD, {"a": gear("big", 4)}, {}, {**ONLINE, "big": (4, 6)}) == {"a": (4, 6)}


def test_shared_unit_is_balanced():
    gears = {"wide": gear("big", 3), "x": gear("big", 1), "y": gear("big", 1)}
    assert assign_cpus(BOARD, gears, {}, ONLINE) == {"wide": (4, 5, 6), "x": (7,), "y": (4,)}


@pytest.mark.parametrize("reverse", [False, True])
def test_order_of_the_mapping_does_not_matter(reverse):
    gears = {name: gear("little", 1) for name in sorted("abc", reverse=reverse)}
    assert assign_cpus(BOARD, gears, {}, ONLINE) == {"a": (0,), "b": (1,), "c": (0,)}


APPS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.one_of(
        st.builds(gear, st.just("big"), st.integers(1, 4)),
        st.builds(gear, st.just("little"), st.integers(1, 2)),
        st.builds(gear, st.just("gpu"), st.just(1)),
    ),
)
CPUS_ONLINE = st.fixed_dictionaries({unit.name: st.sets(st.sampled_from(unit.all_cpus)) for unit in BOARD.units})


@st.composite
def held_cpus(draw):
    held = {}
    for app in draw(st.sets(st.sampled_from("abcdefgh"))):
        unit = draw(st.sampled_from(BOARD.units[:2]))
        held[app] = (unit.name, tuple(sorted(draw(st.sets(st.sampled_from(unit.cpus), min_size=1)))))
    return held


@given(gears=APPS, held=held_cpus(), online=CPUS_ONLINE)
def test_every_assignment_is_right(gears, held, online):
    cpus = assign_cpus(BOARD, gears, held, online)
    assert list(cpus) == list(gears)
    for unit in BOARD.units[:2]:
        usable = online[unit.name]
        here = [app for app in gears if gears[app].unit == unit.name]
        taken = Counter(cpu for app in here for cpu in cpus[app])
        assert set(taken) <= set(usable)
        for app in here:
            assert len(set(cpus[app])) == len(cpus[app]) == min(gears[app].cores, len(usable))
        loads = [taken[cpu] for cpu in usable]
        if sum(min(gears[app].cores, len(usable)) for app in here) <= len(usable):
            assert max(loads, default=0) <= 1
        elif usable:
            assert max(loads) - min(loads) <= 1
    # What has been handed out is handed out again.
    as_held = {app: (gears[app].unit, cpus[app]) for app in gears}
    assert assign_cpus(BOARD, gears, as_held, online) == cpus


@given(gears=APPS, held=held_cpus())
def test_nobody_who_fits_is_driven_out(gears, held):
    here = {app: g for app, g in gears.items() if g.unit == "big"}
    if sum(g.cores for g in here.values()) > 4:
        return
    mine = {app: set(held[app][1]) for app in here if app in held and held[app][0] == "big"}
    if any(mine[a] & mine[b] for a in mine for b in mine if a < b):
        return
    cpus = assign_cpus(BOARD, gears, held, ONLINE)
    for app, before in mine.items():
        assert len(before & set(cpus[app])) == min(len(before), gears[app].cores)
