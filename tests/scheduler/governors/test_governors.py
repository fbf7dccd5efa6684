"""The governor models agree with the kernel's formulas, worked out by hand, and share certain properties."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cluster import packaged_board
from scheduler.governors import (
    GOVERNORS,
    Conservative,
    Governor,
    GovernorError,
    Ondemand,
    Schedutil,
    governor_for,
    governor_of,
    make_governor,
)

TABLE = tuple(float(mhz) for mhz in range(200, 2001, 100))
COARSE = (500.0, 1000.0, 1500.0, 2000.0)
PERIOD_US = 10_000
STEADY = ("schedutil", "schedutil-uclamp", "ondemand", "conservative", "interactive", "lavd")
ALL = [(name, "gpu" if name == "podgov" else "cpu") for name in GOVERNORS]
Shares = tuple[float, ...]


def play(governor: Governor, shares: list[Shares], *, mhz: float, allowed: tuple[float, ...] = TABLE) -> list[float]:
    """The clocks set after each step, in which the cores were busy for those shares of the period."""
    busy_us = (0.0,) * len(shares[0])
    now_us = 0
    clocks = [governor.step(now_us, busy_us, mhz, allowed)]
    for step in shares:
        now_us += governor.period_us
        busy_us = tuple(busy + share * governor.period_us for busy, share in zip(busy_us, step, strict=True))
        clocks.append(governor.step(now_us, busy_us, clocks[-1], allowed))
    return clocks[1:]


# ---------------------------------------------------------------- schedutil


def test_schedutil_climbs_under_full_load_as_the_kernel_does() -> None:
    # A step of 10 ms at clock f is 10 · f/2000 ms of tracked time t, over which 1 - u falls by 2^(-t/33.554):
    # by 0.94967 at 500 MHz, 0.90187 at 1000, 0.85647 at 1500. The request is 1.25 · 2000 · u.
    #   at  500: u = .0503 .0981 .1435 .1866 .2276   request 125 245 358 466 568: the fifth asks for 1000
    #   at 1000: u = .3034 .3717 .4334               request 758 929 1083: the third asks for 1500
    #   at 1500: u = .5147 .5843 .6440               request 1286 1460 1610: the third asks for 2000
    clocks = play(Schedutil(max_mhz=2000), [(1.0,)] * 14, mhz=500, allowed=COARSE)
    assert clocks == [500] * 4 + [1000] * 3 + [1500] * 3 + [2000] * 4


def test_schedutil_counts_the_time_a_slow_clock_lost_as_idle_once_the_core_idles() -> None:
    # 100 ms busy at 2000 of 2000: 1 - u = 2^(-100/33.554), u = .8733; request 2183. Then 50 ms idle: u · 2^(-50/33.554)
    # = .3109, request 777. On a core held at 1000 the 100 ms are 50 ms of tracked time and 50 ms behind: u = .6440,
    # request 1610; idle, 50 + 50 ms go by: u = .0816, request 204.
    fast = play(Schedutil(max_mhz=2000), [(1.0,)] * 10 + [(0.0,)] * 5, mhz=2000)
    assert (fast[9], fast[14]) == (2000, 800)
    slow = Schedutil(max_mhz=2000)
    for step in range(16):
        clock = slow.step(step * PERIOD_US, (min(step, 10) * PERIOD_US,), 1000, TABLE)
        if step == 10:
            assert clock == 1700
    assert clock == 300


def test_schedutil_that_reached_full_utilisation_has_no_idle_time_to_catch_up_on() -> None:
    # 1 s busy at 1000 of 2000: 500 ms of tracked time, 1 - u = 3.3e-5. Idle for 10 ms from there: u = 2^(-10/33.554)
    # = .8134, request 2033. Were the 500 ms that the clock is behind counted as idle, u would be 3e-5.
    governor = Schedutil(max_mhz=2000)
    for step in range(102):
        clock = governor.step(step * PERIOD_US, (min(step, 100) * PERIOD_US,), 1000, TABLE)
    assert clock == 2000


def test_schedutil_finds_the_clock_for_steady_work_and_stays() -> None:
    # Work of half the top clock: u = 0.5 at whatever clock it runs, request 1.25 · 2000 · 0.5 = 1250.
    governor = Schedutil(max_mhz=2000)
    mhz, busy_us, clocks = 2000.0, 0.0, []
    for step in range(100):
        mhz = governor.step(step * PERIOD_US, (busy_us,), mhz, TABLE)
        busy_us += PERIOD_US * 0.5 * 2000 / mhz
        clocks.append(mhz)
    assert set(clocks[50:]) == {1300}


def test_schedutil_follows_the_busiest_core() -> None:
    lone = play(Schedutil(max_mhz=2000), [(0.6,)] * 30, mhz=200)
    assert play(Schedutil(max_mhz=2000), [(0.1, 0.6, 0.0)] * 30, mhz=200) == lone


def test_schedutil_holds_the_clock_of_a_lone_core_that_never_idled() -> None:
    # After one busy step u = 1 - 2^(-10/33.554) = .1866, request 466.
    assert play(Schedutil(max_mhz=2000), [(1.0,)], mhz=2000) == [2000]
    assert play(Schedutil(max_mhz=2000), [(1.0, 0.0)], mhz=2000) == [500]


def test_schedutil_measures_against_the_top_clock_also_under_a_cap() -> None:
    # Busy half the time at 1000 of 2000: u tends to 0.25, request 625.
    capped = TABLE[: TABLE.index(1000) + 1]
    governor = Schedutil(max_mhz=2000)
    clocks = [governor.step(k * PERIOD_US, (k * PERIOD_US / 2,), 1000, capped) for k in range(100)]
    assert clocks[-1] == 700
    assert play(Schedutil(max_mhz=2000), [(1.0,)] * 60, mhz=200, allowed=capped)[-1] == 1000


@given(
    steps=st.lists(st.tuples(st.integers(0, 10), st.sampled_from(TABLE)), min_size=1, max_size=40),
)
def test_schedutil_keeps_the_utilisation_that_tracking_slice_by_slice_gives(
    steps: list[tuple[int, float]],
) -> None:
    # The oracle follows each step in 50 slices, busy first and idle then, as a scheduler would see them.
    def decay(elapsed_us: float) -> float:
        return 0.5 ** (elapsed_us / 33_554.432)

    governor = Schedutil(max_mhz=2000)
    governor.step(0, (0.0, 0.0), TABLE[0], TABLE)
    util = lag_us = busy_us = 0.0
    now_us = 0
    for tenths, mhz in steps:
        slice_us, scale = PERIOD_US / 50, mhz / 2000
        run_us, idle_us = slice_us * tenths / 10, slice_us * (1 - tenths / 10)
        for _ in range(50):
            util = 1 - (1 - util) * decay(run_us * scale)
            lag_us += run_us * (1 - scale)
            if idle_us:
                util *= decay(idle_us + (0 if util >= 1023 / 1024 else lag_us))
                lag_us = 0
        now_us += PERIOD_US
        busy_us += tenths / 10 * PERIOD_US
        clock = governor.step(now_us, (busy_us, 0.0), mhz, TABLE)
        lowest = min((f for f in TABLE if f >= 2500 * (util - 0.003)), default=2000)
        highest = min((f for f in TABLE if f >= 2500 * (util + 0.003)), default=2000)
        assert lowest <= clock <= highest


# ---------------------------------------------------------------- ondemand


@pytest.mark.parametrize(
    ("load", "clock", "capped"),
    [
        (1.00, 2000, 1400),
        (0.81, 2000, 1400),  # more than 80 %: the highest allowed
        (0.80, 1600, 1400),  # 200 + 80 · 1800 / 100 = 1640, closest 1600
        (0.50, 1100, 1100),  # 200 + 900
        (0.25, 600, 600),  # 650 lies between 600 and 700: the lower
        (0.29, 700, 700),  # 722
        (0.299, 700, 700),  # whole per cent: still 722
        (0.00, 200, 200),
    ],
)
def test_ondemand_clocks_in_proportion_to_load(load: float, clock: float, capped: float) -> None:
    assert play(Ondemand(max_mhz=2000), [(load,)], mhz=1000) == [clock]
    # A cap limits what is set, not the range that load is a share of.
    allowed = TABLE[: TABLE.index(1400) + 1]
    assert play(Ondemand(max_mhz=2000), [(load,)], mhz=1000, allowed=allowed) == [capped]


def test_ondemand_sees_each_period_on_its_own_and_the_busiest_core_in_it() -> None:
    shares = [(0.1, 0.9), (0.0, 0.0), (0.5, 0.2), (1.0, 1.0)]
    assert play(Ondemand(max_mhz=2000), shares, mhz=200) == [2000, 200, 1100, 2000]


def test_ondemand_with_the_threshold_of_a_tickless_kernel() -> None:
    # 200 + 95 · 18 = 1910, closest 1900.
    assert play(Ondemand(max_mhz=2000, up_threshold=95), [(0.95,), (0.96,)], mhz=200) == [1900, 2000]


# ---------------------------------------------------------------- conservative


def test_conservative_takes_steps_of_five_per_cent_of_the_highest_allowed_clock() -> None:
    # 5 % of 2000 is 100, a step of the table. Loads of exactly 80 % and 20 % change nothing.
    shares = [(0.81,), (1.0,), (0.80,), (0.5,), (0.20,), (0.19,), (0.0,), (0.0,)]
    assert play(Conservative(), shares, mhz=1000) == [1100, 1200, 1200, 1200, 1200, 1100, 1000, 900]


def test_conservative_asks_for_clocks_between_those_of_the_table() -> None:
    # From 1000: requests 1100 … 1400 set 1000, the highest below; 1500 sets 1500. Back down: 1400 … 1100 set 1500, the
    # lowest above; 1000 sets 1000.
    up = [1000, 1000, 1000, 1000, 1500]
    down = [1500, 1500, 1500, 1500, 1000]
    assert play(Conservative(), [(1.0,)] * 5 + [(0.0,)] * 5, mhz=1000, allowed=COARSE) == up + down


def test_conservative_starts_again_from_the_present_clock_when_a_cap_passes_its_request() -> None:
    governor = Conservative()
    play(governor, [(1.0,)] * 3, mhz=1700)  # asks for 2000 at 30 ms
    capped = TABLE[: TABLE.index(1000) + 1]
    assert governor.step(40_000, (40_000.0,), 2000, capped) == 1000
    # 5 % of 1000 is 50: the request 950 is met by 1000, the request 900 by 900.
    assert governor.step(50_000, (40_000.0,), 1000, capped) == 1000
    assert governor.step(60_000, (40_000.0,), 1000, capped) == 900


# ---------------------------------------------------------------- all


traces = st.integers(1, 3).flatmap(
    lambda cores: st.lists(st.tuples(*[st.floats(-0.1, 1.1)] * cores), min_size=1, max_size=30)
)
tables = st.sets(st.integers(100, 3000), min_size=1, max_size=25).map(lambda clocks: tuple(map(float, sorted(clocks))))


@given(name=st.sampled_from(GOVERNORS), shares=traces, table=tables, data=st.data())
def test_every_clock_is_one_of_those_allowed(
    name: str, shares: list[Shares], table: tuple[float, ...], data: st.DataObject
) -> None:
    governor = make_governor(name, max_mhz=table[-1], kind="gpu" if name == "podgov" else "cpu")
    mhz = data.draw(st.sampled_from(table))
    gaps_us = data.draw(st.lists(st.floats(0, 50_000), min_size=len(shares), max_size=len(shares)))
    busy_us = (0.0,) * len(shares[0])
    for now_us, step in zip(accumulate(gaps_us), shares, strict=True):
        busy_us = tuple(busy + share * PERIOD_US for busy, share in zip(busy_us, step, strict=True))
        allowed = table[: data.draw(st.integers(1, len(table)))]
        mhz = governor.step(now_us, busy_us, mhz, allowed)
        assert mhz in allowed


@given(name=st.sampled_from(STEADY), table=tables, cores=st.integers(1, 3), data=st.data())
def test_full_load_reaches_the_top_and_idleness_the_bottom(
    name: str, table: tuple[float, ...], cores: int, data: st.DataObject
) -> None:
    mhz = data.draw(st.sampled_from(table))
    full = play(make_governor(name, max_mhz=table[-1]), [(1.0,) * cores] * 400, mhz=mhz, allowed=table)
    assert full[-1] == table[-1]
    assert full == sorted(full) or (name.startswith("schedutil") and cores > 1)
    idle = play(make_governor(name, max_mhz=table[-1]), [(0.0,) * cores] * 40, mhz=mhz, allowed=table)
    assert idle[-1] == table[0]
    assert idle == sorted(idle, reverse=True)


def test_performance_and_powersave_do_not_look_at_load() -> None:
    shares = [(0.0,), (1.0,), (0.5,)]
    assert play(make_governor("performance", max_mhz=2000), shares, mhz=200) == [2000] * 3
    assert play(make_governor("powersave", max_mhz=2000), shares, mhz=2000) == [200] * 3


@pytest.mark.parametrize("name", STEADY)
def test_the_first_call_knows_no_load_and_keeps_the_clock(name: str) -> None:
    # Half an hour of busy time before the governor took over must not look like load.
    assert make_governor(name, max_mhz=2000).step(3.6e9, (1.8e9,), 1000, TABLE) == 1000
    assert make_governor(name, max_mhz=2000).step(3.6e9, (1.8e9,), 1000, TABLE[:4]) == 500


def test_names_and_their_periods() -> None:
    periods_us = {name: make_governor(name, max_mhz=2000, kind=kind).period_us for name, kind in ALL}
    assert periods_us == {
        "performance": 10_000,
        "powersave": 10_000,
        "ondemand": 10_000,
        "conservative": 10_000,
        "interactive": 20_000,
        "schedutil": 10_000,
        "schedutil-uclamp": 10_000,
        "lavd": 10_000,
        "podgov": 25_000,
    }
    assert tuple(periods_us) == GOVERNORS
    assert make_governor("schedutil", max_mhz=2000, period_us=2_000).period_us == 2_000
    with pytest.raises(GovernorError, match=r"'shedutil' is unknown.*Did you mean 'schedutil'\?"):
        make_governor("shedutil", max_mhz=2000)


def test_which_of_them_the_scheduler_runs() -> None:
    governors = {name: make_governor(name, max_mhz=2000, kind=kind) for name, kind in ALL}
    hooked = {name for name, governor in governors.items() if governor.hooked}
    assert hooked == {"ondemand", "conservative", "interactive", "schedutil", "schedutil-uclamp", "lavd"}


@pytest.mark.parametrize("name", GOVERNORS)
def test_a_gpu_under_a_cpu_governor_has_its_own(name: str) -> None:
    assert governor_for(name, "gpu") == (name if name in ("performance", "powersave") else "podgov")
    assert type(make_governor(name, max_mhz=1000, kind="gpu")).__name__.lower() == governor_for(name, "gpu")


def test_a_cpu_has_no_gpu_governor() -> None:
    with pytest.raises(GovernorError, match="'podgov' is for a GPU alone"):
        make_governor("podgov", max_mhz=2000)


def test_a_boards_governor_knows_how_much_smaller_its_unit_is():
    board = packaged_board("odroid-xu3")
    little = board.unit("little")
    assert (board.capacity("big"), board.capacity("little")) == (1.0, little.speed / board.unit("big").speed)
    of_board = governor_of(board, "little", "schedutil")
    alone = make_governor("schedutil", max_mhz=little.mhz[-1])
    steps = [
        play(one, [(1.0,)] * 20, mhz=little.mhz[0], allowed=little.mhz).index(little.mhz[-1])
        for one in (of_board, alone)
    ]
    assert steps[0] < steps[1]
