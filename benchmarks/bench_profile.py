"""Measure how many served requests lie within the quantiles that a profile of the translator foretells.

The ladder is profiled anew on one core, as `gearshift profile` does. Then a worker serves the held-out sentences in a
closed loop with one rung after the other, in blocks, and each rung serves all of them. Sentences come in another order
than those of the profile, and there are five times as many. A quantile that is right covers its own share: 95 % of the
requests are not above the 95 % quantile.

`python -m benchmarks.bench_profile [--weights FILE] [--sentences N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import supernets
from actors.clock import BoardClock
from actors.profiling import profile_ladder
from benchmarks.rig import (
    Stopwatch,
    completed,
    cores,
    figures_table,
    order,
    print_stalls,
    print_table,
    start_clock,
    watched,
    worker,
)
from scheduler.profile import Profile
from supernets.artifact import Artifact
from supernets.exporting import export
from supernets.search.latency import on_cpus
from supernets.seq2seq.space import TRANSLATOR
from workloads.ladder.profiles import examples_for

_BLOCKS = 5
_SHARES = (0.5, 0.9, 0.95, 0.99)
_LOOK_S = 0.5
"""Time between two looks at how many are served. Seldom, since a look takes the interpreter away from the worker."""


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="weights of translator-en-de; none for the shipped ones")
    parser.add_argument("--sentences", type=int, default=1000, help="sentences that each rung translates")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    net = supernets.load(TRANSLATOR.name, options.weights)
    with tempfile.TemporaryDirectory() as directory, on_cpus(cores()[:1]), watched(clock) as sentinel:
        ladder = [(export(net, rung, Path(directory)), rung.accuracy, rung.accuracy_source) for rung in net.ladder()]
        profile = profile_ladder(
            net.name, ladder, {1: tuple(cores()[:1])}, fresh=True, examples=examples_for(net.name, ladder)
        )
        artifacts = {artifact.subnet: artifact for artifact, _, _ in ladder}
        served = _served(artifacts, options.sentences, clock)
        rungs = {subnet: _covered(profile, subnet, served, sentinel.gaps) for subnet in artifacts}
    figures = {"rungs": rungs, "load": os.getloadavg(), "host": asdict(sentinel.result())}
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _served(artifacts: Mapping[str, Artifact], sentences: int, clock: BoardClock) -> Stopwatch:
    """Return the service times of each rung."""
    stopwatch = Stopwatch(clock)
    with worker(artifacts, supernets.inputs_of(TRANSLATOR.name).stream(0), cores()[:1], clock) as serving:
        serving.start()
        for number in range(_BLOCKS * len(artifacts)):
            serving.activate(order(serving, list(artifacts)[number % len(artifacts)], plan=number + 1))
            until = len(completed(serving)) + sentences // _BLOCKS
            while len(completed(serving)) < until:
                clock.sleep_until(clock.now_s() + _LOOK_S)
        serving.drain(clock.now_s())
        serving.join()
        for record in completed(serving):
            stopwatch.add(list(artifacts)[record["subnet"]], float(record["start_s"]), float(record["end_s"]))
    return stopwatch


def _covered(profile: Profile, subnet: str, served: Stopwatch, gaps: Any) -> dict[str, Any]:
    time, times_ms = profile.service(subnet, "cpu", 1), served.times_ms(subnet, gaps)
    return {
        "sentences": len(times_ms),
        "profiled": len(time.samples_ms),
        "profiled_mean_ms": round(time.mean_ms, 4),
        "mean_ms": round(float(times_ms.mean()), 4),
        "covered": {share: round(float(np.mean(times_ms <= time.quantile_ms(share))), 4) for share in _SHARES},
    }


def _show(figures: Mapping[str, Any]) -> None:
    table = figures_table("share of served sentences within a profiled quantile", *(f"{q:.0%}" for q in _SHARES))
    for head in ("mean, ms", "profiled", "kept", "samples"):
        table.add_column(head, justify="right")
    for subnet, row in figures["rungs"].items():
        covered = [f"{share:.1%}" for share in row["covered"].values()]
        means = [f"{row[key]:.3g}" for key in ("mean_ms", "profiled_mean_ms")]
        table.add_row(subnet, *covered, *means, str(row["sentences"]), str(row["profiled"]))
    print_table(table)
    print(f"load average {figures['load'][0]:.1f}")
    print_stalls(figures["host"])


if __name__ == "__main__":
    sys.exit(main())
