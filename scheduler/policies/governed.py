"""A policy's gears, with the clocks left to a governor of the kernel."""

from __future__ import annotations

from dataclasses import replace

from scheduler.governors import HINTED, governor_for
from scheduler.policies.clamps import clamps_of
from scheduler.policies.protocol import Policy
from scheduler.views import Plan, Snapshot


class UnderGovernor:
    """A policy that takes another policy's gears and leaves the clock of every unit to a governor.

    A GPU gets a governor of its own. `joint` under a governor still solves for gears and clocks together; then its
    clocks are thrown away, as if an application-level manager ran on a kernel that goes its own way. A governor that
    takes hints is told the clock that each application needs.

    Args:
        policy: chooses the gears.
        governor: the governor's name, one of `GOVERNORS`.
    """

    def __init__(self, policy: Policy, governor: str) -> None:
        self.every_epoch = bool(getattr(policy, "every_epoch", False))
        self.solves = bool(getattr(policy, "solves", False))
        self._policy = policy
        self._governor = governor

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        plan = self._policy.decide(snapshot)
        clamps_mhz = clamps_of(plan, snapshot) if self._governor in HINTED else {}
        clocks = {unit.name: governor_for(self._governor, unit.kind) for unit in snapshot.units}
        return replace(plan, clocks=clocks, clamps_mhz=clamps_mhz, optimal=None, within=None, paces={})
