"""The command `gearshift reproduce figure7`: Dynamic-OFA steps down when a training job takes part of the GPU.

The published figure: constraint 60 ms, floor 76 %; a training job starts at 2.5 s; the network steps down two levels,
which costs 2.6 % of top-1 (Dynamic-OFA, arXiv 2105.03596, Figure 7). The job's share of the GPU is not published, so
the mix assumes one. The demonstrator's own rule (`ladder`) and `joint` are simulated on the published latencies, with
the same arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from actors.cluster import packaged_board
from actors.requests.records import Status
from scheduler.profile import Profile
from workloads.mix.loader import load_mix
from workloads.progress import Progress
from workloads.report.outcome import Figure, Options, Outcome, Sheet
from workloads.report.svg import LATE, STYLE, to_svg
from workloads.report.table import fraction, milliseconds, share
from workloads.results.requests import first_ends, is_on_time, latencies_ms
from workloads.runs.simulated import plan_simulation
from workloads.simulator import SimulationPlan, simulate
from workloads.suite import suite_mixes

POLICIES = ("ladder", "joint")
_TITLE = "A training job takes part of the GPU"
_PUBLISHED_LEVELS, _PUBLISHED_LOSS = 2, 0.026
_SETTLE_S = 2.0
"""Time after the start of the job that does not count: the demonstrator's rule looks at the last twenty latencies."""
_COLOURS = {"ladder": "#d55e00", "joint": "#0b7fc7"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """The requests of one policy before the job started, or after the network has settled beside it.

    Attributes:
        policy: name of the policy.
        when: `alone` or `beside the job`.
        level: median place in the ladder, from 0; None if no request was completed.
        p50_ms: median latency; None if no request was completed.
        on_time: share within the constraint; None if no request was completed.
        top1: mean published accuracy of the networks used, a fraction; None if no request was completed.
        n: number of requests.
    """

    policy: str
    when: str
    level: float | None
    p50_ms: float | None
    on_time: float | None
    top1: float | None
    n: int


def reproduce(options: Options, on_progress: Progress) -> Outcome:
    """Simulate the figure; with `published_only`, only return what is published."""
    mix = load_mix(suite_mixes()["figure7"])
    runs: dict[str, NDArray[np.void]] = {}
    plans: dict[str, SimulationPlan] = {}
    app = mix.apps[0].name
    for policy in () if options.published_only else POLICIES:
        plans[policy] = plan_simulation(mix, packaged_board(mix.boards[0]), policy=policy)
        runs[policy] = first_ends(simulate(plans[policy], log=False).records[app])
        on_progress("simulate", len(runs), len(POLICIES))
    starts_s = min(event.at_s for event in mix.events)
    phases = [
        phase
        for policy, ended in runs.items()
        for phase in _phases(policy, ended, plans[policy].profiles[app], starts_s, mix.duration_s)
    ]
    return Outcome(
        title=_TITLE,
        lead="The demonstrator of Dynamic-OFA steps down when a training job takes part of the GPU at "
        f"{starts_s:g} s. Here it is simulated on the published latencies, with its own rule and under joint.",
        warnings=["Simulated; how much of the GPU the job took is not published, and assumed."] if runs else [],
        sheets=[_sheet(phases)],
        figures=[_figure(runs, starts_s, mix.apps[0].latency_ms)] if runs else [],
        rows=[asdict(phase) for phase in phases] or [{"policy": "published", "levels_down": _PUBLISHED_LEVELS}],
        data={
            "reproduction": "figure7",
            "published": {"levels_down": _PUBLISHED_LEVELS, "top1_lost": _PUBLISHED_LOSS},
            "simulated": [asdict(phase) for phase in phases],
        },
    )


def _phases(policy: str, ended: NDArray[np.void], profile: Profile, starts_s: float, ends_s: float) -> Sequence[Phase]:
    spans = {"alone": (0.0, starts_s), "beside the job": (starts_s + _SETTLE_S, ends_s)}
    return [
        _phase(policy, when, ended[(ended["arrival_s"] >= low) & (ended["arrival_s"] < high)], profile)
        for when, (low, high) in spans.items()
    ]


def _phase(policy: str, when: str, ended: NDArray[np.void], profile: Profile) -> Phase:
    served = ended[ended["status"] == Status.COMPLETED]
    if not served.size:
        return Phase(policy=policy, when=when, level=None, p50_ms=None, on_time=None, top1=None, n=int(ended.size))
    accuracies = [profile.rungs[place].accuracy or 0.0 for place in served["subnet"]]
    return Phase(
        policy=policy,
        when=when,
        level=float(np.median(served["subnet"])),
        p50_ms=float(np.median(latencies_ms(served))),
        on_time=float(is_on_time(ended).mean()),
        top1=float(np.mean(accuracies)),
        n=int(ended.size),
    )


def _sheet(phases: Sequence[Phase]) -> Sheet:
    rows = [["published", "", "2 down", "", "", f"{100 * -_PUBLISHED_LOSS:+.1f} %"]]
    rows += [
        [
            phase.policy,
            phase.when,
            "none" if phase.level is None else f"{phase.level:g}",
            milliseconds(phase.p50_ms),
            share(phase.on_time),
            fraction(phase.top1),
        ]
        for phase in phases
    ]
    return Sheet(
        title="Before the job, and beside it",
        heads=("policy", "when", "level", "p50, ms", "on time", "top-1"),
        rows=rows,
        notes=(
            "Latencies and top-1 of the networks are the published ones (eager PyTorch of 2020). Levels count from 0. "
            f"The first {_SETTLE_S:g} s beside the job are left out.",
        ),
    )


def _figure(runs: Mapping[str, NDArray[np.void]], starts_s: float, target_ms: float) -> Figure:
    """Draw latency and level of every request over time."""
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(10.0, 4.4))
        above: Any = canvas.add_axes((0.06, 0.52, 0.92, 0.42))
        below: Any = canvas.add_axes((0.06, 0.1, 0.92, 0.3), sharex=above)
        for policy, ended in runs.items():
            served = ended[ended["status"] == Status.COMPLETED]
            colour = _COLOURS[policy]
            above.plot(
                served["arrival_s"], latencies_ms(served), ".", markersize=3, color=colour, label=policy, alpha=0.7
            )
            below.step(served["arrival_s"], served["subnet"], where="post", color=colour, linewidth=1.4)
        above.axhline(target_ms, color=LATE, linewidth=0.9, linestyle="--")
        for axes in (above, below):
            axes.axvline(starts_s, color=LATE, linewidth=0.8)
            axes.grid(axis="y")
        above.set_title("latency of each request, ms")
        above.set_ylim(bottom=0)
        above.legend(frameon=False, loc="upper right", ncols=len(runs))
        below.set_title("level")
        below.yaxis.set_major_locator(MaxNLocator(integer=True))
        below.set_xlabel("s")
        svg = to_svg(canvas, _TITLE)
    return Figure(
        title="Latency and level",
        caption="Red: the job starts; broken red: the constraint. Dropped requests are not drawn.",
        svg=svg,
    )
