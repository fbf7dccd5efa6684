"""Borders of a transition that a whole manager seldom meets: the timeout, and rings of those that wait."""

from __future__ import annotations

import pytest

from helpers.fake_world import BOARD
from scheduler.messages import ClockSet, Log, Prepare, SetClock
from scheduler.transition import ACK_TIMEOUT_S, Transition, ring_breakers
from scheduler.views import Gear, Plan


def asked_at_0() -> Transition:
    """A board on its way to a first plan: the worker was asked to prepare and is silent; the clocks are set."""
    transition = Transition(BOARD)
    transition.join("a", running=True)
    gear = Gear(subnet="s", unit="big", cores=1)
    clocks = {unit.name: unit.mhz[0] for unit in BOARD.units}
    transition.aim(Plan(gears={"a": gear}, clocks=clocks), {"a": (0,)}, 1, "start")
    effects = transition.advance(0.0)
    assert Prepare(app="a", gear=gear, plan=1) in effects
    for effect in effects + transition.advance(0.0):
        if isinstance(effect, SetClock):
            transition.acknowledge(ClockSet(unit=effect.unit, clock=effect.clock, plan=1))
    return transition


def unhealthy(waiting_for: str) -> Log:
    return Log(kind="unhealthy", fields={"app": "a", "waiting_for": waiting_for})


def test_a_worker_is_unhealthy_from_the_timeout_on() -> None:
    transition = asked_at_0()
    assert transition.expire(ACK_TIMEOUT_S - 0.1) == []
    assert transition.expire(ACK_TIMEOUT_S) == [unhealthy("Prepare")]
    assert transition.expire(ACK_TIMEOUT_S + 0.1) == []


def test_an_unhealthy_worker_is_asked_again_once_it_is_heard_of_even_with_no_news() -> None:
    transition = asked_at_0()
    transition.expire(ACK_TIMEOUT_S)
    assert transition.advance(ACK_TIMEOUT_S) == []
    assert transition.heard("a", None, -1) == []
    assert transition.advance(2.1) == [Prepare(app="a", gear=Gear(subnet="s", unit="big", cores=1), plan=1)]


@pytest.mark.parametrize(
    ("blocked", "let_through"),
    [
        ({}, []),
        ({"a": {"b"}}, []),  # b can move
        ({"a": {"b"}, "b": {"a"}}, ["a"]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}}, ["a"]),
        ({"c": {"a"}, "a": {"b"}, "b": {"a"}}, ["a"]),  # c is in no ring
        ({"a": {"b", "c"}, "b": {"a"}}, []),  # the ring waits for c, which can move
        ({"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"c"}}, ["a", "c"]),
    ],
)
def test_the_first_of_each_ring_is_let_through(blocked: dict[str, set[str]], let_through: list[str]) -> None:
    assert list(ring_breakers(blocked)) == let_through
