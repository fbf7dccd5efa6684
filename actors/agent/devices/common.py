"""The base of every device back-end: it sets and limits one unit's clock, and reads what the unit has done.

A device writes the clock in force into the board's ledger, where requests and readers find it. It knows no applications
and no plan.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from actors.agent.devices.sysfs import DeviceError
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from actors.ledger.meters import UnitReading
from scheduler.board import BoardUnit
from scheduler.request_clock import NO_PACES, Pace

__all__ = ["NO_CLAMPS", "Device", "DeviceError", "UnitCondition"]

NO_CLAMPS: Mapping[int, float] = MappingProxyType({})
"""No application says which clock it needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitCondition:
    """The state of a unit as the board shows it, whoever brought it there.

    What gearshift asked for itself is left out: a limit of the mix, or a clock that it set by holding the limits.

    Attributes:
        mhz_now: the clock as read back, which need not be one of the unit's; None where the ledger has all there is.
        max_mhz: the highest clock that the board grants; None where nothing holds it down.
        held_by: reason for that limit in words, such as `nvpmodel MODE_10W_2CORE`; None where none is known.
    """

    mhz_now: float | None = None
    max_mhz: float | None = None
    held_by: str | None = None


class Device(ABC):
    """One unit's clock and meters.

    Attributes:
        unit: the unit as `cluster.yaml` describes it.
    """

    def __init__(self, unit: BoardUnit, ledger: BoardLedger, clock: Clock) -> None:
        self.unit = unit
        self._ledger = ledger
        self._clock = clock
        self._is_on = True
        self._asked_cpus: Collection[int] = unit.all_cpus
        self._seen_cpus: Collection[int] = unit.all_cpus

    def read(self) -> UnitReading:
        """Return the unit's clock and totals now."""
        return self._ledger.read(self.unit.name)

    def see_cpus(self, cpus: Collection[int]) -> None:
        """Take in which of the unit's CPUs are online; no request is let onto another one."""
        self._seen_cpus = cpus
        self._enter_cpus()

    def ask_cpus(self, cpus: Collection[int] | None) -> None:
        """Take in which of the unit's CPUs may be used; None for all."""
        self._asked_cpus = self.unit.all_cpus if cpus is None else cpus
        self._enter_cpus()

    def _enter_cpus(self) -> None:
        online = {*self._asked_cpus} & {*self._seen_cpus} if self._is_on else ()
        self._ledger.set_unit(self.unit.name, cpus_online=online)

    def switch(self, on: bool) -> float:
        """Take all CPUs of the unit offline, or put those online again that were taken offline so.

        By default it is only played: the ledger has no CPU of the unit online while it is off, and its power is then
        `BoardUnit.off_w`.

        Args:
            on: True to put them online.

        Returns:
            The time that it took, in milliseconds.

        Raises:
            DeviceError: if a request still runs there, or a CPU does not go or come.
        """
        if not on and any(slot is not None for slot in self._ledger.holders(self.unit.name)):
            raise DeviceError(f"unit {self.unit.name!r}: a request still runs there")
        took_ms = self._switch(on)
        self._is_on = on
        self._enter_cpus()
        return took_ms

    @property
    def is_off(self) -> bool:
        """True if it was switched off, and not on again."""
        return not self._is_on

    def found_off(self) -> None:
        """Take in that the unit is switched off already: the agent that has done so is gone."""
        self._is_on = False
        self._enter_cpus()

    def _switch(self, on: bool) -> float:
        """Switch the CPUs themselves; see `switch`."""
        return 0.0

    def condition(self) -> UnitCondition:
        """Return what the board grants the unit now; asked once an epoch. By default nothing is seen.

        Raises:
            DeviceError: if a file says something that it should not.
        """
        return UnitCondition()

    @abstractmethod
    def set_clock(
        self,
        clock: float | str,
        clamps_mhz: Mapping[int, float] = NO_CLAMPS,
        paces: Mapping[int, Pace] = NO_PACES,
    ) -> float | str:
        """Ask for a clock in MHz, or hand the clock to a governor.

        Args:
            clock: the clock in MHz, or the governor's name.
            clamps_mhz: by slot of the ledger, the clock that its application needs while it runs; for a governor that
                takes hints.
            paces: by slot of the ledger, the rule by which its requests get clocks of their own from now on; empty for
                one clock.

        Returns:
            The clock granted, or the name of the governor that has it now.

        Raises:
            ValueError: if there is no governor of that name.
        """

    @abstractmethod
    def limit(
        self,
        *,
        max_mhz: float | None = None,
        cpus_online: Collection[int] | None = None,
        other_load: float | None = None,
    ) -> None:
        """Change what the unit may do from now on. All three are set: None lifts a limit.

        Args:
            max_mhz: the highest clock that is granted or that a governor may choose.
            cpus_online: the CPUs in use, some of `BoardUnit.all_cpus`; a request on another one still ends there.
            other_load: share of each core that others take, 0 to 1.

        Raises:
            DeviceError: if the unit cannot be limited so.
        """

    def slow(self, slowdown: float) -> None:
        """Have requests take so many times as long from now on, of which only the ledger knows; 1 ends it.

        Raises:
            DeviceError: if they run on a real unit, which can't be made to.
        """
        raise DeviceError(f"unit {self.unit.name!r} does real work: it can't be slowed down ({slowdown:g} times)")

    @abstractmethod
    def restore(self) -> None:
        """Put the unit back as it was found. A second call does nothing."""

    def follow(self) -> bool:
        """Bring the clock to the one that the requests on the unit want now, where they have clocks of their own.

        Returns:
            True if that has to be done again whenever a request asks; False where there is nothing to do here.
        """
        return False

    def tick(self) -> float:
        """Let a governor that runs here decide if it is due.

        Returns:
            The board time of the next tick; infinite where none is needed.
        """
        return math.inf
