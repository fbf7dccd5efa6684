"""The ways to set a unit's clock, and what can be done with a unit that has each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True, slots=True)
class Dvfs:
    """One way to set a unit's clock, and what can be done with a unit that has it.

    Attributes:
        kinds: the kinds of unit that can have it.
        settable: true if the clock can be set and held down on demand.
        emulated: true if gearshift plays the clock: a request lasts as long as it would at that clock.
        per_request: true if a clock can be had for a single request: setting one takes far less than a request.
    """

    kinds: tuple[str, ...]
    settable: bool = True
    emulated: bool = False
    per_request: bool = False


DVFS: Mapping[str, Dvfs] = MappingProxyType(
    {
        "cpufreq": Dvfs(kinds=("cpu",), per_request=True),
        "devfreq": Dvfs(kinds=("gpu",)),
        "nvml": Dvfs(kinds=("gpu",)),
        "emulated": Dvfs(kinds=("cpu", "gpu"), emulated=True, per_request=True),
        "fixed": Dvfs(kinds=("cpu", "gpu"), settable=False),
    }
)
"""Each way to set a clock, by its word in `cluster.yaml`; `actors.agent.devices` has a back-end for each."""
