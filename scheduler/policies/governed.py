"""Another policy's gears under a governor of the kernel's."""

from __future__ import annotations

from scheduler.governors import HINTED, governor_for
from scheduler.policies.clamps import clamps_of
from scheduler.policies.protocol import Policy
from scheduler.views import Plan, Snapshot


class UnderGovernor:
    """Another policy's gears, with the clock of every unit left to a kernel governor; a GPU has one of its own.

    `joint` under a governor still solves for gears and clocks together; then the clocks it found are thrown away,
    as if an application-level manager ran on a kernel that goes its own way. `schedutil-uclamp` alone is told what
    clock each application needs.
    """

    def __init__(self, policy: Policy, governor: str) -> None:
        self.every_epoch = bool(getattr(policy, "every_epoch", False))
        self.solves = bool(getattr(policy, "solves", False))
        self._policy = policy
        self._governor = governor

    def decide(self, snapshot: Snapshot) -> Plan:
        """See `Policy.decide`."""
        gears = self._policy.decide(snapshot).gears
        clamps_mhz = clamps_of(gears, snapshot) if self._governor in HINTED else {}
        clocks = {unit.name: governor_for(self._governor, unit.kind) for unit in snapshot.units}
        return Plan(gears=gears, clocks=clocks, clamps_mhz=clamps_mhz)
