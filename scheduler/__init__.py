"""The scheduler decides which sub-network, cores and clock each application gets. No I/O, no Ray, no torch.

    from scheduler import Demand, OperatingPoint, Problem, Unit, solve

    small = OperatingPoint(
        subnet="small", unit="big", cores=1, mhz=1000.0, latency_ms=20.0, energy_mj=15.0, accuracy=0.8
    )
    camera = Demand(app="camera", rate_hz=10.0, target_ms=50.0, min_accuracy=0.7, weight=1.0, points=(small,))
    big = Unit(name="big", kind="cpu", cores=4, mhz=(1000.0,), static_w=(0.2,))
    solve(Problem(units=(big,), demands=(camera,))).power_w  # 0.2 W, and 15 mJ ten times a second: 0.35

The names are loaded when they are first asked for: most processes need a board or a view, and no solver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scheduler.problem import Allocation, Demand, OperatingPoint, Problem, Unit
    from scheduler.solver import solve

__all__ = ["Allocation", "Demand", "OperatingPoint", "Problem", "Unit", "solve"]


def __getattr__(name: str) -> Any:
    if name == "solve":
        from scheduler.solver import solve

        return solve
    if name in __all__:
        from scheduler import problem

        return getattr(problem, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
