"""The ledger's meters add up busy time, energy and clocks exactly, and impossible figures change nothing."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.ledger.ledger import BoardLedger
from helpers.small_ledger import BIG, BOARD
from helpers.virtual_clock import VirtualClock

STEPS = st.lists(
    st.tuples(
        st.floats(0, 10),  # seconds until it happens
        st.sampled_from(["clock", "other", "online", "take", "release"]),
        st.integers(0, 2),
        st.floats(0, 1),
    ),
    max_size=25,
)


@given(
    steps=STEPS,
    start_s=st.floats(-100, 100),
    activity=st.sampled_from([0.6, 1.0, 1.5]),
    idle_share=st.sampled_from([0.0, 0.3, 1.0]),
    off_w=st.sampled_from([None, 0.02]),
)
@settings(max_examples=100, deadline=None)
def test_totals_equal_the_sum_over_every_piece_of_constant_rates(place, steps, start_s, activity, idle_share, off_w):
    clock = VirtualClock(start_s)
    big = replace(BIG, idle_share=idle_share, off_w=off_w)
    ledger = BoardLedger.create(place(), replace(BOARD, units=(big, *BOARD.units[1:])), slots=1, clock=clock)
    step, other, online = 0, 0.0, BIG.cpus
    leases = [None, None]
    busy_s, dynamic_j, static_j, mhz_s, changes = [0.0, 0.0], 0.0, 0.0, 0.0, 0
    try:
        for wait_s, action, number, share in [*steps, (1.0, "end", 0, 0.0)]:
            clock.sleep_until(clock.now_s() + wait_s)
            busy = any(leases) or other > 0
            off = off_w is not None and not online and not any(leases)
            static_j += (off_w if off else BIG.static_w[step] * (1 if busy else idle_share)) * wait_s
            mhz_s += BIG.mhz[step] * wait_s
            for core in (0, 1):
                share_taken = 1.0 if leases[core] else other if BIG.cpus[core] in online else 0.0
                busy_s[core] += share_taken * wait_s
                factor = activity if leases[core] else 1.0
                dynamic_j += BIG.dynamic_w[step] * factor * share_taken * wait_s
            core = number % 2
            if action == "clock":
                changes += step != number
                step = number
                ledger.set_unit("big", mhz=BIG.mhz[step])
            elif action == "other":
                other = share
                ledger.set_unit("big", other_load=other)
            elif action == "online":
                online = [(), (4,), (5,), (4, 5)][int(4 * share) % 4]
                ledger.set_unit("big", cpus_online=online)
            elif action == "take" and not leases[core]:
                leases[core] = ledger.take(0, "big", [BIG.cpus[core]], 0.0, activity=activity)
            elif action == "release" and leases[core]:
                ledger.release(leases[core])
                leases[core] = None
        reading = ledger.read("big")
    finally:
        ledger.remove()
    assert reading.busy_s == pytest.approx(busy_s, abs=1e-9)
    assert reading.dynamic_j == pytest.approx(dynamic_j, abs=1e-9)
    assert reading.static_j == pytest.approx(static_j, abs=1e-9)
    assert reading.mhz_s == pytest.approx(mhz_s, abs=1e-6)
    assert (reading.mhz, reading.clock_changes) == (BIG.mhz[step], changes)
    assert (reading.other_load, reading.cpus_online) == (other, online)


def test_power_that_is_not_known_stays_unknown(ledger):
    lease = ledger.take(0, "gpu", (), 0.0)
    ledger._clock.sleep_until(2.0)
    ledger.release(lease)
    reading = ledger.read("gpu")
    assert (reading.static_j, reading.dynamic_j, reading.busy_s) == (None, None, (2.0,))


@pytest.mark.parametrize(("mhz", "counts"), [(999.998, 1000.0), (1200.0, 1000.0), (1.0, 500.0), (2000.002, 2000.0)])
def test_a_clock_that_was_read_back_counts_as_the_nearest_of_the_unit(ledger, mhz, counts):
    ledger.set_unit("big", mhz=counts)
    before = ledger.read("big")
    ledger.set_unit("big", mhz=mhz)
    assert ledger.read("big") == before
    assert before.mhz == counts


@pytest.mark.parametrize(
    "figures",
    [
        {"mhz": 0.0},
        {"mhz": -700.0},
        {"mhz": math.inf},
        {"mhz": math.nan},
        {"other_load": 1.1},
        {"other_load": -0.1},
        {"cpus_online": (4, 6)},
    ],
)
def test_an_impossible_figure_is_refused_and_changes_nothing(ledger, figures):
    before = ledger.read("big")
    with pytest.raises(ValueError, match=f"{next(iter(figures))} of unit 'big' must be"):
        ledger.set_unit("big", **figures)
    assert ledger.read("big") == before
