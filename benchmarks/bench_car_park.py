"""Run the shipped car park for real on Ray, seed by seed, and see what each target's time and each event came to.

The aim: every application meets its slo in each *segment* (the time under one target and floor), and changes gear at
most once after each event. A run that the machine disturbed (`host.void`: it stood still for more than 1 % of the time)
is discarded and run again, twice at most. *Others* is how many CPUs programs that are not ours kept busy, in the mean;
the machine should be left alone meanwhile.

With `--log` each undisturbed seed is a line in that file as soon as its run has ended, and a series goes on with the
others when it is started again. A run takes about a minute.

    python -m benchmarks.bench_car_park [--seeds 10] [--first 0] [--board two-core-host] [--policy joint]
        [--backend ray] [--log FILE] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.figure_log import FigureLog
from benchmarks.rig import figures_table, print_table
from gearshift import Mix, run
from workloads.mix.loader import load_mix
from workloads.results.epoch_log import read_epoch_log
from workloads.results.run_dir import EPOCHS_FILE, GearChange, StoredRun, read_run
from workloads.results.verdict import verdicts_by_segment

CAR_PARK = Path(__file__).parent.parent / "examples" / "car_park.py"
AIM_CHANGES = 1
"""Changes of gear of one application after one event."""
TRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one seed came to.

    Attributes:
        segments: by application, the verdict on each target's time.
        short: segments that were not met, in words.
        changes: changes of gear of all applications; the first gear is none.
        most_changes: the most of one application between one event and the next.
        most_where: whose that were, and after which event.
        least_on_time: least share on time of a segment.
        units_j: energy of the units; None where unknown.
        stalled_share: share of the time that the machine stood still; None where unknown.
        stall_ms_max: longest stall.
        others: CPUs that others kept busy, mean; None where it was not measured.
        void: True if the machine disturbed the run.
        discarded: runs of this seed before it that were.
    """

    segments: dict[str, list[str]]
    short: list[str]
    changes: int
    most_changes: int
    most_where: str
    least_on_time: float
    units_j: float | None
    stalled_share: float | None
    stall_ms_max: float | None
    others: float | None
    void: bool
    discarded: int = 0

    @property
    def met(self) -> int:
        """Number of segments met."""
        return sum(verdict == "met" for verdicts in self.segments.values() for verdict in verdicts)

    @property
    def count(self) -> int:
        """Number of segments."""
        return sum(map(len, self.segments.values()))

    @property
    def reached(self) -> bool:
        """True if the aim was reached."""
        return self.met == self.count and self.most_changes <= AIM_CHANGES


def outcome_of(stored: StoredRun, mix: Mix) -> Outcome:
    """Return what a stored run of a mix came to."""
    segments: dict[str, list[str]] = {}
    short = []
    for name, app in stored.summary.apps.items():
        segments[name] = list(verdicts_by_segment(app))
        for segment, verdict in zip(app.segments, segments[name], strict=True):
            if verdict != "met":
                share = "none" if segment.on_time is None else f"{segment.on_time:.1%}"
                short.append(f"{name} from {segment.from_s:g} s: {share} of {segment.n} on time, {verdict}")
    (most_where, most_changes), changes = changes_after_events(stored.gears, mix)
    shares = [s.on_time for app in stored.summary.apps.values() for s in app.segments if s.on_time is not None]
    host = stored.summary.host
    return Outcome(
        segments=segments,
        short=short,
        changes=changes,
        most_changes=most_changes,
        most_where=most_where,
        least_on_time=min(shares),
        units_j=stored.summary.energy.units_j,
        stalled_share=None if host is None else host.stalled_share,
        stall_ms_max=None if host is None else host.stall_ms_max,
        others=others_of(stored.path),
        void=host is not None and host.void,
    )


def changes_after_events(gears: Sequence[GearChange], mix: Mix) -> tuple[tuple[str, int], int]:
    """Return whose changes of gear between one event and the next were the most, and how many; and how many in all.

    With events at 10 and 20 s, changes of `entrance` at 11, 21 and 25 s are 2 after the event at 20 s.
    """
    starts_s = [-np.inf, *sorted({event.at_s for event in mix.events})]
    counts: Counter[tuple[str, float]] = Counter()
    for one in gears:
        if one.before is not None and one.after is not None and one.before != one.after:
            counts[one.app, starts_s[bisect_right(starts_s, one.now_s) - 1]] += 1
    if not counts:
        return ("", 0), 0
    (app, after_s), most = counts.most_common(1)[0]
    return (f"{app} after {max(after_s, 0.0):g} s", most), counts.total()


def others_of(run_dir: Path) -> float | None:
    """Return how many CPUs other programs kept busy during a run, in the mean; None where nobody measured it."""
    _, entries = read_epoch_log(run_dir / EPOCHS_FILE)
    seen = [entry["host"]["others"] for entry in entries if entry["kind"] == "epoch" and entry.get("host")]
    return float(np.mean(seen)) if seen else None


def run_seed(mix: Mix, board: str, policy: str, backend: str, seed: int) -> Outcome:
    """Run the mix until the machine leaves it alone, at most `TRIES` times."""
    discarded = 0
    while True:
        with TemporaryDirectory() as directory:
            run(mix, board=board, policy=policy, backend=backend, seed=seed, out=directory)
            found = outcome_of(read_run(directory), mix)
        if not found.void or discarded == TRIES - 1:
            return replace(found, discarded=discarded)
        discarded += 1


def show(found: dict[int, Outcome]) -> None:
    """Print a row for each seed, and what was missed in words."""
    heads = ("segments met", "least on time", "changes", "most after one event", "units, J", "stalled", "longest, ms")
    table = figures_table("The car park, by seed", *heads, "others", "undisturbed")
    for seed, one in found.items():
        table.add_row(
            str(seed),
            f"{one.met} of {one.count}",
            f"{one.least_on_time:.1%}",
            str(one.changes),
            f"{one.most_changes} ({one.most_where})" if one.most_changes else "0",
            _figure(one.units_j, ".2f"),
            _figure(one.stalled_share, ".1%"),
            _figure(one.stall_ms_max, ".0f"),
            _figure(one.others, ".2f"),
            ("no" if one.void else "yes") + (f", {one.discarded + 1} runs" if one.discarded else ""),
        )
    print_table(table)
    for seed, one in found.items():
        for text in one.short:
            print(f"seed {seed}: {text}")
    calm = [one for one in found.values() if not one.void]
    print(
        f"The aim (every segment met, at most {AIM_CHANGES} change of gear after each event) was reached by "
        f"{sum(one.reached for one in calm)} of {len(calm)} undisturbed seeds."
    )


def _figure(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def main(argv: list[str] | None = None) -> int:
    """Run each seed and print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="how many seeds (default 10)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default 0)")
    parser.add_argument("--board", default="two-core-host")
    parser.add_argument("--policy", default="joint")
    parser.add_argument("--backend", choices=("ray", "sim"), default="ray")
    parser.add_argument("--log", type=Path, help="file with a line for each seed, to go on with")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.first < 0:
        parser.error("--seeds must be at least 1 and --first at least 0.")
    mix, log = load_mix(CAR_PARK), FigureLog(options.log)
    found: dict[int, Outcome] = {}
    for seed in range(options.first, options.first + options.seeds):
        setting = {"board": options.board, "policy": options.policy, "backend": options.backend}
        case = {**setting, "seed": seed}
        kept = log.get(case)
        found[seed] = Outcome(**kept) if kept else run_seed(mix, **setting, seed=seed)
        if not kept and not found[seed].void:
            log.keep(case, asdict(found[seed]))
        print(f"seed {seed} has ended", file=sys.stderr, flush=True)
    show(found)
    if options.json:
        options.json.write_text(json.dumps({seed: asdict(one) for seed, one in found.items()}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
