"""What a decision rested on, in a form that a log can keep and that gives the same `Snapshot` again.

The facts that hold for a whole run (`Grounds`) are written once, those of one decision (`Decision`) each time. From
both, `snapshot_of` makes what the policy was shown. What a policy that solves does not look at is left out: queues,
latencies, temperatures and the clocks of the moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from scheduler.app_knowledge import AppSpec
from scheduler.board import Board
from scheduler.inputs import Inputs, UnitInputs
from scheduler.knowledge import Knowledge
from scheduler.objectives import ObjectiveName
from scheduler.profile import ServiceTime
from scheduler.views import Gear, Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Grounds:
    """The facts that all decisions of a run share.

    Attributes:
        board: the board, without limits.
        apps: all applications, those that events add included.
        objective: what a policy that optimises is to optimise.
    """

    board: Board
    apps: tuple[AppSpec, ...]
    objective: ObjectiveName

    @classmethod
    def of(cls, board: Board, apps: Sequence[AppSpec], objective: ObjectiveName) -> Grounds:
        """Return the facts without the parts of profiles that operating points are not made from.

        Those are the sizes of requests and what a time owes to them: 38 of 52 kB of the translator's profile.
        """
        return cls(board=board, apps=tuple(_lean(spec) for spec in apps), objective=objective)


def _lean(spec: AppSpec) -> AppSpec:
    def without_sizes(time: ServiceTime) -> ServiceTime:
        return replace(time, base_ms=None, per_size_ms=0.0, residuals=())

    rungs = tuple(replace(rung, times=tuple(map(without_sizes, rung.times))) for rung in spec.profile.rungs)
    return replace(spec, profile=replace(spec.profile, rungs=rungs, sizes=(1.0,), warnings=()))


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The facts that one decision rested on.

    Attributes:
        now_s: time of the decision, board time.
        inputs: targets and limits in force, and what was known of the applications.
        gears: by application, the gear that it was in; None before its first.
        cpus: by application, the CPUs that it had or was about to have.
        paces: True if the policy could give requests clocks of their own.
    """

    now_s: float
    inputs: Inputs
    gears: Mapping[str, Gear | None]
    paces: bool
    cpus: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, inputs: Inputs, snapshot: Snapshot, *, paces: bool) -> Decision:
        """Return the facts that a decision on a snapshot, made from these inputs, rested on."""
        return cls(
            now_s=snapshot.now_s,
            inputs=inputs,
            gears={view.app: view.gear for view in snapshot.apps},
            paces=paces,
            cpus={view.app: view.cpus for view in snapshot.apps},
        )

    def plain(self, board: Board) -> dict[str, object]:
        """Return the facts as plain values, for the epoch log; a unit without limits is left out.

        Args:
            board: the board, without limits.
        """
        units = {}
        for unit in board.units:
            limits = self.inputs.units[unit.name]
            if limits != unlimited(board, unit.name):
                units[unit.name] = {
                    "max_mhz": limits.max_mhz,
                    "cpus_online": list(limits.cpus_online),
                    "other_load": limits.other_load,
                    "capped_by": limits.capped_by,
                }
        return {
            "apps": {app: asdict(one) for app, one in self.inputs.apps.items()},
            "units": units,
            "power_cap_w": self.inputs.power_cap_w,
            "slowdowns": {unit: ratio for unit, ratio in self.inputs.slowdowns.items() if ratio != 1.0},
            "gears": {app: gear and gear.plain() for app, gear in self.gears.items()},
            "cpus": {app: list(numbers) for app, numbers in self.cpus.items()},
            "paces": self.paces,
        }


def unlimited(board: Board, unit: str) -> UnitInputs:
    """Return the limits of a unit that has none."""
    return UnitInputs(max_mhz=None, cpus_online=board.unit(unit).all_cpus, other_load=0.0)


def snapshot_of(grounds: Grounds, decision: Decision) -> Snapshot:
    """Return what the policy was shown, as far as a policy that solves looks at it.

    Raises:
        PointsError: the facts do not go together, such as a board all of whose units are away.
    """
    inputs = decision.inputs
    knowledge = Knowledge(
        board=grounds.board,
        apps=[replace(spec, present=spec.app in inputs.apps) for spec in grounds.apps],
        objective=grounds.objective,
        power_cap_w=inputs.power_cap_w,
        grace_s=0.0,
        paces=decision.paces,
    )
    return knowledge.snapshot(
        inputs, epoch=0, now_s=decision.now_s, gear=decision.gears.get, cpus=decision.cpus, events=()
    )
