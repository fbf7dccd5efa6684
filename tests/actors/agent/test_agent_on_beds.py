"""Manager, control loop and board agent on every bed: they follow what others do to the board, and give it back."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest

from actors import pinning
from helpers.board_bed import CPU, BoardBed
from helpers.board_loop import BoardLoop
from helpers.fake_world import gear, make_spec
from helpers.scripted import Watchful
from scheduler import unit_transition
from scheduler.app_knowledge import AppSpec
from scheduler.board import BoardUnit

_APPS = ("a", "b")


def _specs(target_ms: float) -> list[AppSpec]:
    return [make_spec(app, target_ms=target_ms) for app in _APPS]


def test_a_run_sets_clocks_and_gives_the_board_back(bed: BoardBed, tmp_path: Path) -> None:
    before = bed.knobs()
    with BoardLoop(bed, tmp_path, _specs(100.0)) as run:
        run.wait_for(lambda: run.plans())
        (plan, *_) = run.plans()
        clocks = plan["clocks"]
        assert isinstance(clocks, dict)
        run.wait_for(lambda: all(bed.khz(unit) == round(clocks[unit.name] * 1000) for unit in bed.units))
    assert bed.knobs() == before
    assert run.given_back is not None
    assert not run.given_back.left_alone + run.given_back.failed


def test_the_manager_follows_a_cap(bed: BoardBed, tmp_path: Path) -> None:
    unit = bed.units[0]
    before = bed.knobs()
    with BoardLoop(bed, tmp_path, _specs(9.0)) as run:
        run.wait_for(lambda: run.plans())
        with bed.capped(unit, unit.mhz[1]):
            run.wait_for_news(f"{unit.name} held at {unit.mhz[1]:g} MHz by")
        run.wait_for_news(f"{unit.name} no longer held at {unit.mhz[1]:g} MHz")
    assert bed.knobs() == before


def test_the_manager_follows_a_core_that_goes_and_comes(bed: BoardBed, tmp_path: Path) -> None:
    unit = bed.units[1]
    lost = unit.cpus[1]
    before = bed.knobs()
    with BoardLoop(bed, tmp_path, _specs(100.0)) as run:
        run.wait_for(lambda: run.plans())
        bed.switch(lost, False)
        run.wait_for_news(f"CPU {lost} of {unit.name} went offline (hotplug by somebody)")
        run.wait_for(lambda: not any(lost in held for held in _cpus(run)))
        bed.switch(lost, True)
        run.wait_for_news(f"CPU {lost} of {unit.name} came online")
    assert bed.knobs() == before


def _cpus(run: BoardLoop) -> list[list[int]]:
    """Return the CPUs of each application in the latest plan."""
    held = run.plans()[-1]["cpus"]
    assert isinstance(held, dict)
    return list(held.values())


@pytest.mark.parametrize("governor", ["schedutil", "performance"])
def test_a_governor_of_the_kernels_has_the_clocks(bed: BoardBed, tmp_path: Path, governor: str) -> None:
    before = bed.knobs()
    with BoardLoop(bed, tmp_path, _specs(100.0), policy=f"floor+{governor}") as run:
        run.wait_for(lambda: all(bed.read(f"{bed.policy(unit)}/scaling_governor") == governor for unit in bed.units))
    assert bed.knobs() == before


@pytest.fixture
def short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit goes off after 0.4 s without use; that it is not sooner is tested on a virtual clock."""
    monkeypatch.setattr(unit_transition, "LEAST_REST_S", 0.4)


def _online(bed: BoardBed, unit: BoardUnit) -> set[str]:
    return {bed.read(f"{CPU}/cpu{cpu}/online") for cpu in unit.cpus}


@pytest.mark.usefixtures("short_rest")
def test_a_unit_that_nobody_uses_goes_off_and_comes_back(bed: BoardBed, tmp_path: Path) -> None:
    first, unit = bed.units[:2]
    near, far = gear("s", first.name), gear("s", unit.name)
    before = bed.knobs()
    policy = Watchful(dict.fromkeys(_APPS, near), {unit.name: unit.mhz[1]})
    with BoardLoop(bed, tmp_path, _specs(100.0), policy=policy, may_switch_off=[unit.name]) as run:
        run.wait_for(lambda: run.logged("switch"))
        assert _online(bed, unit) == {"0"}
        assert run.agent.ledger.read(unit.name).cpus_online == ()
        policy.gears = {"a": near, "b": far}
        run.wait_for(lambda: [entry for entry in run.logged("gear") if entry["to"] == far.plain()])
        assert _online(bed, unit) == {"1"}
        assert bed.khz(unit) == round(unit.mhz[1] * 1000)
        assert run.agent.ledger.read(unit.name).cpus_online == unit.cpus
        (moved,) = [plan["cpus"]["b"] for plan in run.plans()[1:]]
        # Until the gear is active the worker may run on its old CPUs too, and it leaves them one step later.
        run.wait_for(lambda: {*chain(*pinning.allowed(run.pid("b"), bed.machine.affinity).values())} == {*moved})
        # Nothing of it looked as if somebody else had taken CPUs away.
        assert [entry["text"] for entry in run.logged("event")] == []
        assert [(entry["unit"], entry["on"]) for entry in run.logged("switch")] == [
            (unit.name, False),
            (unit.name, True),
        ]
        assert all(entry["took_ms"] > 0 for entry in run.logged("switch"))
    assert bed.knobs() == before


@pytest.mark.usefixtures("short_rest")
def test_a_run_that_ends_while_a_unit_is_off_gives_it_back(bed: BoardBed, tmp_path: Path) -> None:
    first, unit = bed.units[:2]
    lost = unit.cpus[1]
    bed.switch(lost, False)
    before = bed.knobs()
    policy = Watchful(dict.fromkeys(_APPS, gear("s", first.name)))
    with BoardLoop(bed, tmp_path, _specs(100.0), policy=policy, may_switch_off=[unit.name]) as run:
        run.wait_for(lambda: run.logged("switch"))
        assert _online(bed, unit) == {"0"}
        # A CPU that was lost before is still lost, and by whom is known.
        assert [entry["text"] for entry in run.logged("event")] == [
            f"CPU {lost} of {unit.name} went offline (hotplug by somebody)"
        ]
    assert bed.knobs() == before
