"""An explanation in sentences, for a user who knows the mix and the board, and not how plans are made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scheduler.board import BoardUnit
from scheduler.explaining import AppSide, Choice, Constraint, Cost, Explanation
from scheduler.inputs import UnitInputs
from scheduler.objectives import OBJECTIVES, Quantity
from scheduler.points import planned_share
from scheduler.policies import HYSTERESIS, gear_of
from scheduler.views import Gear
from workloads.explaining.reading import Moment, weighs
from workloads.results.admission_words import within_words

_SAME = 1e-6
"""Difference from which on two plans differ in what they miss, or in accuracy."""

_AIMS = {
    Quantity.LARGEST_TERM: "the smallest of the largest misses",
    Quantity.VIOLATION: "all targets met, or missed by the least",
    Quantity.ACCURACY: "the greatest accuracy",
    Quantity.POWER: "the least power",
}


def sections(moment: Moment, explained: Explanation) -> dict[str, list[str]]:
    """Return the sentences by heading, those without anything to say left out."""
    parts = {
        "The plan": _plan(moment, explained),
        "Applications": [_app(moment, explained, side) for side in explained.apps],
        "Units": list(_units(moment, explained)),
        "In the way": list(_in_the_way(moment, explained)),
        "What binds": list(_costs(moment, explained)),
        "What else was possible": list(_others(moment, explained)),
    }
    return {head: sentences for head, sentences in parts.items() if sentences}


def watts(power_w: float) -> str:
    """Return a power: `1.23 W`, and below 0.1 W in mW."""
    return f"{1000 * power_w:.3g} mW" if 0 < abs(power_w) < 0.1 else f"{power_w:.3g} W"


# ---------------------------------------------------------------- the plan


def _plan(moment: Moment, explained: Explanation) -> list[str]:
    why = "; ".join(moment.why)
    said = [
        f"At {moment.at_s:.2f} s plan {moment.number} was in force. It was decided at {moment.decided_s:.2f} s: {why}."
    ]
    if moment.decision.now_s > moment.decided_s:
        said.append(f"On new figures it was found right again, last at {moment.decision.now_s:.2f} s.")
    for app, gear in moment.behind.items():
        was = f"still in {gear_words(gear)}" if gear else "not in any gear yet"
        said.append(f"{app} was {was} at that moment: the change was under way.")
    aims = ", then ".join(_AIMS[quantity] for quantity in OBJECTIVES[explained.objective].levels)
    if not weighs(moment):
        return [
            *said,
            f"Policy {moment.run.summary.policy} does not look for the best plan in sub-networks, cores and clocks "
            "together, so no constraint has a price under it.",
        ]
    said.append(f"Objective {explained.objective}: {aims}.")
    best, chosen = explained.best, explained.chosen
    if explained.kept:
        said.append(
            f"Gears were kept: the best others ({_differences(chosen, best)}) would have {_against(explained, best)}, "
            f"and gears change only for {100 * HYSTERESIS:g} % of power, or for what counts more."
        )
    elif chosen.proven:
        said.append("That nothing better exists is proven.")
    else:
        far = f", {within_words(chosen.within)}" if chosen.within else ""
        said.append(f"It is the best plan that was found{far}; that nothing better exists is not proven.")
    return said


def gear_words(gear: Gear) -> str:
    """Return a gear: `small on 2 cores of big`."""
    return f"{gear.subnet} on {gear.cores} {'core' if gear.cores == 1 else 'cores'} of {gear.unit}"


def clock_words(clock: float | str) -> str:
    """Return a clock: `1400 MHz`, or `a clock of schedutil`."""
    return f"a clock of {clock}" if isinstance(clock, str) else f"{clock:g} MHz"


# ---------------------------------------------------------------- applications and units


def _app(moment: Moment, explained: Explanation, side: AppSide) -> str:
    view, app = side.view, side.view.app
    clock = explained.chosen.clocks[side.gear.unit]
    cpus = ", ".join(map(str, moment.cpus.get(app, ())))
    at = "with a clock for each request" if app in moment.paced else f"at {clock_words(clock)}"
    where = f"{gear_words(side.gear)}{f' (CPU {cpus})' if cpus and side.gear.unit not in _gpus(moment) else ''}"
    if side.latency_ms is None:
        latency = f"target {view.target_ms:g} ms, latency not foreseen, since a governor sets the clock"
    else:
        waits = f", {side.waits_ms:.3g} ms of it waiting for others" if side.waits_ms else ""
        share = 100 * planned_share(view.slo)
        latency = (
            f"{side.latency_ms:.3g} ms foreseen for {share:.4g} % of requests{waits}; target {view.target_ms:g} ms "
        )
        latency += f"for {100 * view.slo:.4g} %"
    accuracy = "accuracy unknown" if side.accuracy is None else f"accuracy {side.accuracy:.3f}"
    floor = f", floor {view.min_accuracy:.3g}" if view.min_accuracy else ""
    return f"{app}: {where}, {at}; {latency}; {accuracy}{floor}; {view.rate_hz:.3g} requests a second."


def _gpus(moment: Moment) -> set[str]:
    return {unit.name for unit in moment.grounds.board.units if unit.kind == "gpu"}


def _units(moment: Moment, explained: Explanation) -> Iterator[str]:
    figures = explained.chosen.figures
    paced = {explained.chosen.gears[app].unit for app in moment.paced}
    for name, clock in explained.chosen.clocks.items():
        load = f", load {100 * figures.rho[name]:.0f} %" if figures else ""
        over = ": more than it can serve" if name in explained.full else ""
        limits = explained.limits.get(name)
        held = f"; {limit_words(limits, moment.grounds.board.unit(name))}" if limits else ""
        rests = " for requests, and its lowest clock between them" if name in paced else ""
        yield f"{name}: {clock_words(clock)}{rests}{load}{over}{held}."
    for name in (unit for unit in explained.limits if unit not in explained.chosen.clocks):
        yield f"{name}: away."
    if figures and explained.powered:
        cap = "" if explained.power_cap_w is None else f", under a cap of {watts(explained.power_cap_w)}"
        source = moment.grounds.board.power_source
        yield f"Together they are foreseen to take {watts(figures.power_w)}{cap} (power figures: {source})."
    elif not explained.powered:
        yield "What they take is not known: the board has no power figures."


def limit_words(limits: UnitInputs, unit: BoardUnit) -> str:
    """Return the limits of a unit: `held at 1400 MHz by the mix, only CPU 4, 5 online`."""
    said = [] if limits.max_mhz is None else [f"held at {limits.max_mhz:g} MHz by {limits.capped_by or 'the mix'}"]
    said += [f"{100 * limits.other_load:.3g} % taken by other programs"] if limits.other_load else []
    if not limits.cpus_online:
        said.append("away")
    elif limits.cpus_online != unit.all_cpus:
        said.append(f"only CPU {', '.join(map(str, limits.cpus_online))} online")
    return ", ".join(said)


def _in_the_way(moment: Moment, explained: Explanation) -> Iterator[str]:
    """Say by how much targets and cap are foreseen to be missed, and what stands in the way."""
    figures, cap_w = explained.chosen.figures, explained.power_cap_w
    if figures and cap_w and figures.cap_term > 0:
        yield f"Power is foreseen to be {_share(figures.cap_term)} over the cap of {watts(cap_w)}."
    for side in explained.apps:
        if not side.late or side.latency_ms is None:
            continue
        app, target_ms = side.view.app, side.view.target_ms
        late = f"{app} is foreseen late: {side.latency_ms:.3g} ms are {100 * (side.latency_ms / target_ms - 1):.3g} % "
        late += f"over its target of {target_ms:g} ms."
        quickest = f"{gear_words(gear_of(side.quickest))} at {side.quickest.mhz:g} MHz"
        if side.quickest_ms > target_ms:
            yield f"{late} No gear would do: its quickest, {quickest}, takes {side.quickest_ms:.3g} ms alone."
            continue
        helps = [
            constraint_words(cost.constraint, moment, explained)
            for cost in explained.costs
            if app in cost.on_time and cost.constraint != Constraint(kind="target", name=app)
        ]
        alone = f"Alone, {quickest} would take {side.quickest_ms:.3g} ms."
        freed = f" It could be on time without {_either(helps)}." if helps else ""
        yield f"{late} {alone}{freed}"


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


# ---------------------------------------------------------------- costs


def constraint_words(constraint: Constraint, moment: Moment, explained: Explanation) -> str:
    """Return a constraint with its value: `entrance's floor of 0.8`."""
    name = constraint.name
    if constraint.kind == "cap" or name is None:
        return f"the power cap of {watts(explained.power_cap_w or 0.0)}"
    if constraint.kind == "limit":
        return f"the limit of {name} ({limit_words(explained.limits[name], moment.grounds.board.unit(name))})"
    inputs = moment.decision.inputs.apps[name]
    match constraint.kind:
        case "target":
            return f"{name}'s target of {inputs.target_ms:g} ms"
        case "floor":
            return f"{name}'s floor of {inputs.min_accuracy:.3g}"
        case "load":
            return f"{name}'s load of {inputs.rate_hz:.3g} requests a second"


def _costs(moment: Moment, explained: Explanation) -> Iterator[str]:
    """Say what each constraint that binds costs, and name those that don't."""
    loose = []
    for cost in explained.costs:
        what = constraint_words(cost.constraint, moment, explained)
        if cost.binds:
            yield _capital(f"{what} {_cost(cost, explained)}.")
        else:
            loose.append(what)
    if loose:
        free = "cost nothing" if len(loose) > 1 else "costs nothing"
        yield _capital(f"{', '.join(loose)} {free}: without, the plan would be as good.")


def _cost(cost: Cost, explained: Explanation) -> str:
    if cost.gains is Quantity.POWER:
        return f"costs {watts(cost.amount)}"
    power = ""
    if cost.saves_w is not None:
        power = f", for {watts(abs(cost.saves_w))} {'less' if cost.saves_w >= 0 else 'more'}"
    if cost.gains is Quantity.ACCURACY:
        return f"costs {cost.amount:.3g} of weighted accuracy: that much more there would be without it{power}"
    figures, without = explained.best.figures, cost.without.figures
    assert figures is not None
    assert without is not None
    assert cost.gains is not None
    on_time = f", with {', '.join(cost.on_time)} on time" if cost.on_time else ""
    words = (
        "the largest miss would be" if cost.gains is Quantity.LARGEST_TERM else "the misses, by weight, would add up to"
    )
    missed = f"{words} {_share(without.of(cost.gains))} in place of {_share(figures.of(cost.gains))}"
    return f"stands in the way: without it {missed}{on_time}{power}"


def _share(violation: float) -> str:
    return f"{100 * violation:.3g} %"


def _capital(text: str) -> str:
    """Return a sentence; one that begins with a name keeps it as it is."""
    return f"The{text[3:]}" if text.startswith("the ") else text


# ---------------------------------------------------------------- others


def _others(moment: Moment, explained: Explanation) -> Iterator[str]:
    chosen, best, second = explained.chosen, explained.best, explained.runner_up
    if weighs(moment):
        if second is not None:
            yield f"The runner-up: {_differences(chosen, second)}. It would have {_against(explained, second)}."
        elif chosen.figures is not None and explained.priced:
            yield "There is no other gear for any application."
        return
    if best.gears == chosen.gears and best.clocks == chosen.clocks:
        yield "joint would have chosen the same."
    else:
        yield f"joint would have chosen: {_differences(chosen, best)}. It would have {_against(explained, best)}."


def _differences(chosen: Choice, other: Choice) -> str:
    """Return in what another plan differs: each gear that is another, and each clock."""
    gears = [f"{app} in {gear_words(gear)}" for app, gear in other.gears.items() if gear != chosen.gears.get(app)]
    clocks = [
        f"{unit} at {clock_words(clock)}" for unit, clock in other.clocks.items() if clock != chosen.clocks.get(unit)
    ]
    return ", ".join(gears + clocks)


def _against(explained: Explanation, other: Choice) -> str:
    """Return power and violation of another plan, against those of the plan in force where it foresees any."""
    now, then = explained.chosen.figures, other.figures
    assert then is not None
    power, missed = f"a power of {watts(then.power_w)}", f"misses of {_share(then.violation)}"
    if now is None:
        return " and ".join([missed if then.violation > _SAME else "no misses", *[power] * explained.powered])
    saved_w, fewer = now.power_w - then.power_w, now.violation - then.violation
    power += f", {watts(abs(saved_w))} {'less' if saved_w >= 0 else 'more'}"
    if abs(fewer) > _SAME:
        missed += f" in place of {_share(now.violation)}"
    elif now.violation <= _SAME:
        missed = "no misses"
    else:
        missed = "the same misses"
    accuracy = []
    if OBJECTIVES[explained.objective].seeks_accuracy and abs(then.accuracy - now.accuracy) > _SAME:
        accuracy = [f"a weighted accuracy of {then.accuracy:.4g} in place of {now.accuracy:.4g}"]
    return " and ".join([missed, *accuracy, *[power] * explained.powered])
