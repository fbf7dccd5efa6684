"""Generated mixes are valid, repeat by their seed, and have the utilisation that they state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.cluster import packaged_board
from actors.stored_profiles import packaged_profile
from workloads.mix.errors import MixError
from workloads.mix.events import AppChange, AppRemoval
from workloads.runs.simulated import plan_simulation
from workloads.suite.generated import bounded_loads, generated_mix, uunifast

BOARDS = {
    name: packaged_board(name)
    for name in (
        "two-core-host",
        "one-unit-host",
        "odroid-xu3",
        "jetson-xavier-nx",
        "jetson-xavier-nx-unclamped",
        "raspberry-pi-4",
        "odroid-n2",
    )
}
CORES = {"raspberry-pi-4": 4, "odroid-n2": 2}
"""Cores that each network takes, where that is not one."""
seeds = st.integers(0, 2**32)
boards = st.sampled_from(list(BOARDS.values()))


@given(n=st.integers(1, 20), total=st.floats(0.01, 10), seed=seeds)
@settings(deadline=None)
def test_uunifast_gives_so_many_numbers_of_that_total(n, total, seed):
    numbers = uunifast(n, total, np.random.default_rng(seed))
    assert len(numbers) == n
    assert min(numbers) >= 0
    assert sum(numbers) == pytest.approx(total)


def test_uunifast_is_uniform_over_all_shares_of_the_total():
    rng = np.random.default_rng(0)
    draws = np.array([uunifast(3, 1.0, rng) for _ in range(4000)])
    # Of shares uniform on the simplex each has mean 1/n and second moment 2 / (n (n + 1)).
    assert draws.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=0.02)
    assert (draws**2).mean(axis=0) == pytest.approx([1 / 6] * 3, abs=0.02)


@given(n=st.integers(1, 8), place=st.floats(0, 1), low=st.floats(0, 0.1), high=st.floats(0.2, 0.9), seed=seeds)
@settings(deadline=None)
def test_loads_keep_their_bounds_and_their_total_anywhere_between(n, place, low, high, seed):
    total = n * (low + place * (high - low))
    loads = bounded_loads(n, total, low=low, high=high, rng=np.random.default_rng(seed))
    assert len(loads) == n
    assert sum(loads) == pytest.approx(total)
    assert low - 1e-9 <= min(loads)
    assert max(loads) <= high + 1e-9


@pytest.mark.parametrize("total", [0.6, 2.1], ids=["below the middle", "above the middle"])
def test_loads_within_bounds_are_as_uniform_as_those_of_plain_discarding(total):
    rng = np.random.default_rng(1)
    ours = np.array([bounded_loads(3, total, low=0.0, high=0.9, rng=rng) for _ in range(2000)])
    plain = np.array([draw for draw in (uunifast(3, total, rng) for _ in range(40_000)) if max(draw) <= 0.9])
    assert np.quantile(ours, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(plain, [0.1, 0.5, 0.9]), abs=0.04)


@given(seed=seeds, board=boards)
@settings(deadline=None, max_examples=50)
def test_every_mix_is_valid_on_its_board(seed, board):
    mix = generated_mix(seed, board).mix
    plan_simulation(mix, board)
    assert mix.boards == (board.name,)
    assert 1 <= len(mix.all_apps()) <= 8


@given(seed=seeds, board=boards)
@settings(deadline=None, max_examples=25)
def test_the_same_seed_makes_the_same_mix(seed, board):
    assert generated_mix(seed, board) == generated_mix(seed, board)


@given(seed=seeds, board=boards)
@settings(deadline=None, max_examples=50)
def test_each_kind_of_unit_has_the_utilisation_that_was_asked(seed, board):
    made = generated_mix(seed, board)
    for kind in {unit.kind for unit in board.units}:
        # At its top clock a unit goes at its `speed`.
        cores = CORES.get(board.name, 1)
        speeds = [unit.speed for unit in board.units if unit.kind == kind for _ in range(unit.cores // cores)]
        largest = smallest = 0.0
        for app in (presence.app for presence in made.mix.all_apps()):
            rungs = packaged_profile(app.supernet).rungs
            times = {
                rung.accuracy: time.mean_ms / max(speeds)
                for rung in rungs
                for time in rung.times
                if (time.kind, time.cores) == (kind, cores)
            }
            if times:
                largest += app.arrivals.hz * max(times.values()) / 1000
                smallest += app.arrivals.hz * times[app.min_accuracy] / 1000
        assert largest / (sum(speeds) / max(speeds)) == pytest.approx(made.utilisation)
        assert 0 < smallest <= largest


@given(seed=seeds, board=boards)
@settings(deadline=None, max_examples=25)
def test_no_event_makes_a_mix_ask_more_than_its_utilisation(seed, board):
    mix = generated_mix(seed, board).mix
    for event in mix.events:
        assert not isinstance(event, AppChange) or event.changes.keys() == {"latency_ms"}
        assert not isinstance(event, AppRemoval) or event.at_s >= mix.duration_s / 2
    for app in (presence.app for presence in mix.all_apps()):
        assert min(target.latency_ms for target in mix.targets_of(app.name)) == pytest.approx(app.latency_ms)


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_two_hundred_seeds_make_two_hundred_mixes_of_all_kinds(board):
    made = [generated_mix(seed, board) for seed in range(200)]
    assert len({repr(replace(one.mix, name="any")) for one in made}) == 200
    assert min(one.utilisation for one in made) < 0.15
    assert max(one.utilisation for one in made) > 0.85
    assert {len(one.mix.all_apps()) for one in made} >= {2, 3, 4, 5, 6, 7, 8}
    assert {bool(one.mix.events) for one in made} == {False, True}
    arrivals = {type(presence.app.arrivals).__name__ for one in made for presence in one.mix.all_apps()}
    assert arrivals == {"Periodic", "Poisson"}
    rates_hz = [presence.app.arrivals.hz for one in made for presence in one.mix.all_apps()]
    assert max(rates_hz) <= 60 + 1e-9


def test_a_board_of_another_core_than_any_profile_is_refused():
    with pytest.raises(MixError, match=r"board 'two-core-host': no mix can be generated.*speed_of 'abacus'"):
        generated_mix(0, replace(BOARDS["two-core-host"], speed_of="abacus"))


def test_a_board_that_eight_applications_can_not_load_is_refused():
    board = BOARDS["two-core-host"]
    fast = replace(board, units=tuple(replace(unit, speed=1.0) for unit in board.units))
    with pytest.raises(MixError, match="too fast"):
        generated_mix(0, fast)


def test_a_seed_that_is_no_whole_number_is_refused():
    with pytest.raises(MixError, match="seed"):
        generated_mix(-1, BOARDS["two-core-host"])
