"""An agent that takes the place of one that died goes on with all that one knew, and nothing jumps in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.agent.agent import BoardAgent
from actors.agent.devices.sysfs import Tree
from actors.agent.machine import Machine
from actors.agent.memory import MemoryLostError
from actors.agent.totals import BoardTotals
from actors.ledger.lease import Lease
from helpers.agent_board import BIG, BOARD, LITTLE
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import FakeAffinity, FakeTree, boards
from helpers.kill_points import Killed, KillPoints, MortalTree
from helpers.sensor_trees import ina3221_hwmon, rapl_zone
from helpers.virtual_clock import VirtualClock
from scheduler.board import Board
from scheduler.messages import Hints, SwitchUnit
from scheduler.request_clock import Pace
from scheduler.sensor import Sensor

SWITCHED = replace(BOARD, units=(replace(BIG, may_switch_off=True, off_w=0.02, off_ms=40.0, on_ms=30.0), LITTLE))


class Run:
    """Agents of one run, one after another, on virtual time."""

    def __init__(self, path: Path, board: Board = SWITCHED, machine: Machine | None = None) -> None:
        self.path, self.board, self.machine = path, board, machine
        self.clock = VirtualClock()
        self.agent = self._start(resumes=False)

    def _start(self, *, resumes: bool) -> BoardAgent:
        return BoardAgent(
            self.board,
            apps=["a", "b"],
            path=self.path / "ledger",
            clock=self.clock,
            machine=self.machine,
            owner="run",
            resumes=resumes,
        )

    def lose(self) -> None:
        """Have the agent die without a word, and another one go on."""
        self.agent.ledger.close()
        self.agent = self._start(resumes=True)


def figures(totals: BoardTotals) -> list[float | None]:
    each = [(unit.busy, unit.clock_changes, unit.mean_mhz, unit.energy_j) for unit in totals.units]
    return [totals.duration_s, totals.board_j, *(figure for unit in each for figure in unit)]


def order(agent: BoardAgent, number: int) -> None:
    """Give one of the orders that leave no history but in the ledger: all but governors that learn."""
    pace = Pace(rest_mhz=500.0, least_mhz=500.0, share=1.0)
    match number:
        case 0 | 1:
            agent.set_clock("big", (500.0, 1000.0)[number])
        case 2:
            agent.set_clock("big", "performance")
        case 3:
            agent.set_clock("big", 1000.0, Hints(paces={"a": pace}))
        case 4:
            agent.limit("big", max_mhz=700.0, cpus_online=[0, 1], other_load=0.25)
        case 5:
            agent.limit("big", cpus_online=[1])
        case 6:
            agent.limit("big")
        case 7 | 8:
            agent.switch(SwitchUnit(unit="big", on=number == 8, plan=1))
        case 9:
            agent.mark()


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 11), st.floats(0.01, 1.0), st.booleans()), max_size=14))
def test_totals_are_those_of_an_agent_that_never_died(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, float, bool]]
) -> None:
    runs = [Run(tmp_path_factory.mktemp("run")) for _ in range(2)]
    found: list[BoardTotals] = []
    for mortal, run in enumerate(runs):
        lease: Lease | None = None
        run.agent.mark()
        for number, span_s, dies in steps:
            ledger = run.agent.ledger
            if number == 10 and lease is None and 1 in ledger.read("big").cpus_online:
                lease = ledger.take(0, "big", [1], 0.0)
            elif number == 11 and lease is not None:
                ledger.release(lease)
                lease = None
            order(run.agent, number)
            before = run.agent.totals(), run.agent.ledger.holders("big"), run.agent.is_marked
            if dies and mortal:
                run.lose()
            assert (run.agent.totals(), run.agent.ledger.holders("big"), run.agent.is_marked) == before
            run.clock.sleep_until(run.clock.now_s() + span_s)
            run.agent.tick()
        found.append(run.agent.totals())
        run.agent.close()
    assert figures(found[0]) == pytest.approx(figures(found[1]))


def test_an_order_under_way_is_carried_out_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)

    def die(*_: object, **__: object) -> None:
        raise Killed

    device = run.agent._devices["big"]
    for name in ("set_clock", "limit"):
        monkeypatch.setattr(device, name, die)
    with pytest.raises(Killed):
        run.agent.limit("big", cpus_online=[0])
    with pytest.raises(Killed):
        run.agent.set_clock("big", 1000.0)
    run.lose()
    (big, _) = run.agent.telemetry()
    assert big.mhz_now == 1000.0
    assert run.agent.ledger.read("big").cpus_online == (0,)


def test_a_slowdown_outlives_the_agent(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.agent.slow("big", 2.0)
    run.lose()
    now = run.agent.ledger.progress(run.agent.ledger.take(0, "big", [0], 0.0))
    assert now.pace == now.known_pace / 2


def test_an_order_that_failed_is_not_repeated(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.agent.set_clock("big", 1000.0)
    with pytest.raises(ValueError, match="nobody"):
        run.agent.set_clock("big", "nobody")
    run.lose()
    assert run.agent.telemetry()[0].mhz_now == 1000.0


def test_who_was_fenced_off_is_told_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    file = run.agent.ledger._file
    file.put_fence(1, file.fence(1)._replace(times=1.0, why=1.0, held_ms=5.0, bound_ms=4.0))
    assert [one.app for one in run.agent.report().fenced] == ["b"]
    run.lose()
    assert run.agent.report().fenced == ()


def test_without_a_memory_nothing_is_gone_on_with(tmp_path: Path) -> None:
    run = Run(tmp_path)
    (tmp_path / "ledger" / "agent").unlink()
    with pytest.raises(MemoryLostError, match="what the board agent knew is lost"):
        run.lose()


# ---------------------------------------------------------------- workers


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def test_workers_stay_pinned_and_are_pinned_again(tmp_path: Path, worker: subprocess.Popen[bytes]) -> None:
    kernel = boards.bed_amd64()
    affinity = FakeAffinity(kernel)
    run = Run(tmp_path, machine=Machine(tree=FakeTree(kernel), affinity=affinity, state=tmp_path / "state"))
    run.agent.pin("a", worker.pid, [1])
    run.agent.pin("b", worker.pid, [1, 2])
    run.lose()
    assert run.agent.pinned() == {"a": (worker.pid, (1,)), "b": (worker.pid, (1, 2))}
    run.agent.pin("b", worker.pid, [2])
    run.lose()
    worker.kill()
    worker.wait()
    assert len(run.agent.repin()) == 0
    run.lose()
    assert run.agent.pinned() == {}


# ---------------------------------------------------------------- rails


def test_a_counter_goes_on_over_the_gap_and_power_that_nobody_read_is_unknown(tmp_path: Path) -> None:
    root = tmp_path / "root"
    ina3221_hwmon(root)
    zone = rapl_zone(root, "intel-rapl:0", "package-0", energy_uj=5_000_000)
    (zone / "energy_uj").chmod(0o600)
    sensors = (
        Sensor(rail="package-0", driver="rapl", covers=("big", "little")),
        Sensor(rail="VDD_IN", driver="ina3221", covers="board"),
    )
    units = tuple(
        replace(unit, dvfs="fixed", mhz=unit.mhz[-1:], static_w=unit.static_w[-1:], dynamic_w=unit.dynamic_w[-1:])
        for unit in (BIG, LITTLE)
    )
    board = replace(BOARD, units=units, sensors=sensors)
    run = Run(tmp_path, board, Machine(tree=Tree(root), state=tmp_path / "state"))
    counted_uj = 5_000_000

    def pass_by(seconds: float, *, read: bool) -> None:
        """2 W behind the counter, while the agent reads its rails every 20 ms, or nobody does."""
        nonlocal counted_uj
        for _ in range(round(seconds / 0.02)):
            run.clock.sleep_until(run.clock.now_s() + 0.02)
            counted_uj += 40_000
            (zone / "energy_uj").write_text(f"{counted_uj}\n")
            if read:
                run.agent.sample()

    pass_by(0.5, read=True)
    run.agent.mark()
    pass_by(1.5, read=True)
    run.agent.report()
    pass_by(0.3, read=True)  # read, and then lost with the agent
    pass_by(1.0, read=False)
    run.agent._sampler.close()
    run.lose()
    pass_by(1.2, read=True)
    totals = run.agent.totals()
    package, board_rail = totals.rails
    assert totals.duration_s == pytest.approx(4.0)
    assert (package.joules, package.why_unknown) == (pytest.approx(8.0, abs=0.05), None)
    assert package.longest_gap_s == pytest.approx(1.3, abs=0.05)
    assert board_rail.joules is None
    assert "showed nothing for 1.3" in board_rail.why_unknown
    assert board_rail.samples > 100
    assert (totals.units_source, totals.board_source) == ("measured", "modelled")
    run.agent.close()


# ---------------------------------------------------------------- real clocks


@pytest.mark.usefixtures("fake_boards")
@pytest.mark.parametrize("name", ["odroid-xu3", "bed-arm64", "xavier-nx-l4t35"])
def test_a_real_board_is_kept_and_given_back_as_the_first_agent_found_it(name: str, tmp_path: Path) -> None:
    bed: BoardBed = fake_bed(boards.ALL[name](), tmp_path / "state")
    before = bed.knobs()
    first, second, *_ = bed.units
    tree = MortalTree(bed.tree, KillPoints(lambda: None))
    run = Run(tmp_path, board_of(bed, [second.name]), replace(bed.machine, tree=tree))

    def lose() -> None:
        tree.bury()
        run.lose()

    run.agent.set_clock(first.name, first.mhz[1])
    run.agent.set_clock(second.name, "performance")
    run.agent.limit(second.name, max_mhz=second.mhz[0])
    kept = bed.knobs()
    lose()
    assert bed.knobs() == kept
    assert run.agent.switch(SwitchUnit(unit=second.name, on=False, plan=1)).fault is None
    lose()
    telemetry = run.agent.telemetry()
    assert [bed.read(f"sys/devices/system/cpu/cpu{cpu}/online") for cpu in second.cpus] == ["0"] * len(second.cpus)
    assert telemetry[1].cpus_online == second.cpus, "what the run has switched off is not lost"
    assert run.agent.switch(SwitchUnit(unit=second.name, on=True, plan=2)).fault is None
    assert run.agent.set_clock(second.name, second.mhz[0]) == second.mhz[0]
    assert run.agent.telemetry()[0].held_by is None
    lose()
    assert (bed.khz(first), bed.khz(second)) == (round(first.mhz[1] * 1000), round(second.mhz[0] * 1000))
    assert run.agent.restore().faults() == []
    assert bed.knobs() == before
