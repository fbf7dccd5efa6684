"""The choice of CPUs: a gear says how many cores of its unit an application gets, and this module says which.

It is pure and deterministic. It does not know how an application is moved from one CPU to another, nor in which order
(`scheduler.transition`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product

from scheduler.views import Gear

_HARDLY_LESS = 1.1
"""Ratio of two largest loads up to which moving applications is not worth it."""


def assign_cpus(
    usable: Mapping[str, Sequence[int]],
    gears: Mapping[str, Gear],
    held: Mapping[str, tuple[str, tuple[int, ...]]],
    loads: Mapping[str, float] | None = None,
) -> dict[str, tuple[int, ...]]:
    """Give every application CPUs of its gear's unit.

    Where the cores of a unit's gears sum to at most its usable CPUs, no CPU is given twice: two gears of two cores on
    CPUs 0 to 3 get (0, 1) and (2, 3). Otherwise the unit is shared, and applications are spread by their loads (see
    `spread`). Within that, an application keeps the CPUs that it holds. Where the held sets do not overlap it keeps all
    that its gear needs, and an assignment handed back in as `held` is returned unchanged.

    Args:
        usable: by CPU unit, the CPUs of it that may be used.
        gears: by application, the gear that it is to have.
        held: by application, the unit and the CPUs that it has now; no entry for one without a gear.
        loads: by application, the load that it puts on each of its cores, on any one scale; None for all alike.

    Returns:
        By application, in the order of `gears`, its CPUs in rising order; `()` on a GPU. A gear with more cores
        than are usable gets all that are.
    """
    cpus: dict[str, tuple[int, ...]] = dict.fromkeys(gears, ())
    for unit, numbers in usable.items():
        # Wide gears first: they have the least choice. The name makes the order independent of the mapping's.
        here = sorted(
            (app for app, gear in gears.items() if gear.unit == unit), key=lambda app: (-gears[app].cores, app)
        )
        cores = {app: min(gears[app].cores, len(numbers)) for app in here}
        before = {app: held[app][1] if app in held and held[app][0] == unit else () for app in here}
        if sum(cores.values()) <= len(numbers):
            cpus.update(_disjoint(numbers, cores, before))
        else:
            cpus.update(spread(numbers, cores, {app: (loads or {}).get(app, 1.0) for app in here}, before))
    return cpus


def numbered(
    counted: Mapping[str, Collection[int]], usable: Sequence[int], before: Mapping[str, Collection[int]]
) -> dict[str, tuple[int, ...]]:
    """Return numbers of usable CPUs for CPUs that are only counted, so that applications keep most of what they have.

    The CPUs of a unit are alike, so only who shares with whom matters. Two applications on CPUs counted 0 and 1 of
    (4, 5) that have 5 and 4 keep these.

    Args:
        counted: by application of one unit, its CPUs, counted from 0.
        usable: the numbers of the unit's CPUs, at least as many as are counted.
        before: by application, the numbers of the CPUs that it has now.

    Returns:
        By application, the numbers of its CPUs in rising order.
    """
    users = {count: [app for app in counted if count in counted[app]] for count in range(len(usable))}

    def order(pair: tuple[int, int]) -> tuple[int, int]:
        count, number = pair
        stay = sum(number in before[app] for app in users[count])
        return -stay, len(users[count]) - stay if stay else 0

    number_of: dict[int, int] = {}
    # The pair that keeps most first, and of equals the one that moves fewest, then the first of the unit.
    for count, number in sorted(product(users, usable), key=order):
        if count not in number_of and number not in number_of.values():
            number_of[count] = number
    return {app: tuple(sorted(number_of[count] for count in counts)) for app, counts in counted.items()}


def _disjoint(
    usable: Sequence[int], cores: Mapping[str, int], before: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """Return CPUs for each application such that none is given twice; the cores sum to at most the usable ones."""
    free = list(usable)
    kept: dict[str, list[int]] = {}
    for app, count in cores.items():
        kept[app] = [cpu for cpu in before[app] if cpu in free][:count]
        free = [cpu for cpu in free if cpu not in kept[app]]
    for app, count in cores.items():  # only after all have kept theirs, so that nobody is driven out
        missing = count - len(kept[app])
        kept[app] += free[:missing]
        free = free[missing:]
    return {app: tuple(sorted(chosen)) for app, chosen in kept.items()}


def spread(
    cpus: Sequence[int], cores: Mapping[str, int], loads: Mapping[str, float], before: Mapping[str, Collection[int]]
) -> dict[str, tuple[int, ...]]:
    """Return CPUs for applications that must share them.

    Each application, those with most cores and then the heaviest first, gets the CPUs that are least loaded so far;
    among equals it gets those that it has. So the numbers of applications of equal load on any two CPUs differ by at
    most one. Loads of 0.6, 0.3 and 0.2 of one core each on two CPUs give the first CPU to the heaviest and the second
    to the others. The CPUs that the applications have are kept while the most loaded CPU would be hardly less loaded
    otherwise.

    Args:
        cpus: the CPUs to choose from.
        cores: by application, the number of CPUs that it gets.
        loads: by application, the load that it puts on each of them.
        before: by application, the CPUs that it has now.
    """
    load = dict.fromkeys(cpus, 0.0)
    chosen: dict[str, tuple[int, ...]] = {}
    # Wide gears first: they have the least choice. The name makes the order independent of the mapping's.
    for app in sorted(cores, key=lambda app: (-cores[app], -loads[app], app)):
        mine = before[app]
        ranked = sorted(cpus, key=lambda cpu: (load[cpu], cpu not in mine))  # stable: else the unit's order
        chosen[app] = tuple(sorted(ranked[: cores[app]]))
        for cpu in chosen[app]:
            load[cpu] += loads[app]
    held = {app: tuple(sorted(before[app])) for app in cores}
    complete = all(len(held[app]) == cores[app] and set(held[app]) <= set(cpus) for app in cores)
    if complete and _most(held, loads) <= _HARDLY_LESS * _most(chosen, loads):
        return held
    return {app: chosen[app] for app in cores}


def _most(cpus: Mapping[str, tuple[int, ...]], loads: Mapping[str, float]) -> float:
    """Return the load of the most loaded CPU."""
    load: dict[int, float] = {}
    for app, numbers in cpus.items():
        for cpu in numbers:
            load[cpu] = load.get(cpu, 0.0) + loads[app]
    return max(load.values(), default=0.0)
