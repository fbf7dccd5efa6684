"""A policy that plays plans made beforehand, such as those of hindsight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from scheduler.policies.protocol import PolicyError
from scheduler.views import Plan, Snapshot, UnitView


class Scripted:
    """Plays plans by time.

    At each moment the last plan that has begun is in force; before the first one begins, the first. Of its gears those
    of the applications present are taken. A clock that is not allowed at present becomes the highest allowed clock
    below it, or the lowest allowed if there is none below.

    Args:
        plans: each plan with the time when it begins, in seconds of board time, rising.

    Raises:
        PolicyError: if there is no plan, or the times do not rise.
    """

    every_epoch = True
    paces = True

    def __init__(self, plans: Sequence[tuple[float, Plan]]) -> None:
        self._from_s = [from_s for from_s, _ in plans]
        self._plans = [plan for _, plan in plans]
        if not plans:
            raise PolicyError("script: there is no plan in it; give at least one.")
        for before_s, from_s in zip(self._from_s, self._from_s[1:], strict=False):
            if not before_s < from_s:
                raise PolicyError(
                    f"script: a plan from {from_s!r} s follows one from {before_s!r} s; sort them by time."
                )

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`.

        Raises:
            PolicyError: if the plan in force lacks an application or a unit.
        """
        place = max(bisect_right(self._from_s, snapshot.now_s) - 1, 0)
        plan, from_s = self._plans[place], self._from_s[place]
        for app in (view.app for view in snapshot.apps):
            if app not in plan.gears:
                raise PolicyError(f"script: the plan from {from_s!r} s has no gear for app {app!r}; add one.")
        for unit in (unit.name for unit in snapshot.units):
            if unit not in plan.clocks:
                raise PolicyError(f"script: the plan from {from_s!r} s has no clock for unit {unit!r}; add one.")
        present = {view.app for view in snapshot.apps}
        return replace(
            plan,
            gears={view.app: plan.gears[view.app] for view in snapshot.apps},
            clocks={unit.name: _allowed(plan.clocks[unit.name], unit) for unit in snapshot.units},
            clamps_mhz={app: mhz for app, mhz in plan.clamps_mhz.items() if app in present},
            cpus={app: cpus for app, cpus in plan.cpus.items() if app in present},
            paces={app: pace for app, pace in plan.paces.items() if app in present},
        )


def _allowed(clock: float | str, unit: UnitView) -> float | str:
    if isinstance(clock, str):
        return clock
    return unit.mhz_allowed[max(bisect_right(unit.mhz_allowed, clock) - 1, 0)]
