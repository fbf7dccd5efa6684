"""A handful of a run's plans with their reasons in sentences, as `gearshift explain` tells them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from scheduler.errors import InputError
from workloads.explaining.reading import Moment, PlanEntry, PlanLog, explanation_of, read_plans, weighs
from workloads.explaining.words import sections
from workloads.results.run_dir import StoredRun

MOST_PLANS = 4
"""Plans that are explained."""

MOST_DECISIONS = 60
"""Decisions made again, over all these plans, to say what constraints cost. It bounds the time: of two applications
that is some eight decisions a plan and 0.1 s, of 16 applications 64 of 0.1 s each, which is left out."""

_DECISIONS_EACH = 4
"""Decisions that an application takes: without its target, floor and load, and in another gear."""

FOLLOWS_S = 2.0
"""A plan, and a change, within this time after an event is shown as its consequence."""


def why_plans(run: StoredRun) -> str:
    """Return the explanations as HTML; a sentence where the log does not say what plans rested on."""
    try:
        log = read_plans(run)
        chosen = plans_of_interest(log)
        return "".join(_explained(log, chosen)) + _HOW_TO_ASK
    except InputError as error:
        # The page is the same wherever the directory is.
        return f"<p>Why plans were chosen is not known: {escape(str(error).replace(f'{run.path}/', ''))}</p>"


_HOW_TO_ASK = (
    "<p>For any other plan, <code>gearshift explain RUN_DIR --at T</code> says what binds, what else was possible, and "
    "what each target, floor and cap costs.</p>"
)


def plans_of_interest(log: PlanLog, most: int = MOST_PLANS) -> list[tuple[PlanEntry, float]]:
    """Return the first plan, that which was in force longest, and those after an event, with the time each lasted.

    There are at most `most`, in order of time; of those after events the ones that lasted longest.
    """
    ends_s = [max(later.now_s, 0.0) for _, later in pairwise(log.plans)] + [log.end_s]
    lasted = {
        plan.plan: max(0.0, min(end_s, log.end_s) - max(0.0, plan.now_s))
        for plan, end_s in zip(log.plans, ends_s, strict=True)
    }
    alive = [plan for plan in log.plans if lasted[plan.plan] > 0]
    if not alive:
        return []
    longest = max(alive, key=lambda plan: lasted[plan.plan])
    events_s = [event.now_s for event in log.run.events]
    answers = [plan for plan in alive if any(0 <= plan.now_s - at_s <= FOLLOWS_S for at_s in events_s)]
    answers.sort(key=lambda plan: -lasted[plan.plan])
    numbers = list(dict.fromkeys(plan.plan for plan in (alive[0], longest, *answers)))[:most]
    return [(plan, lasted[plan.plan]) for plan in alive if plan.plan in numbers]


def _explained(log: PlanLog, chosen: Sequence[tuple[PlanEntry, float]]) -> list[str]:
    said, left = [], MOST_DECISIONS
    for plan, lasted_s in chosen:
        # In the middle of its time nothing is under way.
        moment = log.at(max(0.0, plan.now_s) + lasted_s / 2)
        needs = _DECISIONS_EACH * len(moment.plan.gears)
        prices = needs <= left
        left -= needs if prices else 0
        said.append(_section(moment, lasted_s, prices))
    return said


def _section(moment: Moment, lasted_s: float, prices: bool) -> str:
    parts = sections(moment, explanation_of(moment, prices=prices))
    if weighs(moment) and not prices:
        parts["What binds"] = [
            f"What constraints cost is left out here; `gearshift explain RUN_DIR --at {moment.at_s:.2f}` says it."
        ]
    lists = "".join(
        f"<p><b>{escape(head)}</b></p><ul>{''.join(f'<li>{escape(one)}</li>' for one in sentences)}</ul>"
        for head, sentences in parts.items()
    )
    title = f"Plan {moment.number}, in force for {lasted_s:.1f} s from {max(0.0, moment.decided_s):.2f} s"
    return f"<h3>{escape(title)}</h3><details><summary>{escape('; '.join(moment.why))}</summary>{lists}</details>"
