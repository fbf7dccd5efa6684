"""Answers to applications that join, and what a plan is foreseen to miss, in words with numbers."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from scheduler.admission import Admission, AppMiss, Outlook, Overload
from scheduler.problem import FULL_LOAD
from scheduler.solver import EXACT_DEMANDS
from workloads.results.thinning import Entry

MOST_NAMED = 4
"""Applications whose miss a line gives in numbers, those that miss most by weight; the others are named."""

_READER = TypeAdapter(Admission)


def admission_of(entry: Entry) -> Admission:
    """Return the answer in a log entry of kind `admission`.

    Raises:
        ValidationError: a field is missing or damaged; it is a `ValueError`.
    """
    return _READER.validate_python(entry)


def admission_words(answer: Admission) -> str:
    """Return an answer as a sentence: `yard accepted degraded: garage 35 % over its target of 80 ms (...)`."""
    outlook, who = answer.outlook, ", ".join(answer.joined)
    gives = "; ".join(given_words(outlook))
    if outlook.verdict == "degraded":
        said = f"{who} accepted degraded: {gives}" if who else f"not everything can be met: {gives}"
    elif outlook.verdict == "unforeseen":
        units = ", ".join(outlook.governed)
        said = f"{who or 'all'} accepted; what they get is not foreseen, since a governor sets the clock of {units}"
    elif who:
        said = f"{who} accepted: every target and floor is foreseen to be met"
    else:
        said = "every target and floor is foreseen to be met again"
    notice = proof_words(answer)
    return f"{said}. {notice}" if notice else said


def proof_words(answer: Admission) -> str | None:
    """Return the notice that there are more applications than a proof allows; None where the plan is proven."""
    if answer.best is not False or (answer.within is None and answer.present <= EXACT_DEMANDS):
        return None
    return f"{answer.present} applications: the plan is the best found, {within_words(answer.within)}"


def within_words(within: float | None) -> str:
    """Return how far a better plan could be: `within 0.4 % of a proven bound`."""
    return "how far from the best is not known" if within is None else f"within {per_cent(within)} of a proven bound"


def given_words(outlook: Outlook, most: int = MOST_NAMED) -> list[str]:
    """Return what is missed, part by part, the largest miss by weight first; nobody who misses anything is left out.

    Args:
        outlook: what a plan is foreseen to miss.
        most: applications whose miss is given in numbers.
    """
    misses = sorted(outlook.misses, key=lambda one: -one.weight * (one.late + one.short))
    said = [miss_words(one) for one in misses[:most]]
    if misses[most:]:
        said.append(f"less of a miss, by weight: {', '.join(one.app for one in misses[most:])}")
    said += [overload_words(one) for one in outlook.overloads]
    if outlook.swamped:
        needs = "needs" if len(outlook.swamped) == 1 else "need"
        whose = "its cores'" if len(outlook.swamped) == 1 else "their cores'"
        said.append(f"{_listed(outlook.swamped)} {needs} more than {per_cent(FULL_LOAD)} of {whose} time")
    if outlook.power_w is not None and outlook.power_cap_w:
        over = per_cent(outlook.power_w / outlook.power_cap_w - 1)
        said.append(f"power of {outlook.power_w:.3g} W {over} over the cap of {outlook.power_cap_w:.3g} W")
    return said + [f"{app} waits: {why}" for app, why in outlook.waits.items()]


def miss_words(miss: AppMiss) -> str:
    """Return a miss: `garage 35 % over its target of 80 ms (108 ms foreseen, weight 1)`."""
    said = []
    if miss.late:
        said.append(
            f"{per_cent(miss.late)} over its target of {miss.target_ms:g} ms ({miss.latency_ms:.3g} ms foreseen)"
        )
    if miss.short:
        said.append(
            f"{per_cent(miss.short)} below its floor of {miss.min_accuracy:g} (accuracy {miss.accuracy:.3f} foreseen)"
        )
    return f"{miss.app} {' and '.join(said)}, weight {miss.weight:g}"


def overload_words(one: Overload) -> str:
    """Return an overload: `big overloaded by garage, yard, which ask for 133 % of its time`."""
    asks = "asks" if len(one.apps) == 1 else "ask"
    return f"{one.unit} overloaded by {_listed(one.apps)}, which {asks} for {per_cent(one.load)} of its time"


def per_cent(share: float) -> str:
    """Return a share to three figures: 0.3512 is `35.1 %`, 12.345 is `1234 %`."""
    return f"{100 * share:.0f} %" if share >= 9.995 else f"{100 * share:.3g} %"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
