"""A unit can do what its DVFS word in `cluster.yaml` says, and a board uses the energy of its units and of the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.board import Board, BoardUnit
from scheduler.dvfs import DVFS

UNIT = BoardUnit(name="big", kind="cpu", cpus=(0,), dvfs="emulated", mhz=(500.0,), static_w=(0.1,), dynamic_w=(0.5,))
BOARD = Board(name="b", units=(UNIT, replace(UNIT, name="little")), base_w=1.5, sensor="none", power_source="made up")


@pytest.mark.parametrize(
    ("word", "settable", "emulated"),
    [
        ("cpufreq", True, False),
        ("devfreq", True, False),
        ("nvml", True, False),
        ("emulated", True, True),
        ("fixed", False, False),
    ],
)
def test_what_can_be_done_with_a_unit_follows_from_its_dvfs(word, settable, emulated):
    unit = replace(UNIT, dvfs=word)
    assert (unit.settable, unit.emulated) == (settable, emulated)
    assert replace(BOARD, units=(unit,)).emulated == emulated


def test_each_kind_of_unit_has_its_own_ways_to_set_a_clock():
    assert [word for word, dvfs in DVFS.items() if "cpu" in dvfs.kinds] == ["cpufreq", "emulated", "fixed"]
    assert [word for word, dvfs in DVFS.items() if "gpu" in dvfs.kinds] == ["devfreq", "nvml", "emulated", "fixed"]


def test_the_first_cpus_of_a_unit_are_those_listed_first_and_sets_of_cpus_rise():
    unit = replace(UNIT, cpus=(6, 4, 5))
    assert (unit.numbers, unit.all_cpus) == ((6, 4, 5), (4, 5, 6))
    assert [unit.first_cpus(count) for count in range(5)] == [(), (6,), (4, 6), (4, 5, 6), (4, 5, 6)]


def test_a_gpu_has_one_core_which_is_number_0():
    gpu = replace(UNIT, kind="gpu", cpus=())
    assert (gpu.cores, gpu.numbers, gpu.all_cpus) == (1, (0,), (0,))
    assert [gpu.first_cpus(count) for count in (0, 1, 2)] == [(), (0,), (0,)]


CLOCKED = replace(UNIT, mhz=(1000.0, 1400.0, 1800.0))


@pytest.mark.parametrize(
    ("mhz", "nearest"),
    [(1.0, 1000.0), (1199.998, 1000.0), (1200.0, 1000.0), (1200.002, 1400.0), (1399.998, 1400.0), (9e9, 1800.0)],
)
def test_the_nearest_clock_is_the_lower_of_two_as_near(mhz, nearest):
    assert CLOCKED.nearest(mhz) == nearest


@pytest.mark.parametrize(
    ("cap_mhz", "held_at"),
    [
        (None, None),
        (1500.0, 1400.0),
        (1399.998, 1400.0),
        (1372.0, 1400.0),
        (1371.0, 1000.0),
        (1.0, 1000.0),
        (1799.998, None),
        (1800.0, None),
        (2500.0, None),
    ],
)
def test_a_cap_holds_a_unit_to_the_clock_that_it_is_or_to_the_next_below(cap_mhz, held_at):
    assert CLOCKED.held_at(cap_mhz) == held_at


def test_the_number_of_a_gpus_cuda_device_is_its_place_among_the_gpus():
    units = [
        replace(UNIT, name=name, kind=kind) for name, kind in zip("abcd", ("gpu", "cpu", "gpu", "gpu"), strict=True)
    ]
    board = replace(BOARD, units=tuple(units))
    assert [board.cuda_number(name) for name in "acd"] == [0, 1, 2]


def test_a_boards_energy_is_that_of_its_units_and_of_the_rest():
    assert BOARD.board_j(40.0, 10.0) == 55.0
    assert BOARD.board_j(None, 10.0) is None
    assert replace(BOARD, base_w=None).board_j(40.0, 10.0) is None


def test_energy_is_modelled_where_every_unit_has_power_figures():
    assert BOARD.energy_source == "modelled"
    assert replace(BOARD, units=(UNIT, replace(UNIT, static_w=None))).energy_source == "unknown"


@pytest.mark.parametrize(
    ("dvfs", "transition_us", "paced"),
    [
        ("cpufreq", 140.0, True),
        ("cpufreq", 5000.0, False),
        ("cpufreq", 0.0, False),  # unknown, which may be milliseconds
        ("emulated", 0.0, True),  # gearshift plays it, and takes no time to
        ("devfreq", 140.0, False),
    ],
)
def test_requests_have_clocks_of_their_own_where_a_change_is_known_to_be_quick(
    dvfs: str, transition_us: float, paced: bool
) -> None:
    kind, cpus = ("gpu", ()) if dvfs == "devfreq" else ("cpu", (0,))
    unit = replace(UNIT, kind=kind, cpus=cpus, dvfs=dvfs, mhz=(500.0, 1000.0), transition_us=transition_us)
    assert unit.can_pace(10.0) is paced


SHARES = st.floats(0, 1)
CLOCKS = st.lists(st.floats(100, 4000), min_size=1, max_size=8, unique=True).map(lambda mhz: tuple(sorted(mhz)))


@given(mhz=CLOCKS, speed=st.floats(0.05, 20), of_unit=SHARES, own=SHARES)
def test_a_networks_own_share_says_how_far_its_pace_follows_the_clock(mhz, speed, of_unit, own):
    unit = replace(UNIT, mhz=mhz, speed=speed, memory_share=of_unit)
    paces = [unit.pace(one, own) for one in mhz]
    assert paces == sorted(paces)
    assert paces[-1] == pytest.approx(speed)
    # Time at a clock is the part that stays, and the part that grows as the clock falls.
    assert [1 / pace for pace in paces] == pytest.approx([(own + (1 - own) * mhz[-1] / one) / speed for one in mhz])
    assert [unit.pace(one, of_unit) for one in mhz] == pytest.approx([unit.pace(one) for one in mhz])
    assert [unit.pace(one, 1.0) for one in mhz] == pytest.approx([speed] * len(mhz))
    assert [unit.pace(one, 0.0) for one in mhz] == pytest.approx([speed * one / mhz[-1] for one in mhz])
