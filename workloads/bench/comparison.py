"""Comparisons of two policies over pairs of runs of the same mix, board and seed.

Every energy ratio comes with the other differences: in share on time, in delivered accuracy, in requests lost. Nothing
here knows how a figure is shown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from workloads.bench.ratios import EnergyFigure, Place, Ratios, RunKey, board_j, by_mix, j_per_on_time, key_of, units_j
from workloads.bench.results import Group, RunResult
from workloads.bench.rows import lost_count, on_time_counts
from workloads.bench.statistics import ConfidenceInterval, difference_interval, mean

Runs: TypeAlias = Mapping[RunKey, RunResult]
"""Runs that ended well."""

_ROUNDING = 1e-9
"""The mean of accuracies that all equal the floor may fall that much below it, because floats are rounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The differences between two policies beside energy, means over mixes that each count alike.

    Attributes:
        on_time: difference of the shares of requests on time, from -1 to 1.
        accuracy: difference of the delivered accuracies, mean over apps; None if unknown.
        lost: difference of the shares of requests dropped or failed, from -1 to 1.
    """

    on_time: float
    accuracy: float | None
    lost: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Worst:
    """The mix and board with the greatest ratio of the units' energies."""

    mix: str
    board: str
    ratio: float


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyComparison:
    """One policy against a baseline, over pairs of runs.

    Attributes:
        units: ratio of the units' energies; None if it is unknown for all pairs.
        board: ratio of the boards' energies; None if it is unknown for all pairs.
        per_on_time: ratio of the units' energies per request on time; None if it is unknown for all pairs.
        difference: the other differences; None if there is no pair.
        worst: the mix and board with the greatest ratio; None if no energy is known.
    """

    units: ConfidenceInterval | None
    board: ConfidenceInterval | None
    per_on_time: ConfidenceInterval | None
    difference: Difference | None
    worst: Worst | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortfall:
    """A mix in which a policy has less on time than a baseline, and the 95 % interval of the difference shows it.

    Attributes:
        mix: name of the mix.
        board: name of the board.
        baseline: the policy that has more on time.
        on_time: share of the policy's requests on time, over all seeds.
        base_on_time: share of the baseline's.
        low: lower end of the 95 % interval of the difference.
        high: upper end, below 0.
        missed_apps: the apps whose share on time over all seeds is below their slo.
    """

    mix: str
    board: str
    baseline: str
    on_time: float
    base_on_time: float
    low: float
    high: float
    missed_apps: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorMiss:
    """An app that was served below its accuracy floor.

    Attributes:
        mix: name of the mix.
        board: name of the board.
        app: name of the app.
        from_s: time in seconds at which the floor came into force.
        floor: the accuracy floor, a fraction.
        accuracy: the lowest mean accuracy of all seeds.
        seeds: number of seeds in which the app was below the floor.
    """

    mix: str
    board: str
    app: str
    from_s: float
    floor: float
    accuracy: float
    seeds: int


def select(
    results: Iterable[RunResult],
    policy: str,
    *,
    group: Group | None = None,
    clones: int = 1,
    parity: str | None = None,
    change: str | None = None,
) -> Runs:
    """Return the runs of a policy that ended well; by default those of mixes as written, on boards as they are.

    Args:
        results: all of a bench.
        policy: name of the policy.
        group: the mixes' group; None for all.
        clones: how often each app is there.
        parity: the baseline whose accuracies were the floors; None for the mix's own floors.
        change: the change of the board; None for the board as it is.
    """
    wanted = (policy, clones, parity, change)
    runs = {}
    for result in results:
        task = result.task
        if result.summary is None or (task.policy, task.clones, task.parity, task.change) != wanted:
            continue
        if group is None or result.group == group:
            runs[key_of(result)] = result
    return runs


def compare(runs: Runs, base: Runs) -> PolicyComparison:
    """Compare the runs that both have.

    If the energy is known, from one source, for some pairs only, the others have no part: the differences are of the
    same runs as the ratio.
    """
    pairs = {key: (runs[key], base[key]) for key in sorted(runs.keys() & base.keys())}
    known = {key: pair for key, pair in pairs.items() if _comparable(*map(units_j, pair))}
    units, boards, per_on_time = Ratios(), Ratios(), Ratios()
    for mine, other in pairs.values():
        units.add(mine, units_j(mine), units_j(other))
        boards.add(mine, board_j(mine), board_j(other))
        per_on_time.add(mine, j_per_on_time(mine), j_per_on_time(other))
    return PolicyComparison(
        units=units.interval(),
        board=boards.interval(),
        per_on_time=per_on_time.interval(),
        difference=_difference(known or pairs),
        worst=_worst(units),
    )


def _comparable(mine: EnergyFigure | None, other: EnergyFigure | None) -> bool:
    return mine is not None and other is not None and mine.source == other.source


def ratios_by_place(runs: Runs, base: Runs) -> dict[Place, float]:
    """Return the ratio of the units' energies by mix and board, geometric means over seeds; only known ones."""
    ratios = Ratios()
    for key in runs.keys() & base.keys():
        ratios.add(runs[key], units_j(runs[key]), units_j(base[key]))
    return ratios.by_place()


def above_bound(runs: Runs) -> ConfidenceInterval | None:
    """Return the ratio of the units' energy to each run's own lower bound; None if no run has one."""
    ratios = Ratios()
    for result in runs.values():
        ratios.add(result, _stated_j(result), EnergyFigure.of(result.lower_bound_j))
    return ratios.interval()


def bound_below(runs: Runs) -> ConfidenceInterval | None:
    """Return the ratio of each run's own lower bound to the units' energy; None if no run has one."""
    ratios = Ratios()
    for result in runs.values():
        ratios.add(result, EnergyFigure.of(result.lower_bound_j), _stated_j(result))
    return ratios.interval()


def _stated_j(result: RunResult) -> EnergyFigure | None:
    """Return the units' energy at the stated power figures alone, as that of the bound."""
    known = units_j(result)
    return None if known is None else EnergyFigure.of(known.stated)


def shortfalls(runs: Runs, bases: Mapping[str, Runs]) -> list[Shortfall]:
    """Return the mixes in which a baseline is shown to have more on time, all seeds taken together."""
    found = []
    for baseline, base in bases.items():
        both = sorted(runs.keys() & base.keys())
        for place in dict.fromkeys((mix, board) for mix, board, _ in both):
            keys = [key for key in both if key[:2] == place]
            hits, n = _summed(runs[key] for key in keys)
            base_hits, base_n = _summed(base[key] for key in keys)
            low, high = difference_interval(hits, n, base_hits, base_n)
            if high < 0:
                found.append(
                    Shortfall(
                        mix=place[0],
                        board=place[1],
                        baseline=baseline,
                        on_time=hits / n,
                        base_on_time=base_hits / base_n,
                        low=low,
                        high=high,
                        missed_apps=missed_apps([runs[key] for key in keys]),
                    )
                )
    return found


def both_meeting(runs: Runs, base: Runs) -> tuple[Runs, Runs]:
    """Return the runs of both on the mixes and boards on which every app of both meets its slo over all seeds."""
    places = {key[:2] for key in runs.keys() & base.keys()}
    meeting = {
        place
        for place in places
        if not any(missed_apps([own[key] for key in sorted(own) if key[:2] == place]) for own in (runs, base))
    }
    mine, other = ({key: one for key, one in own.items() if key[:2] in meeting} for own in (runs, base))
    return mine, other


def missed_apps(results: Sequence[RunResult]) -> tuple[str, ...]:
    """Return the apps of one mix whose share on time, over all the given runs, is below the slo."""
    hits: dict[str, float] = defaultdict(float)
    n: dict[str, int] = defaultdict(int)
    slos: dict[str, float] = {}
    for result in results:
        for name, app in result.summary.apps.items() if result.summary is not None else ():
            if app.on_time is not None:
                hits[name] += round(app.on_time * app.counted)
                n[name] += app.counted
                slos[name] = app.slo
    return tuple(name for name, slo in slos.items() if hits[name] < slo * n[name] - _ROUNDING)


def floor_misses(runs: Runs) -> list[FloorMiss]:
    """Return the apps and times at which the delivered accuracy is below the floor in force."""
    found: dict[tuple[str, str, str, float, float], list[float]] = defaultdict(list)
    for (mix, board, _), result in sorted(runs.items()):
        for name, app in result.summary.apps.items() if result.summary is not None else ():
            for one in app.segments:
                if one.accuracy is not None and one.accuracy < one.min_accuracy - _ROUNDING:
                    found[mix, board, name, one.from_s, one.min_accuracy].append(one.accuracy)
    return [
        FloorMiss(mix=mix, board=board, app=app, from_s=at_s, floor=floor, accuracy=min(below), seeds=len(below))
        for (mix, board, app, at_s, floor), below in found.items()
    ]


def mean_on_time(runs: Runs) -> float | None:
    """Return the share of requests on time, mean over mixes; None if there are no runs."""
    counted = ((result, on_time_counts(result)) for result in runs.values())
    return _mean_of_mixes([(result, hits / n) for result, (hits, n) in counted if n])


def mean_accuracy(result: RunResult) -> float | None:
    """Return the delivered accuracy, mean over the apps for which it is known; None if for no app."""
    apps = result.summary.apps.values() if result.summary is not None else ()
    known = [app.accuracy.value for app in apps if app.accuracy.value is not None]
    return math.fsum(known) / len(known) if known else None


def _worst(units: Ratios) -> Worst | None:
    by_place = units.by_place()
    if not by_place:
        return None
    mix, board = max(by_place, key=by_place.__getitem__)
    return Worst(mix=mix, board=board, ratio=by_place[mix, board])


def _difference(pairs: Mapping[RunKey, tuple[RunResult, RunResult]]) -> Difference | None:
    on_time: list[tuple[RunResult, float]] = []
    accuracy: list[tuple[RunResult, float]] = []
    lost: list[tuple[RunResult, float]] = []
    for mine, other in pairs.values():
        (hits, n), (base_hits, base_n) = on_time_counts(mine), on_time_counts(other)
        if not n or not base_n:
            continue
        on_time.append((mine, hits / n - base_hits / base_n))
        lost.append((mine, lost_count(mine) / n - lost_count(other) / base_n))
        mine_accuracy, other_accuracy = mean_accuracy(mine), mean_accuracy(other)
        if mine_accuracy is not None and other_accuracy is not None:
            accuracy.append((mine, mine_accuracy - other_accuracy))
    more_on_time, more_lost = _mean_of_mixes(on_time), _mean_of_mixes(lost)
    if more_on_time is None or more_lost is None:
        return None
    return Difference(on_time=more_on_time, accuracy=_mean_of_mixes(accuracy), lost=more_lost)


def _mean_of_mixes(values: Sequence[tuple[RunResult, float]]) -> float | None:
    """Return the mean over mixes that each count alike; None if there is no value."""
    means = [mean(own) for own in by_mix(values, mean).values()]
    return mean(means) if means else None


def _summed(results: Iterable[RunResult]) -> tuple[int, int]:
    counts = [on_time_counts(result) for result in results]
    return sum(hits for hits, _ in counts), sum(n for _, n in counts)
