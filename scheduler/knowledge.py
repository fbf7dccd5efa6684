"""What the manager knows: targets in force, limits of units, and what telemetry says of both.

From it come the inputs of a decision, in which measured figures move only once they have moved for certain, and the
snapshot that a policy decides on.

It does not know plans, gears in force (they are handed in) or how anything is carried out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

from scheduler.board import Board, BoardUnit
from scheduler.estimators import LatencyWindow, RateEstimator, SlowdownEstimator
from scheduler.feedback import Caution, Foresight
from scheduler.inputs import AppInputs, Inputs, UnitInputs, limited
from scheduler.messages import AppTelemetry, HostTelemetry, TargetChanged, Telemetry, UnitLimited, UnitTelemetry
from scheduler.objectives import ObjectiveName
from scheduler.points import ArrivalModel, operating_points
from scheduler.problem import OperatingPoint
from scheduler.profile import Profile
from scheduler.solver import Evaluation
from scheduler.views import AppView, Gear, Snapshot, UnitView

RATE_CHANGE = 0.2
"""Share by which the observed rate must differ from the one last decided on, beyond chance, to count as another."""

RATIO_CHANGE = 0.1
"""Share by which the service ratio must differ from the one last decided on to count as another, twice in a row.

One request's service scatters by several per cent, and at a few requests a second the estimate follows some of it. A
single request that something held up moves it by `SlowdownEstimator.MAX_MOVE`, and the next one brings it back.
"""

MARGIN = 0.05
"""Share of a point's latency that is added for what the runtime itself takes: waking up, handing over."""

MISSES_PLANNED = 0.5
"""Share of the misses that an slo permits which a plan uses up; the rest is for what no plan foresees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSpec:
    """One application as the manager is told of it at the start.

    Attributes:
        app: its name.
        profile: of its ladder, on the kinds of unit that the board has.
        arrivals: how its requests come; the rate is a first guess that telemetry corrects, 0 where there is none.
        target_ms: its first latency target.
        min_accuracy: its first accuracy floor.
        weight: its first weight.
        slo: its first share of requests that must be within the target.
        present: whether it is there from the start; else an event adds it.
    """

    app: str
    profile: Profile
    arrivals: ArrivalModel
    target_ms: float
    min_accuracy: float = 0.0
    weight: float = 1.0
    slo: float = 0.95
    present: bool = True


@dataclass(slots=True)
class _App:
    """What is known of one application."""

    spec: AppSpec
    rate_hz: float
    """As last decided on."""
    rate: RateEstimator
    slowdown: SlowdownEstimator
    latencies: LatencyWindow
    possible: frozenset[Gear]
    service_ratio: float = 1.0
    """As last decided on."""
    ratio_strays: bool = False
    """Whether the last report said that it is another by now."""
    caution: Caution = field(default_factory=Caution)
    foresight: Foresight = field(default_factory=Foresight)
    fresh_ms: list[float] = field(default_factory=list)
    """Latencies since the last epoch."""
    reported_s: float = 0.0
    """When it last reported, or its time began."""
    queue_len: int = 0
    finished: int = 0
    """Since the last epoch, as `on_time`."""
    on_time: int = 0
    excused_until_s: float = -math.inf
    inputs: AppInputs | None = None
    """As last built; they are the same in nearly every epoch."""
    inputs_key: object = None
    points: tuple[OperatingPoint, ...] = ()
    points_key: object = None


# ---------------------------------------------------------------- all of it


class Knowledge:
    """All that is known of applications and units, brought up to date by events and telemetry."""

    def __init__(
        self,
        *,
        board: Board,
        apps: Sequence[AppSpec],
        objective: ObjectiveName,
        power_cap_w: float | None,
        grace_s: float,
    ) -> None:
        self._board = board
        self._objective = objective
        self._grace_s = grace_s
        self._specs = {spec.app: spec for spec in apps}
        self._apps: dict[str, _App] = {}
        self._units = {
            unit.name: UnitInputs(max_mhz=None, cores_online=unit.cores, other_load=0.0) for unit in board.units
        }
        self._seen: dict[str, UnitTelemetry] = {}
        self._host: HostTelemetry | None = None
        self._power_w: float | None = None
        self.power_cap_w = power_cap_w
        self._targets = {
            spec.app: TargetChanged(
                app=spec.app,
                target_ms=spec.target_ms,
                min_accuracy=spec.min_accuracy,
                weight=spec.weight,
                slo=spec.slo,
            )
            for spec in apps
        }
        for spec in apps:
            if spec.present:
                self.join(spec.app, now_s=0.0)

    # ------------------------------------------------------------ events

    @property
    def present(self) -> tuple[str, ...]:
        """The applications that are there now."""
        return tuple(self._apps)

    def knows(self, app: str) -> bool:
        """Whether that application is there, or may still come."""
        return app in self._specs

    def join(self, app: str, *, now_s: float) -> None:
        """An application begins; its requests come from now on, or from t = 0."""
        spec = self._specs[app]
        self._apps[app] = _App(
            spec=spec,
            rate=RateEstimator(spec.arrivals.rate_hz or None),
            slowdown=SlowdownEstimator(),
            latencies=LatencyWindow(),
            rate_hz=spec.arrivals.rate_hz,
            possible=_gears(self._board, spec.profile),
            reported_s=max(now_s, 0.0),
        )
        self.excuse([app], now_s=now_s)

    def leave(self, app: str) -> None:
        """An application ends and does not come back."""
        self._specs.pop(app, None)
        self._apps.pop(app, None)

    def retarget(self, targets: TargetChanged) -> None:
        """An application's targets from here on."""
        self._targets[targets.app] = targets

    def limit(self, change: UnitLimited) -> None:
        """A unit's limits from here on."""
        self._units[change.unit] = UnitInputs(
            max_mhz=change.max_mhz, cores_online=change.cores_online, other_load=change.other_load
        )

    # ------------------------------------------------------------ telemetry

    def observe(self, telemetry: Telemetry, *, now_s: float) -> None:
        """Take one round of reports in; those of applications that are not there are passed over."""
        for report in telemetry.apps:
            if report.app in self._apps:
                _observe_app(self._apps[report.app], report, now_s)
        self._seen.update({unit.name: unit for unit in telemetry.units})
        self._host = telemetry.host or self._host
        self._power_w = telemetry.power_w

    def excuse(self, apps: Iterable[str], *, now_s: float) -> None:
        """What these applications do in the next moment has a known cause, and says nothing of the plan."""
        for app in apps:
            self._apps[app].excused_until_s = max(self._apps[app].excused_until_s, now_s + self._grace_s)

    def judge(self, foreseen: Evaluation | None, *, foreseen_late: Collection[str], now_s: float) -> None:
        """Learn from what finished in this epoch how far the plan in force can be trusted.

        Args:
            foreseen: what the plan comes to; None where it foresees nothing.
            foreseen_late: applications that the plan itself foresees to be late, or of which it foresees nothing.
            now_s: the present.
        """
        for app, known in self._apps.items():
            slo = self._targets[app].slo
            if now_s < known.excused_until_s:
                known.caution.forget()
                known.foresight.forget()
                continue
            planned = planned_share(slo)
            if known.caution.update(
                finished=known.finished,
                on_time=known.on_time,
                slo=slo,
                planned=planned,
                foreseen=app in foreseen_late,
            ):
                known.foresight.relapse()
            elif foreseen is not None and app in foreseen.own_ms:
                # A report leaves out latencies beyond `LatencyWindow.SIZE`; as lost ones they err on the safe side.
                lost_ms = [math.inf] * (known.finished - len(known.fresh_ms))
                known.foresight.update(
                    known.fresh_ms + lost_ms,
                    own_ms=foreseen.own_ms[app],
                    waits_ms=foreseen.waits_ms[app],
                    share=planned,
                )

    def end_epoch(self) -> None:
        """What finishes from here on belongs to the next epoch."""
        for known in self._apps.values():
            known.finished = known.on_time = 0
            known.fresh_ms.clear()

    # ------------------------------------------------------------ views

    def inputs(self) -> Inputs:
        """What a decision made now would rest on."""
        apps = {app: _inputs_of(known, self._targets[app]) for app, known in self._apps.items()}
        return Inputs(apps=apps, units=dict(self._units), power_cap_w=self.power_cap_w)

    def snapshot(
        self,
        inputs: Inputs,
        *,
        epoch: int,
        now_s: float,
        gear: Callable[[str], Gear | None],
        events: tuple[str, ...],
    ) -> Snapshot:
        """What a policy is to decide on.

        Args:
            inputs: what `inputs` returned.
            epoch: the manager's.
            now_s: the present.
            gear: by application, the gear it has acknowledged.
            events: what has happened since the last decision.

        Raises:
            ValueError: operating points of an application cannot be built (see `operating_points`).
        """
        board = replace(self._board, units=tuple(limited(unit, inputs.units[unit.name]) for unit in self._board.units))
        units_key = tuple(inputs.units.values())
        return Snapshot(
            epoch=epoch,
            now_s=now_s,
            apps=tuple(self._app_view(app, of, gear(app), board, units_key) for app, of in inputs.apps.items()),
            units=tuple(self._unit_view(unit) for unit in board.units),
            power_w=self._power_w,
            power_cap_w=inputs.power_cap_w,
            objective=self._objective,
            events=events,
        )

    def possible(self) -> dict[str, frozenset[Gear]]:
        """By application, the gears that were profiled for this board."""
        return {app: known.possible for app, known in self._apps.items()}

    def log(self, gear: Callable[[str], Gear | None]) -> dict[str, object]:
        """Applications and units as plain values, for the epoch log."""
        return {
            "units": {
                name: {"mhz": seen.mhz_now, "busy": seen.busy, "temp_c": seen.temp_c, "power_w": seen.power_w}
                for name, seen in self._seen.items()
            },
            "host": asdict(self._host) if self._host else None,
            "apps": {
                app: {
                    "gear": (now := gear(app)) and now.plain(),
                    "queue_len": known.queue_len,
                    "on_time": _share_on_time(known),
                    "p95_ms": known.latencies.p95_ms,
                    "rate_hz": known.rate.rate_hz,
                    "service_ratio": known.slowdown.ratio,
                }
                for app, known in self._apps.items()
            },
        }

    def _app_view(
        self, app: str, of: AppInputs, gear: Gear | None, board: Board, units_key: tuple[UnitInputs, ...]
    ) -> AppView:
        known = self._apps[app]
        key = (of.rate_hz, of.slo, of.min_accuracy, of.service_ratio, of.margin, units_key)
        if known.points_key != key:
            known.points = operating_points(
                board,
                known.spec.profile.above(of.min_accuracy),
                app=app,
                arrivals=replace(known.spec.arrivals, rate_hz=of.rate_hz),
                slo=planned_share(of.slo),
                min_accuracy=of.min_accuracy,
                service_ratio=of.service_ratio,
                margin=of.margin,
            )
            known.points_key = key
        return AppView(
            app=app,
            target_ms=of.target_ms,
            min_accuracy=of.min_accuracy,
            weight=of.weight,
            slo=of.slo,
            rate_hz=of.rate_hz,
            queue_len=known.queue_len,
            gear=gear,
            n=known.finished,
            on_time=_share_on_time(known),
            p95_ms=known.latencies.p95_ms,
            mean_ms=known.latencies.mean_ms,
            service_ratio=of.service_ratio,
            own_ratio=of.own_ratio,
            wait_ratio=of.wait_ratio,
            points=known.points,
        )

    def _unit_view(self, unit: BoardUnit) -> UnitView:
        seen = self._seen.get(unit.name)
        return UnitView(
            name=unit.name,
            kind=unit.kind,
            cores_online=unit.cores,
            mhz_now=seen.mhz_now if seen else unit.mhz[-1],
            mhz_allowed=unit.mhz,
            busy=seen.busy if seen else 0.0,
            temp_c=seen.temp_c if seen else None,
            static_w=unit.static_w,
            dynamic_w=unit.dynamic_w,
            capacity=self._board.unit(unit.name).speed,
        )


def _observe_app(known: _App, report: AppTelemetry, now_s: float) -> None:
    if now_s > known.reported_s:
        known.rate.update(report.arrived, now_s - known.reported_s)
        known.reported_s = now_s
        estimate_hz = known.rate.rate_hz or 0.0
        moved = abs(estimate_hz - known.rate_hz) > RATE_CHANGE * known.rate_hz
        if moved and known.rate.differs_from(known.rate_hz):
            known.rate_hz = estimate_hz
    if report.service_ratio is not None:
        known.slowdown.update(report.service_ratio)
        strays = abs(known.slowdown.ratio - known.service_ratio) > RATIO_CHANGE * known.service_ratio
        if strays and known.ratio_strays:
            known.service_ratio = known.slowdown.ratio
        known.ratio_strays = strays
    known.latencies.update(report.latencies_ms)
    known.fresh_ms.extend(report.latencies_ms)
    known.queue_len = report.queue_len
    known.finished += report.finished
    known.on_time += report.on_time


def _inputs_of(known: _App, targets: TargetChanged) -> AppInputs:
    foresight = known.foresight
    key = (
        targets,
        known.rate_hz,
        known.service_ratio,
        known.caution.margin,
        foresight.own_ratio,
        foresight.wait_ratio,
    )
    if known.inputs is None or known.inputs_key != key:
        # A closed loop has no rate of its own: one result in each target's time is what it is to get.
        closed = known.spec.arrivals.kind == "saturate"
        known.inputs = AppInputs(
            target_ms=targets.target_ms,
            min_accuracy=targets.min_accuracy,
            weight=targets.weight,
            slo=targets.slo,
            rate_hz=1000 / targets.target_ms if closed else known.rate_hz,
            service_ratio=known.service_ratio,
            margin=MARGIN + known.caution.margin,
            own_ratio=foresight.own_ratio,
            wait_ratio=foresight.wait_ratio,
        )
        known.inputs_key = key
    return known.inputs


def planned_share(slo: float) -> float:
    """The share of requests that a plan is to have on time, so that the slo is met."""
    return 1 - (1 - slo) * MISSES_PLANNED


def _share_on_time(known: _App) -> float | None:
    return known.on_time / known.finished if known.finished else None


def _gears(board: Board, profile: Profile) -> frozenset[Gear]:
    return frozenset(
        Gear(subnet=rung.subnet, unit=unit.name, cores=time.cores)
        for rung in profile.rungs
        for time in rung.times
        for unit in board.units
        if unit.kind == time.kind and time.cores <= unit.cores
    )
