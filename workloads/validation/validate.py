"""Sets a run on the board beside its simulation from the same profile: how far is the simulator off, and in what.

Both halves of a pair have the same arrivals, the same luck of each request and the same policy, and are read back
from their run directories, so that nothing but the files is compared. Repeats differ in their seed, and are added up.

It knows no tables, no pages and no Ray. It does not judge a host: a run's own summary says whether it was disturbed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from actors.requests.records import Status
from scheduler.views import Gear
from workloads.results.requests import first_ends, is_on_time, latencies_ms
from workloads.results.run_dir import StoredRun
from workloads.results.summary import Verdict
from workloads.runs.plan import RunPlan
from workloads.runs.simulated import plan_simulation
from workloads.simulator import Costs, SimulationPlan

AIM = 0.10
"""Largest relative difference that still is agreement: the aim of this project's design, for p50 and p95."""

Metric = Literal["p50_ms", "p95_ms", "on_time", "gears", "accuracy"]
METRICS: tuple[Metric, ...] = ("p50_ms", "p95_ms", "on_time", "gears", "accuracy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One run and its simulation.

    Attributes:
        real: on the board.
        simulated: of the same mix, policy, seed and profile.
    """

    real: StoredRun
    simulated: StoredRun

    @property
    def undisturbed(self) -> bool:
        """Whether the host let the run be."""
        host = self.real.summary.host
        return host is not None and not host.void


@dataclass(frozen=True, kw_only=True, slots=True)
class AppFigures:
    """What became of one app's requests, over all runs of one kind.

    Attributes:
        completed: requests.
        p50_ms: latency, queueing included; None where nothing completed, as `p95_ms`.
        p95_ms: likewise.
        on_time: share of the requests that ended; None where none did.
        accuracy: delivered; None where unknown.
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
        app: its name.
        metric: which figure.
        real: on the board; None for `gears`, which are several.
        simulated: likewise.
        difference: relative to the board's, signed; of `gears` the share of requests that another gear served.
            None where a figure is unknown.
        verdict: whether the difference is within `AIM`; `not shown` where no run was undisturbed.
    """

    app: str
    metric: Metric
    real: float | None
    simulated: float | None
    difference: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Unseen:
    """How many of an app's completed requests ran under conditions that no profile has seen; all are counts.

    Attributes:
        completed: of all.
        co_located: a request of another app had cores of the same unit between its arrival and its end.
        below_top: its unit stood below its top clock, as the first epoch that ended after its start saw it.
        either: one or the other.
    """

    completed: int
    co_located: int
    below_top: int
    either: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """What came of all pairs.

    Attributes:
        pairs: all of them.
        judged: those behind the figures: the undisturbed ones, or all where there is none.
        real: by app, over the pairs judged.
        simulated: by app, over the pairs judged.
        comparisons: in the order of the apps and of `METRICS`.
        unseen: by app, over the runs judged.
    """

    pairs: Sequence[Pair]
    judged: Sequence[Pair]
    real: dict[str, AppFigures]
    simulated: dict[str, AppFigures]
    comparisons: Sequence[MetricComparison]
    unseen: dict[str, Unseen]

    @property
    def undisturbed(self) -> bool:
        """Whether the figures rest on undisturbed runs."""
        return all(pair.undisturbed for pair in self.judged)


# ---------------------------------------------------------------- the simulated half


def simulation_of(plan: RunPlan) -> SimulationPlan:
    """The simulation of a run: the profile measured for it, and what managing costs there.

    On an emulated board the manager's CPU time is not the board's: it delays, and costs no energy and no core. Nor
    does board time pass as fast as its own: a scale of 4 has it done in a quarter of the time.

    Raises:
        MixError: for a mix that needs clients, which a simulation has not.
    """
    return plan_simulation(
        plan.mix,
        plan.board,
        policy=plan.policy,
        seed=plan.seed,
        epoch_ms=plan.epoch_s * 1000,
        profiles={app.app.supernet: app.profile for app in plan.apps.values()},
        costs=_costs(plan.time_scale) if plan.board.emulated else Costs(),
    )


def _costs(time_scale: float) -> Costs:
    times_ms = {one.name: getattr(Costs(), one.name) / time_scale for one in fields(Costs) if one.name.endswith("_ms")}
    return Costs(**times_ms, on_board=False)


# ---------------------------------------------------------------- side by side


def validate(pairs: Sequence[Pair]) -> Validation:
    """Compares runs with their simulations.

    Args:
        pairs: of one mix, board and policy, at least one.
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
    """One app's figures over several runs: all requests together, each counting once."""
    ended = np.concatenate([first_ends(run.records[app]) for run in runs])
    done = ended[ended["status"] == Status.COMPLETED]
    percentiles_ms = np.percentile(latencies_ms(done), [50, 95]).tolist() if done.size else (None, None)
    known = [(one.value, one.n) for one in (run.summary.apps[app].accuracy for run in runs) if one.value is not None]
    served: Counter[Gear] = Counter()
    for run in runs:
        served.update(_gears(run, app))
    return AppFigures(
        completed=done.size,
        p50_ms=percentiles_ms[0],
        p95_ms=percentiles_ms[1],
        on_time=float(is_on_time(ended).mean()) if ended.size else None,
        accuracy=sum(value * n for value, n in known) / sum(n for _, n in known) if known else None,
        gears={gear: n / done.size for gear, n in served.most_common()},
    )


def compare(app: str, real: AppFigures, simulated: AppFigures, undisturbed: bool) -> Iterator[MetricComparison]:
    """Every figure of one app, side by side.

    Args:
        app: its name.
        real: on the board.
        simulated: of the simulation.
        undisturbed: whether the board's figures can be judged by.
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
    """Share of requests that would have to change gear to make one of the other (total variation distance)."""
    if not real or not simulated:
        return None
    return sum(abs(real.get(gear, 0.0) - simulated.get(gear, 0.0)) for gear in real.keys() | simulated.keys()) / 2


def _gears(run: StoredRun, app: str) -> Counter[Gear]:
    """Completed requests of each gear."""
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
    """How many of an app's requests ran beside others, and below the top clock."""
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
            # Who began before our end and has not ended before our arrival; one app is served one at a time.
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
        below[ours] = mhz[at] < clocks_mhz[-1]
    return below


def _sum_unseen(parts: Sequence[Unseen]) -> Unseen:
    return Unseen(
        completed=sum(part.completed for part in parts),
        co_located=sum(part.co_located for part in parts),
        below_top=sum(part.below_top for part in parts),
        either=sum(part.either for part in parts),
    )
