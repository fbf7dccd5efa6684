"""A process that takes the place of a dead one goes on with its board, which comes back as the first found it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.devices.cpufreq import CpufreqClock
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.hold import Hold, recover
from actors.agent.machine import Machine
from helpers.board_bed import BoardBed, fake_bed
from helpers.fake_kernel import boards
from helpers.kill_points import Killed, KillPoints, MortalTree, mortal_journal

pytestmark = pytest.mark.usefixtures("fake_boards")

_RUNS_OF_EACH = 30


def _die() -> None:
    raise Killed


@contextmanager
def _living(bed: BoardBed, points: int) -> Iterator[Machine]:
    """Give a machine to a process that dies at the block's end, or after so many points of board and journal."""
    tree = MortalTree(bed.tree, KillPoints(_die))
    tree._points.left = points
    with mortal_journal(tree._points):
        try:
            yield replace(bed.machine, tree=tree)
        except Killed:
            pass
        finally:
            tree.bury()


def _use(bed: BoardBed, hold: Hold, rng: random.Random) -> None:
    # A unit that was on its way off comes on before its clock is looked at, as in a board agent.
    switch = UnitSwitch(bed.units[1], hold.journal)
    switch.on()
    clocks = [CpufreqClock(unit, hold.journal) for unit in bed.units]
    for _ in range(rng.randrange(1, 10)):
        number = rng.randrange(len(clocks))
        unit, clock = bed.units[number], clocks[number]
        match rng.randrange(4):
            case 0 | 1:
                mhz = rng.choice(unit.mhz)
                assert clock.set_clock(mhz) == mhz, "whatever was under way, nobody else has turned a knob"
            case 2:
                clock.govern(rng.choice(("performance", "powersave", "ondemand")), rng.choice((*unit.mhz, None)))
            case 3:
                clocks[1].keep()
                switch.off()
                switch.on()
                clocks[1].look()


@pytest.mark.parametrize("board", ["bed-arm64", "odroid-xu3"])
def test_a_board_comes_back_as_the_first_found_it_whenever_those_before_died(board: str, tmp_path: Path) -> None:
    kernel = boards.ALL[board]()
    heirs = 0
    for seed in range(_RUNS_OF_EACH):
        rng = random.Random(seed)
        bed = fake_bed(kernel, tmp_path / str(seed))
        before = bed.knobs()
        for _ in range(rng.randrange(1, 4)):
            with _living(bed, rng.randrange(60)) as machine:
                _use(bed, Hold(machine, "run"), rng)
        hold = Hold(bed.machine, "run")
        heirs += len(list(bed.machine.state.glob("journal-*")))
        assert hold.recovered.lines() == []
        UnitSwitch(bed.units[1], hold.journal).on()
        for unit in bed.units:
            clock = CpufreqClock(unit, hold.journal)
            assert clock.set_clock(unit.mhz[1]) == unit.mhz[1], seed
            assert clock.look().held_by is None, seed
        given_back = hold.give_back()
        assert given_back.faults() == [], (seed, given_back)
        assert bed.knobs() == before, (seed, given_back)
        assert not list(bed.machine.state.glob("journal-*"))
    assert heirs > _RUNS_OF_EACH // 2


def test_what_another_run_has_left_is_given_back_and_not_gone_on_with(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    before = bed.knobs()
    for owner, number in (("run", 0), ("other", 1), ("", 0)):
        with _living(bed, 10**6) as machine:
            hold = Hold(machine, owner)
            assert bool(hold.recovered.put_back) == (owner != "run")
            CpufreqClock(bed.units[number], hold.journal).set_clock(bed.units[number].mhz[0])
    assert recover(bed.machine) is not None
    assert bed.knobs() == before


def test_a_board_that_was_given_back_meanwhile_is_found_anew(tmp_path: Path) -> None:
    bed = fake_bed(boards.ALL["odroid-xu3"](), tmp_path / "state")
    before = bed.knobs()
    unit = bed.units[0]
    with _living(bed, 10**6) as machine:
        CpufreqClock(unit, Hold(machine, "run").journal).set_clock(unit.mhz[0])
    recover(bed.machine)
    hold = Hold(bed.machine, "run")
    assert hold.journal.found(f"{bed.policy(unit)}/scaling_governor") is None
    assert CpufreqClock(unit, hold.journal).set_clock(unit.mhz[1]) == unit.mhz[1]
    hold.give_back()
    assert bed.knobs() == before
