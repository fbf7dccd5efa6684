"""What a rail feeds, guessed from its name, and which units of a board that makes.

A guess is where a file of a board begins; its owner knows better. What no rule here knows feeds no unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from actors.agent.sensors.common import NO_UNIT, Feeds
from scheduler.board import BoardUnit

_NO_WORDS = {"VDD", "SYS", "POM", "5V", "5V0"}
"""Parts of NVIDIA's labels that say nothing of what is fed."""

_ODROID_XU3 = {
    "40": ("VDD_ARM", Feeds(cpus=(4, 5, 6, 7))),
    "41": ("VDD_MEM", NO_UNIT),
    "44": ("VDD_G3D", Feeds(gpu=True)),
    "45": ("VDD_KFC", Feeds(cpus=(0, 1, 2, 3))),
}
"""Its INA231 by address, from comments in `exynos5422-odroidxu3.dts`: A15, memory, GPU and A7. CPU 0 is an A7."""

BY_ADDRESS = {"hardkernel,odroid-xu3": _ODROID_XU3}
"""Chips without labels, by the board's `compatible` and the chip's address on its bus."""


def label_feeds(label: str) -> Feeds:
    """Return what a label on a Jetson says that the rail feeds.

    `VDD_CPU_GPU_CV` feeds the CPUs and the GPU (and vision engines, which are at rest in a run), `VDD_IN` and
    `POM_5V_IN` the board. `VDD_GPU_SOC` feeds more than the GPU, and `VIN_SYS_5V0` less than the board.
    """
    words = set(label.split("_")) - _NO_WORDS
    if words == {"IN"}:
        return Feeds(board=True)
    if words <= {"CPU", "GPU", "CV"} and words - {"CV"}:
        return Feeds(cpus=None if "CPU" in words else (), gpu="GPU" in words)
    return NO_UNIT


def covers(feeds: Feeds, units: Sequence[BoardUnit]) -> tuple[str, ...] | Literal["board"]:
    """Return the units behind a rail, or `board`.

    A CPU unit is behind it if all its CPUs are. On units little (0 to 3) and big (4 to 7) a rail of CPUs 4 to 7 covers
    big alone.

    Args:
        feeds: what the rail feeds.
        units: units of the board.

    Returns:
        Names of the units; `()` if there is none.
    """
    if feeds.board:
        return "board"
    return tuple(unit.name for unit in units if _feeds_unit(feeds, unit))


def _feeds_unit(feeds: Feeds, unit: BoardUnit) -> bool:
    if unit.kind == "gpu":
        return feeds.gpu
    return feeds.cpus is None or set(unit.cpus) <= set(feeds.cpus)
