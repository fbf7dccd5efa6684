"""The power of networks on a fake board: it is found again, and where it can't be told the reason is said."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from actors.affinity import SystemAffinity
from actors.agent.sensors import RailTotals
from actors.board_commands.bench import Meters
from actors.board_commands.network_load import NetworkLoad
from actors.board_commands.network_power import MOST_ERROR, CorePower, Work
from helpers.fake_kernel import FakeTree
from helpers.fake_kernel.files import snapshot
from helpers.network_rig import ACTIVITY, DYNAMIC_W, Rig
from scheduler.board import Board, Sensor


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "state")


def work(subnet: str = "small", unit: str = "big", cores: int = 1, run_ms: float = 5.0) -> Work:
    return Work(subnet=subnet, kind="cpu", unit=unit, cores=cores, engine="one", run_ms=run_ms)


def test_the_power_of_each_network_is_found_again_and_the_board_is_as_it_was(rig: Rig) -> None:
    before = snapshot(rig.silicon.kernel)
    works = [work(subnet, unit, cores) for subnet in ACTIVITY for unit in ("big", "little") for cores in (1, 4)]
    for one, power in zip(works, rig.powers(*works), strict=True):
        assert isinstance(power, CorePower)
        unit = rig.board.unit(one.unit)
        assert power.mhz == unit.mhz[-1]
        assert power.core_w == pytest.approx(ACTIVITY[one.subnet] * DYNAMIC_W[one.unit](unit.mhz[-1]), rel=0.05)
        assert 0 < power.error_w <= MOST_ERROR * power.core_w
    assert snapshot(rig.silicon.kernel) == before


def test_the_others_on_a_rail_do_not_count(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "state")
    rig.silicon.rails = {"A15": (("big", "little"), 0.7), "A7": (("little",), 0.0)}
    (power,) = rig.powers(work("large", cores=2))
    assert isinstance(power, CorePower)
    assert power.core_w == pytest.approx(1.3 * DYNAMIC_W["big"](rig.board.unit("big").mhz[-1]), rel=0.05)


def test_a_long_network_runs_ten_times_in_a_window(rig: Rig) -> None:
    starts_s: list[float] = []
    rig.during = lambda: starts_s.append(rig.bench.clock.now_s())
    rig.powers(work(run_ms=400.0))
    assert len(starts_s) >= 4
    assert min(later - sooner for sooner, later in pairwise(starts_s)) > 8.0


def without_dynamic(board: Board) -> Board:
    return replace(board, units=tuple(replace(unit, static_w=None, dynamic_w=None) for unit in board.units))


def without_rails(board: Board) -> Board:
    return replace(board, sensors=tuple(one for one in board.sensors if "big" not in one.covers))


def of_the_whole_board(board: Board) -> Board:
    return replace(board, sensors=(replace(board.sensors[0], covers="board"),))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without_dynamic, "the board has no dynamic_w of unit 'big' (gearshift calibrate finds it)"),
        (without_rails, "no rail covers unit 'big'"),
        (of_the_whole_board, "no rail covers unit 'big'"),
    ],
)
def test_what_a_board_lacks_is_said_and_nothing_runs(change: Callable[[Board], Board], why: str, rig: Rig) -> None:
    (said,) = rig.powers(work(), board=change(rig.board))
    assert isinstance(said, str)
    assert said == why
    assert not rig.loads


def test_a_clock_between_those_of_the_board_tells_nothing(rig: Rig) -> None:
    big = rig.board.unit("big")
    units = tuple(
        replace(unit, mhz=(*unit.mhz[:-2], unit.mhz[-1])) if unit == big else unit for unit in rig.board.units
    )
    rig.silicon.kernel.policy(4).cap("mode", round(1000 * big.mhz[-2]))
    (said,) = rig.powers(work(), board=replace(rig.board, units=units))
    assert said == f"unit 'big' is granted {big.mhz[-2]:g} MHz, which is not one of its clocks"


def test_at_a_clock_that_a_mode_leaves_it_is_measured(rig: Rig) -> None:
    mhz = rig.board.unit("big").mhz[-2]
    rig.silicon.kernel.policy(4).cap("mode", round(1000 * mhz))
    (power,) = rig.powers(work())
    assert isinstance(power, CorePower)
    assert power.mhz == mhz
    assert power.core_w == pytest.approx(0.7 * DYNAMIC_W["big"](mhz), rel=0.05)


def test_a_clock_that_heat_takes_away_is_said(rig: Rig) -> None:
    rig.during = lambda: rig.silicon.kernel.policy(4).cap("heat", 1_000_000)
    (said,) = rig.powers(work())
    assert said == "unit 'big' did not keep its clock (a limit that somebody set)"


def test_other_programs_are_said(rig: Rig) -> None:
    (said,) = rig.powers(work(), bench=replace(rig.bench, others=lambda: 0.3))
    assert said == "other programs kept 0.30 CPUs busy meanwhile"
    (power,) = rig.powers(work(cores=4), bench=replace(rig.bench, others=lambda: 0.15))
    assert isinstance(power, CorePower)


def test_a_rail_that_wavers_too_much_tells_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "state")
    drift = iter(range(1000))
    rig.during = lambda: rig.silicon.rails.__setitem__("A15", (("big",), 0.5 * (next(drift) % 2)))  # type: ignore[index]
    (said,) = rig.powers(work())
    assert isinstance(said, str)
    assert said.startswith("rail VDD_ARM shows ")
    assert said.endswith("W a core, which is too vague")
    assert len(rig.loads) == 1


def test_a_network_that_seems_to_take_nothing_is_not_measured(rig: Rig) -> None:
    slow = replace(
        rig.bench, meters=lambda board, units: _Changed(rig.bench.meters(board, units), joules=1.0, step_w=0.0)
    )
    (said,) = rig.powers(work(), bench=slow)
    assert isinstance(said, str)
    assert said.endswith("W a core, which is too vague")


def test_a_sensor_of_coarse_steps_tells_nothing_of_one_core_and_something_of_four(rig: Rig) -> None:
    # In root mean square the difference of two readings with steps of 0.2 W is off by 0.082 W, of 0.84 W a core.
    coarse = replace(rig.bench, meters=lambda board, units: _Changed(rig.bench.meters(board, units), step_w=0.2))
    one, four = rig.powers(work(), work(cores=4), bench=coarse)
    assert isinstance(one, str)
    assert isinstance(four, CorePower)
    assert four.error_w == pytest.approx(0.2 * (2 / 12) ** 0.5 / 4, rel=0.05)


def test_a_rail_that_is_read_too_seldom_is_said(rig: Rig) -> None:
    seldom = replace(rig.bench, meters=lambda board, units: _Changed(rig.bench.meters(board, units), samples=3))
    (said,) = rig.powers(work(), bench=seldom)
    assert said == "rail VDD_ARM was read only 3 times in 0.7 s"


def test_a_rail_that_fails_is_said(rig: Rig) -> None:
    kernel = rig.silicon.kernel
    for path in FakeTree(kernel).find("sys/bus/i2c/devices/0-0040/hwmon/hwmon*/power1_input"):
        kernel.fail(path, errno.EIO)
    said, power = rig.powers(work(), work(unit="little"))
    assert isinstance(said, str)
    assert said.startswith("rail VDD_ARM: ")
    assert isinstance(power, CorePower)


def test_a_recording_is_not_taken_for_a_measurement(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "power.csv"
    file.write_text("at_s,power_w\n0,3\n100000,3\n")
    replayed = Sensor(rail="VDD_ARM", driver="replay", covers=("big",), file=str(file))
    (said,) = rig.powers(work(), board=replace(rig.board, sensors=(replayed,)))
    assert said == f"rail VDD_ARM: replayed from {file}: not measured in this run"


def test_a_sensor_that_is_too_slow_is_said(rig: Rig) -> None:
    slow = replace(rig.bench, meters=lambda board, units: _Changed(rig.bench.meters(board, units), sensor_period_s=0.8))
    (said,) = rig.powers(work(), bench=slow)
    assert said == "rail VDD_ARM: 20 conversions of its sensor and 10 runs take 16.0 s, more than 10"


class _Changed:
    """Meters whose rails say something else."""

    def __init__(self, meters: Meters, **said: float) -> None:
        self._meters = meters
        self._said = said
        self.start, self.mark, self.close = meters.start, meters.mark, meters.close

    def totals(self) -> tuple[RailTotals, ...]:
        return tuple(replace(rail, **self._said) for rail in self._meters.totals())  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_load_and_the_board_are_let_go_whatever_ends_it(error: type[BaseException], rig: Rig) -> None:
    before = snapshot(rig.silicon.kernel)

    def fail() -> None:
        raise error

    rig.during = fail
    with pytest.raises(error):
        rig.powers(work())
    assert snapshot(rig.silicon.kernel) == before
    assert [load.closed for load in rig.loads] == [True]


# ---------------------------------------------------------------- the real load


class Counting:
    """A network that counts its runs."""

    memory_mb = 0.0

    def __init__(self) -> None:
        self.runs = 0
        self.failed = threading.Event()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        self.runs += 1
        if self.runs == 5:
            self.failed.set()
            raise RuntimeError("the fifth fails")
        return x


def test_a_network_runs_until_it_is_stopped_and_its_error_is_told() -> None:
    network = Counting()
    load = NetworkLoad(lambda: network, np.zeros(1, np.float32), (), SystemAffinity())
    assert network.runs == 0
    assert load.stop() is None
    load.start(())
    network.failed.wait()
    with pytest.raises(RuntimeError, match="the fifth fails"):
        load.stop()
    load.close()
    assert network.runs == 5


def test_a_network_that_cannot_be_made_is_told() -> None:
    def fail() -> Counting:
        raise RuntimeError("no such file")

    with pytest.raises(RuntimeError, match="no such file"):
        NetworkLoad(fail, np.zeros(1, np.float32), (), SystemAffinity())
