"""The fits find again what records were made of, and say what can't be found."""

from __future__ import annotations

import random
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.board_commands.calibration_fit import false_clocks, fit_rail, fit_speed
from actors.board_commands.calibration_plan import Point, Record, held_out, loads, plan
from scheduler.board import BoardUnit

WATTS = st.floats(0.01, 5.0)


def unit(name: str, cores: int, clocks: int) -> BoardUnit:
    mhz = tuple(float(200 + 300 * place) for place in range(clocks))
    cpus = tuple(range(cores))
    return BoardUnit(name=name, kind="cpu", cpus=cpus, dvfs="cpufreq", mhz=mhz, static_w=None, dynamic_w=None)


# ---------------------------------------------------------------- the plan


def test_a_unit_behind_a_rail_is_measured_at_every_clock_and_load_and_others_for_their_speed() -> None:
    points = plan([unit("a", 2, 3), unit("b", 1, 2)], ["a"])
    assert sorted((one.unit, one.mhz, one.busy) for one in points) == [
        *(("a", mhz, busy) for mhz in (200.0, 500.0, 800.0) for busy in (0, 1, 2)),
        *(("b", mhz, 1) for mhz in (200.0, 500.0)),
    ]
    assert [one.unit for one in points] != sorted(one.unit for one in points)
    assert plan([unit("a", 2, 3)], ["a"]) == plan([unit("a", 2, 3)], ["a"])


@given(cores=st.integers(1, 128))
def test_loads_go_from_none_to_all_and_are_few(cores: int) -> None:
    found = loads(cores)
    assert {0, 1, cores} <= set(found)
    assert list(found) == sorted(set(found))
    assert len(found) <= 5


@given(cores=st.integers(1, 6), clocks=st.integers(1, 8), seed=st.integers(0, 9))
def test_what_is_held_out_is_neither_idle_nor_full_and_one_of_its_clock(cores: int, clocks: int, seed: int) -> None:
    records = [Record(point=one, granted_mhz=one.mhz) for one in plan([unit("a", cores, clocks)], ["a"])]
    out = [records[place].point for place in held_out(records, seed)]
    assert all(0 < one.busy < cores for one in out)
    assert len({one.mhz for one in out}) == len(out)


# ---------------------------------------------------------------- power


@st.composite
def rails(draw: st.DrawFn) -> tuple[list[BoardUnit], float, dict[str, list[float]], dict[str, list[float]]]:
    """Units of one rail, what the rail takes at rest, and by unit what it takes more at each clock, and a busy core."""
    there = [
        unit(name, draw(st.integers(1, 4)), draw(st.integers(1, 6)))
        for name in ("a", "b", "c")[: draw(st.integers(1, 3))]
    ]
    static = {one.name: list(accumulate([0.0, *(draw(WATTS) for _ in one.mhz[1:])])) for one in there}
    return there, draw(WATTS), static, {one.name: [draw(WATTS) for _ in one.mhz] for one in there}


def shown(
    units: list[BoardUnit],
    rest_w: float,
    static: dict[str, list[float]],
    dynamic: dict[str, list[float]],
    noise_w: float = 0.0,
) -> list[Record]:
    """Return the records of a rail on which all that is true."""
    places = {one.name: one.mhz.index for one in units}
    rng = random.Random(1)
    records = []
    for point in plan(units, [one.name for one in units]):
        place = places[point.unit](point.mhz)
        power_w = rest_w + static[point.unit][place] + point.busy * dynamic[point.unit][place]
        powers_w = {"VDD": power_w + rng.gauss(0.0, noise_w) if noise_w else power_w}
        records.append(Record(point=point, granted_mhz=point.mhz, powers_w=powers_w))
    return records


@settings(max_examples=60)
@given(made=rails())
def test_power_without_noise_is_found_again(
    made: tuple[list[BoardUnit], float, dict[str, list[float]], dict[str, list[float]]],
) -> None:
    units, rest_w, static, dynamic = made
    records = shown(*made)
    fit = fit_rail(records, "VDD", [one.name for one in units], held_out(records))
    assert fit is not None
    assert fit.rest_w == pytest.approx(rest_w, abs=1e-6)
    for one in units:
        assert list(fit.static_w[one.name].values()) == pytest.approx(static[one.name], abs=1e-6)
        assert list(fit.dynamic_w[one.name].values()) == pytest.approx(dynamic[one.name], abs=1e-6)
    assert fit.worst_w < 1e-6
    assert fit.unseen_error is None or fit.unseen_error < 1e-6
    assert fit.fitted + fit.unseen == len(records)


def test_noise_shows_in_the_residual_and_in_what_was_held_out() -> None:
    units = [unit("a", 4, 8), unit("b", 4, 8)]
    static = {name: [0.02 * place for place in range(8)] for name in "ab"}
    dynamic = {name: [0.1 + 0.1 * place for place in range(8)] for name in "ab"}
    records = shown(units, 1.0, static, dynamic, noise_w=0.02)
    fit = fit_rail(records, "VDD", ["a", "b"], held_out(records))
    assert fit is not None
    assert 0.005 < fit.residual_w < 0.02 < fit.worst_w
    assert fit.unseen_error is not None
    assert 0 < fit.unseen_error < 0.05
    # What a unit takes at rest does not fall from clock to clock, whatever the noise.
    for table in fit.static_w.values():
        assert list(table.values()) == sorted(table.values())


def test_a_rail_that_was_not_measured_has_no_fit() -> None:
    record = Record(point=Point(unit="a", mhz=200.0, busy=1), granted_mhz=200.0, powers_w={"VDD": 1.0})
    assert fit_rail([record], "OTHER", ["a"]) is None
    assert fit_rail([record], "VDD", ["b"]) is None
    assert fit_rail([record], "VDD", ["a"], {0}) is None


def test_a_clock_with_one_load_alone_is_left_out_since_a_core_cannot_be_told_from_the_rest() -> None:
    units = [unit("a", 2, 3)]
    records = shown(units, 1.0, {"a": [0.0, 0.1, 0.2]}, {"a": [0.5, 0.6, 0.7]})
    for lost in ((0,), (0, 2), (1, 2)):
        kept = [one for one in records if one.point.mhz != 800.0 or one.point.busy not in lost]
        fit = fit_rail(kept, "VDD", ["a"], held_out(kept))
        assert fit is not None
        told = (200.0, 500.0, 800.0) if lost == (0,) else (200.0, 500.0)
        assert tuple(fit.dynamic_w["a"]) == told
        assert list(fit.dynamic_w["a"].values()) == pytest.approx([0.5, 0.6, 0.7][: len(told)])


# ---------------------------------------------------------------- time


def timed(step_s: dict[float, float]) -> list[Record]:
    return [
        Record(point=Point(unit="a", mhz=mhz, busy=1), granted_mhz=mhz, step_s=time_s) for mhz, time_s in step_s.items()
    ]


@given(share=st.floats(0, 1), top_s=st.floats(1e-4, 1.0), clocks=st.integers(3, 12))
def test_the_memory_share_is_found_again(share: float, top_s: float, clocks: int) -> None:
    top = 300.0 * clocks
    step_s = {300.0 * n: top_s * (share + (1 - share) * top / (300.0 * n)) for n in range(1, clocks + 1)}
    fit = fit_speed(timed(step_s), "a")
    assert fit is not None
    if not fit.false_mhz:
        assert fit.memory_share == pytest.approx(share, abs=1e-6)
    assert fit.top_s == pytest.approx(top_s)


@pytest.mark.parametrize(
    "step_s",
    [
        {1000.0: 0.01},
        {1000.0: 0.01, 2000.0: 0.005},  # two clocks always fit
        {1000.0: 0.012, 1200.0: 0.010, 1400.0: 0.0086},  # too near each other
        {1000.0: 0.01, 1400.0: 0.003, 1800.0: 0.009, 2200.0: 0.004},  # noise
    ],
)
def test_a_memory_share_that_cannot_be_told_is_unknown(step_s: dict[float, float]) -> None:
    fit = fit_speed(timed(step_s), "a")
    assert fit is not None
    assert fit.memory_share is None


def test_a_unit_that_was_not_timed_has_no_speed() -> None:
    assert fit_speed(timed({1000.0: 0.01}), "other") is None


@settings(max_examples=200)
@given(
    least=st.sampled_from([1000.0, 1200.0, 1500.0]),
    most=st.sampled_from([1900.0, 2200.0, 2400.0]),
    noise=st.floats(0, 0.01),
    seed=st.integers(0, 99),
)
def test_clocks_beyond_those_that_are_real_are_found(least: float, most: float, noise: float, seed: int) -> None:
    rng = random.Random(seed)
    clocks = [float(mhz) for mhz in range(1000, 2401, 100)]
    step_s = {mhz: 10 / min(max(mhz, least), most) * (1 + noise * rng.uniform(-1, 1)) for mhz in clocks}
    found = false_clocks(step_s)
    # The neighbours of an end may pass for it, since a step of 100 MHz is hardly more than what a machine repeats to.
    below = {mhz for mhz in clocks if mhz < least}
    above = {mhz for mhz in clocks if mhz > most}
    if least > 1000:
        assert {mhz for mhz in below if mhz <= least / 1.1} <= set(found)
    if most <= 2200:
        assert {mhz for mhz in above if mhz >= most * 1.1} <= set(found)
    assert all(mhz in below | above or abs(mhz - real) <= 100 for mhz, real in found.items())
    assert all(abs(real - (least if mhz < 1700 else most)) <= 100 for mhz, real in found.items())


def test_a_clock_that_never_changes_leaves_the_highest() -> None:
    assert false_clocks({600.0: 0.01, 1200.0: 0.0101, 1907.2: 0.01}) == {600.0: 1907.2, 1200.0: 1907.2}


@given(steps=st.lists(st.floats(1.04, 1.3), min_size=1, max_size=20))
def test_real_clocks_are_never_called_false(steps: list[float]) -> None:
    clocks = list(accumulate([200.0, *steps], lambda mhz, step: mhz * step))
    assert false_clocks({mhz: 1 / mhz for mhz in clocks}) == {}
