"""Integrals are exact, wraps lose nothing, and what makes a sum unknown is told from what does not."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agent.sensors.meters import GAP_PERIODS, EnergyMeter, PowerMeter, Standstill

MS, S = 10**6, 10**9
PERIOD_S = 0.007
RANGES_UJ = (262143328850, 65532610987, 4294967295)
MOST_W = 1000


@st.composite
def lines(draw):
    """Power in straight lines: (time in ns, power in µW) of the corners, with whole slopes between them."""
    at_ns, power_uw = 0, draw(st.integers(0, 10**7))
    corners = [(at_ns, power_uw)]
    for _ in range(draw(st.integers(1, 8))):
        span_ns = draw(st.integers(1, 30 * MS))
        slope = draw(st.integers(-power_uw // span_ns, 50) if power_uw else st.integers(0, 50))
        at_ns, power_uw = at_ns + span_ns, power_uw + slope * span_ns
        corners.append((at_ns, power_uw))
    return corners


def area(corners):
    pairs = pairwise(corners)
    return sum(Fraction((p0 + p1) * (t1 - t0), 2 * S) for (t0, p0), (t1, p1) in pairs)


@given(corners=lines(), data=st.data())
def test_power_in_straight_lines_is_integrated_exactly_however_often_it_is_read(corners, data):
    readings = set(corners)
    for (t0, p0), (t1, p1) in pairwise(corners):
        for at_ns in data.draw(st.lists(st.integers(t0, t1), max_size=4)):
            readings.add((at_ns, p0 + (p1 - p0) // (t1 - t0) * (at_ns - t0)))
    meter = PowerMeter(0)
    for at_ns, power_uw in sorted(readings):
        meter.add(at_ns, power_uw)
    metered = meter.read_out(corners[-1][0], period_s=1.0)
    assert metered.energy_uj == area(corners) // 1
    assert metered.samples == len(readings)
    assert metered.why_unknown is None


@given(
    range_uj=st.sampled_from(RANGES_UJ),
    data=st.data(),
    spans=st.lists(st.tuples(st.integers(MS, S), st.floats(0, 1)), min_size=1, max_size=30),
)
def test_a_counter_loses_nothing_wherever_it_wraps(range_uj, data, spans):
    at_ns, true_uj = 0, data.draw(st.integers(0, range_uj))
    meter = EnergyMeter(0, range_uj, MOST_W)
    meter.add(0, true_uj)
    start_uj = true_uj
    for span_ns, load in spans:
        at_ns += span_ns
        true_uj += int(load * MOST_W * span_ns / 1000)
        meter.add(at_ns, true_uj % (range_uj + 1))
    metered = meter.read_out(at_ns, PERIOD_S)
    assert metered.energy_uj == true_uj - start_uj
    assert metered.why_unknown is None


def test_a_wrap_exactly_at_the_range_counts_one_step():
    meter = EnergyMeter(0, RANGES_UJ[0], MOST_W)
    for at_ns, count_uj in ((0, RANGES_UJ[0] - 1), (S, RANGES_UJ[0]), (2 * S, 0), (3 * S, 1)):
        meter.add(at_ns, count_uj)
    assert meter.read_out(3 * S, PERIOD_S).energy_uj == 3


@pytest.mark.parametrize("range_uj", [*RANGES_UJ, None])
@pytest.mark.parametrize("back_uj", [1, 50_000_000])
def test_a_counter_that_was_set_back_is_no_wrap(range_uj, back_uj):
    meter = EnergyMeter(0, range_uj, MOST_W)
    meter.add(0, 60_000_000)
    meter.add(S // 10, 60_000_000 - back_uj)
    metered = meter.read_out(S // 10, PERIOD_S)
    assert metered.energy_uj is None
    assert "ran back" in metered.why_unknown
    # The next window begins anew.
    meter.mark(S)
    meter.add(2 * S, 60_000_000 - back_uj + 7)
    assert meter.read_out(2 * S, PERIOD_S).energy_uj == 7


def test_a_counter_that_slept_longer_than_its_shortest_wrap_is_unknown():
    for span_s, known in ((65, True), (66, False)):
        meter = EnergyMeter(0, 65532610987, MOST_W)
        meter.add(0, 5)
        meter.add(span_s * S, 10)
        metered = meter.read_out(span_s * S, PERIOD_S)
        assert (metered.energy_uj == 5) is known
        assert known or "wrap more than once" in metered.why_unknown
    endless = EnergyMeter(0, None, MOST_W)
    endless.add(0, 5)
    endless.add(10**6 * S, 10)
    assert endless.read_out(10**6 * S, PERIOD_S).energy_uj == 5


def test_a_counter_needs_no_reading_in_between_but_one_at_each_end():
    meter = EnergyMeter(0, None, MOST_W)
    meter.add(0, 0)
    meter.mark(0)
    meter.add(20 * S, 9)
    assert meter.read_out(20 * S, PERIOD_S).energy_uj == 9
    meter.fail("/energy_uj: No such device")
    at_end = meter.read_out(20 * S, PERIOD_S)
    assert (at_end.energy_uj, at_end.longest_gap_ns) == (None, 20 * S)
    meter.mark(21 * S)
    meter.add(22 * S, 30)
    at_beginning = meter.read_out(22 * S, PERIOD_S)
    assert at_beginning.energy_uj is None
    assert "when the run began: /energy_uj: No such device" in at_beginning.why_unknown


@pytest.mark.parametrize("periods", [GAP_PERIODS, GAP_PERIODS + 1])
@pytest.mark.parametrize("where", ["first", "between", "last"])
def test_power_is_unknown_after_a_gap_of_more_than_five_periods(periods, where):
    gap_ns, end_ns = 7 * MS * periods, 0
    meter = PowerMeter(0)
    meter.mark(0)
    for place in ("first", "between", "last"):
        end_ns += gap_ns if place == where else 7 * MS
        if place != "last":
            meter.add(end_ns, 2_000_000)
    metered = meter.read_out(end_ns, PERIOD_S)
    assert metered.longest_gap_ns == gap_ns
    if periods > GAP_PERIODS:
        assert metered.energy_uj is None
        assert "6 times its period" in metered.why_unknown
    else:
        # Constant power is held from edge to edge.
        assert metered.energy_uj == 2 * end_ns // 1000


def test_a_gap_says_what_could_not_be_read():
    meter = PowerMeter(0)
    meter.add(0, 1)
    meter.fail("/in1_input: No such device")
    meter.add(S, 1)
    assert meter.read_out(S, PERIOD_S).why_unknown.endswith(": /in1_input: No such device")


def test_without_a_reading_the_last_failure_is_the_reason():
    meter = PowerMeter(0)
    assert meter.read_out(S, PERIOD_S).why_unknown == "was not read"
    meter.fail("/energy_uj: Permission denied")
    metered = meter.read_out(S, PERIOD_S)
    assert (metered.energy_uj, metered.samples, metered.longest_gap_ns) == (None, 0, None)
    assert metered.why_unknown == "/energy_uj: Permission denied"


def test_a_mark_begins_a_window_that_knows_nothing_of_before():
    meter = PowerMeter(0)
    for step in range(100):
        meter.add(step * 7 * MS, 5_000_000)
    meter.doubt("stuck")
    at_ns = 100 * 7 * MS
    meter.mark(at_ns)
    for step in range(1, 101):
        meter.add(at_ns + step * 7 * MS, 1_000_000 + step % 2)
    metered = meter.read_out(at_ns + 700 * MS, PERIOD_S)
    assert metered.why_unknown is None
    assert metered.samples == 100
    # One period of falling from 5 W to 1 W, the rest at 1 W.
    assert metered.energy_uj == pytest.approx(700_000 + 7_000 * 2, abs=2)


def test_repeated_readings_are_duplicates_and_no_harm():
    meter = PowerMeter(0)
    for step in range(10):
        meter.add(step * 7 * MS, 3_000_000 if step < 8 else 4_000_000)
    metered = meter.read_out(63 * MS, PERIOD_S)
    assert (metered.samples, metered.duplicates, metered.why_unknown) == (10, 8, None)


def test_energy_below_zero_is_unknown():
    meter = PowerMeter(0)
    meter.add(0, -2_000_000)
    meter.add(S, -2_000_000)
    metered = meter.read_out(S, 1.0)
    assert metered.energy_uj is None
    assert "below 0" in metered.why_unknown


# ---------------------------------------------------------------- standing still


def looks(counts, *spans):
    """Return what is said after each span, given as (changed, load)."""
    standstill = Standstill(counts=counts)
    return [standstill.stuck(changed=changed, load_ghz=load) is not None for changed, load in spans]


def test_power_may_repeat_for_ever_at_a_constant_load():
    assert not any(looks(False, *[(False, 3.2)] * 1000))
    assert not any(looks(False, *[(False, 0.0)] * 1000))
    # A load that wavers by less than what moves the chip by two steps says nothing either.
    assert not any(looks(False, *[(False, 1.0), (False, 1.9)] * 100))


def test_power_that_repeats_while_the_load_changes_is_stuck():
    assert looks(False, (False, 0.1), (False, 1.2)) == [False, True]
    # The load may change slowly.
    assert looks(False, *[(False, load / 4) for load in range(6)])[-1]


def test_a_change_of_the_reading_clears_power():
    assert not any(looks(False, (False, 0.1), (True, 2.0), (False, 2.0), (True, 0.1), (False, 0.1)))


def test_a_counter_stands_still_only_where_nothing_works():
    assert looks(True, (False, 0.0), (False, 0.9), (False, 1.0)) == [False, False, True]
    assert not any(looks(True, *[(True, 4.0)] * 10))
