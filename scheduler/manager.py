"""The manager: it takes messages and returns effects, once an epoch and whenever something happens.

Telemetry and events change what it knows (`scheduler.knowledge`). Where a decision would rest on anything new it
asks the policy for a plan, and brings the board there by the steps of `scheduler.transition`. It performs nothing
itself: the same class runs behind the Ray actor and inside the simulator, and gives the same effects for the same
messages.

It does not know mixes, wall-clock time, processes or how an effect is carried out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import assert_never

from scheduler.admission import Admissions, Outlook, outlook_of
from scheduler.app_knowledge import AppSpec
from scheduler.board import Board
from scheduler.decisions import Decision
from scheduler.inputs import Inputs, changes
from scheduler.knowledge import Knowledge
from scheduler.messages import (
    Activated,
    AmbientChanged,
    AppJoined,
    AppLeft,
    ClockSet,
    Effect,
    Event,
    Log,
    Message,
    Pin,
    Pinned,
    PowerCapped,
    Prepared,
    Standing,
    TargetChanged,
    Telemetry,
    Tick,
    UnitLimited,
    UnitSwitched,
    WorkerLost,
    WorkerNotStarted,
    WorkerStarted,
)
from scheduler.objectives import ObjectiveName
from scheduler.policies import Policy, PolicyError, appraise, check_plan, cpus_of
from scheduler.solver import Evaluation
from scheduler.transition import Transition
from scheduler.views import Plan, Snapshot
from scheduler.workers import Workers

__all__ = ["AppSpec", "Manager"]

GRACE_S = 1.0
"""Time after a change for which lateness is put down to that change; at least two epochs."""


class Manager:
    """The manager of a board: it keeps the board in the gears and clocks that a policy wants.

    Args:
        board: the board, without limits.
        apps: all applications, those that events will add included.
        policy: decides when there is anything new, or at every tick if it has an attribute `every_epoch` that is true.
        objective: what a policy that optimises is to optimise.
        power_cap_w: cap of the units' power; None for none.
        epoch_s: time between two ticks.
        logs_epochs: True if every epoch, and what each decision rested on, is to have an entry in the log.
        prepares_on: name of the unit on which networks are made ready, to stand at `UnitView.least_edp_mhz` meanwhile
            (not under a power cap); None where that takes as long at any clock.

    Attributes:
        decisions: number of plans that the policy has been asked for.
    """

    def __init__(
        self,
        *,
        board: Board,
        apps: Sequence[AppSpec],
        policy: Policy,
        objective: ObjectiveName = "energy",
        power_cap_w: float | None = None,
        epoch_s: float = 0.1,
        logs_epochs: bool = True,
        prepares_on: str | None = None,
    ) -> None:
        self.decisions = 0
        self._logs_epochs = logs_epochs
        self._board = board
        self._policy = policy
        self._every_epoch = bool(getattr(policy, "every_epoch", False))
        self._paces = bool(getattr(policy, "paces", False))
        self._knowledge = Knowledge(
            board=board,
            apps=apps,
            objective=objective,
            power_cap_w=power_cap_w,
            grace_s=max(GRACE_S, 2 * epoch_s),
            paces=self._paces,
        )
        self._prepares_on = prepares_on
        self._transition = Transition(board, prepares_on)
        for app in self._knowledge.present:
            self._transition.join(app, running=True)
        self._workers = Workers(epoch_s)
        self._stopped: tuple[str, ...] = ()
        self._epoch = 0
        self._events: list[str] = []
        self._decided: Inputs | None = None
        self._plan: Plan | None = None
        self._cpus: Mapping[str, tuple[int, ...]] = {}
        self._plan_number = 0
        self._outcome: Evaluation | None = None
        self._foreseen_on_time: frozenset[str] = frozenset()
        self._failure: str | None = None
        self._waiting: frozenset[str] = frozenset()
        self._admissions = Admissions()

    def on(self, message: Message, now_s: float) -> list[Effect]:
        """Take a message in.

        Args:
            message: what happened; a message that is late, repeated or from an unknown sender changes nothing.
            now_s: present time, board time; never earlier than in the call before.

        Returns:
            The effects to carry out and to log, in this order.
        """
        match message:
            case Tick():
                return self._tick(message, now_s)
            case Telemetry():
                effects = self._observe(message, now_s)
            case Event():
                effects = self._event(message, now_s)
            case WorkerLost():
                effects = self._lost(message, now_s)
            case WorkerNotStarted():
                effects = self._not_started(message, now_s)
            case WorkerStarted():
                effects = self._started(message)
            case Prepared() | Pinned() | Activated() | ClockSet() | UnitSwitched():
                effects = self._transition.acknowledge(message)
            case _:
                assert_never(message)
        return effects + self._transition.advance(now_s)

    @property
    def settled(self) -> bool:
        """True if the latest plan is carried out and acknowledged."""
        return self._transition.at_rest

    def awaits(self, pin: Pin) -> bool:
        """Return True if an answer to this pin still counts; else others may have its CPUs, and none asks again."""
        return self._transition.awaits(pin)

    # ------------------------------------------------------------ messages

    def _tick(self, tick: Tick, now_s: float) -> list[Effect]:
        self._epoch = tick.epoch
        effects = self._transition.expire(now_s)
        effects += self._workers.look(self._knowledge.targets_s, self._stopped, now_s)
        self._knowledge.excuse(self._transition.unsettled(), now_s=now_s)
        self._knowledge.judge(self._outcome, foreseen_on_time=self._foreseen_on_time, now_s=now_s)
        # Equal inputs need no second decision, so in most epochs nothing is decided.
        inputs = self._knowledge.inputs()
        why = self._changes(inputs) or (["every epoch"] if self._every_epoch else [])
        if why:
            effects += self._decide(inputs, why, now_s)
        effects += self._transition.advance(now_s)
        if self._logs_epochs:
            effects.append(self._epoch_log(decided=bool(why)))
        self._knowledge.end_epoch()
        return effects

    def _observe(self, telemetry: Telemetry, now_s: float) -> list[Effect]:
        happened = self._knowledge.observe(telemetry, now_s=now_s)
        self._events += happened
        effects: list[Effect] = [Log(kind="event", fields={"text": text}) for text in happened]
        effects += self._workers.hear(telemetry)
        self._stopped = telemetry.stopped
        effects += [Log(kind="repinned", fields=asdict(one)) for one in telemetry.repinned]
        for unit in telemetry.units:
            self._transition.clock_seen(unit.name, unit.mhz_now)
        for report in telemetry.apps:
            effects += self._transition.heard(report.app, report.gear, report.plan)
        return effects

    def add(self, spec: AppSpec) -> None:
        """Know an application that an event will have join, in place of one of its name that has left."""
        self._knowledge.add(spec)
        self._workers.forget(spec.app)

    def take_over(self, past: Sequence[tuple[float, Event]], standing: Mapping[str, Standing], plan: int) -> None:
        """Go on where a manager that died left off, before the first message.

        Args:
            past: (at_s, event) for each event that the other was told of, in order of time.
            standing: where each worker stands that runs, with no order of the other's under way.
            plan: a number above those of all plans of the other.
        """
        for at_s, event in past:
            self._change(event, at_s)
        for app, where in standing.items():
            self._transition.take_over(app, where)
        self._plan_number = plan

    def _event(self, event: Event, now_s: float) -> list[Effect]:
        """Take in what changed and decide at once."""
        if not self._change(event, now_s):
            return []
        self._events.append(event.text)
        inputs = self._knowledge.inputs()
        why = self._changes(inputs) or [event.text]
        return [Log(kind="event", fields={"text": event.text}), *self._decide(inputs, why, now_s)]

    def _change(self, event: Event, now_s: float) -> bool:
        """Take in what changed; return False for an event that changes nothing."""
        match event.change:
            case TargetChanged():
                self._knowledge.retarget(event.change, now_s=now_s)
            case AppJoined(app=app, from_s=from_s):
                if app in self._workers.out or not self._knowledge.may_join(app):
                    return False
                self._knowledge.join(app, now_s=now_s, from_s=from_s)
                self._transition.join(app, running=not self._workers.is_down(app))
            case AppLeft(app=app):
                self._knowledge.leave(app)
                self._transition.leave(app)
                self._workers.left(app)
            case UnitLimited():
                self._knowledge.limit(event.change, now_s=now_s)
            case PowerCapped():
                self._knowledge.power_cap_w = event.change.power_cap_w
            case AmbientChanged():
                pass  # only what comes of it changes a decision, a clock held down, and telemetry tells of that
            case _:
                assert_never(event.change)
        return True

    def _lost(self, lost: WorkerLost, now_s: float) -> list[Effect]:
        if not self._knowledge.knows(lost.app) or self._workers.is_down(lost.app):
            return []
        if lost.app in self._knowledge.present:
            self._plan_number += 1
            self._transition.lost(lost.app, self._plan_number)
        return self._start_again(lost.app, lost.reason, now_s)

    def _not_started(self, failed: WorkerNotStarted, now_s: float) -> list[Effect]:
        if not self._knowledge.knows(failed.app) or not self._workers.is_down(failed.app):
            return []
        return self._start_again(failed.app, failed.reason, now_s)

    def _start_again(self, app: str, reason: str, now_s: float) -> list[Effect]:
        """Have a worker started again; an application that lost too many is given up, and others get its cores."""
        effects = self._workers.lost(app, reason, now_s)
        if app in self._workers.out:
            self._knowledge.leave(app)
            self._transition.leave(app)
        return effects

    def _started(self, started: WorkerStarted) -> list[Effect]:
        if self._workers.is_down(started.app):
            self._workers.started(started.app)
            if started.app in self._knowledge.present:
                self._transition.started(started.app)
        return []

    # ------------------------------------------------------------ deciding

    def _changes(self, inputs: Inputs) -> list[str]:
        """Return what is new since the last decision, in words."""
        if inputs is self._decided:  # as in most epochs
            return []
        gears = self._plan.gears if self._plan else {}
        return changes(self._decided, inputs, {app: gear.unit for app, gear in gears.items()})

    def _decide(self, inputs: Inputs, why: list[str], now_s: float) -> list[Effect]:
        """Ask the policy, and make its plan the goal; a policy that fails leaves the last plan in force."""
        self.decisions += 1
        try:
            snapshot = self._knowledge.snapshot(
                inputs,
                epoch=self._epoch,
                now_s=now_s,
                gear=self._transition.gear,
                cpus={app: cpus for app, (_, cpus) in self._transition.held().items()},
                events=tuple(self._events),
            )
            plan = self._policy.decide(snapshot)
            check_plan(plan, snapshot, self._knowledge.possible())
        except Exception as error:  # a policy may be anybody's, and nothing it does may end the run
            return self._policy_failed(error)
        self._failure = None
        happened = bool(self._events)
        self._events.clear()
        waiting = self._note_waiting(snapshot)
        if (plan, inputs) == (self._plan, self._decided):
            return waiting
        self._decided = inputs
        cpus = cpus_of(plan, snapshot)
        self._outcome = appraise(plan, snapshot, cpus)
        self._foreseen_on_time = _on_time(plan, self._outcome)
        waits = {app: self._knowledge.why_waiting(app) for app in sorted(self._waiting)}
        outlook = outlook_of(plan, snapshot, self._outcome, waits)
        effects = waiting + self._decision_log(inputs, snapshot, plan, outlook)
        effects += self._admissions.told(plan, outlook, inputs.apps, now_s, happened=happened)
        before, self._plan = self._plan, plan
        same = before is not None and (before.gears, before.clocks, before.clamps_mhz, before.paces) == (
            plan.gears,
            plan.clocks,
            plan.clamps_mhz,
            plan.paces,
        )
        if same and self._cpus == cpus:
            return effects
        old = {app: (gear, self._cpus.get(app)) for app, gear in before.gears.items()} if before else {}
        # Only whom the plan moves: who is late because others move is late without a known cause.
        self._knowledge.excuse(
            [app for app, gear in plan.gears.items() if old.get(app) != (gear, cpus[app])], now_s=now_s
        )
        self._cpus = cpus
        self._knowledge.settle(now_s=now_s)
        return effects + self._aim(plan, cpus, why, now_s, self._prepare_mhz(snapshot))

    def _prepare_mhz(self, snapshot: Snapshot) -> float | None:
        """Return the clock at which networks are made ready; None for that of the plan."""
        unit = next((unit for unit in snapshot.units if unit.name == self._prepares_on), None)
        return None if unit is None or snapshot.power_cap_w is not None else unit.least_edp_mhz

    def _note_waiting(self, snapshot: Snapshot) -> list[Effect]:
        """Leave applications waiting that the snapshot does without, and say so where that is new."""
        waiting = frozenset(self._knowledge.present) - {view.app for view in snapshot.apps}
        texts = [f"{app} waits: {self._knowledge.why_waiting(app)}" for app in sorted(waiting - self._waiting)]
        served = (self._waiting - waiting) & {*self._knowledge.present}
        texts += [f"{app} no longer waits" for app in sorted(served)]
        self._waiting = waiting
        self._transition.leave_waiting(waiting)
        return [Log(kind="event", fields={"text": text}) for text in texts]

    def _aim(
        self,
        plan: Plan,
        cpus: Mapping[str, tuple[int, ...]],
        why: list[str],
        now_s: float,
        prepare_mhz: float | None,
    ) -> list[Effect]:
        self._plan_number += 1
        self._transition.aim(plan, cpus, self._plan_number, "; ".join(why), prepare_mhz)
        fields = {
            "plan": self._plan_number,
            "why": why,
            "gears": {app: gear.plain() for app, gear in plan.gears.items()},
            "cpus": {app: list(numbers) for app, numbers in cpus.items()},
            "clocks": dict(plan.clocks),
            "paces": {app: asdict(pace) for app, pace in plan.paces.items()},
            **self._prospects(),
        }
        return [Log(kind="plan", fields=fields)]

    def _policy_failed(self, error: Exception) -> list[Effect]:
        failure = str(error) if isinstance(error, PolicyError) else f"{type(error).__name__}: {error}"
        if failure == self._failure:  # asked again each epoch, it need not be said again each epoch
            return []
        self._failure = failure
        return [Log(kind="policy_failed", fields={"policy": type(self._policy).__name__, "error": failure})]

    # ------------------------------------------------------------ logs

    def _prospects(self) -> dict[str, object]:
        """Return the promises of the plan in force; None where one is not known."""
        return {
            "power_w": self._outcome.power_w if self._outcome and self._board.powered else None,
            "violation": self._outcome.violation if self._outcome else None,
            "optimal": self._plan.optimal if self._plan else None,
        }

    def _decision_log(self, inputs: Inputs, snapshot: Snapshot, plan: Plan, outlook: Outlook) -> list[Effect]:
        if not self._logs_epochs:
            return []
        decision = Decision.of(inputs, snapshot, paces=self._paces)
        proof = {"optimal": plan.optimal, "within": plan.within}
        missed = outlook.plain() if outlook.verdict == "degraded" else None
        return [Log(kind="decision", fields={**decision.plain(self._board), **proof, "outlook": missed})]

    def _epoch_log(self, *, decided: bool) -> Log:
        known = self._knowledge.log(self._transition.gear)
        return Log(kind="epoch", fields={"epoch": self._epoch, "decided": decided, **known, **self._prospects()})


def _on_time(plan: Plan, outcome: Evaluation | None) -> frozenset[str]:
    """Return the applications that a plan keeps, with their units, within bounds; none where it foresees nothing."""
    if outcome is None:
        return frozenset()
    return frozenset(
        app for app, gear in plan.gears.items() if outcome.app_terms[app] + outcome.unit_terms[gear.unit] <= 1e-9
    )
