"""Two curves of a bench: savings over utilisation, and what becomes of a policy as there are more apps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workloads.bench.comparison import Runs, both_meeting, compare, mean_on_time, ratios_by_place, select
from workloads.bench.ratios import Place
from workloads.bench.results import RunResult
from workloads.bench.rows import on_time_counts
from workloads.bench.statistics import Interval, ratio_interval
from workloads.bench.tasks import Command
from workloads.bench.words import ratio_verdict

STEPS = 9
"""Of utilisation, from 0 to 1, for means: each with a fair number of mixes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UtilisationPoint:
    """A generated mix: what it asks of the board, and what became of energy and of requests on time.

    Attributes:
        utilisation: share of the board that it asks for.
        ratio: of the units' energies.
        on_time: difference of the shares on time.
        like: whether every app of both meets its slo, so that the energies buy the same.
    """

    utilisation: float
    ratio: float
    on_time: float
    like: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class UtilisationCurve:
    """Generated mixes over utilisation.

    Attributes:
        points: a mix each.
        means: in each step of utilisation the mean ratio of the like mixes; None where there is none.
    """

    points: Sequence[UtilisationPoint]
    means: Sequence[Interval | None]

    @property
    def without_saving(self) -> list[tuple[float, float]]:
        """The spans of utilisation, as from and to, in which there are like mixes and no saving is shown."""
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
    """A policy at so many times the apps.

    Attributes:
        clones: how often each app is there.
        on_time: share on time, mean over mixes.
        ratio: of the units' energy to our policy's with the apps once, geometric mean over mixes.
    """

    clones: int
    on_time: float | None
    ratio: float | None


def utilisation_curve(ours: Runs, base: Runs) -> UtilisationCurve:
    """The savings of generated mixes against a baseline."""
    used = {key[:2]: result.utilisation for key, result in ours.items() if result.utilisation is not None}
    like = {key[:2] for key in both_meeting(ours, base)[0]}
    points = [
        UtilisationPoint(utilisation=used[place], ratio=ratio, on_time=_gained(ours, base, place), like=place in like)
        for place, ratio in ratios_by_place(ours, base).items()
    ]
    return UtilisationCurve(points=points, means=[_mean_within(points, step) for step in range(STEPS)])


def scale_lines(results: Sequence[RunResult], command: Command) -> dict[str, list[ScalePoint]]:
    """For each policy that was run with more apps its points, ours first."""
    reference = select(results, command.studied, generated=False)
    lines = {}
    for policy in sorted(command.policies, key=lambda policy: policy != command.studied):
        points = []
        for clones in command.scale:
            runs = select(results, policy, generated=False, clones=clones)
            runs = {key: result for key, result in runs.items() if key[2] == command.seed}
            if runs:
                units = compare(runs, reference).units
                ratio = None if units is None else units.value
                points.append(ScalePoint(clones=clones, on_time=mean_on_time(runs), ratio=ratio))
        if any(point.clones > 1 for point in points):
            lines[policy] = points
    return lines


def _mean_within(points: Sequence[UtilisationPoint], step: int) -> Interval | None:
    """The mean of the like mixes within a step; the last one's end belongs to it."""
    inside = [one.ratio for one in points if one.like and min(int(one.utilisation * STEPS), STEPS - 1) == step]
    return ratio_interval({str(place): [ratio] for place, ratio in enumerate(inside)})


def _gained(ours: Runs, base: Runs, place: Place) -> float:
    """By how much more of a mix's requests are on time, over all seeds that both have."""
    keys = [key for key in ours.keys() & base.keys() if key[:2] == place]
    shares = []
    for runs in (ours, base):
        counts = [on_time_counts(runs[key]) for key in keys]
        shares.append(sum(hits for hits, _ in counts) / max(1, sum(n for _, n in counts)))
    return shares[0] - shares[1]
