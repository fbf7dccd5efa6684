"""Clocks of single requests on real units: on every bed the clock follows what requests ask for in the ledger."""

from __future__ import annotations

import errno
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from actors.agent.agent import BoardAgent
from actors.ledger.lease import Lease
from actors.ledger.ledger import BoardLedger
from helpers.board_bed import BoardBed, fake_bed
from helpers.board_loop import board_of
from helpers.fake_kernel import boards
from helpers.kill_points import KillPoints, MortalTree
from helpers.small_ledger import until
from helpers.virtual_clock import VirtualClock
from scheduler.board import BoardUnit
from scheduler.messages import Hints, SwitchUnit, UnitTelemetry
from scheduler.request_clock import Pace, Timing

_APPS = ("a", "b")
_HURRIED, _PATIENT = 0.0, math.inf


def agent_of(bed: BoardBed, directory: Path, **changes: object) -> BoardAgent:
    board = board_of(bed, [bed.units[1].name])
    machine = replace(bed.machine, **changes)  # type: ignore[arg-type]
    return BoardAgent(board, apps=_APPS, path=directory / "ledger", clock=VirtualClock(), machine=machine)


@pytest.fixture
def agent(bed: BoardBed, tmp_path: Path) -> Iterator[BoardAgent]:
    with agent_of(bed, tmp_path) as agent:
        yield agent


def pace(agent: BoardAgent, unit: BoardUnit, least_mhz: Mapping[str, float] | None = None) -> float | str:
    """Have a plan's middle clock set, and give requests of `a`, or of these, clocks of their own."""
    paces = {
        app: Pace(rest_mhz=unit.mhz[0], least_mhz=mhz, share=1.0)
        for app, mhz in (least_mhz or {"a": unit.mhz[0]}).items()
    }
    return agent.set_clock(unit.name, unit.mhz[1], Hints(paces=paces))


def ask(ledger: BoardLedger, unit: BoardUnit, left_s: float, *, slot: int = 0) -> Lease:
    """Have a request take a core and ask for its clock, as a worker does."""
    lease = ledger.take(slot, unit.name, unit.cpus[slot : slot + 1], 1e9)
    assert lease is not None
    ledger.ask(lease, Timing(samples_ms=(10.0,), arrival_s=0.0, deadline_s=left_s))
    return lease


def seen(agent: BoardAgent, unit: BoardUnit) -> UnitTelemetry:
    return next(one for one in agent.telemetry() if one.name == unit.name)


def mhz(bed: BoardBed, unit: BoardUnit) -> float:
    return bed.khz(unit) / 1000


def test_the_clock_is_what_requests_want_and_nobody_is_said_to_have_set_it(
    bed: BoardBed, agent: BoardAgent, tmp_path: Path
) -> None:
    before = bed.knobs()
    for unit in bed.units:
        lowest, middle, top = unit.mhz[0], unit.mhz[1], unit.mhz[-1]

        def is_at(clock: float, unit: BoardUnit = unit) -> None:
            agent.tick()
            assert mhz(bed, unit) == agent.ledger.read(unit.name).mhz == clock
            shown = seen(agent, unit)
            assert (shown.mhz_now, shown.max_mhz, shown.held_by) == (clock, None, None)
            assert mhz(bed, unit) == clock, "a look changes nothing"

        assert pace(agent, unit, {"a": lowest, "b": middle}) == middle
        is_at(lowest)
        hurried = ask(agent.ledger, unit, _HURRIED)
        is_at(top)
        patient = ask(agent.ledger, unit, _PATIENT, slot=1)
        is_at(top)
        agent.ledger.release(hurried)
        is_at(middle)
        agent.ledger.release(patient)
        is_at(lowest)
    assert not agent.restore().faults()
    assert bed.knobs() == before


def test_the_agents_thread_sets_the_clock_that_another_process_would_ask_for(bed: BoardBed, agent: BoardAgent) -> None:
    before = bed.knobs()
    agent.start()
    units = {app: (slot, unit) for slot, (app, unit) in enumerate(zip(_APPS, bed.units[:2], strict=True))}
    worker = BoardLedger.attach(agent.ledger.path, agent.board, VirtualClock())
    for _ in range(2):
        for app, (_, unit) in units.items():
            pace(agent, unit, {app: unit.mhz[0]})
        for slot, unit in (*units.values(), *units.values()):
            until(lambda unit=unit: mhz(bed, unit) == unit.mhz[0])
            lease = ask(worker, unit, _HURRIED, slot=slot)
            until(lambda unit=unit: mhz(bed, unit) == unit.mhz[-1])
            worker.release(lease)
        # No unit is paced any more, so the thread sleeps until one is again.
        for slot, unit in units.values():
            agent.set_clock(unit.name, unit.mhz[1])
            worker.release(ask(worker, unit, _HURRIED, slot=slot))
            assert mhz(bed, unit) == unit.mhz[1]
    worker.close()
    pace(agent, bed.units[0])
    assert not agent.restore().faults()
    assert bed.knobs() == before


@pytest.mark.parametrize("clock", [None, "powersave"])
def test_a_plan_that_ends_it_leaves_one_clock(bed: BoardBed, agent: BoardAgent, clock: str | None) -> None:
    unit = bed.units[0]
    pace(agent, unit)
    lease = ask(agent.ledger, unit, _HURRIED)
    agent.tick()
    agent.set_clock(unit.name, clock or unit.mhz[1])
    for step in (lambda: None, lambda: agent.ledger.release(lease), lambda: ask(agent.ledger, unit, _HURRIED)):
        step()
        agent.tick()
        assert mhz(bed, unit) == (unit.mhz[0] if clock else unit.mhz[1])
    assert agent.ledger.wanted_mhz(unit.name) is None


def test_a_cap_holds_and_the_requests_get_their_clocks_within_it(bed: BoardBed, agent: BoardAgent) -> None:
    unit = bed.units[0]
    lowest, second, *_, top = unit.mhz
    pace(agent, unit)
    lease = ask(agent.ledger, unit, _HURRIED)
    agent.tick()
    with bed.capped(unit, second):
        shown = seen(agent, unit)
        assert (shown.mhz_now, shown.max_mhz) == (second, second)
        assert agent.ledger.wanted_mhz(unit.name) == second, "no clock is asked for that can't be had"
        agent.ledger.release(lease)
        agent.tick()
        assert mhz(bed, unit) == lowest
        assert seen(agent, unit).max_mhz in (second, None)
        lease = ask(agent.ledger, unit, _HURRIED)
        agent.tick()
        assert mhz(bed, unit) == agent.ledger.read(unit.name).mhz == second
    shown = seen(agent, unit)
    assert (shown.max_mhz, shown.held_by) == (None, None)
    agent.ledger.release(lease)
    ask(agent.ledger, unit, _HURRIED)
    agent.tick()
    assert mhz(bed, unit) == seen(agent, unit).mhz_now == top


def test_a_limit_of_the_mix_holds_and_is_lifted(bed: BoardBed, agent: BoardAgent) -> None:
    unit = bed.units[0]
    pace(agent, unit)
    lease = ask(agent.ledger, unit, _HURRIED)
    for max_mhz, wanted in ((unit.mhz[1], unit.mhz[1]), (None, unit.mhz[-1]), (unit.mhz[0], unit.mhz[0])):
        agent.limit(unit.name, max_mhz=max_mhz)
        agent.ledger.release(lease)
        lease = ask(agent.ledger, unit, _HURRIED)
        agent.tick()
        assert mhz(bed, unit) == wanted
        assert seen(agent, unit).max_mhz is None, "our own limit is not the board's"


def test_whoever_gives_it_a_governor_has_it(bed: BoardBed, agent: BoardAgent) -> None:
    unit = bed.units[0]
    pace(agent, unit)
    agent.tick()
    bed.write(f"{bed.policy(unit)}/scaling_governor", "powersave")
    lease = ask(agent.ledger, unit, _HURRIED)
    for step in (lambda: None, lambda: agent.ledger.release(lease)):
        step()
        agent.tick()
        assert mhz(bed, unit) == unit.mhz[0], "the stranger's governor has the clock"
        assert seen(agent, unit).held_by == "governor powersave, which somebody set"
    assert any("scaling_governor = powersave" in line for line in agent.restore().left_alone)
    assert bed.read(f"{bed.policy(unit)}/scaling_governor") == "powersave"


def test_a_unit_that_is_switched_off_is_left_alone_until_it_is_back(bed: BoardBed, agent: BoardAgent) -> None:
    before = bed.knobs()
    unit = bed.units[1]
    pace(agent, unit)
    agent.ledger.release(ask(agent.ledger, unit, _HURRIED))
    assert agent.switch(SwitchUnit(unit=unit.name, on=False, plan=1)).fault is None
    agent.tick()
    shown = seen(agent, unit)
    assert (shown.held_by, agent.ledger.read(unit.name).cpus_online) == (None, ())
    assert agent.switch(SwitchUnit(unit=unit.name, on=True, plan=2)).fault is None
    pace(agent, unit)
    agent.tick()
    assert mhz(bed, unit) == unit.mhz[0]
    ask(agent.ledger, unit, _HURRIED)
    agent.tick()
    assert mhz(bed, unit) == unit.mhz[-1]
    assert not agent.restore().faults()
    assert bed.knobs() == before


def test_a_write_that_fails_is_told_once_and_made_up_for(bed: BoardBed, tmp_path: Path) -> None:
    before = bed.knobs()
    points = KillPoints(lambda: _deny(points))
    with agent_of(bed, tmp_path, tree=MortalTree(bed.tree, points)) as agent:
        agent.start()
        unit = bed.units[0]
        pace(agent, unit)
        until(lambda: mhz(bed, unit) == unit.mhz[0])
        points.left = 0
        lease = ask(agent.ledger, unit, _HURRIED)
        until(lambda: points.left is None)
        shown = seen(agent, unit)
        assert "Operation not permitted" in (shown.held_by or "")
        assert shown.max_mhz is None
        assert mhz(bed, unit) == unit.mhz[-1], "each look makes up for what failed"
        assert seen(agent, unit).held_by is None
        agent.ledger.release(lease)
        until(lambda: mhz(bed, unit) == unit.mhz[0])
    assert bed.knobs() == before


def _deny(points: KillPoints) -> None:
    points.left = None
    raise PermissionError(errno.EPERM, "not permitted")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", ["x86-hybrid-laptop", "x86-hybrid-laptop-passive", "amd-desktop", "amd-desktop-acpi"])
@pytest.mark.usefixtures("fake_boards")
def test_clocks_that_limits_set_follow_too(name: str, late: bool, tmp_path: Path) -> None:
    kernel = boards.ALL[name]()
    bed = fake_bed(kernel, tmp_path / "state")
    before = bed.knobs()
    kernel.cpufreq.slow = late
    with agent_of(bed, tmp_path) as agent:
        unit = agent.board.units[0]
        pace(agent, unit)
        for _ in range(3):
            agent.tick()
            assert agent.ledger.read(unit.name).mhz == unit.mhz[0]
            assert seen(agent, unit).max_mhz is None
            lease = ask(agent.ledger, unit, _HURRIED)
            agent.tick()
            assert agent.ledger.read(unit.name).mhz == unit.mhz[-1]
            assert seen(agent, unit).max_mhz is None
            agent.ledger.release(lease)
    kernel.tick()
    assert bed.knobs() == before


# ------------------------------------------------------------ what changes in between


@pytest.mark.parametrize(("name", "mode"), [("xavier-nx-l4t32", 4), ("xavier-nx-l4t35", 4), ("orin-nano-l4t36", 3)])
@pytest.mark.usefixtures("fake_boards")
def test_a_power_mode_that_is_set_meanwhile_bounds_the_requests(name: str, mode: int, tmp_path: Path) -> None:
    kernel = boards.ALL[name]()
    bed = fake_bed(kernel, tmp_path / "state")
    first = kernel.jetson.mode.number
    kernel.jetson.nvpmodel(mode)
    in_new_mode = bed.knobs()
    allowed = int(bed.read(f"{bed.policy(bed.units[0])}/scaling_max_freq")) / 1000
    kernel.jetson.nvpmodel(first)
    unit = bed.units[0]
    assert unit.mhz[0] < allowed < unit.mhz[-1]
    with agent_of(bed, tmp_path) as agent:
        pace(agent, unit)
        lease = ask(agent.ledger, unit, _HURRIED)
        agent.tick()
        assert mhz(bed, unit) == unit.mhz[-1]
        kernel.jetson.nvpmodel(mode)
        shown = seen(agent, unit)
        assert (shown.held_by or "").startswith("nvpmodel ")
        for _ in range(2):
            agent.tick()
            assert mhz(bed, unit) == agent.ledger.read(unit.name).mhz == agent.ledger.wanted_mhz(unit.name) == allowed
            agent.ledger.release(lease)
            agent.tick()
            assert mhz(bed, unit) == unit.mhz[0]
            lease = ask(agent.ledger, unit, _HURRIED)
        assert not agent.restore().faults()
    assert bed.knobs() == in_new_mode


@pytest.mark.parametrize("name", ["xavier-nx-l4t32", "xavier-nx-l4t35", "odroid-xu3"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.usefixtures("fake_boards")
def test_whatever_comes_in_between_tree_and_ledger_agree(name: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    bed = fake_bed(boards.ALL[name](), tmp_path / "state")
    before = bed.knobs()
    unit = bed.units[0]
    limit_mhz: float | None = None
    with agent_of(bed, tmp_path) as agent, ExitStack() as caps:
        pace(agent, unit)
        leases: list[Lease] = []
        for _ in range(40):
            match rng.randrange(7):
                case 0 | 1 if not leases:
                    leases.append(ask(agent.ledger, unit, rng.choice((_HURRIED, _PATIENT, 0.02))))
                case 2 | 3 if leases:
                    agent.ledger.release(leases.pop())
                case 4:
                    caps.close()
                    if rng.random() < 0.7:
                        caps.enter_context(bed.capped(unit, rng.choice(unit.mhz[1:-1])))
                case 5:
                    limit_mhz = rng.choice((None, *unit.mhz))
                    agent.limit(unit.name, max_mhz=limit_mhz)
                case 6:
                    agent.set_clock(
                        unit.name,
                        rng.choice(unit.mhz),
                        Hints(paces={"a": Pace(rest_mhz=unit.mhz[0], least_mhz=unit.mhz[0], share=1.0)}),
                    )
            if rng.random() < 0.5:
                agent.tick()
            shown = seen(agent, unit)
            assert shown.mhz_now == mhz(bed, unit) == agent.ledger.read(unit.name).mhz
            agent.tick()
            assert mhz(bed, unit) == agent.ledger.read(unit.name).mhz == agent.ledger.wanted_mhz(unit.name)
            assert mhz(bed, unit) <= min(limit_mhz or math.inf, shown.max_mhz or math.inf)
            assert "somebody" not in (shown.held_by or ""), "it was the kernel or the run itself"
            assert leases or mhz(bed, unit) == unit.mhz[0]
        caps.close()
        assert not agent.restore().faults()
    assert bed.knobs() == before
