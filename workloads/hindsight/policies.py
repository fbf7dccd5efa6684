"""`best` and `oracle`: policies that have seen the run before it happens.

Both know the arrivals, the service time of every request and the events to come, manage for free, and are found by
simulating. Neither is a bound: units stay at one clock for a while, and a search is no proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import itemgetter

from scheduler.policies import Policy, make_policy
from scheduler.request_clock import Pace
from scheduler.views import Gear, Plan
from workloads.hindsight.intervals import bursts_s, intervals_of
from workloads.hindsight.scoring import COSTS, RunScore, Scorer
from workloads.hindsight.script import Script
from workloads.hindsight.search import search
from workloads.hindsight.search_space import SearchSpace, gears_at_rest
from workloads.simulator import Simulated, SimulationPlan, simulate

_ROUNDS = 40
"""Most candidates that a search tries in each search space, besides the first."""

_BURST_EPOCH_S = 1.0
"""Time between two decisions where arrivals come in bursts; it divides the windows of `bursts_s`."""


def best(plan: SimulationPlan) -> Policy:
    """Return the cheapest fixed candidate found for a run: one gear for each application, one clock for each unit.

    Args:
        plan: the run; its policy and costs are ignored, its seed counts.
    """
    return _best(plan)[1]


def _best(plan: SimulationPlan) -> tuple[RunScore, Script]:
    space = SearchSpace(plan, intervals_of(plan), plan.mix.arrivals_s(plan.seed))
    scorer = Scorer(plan, [space], epoch_s=plan.mix.duration_s)
    run, candidates = search(scorer, [space], rounds=_ROUNDS)
    return run, scorer.script(candidates)


def oracle(plan: SimulationPlan) -> Policy:
    """Return the cheapest plans found for a run, one for each interval.

    The run is cut at its events and where the rate of arrivals changes a lot. `best` is tried too. Unless the mix has a
    power cap, so are the plans of `joint` with free managing, and the gears found with all clocks left to `schedutil`.
    The cheapest of all is taken.

    Args:
        plan: the run; its policy and costs are ignored, its seed counts.
    """
    arrivals_s = plan.mix.arrivals_s(plan.seed)
    cuts_s = bursts_s(plan)
    intervals = intervals_of(plan, cuts_s)
    spaces = [SearchSpace(plan, [interval], arrivals_s) for interval in intervals]
    scorer = Scorer(plan, spaces, epoch_s=_BURST_EPOCH_S if cuts_s else plan.mix.duration_s)
    run, candidates = search(scorer, spaces, rounds=_ROUNDS)
    found = [(run, scorer.script(candidates))]
    if len(spaces) > 1:
        found.append(_best(plan))
    # The score of a whole run does not say when its power was above a cap.
    if all(interval.power_cap_w is None for interval in intervals):
        joint = simulate(replace(plan, make_policy=lambda: make_policy("joint"), costs=COSTS))
        found.append((scorer.run_score(joint), Script(_logged(plan, joint))))
        governed = Script([(from_s, _governed(one)) for from_s, one in scorer.plans(candidates)])
        found.append((scorer.run_score(scorer.simulate(governed)), governed))
    return min(found, key=itemgetter(0))[1]


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
