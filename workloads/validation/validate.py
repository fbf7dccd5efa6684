"""Compares a run on the board with its simulation from the same profile: which figures differ, and by how much.

Both halves of a pair have the same arrivals, the same random draws for each request and the same policy. Both are read
back from their run directories, so that nothing but the files is compared. Repeats differ in their seed, and are added
up.

This module knows no tables, no pages and no Ray. It does not judge the host: the run's own summary says if the host
disturbed it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status
from scheduler.board import SAME_CLOCK
from scheduler.views import Gear
from workloads.results.requests import first_ends, is_on_time, latencies_ms
from workloads.results.run_dir import StoredRun
from workloads.results.summary import Verdict
from workloads.runs.plan import RunPlan
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Costs, SimulationPlan

AIM = 0.10
"""Largest relative difference that counts as agreement: the aim of this project's design, for p50 and p95."""

Metric = Literal["p50_ms", "p95_ms", "on_time", "gears", "accuracy"]
METRICS: tuple[Metric, ...] = ("p50_ms", "p95_ms", "on_time", "gears", "accuracy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One run and its simulation.

    Attributes:
        real: the run on the board.
        simulated: the simulation of the same mix, policy, seed and profile.
    """

    real: StoredRun
    simulated: StoredRun

    @property
    def undisturbed(self) -> bool:
        """True if the host was watched and did not disturb the run."""
        host = self.real.summary.host
        return host is not None and not host.void


@dataclass(frozen=True, kw_only=True, slots=True)
class AppFigures:
    """The outcome of one app's requests, over all runs of one kind.

    Attributes:
        completed: completed requests.
        p50_ms: median latency, queueing included; None where nothing completed.
        p95_ms: 95th percentile of the latency, queueing included; None where nothing completed.
        on_time: share on time of the requests that ended; None where none did.
        accuracy: delivered accuracy; None where unknown.
        gears: share of the completed requests that each gear served, largest first.
    """

    completed: int
    p50_ms: float | None
    p95_ms: float | None
    on_time: float | None
    accuracy: float | None
    gears: dict[Gear, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricComparison:
    """One figure of one app on the board and simulated.

    Attributes:
        app: name of the app.
        metric: name of the figure.
        real: value on the board; None for `gears`, which are several.
        simulated: simulated value; None for `gears`.
        difference: simulated over real, less 1; for `gears` the share of requests that another gear served. None where
            a figure is unknown.
        verdict: `met` if the difference is within `AIM`, `missed` if not; `not shown` where it is unknown or every run
            was disturbed.
    """

    app: str
    metric: Metric
    real: float | None
    simulated: float | None
    difference: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Unseen:
    """Counts of an app's completed requests that ran under conditions in which no profile is measured.

    Attributes:
        completed: all completed requests.
        co_located: those during which, from arrival to end, a request of another app had cores of the same unit.
        below_top: those whose unit was below its top clock, as seen at the first epoch that ended after their start.
        either: those that are co-located, below the top clock, or both.
    """

    completed: int
    co_located: int
    below_top: int
    either: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """The outcome of all pairs.

    Attributes:
        pairs: all pairs.
        judged: the pairs that the figures are of: the undisturbed ones, or all where there is none.
        real: figures of each app on the board, over the pairs judged.
        simulated: simulated figures of each app, over the pairs judged.
        comparisons: comparisons in the order of the apps and of `METRICS`.
        unseen: counts of each app, over the runs judged.
    """

    pairs: Sequence[Pair]
    judged: Sequence[Pair]
    real: dict[str, AppFigures]
    simulated: dict[str, AppFigures]
    comparisons: Sequence[MetricComparison]
    unseen: dict[str, Unseen]

    @property
    def undisturbed(self) -> bool:
        """True if the figures are of undisturbed runs."""
        return all(pair.undisturbed for pair in self.judged)


# ---------------------------------------------------------------- the simulated half


def simulation_of(plan: RunPlan) -> SimulationPlan:
    """Return the simulation of a run, with the profile that was measured for the run and the costs of managing there.

    On an emulated board the manager's CPU time is not the board's: it causes delays, but takes no energy and no core.
    Governors of emulated units sample, as they do there.
    Board time passes more slowly than the manager's own: at a time scale of 4, an epoch's 0.1 ms count as 0.025 ms.

    Raises:
        MixError: for a mix that needs clients, which a simulation does not have.
    """
    simulation = plan_simulation(
        plan.mix,
        plan.board,
        policy=plan.policy,
        seed=plan.seed,
        epoch_ms=plan.epoch_s * 1000,
        profiles={app.app.supernet: app.profile for app in plan.apps.values()},
        costs=_costs(plan.time_scale) if plan.board.emulated else Costs(),
    )
    return replace(simulation, governors_sample=True)


def _costs(time_scale: float) -> Costs:
    return replace(Costs().faster(time_scale), on_board=False)


# ---------------------------------------------------------------- side by side


def validate(pairs: Sequence[Pair]) -> Validation:
    """Compare runs with their simulations.

    Args:
        pairs: pairs of one mix, board and policy, at least one.
    """
    judged = [pair for pair in pairs if pair.undisturbed] or list(pairs)
    undisturbed = judged[0].undisturbed
    apps = list(judged[0].real.summary.apps)
    real = {app: app_figures([pair.real for pair in judged], app) for app in apps}
    simulated = {app: app_figures([pair.simulated for pair in judged], app) for app in apps}
    return Validation(
        pairs=pairs,
        judged=judged,
        real=real,
        simulated=simulated,
        comparisons=[one for app in apps for one in compare(app, real[app], simulated[app], undisturbed)],
        unseen={app: _sum_unseen([unseen(pair.real, app) for pair in judged]) for app in apps},
    )


def app_figures(runs: Sequence[StoredRun], app: str) -> AppFigures:
    """Return one app's figures over several runs; each request counts once."""
    ended = np.concatenate([first_ends(run.records[app]) for run in runs])
    done = ended[ended["status"] == Status.COMPLETED]
    percentiles_ms = np.percentile(latencies_ms(done), [50, 95]).tolist() if done.size else (None, None)
    apps = [run.summary.apps[app] for run in runs]
    counted = ended.size + sum(one.counted - (one.submitted - one.in_flight) for one in apps)  # due, and never ended
    known = [(one.value, one.n) for one in (run.summary.apps[app].accuracy for run in runs) if one.value is not None]
    served: Counter[Gear] = Counter()
    for run in runs:
        served.update(_gears(run, app))
    return AppFigures(
        completed=done.size,
        p50_ms=percentiles_ms[0],
        p95_ms=percentiles_ms[1],
        on_time=float(is_on_time(ended).sum() / counted) if counted else None,
        accuracy=sum(value * n for value, n in known) / sum(n for _, n in known) if known else None,
        gears={gear: n / done.size for gear, n in served.most_common()},
    )


def compare(app: str, real: AppFigures, simulated: AppFigures, undisturbed: bool) -> Iterator[MetricComparison]:
    """Yield the comparison of every figure of one app.

    A p95 of 50 ms on the board and of 54 ms simulated differ by 0.08, which is within the aim of 0.10.

    Args:
        app: name of the app.
        real: figures on the board.
        simulated: figures of the simulation.
        undisturbed: True if the host did not disturb the runs on the board, so that differences can be judged.
    """
    for metric in METRICS:
        if metric == "gears":
            ours, theirs, difference = None, None, _moved(real.gears, simulated.gears)
        else:
            ours, theirs = getattr(real, metric), getattr(simulated, metric)
            difference = theirs / ours - 1 if ours and theirs is not None else None
            if ours == theirs == 0:
                difference = 0.0
        yield MetricComparison(
            app=app,
            metric=metric,
            real=ours,
            simulated=theirs,
            difference=difference,
            verdict=_verdict(difference, undisturbed),
        )


def _verdict(difference: float | None, undisturbed: bool) -> Verdict:
    if difference is None or not undisturbed:
        return "not shown"
    return "met" if abs(difference) <= AIM else "missed"


def _moved(real: dict[Gear, float], simulated: dict[Gear, float]) -> float | None:
    """Return the share of requests that would have to change gear to make both alike (total variation distance)."""
    if not real or not simulated:
        return None
    return sum(abs(real.get(gear, 0.0) - simulated.get(gear, 0.0)) for gear in real.keys() | simulated.keys()) / 2


def _gears(run: StoredRun, app: str) -> Counter[Gear]:
    """Return the number of completed requests of each gear."""
    units, ladder = list(run.header.units_mhz), run.header.ladders[app]
    done = _completed(run, app)
    keys, counts = np.unique(done[["subnet", "unit", "cores"]], return_counts=True)
    return Counter(
        {
            Gear(subnet=ladder[key["subnet"]], unit=units[key["unit"]], cores=int(key["cores"])): int(count)
            for key, count in zip(keys, counts, strict=True)
        }
    )


def _completed(run: StoredRun, app: str) -> NDArray[np.void]:
    ended = first_ends(run.records[app])
    done: NDArray[np.void] = ended[ended["status"] == Status.COMPLETED]
    return done


# ---------------------------------------------------------------- what the profile has not seen


def unseen(run: StoredRun, app: str) -> Unseen:
    """Count an app's requests that ran beside others, and below the top clock."""
    done = _completed(run, app)
    co_located = _beside_others(run, app, done)
    below_top = _below_top(run, done)
    return Unseen(
        completed=done.size,
        co_located=int(co_located.sum()),
        below_top=int(below_top.sum()),
        either=int((co_located | below_top).sum()),
    )


def _beside_others(run: StoredRun, app: str, done: NDArray[np.void]) -> NDArray[np.bool_]:
    beside = np.zeros(done.size, dtype=bool)
    for other in run.records:
        if other == app:
            continue
        theirs = _completed(run, other)
        for unit in np.unique(done["unit"]):
            held = theirs[theirs["unit"] == unit]
            ours = done["unit"] == unit
            # Count the other app's requests that began before our end, and those that ended before our arrival. An
            # app is served one request at a time, so one that began and has not ended overlaps ours.
            began = np.searchsorted(np.sort(held["start_s"]), done["end_s"][ours], side="left")
            gone = np.searchsorted(np.sort(held["end_s"]), done["arrival_s"][ours], side="right")
            beside[ours] |= began > gone
    return beside


def _below_top(run: StoredRun, done: NDArray[np.void]) -> NDArray[np.bool_]:
    below = np.zeros(done.size, dtype=bool)
    for place, (unit, clocks_mhz) in enumerate(run.header.units_mhz.items()):
        seen = [(epoch.now_s, epoch.units[unit].mhz) for epoch in run.epochs if unit in epoch.units]
        ours = done["unit"] == place
        if not seen or not ours.any():
            continue
        times_s, mhz = np.array(seen).T
        at = np.minimum(np.searchsorted(times_s, done["start_s"][ours]), times_s.size - 1)
        below[ours] = mhz[at] < (1 - SAME_CLOCK) * clocks_mhz[-1]
    return below


def _sum_unseen(parts: Sequence[Unseen]) -> Unseen:
    return Unseen(
        completed=sum(part.completed for part in parts),
        co_located=sum(part.co_located for part in parts),
        below_top=sum(part.below_top for part in parts),
        either=sum(part.either for part in parts),
    )
