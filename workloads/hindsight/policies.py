"""`best` and `oracle`: policies that have seen the run before it happens.

Both know the arrivals, the service time of every request with its noise, and the events to come, hidden ones too,
manage for free, and are found by simulating. Neither is a bound: units stay at one clock for a while, and a search is
no proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from scheduler.messages import HiddenEvent
from scheduler.policies import Policy, make_policy
from scheduler.request_clock import Pace
from scheduler.views import Gear, Plan
from workloads.hindsight.intervals import Interval, bursts_s, intervals_of
from workloads.hindsight.scoring import COSTS, RunScore, Scorer, run_score
from workloads.hindsight.script import Script
from workloads.hindsight.search import search
from workloads.hindsight.search_space import SearchSpace, gears_at_rest
from workloads.simulator import Simulated, SimulationPlan, simulate

_ROUNDS = 40
"""Most candidates that a search tries in each search space, besides the first."""

_BURST_EPOCH_S = 1.0
"""Time between two decisions where arrivals come in bursts; it divides the windows of `bursts_s`."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The best that a search found for a run.

    Attributes:
        run: its score.
        plans: its plans, each with the time in seconds at which it begins.
    """

    run: RunScore
    plans: list[tuple[float, Plan]]


_latest: tuple[tuple[object, ...], _Found] | None = None
"""The run for which `best` was searched last, and what was found: `oracle` of the same run needs it too."""


def best(plan: SimulationPlan) -> Policy:
    """Return the cheapest fixed candidate found for a run: one gear for each application, one clock for each unit.

    Args:
        plan: the run; its policy and costs are ignored, its seed counts.
    """
    return Script(_best(plan).plans)


def _best(plan: SimulationPlan) -> _Found:
    global _latest
    asked = (plan.mix, plan.board, plan.events, plan.seed, plan.profiles, plan.governors_sample)
    if _latest is None or _latest[0] != asked:
        _latest = asked, _search(plan, [intervals_of(plan)], epoch_s=plan.mix.duration_s)
    return _latest[1]


def oracle(plan: SimulationPlan) -> Policy:
    """Return the cheapest plans found for a run, one for each interval.

    The run is cut at its events and where the rate of arrivals changes a lot. `best` is tried too. Unless the mix has a
    power cap, so are the plans of `joint` with free managing, and the gears found with all clocks left to `schedutil`.
    The cheapest of all is taken.

    Args:
        plan: the run; its policy and costs are ignored, its seed counts.
    """
    cuts_s = bursts_s(plan)
    intervals = intervals_of(plan, cuts_s)
    epoch_s = _epoch_s(plan, bursty=bool(cuts_s))
    found = [_best(plan)]
    if len(intervals) > 1:
        found.insert(0, _search(plan, [[interval] for interval in intervals], epoch_s=epoch_s))
    # The score of a whole run does not say when its power was above a cap.
    if all(interval.power_cap_w is None for interval in intervals):
        free = replace(plan, costs=COSTS)
        joint = simulate(replace(free, make_policy=lambda: make_policy("joint")))
        found.append(_Found(run_score(plan, joint), _logged(plan, joint)))
        governed = [(from_s, _governed(one)) for from_s, one in found[0].plans]
        simulated = simulate(replace(free, make_policy=lambda: Script(governed), epoch_s=epoch_s), log=False)
        found.append(_Found(run_score(plan, simulated), governed))
    return Script(min(found, key=attrgetter("run")).plans)


def _epoch_s(plan: SimulationPlan, *, bursty: bool) -> float:
    """Return the time between two decisions in a search; events that the manager is told of bring one besides."""
    # Nobody tells of a slowdown, so a plan for it begins with the next epoch of the run itself.
    if any(isinstance(event, HiddenEvent) for _, event in plan.events):
        return plan.epoch_s
    return _BURST_EPOCH_S if bursty else plan.mix.duration_s


def _search(plan: SimulationPlan, parts: Sequence[Sequence[Interval]], *, epoch_s: float) -> _Found:
    """Search a candidate for each part of a run, which holds it over its intervals."""
    arrivals_s = plan.mix.arrivals_s(plan.seed)
    spaces = [SearchSpace(plan, intervals, arrivals_s) for intervals in parts]
    scorer = Scorer(plan, spaces, epoch_s=epoch_s)
    run, candidates = search(scorer, spaces, rounds=_ROUNDS)
    return _Found(run, scorer.plans(candidates))


def _governed(plan: Plan) -> Plan:
    """Return a plan with all clocks left to `schedutil`."""
    return replace(plan, clocks=dict.fromkeys(plan.clocks, "schedutil"))


def _logged(plan: SimulationPlan, simulated: Simulated) -> list[tuple[float, Plan]]:
    """Return the plans of an epoch log with their times; of several at one moment the last.

    A unit that is away has no clock in a plan. It gets its lowest, since it may be there until the other event of that
    moment is told.
    """
    lowest = {unit.name: unit.mhz[0] for unit in plan.board.units}
    plans = {}
    for entry in simulated.entries:
        if entry["kind"] == "plan":
            gears = {app: Gear.of(one) for app, one in entry["gears"].items()}
            paces = {app: Pace(**rule) for app, rule in entry["paces"].items()}
            clocks = lowest | entry["clocks"]
            plans[entry["now_s"]] = Plan(gears=gears_at_rest(plan) | gears, clocks=clocks, paces=paces)
    return list(plans.items())


HINDSIGHT: Mapping[str, Callable[[SimulationPlan], Policy]] = {"best": best, "oracle": oracle}
"""By name, what makes a policy of hindsight for a run."""
