"""The orders to the board agent that it died over: kept until there is another one, and then given to that.

An order supersedes those of its kind before it for the same unit or application, and doing one twice changes nothing.
Orders of different kinds may overtake each other.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import count
from typing import TypeAlias

from scheduler.messages import BoardEvent, Pin, SetClock, SwitchUnit, UnitLimited, UnitSlowed

AgentOrder: TypeAlias = Pin | SetClock | SwitchUnit | BoardEvent


class AgentOrders:
    """The orders to one board's agents."""

    def __init__(self) -> None:
        self._numbers = count()
        self._latest: dict[Hashable, int] = {}
        self._lost: dict[Hashable, tuple[int, AgentOrder]] = {}

    def given(self, order: AgentOrder) -> int:
        """Take in that an order is given; return its number, which rises."""
        number = next(self._numbers)
        self._latest[_channel(order)] = number
        self._lost.pop(_channel(order), None)
        return number

    def lost(self, number: int, order: AgentOrder) -> None:
        """Keep an order that was not answered, unless it is superseded."""
        if self._latest[_channel(order)] == number:
            self._lost[_channel(order)] = number, order

    def take(self) -> list[AgentOrder]:
        """Return the orders that were lost, in the order in which they were given, and keep them no more."""
        lost, self._lost = self._lost, {}
        return [order for _, order in sorted(lost.values(), key=lambda one: one[0])]


def _channel(order: AgentOrder) -> Hashable:
    match order:
        case Pin(app=app):
            return Pin, app
        case SetClock(unit=unit) | SwitchUnit(unit=unit) | UnitLimited(unit=unit) | UnitSlowed(unit=unit):
            return type(order), unit
        case _:
            return type(order), None
