"""What every device back-end does: set and limit one unit's clock, and read what the unit has done.

A device writes the clock in force into the board's ledger, where requests and readers find it. It knows no
applications and no plan.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from actors.clock import Clock
from actors.ledger.ledger import BoardLedger
from actors.ledger.meters import UnitReading
from scheduler.board import BoardUnit

NO_CLAMPS: Mapping[int, float] = MappingProxyType({})


class DeviceError(RuntimeError):
    """A device cannot do what was asked, and will not be able to later."""


class Device(ABC):
    """One unit's clock and meters.

    Attributes:
        unit: what `cluster.yaml` says of it.
    """

    def __init__(self, unit: BoardUnit, ledger: BoardLedger, clock: Clock) -> None:
        self.unit = unit
        self._ledger = ledger
        self._clock = clock

    def read(self) -> UnitReading:
        """The unit's clock and totals now."""
        return self._ledger.read(self.unit.name)

    def temp_c(self) -> float | None:
        """Return the unit's temperature in °C; None where no sensor of it is read."""
        return None

    @abstractmethod
    def set_clock(self, clock: float | str, clamps_mhz: Mapping[int, float] = NO_CLAMPS) -> float | str:
        """Asks for a clock in MHz, or hands the clock to a governor.

        Args:
            clock: in MHz, or the governor's name.
            clamps_mhz: by slot of the ledger, the clock that its application needs while it runs; for a governor that
                takes hints.

        Returns:
            The clock granted, or the name of the governor that has it now.

        Raises:
            ValueError: if there is no governor of that name.
        """

    @abstractmethod
    def limit(
        self, *, max_mhz: float | None = None, cores_online: int | None = None, other_load: float | None = None
    ) -> None:
        """Changes what the unit may do from now on. All three are set: None lifts a limit.

        Args:
            max_mhz: the highest clock that is granted or that a governor may choose.
            cores_online: how many cores are in use.
            other_load: share of each core that others take, 0 to 1.

        Raises:
            DeviceError: if the unit cannot be limited so.
        """

    @abstractmethod
    def restore(self) -> None:
        """Puts the unit back as it was found. Again, it does nothing."""

    def tick(self) -> float:
        """Lets a governor that runs here decide if it is due.

        Returns:
            The board time of the next tick; infinite where none is needed.
        """
        return math.inf
