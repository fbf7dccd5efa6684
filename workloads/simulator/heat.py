"""How a unit heats up and is held down: one resistance, one capacity, and the kernel's step-wise thermal governor.

The parameters and their meaning are `scheduler.board.Thermal`'s. It does not know what the power is spent on.
"""

from __future__ import annotations

import math

from scheduler.board import BoardUnit, Thermal


class Heat:
    """The temperature of one unit, and the highest clock that it allows.

    Args:
        unit: with power figures and a thermal model.
        thermal: that model.
        ambient_c: temperature around it, which it has at first.

    Attributes:
        temp_c: now.
        ambient_c: around it, from here on.
        polling_s: how often the thermal governor looks.
    """

    def __init__(self, unit: BoardUnit, thermal: Thermal, ambient_c: float) -> None:
        self.temp_c = self.ambient_c = ambient_c
        self.polling_s = thermal.polling_ms / 1000
        self._thermal = thermal
        self._mhz = unit.mhz
        self._allowed = len(unit.mhz) - 1
        self._seen_c = ambient_c

    def leakage(self) -> float:
        """By which share of itself static power is above the stated one at this temperature; may be below 0."""
        return max(-1.0, self._thermal.static_per_c * (self.temp_c - self._thermal.reference_c))

    def pass_time(self, span_s: float, power_w: float) -> None:
        """Lets a time pass at that mean power."""
        end_c = self.ambient_c + power_w * self._thermal.c_per_w
        self.temp_c = end_c + (self.temp_c - end_c) * math.exp(-span_s / self._thermal.tau_s)

    def poll(self) -> float | None:
        """The thermal governor looks: the highest clock allowed from here on, None where heat sets no limit."""
        rising, falling = self.temp_c > self._seen_c, self.temp_c < self._seen_c
        self._seen_c = self.temp_c
        top = len(self._mhz) - 1
        if self.temp_c >= self._thermal.trip_c and rising:
            self._allowed = max(0, self._allowed - 1)
        elif self.temp_c < self._thermal.trip_c and falling:
            self._allowed = min(top, self._allowed + 1)
        return None if self._allowed == top else self._mhz[self._allowed]
