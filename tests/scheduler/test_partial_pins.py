"""A worker can be pinned to those of its CPUs alone that are online; what it goes on with is what it has."""

from __future__ import annotations

from helpers.fake_world import BOARD, gear
from scheduler.messages import Activate, Activated, ClockSet, Effect, Log, Pin, Pinned, Prepared, SetClock
from scheduler.transition import ACK_TIMEOUT_S, Transition
from scheduler.views import Gear, Plan

ONE, TWO = gear("s", "big"), gear("s", "big", 2)


def aim(transition: Transition, number: int, want: Gear, cpus: tuple[int, ...]) -> list[Effect]:
    """Give `a` a new goal, and return what is asked for once its network is ready and the clocks are set."""
    clocks = {unit.name: unit.mhz[0] for unit in BOARD.units}
    transition.aim(Plan(gears={"a": want}, clocks=clocks), {"a": cpus}, number, "why")
    effects = transition.advance(0.0)
    transition.acknowledge(Prepared(app="a", gear=want, plan=number))
    effects += transition.advance(0.0)
    for effect in [*effects]:
        if isinstance(effect, SetClock):
            transition.acknowledge(ClockSet(unit=effect.unit, clock=effect.clock, plan=effect.plan))
    return effects + transition.advance(0.0)


def pinned(transition: Transition, cpus: tuple[int, ...], plan: int) -> list[Effect]:
    return transition.acknowledge(Pinned(app="a", unit="big", cpus=cpus, plan=plan)) + transition.advance(0.0)


def on_cpu_0() -> Transition:
    """Return a board on which `a` runs on CPU 0 of `big`."""
    transition = Transition(BOARD)
    transition.join("a", running=True)
    assert Pin(app="a", unit="big", cpus=(0,), plan=1) in aim(transition, 1, ONE, (0,))
    assert pinned(transition, (0,), 1) == [Activate(app="a", gear=ONE, cpus=(0,), plan=1)]
    transition.acknowledge(Activated(app="a", gear=ONE, plan=1))
    assert not transition.unsettled()
    return transition


def test_an_old_cpu_that_is_offline_is_not_waited_for() -> None:
    transition = on_cpu_0()
    assert Pin(app="a", unit="big", cpus=(0, 1), plan=2) in aim(transition, 2, ONE, (1,))
    log, activate = pinned(transition, (1,), 2)
    assert log == Log(kind="pin", fields={"app": "a", "asked": [0, 1], "cpus": [1]})
    assert activate == Activate(app="a", gear=ONE, cpus=(1,), plan=2)
    transition.acknowledge(Activated(app="a", gear=ONE, plan=2))
    assert not transition.unsettled()
    assert transition.advance(0.0) == []


def test_without_a_cpu_of_its_goal_it_waits_for_the_plan_that_does_without() -> None:
    transition = on_cpu_0()
    assert Pin(app="a", unit="big", cpus=(0, 1), plan=2) in aim(transition, 2, TWO, (0, 1))
    assert [effect.kind for effect in pinned(transition, (0,), 2) if isinstance(effect, Log)] == ["pin"]
    assert transition.advance(0.0) == []
    assert transition.gear("a") == ONE
    aim(transition, 3, ONE, (0,))
    assert not transition.unsettled()


def test_a_cpu_that_was_away_for_a_moment_only_is_asked_for_again() -> None:
    transition = on_cpu_0()
    aim(transition, 2, TWO, (0, 1))
    pinned(transition, (0,), 2)
    (unhealthy,) = transition.expire(ACK_TIMEOUT_S)
    assert unhealthy == Log(kind="unhealthy", fields={"app": "a", "waiting_for": "Pin"})
    transition.heard("a", ONE, 1)
    transition.advance(2.1)
    transition.acknowledge(Prepared(app="a", gear=TWO, plan=2))
    assert transition.advance(2.1) == [Pin(app="a", unit="big", cpus=(0, 1), plan=2)]
    assert pinned(transition, (0, 1), 2) == [Activate(app="a", gear=TWO, cpus=(0, 1), plan=2)]


def test_an_answer_without_any_cpu_or_with_a_strange_one_is_none() -> None:
    transition = on_cpu_0()
    aim(transition, 2, TWO, (0, 1))
    assert pinned(transition, (), 2) == []
    assert pinned(transition, (0, 1, 2), 2) == []
    assert transition.gear("a") == ONE
