"""The facts by which a unit heats up, and the kernel then holds its clock down. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Thermal:
    """A model of a unit that heats up and of the kernel that then holds its clock down.

    The unit is one resistance and one capacity to the ambient: at constant power P its temperature nears
    ambient + P · `c_per_w` with the time constant `tau_s`. At 4 W, 5 °C/W and an ambient of 25 °C it nears 45 °C.

    Every `polling_ms` the kernel's step-wise thermal governor looks at the temperature. It takes the highest clock that
    it allows one step down while the trip is exceeded and the temperature rises, and one step up while the trip is not
    exceeded and the temperature falls (`drivers/thermal/gov_step_wise.c`).

    Attributes:
        c_per_w: thermal resistance, in °C per W.
        tau_s: time constant, in seconds.
        trip_c: temperature above which the clock is held down, in °C.
        polling_ms: time between two looks, in ms.
        static_per_c: share of itself by which `static_w` rises per °C above `reference_c`.
        reference_c: temperature at which `static_w` is as stated, in °C.
    """

    c_per_w: float
    tau_s: float
    trip_c: float
    polling_ms: float = 1000.0
    static_per_c: float = 0.0
    reference_c: float = 45.0
