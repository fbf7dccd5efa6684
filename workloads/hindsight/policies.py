"""`best` and `oracle`: policies that have seen the run before it happens.

Both know the arrivals, the luck of every request and the events to come, manage for free, and are found by simulating.
Neither is a bound: units stay at one clock for a while, and a search is no proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import itemgetter

from scheduler.policies import Policy, make_policy
from scheduler.views import Gear, Plan
from workloads.hindsight.judge import COSTS, Judge, Run, Script
from workloads.hindsight.search import search
from workloads.hindsight.sections import bursts_s, sections_of
from workloads.hindsight.stretch import Stretch, gears_at_rest
from workloads.simulator import Simulated, SimulationPlan, simulate

_ROUNDS = 40
"""Choices that a search tries in each stretch, at most."""

_BURST_EPOCH_S = 1.0
"""Between two decisions where arrivals come in bursts; it divides the windows of `bursts_s`."""


def best(plan: SimulationPlan) -> Policy:
    """The cheapest fixed choice found for this run: one gear for each application, one clock for each unit.

    Args:
        plan: the run; its policy and costs do not matter, its seed does.
    """
    return _best(plan)[1]


def _best(plan: SimulationPlan) -> tuple[Run, Script]:
    stretch = Stretch(plan, sections_of(plan), plan.mix.arrivals_s(plan.seed))
    judge = Judge(plan, [stretch], epoch_s=plan.mix.duration_s)
    run, choices = search(judge, [stretch], rounds=_ROUNDS)
    return run, judge.script(choices)


def oracle(plan: SimulationPlan) -> Policy:
    """The cheapest plans found for this run, a fresh one at each event and where the rate of arrivals changes a lot.

    `best` is tried too, and so are, unless the mix has a power cap, what `joint` does if managing is free, and the
    gears found with all clocks left to `schedutil`; what is cheapest is taken.

    Args:
        plan: as for `best`.
    """
    arrivals_s = plan.mix.arrivals_s(plan.seed)
    cuts_s = bursts_s(plan)
    sections = sections_of(plan, cuts_s)
    stretches = [Stretch(plan, [section], arrivals_s) for section in sections]
    judge = Judge(plan, stretches, epoch_s=_BURST_EPOCH_S if cuts_s else plan.mix.duration_s)
    run, choices = search(judge, stretches, rounds=_ROUNDS)
    found = [(run, judge.script(choices))]
    if len(stretches) > 1:
        found.append(_best(plan))
    if all(section.power_cap_w is None for section in sections):  # a whole run does not tell when it was above
        joint = simulate(replace(plan, make_policy=lambda: make_policy("joint"), costs=COSTS))
        found.append((judge.whole(joint), Script(_logged(plan, joint))))
        governed = Script([(from_s, _governed(one)) for from_s, one in judge.plans(choices)])
        found.append((judge.whole(judge.simulate(governed)), governed))
    return min(found, key=itemgetter(0))[1]


def _governed(plan: Plan) -> Plan:
    return replace(plan, clocks=dict.fromkeys(plan.clocks, "schedutil"))


def _logged(plan: SimulationPlan, simulated: Simulated) -> list[tuple[float, Plan]]:
    """The plans that an epoch log has; of several at one moment the last."""
    plans = {}
    for entry in simulated.entries:
        if entry["kind"] == "plan":
            gears = {app: Gear.of(one) for app, one in entry["gears"].items()}
            plans[entry["now_s"]] = Plan(gears=gears_at_rest(plan) | gears, clocks=entry["clocks"])
    return list(plans.items())


HINDSIGHT: Mapping[str, Callable[[SimulationPlan], Policy]] = {"best": best, "oracle": oracle}
"""By a policy's name, what makes it for a run."""
