"""A unit that may be switched off: what it takes while it is off, and how long it takes to go and to come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from actors.agent.devices.hotplug import UnitSwitch
from actors.agent.devices.real import RealClock

TIMES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SwitchedOff:
    """What was measured of a unit that went off and came back several times.

    Attributes:
        off_ms: the median of the times that it took to go off.
        on_ms: the same for coming back.
        saved_w: by rail that could be read each time, what it showed less while the unit was off than while it idled
            just before, the mean.
    """

    off_ms: float
    on_ms: float
    saved_w: Mapping[str, float]


def switch_off(
    switch: UnitSwitch, knobs: RealClock, powers_w: Callable[[], Mapping[str, float]], come_back: Callable[[], None]
) -> SwitchedOff:
    """Switch a unit off and on again a few times, and measure. Nothing of ours may be pinned to its CPUs.

    Args:
        switch: the switch of its CPUs.
        knobs: the knobs of its clock.
        powers_w: returns the mean power by rail over a while from now.
        come_back: called once it is back, which has forgotten its clock.

    Raises:
        DeviceError: if it does not go or come; what is off by then is for the hold to give back.
    """
    off_ms, on_ms = [], []
    saved_w: list[dict[str, float]] = []
    for _ in range(TIMES):
        idle_w = powers_w()
        knobs.keep()
        off_ms.append(switch.off())
        while_off_w = powers_w()
        on_ms.append(switch.on())
        come_back()
        saved_w.append({rail: idle_w[rail] - while_off_w[rail] for rail in idle_w if rail in while_off_w})
    rails = set.intersection(*({*saved} for saved in saved_w))
    return SwitchedOff(
        off_ms=median(off_ms),
        on_ms=median(on_ms),
        saved_w={rail: sum(saved[rail] for saved in saved_w) / TIMES for rail in sorted(rails)},
    )
