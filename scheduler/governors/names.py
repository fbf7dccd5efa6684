"""The table of governors: the names that policies and plans use, and the model behind each.

To add a governor, write its class in a file of its own and give it one row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scheduler.board import Board
from scheduler.errors import did_you_mean
from scheduler.governors.common import Governor, GovernorError
from scheduler.governors.fixed import Performance, Powersave
from scheduler.governors.interactive import Interactive
from scheduler.governors.lavd import Lavd
from scheduler.governors.load import Conservative, Ondemand
from scheduler.governors.podgov import Podgov
from scheduler.governors.schedutil import Schedutil, SchedutilUclamp

Places: TypeAlias = Literal["spread", "energy", "compact"]


@dataclass(frozen=True, slots=True)
class _Row:
    """One governor.

    Attributes:
        make: its class; it takes `period_us`, which has a default, and what it `needs`, all by name.
        needs: what it must be told of its frequency domain; see `make_governor`.
        kinds: the kinds of unit that it is for.
        takes_hints: True if tasks can tell it what clock they need (`HintedGovernor`).
        places: how the kernel places tasks under it: `spread` over the units, by `energy` (energy-aware scheduling,
            which needs schedutil), or `compact` on few cores (a scheduler of its own, which brings its clocks along).
        modelled: True if the kernel has no governor of that name, so that there is only the model of it.
    """

    make: Callable[..., Governor]
    needs: tuple[Literal["max_mhz", "capacity"], ...] = ()
    kinds: tuple[Literal["cpu", "gpu"], ...] = ("cpu",)
    takes_hints: bool = False
    places: Places = "spread"
    modelled: bool = False


_ROWS = {
    "performance": _Row(Performance, kinds=("cpu", "gpu")),
    "powersave": _Row(Powersave, kinds=("cpu", "gpu")),
    "ondemand": _Row(Ondemand, needs=("max_mhz",)),
    "conservative": _Row(Conservative),
    "interactive": _Row(Interactive, needs=("max_mhz",)),
    "schedutil": _Row(Schedutil, needs=("max_mhz", "capacity"), places="energy"),
    "schedutil-uclamp": _Row(
        SchedutilUclamp, needs=("max_mhz", "capacity"), takes_hints=True, places="energy", modelled=True
    ),
    "lavd": _Row(Lavd, needs=("max_mhz", "capacity"), places="compact", modelled=True),
    "podgov": _Row(Podgov, kinds=("gpu",)),
}

GOVERNORS = tuple(_ROWS)
"""The names that `make_governor` knows."""

HINTED = tuple(name for name, row in _ROWS.items() if row.takes_hints)
"""The governors that tasks can tell what clock they need."""

MODELLED = tuple(name for name, row in _ROWS.items() if row.modelled)
"""The names for which the kernel has no governor: only emulated and simulated units can have them."""

PLACES: Mapping[str, Places] = {name: row.places for name, row in _ROWS.items()}
"""By governor, how the kernel places tasks under it."""


def governor_for(name: str, kind: str) -> str:
    """Return the governor that a unit of some kind gets where a policy names one governor for the whole board.

    A GPU has no CPU governor: where one is named it has its own, podgov, as on a Jetson. So `schedutil` is `schedutil`
    on a CPU and `podgov` on a GPU.

    Args:
        name: one of `GOVERNORS`.
        kind: `cpu` or `gpu`.

    Raises:
        GovernorError: if no governor has that name, or it is for a GPU alone and the unit is a CPU.
    """
    if name not in _ROWS:
        known = ", ".join(GOVERNORS)
        raise GovernorError(f"governor {name!r} is unknown; it must be one of {known}.{did_you_mean(name, GOVERNORS)}")
    if kind in _ROWS[name].kinds:
        return name
    if kind == "gpu":
        return "podgov"
    raise GovernorError(f"governor {name!r} is for a GPU alone; schedutil, or any other, gives the GPU podgov too.")


def make_governor(
    name: str, *, max_mhz: float, kind: str = "cpu", capacity: float = 1.0, period_us: int | None = None
) -> Governor:
    """Make the governor of that name for one frequency domain, with the kernel's defaults.

    Args:
        name: one of `GOVERNORS`.
        max_mhz: the domain's top clock, in MHz.
        kind: `cpu` or `gpu`, the kind of the unit; see `governor_for`.
        capacity: work that a core of a CPU does at that clock, as a share of what the board's largest core does.
        period_us: rate limit, sampling rate or polling interval, in microseconds; None for the governor's own.

    Raises:
        GovernorError: if no governor has that name on a unit of that kind.
    """
    row = _ROWS[governor_for(name, kind)]
    domain = {"max_mhz": max_mhz, "capacity": capacity}
    told: dict[str, float] = {key: domain[key] for key in row.needs}
    if period_us is not None:
        told["period_us"] = period_us
    return row.make(**told)


def governor_of(board: Board, unit: str, name: str) -> Governor:
    """Make the governor of that name for one unit of a board.

    Args:
        board: the board.
        unit: name of the unit.
        name: one of `GOVERNORS`.

    Raises:
        GovernorError: if no governor has that name on a unit of that kind.
        KeyError: if the board has no such unit.
    """
    spec = board.unit(unit)
    capacity = board.capacity(unit) if spec.kind == "cpu" else 1.0
    return make_governor(name, max_mhz=spec.mhz[-1], kind=spec.kind, capacity=capacity)
