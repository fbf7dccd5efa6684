"""A power rail of a board that can be measured. Frozen data; `actors.agent.sensors` reads rails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensor:
    """A power rail that can be measured, and what is behind it.

    On a Jetson Xavier NX `Sensor(rail="VDD_CPU_GPU_CV", driver="ina3221", covers=("cluster0", "cluster1", "cluster2",
    "gpu"))` measures all its units together. `covers=()` is a rail behind which there is no unit, such as the memory's.

    Attributes:
        rail: name of the rail; for a chip with labels its label, for `rapl` the name of its zone.
        driver: what reads it: `rapl`, `ina3221`, `ina2xx`, `nvml`, or `replay` for a recording.
        covers: `board` for the whole board, else the names of the units behind it. A unit is behind one rail at most.
        address: I2C address of the chip, such as `0x40`, or bus and address, such as `4-0040`; None where its labels
            tell it.
        file: path of the recording of a `replay`; None for all others.
    """

    rail: str
    driver: str
    covers: tuple[str, ...] | Literal["board"]
    address: str | None = None
    file: str | None = None
