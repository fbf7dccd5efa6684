"""Placement is exclusive where it fits, balanced where it does not, and moves nobody without need."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.placement import assign_cpus, numbered, spread
from scheduler.views import Gear

USABLE = {"big": (4, 5, 6, 7), "little": (0, 1)}


def gear(unit: str, cores: int) -> Gear:
    return Gear(subnet="s", unit=unit, cores=cores)


def test_takes_the_units_first_cpus():
    gears = {"a": gear("big", 2), "b": gear("big", 1), "c": gear("little", 2), "d": gear("gpu", 1)}
    assert assign_cpus(USABLE, gears, {}) == {"a": (4, 5), "b": (6,), "c": (0, 1), "d": ()}


def test_keeps_what_is_held_and_fills_from_what_is_free():
    gears = {"a": gear("big", 2), "b": gear("big", 2)}
    held = {"a": ("big", (7,)), "b": ("big", (4, 6))}
    assert assign_cpus(USABLE, gears, held) == {"a": (5, 7), "b": (4, 6)}


def test_shrinking_keeps_a_part():
    held = {"a": ("big", (5, 6, 7))}
    assert assign_cpus(USABLE, {"a": gear("big", 1)}, held) == {"a": (5,)}


def test_cpus_of_another_unit_are_not_held_here():
    assert assign_cpus(USABLE, {"a": gear("little", 1)}, {"a": ("big", (4, 5))}) == {"a": (0,)}


def test_lost_cores_are_not_given():
    held = {"a": ("big", (6, 7)), "b": ("big", (4,))}
    cpus = assign_cpus({**USABLE, "big": (4, 6)}, {"a": gear("big", 1), "b": gear("big", 1)}, held)
    assert cpus == {"a": (6,), "b": (4,)}


def test_more_cores_than_online_takes_all_that_are():
    assert assign_cpus({**USABLE, "big": (4, 6)}, {"a": gear("big", 4)}, {}) == {"a": (4, 6)}


def test_shared_unit_is_balanced():
    gears = {"wide": gear("big", 3), "x": gear("big", 1), "y": gear("big", 1)}
    assert assign_cpus(USABLE, gears, {}) == {"wide": (4, 5, 6), "x": (7,), "y": (4,)}


@pytest.mark.parametrize("reverse", [False, True])
def test_order_of_the_mapping_does_not_matter(reverse):
    gears = {name: gear("little", 1) for name in sorted("abc", reverse=reverse)}
    assert assign_cpus(USABLE, gears, {}) == {"a": (0,), "b": (1,), "c": (0,)}


APPS = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.one_of(
        st.builds(gear, st.just("big"), st.integers(1, 4)),
        st.builds(gear, st.just("little"), st.integers(1, 2)),
        st.builds(gear, st.just("gpu"), st.just(1)),
    ),
)
CPUS = st.fixed_dictionaries(
    {unit: st.sets(st.sampled_from(cpus)).map(lambda some: tuple(sorted(some))) for unit, cpus in USABLE.items()}
)


@st.composite
def held_cpus(draw):
    held = {}
    for app in draw(st.sets(st.sampled_from("abcdefgh"))):
        unit = draw(st.sampled_from(list(USABLE)))
        held[app] = (unit, tuple(sorted(draw(st.sets(st.sampled_from(USABLE[unit]), min_size=1)))))
    return held


@given(gears=APPS, held=held_cpus(), left=CPUS)
def test_every_assignment_is_right(gears, held, left):
    cpus = assign_cpus(left, gears, held)
    assert list(cpus) == list(gears)
    for unit, usable in left.items():
        here = [app for app in gears if gears[app].unit == unit]
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
    assert assign_cpus(left, gears, as_held) == cpus


@given(gears=APPS, held=held_cpus())
def test_nobody_who_fits_is_driven_out(gears, held):
    here = {app: g for app, g in gears.items() if g.unit == "big"}
    if sum(g.cores for g in here.values()) > 4:
        return
    mine = {app: set(held[app][1]) for app in here if app in held and held[app][0] == "big"}
    if any(mine[a] & mine[b] for a in mine for b in mine if a < b):
        return
    cpus = assign_cpus(USABLE, gears, held)
    for app, before in mine.items():
        assert len(before & set(cpus[app])) == min(len(before), gears[app].cores)


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


# ---------------------------------------------------------------- numbers for counted CPUs


def test_applications_keep_the_cpus_that_they_have_whichever_way_they_are_counted():
    held = {"a": (5,), "b": (4,), "c": (4,)}
    assert numbered({"a": (0,), "b": (1,), "c": (1,)}, (4, 5), held) == held
    assert numbered({"a": (0,), "b": (1,), "c": (0,)}, (4, 5), held) == {"a": (5,), "b": (4,), "c": (5,)}
    assert numbered({"a": (0, 2), "b": (1,)}, (4, 6, 7), {"a": (), "b": (4,)}) == {"a": (6, 7), "b": (4,)}


@given(data=st.data(), size=st.integers(1, 6))
def test_numbers_keep_who_shares_with_whom(data, size):
    usable = sorted(data.draw(st.sets(st.integers(0, 20), min_size=size, max_size=size)))
    sets = st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True)
    counted = data.draw(st.dictionaries(st.sampled_from("abcdef"), sets))
    before = {app: data.draw(st.sets(st.sampled_from(usable))) for app in counted}
    numbers = numbered(counted, usable, before)
    for app, cpus in numbers.items():
        assert set(cpus) <= set(usable)
        assert list(cpus) == sorted(set(cpus))
        assert len(cpus) == len(counted[app])
        for other in counted:
            assert len(set(cpus) & set(numbers[other])) == len(set(counted[app]) & set(counted[other]))
    assert numbered(counted, usable, numbers) == numbers
