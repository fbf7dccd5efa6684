"""All rails of a board are read, each chip by a thread of its own, and their totals come in the board's order."""

import time

import pytest

from actors.agent.sensors import Sampler, SensorError
from actors.clock import BoardClock
from helpers.scripted_rails import Load
from helpers.sensor_trees import Denied, ina3221_hwmon, rapl_zone, tree
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor

CPU = BoardUnit(name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1000.0,), static_w=None, dynamic_w=None)
PACKAGE = Sensor(rail="package-0", driver="rapl", covers=("cpu",))
VDD_IN = Sensor(rail="VDD_IN", driver="ina3221", covers="board")


def board(*sensors):
    return Board(name="test", units=(CPU,), base_w=None, sensor="none", power_source="unknown", sensors=sensors)


def sampler_of(root, *sensors, clock=None, files=None):
    clock = clock or VirtualClock()
    return Sampler(board(*sensors), files or tree(root), clock, Load(clock), lambda: 0.0), clock


def test_totals_and_powers_are_by_rail_in_the_boards_order(tmp_path):
    zone = rapl_zone(tmp_path, "intel-rapl:0", "package-0", energy_uj=262143328850)
    ina3221_hwmon(tmp_path)
    sampler, clock = sampler_of(tmp_path, PACKAGE, VDD_IN)
    sampler.mark()
    sampler.powers_w()
    for step in range(1, 11):
        clock.sleep_until(step * 0.007)
        (zone / "energy_uj").write_text(f"{step * 1000 - 1}\n")  # the first step wraps
        sampler.sample()
    package, board_rail = sampler.totals()
    assert (package.name, package.covers, package.joules) == ("package-0", ("cpu",), pytest.approx(0.010))
    assert (board_rail.name, board_rail.covers, board_rail.joules) == ("VDD_IN", "board", pytest.approx(0.3556))
    assert (board_rail.samples, board_rail.duplicates, board_rail.longest_gap_s) == (11, 11, pytest.approx(0.007))
    assert list(sampler.powers_w().items()) == [
        ("package-0", pytest.approx(0.010 / 0.07)),
        ("VDD_IN", pytest.approx(5.08)),
    ]
    sampler.close()
    sampler.close()


def test_a_rail_that_may_not_be_read_is_null_with_its_mend_and_the_others_are_not(tmp_path):
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    ina3221_hwmon(tmp_path)
    sampler, clock = sampler_of(tmp_path, PACKAGE, VDD_IN, files=Denied(tmp_path, "energy_uj"))
    sampler.mark()
    clock.sleep_until(0.007)
    package, board_rail = sampler.totals()
    assert package.joules is None
    assert "Permission denied" in package.why_unknown
    assert "gearshift doctor" in package.why_unknown
    assert board_rail.joules == pytest.approx(5.08 * 0.007)


def test_a_rail_that_went_after_the_check_is_null_with_the_reason(tmp_path):
    sampler, clock = sampler_of(tmp_path, VDD_IN)
    sampler.mark()
    clock.sleep_until(1.0)
    (totals,) = sampler.totals()
    assert (totals.joules, totals.samples) == (None, 0)
    assert "finds no such rail" in totals.why_unknown


def test_a_board_without_sensors_has_no_rails(tmp_path):
    sampler, _ = sampler_of(tmp_path)
    sampler.start()
    sampler.mark()
    assert sampler.totals() == ()
    assert sampler.powers_w() == {}
    sampler.close()


def test_rails_are_not_measured_in_slowed_down_time(tmp_path):
    ina3221_hwmon(tmp_path)
    slow = BoardClock(time.monotonic(), time_scale=2.0)
    with pytest.raises(SensorError, match="time_scale 2: rails are measured on the wall's time; leave it at 1"):
        sampler_of(tmp_path, VDD_IN, clock=slow)
    sampler_of(tmp_path, clock=slow)


def test_its_threads_read_until_it_is_closed(tmp_path):
    ina3221_hwmon(tmp_path)
    rapl_zone(tmp_path, "intel-rapl:0", "package-0")
    clock = BoardClock(time.monotonic())
    sampler, _ = sampler_of(tmp_path, PACKAGE, VDD_IN, clock=clock)
    sampler.mark()
    sampler.start()
    give_up_s = time.monotonic() + 30  # only keeps a failure from hanging
    while min(rail.samples for rail in sampler.totals()) < 50 and time.monotonic() < give_up_s:
        time.sleep(0.05)
    sampler.close()
    read = [rail.samples for rail in sampler.totals()]
    assert min(read) >= 50
    # Nobody reads any more but these calls themselves.
    assert [rail.samples for rail in sampler.totals()] == [samples + 1 for samples in read]
