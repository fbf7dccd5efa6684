"""Heat of a unit: one thermal resistance, one capacity, and the kernel's step-wise thermal governor.

The parameters are those of `scheduler.board.Thermal`. This module does not know what the power is spent on.
"""

from __future__ import annotations

import math

from scheduler.board import BoardUnit
from scheduler.thermal import Thermal


class Heat:
    """The temperature of one unit, and the highest clock that it allows.

    Args:
        unit: a unit with power figures.
        thermal: its thermal model.
        ambient_c: ambient temperature in °C, which is the unit's own at first.

    Attributes:
        temp_c: present temperature of the unit in °C.
        ambient_c: present ambient temperature in °C.
        polling_s: time between two polls of the thermal governor.
    """

    def __init__(self, unit: BoardUnit, thermal: Thermal, ambient_c: float) -> None:
        self.temp_c = self.ambient_c = ambient_c
        self.polling_s = thermal.polling_ms / 1000
        self._thermal = thermal
        self._mhz = unit.mhz
        self._allowed = len(unit.mhz) - 1
        self._seen_c = ambient_c

    def leakage(self) -> float:
        """Return the share by which static power is above the stated one at this temperature: 0.1 is 10 % above.

        Below the reference temperature it is negative.
        """
        return max(-1.0, self._thermal.static_per_c * (self.temp_c - self._thermal.reference_c))

    def pass_time(self, span_s: float, power_w: float) -> None:
        """Let a time pass at a mean power: the temperature nears its final value exponentially."""
        end_c = self.ambient_c + power_w * self._thermal.c_per_w
        self.temp_c = end_c + (self.temp_c - end_c) * math.exp(-span_s / self._thermal.tau_s)

    def poll(self) -> float | None:
        """Poll the thermal governor; return the highest clock it allows in MHz, None where heat sets no limit.

        The rule is that of the kernel's `step_wise` governor: one clock down while the unit is at the trip temperature
        or above and warming, one up while it is below and cooling.
        """
        rising, falling = self.temp_c > self._seen_c, self.temp_c < self._seen_c
        self._seen_c = self.temp_c
        top = len(self._mhz) - 1
        if self.temp_c >= self._thermal.trip_c and rising:
            self._allowed = max(0, self._allowed - 1)
        elif self.temp_c < self._thermal.trip_c and falling:
            self._allowed = min(top, self._allowed + 1)
        return None if self._allowed == top else self._mhz[self._allowed]
