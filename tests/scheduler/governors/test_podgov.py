"""The GPU's governors give, step by step, the integers that the drivers' formulas give by hand."""

from __future__ import annotations

from scheduler.governors import Governor, Podgov

FINE = tuple(float(mhz) for mhz in range(100, 1201))


def play(governor: Governor, shares: list[float], *, mhz: float, allowed: tuple[float, ...] = FINE) -> list[float]:
    """The clocks set after each period, in which the GPU was busy for that share of it."""
    busy_us = 0.0
    clocks = [governor.step(0, (busy_us,), mhz, allowed)]
    for number, share in enumerate(shares, 1):
        busy_us += share * governor.period_us
        clocks.append(governor.step(number * governor.period_us, (busy_us,), clocks[-1], allowed))
    return clocks[1:]


def test_podgov_follows_the_drivers_integers() -> None:
    # avg is the average of clock · share in Hz, fav that of requests in MHz; at most 1200/3 = 400 MHz up.
    #  25 ms, full: avg = 600e6/11 = 54545454; less than 50 ms since the start: 600
    #  50 ms, full: avg = (10·54545454 + 600e6)/11 = 104132230; 600 + 400, undamped; fav = 1000/11 = 90: 1000
    #  75 ms, half: avg = (10·104132230 + 500e6)/11 = 140120209; less than 50 ms since the change: 1000
    # 100 ms, half: avg = 172836553, 172 of 1000; (172 - 700)·80·1000/70000 = -603; 397; fav = (900 + 397)/11 = 117;
    #               (7·397 + 3·117)/10 = 313
    # 125 ms,  .9 : avg = (10·172836553 + 281.7e6)/11 = 182733230: 313
    # 150 ms,  .9 : avg = 191730209, 612 of 1000; (612 - 700)·80·313/70000 = -31, cut off towards 0; 282;
    #               fav = (1170 + 282)/11 = 132; (7·282 + 3·132)/10 = 237
    shares = [1.0, 1.0, 0.5, 0.5, 0.9, 0.9]
    assert play(Podgov(), shares, mhz=600) == [600, 1000, 1000, 313, 313, 237]


def test_podgov_takes_the_next_clock_up_that_is_allowed() -> None:
    # 600 + 1200/3 = 1000; under a cap of 950 it is 600 + 950/3 = 916.
    table = (250.0, 600.0, 950.0, 1050.0, 1200.0)
    assert play(Podgov(), [1.0, 1.0], mhz=600, allowed=table) == [600, 1050]
    assert play(Podgov(), [1.0, 1.0], mhz=600, allowed=table[:3]) == [600, 950]


def test_podgov_waits_after_a_change_of_clock_not_after_a_choice() -> None:
    # At 50, 75 and 100 ms it chooses the clock that it has; then the GPU idles, and it may act at once.
    clocks = play(Podgov(), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0], mhz=1200)
    assert clocks[:4] == [1200] * 4
    assert clocks[4] < 1200
    assert clocks[5] == clocks[4]


def test_podgov_asks_for_a_third_more_only_above_nine_tenths() -> None:
    # 50 ms at .90: avg = 540e6/11 = 49090909, then (490909090 + 540e6)/11 = 93719008: 156 of 1000;
    # (156 - 700)·80·600/70000 = -373; 227; fav = 227/11 = 20; (7·227 + 3·20)/10 = 164.
    assert play(Podgov(), [0.90, 0.90], mhz=600) == [600, 164]
    assert play(Podgov(), [0.901, 0.901], mhz=600) == [600, 1000]


def test_podgov_under_full_load_climbs_to_the_top_and_an_idle_gpu_falls_to_the_bottom() -> None:
    assert play(Podgov(), [1.0] * 8, mhz=100) == [100, 500, 500, 900, 900, 1200, 1200, 1200]
    idle = play(Podgov(), [0.0] * 40, mhz=1200)
    assert idle == sorted(idle, reverse=True)
    assert idle[-1] == 100


def test_a_shorter_polling_interval_does_not_shorten_the_wait() -> None:
    # Polled every 10 ms the first choice comes at 50 ms still.
    assert play(Podgov(period_us=10_000), [1.0] * 6, mhz=600) == [600, 600, 600, 600, 1000, 1000]
