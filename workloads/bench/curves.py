"""The points of two drawings: savings over utilisation, and each policy over how often the apps are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workloads.bench.comparison import Runs, both_meeting, compare, mean_on_time, ratios_by_place, select
from workloads.bench.ratios import Place
from workloads.bench.results import RunResult
from workloads.bench.rows import on_time_counts
from workloads.bench.statistics import ConfidenceInterval, ratio_interval
from workloads.bench.tasks import Command
from workloads.bench.words import ratio_verdict

STEPS = 9
"""Number of equal steps of utilisation from 0 to 1, each with one mean. So few, that each step has enough mixes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UtilisationPoint:
    """A generated mix under a policy and under a baseline.

    Attributes:
        utilisation: share of the board that the mix asks for, from 0 to 1.
        ratio: ratio of the units' energies.
        on_time: difference of the shares on time, from -1 to 1.
        like: True if every app meets its slo under both, so that both energies buy the same.
    """

    utilisation: float
    ratio: float
    on_time: float
    like: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class UtilisationCurve:
    """Generated mixes over utilisation, under a policy and under a baseline.

    Attributes:
        points: one for each mix.
        means: the mean ratio of the like mixes in each of the `STEPS`; None for a step without any.
    """

    points: Sequence[UtilisationPoint]
    means: Sequence[ConfidenceInterval | None]

    @property
    def without_saving(self) -> list[tuple[float, float]]:
        """The spans of utilisation, each from and to, that have like mixes but no shown saving."""
        spans: list[tuple[float, float]] = []
        for place, mean in enumerate(self.means):
            if mean is None or ratio_verdict(mean) == "less":
                continue
            low, high = place / STEPS, (place + 1) / STEPS
            if spans and spans[-1][1] == low:
                low = spans.pop()[0]
            spans.append((low, high))
        return spans


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalePoint:
    """A policy with each app of the mixes several times.

    Attributes:
        clones: how often each app is there.
        on_time: share on time, mean over mixes; None if there was no request.
        ratio: ratio of the units' energy to that of the studied policy with each app once, geometric mean over mixes;
            None if unknown.
    """

    clones: int
    on_time: float | None
    ratio: float | None


def utilisation_curve(runs: Runs, base: Runs) -> UtilisationCurve:
    """Return the savings of a policy's generated mixes against a baseline's."""
    used = {key[:2]: result.utilisation for key, result in runs.items() if result.utilisation is not None}
    like = {key[:2] for key in both_meeting(runs, base)[0]}
    points = [
        UtilisationPoint(utilisation=used[place], ratio=ratio, on_time=_gained(runs, base, place), like=place in like)
        for place, ratio in ratios_by_place(runs, base).items()
    ]
    return UtilisationCurve(points=points, means=[_mean_within(points, step) for step in range(STEPS)])


def scale_lines(results: Sequence[RunResult], command: Command) -> dict[str, list[ScalePoint]]:
    """Return the points of each policy that was run with more apps, the studied policy first."""
    reference = select(results, command.studied, group="written")
    lines = {}
    for policy in sorted(command.policies, key=lambda policy: policy != command.studied):
        points = []
        for clones in command.scale:
            runs = select(results, policy, group="written", clones=clones)
            runs = {key: result for key, result in runs.items() if key[2] == command.seed}
            if runs:
                units = compare(runs, reference).units
                ratio = None if units is None else units.value
                points.append(ScalePoint(clones=clones, on_time=mean_on_time(runs), ratio=ratio))
        if any(point.clones > 1 for point in points):
            lines[policy] = points
    return lines


def _mean_within(points: Sequence[UtilisationPoint], step: int) -> ConfidenceInterval | None:
    """Return the mean of the like mixes within a step; a utilisation of 1 belongs to the last step."""
    inside = [one.ratio for one in points if one.like and min(int(one.utilisation * STEPS), STEPS - 1) == step]
    return ratio_interval({str(place): [ratio] for place, ratio in enumerate(inside)})


def _gained(runs: Runs, base: Runs, place: Place) -> float:
    """Return the difference of the shares on time in one mix, over all seeds that both have."""
    keys = [key for key in runs.keys() & base.keys() if key[:2] == place]
    shares = []
    for own in (runs, base):
        counts = [on_time_counts(own[key]) for key in keys]
        shares.append(sum(hits for hits, _ in counts) / max(1, sum(n for _, n in counts)))
    return shares[0] - shares[1]
