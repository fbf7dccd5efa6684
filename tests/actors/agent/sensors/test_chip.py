"""A chip's pace is measured, kept, and bounded by what reading costs; energies come out right in virtual time."""

import math

import pytest

from actors.agent.sensors.chip import CPU_SHARE, LEAST_PERIOD_S, MOST_PERIOD_S, PROBE_S, sensor_period_s
from actors.agent.sensors.common import Period
from helpers.scripted_rails import Converting, Counting, Load, chip_of, run_until
from helpers.virtual_clock import ScriptedClock, VirtualClock


def ramp(now_s):
    return 2.0 + now_s


def anything(word_s):
    return Period(word_s=word_s, least_s=0.0, most_s=math.inf)


# ---------------------------------------------------------------- the pace


@pytest.mark.parametrize("true_s", [0.007, 0.035, 0.1])
def test_the_period_is_the_chips_own_where_its_driver_does_not_know(true_s):
    clock = VirtualClock()
    chip = chip_of(clock, Converting(clock, ramp, period_s=true_s, word=anything(0.0066)))
    chip.probe()
    assert chip.sensor_period_s == pytest.approx(true_s, abs=0.001)
    assert chip.period_s == chip.sensor_period_s
    assert clock.now_s() <= PROBE_S + 0.001


@pytest.mark.parametrize("true_s", [0.007, 0.028])
def test_a_driver_that_leaves_out_averaging_is_found_out(true_s):
    clock = VirtualClock()
    word = Period(word_s=0.007, least_s=0.007, most_s=0.028)
    chip = chip_of(clock, Converting(clock, ramp, period_s=true_s, word=word))
    chip.probe()
    assert chip.sensor_period_s == pytest.approx(true_s, abs=0.001)


def test_at_a_constant_load_the_drivers_word_is_taken():
    clock = VirtualClock()
    word = Period(word_s=0.007, least_s=0.007, most_s=7.0)
    chip = chip_of(clock, Converting(clock, lambda now_s: 2.0, period_s=7.0, word=word))
    chip.probe()
    assert chip.sensor_period_s == 0.007
    assert clock.now_s() == pytest.approx(PROBE_S, abs=0.002)


def test_readings_that_repeat_do_not_slow_the_pace_below_the_drivers_word():
    clock = VirtualClock()
    chip = chip_of(clock, Converting(clock, lambda now_s: 2.0 + now_s // 0.09))
    chip.probe()
    assert chip.period_s == 0.007


def test_the_rail_that_changes_most_tells_the_period():
    clock = VirtualClock()
    word = anything(0.0066)
    rails = [Converting(clock, power, period_s=0.014, word=word) for power in (lambda now_s: 1.0, ramp)]
    chip = chip_of(clock, *rails)
    chip.probe()
    assert chip.sensor_period_s == pytest.approx(0.014, abs=0.001)


def test_a_stall_of_the_machine_does_not_change_the_period():
    spans_s = [0.007] * 8 + [0.9]
    times_s = [sum(spans_s[:place]) for place in range(len(spans_s) + 1)]
    assert sensor_period_s(times_s, anything(0.1)) == pytest.approx(0.007)
    assert sensor_period_s(times_s[:3], anything(0.1)) == 0.1


def test_a_stall_before_the_first_reading_leaves_one_reading_and_the_drivers_word():
    clock = VirtualClock()
    channel = Converting(clock, ramp)
    chip = chip_of(clock, channel, cpu_s=lambda: clock.sleep_until(clock.now_s() + 2 * PROBE_S) or 0.0)
    chip.probe()
    assert (channel.reads, chip.sensor_period_s) == (1, 0.007)


def test_nothing_is_read_at_more_than_350_hz_or_less_than_four_times_a_second():
    clock = VirtualClock()
    fast = chip_of(clock, Converting(clock, ramp, period_s=0.001))
    slow = chip_of(clock, Converting(clock, ramp, period_s=50.0))
    for chip in (fast, slow):
        chip.probe()
    assert (fast.period_s, slow.period_s) == (LEAST_PERIOD_S, MOST_PERIOD_S)
    assert slow.sensor_period_s == 50.0


def test_a_driver_that_waits_for_a_conversion_sets_the_pace_of_a_whole_round():
    clock = VirtualClock()
    chip = chip_of(clock, *[Converting(clock, ramp, read_s=0.014) for _ in range(3)])
    chip.probe()
    assert chip.period_s == pytest.approx(0.042)


def test_reading_takes_no_more_than_a_hundredth_of_a_core():
    clock = VirtualClock()
    channel = Converting(clock, ramp)
    chip = chip_of(clock, channel, cpu_s=lambda: 0.0002 * channel.reads)
    chip.probe()
    assert chip.period_s == pytest.approx(0.0002 / CPU_SHARE)


# ---------------------------------------------------------------- what comes of it


def test_power_is_added_up_over_the_window_and_no_more():
    clock = VirtualClock()
    channel = Converting(clock, lambda now_s: 50.0 if now_s < 1.0 else 3.0 + 0.1 * math.sin(50 * now_s))
    chip = chip_of(clock, channel)
    run_until(chip, clock, 2.0)
    chip.mark()
    begun_s = clock.now_s()
    run_until(chip, clock, 12.0)
    (totals,) = chip.totals()
    assert totals.why_unknown is None
    assert totals.joules == pytest.approx(3.0 * (clock.now_s() - begun_s), rel=0.002)
    assert totals.samples == pytest.approx(10 / 0.007, rel=0.01)
    assert totals.longest_gap_s == pytest.approx(0.007, abs=0.001)


def test_a_stall_longer_than_five_periods_makes_the_energy_unknown():
    for stall_s, known in ((0.02, True), (0.5, False)):
        clock = ScriptedClock()
        chip = chip_of(clock, Converting(clock, ramp))
        clock.script.append((5.0, lambda clock=clock, stall_s=stall_s: setattr(clock, "_now_s", 5.0 + stall_s)))
        run_until(chip, clock, 8.0)
        (totals,) = chip.totals()
        assert (totals.joules is not None) is known
        assert totals.longest_gap_s >= stall_s
        assert known or "showed nothing for 0.5" in totals.why_unknown


def test_late_readings_delay_no_later_ones():
    clock = ScriptedClock()
    channel = Converting(clock, ramp)
    chip = chip_of(clock, channel)
    clock.script.append((5.0, lambda: setattr(clock, "_now_s", 5.012)))
    run_until(chip, clock, 8.0)
    # One reading was skipped; all others are at multiples of the period after the probe.
    assert chip.rails[0].meter.last.at_ns / 1e9 == pytest.approx(8.0, abs=0.007)
    assert chip.totals()[0].why_unknown is None


def test_a_rail_that_fails_once_is_read_again_at_once():
    clock = ScriptedClock()
    channel = Converting(clock, lambda now_s: 2.0)
    clock.script.append((3.0, lambda: setattr(channel, "fails", "no answer")))
    clock.script.append((3.006, lambda: setattr(channel, "fails", None)))
    chip = chip_of(clock, channel)
    run_until(chip, clock, 5.0)
    (totals,) = chip.totals()
    assert totals.joules == pytest.approx(2.0 * clock.now_s())
    assert totals.longest_gap_s > 0.007


def test_a_rail_that_is_away_is_seldom_tried_and_is_found_again():
    clock = VirtualClock()
    channel = Converting(clock, lambda now_s: 2.0)
    channel.fails = "/in1_input: No such device"
    chip = chip_of(clock, channel)
    run_until(chip, clock, 20.0)
    assert channel.reads < 100  # at its pace there would be 2,857
    (totals,) = chip.totals()
    assert (totals.joules, totals.longest_gap_s, totals.why_unknown) == (None, None, "/in1_input: No such device")
    channel.fails = None
    chip.mark()
    begun_s = clock.now_s()
    run_until(chip, clock, 25.0)
    assert chip.totals()[0].joules == pytest.approx(2.0 * (clock.now_s() - begun_s))


def test_a_counter_is_read_ten_times_a_second_and_may_wrap():
    clock = VirtualClock()
    range_uj = 65532610987
    counter = Counting(clock, 280.0, start_uj=range_uj - 5_000_000, range_uj=range_uj)
    chip = chip_of(clock, counter)
    run_until(chip, clock, 1.0)
    chip.mark()
    begun_s = clock.now_s()
    run_until(chip, clock, 300.0)
    (totals,) = chip.totals()
    assert totals.joules == pytest.approx(280.0 * (clock.now_s() - begun_s), abs=1e-5)
    assert totals.samples == pytest.approx(2990, abs=3)


def test_mean_power_is_that_since_the_last_call_and_stands_while_nothing_new_was_read():
    clock = VirtualClock()
    chip = chip_of(clock, Converting(clock, lambda now_s: 2.0 if now_s < 5.0 else 4.0))
    assert chip.powers_w() == {"rail0": None}
    run_until(chip, clock, 4.0)
    # The first one is the mean since the first reading.
    assert chip.powers_w() == {"rail0": pytest.approx(2.0)}
    run_until(chip, clock, 4.9)
    assert chip.powers_w() == {"rail0": pytest.approx(2.0)}
    assert chip.powers_w() == {"rail0": pytest.approx(2.0)}
    run_until(chip, clock, 5.1)
    assert 2.0 < chip.powers_w()["rail0"] < 4.0
    chip.rails[0].channel.fails = "no answer"
    chip.round()
    assert chip.powers_w() == {"rail0": None}


# ---------------------------------------------------------------- stuck rails


def run_under_load(clock, chip, load, cores):
    """Run four seconds under each load in turn."""
    for count in cores:
        load.change(count)
        run_until(chip, clock, clock.now_s() + 4.0)


@pytest.mark.parametrize(("cores", "known"), [([2, 2, 2], True), ([0, 0, 0], True), ([0, 2, 0], False)])
def test_power_that_stays_the_same_is_believed_only_while_the_load_does(cores, known):
    clock = VirtualClock()
    load = Load(clock)
    chip = chip_of(clock, Converting(clock, lambda now_s: 2.0), load=load)
    run_until(chip, clock, 0.0)
    chip.mark()
    run_under_load(clock, chip, load, cores)
    (totals,) = chip.totals()
    assert (totals.joules is not None) is known
    assert known or "shows the same again and again" in totals.why_unknown


def test_power_that_follows_the_load_is_not_stuck_however_often_it_repeats():
    clock = VirtualClock()
    load = Load(clock)
    chip = chip_of(clock, Converting(clock, lambda now_s: 2.0 + load.cores), load=load)
    run_under_load(clock, chip, load, [0, 2, 0, 4, 0])
    assert chip.totals()[0].why_unknown is None


@pytest.mark.parametrize(("cores", "known"), [(0, True), (2, False)])
def test_a_counter_that_stands_still_is_believed_only_at_rest(cores, known):
    clock = VirtualClock()
    load = Load(clock)
    chip = chip_of(clock, Counting(clock, 0.0), load=load)
    run_under_load(clock, chip, load, [cores])
    (totals,) = chip.totals()
    assert totals.joules == (0.0 if known else None)
    assert known or "stands still" in totals.why_unknown


def test_a_rail_that_is_stuck_only_before_the_window_is_known_in_it():
    clock = VirtualClock()
    load = Load(clock)
    stuck_until_s = 10.0
    chip = chip_of(clock, Converting(clock, lambda now_s: 2.0 if now_s < stuck_until_s else 2.0 + now_s), load=load)
    run_under_load(clock, chip, load, [0, 2, 0])
    assert chip.totals()[0].joules is None
    chip.mark()
    run_under_load(clock, chip, load, [2, 0])
    assert chip.totals()[0].why_unknown is None
