"""A fake board is calibrated: its figures are found again, and every file is as it was, whatever ends it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from actors.agent.checks import check_clocks
from actors.agent.devices.journal import Journal
from actors.agent.devices.sysfs import DeviceError
from actors.agent.hold import BoardBusyError, Hold
from actors.board_commands.board_text import board_text
from actors.board_commands.calibrate import calibrate, points_of, with_named_rails
from actors.board_commands.calibrated_board import Calibrated, calibrated
from actors.board_commands.load import BurnLoad
from actors.board_commands.probe import probe
from actors.board_file import read_board
from actors.cluster import packaged_board
from helpers.fake_bench import FakeLoad, Silicon, fake_bench
from helpers.fake_kernel import FakeKernel, FakeTree, boards
from helpers.fake_kernel.files import snapshot
from helpers.planted import CPU
from scheduler.board import Board, Sensor
from scheduler.errors import InputError


def odroid(kernel: FakeKernel) -> Silicon:
    """An Odroid XU3: two clusters with a rail each, of which the little one waits for memory."""
    return Silicon(
        kernel=kernel,
        unit_of={cpu: "little" if cpu < 4 else "big" for cpu in range(8)},
        step_s={"little": lambda mhz: 4.0 / mhz + 0.0005, "big": lambda mhz: 1.0 / mhz},
        static_w={"little": lambda mhz: 0.02 + 5e-5 * mhz, "big": lambda mhz: 0.1 + 4e-4 * mhz},
        dynamic_w={"little": lambda mhz: 1e-4 * mhz, "big": lambda mhz: 6e-4 * mhz},
        rails={"A15": (("big",), 0.0), "A7": (("little",), 0.0)},
    )


def xavier(kernel: FakeKernel) -> Silicon:
    """A Xavier NX: three clusters and the GPU on one rail, which the board's rail contains."""
    units = ("cluster0", "cluster1", "cluster2")
    return Silicon(
        kernel=kernel,
        unit_of={cpu: units[cpu // 2] for cpu in range(6)},
        step_s=dict.fromkeys(units, lambda mhz: 2.0 / mhz),
        static_w=dict.fromkeys(units, lambda mhz: 0.2 + 2e-4 * mhz),
        dynamic_w=dict.fromkeys(units, lambda mhz: 8e-4 * mhz),
        rails={"VDD_CPU_GPU_CV": (units, 0.5), "VDD_IN": (units, 4.0)},
    )


def small(board: Board, clocks: int) -> Board:
    """Return a board with fewer clocks, evenly spread, so that a test is short."""
    units = []
    for unit in board.units:
        places = {place * (len(unit.mhz) - 1) // (clocks - 1) for place in range(clocks)}
        units.append(replace(unit, mhz=tuple(unit.mhz[place] for place in sorted(places))))
    return replace(board, units=tuple(units), modes=())


def run(silicon: Silicon, tmp_path: Path, *, clocks: int = 4) -> tuple[Board, Calibrated, FakeLoad]:
    board = small(probe(FakeTree(silicon.kernel)).board, clocks)
    before = snapshot(silicon.kernel)
    bench, load = fake_bench(silicon, tmp_path / "state")
    check_clocks(board, bench.machine)
    found = calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01")
    assert snapshot(silicon.kernel) == before
    assert load.closed
    file = tmp_path / "calibrated.yaml"
    file.write_text(board_text(found.board, header=found.findings, sources=found.sources))
    assert read_board(str(file)) == found.board
    return board, found, load


def test_both_clusters_of_an_odroid_are_found_again(tmp_path: Path) -> None:
    silicon = odroid(boards.odroid_xu3())
    board, found, _ = run(silicon, tmp_path)
    for name in ("little", "big"):
        unit = found.board.unit(name)
        assert unit.mhz == board.unit(name).mhz
        assert unit.static_w == pytest.approx([silicon.static_w[name](mhz) for mhz in unit.mhz], abs=0.03)
        assert unit.dynamic_w == pytest.approx([silicon.dynamic_w[name](mhz) for mhz in unit.mhz], abs=0.03)
    # A step takes 3.357 ms at little's 1400 MHz and 0.5 ms at big's 2000.
    assert found.board.unit("little").speed == pytest.approx(0.5 / (4000 / 1400 + 0.5), rel=1e-3)
    assert found.board.unit("little").memory_share == pytest.approx(0.5 / (4000 / 1400 + 0.5), abs=1e-3)
    assert found.board.unit("big").memory_share == pytest.approx(0, abs=1e-3)
    assert found.board.powered
    assert found.board.power_source.startswith(
        "measured: gearshift calibrate, 2026-12-01; rail VDD_ARM: the fit is off by"
    )
    assert "held out" in found.board.power_source
    assert all(fit.unseen_error is not None and fit.unseen_error < 0.05 for fit in found.rails)


def test_what_a_shared_rail_takes_at_rest_is_attributed_and_the_gpu_stays_unknown(tmp_path: Path) -> None:
    silicon = xavier(boards.xavier_nx_l4t35())
    _, found, _ = run(silicon, tmp_path, clocks=3)
    (fit,) = found.rails
    # All three at 115.2 MHz, and the half watt of everything else on the rail.
    assert fit.rest_w == pytest.approx(0.5 + 3 * (0.2 + 2e-4 * 115.2), abs=0.05)
    for name in ("cluster0", "cluster1", "cluster2"):
        unit = found.board.unit(name)
        assert unit.static_w is not None
        assert unit.static_w[0] == pytest.approx(fit.rest_w / 3, abs=1e-3)
        # The power mode in force leaves no more than 1420.8 MHz.
        assert unit.mhz == (115.2, 1036.8)
        assert unit.static_w[-1] - unit.static_w[0] == pytest.approx(2e-4 * (1036.8 - 115.2), abs=0.05)
        assert unit.dynamic_w == pytest.approx([8e-4 * mhz for mhz in unit.mhz], abs=0.05)
    assert "attributed to cluster0, cluster1, cluster2 by their cores" in found.sources["cluster1.static_w"]
    # Nothing of the GPU was measured, so nothing says that it was.
    assert {key.partition(".")[0] for key in found.sources} == {"cluster0", "cluster1", "cluster2", "base_w"}
    assert not found.board.unit("gpu").powered
    said = "\n".join(found.findings)
    assert "cluster1: the kernel did not grant 1907.2 MHz (nvpmodel MODE_15W_6CORE); they are left out" in said
    assert "gpu: a GPU is not calibrated" in said
    assert "the power of gpu is not known" in said
    assert found.board.base_w == pytest.approx(4.0 - 0.5, abs=0.1)


def test_sources_of_what_was_not_measured_stay_and_those_of_what_was_are_new(tmp_path: Path) -> None:
    silicon = odroid(boards.odroid_xu3())
    board = small(probe(FakeTree(silicon.kernel)).board, 3)
    bench, _ = fake_bench(silicon, tmp_path / "state")
    known = {"mhz": "published: a table", "speed": "assumed: a guess", "big.speed": "assumed: another"}
    sources = calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01", known).sources
    assert sources["mhz"] == "published: a table"
    assert sources["speed"].startswith("measured: gearshift calibrate, 2026-12-01")
    assert "big.speed" not in sources
    # Each cluster has a rail of its own.
    assert sources["big.static_w"].endswith("W at rest, which is big's")


def test_what_a_unit_takes_at_rest_is_of_an_idle_one_and_no_less_than_of_one_that_is_off(tmp_path: Path) -> None:
    silicon = odroid(boards.odroid_xu3())
    board = small(probe(FakeTree(silicon.kernel)).board, 2)
    units = [replace(unit, idle_share=0.5, off_w={"little": 0.01, "big": 0.3}[unit.name]) for unit in board.units]
    board = replace(board, units=tuple(units))
    bench, _ = fake_bench(silicon, tmp_path / "state")
    found = calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01")
    for unit in found.board.units:
        idle_w = unit.resting_w(unit.mhz[0], busy=False, on=True)
        assert idle_w == pytest.approx(silicon.static_w[unit.name](unit.mhz[0]), abs=0.03)
    assert [unit.off_w for unit in found.board.units] == [0.01, None]
    assert "big: off_w, 0.3 W, is more than it takes at rest, and is left out" in found.findings


def test_clocks_of_a_raspberry_pi_that_are_not_real_are_left_out(tmp_path: Path) -> None:
    silicon = Silicon(
        kernel=boards.rpi5(), unit_of=dict.fromkeys(range(4), "cpu"), step_s={"cpu": lambda mhz: 1.0 / mhz}
    )
    _, found, _ = run(silicon, tmp_path, clocks=15)
    assert found.board.unit("cpu").mhz == tuple(float(mhz) for mhz in range(1500, 2401, 100))
    assert found.findings[0] == (
        "cpu: a step takes as long at 1000, 1100, 1200, 1300, 1400 MHz as at 1500 MHz, so these clocks are not real; "
        "they are left out"
    )
    assert found.board.units[0].static_w is None
    assert "cpu: measured at 51 °C" in found.findings
    assert "no rail covers a unit and could be read, so power stays as it was" in found.findings


@pytest.mark.parametrize("mode", ["MODE_15W_2CORE", "MODE_10W_4CORE", "MODE_15W_6CORE"])
def test_a_board_in_a_mode_is_written_as_one_of_its_own(mode: str, tmp_path: Path) -> None:
    silicon = xavier(boards.xavier_nx_l4t35())
    board = probe(FakeTree(silicon.kernel)).board.in_mode(mode)
    small_board = replace(small(board, 2), modes=board.modes)
    bench, _ = fake_bench(silicon, tmp_path / "state")
    found = calibrated(small_board, calibrate(small_board, bench, seconds=0.1), "2026-12-01").board
    assert found.name == f"nvidia-jetson-xavier-nx-developer-kit-{mode}"
    file = tmp_path / "calibrated.yaml"
    file.write_text(board_text(found))
    assert read_board(str(file)) == found


def test_a_clock_that_the_kernel_holds_down_is_not_taken_for_measured(tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    kernel.policy(4).cap("firmware", 1_200_000)
    _, found, _ = run(odroid(kernel), tmp_path, clocks=4)
    assert found.board.unit("big").mhz == (200.0, 800.0)
    said = "big: the kernel did not grant 1400, 2000 MHz (a limit that somebody set); they are left out"
    assert said in found.findings


class Hot(FakeLoad):
    """A load that heats: the kernel caps a cluster of an Odroid's big cores while that many of them compute."""

    def __init__(self, silicon: Silicon, least: int) -> None:
        super().__init__(silicon)
        self.policy = silicon.kernel.policy(4)
        self.least = least

    def start(self, cpus: Sequence[int]) -> None:
        super().start(cpus)
        if len(cpus) >= self.least and cpus[0] == 4:
            self.policy.cap("heat", 1_000_000)

    def stop(self) -> float | None:
        self.policy.cap("heat", None)
        return super().stop()


@pytest.mark.parametrize(
    ("least", "clocks", "said"),
    [
        (1, (200.0, 800.0), "did not grant 1400, 2000 MHz (a limit that somebody set); they are left out"),
        # One load and the idle one tell a core from the rest, also where all others are too hot.
        (2, (200.0, 800.0, 1400.0, 2000.0), "1400, 2000 MHz at all loads (a limit that somebody set); what was"),
        (4, (200.0, 800.0, 1400.0, 2000.0), "1400, 2000 MHz at all loads (a limit that somebody set); what was"),
    ],
)
def test_a_clock_that_heat_takes_away_under_load_is_left_out_or_measured_at_less(
    least: int, clocks: tuple[float, ...], said: str, tmp_path: Path
) -> None:
    silicon = odroid(boards.odroid_xu3())
    board = small(probe(FakeTree(silicon.kernel)).board, 4)
    bench, _ = fake_bench(silicon, tmp_path / "state")
    bench = replace(bench, load=lambda cpus: Hot(silicon, least))
    found = calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01")
    unit = found.board.unit("big")
    assert unit.mhz == clocks
    assert unit.dynamic_w == pytest.approx([silicon.dynamic_w["big"](mhz) for mhz in clocks], abs=0.03)
    (line,) = [one for one in found.findings if one.startswith("big: the kernel did not grant")]
    assert said in line


def test_a_unit_that_is_never_granted_a_clock_under_load_stays_as_it_was(tmp_path: Path) -> None:
    silicon = odroid(boards.odroid_xu3())
    board = small(probe(FakeTree(silicon.kernel)).board, 3)
    board = replace(board, units=tuple(replace(unit, mhz=unit.mhz[1:]) for unit in board.units))
    bench, _ = fake_bench(silicon, tmp_path / "state")
    hot = Hot(silicon, 1)
    bench = replace(bench, load=lambda cpus: hot)
    found = calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01")
    assert found.board.unit("big") == board.unit("big")
    assert found.board.unit("little").powered
    assert any("nothing of it was measured, and its figures are as they were" in one for one in found.findings)


def test_rails_that_a_file_names_by_their_driver_alone_are_fitted_too(tmp_path: Path) -> None:
    silicon = odroid(boards.odroid_xu3())
    tree = FakeTree(silicon.kernel)
    board = with_named_rails(replace(small(probe(tree).board, 3), sensors=(), sensor="ina2xx"), tree)
    assert [sensor.rail for sensor in board.sensors] == ["VDD_ARM", "VDD_KFC"]
    bench, _ = fake_bench(silicon, tmp_path / "state")
    assert calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01").board.powered
    listed = probe(tree).board
    assert with_named_rails(listed, tree) == listed


def test_a_recording_is_not_taken_for_a_measurement(tmp_path: Path) -> None:
    recording = tmp_path / "power.csv"
    recording.write_text("at_s,power_w\n0,3\n100000,3\n")
    silicon = odroid(boards.odroid_xu3())
    board = small(probe(FakeTree(silicon.kernel)).board, 2)
    replayed = Sensor(rail="VDD_ARM", driver="replay", covers=("big",), file=str(recording))
    board = replace(board, sensors=(replayed, *board.sensors[-1:]))
    bench, _ = fake_bench(silicon, tmp_path / "state")
    found = calibrated(board, calibrate(board, bench, seconds=0.3), "2026-12-01")
    assert [fit.rail for fit in found.rails] == ["VDD_KFC"]
    assert not found.board.unit("big").powered
    assert any("rail VDD_ARM could not be read at some points: replayed from" in one for one in found.findings)


def test_a_rail_that_fails_is_named_and_power_stays_unknown(tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    for path in FakeTree(kernel).find("sys/bus/i2c/devices/0-0040/hwmon/hwmon*/power1_input"):
        kernel.fail(path, 5)
    _, found, _ = run(odroid(kernel), tmp_path, clocks=3)
    assert not found.board.unit("big").powered
    assert found.board.unit("little").powered
    assert any(one.startswith("rail VDD_ARM could not be read at some points: ") for one in found.findings)


@pytest.mark.parametrize("error", [KeyboardInterrupt, DeviceError("no more")])
@pytest.mark.parametrize("after", [0, 1, 7])
def test_the_board_is_given_back_whatever_ends_it(error: BaseException, after: int, tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    before = snapshot(kernel)
    bench, load = fake_bench(odroid(kernel), tmp_path / "state")
    left = [after]

    def fail() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise error

    load.before_start = fail
    board = small(probe(FakeTree(kernel)).board, 3)
    with pytest.raises((KeyboardInterrupt, DeviceError)):
        calibrate(board, bench, seconds=0.1)
    assert snapshot(kernel) == before
    assert load.closed
    Hold(bench.machine).give_back()  # nobody holds the board any more


def test_a_board_that_another_run_has_is_left_alone(tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    bench, _ = fake_bench(odroid(kernel), tmp_path / "state")
    board = probe(FakeTree(kernel)).board
    hold = Hold(bench.machine)
    with pytest.raises(BoardBusyError):
        calibrate(board, bench, seconds=0.1)
    assert kernel.writes == []
    hold.give_back()


def test_what_a_dead_run_had_left_is_given_back_first_and_told(tmp_path: Path) -> None:
    kernel = boards.odroid_xu3()
    before = snapshot(kernel)
    bench, _ = fake_bench(odroid(kernel), tmp_path / "state")
    board = small(probe(FakeTree(kernel)).board, 2)
    governor = f"{CPU}/cpufreq/policy0/scaling_governor"
    Journal(bench.machine.tree, bench.machine.state).turn(bench.machine.tree.knob(governor), "powersave", "governor")
    assert calibrate(board, bench, seconds=0.1).recovered.put_back == (f"/{governor} = ondemand",)
    assert snapshot(kernel) == before


def test_an_emulated_board_is_refused() -> None:
    with pytest.raises(InputError, match=r"board 'two-core-host': the clock of unit 'big' is emulated"):
        points_of(packaged_board("two-core-host"))


def test_a_hot_unit_cools_down_before_its_next_point(tmp_path: Path) -> None:
    kernel = boards.rpi5()
    silicon = Silicon(kernel=kernel, unit_of=dict.fromkeys(range(4), "cpu"), step_s={"cpu": lambda mhz: 1.0 / mhz})
    bench, load = fake_bench(silicon, tmp_path / "state")
    zone = "sys/class/thermal/thermal_zone0/temp"
    starts: list[float] = []

    def heat() -> None:
        starts.append(bench.clock.now_s())
        kernel.garbage(zone, b"70000\n")

    load.before_start = heat
    calibrate(small(probe(FakeTree(kernel)).board, 2), bench, seconds=0.1)
    # It never cools down here, so the second point waits for as long as it may. The third load is for changes of clock.
    assert len(starts) == 3
    assert [later - sooner for sooner, later in pairwise(starts[:2])] == [pytest.approx(20.4, abs=0.1)]


# ---------------------------------------------------------------- the real load


def test_the_load_computes_where_it_is_told_to_and_leaves_no_process() -> None:
    cpu = min(os.sched_getaffinity(0))
    load = BurnLoad([cpu])
    (process,) = load._processes.values()
    assert os.sched_getaffinity(process.pid) == {cpu}
    for _ in range(2):
        load.start([cpu])
        step_s = load.stop()
        assert step_s is None or step_s > 0
    load.start([])
    assert load.stop() is None
    load.close()
    assert process.poll() == 0
    load.close()


def test_a_cpu_that_is_not_there_is_named() -> None:
    with pytest.raises(DeviceError, match="the process that computes on CPU 4095 has ended"):
        BurnLoad([4095])
