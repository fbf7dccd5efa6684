"""A board agent that dies and is replaced at any moment of a transition: no unsafe moment, and the plan is reached."""

from __future__ import annotations

import random

import pytest

from actors.control.agent_orders import AgentOrder, AgentOrders
from helpers.fake_world import BOARD, EPOCH_S, World, make_spec
from helpers.scripted import Watchful
from scheduler.manager import Manager
from scheduler.messages import ClockSet, Effect, Message, Pin, Pinned, SetClock
from scheduler.views import Gear

APPS = ("a", "b", "c")


class AgentWorld(World):
    """A world whose agent may die: what it has not answered it may have done or not, and its successor is told."""

    def __init__(self, manager: Manager, seed: int) -> None:
        self._orders = AgentOrders()
        self._unanswered: dict[int, AgentOrder] = {}
        self._agent: int | None = 0  # its number; None while there is none
        self._deaths = 0
        super().__init__(manager, APPS, seed=seed, delay_s=0.15)

    def lose_agent(self) -> None:
        self._agent, self._deaths = None, self._deaths + 1
        for number, order in self._unanswered.items():
            self._orders.lost(number, order)
        self._unanswered.clear()

    def agent_back(self) -> None:
        self._agent = self._deaths
        for order in self._orders.take():
            if not isinstance(order, Pin) or self.manager.awaits(order):
                self._order(order)
            elif order in self._pins_under_way:
                self._pins_under_way.remove(order)

    def _carry_out(self, effect: Effect) -> None:
        if not isinstance(effect, Pin | SetClock):
            super()._carry_out(effect)
            return
        if isinstance(effect, Pin):
            self._check_gain(effect)
            # Those before that no agent has done are superseded, and no one will.
            under_way = [*self._unanswered.values()]
            self._pins_under_way = [pin for pin in self._pins_under_way if pin.app != effect.app or pin in under_way]
            self._pins_under_way.append(effect)
        self._order(effect)

    def _order(self, order: AgentOrder) -> None:
        number, agent = self._orders.given(order), self._agent
        if agent is None:
            self._orders.lost(number, order)
            return
        self._unanswered[number] = order
        channel = (type(order).__name__, order.app if isinstance(order, Pin) else order.unit)
        when_s = max(self.now_s + self._delay(), self._channels.get(channel, 0.0))
        self._channels[channel] = when_s
        self._at(when_s, lambda: self._do(number, order, agent))

    def _do(self, number: int, order: AgentOrder, agent: int) -> None:
        if agent != self._agent:
            return
        answer: Message
        if isinstance(order, Pin):
            if order in self._pins_under_way:
                self._pins_under_way.remove(order)
            self.workers[order.app].pinned = frozenset(order.cpus)
            answer = Pinned(app=order.app, unit=order.unit, cpus=order.cpus, plan=order.plan)
        else:
            assert isinstance(order, SetClock)
            self.clocks[order.unit] = order.clock
            answer = ClockSet(unit=order.unit, clock=order.clock, plan=order.plan)
        self._check()
        self._at(self.now_s + self._delay(), lambda: self._answered(number, answer))

    def _answered(self, number: int, answer: Message) -> None:
        if self._unanswered.pop(number, None) is not None:  # else it has died before it answered
            self.send(answer)


def gears_of(rnd: random.Random) -> dict[str, Gear]:
    return {
        app: Gear(subnet=rnd.choice("sml"), unit=unit, cores=1 if unit == "gpu" else rnd.choice((1, 2)))
        for app, unit in zip(APPS, rnd.sample(["big", "little", "gpu"], 3), strict=True)
    }


@pytest.mark.parametrize("seed", range(50))
def test_the_board_comes_to_the_plan_without_an_unsafe_moment(seed: int) -> None:
    rnd = random.Random(seed)
    policy = Watchful(gears_of(rnd))
    manager = Manager(board=BOARD, apps=[make_spec(app) for app in APPS], policy=policy, epoch_s=EPOCH_S)
    world = AgentWorld(manager, seed)
    world.run(rnd.uniform(0.0, 1.0))
    for _ in range(3):
        policy.gears = gears_of(rnd)
        world.run(rnd.uniform(0, 0.7))  # the world asserts at each step that nobody takes what another holds
        world.lose_agent()
        world.run(rnd.uniform(0, 1.0))
        policy.gears = gears_of(rnd)
        world.run(rnd.uniform(0, 2.5))
        world.agent_back()
    world.run(6.0)
    assert {app: worker.gear for app, worker in world.workers.items()} == policy.gears
    world.assert_arrived()
    assert manager.settled
