"""The back-end of a unit with a real clock: the kernel's knobs are turned, and what they show goes into the ledger.

`RealClock` is the knobs of one unit's clock, without ledger or run; each way to set a clock has its own. `RealDevice`
makes a device of it. What the kernel granted counts, not what was asked for.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from actors.agent.devices.common import NO_CLAMPS, Device, UnitCondition
from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.sysfs import DeviceError
from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from scheduler.board import BoardUnit
from scheduler.request_clock import NO_PACES, Pace


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """The present state of a unit's clock.

    Attributes:
        mhz: its clock; None where there is none to see, as with all CPUs offline.
        max_mhz: the highest clock that the kernel grants now, where that is less than the unit's highest; else None.
        held_by: reason for `max_mhz` in words; None where there is none.
    """

    mhz: float | None
    max_mhz: float | None = None
    held_by: str | None = None


class RealClock(ABC):
    """The knobs of one unit's clock. Every turn of one is in the journal first."""

    @abstractmethod
    def set_clock(self, mhz: float) -> float:
        """Set the clock, and take it from the governor that has it.

        Args:
            mhz: one of the unit's clocks, in MHz.

        Returns:
            The clock that the kernel granted, in MHz; it need not be one of the unit's.

        Raises:
            DeviceError: if it can't be set; it is as it was.
        """

    @abstractmethod
    def governors(self) -> tuple[str, ...]:
        """Return the governors that the clock can be handed to now, by the names that gearshift has for them.

        Raises:
            DeviceError: if the kernel does not say.
        """

    @abstractmethod
    def govern(self, governor: str, max_mhz: float | None = None) -> None:
        """Hand the clock to a governor of the kernel's.

        Args:
            governor: its name.
            max_mhz: the highest clock that it may choose, one of the unit's; None for all that the board grants.

        Raises:
            DeviceError: if there is no such governor, or it can't be set; all is as it was.
        """

    @abstractmethod
    def keep(self) -> None:
        """Note in the journal what the kernel forgets when the unit is switched off."""

    @abstractmethod
    def look(self) -> Seen:
        """Return the present state; called once an epoch, so it takes a few reads.

        Raises:
            DeviceError: if a knob says something that it should not.
        """


class RealDevice(Device):
    """One unit with a real clock. Its methods may be called from several threads.

    Args:
        unit: the unit as `cluster.yaml` describes it.
        ledger: the ledger of its board.
        clock: board time.
        real: the knobs of its clock.
        cpus: the switch of its CPUs; None where they may not be switched off.
    """

    def __init__(
        self, unit: BoardUnit, ledger: BoardLedger, clock: Clock, real: RealClock, cpus: UnitSwitch | None = None
    ) -> None:
        super().__init__(unit, ledger, clock)
        self._real = real
        self._cpus = cpus
        self._lock = threading.RLock()
        self._max_mhz: float | None = None
        self._cap_mhz: float | None = None  # the highest clock that the board grants, as seen last
        self._asked: float | str | None = None
        self._paces: Mapping[int, Pace] = NO_PACES
        self._planned_mhz = unit.mhz[-1]  # from which requests of a paced unit depart
        self._turned: float | str | None = None  # what the knobs were turned to last
        self._fault: str | None = None
        self._look()

    def set_clock(
        self,
        clock: float | str,
        clamps_mhz: Mapping[int, float] = NO_CLAMPS,
        paces: Mapping[int, Pace] = NO_PACES,
    ) -> float | str:
        """Set the clock; see `Device`. A clock outlives a limit: when the limit is lifted it is in force again."""
        with self._lock:
            if isinstance(clock, str) and clamps_mhz:
                raise DeviceError(f"unit {self.unit.name!r}: a governor with hints ({clock}) is emulated only")
            granted = self._set(clock, self._max_mhz, paces)
            self._asked = clock
            return granted

    def _set(self, clock: float | str, max_mhz: float | None, paces: Mapping[int, Pace]) -> float | str:
        if isinstance(clock, str):
            self._real.govern(clock, max_mhz)
            self._turned = clock
            self._pace(NO_PACES, max_mhz)
            return clock
        # A paced unit is brought to the plan's clock too, from which its requests depart: so it is known what of it the
        # board grants.
        planned_mhz = min(clock, self.unit.allowed(max_mhz)[-1])
        granted = self._turn(planned_mhz)
        self._planned_mhz = planned_mhz
        self._pace(paces, max_mhz)
        return granted

    def _turn(self, mhz: float) -> float:
        """Set a clock, and return the one that was granted."""
        granted = self._real.set_clock(mhz)
        self._turned = mhz
        self._enter(granted)
        return granted

    def limit(
        self,
        *,
        max_mhz: float | None = None,
        cpus_online: Collection[int] | None = None,
        other_load: float | None = None,
    ) -> None:
        """Set limits; see `Device`. One below the lowest clock leaves that one; other load is not made up."""
        if other_load:
            raise DeviceError(
                f"unit {self.unit.name!r} does real work: other load ({other_load:g}) must really be there"
            )
        with self._lock:
            allowed_mhz = None if max_mhz is None else self.unit.allowed(max_mhz)[-1]
            if self._asked is not None:
                self._set(self._asked, allowed_mhz, self._paces)
            self._max_mhz = allowed_mhz
            self.ask_cpus(cpus_online)

    def _switch(self, on: bool) -> float:
        if self._cpus is None:
            raise DeviceError(f"unit {self.unit.name!r} may not be switched off (may_switch_off)")
        with self._lock:
            if on:
                return self._cpus.on()
            self._real.keep()
            return self._cpus.off()

    def restore(self) -> None:
        """Do nothing: the board's hold gives its knobs back, in an order that suits all of them."""

    def condition(self) -> UnitCondition:
        """Return what the board grants now, and bring the ledger up to it."""
        with self._lock:
            self.follow()  # whatever may have failed before
            before_mhz, seen = self._cap_mhz, self._look()
            if self._cap_mhz != before_mhz:
                self._pace(self._paces, self._max_mhz)
            fault, self._fault = self._fault, None
        return UnitCondition(mhz_now=seen.mhz, max_mhz=seen.max_mhz, held_by=seen.held_by or fault)

    def follow(self) -> bool:
        """Bring the clock of a paced unit to where its requests want it; see `Device`. An error is told once."""
        with self._lock:
            if not self._paces:
                return False
            wanted_mhz = self._ledger.wanted_mhz(self.unit.name)
            if self._is_on and wanted_mhz is not None and wanted_mhz != self._turned:
                try:
                    self._turn(wanted_mhz)
                except DeviceError as error:
                    self._fault = str(error)
            return True

    def _pace(self, paces: Mapping[int, Pace], max_mhz: float | None) -> None:
        """Give requests clocks by these rules from now on, within what the mix and the board allow."""
        if paces or self._paces:
            within = [mhz for mhz in (max_mhz, self._cap_mhz) if mhz is not None]
            self._ledger.pace(self.unit.name, self._planned_mhz, paces, max_mhz=min(within, default=None))
        self._paces = paces

    def _look(self) -> Seen:
        seen = self._real.look()
        self._cap_mhz = self.unit.held_at(seen.max_mhz)
        if seen.mhz is not None:
            self._enter(seen.mhz)
        return seen

    def _enter(self, mhz: float) -> None:
        self._ledger.set_unit(self.unit.name, mhz=self.unit.nearest(mhz))
