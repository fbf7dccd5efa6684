"""The interactive governor makes, step by step, the choices that its rules give by hand."""

from __future__ import annotations

import pytest

from scheduler.governors import Interactive

COARSE = (500.0, 1000.0, 1500.0, 2000.0)
Shares = tuple[float, ...]


def play(
    governor: Interactive, shares: list[Shares], *, mhz: float, allowed: tuple[float, ...] = COARSE
) -> list[float]:
    """The clocks set after each step of 20 ms, in which the cores were busy for those shares of it."""
    busy_us = (0.0,) * len(shares[0])
    clocks = [governor.step(0, busy_us, mhz, allowed)]
    for number, step in enumerate(shares, 1):
        busy_us = tuple(busy + share * 20_000 for busy, share in zip(busy_us, step, strict=True))
        clocks.append(governor.step(number * 20_000, busy_us, clocks[-1], allowed))
    return clocks[1:]


def test_it_picks_the_clock_for_a_load_of_ninety_per_cent_and_the_top_one_at_ninety_nine() -> None:
    #  20 ms: .50 ·  500/.9 =  278: 500
    #  40 ms: .95 ·  500/.9 =  528: 1000
    #  60 ms: full: 2000
    #  80 ms: .10 · 2000/.9 =  222: 500, but 2000 was chosen 20 ms ago, less than 30
    # 100 ms: the same, 40 ms ago
    # 120 ms: .00: 500
    shares = [(0.5,), (0.95,), (1.0,), (0.1,), (0.1,), (0.0,)]
    assert play(Interactive(max_mhz=2000), shares, mhz=500) == [500, 1000, 2000, 2000, 500, 500]


@pytest.mark.parametrize(("share", "clock"), [(0.98, 1500), (0.989, 1500), (0.99, 2000)])
def test_load_counts_in_whole_per_cent(share: float, clock: float) -> None:
    # .98 · 1000/.9 = 1089
    assert play(Interactive(max_mhz=2000), [(share,)], mhz=1000) == [clock]


def test_steady_load_settles_at_the_lowest_clock_that_keeps_it_under_ninety_per_cent() -> None:
    # 800 MHz of work: 1.6 of 500 is full load and goes to 2000; there .4 · 2000/.9 = 889: 1000, from 40 ms on, where
    # .8 · 1000/.9 = 889 again.
    governor, mhz, busy_us, clocks = Interactive(max_mhz=2000), 500.0, 0.0, []
    for number in range(7):
        mhz = governor.step(number * 20_000, (busy_us,), mhz, COARSE)
        busy_us += 20_000 * min(1.0, 800 / mhz)
        clocks.append(mhz)
    assert clocks == [500, 2000, 2000, 1000, 1000, 1000, 1000]


def test_above_the_high_speed_it_takes_its_time() -> None:
    #  20 ms: full load under the high speed: 1000
    #  40, 60 ms: 1000/.9 = 1111: 1500, but 1000 was taken 20 and 40 ms ago, less than 50
    #  80 ms: 1500, and again from there
    shares = [(1.0,)] * 7
    governor = Interactive(max_mhz=2000, hispeed_mhz=1000, above_hispeed_us=50_000)
    assert play(governor, shares, mhz=500) == [1000, 1000, 1000, 1500, 1500, 1500, 2000]


def test_less_than_full_load_stops_at_the_high_speed_on_its_way_up() -> None:
    # .98 · 950/.9 = 1034: 1100 is above the high speed, and so is taken only from there: 20 ms later, at 1000 · .98/.9.
    governor = Interactive(max_mhz=1100, hispeed_mhz=1000)
    assert play(governor, [(0.98,), (0.98,)], mhz=950, allowed=(900.0, 950.0, 1000.0, 1100.0)) == [1000, 1100]


def test_the_core_that_needs_most_has_its_way() -> None:
    # Core 0: .95 · 500/.9 = 528: 1000, kept for 30 ms; core 1 never wants more than 500.
    shares = [(0.95, 0.1), (0.1, 0.1), (0.1, 0.1)]
    assert play(Interactive(max_mhz=2000), shares, mhz=500) == [1000, 1000, 500]
    mirrored = [(one, other) for other, one in shares]
    assert play(Interactive(max_mhz=2000), mirrored, mhz=500) == [1000, 1000, 500]


def test_a_cap_takes_hold_at_once_and_lets_go_at_the_next_full_load() -> None:
    governor = Interactive(max_mhz=2000)
    assert play(governor, [(1.0,)], mhz=500) == [2000]
    assert governor.step(25_000, (25_000.0,), 2000, COARSE[:2]) == 1000
    assert governor.step(45_000, (45_000.0,), 1000, COARSE[:2]) == 1000
    assert governor.step(65_000, (65_000.0,), 1000, COARSE) == 2000
