"""The manager's knowledge: the applications present, the targets in force, the limits of units, and telemetry.

From it come the inputs of a decision and the snapshot that a policy decides on. What is known of one application is
in `scheduler.app_knowledge`.

It does not know plans, gears in force (they are handed in) or how anything is carried out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from scheduler.app_knowledge import AppKnowledge, AppSpec
from scheduler.board import Board, BoardUnit
from scheduler.inputs import Inputs, limited, unit_changes
from scheduler.limits import UnitLimits
from scheduler.messages import HostTelemetry, TargetChanged, Telemetry, UnitLimited, UnitTelemetry
from scheduler.objectives import ObjectiveName
from scheduler.points import PointsError
from scheduler.priced_points import PricedPoints
from scheduler.slowdown import Believed, Observation, Slowdowns
from scheduler.solver import Evaluation
from scheduler.views import Gear, Snapshot, UnitView


class Knowledge:
    """All that is known of applications and units, brought up to date by events and telemetry.

    Args:
        board: the board, without limits.
        apps: all applications, those that events will add included.
        objective: what a policy that optimises is to optimise.
        power_cap_w: cap of the units' power at the start; None for none.
        grace_s: how long after a change lateness is put down to it.
        paces: True if the policy can give requests clocks of their own.

    Attributes:
        power_cap_w: cap of the units' power in force; None for none.
    """

    def __init__(
        self,
        *,
        board: Board,
        apps: Sequence[AppSpec],
        objective: ObjectiveName,
        power_cap_w: float | None,
        grace_s: float,
        paces: bool = False,
    ) -> None:
        self.power_cap_w = power_cap_w
        self._board = board
        self._objective = objective
        self._grace_s = grace_s
        self._paces = paces
        self._specs: dict[str, AppSpec] = {}
        self._gone: set[str] = set()
        self._apps: dict[str, AppKnowledge] = {}
        self._priced = PricedPoints()
        self._limits = {unit.name: UnitLimits.none(unit) for unit in board.units}
        self._slowdowns = Slowdowns(unit.name for unit in board.units)
        self._believed = Believed(unit.name for unit in board.units)
        self._inputs: Inputs | None = None
        self._runs_in: dict[str, Gear] = {}
        self._seen: dict[str, UnitTelemetry] = {}
        self._host: HostTelemetry | None = None
        self._power_w: float | None = None
        self._rails_w: Mapping[str, float] = {}
        self._targets: dict[str, TargetChanged] = {}
        for spec in apps:
            self.add(spec)
        for spec in apps:
            if spec.present:
                self.join(spec.app, now_s=0.0)

    # ------------------------------------------------------------ events

    @property
    def present(self) -> tuple[str, ...]:
        """The applications that are there now."""
        return tuple(self._apps)

    @property
    def targets_s(self) -> dict[str, float]:
        """The latency target of each application that is there now, in seconds."""
        return {app: self._targets[app].target_ms / 1000 for app in self._apps}

    def add(self, spec: AppSpec) -> None:
        """Know an application that is there, or may come; it replaces one of its name that has left."""
        self._specs[spec.app] = spec
        self._targets[spec.app] = TargetChanged(
            app=spec.app,
            target_ms=spec.target_ms,
            min_accuracy=spec.min_accuracy,
            weight=spec.weight,
            slo=spec.slo,
        )

    def knows(self, app: str) -> bool:
        """Return True if that application is there, or may still come."""
        return app in self._specs and app not in self._gone

    def may_join(self, app: str) -> bool:
        """Return True if that application is known and not there; it may have left before."""
        return app in self._specs and app not in self._apps

    def join(self, app: str, *, now_s: float, from_s: float | None = None) -> None:
        """Take in an application that begins; its requests come from `from_s` on, else from now on, or from t = 0."""
        self._apps[app] = AppKnowledge.begin(
            self._specs[app], self._board, now_s=now_s, from_s=from_s, priced=self._priced
        )
        self._gone.discard(app)
        self.excuse([app], now_s=now_s)

    def leave(self, app: str) -> None:
        """Forget what was learned of an application that ends."""
        self._gone.add(app)
        self._apps.pop(app, None)
        self._runs_in.pop(app, None)
        self._slowdowns.leave(app)
        self._believed.leave(app)

    def retarget(self, targets: TargetChanged, *, now_s: float) -> None:
        """Take in the targets of an application from here on."""
        self._targets[targets.app] = targets
        self.excuse([targets.app], now_s=now_s)

    def limit(self, change: UnitLimited, *, now_s: float) -> None:
        """Take in the limits that the mix asks of a unit from here on."""
        self._limits[change.unit] = self._limits[change.unit].ask(change)
        self._excuse_on([change.unit], now_s=now_s)

    # ------------------------------------------------------------ telemetry

    def observe(self, telemetry: Telemetry, *, now_s: float) -> list[str]:
        """Take in one round of reports; those of applications that are not there are passed over.

        Returns:
            The limits of units that have changed by it, in words.
        """
        for report in telemetry.apps:
            if report.app in self._apps:
                self._apps[report.app].observe(report, now_s)
        self._slowdowns.observe(list(self._observations(telemetry)), now_s)
        self._excuse_on(self._believed.follow(self._slowdowns), now_s=now_s)
        changed = []
        for unit in telemetry.units:
            self._seen[unit.name] = unit
            before = self._limits[unit.name]
            after = before.see(unit)
            if after is before:  # as in nearly every epoch
                continue
            self._limits[unit.name] = after
            texts = unit_changes(unit.name, before.in_force, after.in_force)
            if texts:
                changed += texts
                self._excuse_on([unit.name], now_s=now_s)
        self._host = telemetry.host or self._host
        if telemetry.units:  # else the board has not reported since
            self._power_w, self._rails_w = telemetry.power_w, telemetry.rails_w
        return changed

    def _observations(self, telemetry: Telemetry) -> Iterator[Observation]:
        """Yield what reports say of service times; not where requests may have run in two gears."""
        for report in telemetry.apps:
            if report.app not in self._apps or report.gear is None:
                continue
            before, self._runs_in[report.app] = self._runs_in.get(report.app), report.gear
            if before == report.gear and report.service_ratio is not None:
                yield Observation(report.app, report.gear.unit, report.service_ratio, max(1, len(report.latencies_ms)))

    def excuse(self, apps: Iterable[str], *, now_s: float) -> None:
        """Put lateness of these applications in the next moment down to a known cause, not to the plan."""
        for app in apps:
            if app in self._apps:
                self._apps[app].excuse(now_s + self._grace_s)

    def _excuse_on(self, units: Collection[str], *, now_s: float) -> None:
        """Put lateness on these units in the next moment down to what has become known of them."""
        self.excuse([app for app, gear in self._runs_in.items() if gear.unit in units], now_s=now_s)

    def settle(self, *, now_s: float) -> None:
        """Take no application for quicker than foreseen in the next moment, in which a new plan comes into force."""
        for known in self._apps.values():
            known.settles_until_s = now_s + self._grace_s

    def judge(self, foreseen: Evaluation | None, *, foreseen_on_time: Collection[str], now_s: float) -> None:
        """Learn from the requests that finished in this epoch how far the plan in force can be trusted.

        Args:
            foreseen: what the plan is expected to come to; None where it foresees nothing.
            foreseen_on_time: applications that the plan itself foresees to be on time.
            now_s: present time, board time.
        """
        for app, known in self._apps.items():
            known.judge(foreseen, slo=self._targets[app].slo, foreseen_late=app not in foreseen_on_time, now_s=now_s)

    def end_epoch(self) -> None:
        """Count requests that finish from here on for the next epoch."""
        for known in self._apps.values():
            known.end_epoch()

    # ------------------------------------------------------------ views

    def inputs(self) -> Inputs:
        """Return what a decision made now would rest on: the same object for as long as nothing of it has changed."""
        apps = {app: known.inputs(self._targets[app], self._believed.network(app)) for app, known in self._apps.items()}
        units = {name: limits.in_force for name, limits in self._limits.items()}
        new = Inputs(apps=apps, units=units, power_cap_w=self.power_cap_w, slowdowns=self._believed.units)
        if self._inputs is None or not self._inputs.is_made_of(new):
            self._inputs = new
        return self._inputs

    def snapshot(
        self,
        inputs: Inputs,
        *,
        epoch: int,
        now_s: float,
        gear: Callable[[str], Gear | None],
        cpus: Mapping[str, tuple[int, ...]],
        events: tuple[str, ...],
    ) -> Snapshot:
        """Return the snapshot that a policy is to decide on.

        An application that was profiled for no unit that is there now is left out, and so is a unit that is away: no
        policy has to think of either.

        Args:
            inputs: what `inputs` returned.
            epoch: number of the manager's epoch.
            now_s: present time, board time.
            gear: returns the gear that an application has acknowledged; None before the first.
            cpus: by application, the CPUs that it has or is about to have; none for one that is left out.
            events: what has happened since the last decision, in words.

        Raises:
            PointsError: every unit is away, or operating points of an application cannot be built (see
                `operating_points`).
        """
        present = [unit for unit in self._board.units if inputs.units[unit.name].cpus_online]
        if not present:
            raise PointsError(f"board {self._board.name!r}: every unit is away, so nothing can run until one is back.")
        slowdowns = {unit.name: inputs.slowdowns.get(unit.name, 1.0) for unit in self._board.units}
        board = replace(
            self._board,
            units=tuple(limited(unit, inputs.units[unit.name], slowdowns[unit.name]) for unit in present),
        )
        state = (*inputs.units.values(), *slowdowns.values())
        # A request that takes longer has more time for changes of clock; one that takes less is no reason to stop.
        paced = self._paced([replace(unit, speed=unit.speed / max(1.0, slowdowns[unit.name])) for unit in present])
        views = (
            self._apps[app].view(
                app_inputs, gear=gear(app), cpus=cpus.get(app, ()), board=board, state=state, paced=paced
            )
            for app, app_inputs in inputs.apps.items()
        )
        return Snapshot(
            epoch=epoch,
            now_s=now_s,
            apps=tuple(view for view in views if view.points),
            units=tuple(
                self._unit_view(
                    unit,
                    inputs.units[unit.name].cpus_online,
                    slowdown=slowdowns[unit.name],
                    paced=unit.name in paced,
                )
                for unit in board.units
            ),
            power_w=self._power_w,
            power_cap_w=inputs.power_cap_w,
            objective=self._objective,
            events=events,
        )

    def why_waiting(self, app: str) -> str:
        """Return why an application is left out of a snapshot, in words."""
        possible = {gear.unit for gear in self._apps[app].possible}
        units = ", ".join(unit.name for unit in self._board.units if unit.name in possible)
        return f"no unit that it was profiled for has enough cores online ({units})"

    def possible(self) -> dict[str, frozenset[Gear]]:
        """Return, by application, the gears that were profiled for this board."""
        return {app: known.possible for app, known in self._apps.items()}

    def log(self, gear: Callable[[str], Gear | None]) -> dict[str, object]:
        """Return applications and units as plain values, for the epoch log.

        Args:
            gear: returns the gear that an application has acknowledged; None before the first.
        """
        return {
            "units": {
                name: {
                    "mhz": seen.mhz_now,
                    "busy": seen.busy,
                    "temp_c": seen.temp_c,
                    "power_w": seen.power_w,
                    "max_mhz": seen.max_mhz,
                    "cpus_online": None if seen.cpus_online is None else list(seen.cpus_online),
                    "held_by": seen.held_by,
                    "offline_by": seen.offline_by,
                }
                for name, seen in self._seen.items()
            },
            "rails": dict(self._rails_w),
            "host": asdict(self._host) if self._host else None,
            "apps": {
                app: {
                    "gear": (now := gear(app)) and now.plain(),
                    "queue_len": known.queue_len,
                    "on_time": known.share_on_time,
                    "p95_ms": known.latencies.p95_ms,
                    "rate_hz": known.rate.rate_hz,
                    "service_ratio": self._slowdowns.ratio(app),
                }
                for app, known in self._apps.items()
            },
        }

    def _paced(self, units: Iterable[BoardUnit]) -> frozenset[str]:
        """Return the units whose clock can follow each request of the applications present."""
        if not self._paces:
            return frozenset()
        shortest_ms: dict[tuple[str, float | None], float] = {}
        for known in self._apps.values():
            for form, least_ms in known.spec.profile.shortest_ms().items():
                shortest_ms[form] = min(least_ms, shortest_ms.get(form, math.inf))

        def shortest_on(unit: BoardUnit) -> float:
            return min(
                (ms / unit.pace(unit.mhz[-1], share) for (kind, share), ms in shortest_ms.items() if kind == unit.kind),
                default=math.inf,
            )

        return frozenset(unit.name for unit in units if unit.can_pace(shortest_on(unit)))

    def _unit_view(self, unit: BoardUnit, cpus_online: tuple[int, ...], *, slowdown: float, paced: bool) -> UnitView:
        """Return a unit, given as it is under its limits, as a policy is to see it."""
        seen = self._seen.get(unit.name)
        return UnitView(
            name=unit.name,
            kind=unit.kind,
            cpus_online=cpus_online,
            mhz_now=seen.mhz_now if seen else unit.mhz[-1],
            mhz_allowed=unit.mhz,
            busy=seen.busy if seen else 0.0,
            temp_c=seen.temp_c if seen else None,
            static_w=unit.static_w,
            dynamic_w=unit.dynamic_w,
            capacity=self._board.unit(unit.name).speed,
            idle_share=unit.idle_share,
            off_w=unit.off_w,
            paced=paced,
            slowdown=slowdown,
        )
