"""Every device back-end passes one suite; the emulated and the fixed one have tests of their own besides."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.agent.devices import REAL_CLOCKS, DeviceError, open_device
from actors.ledger.ledger import BoardLedger
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board, BoardUnit
from scheduler.dvfs import DVFS
from scheduler.governors import at_least

EMULATED = BoardUnit(
    name="big",
    kind="cpu",
    cpus=(0, 1),
    dvfs="emulated",
    mhz=(200.0, 600.0, 1000.0, 1400.0),
    static_w=(0.1, 0.1, 0.2, 0.4),
    dynamic_w=(0.1, 0.3, 0.6, 1.0),
)
FIXED = replace(EMULATED, dvfs="fixed", mhz=(1400.0,), static_w=None, dynamic_w=None)
UNITS = {"emulated": EMULATED, "fixed": FIXED}


@pytest.fixture
def opened(tmp_path):
    """Opens a unit's device; gives it, its ledger and their clock."""
    ledgers = []

    def open_(unit):
        clock = VirtualClock()
        board = Board(name="test", units=(unit,), base_w=None, sensor="none", power_source="made up")
        ledger = BoardLedger.create(tmp_path / str(len(ledgers)), board, slots=2, clock=clock)
        ledgers.append(ledger)
        return open_device(unit, ledger, clock), ledger, clock

    yield open_
    for ledger in ledgers:
        ledger.remove()


def test_every_back_end_is_in_the_suite_and_has_a_row_in_the_table_of_dvfs():
    assert {*UNITS, *REAL_CLOCKS} == set(DVFS)


def test_a_unit_without_a_back_end_is_refused_by_name(opened):
    with pytest.raises(DeviceError, match="unit 'big': there is no back-end for dvfs 'cpufreq'"):
        opened(replace(EMULATED, dvfs="cpufreq"))


# ---------------------------------------------------------------- every back-end


@pytest.fixture(params=UNITS.values(), ids=UNITS)
def device(request, opened):
    return opened(request.param)


def test_it_begins_at_one_of_its_clocks_with_nothing_done(device):
    device, _, _ = device
    reading = device.read()
    assert (reading.name, reading.cpus_online, reading.other_load) == ("big", (0, 1), 0.0)
    assert reading.mhz in device.unit.mhz
    assert (reading.busy_s, reading.mhz_s, reading.clock_changes) == ((0.0, 0.0), 0.0, 0)


@pytest.mark.parametrize("asked", [1.0, 200.0, 601.0, 1000.0, 99999.0])
def test_the_clock_granted_is_one_of_its_own_and_is_in_force(device, asked):
    device, _, _ = device
    granted = device.set_clock(asked)
    assert granted in device.unit.mhz
    assert device.read().mhz == granted
    assert device.set_clock(granted) == granted


def test_asking_again_for_the_clock_in_force_is_no_change(device):
    device, _, _ = device
    device.set_clock(1000.0)
    before = device.read().clock_changes
    device.set_clock(1000.0)
    assert device.read().clock_changes == before


def test_taken_time_is_busy_time(device):
    device, ledger, clock = device
    lease = ledger.take(0, "big", [1], 0.0)
    clock.sleep_until(2.0)
    ledger.release(lease)
    clock.sleep_until(3.0)
    assert device.read().busy_s == (0.0, 2.0)
    assert device.read().mhz_s == pytest.approx(3.0 * device.read().mhz)


def test_any_cores_go_offline_and_come_back(device):
    device, _, _ = device
    for online in ((0,), (1,), (), (0, 1), (1,)):
        device.limit(cpus_online=online)
        assert device.read().cpus_online == online
    device.limit()
    assert device.read().cpus_online == (0, 1)


def test_restoring_puts_it_back_and_again_does_nothing(device):
    device, _, _ = device
    before = device.read()
    device.set_clock(1400.0)
    device.limit(cpus_online=[1])
    device.restore()
    after = device.read()
    assert (after.mhz, after.cpus_online, after.other_load) == (before.mhz, (0, 1), 0.0)
    device.restore()
    assert device.read() == after


def test_without_a_governor_there_is_no_tick(device):
    device, _, _ = device
    device.set_clock(1400.0)
    assert device.tick() == math.inf


# ---------------------------------------------------------------- emulated


@pytest.fixture
def emulated(opened):
    return opened(EMULATED)


@pytest.mark.parametrize(("asked", "granted"), [(1.0, 200.0), (200.0, 200.0), (201.0, 600.0), (9e9, 1400.0)])
def test_a_clock_between_two_is_granted_as_the_upper_one(emulated, asked, granted):
    assert emulated[0].set_clock(asked) == granted


@given(asked=st.floats(1, 3000), allowed=st.sets(st.floats(1, 3000), min_size=1))
def test_a_grant_is_the_lowest_that_suffices_or_else_the_highest(asked, allowed):
    allowed = tuple(sorted(allowed))
    enough = [mhz for mhz in allowed if mhz >= asked]
    assert at_least(asked, allowed) == (min(enough) if enough else max(allowed))


def test_a_limit_acts_at_once_and_the_clock_asked_for_outlives_it(emulated):
    device, _, _ = emulated
    device.set_clock(1400.0)
    device.limit(max_mhz=1100.0)
    assert device.read().mhz == 1000.0
    assert device.set_clock(1400.0) == 1000.0
    device.limit(max_mhz=1.0)
    assert device.read().mhz == 200.0
    device.limit()
    assert device.read().mhz == 1400.0


def test_each_limit_replaces_the_last(emulated):
    device, _, _ = emulated
    device.limit(max_mhz=600.0, cpus_online=[1], other_load=0.5)
    device.limit(other_load=0.25)
    device.set_clock(1400.0)
    reading = device.read()
    assert (reading.mhz, reading.cpus_online, reading.other_load) == (1400.0, (0, 1), 0.25)


def test_a_governor_decides_at_once_and_a_number_ends_it(emulated):
    device, _, _ = emulated
    assert device.set_clock("performance") == "performance"
    assert device.read().mhz == 1400.0
    assert device.tick() < math.inf
    assert device.set_clock(600.0) == 600.0
    assert device.tick() == math.inf


def test_a_limit_holds_a_governor_down_at_once(emulated):
    device, _, _ = emulated
    device.set_clock("performance")
    device.limit(max_mhz=700.0)
    assert device.read().mhz == 600.0
    device.limit()
    assert device.read().mhz == 1400.0


def run(device, clock, seconds):
    """Let virtual time pass, with every tick when it is due."""
    end_s = clock.now_s() + seconds
    while (due_s := device.tick()) <= end_s:
        clock.sleep_until(due_s)
    clock.sleep_until(end_s)


@pytest.mark.parametrize("name", ["schedutil", "ondemand", "conservative"])
def test_a_governor_follows_the_tokens(emulated, name):
    device, ledger, clock = emulated
    device.set_clock(name)
    run(device, clock, 1.0)
    assert device.read().mhz == 200.0
    lease = ledger.take(0, "big", [1], 0.0)
    run(device, clock, 2.0)
    assert device.read().mhz == 1400.0
    ledger.release(lease)
    run(device, clock, 2.0)
    assert device.read().mhz == 200.0


def test_a_late_tick_is_one_longer_step(emulated):
    device, ledger, clock = emulated
    device.set_clock("ondemand")
    ledger.take(0, "big", [0], 0.0)
    clock.sleep_until(5.0)
    period_s = device.tick() - 5.0
    assert device.read().mhz == 1400.0
    assert period_s == pytest.approx(0.010)
    changes = device.read().clock_changes
    device.tick()  # not due
    assert device.read().clock_changes == changes == 1


def test_an_unknown_governor_is_refused_with_the_nearest_and_changes_nothing(emulated):
    device, _, _ = emulated
    device.set_clock(1000.0)
    with pytest.raises(ValueError, match="Did you mean 'schedutil'"):
        device.set_clock("shedutil")
    assert device.read().mhz == 1000.0
    assert device.tick() == math.inf


def test_restoring_ends_a_governor_and_lifts_limits(emulated):
    device, _, _ = emulated
    device.limit(max_mhz=600.0)
    device.set_clock("performance")
    device.restore()
    assert device.tick() == math.inf
    assert device.read().mhz == 200.0
    assert device.set_clock(1400.0) == 1400.0


# ---------------------------------------------------------------- fixed


def test_a_fixed_clock_grants_itself_whoever_asks(opened):
    device, _, _ = opened(FIXED)
    assert device.set_clock(200.0) == 1400.0
    assert device.set_clock("schedutil") == 1400.0


def test_what_a_fixed_unit_cannot_do_is_refused_and_the_rest_is_not(opened):
    device, _, _ = opened(FIXED)
    device.limit(max_mhz=1400.0)
    with pytest.raises(DeviceError, match="max_mhz 1000 cannot be kept"):
        device.limit(max_mhz=1000.0)
    with pytest.raises(DeviceError, match=r"other load \(0.4\) must really be there"):
        device.limit(other_load=0.4)
    assert device.read().other_load == 0.0
