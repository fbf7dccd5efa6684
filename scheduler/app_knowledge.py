"""The manager's knowledge of one application: its rate and latencies, and how far plans are trusted.

- Figures that a decision rests on move only once the measured ones have moved for certain.
- It does not know targets, limits, slowdowns or the board's present state: they are handed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from scheduler.board import Board
from scheduler.estimators import LatencyWindow, RateEstimator
from scheduler.feedback import Caution, Foresight
from scheduler.inputs import AppInputs
from scheduler.messages import AppTelemetry, TargetChanged
from scheduler.points import ArrivalModel, operating_points, planned_share
from scheduler.priced_points import PricedPoints
from scheduler.problem import OperatingPoint
from scheduler.profile import Profile
from scheduler.solver import Evaluation
from scheduler.views import AppView, Gear

RATE_CHANGE = 0.2
"""Share by which the observed rate must differ from the one last decided on, beyond chance, to count as another."""

MARGIN = 0.05
"""Share of a point's latency that is added for what the runtime itself takes: waking up, handing over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppSpec:
    """One application as the manager is told of it at the start.

    Attributes:
        app: name of the application.
        profile: the profile of its ladder, on the kinds of unit that the board has.
        arrivals: how its requests come; the rate is a first guess that telemetry corrects, 0 where there is none.
        target_ms: latency target at the start.
        min_accuracy: accuracy floor at the start, a fraction; 0 for none.
        weight: importance at the start.
        slo: share of requests that must be within the target, at the start.
        present: True if the application is there from the start; False if an event adds it.
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
class AppKnowledge:
    """The knowledge of one application.

    Attributes:
        spec: as told at the start.
        possible: the gears that were profiled for this board.
        rate_hz: arrivals a second, as last decided on.
        rate: arrivals a second, as observed.
        latencies: the latest latencies.
        caution: the margin learned from lateness.
        foresight: the ratios learned from requests that were quicker than foreseen.
        begins_s: time from which its requests come, board time.
        reported_s: time of the last report, or of its beginning, board time.
        queue_len: requests waiting, at the last report.
        finished: requests finished (completed, dropped or failed) since the last epoch.
        on_time: those of `finished` that were within the target.
        fresh_ms: latencies since the last epoch.
        excused_until_s: time until which lateness has a known cause and teaches nothing, board time.
        settles_until_s: time until which being quicker than foreseen teaches nothing, board time.
        priced: the operating points priced lately, for all applications.
    """

    spec: AppSpec
    possible: frozenset[Gear]
    rate_hz: float
    rate: RateEstimator
    latencies: LatencyWindow = field(default_factory=LatencyWindow)
    caution: Caution = field(default_factory=Caution)
    foresight: Foresight = field(default_factory=Foresight)
    begins_s: float = 0.0
    reported_s: float = 0.0
    queue_len: int = 0
    finished: int = 0
    on_time: int = 0
    fresh_ms: list[float] = field(default_factory=list)
    excused_until_s: float = -math.inf
    settles_until_s: float = -math.inf
    priced: PricedPoints = field(default_factory=PricedPoints)

    # Inputs and points are the same in nearly every epoch. They are kept, each with all that it was made from.
    _inputs: AppInputs | None = None
    _inputs_key: object = None
    _points: Sequence[OperatingPoint] = ()
    _points_key: object = None

    @classmethod
    def begin(
        cls,
        spec: AppSpec,
        board: Board,
        *,
        now_s: float,
        from_s: float | None = None,
        priced: PricedPoints | None = None,
    ) -> AppKnowledge:
        """Return what is known of an application that begins.

        Args:
            spec: the application.
            board: the board.
            now_s: present time, board time.
            from_s: time from which its requests come, which a message may have been told late of; None for the present,
                or for t = 0.
            priced: the points that are priced already.
        """
        return cls(
            spec=spec,
            possible=_gears(board, spec.profile),
            rate_hz=spec.arrivals.rate_hz,
            rate=RateEstimator(spec.arrivals.rate_hz or None),
            begins_s=max(now_s if from_s is None else from_s, 0.0),
            reported_s=max(now_s, 0.0),
            priced=PricedPoints() if priced is None else priced,
        )

    @property
    def share_on_time(self) -> float | None:
        """Share of the requests finished since the last epoch that were within the target; None for no request."""
        return self.on_time / self.finished if self.finished else None

    # ------------------------------------------------------------ telemetry

    def observe(self, report: AppTelemetry, now_s: float) -> None:
        """Take a report in."""
        if now_s > self.reported_s:
            self.rate.update(report.arrived, now_s - self.reported_s)
            self.reported_s = now_s
            estimate_hz = self.rate.rate_hz or 0.0
            moved = abs(estimate_hz - self.rate_hz) > RATE_CHANGE * self.rate_hz
            if moved and self.rate.differs_from(self.rate_hz):
                self.rate_hz = estimate_hz
        self.latencies.update(report.latencies_ms)
        self.fresh_ms.extend(report.latencies_ms)
        self.queue_len = report.queue_len
        self.finished += report.finished
        self.on_time += report.on_time

    def excuse(self, until_s: float) -> None:
        """Put its lateness until that time down to a known cause."""
        self.excused_until_s = max(self.excused_until_s, until_s)

    def judge(self, foreseen: Evaluation | None, *, slo: float, foreseen_late: bool, now_s: float) -> None:
        """Learn from the requests that finished in this epoch how far the plan in force can be trusted.

        Args:
            foreseen: what the plan in force is expected to come to; None where it foresees nothing.
            slo: share of requests that must be within the target.
            foreseen_late: True if the plan itself foresees lateness, or foresees nothing.
            now_s: present time, board time.
        """
        if now_s < self.excused_until_s:
            self.caution.forget()
            self.foresight.forget()
            return
        app, planned = self.spec.app, planned_share(slo)
        failed = self.caution.update(
            finished=self.finished, on_time=self.on_time, slo=slo, planned=planned, foreseen=foreseen_late
        )
        if failed:
            self.foresight.relapse()
        elif now_s < self.settles_until_s:
            self.foresight.forget()
        elif foreseen is not None and app in foreseen.own_ms:
            # A report leaves out latencies beyond `LatencyWindow.SIZE`; as lost ones they err on the safe side.
            lost = self.finished - len(self.fresh_ms)
            self.foresight.update(
                self.fresh_ms + [math.inf] * lost if lost else self.fresh_ms,
                own_ms=foreseen.own_ms[app],
                waits_ms=foreseen.waits_ms[app],
                share=planned,
            )

    def end_epoch(self) -> None:
        """Count requests that finish from here on for the next epoch."""
        self.finished = self.on_time = 0
        self.fresh_ms.clear()

    # ------------------------------------------------------------ views

    def inputs(self, targets: TargetChanged, service_ratio: float) -> AppInputs:
        """Return what a decision made now would rest on.

        Args:
            targets: the targets in force.
            service_ratio: observed over profiled service time on a unit that is as profiled.
        """
        foresight = self.foresight
        key = (
            targets,
            self.rate_hz,
            service_ratio,
            self.caution.margin,
            foresight.own_ratio,
            foresight.wait_ratio,
        )
        if self._inputs is None or self._inputs_key != key:
            # A closed loop has no rate of its own: one result in each target's time is what it is to get.
            closed = self.spec.arrivals.kind == "saturate"
            self._inputs = AppInputs(
                target_ms=targets.target_ms,
                min_accuracy=targets.min_accuracy,
                weight=targets.weight,
                slo=targets.slo,
                rate_hz=1000 / targets.target_ms if closed else self.rate_hz,
                service_ratio=service_ratio,
                margin=MARGIN + self.caution.margin,
                own_ratio=foresight.own_ratio,
                wait_ratio=foresight.wait_ratio,
                phase_ms=self._phase_ms,
            )
            self._inputs_key = key
        return self._inputs

    @property
    def _phase_ms(self) -> float | None:
        """Board time of its first release; None where releases keep no time, or another one than was declared."""
        declared = self.spec.arrivals
        return 1000 * self.begins_s if declared.kind == "periodic" and self.rate_hz == declared.rate_hz else None

    def view(
        self,
        inputs: AppInputs,
        *,
        gear: Gear | None,
        cpus: tuple[int, ...],
        board: Board,
        state: tuple[object, ...],
        paced: frozenset[str],
    ) -> AppView:
        """Return the application as a policy is to see it.

        Args:
            inputs: what the decision rests on.
            gear: the gear that it has acknowledged; None before the first.
            cpus: the CPUs that it has or is about to have.
            board: the board under the limits and slowdowns in force.
            state: those limits and slowdowns, in the order of the board's units.
            paced: the units that may get a clock for each request.

        Returns:
            The view; one without points if it was profiled for this board, but for no unit that is there now.

        Raises:
            PointsError: operating points cannot be built (see `operating_points`).
        """
        return AppView(
            app=self.spec.app,
            target_ms=inputs.target_ms,
            min_accuracy=inputs.min_accuracy,
            weight=inputs.weight,
            slo=inputs.slo,
            rate_hz=inputs.rate_hz,
            queue_len=self.queue_len,
            gear=gear,
            n=self.finished,
            on_time=self.share_on_time,
            p95_ms=self.latencies.p95_ms,
            mean_ms=self.latencies.mean_ms,
            service_ratio=inputs.service_ratio,
            own_ratio=inputs.own_ratio,
            wait_ratio=inputs.wait_ratio,
            points=self._points_at(inputs, board, state, paced),
            arrivals=self.spec.arrivals.kind,
            jitter_ms=self.spec.arrivals.jitter_ms,
            phase_ms=inputs.phase_ms,
            margin=inputs.margin - MARGIN,
            profile=self.spec.profile,
            cpus=cpus,
        )

    def _points_at(
        self, inputs: AppInputs, board: Board, state: tuple[object, ...], paced: frozenset[str]
    ) -> Sequence[OperatingPoint]:
        key = (inputs.rate_hz, inputs.slo, inputs.min_accuracy, inputs.service_ratio, inputs.margin, state, paced)
        if self._points_key != key:
            arrivals = replace(self.spec.arrivals, rate_hz=inputs.rate_hz)
            self._points = self.priced.table(
                self.spec.profile, (arrivals, key), lambda: self._priced(inputs, board, paced)
            )
            self._points_key = key
        return self._points

    def _priced(self, inputs: AppInputs, board: Board, paced: frozenset[str]) -> Sequence[OperatingPoint]:
        here = {gear.subnet for gear in _gears(board, self.spec.profile)}
        # Where nothing was profiled for any unit of the whole board, that is a mistake, and pricing says so.
        if self.possible and not here:
            return ()
        return operating_points(
            board,
            # A floor that only networks for other units reach is one that is reached by none.
            self.spec.profile.only(here).above(inputs.min_accuracy),
            app=self.spec.app,
            arrivals=replace(self.spec.arrivals, rate_hz=inputs.rate_hz),
            slo=planned_share(inputs.slo),
            min_accuracy=inputs.min_accuracy,
            service_ratio=inputs.service_ratio,
            margin=inputs.margin,
            paced=paced,
        )


def _gears(board: Board, profile: Profile) -> frozenset[Gear]:
    """Return the gears that were profiled for a board."""
    return frozenset(
        Gear(subnet=rung.subnet, unit=unit.name, cores=time.cores)
        for rung in profile.rungs
        for time in rung.times
        for unit in board.units
        if unit.kind == time.kind and time.cores <= unit.cores
    )
