"""The clock that the board grants counts, not the one that it was asked for; and no plan waits for ever for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.fake_world import BOARD, EPOCH_S, gear, make_spec, quiet
from helpers.scripted import Scripted
from scheduler.manager import Manager
from scheduler.messages import (
    Activate,
    ClockSet,
    Effect,
    Log,
    Pin,
    Pinned,
    Prepare,
    Prepared,
    SetClock,
    Telemetry,
    Tick,
    UnitTelemetry,
)
from scheduler.request_clock import Pace
from scheduler.transition import Transition
from scheduler.unit_transition import DENIED_EPOCHS
from scheduler.views import Plan, Snapshot

FAST = gear("l", "big", 2)


class Top(Scripted):
    """A policy that takes the highest clock allowed on `big`."""

    def decide(self, snapshot: Snapshot) -> Plan:
        self.clocks = {"big": snapshot.units[0].mhz_allowed[-1]}
        return super().decide(snapshot)


class PacedTop(Top):
    """The same, with a clock for each request."""

    paces = True

    def decide(self, snapshot: Snapshot) -> Plan:
        pace = Pace(rest_mhz=500.0, least_mhz=500.0, share=1.0)
        return replace(super().decide(snapshot), paces={"a": pace})


def ready(clock: float | str, granted: float | str, policy: Scripted | None = None) -> tuple[Manager, list[Effect]]:
    """Return a manager whose `a` is ready for a first gear on `big`, and what it wants once that clock is granted."""
    policy = policy or (Top({"a": FAST}) if clock == 2000.0 else Scripted({"a": FAST}, {"big": clock}))
    manager = Manager(board=BOARD, apps=[make_spec("a")], policy=policy, epoch_s=EPOCH_S)
    first = manager.on(Tick(epoch=0), 0.0)
    assert Prepare(app="a", gear=FAST, plan=1) in first
    effects = first + manager.on(Prepared(app="a", gear=FAST, plan=1), 0.01)
    for effect in quiet(effects):
        if isinstance(effect, SetClock):
            at = granted if effect.unit == "big" else effect.clock
            effects += manager.on(ClockSet(unit=effect.unit, clock=at, plan=1), 0.02)
    return manager, effects


def epoch(manager: Manager, number: int, mhz: float, max_mhz: float | None = None) -> list[Effect]:
    now_s = EPOCH_S * number
    unit = UnitTelemetry(name="big", mhz_now=mhz, busy=0.0, temp_c=None, max_mhz=max_mhz, held_by="thermal 91 °C")
    effects = manager.on(Telemetry(apps=(), units=(unit,), power_w=None), now_s)
    return effects + manager.on(Tick(epoch=number), now_s)


def logs(effects: list[Effect], kind: str) -> list[object]:
    return [effect.fields for effect in effects if isinstance(effect, Log) and effect.kind == kind]


PIN = Pin(app="a", unit="big", cpus=(0, 1), plan=1)


def test_a_granted_clock_lets_the_application_go_on() -> None:
    _, effects = ready(2000.0, 2000.0)
    assert PIN in effects
    assert {"unit": "big", "from": None, "to": 2000.0} in logs(effects, "clock")


@pytest.mark.parametrize("granted", [1999.998, 1970.0, 2000.002])
def test_a_clock_that_was_read_back_off_the_table_is_the_one_asked_for(granted: float) -> None:
    manager, effects = ready(2000.0, granted)
    assert PIN in effects
    assert {"unit": "big", "from": None, "to": granted, "asked": 2000.0} in logs(effects, "clock")
    assert quiet(epoch(manager, 1, mhz=granted)) == []


def test_nothing_begins_at_a_denied_clock_and_the_plan_that_follows_keeps_the_cap() -> None:
    manager, effects = ready(2000.0, 1000.0)
    assert PIN not in effects
    assert {"unit": "big", "from": None, "to": 1000.0, "asked": 2000.0} in logs(effects, "clock")
    effects = epoch(manager, 1, mhz=1000.0, max_mhz=1000.0)
    (plan,) = logs(effects, "plan")
    assert plan["why"] == ["big held at 1000 MHz by thermal 91 °C"]
    assert quiet(effects) == [SetClock(unit="big", clock=1000.0, plan=2)]
    assert quiet(manager.on(ClockSet(unit="big", clock=1000.0, plan=2), 0.11)) == [PIN]
    activate = Activate(app="a", gear=FAST, cpus=(0, 1), plan=1)
    assert quiet(manager.on(Pinned(app="a", unit="big", cpus=(0, 1), plan=1), 0.12)) == [activate]


def test_a_clock_denied_for_no_reason_to_be_seen_is_not_waited_for_for_ever() -> None:
    manager, effects = ready(2000.0, 1000.0)
    for number in range(1, DENIED_EPOCHS + 1):
        assert quiet(epoch(manager, number, mhz=1000.0)) == []
    effects = epoch(manager, DENIED_EPOCHS + 1, mhz=1000.0)
    assert logs(effects, "denied") == [{"unit": "big", "asked": 2000.0, "granted": 1000.0}]
    assert quiet(effects) == [PIN]
    # It is said once, and the clock is not asked for over and over.
    later = [epoch(manager, number, mhz=1000.0) for number in range(DENIED_EPOCHS + 2, 10)]
    assert [logs(one, "denied") for one in later] == [[]] * len(later)
    assert [quiet(one) for one in later] == [[]] * len(later)


def test_a_cap_that_is_lifted_gives_the_clock_back() -> None:
    manager, _ = ready(2000.0, 1000.0)
    assert quiet(epoch(manager, 1, mhz=1999.998)) == [PIN]
    assert [logs(epoch(manager, number, mhz=2000.0), "denied") for number in range(2, 9)] == [[]] * 7


def test_the_clock_at_which_a_paced_unit_rests_is_not_what_it_was_granted() -> None:
    manager, effects = ready(2000.0, 1000.0, PacedTop({"a": FAST}))
    assert PIN not in effects
    for number in range(1, DENIED_EPOCHS + 1):
        assert quiet(epoch(manager, number, mhz=500.0)) == []
    effects = epoch(manager, DENIED_EPOCHS + 1, mhz=500.0)
    assert logs(effects, "denied") == [{"unit": "big", "asked": 2000.0, "granted": 1000.0}]


def test_a_policy_may_ask_in_whole_numbers() -> None:
    manager, effects = ready(1000, 500.0)
    assert PIN not in effects
    assert quiet(epoch(manager, 1, mhz=1000.0)) == [PIN]


def test_a_governor_that_was_asked_for_is_no_denied_clock() -> None:
    _, effects = ready("schedutil", 500.0)  # as a unit with a fixed clock answers
    assert PIN in effects


def test_a_denied_unit_is_raised_from_where_it_stands() -> None:
    """1,000 MHz is a step up for a unit that stands at 500, although 2,000 were asked for before."""
    transition = Transition(BOARD)
    transition.join("a", running=True)

    def aim(mhz: float, number: int) -> list[Effect]:
        clocks = {unit.name: unit.mhz[0] for unit in BOARD.units} | {"big": mhz}
        transition.aim(Plan(gears={"a": FAST}, clocks=clocks), {"a": (0, 1)}, number, "why")
        return transition.advance(0.0)

    aim(2000.0, 1)
    transition.acknowledge(Prepared(app="a", gear=FAST, plan=1))
    assert SetClock(unit="big", clock=2000.0, plan=1) in transition.advance(0.0)
    for unit in BOARD.units:
        transition.acknowledge(ClockSet(unit=unit.name, clock=500.0, plan=1))
    assert not [effect for effect in transition.advance(0.0) if isinstance(effect, Pin)]
    assert aim(1000.0, 2) == [SetClock(unit="big", clock=1000.0, plan=2)]
    transition.acknowledge(ClockSet(unit="big", clock=1000.0, plan=2))
    assert transition.advance(0.0) == [PIN]
