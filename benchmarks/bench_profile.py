"""Measure how many served requests lie within the quantiles that a profile of the translator foretells.

The ladder is profiled anew on one core, as `gearshift profile` does. After each of its samples a worker serves a
held-out sentence on the same core, so that profile and worker meet the same machine. It does so with a rung half-way
round the ladder: sample and sentence both find the caches filled by another network. A quantile that is right covers
its own share: 95 % of the requests are not above the 95 % quantile.

A profile leaves out the samples that something disturbed. So are requests left out here, but not by their own time: one
fixed sentence is translated before and after each, and where that took long, the machine was disturbed. No sentinel
watches: it takes the core for a moment each 2 ms, so a profile would find no inference undisturbed.

`python -m benchmarks.bench_profile [--weights FILE] [--profiles N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import supernets
from actors.clock import BoardClock
from actors.profiling import Ladder, profile_ladder
from actors.undisturbed import not_far_above
from actors.worker.worker import Worker
from benchmarks.rig import (
    completed,
    cores,
    figures_table,
    order,
    print_table,
    start_clock,
    worker,
)
from scheduler.profile import Profile
from supernets import engines
from supernets.exporting import export
from supernets.search.latency import on_cpus
from supernets.seq2seq.inputs import Sentences, reported
from supernets.seq2seq.space import TRANSLATOR
from workloads.ladder.profiles import examples_for

_SHARES = (0.5, 0.9, 0.95, 0.99)
_STEP = 5
"""Each fifth sentence is served, so that 200 samples are spread over all thousand, as those of the profile are."""


@dataclass(slots=True)
class _Turns:
    """A worker that serves a sentence after each sample of a profile, and a look at the machine around it.

    Attributes:
        serving: the worker; it has clients alone.
        subnets: the rungs, in the order of the profile's turns.
        probe: translates the fixed sentence.
        clock: board time.
        first: number of the first sentence.
        probes_s: how long the fixed sentence took before and after each request, in seconds.
    """

    serving: Worker
    subnets: Sequence[str]
    probe: Callable[[], object]
    clock: BoardClock
    first: int
    probes_s: list[tuple[float, float]] = field(default_factory=list)

    def serve(self, *_: object) -> None:
        """Serve the next sentence of the rung half-way round, after the one before it, as the profile does."""
        turn = len(self.probes_s)
        self.serving.activate(order(self.serving, self._rung_of(turn), plan=turn + 1))
        number = self.first + turn // len(self.subnets) * _STEP
        before_s = self._probe_s()
        for sentence in (number - _STEP, number):
            self.serving.submit(reported()[sentence % len(reported())].english).result()
        self.probes_s.append((before_s, self._probe_s()))

    def times_ms(self) -> dict[str, tuple[NDArray[np.float64], int]]:
        """Return for each rung the service times on an undisturbed machine, and the number of the others."""
        records = completed(self.serving)[1::2]
        probes_s = np.array(self.probes_s)
        calm: NDArray[np.bool_] = np.all(not_far_above(probes_s.ravel()).reshape(probes_s.shape), axis=1)
        found = {}
        for place in range(len(self.subnets)):
            mine, undisturbed = records[place :: len(self.subnets)], calm[place :: len(self.subnets)]
            times_ms = (mine["end_s"] - mine["start_s"]).astype(np.float64) * 1e3
            found[self._rung_of(place)] = times_ms[undisturbed], int((~undisturbed).sum())
        return found

    def _rung_of(self, turn: int) -> str:
        return self.subnets[(turn + len(self.subnets) // 2) % len(self.subnets)]

    def _probe_s(self) -> float:
        start_s = self.clock.now_s()
        self.probe()
        return self.clock.now_s() - start_s


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="weights of translator-en-de; none for the shipped ones")
    parser.add_argument("--profiles", type=int, default=3, help="profiles, each with 200 sentences of each rung")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    net = supernets.load(TRANSLATOR.name, options.weights)
    with tempfile.TemporaryDirectory() as directory, on_cpus(cores()[:1]):
        ladder = [(export(net, rung, Path(directory)), rung.accuracy, rung.accuracy_source) for rung in net.ladder()]
        rounds = [_round(net.name, ladder, number, clock) for number in range(options.profiles)]
    rungs = {artifact.subnet: _covered(artifact.subnet, rounds) for artifact, _, _ in ladder}
    figures = {"rungs": rungs, "load": os.getloadavg()}
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _round(
    name: str, ladder: Ladder, number: int, clock: BoardClock
) -> tuple[Profile, dict[str, tuple[NDArray[np.float64], int]]]:
    """Return a profile and the service times beside it."""
    artifacts, source = {artifact.subnet: artifact for artifact, _, _ in ladder}, Sentences(reported())
    smallest = ladder[0][0]
    fixed, network = source.inputs(smallest)(0), engines.prepare(smallest, "onnxruntime", threads=1)
    with worker(artifacts, source, cores()[:1], clock, saturate=False) as serving:
        serving.start()
        turns = _Turns(serving, list(artifacts), lambda: network(fixed), clock, first=number)
        examples = examples_for(name, ladder)
        cpus = {1: tuple(cores()[:1])}
        profile = profile_ladder(name, ladder, cpus, fresh=True, examples=examples, on_sample=turns.serve)
        serving.drain(clock.now_s())
        serving.join()
        return profile, turns.times_ms()


def _covered(
    subnet: str, rounds: Sequence[tuple[Profile, Mapping[str, tuple[NDArray[np.float64], int]]]]
) -> dict[str, Any]:
    times = [profile.service(subnet, "cpu", 1) for profile, _ in rounds]
    served_ms = [served[subnet][0] for _, served in rounds]
    all_ms = np.concatenate(served_ms)

    def covered(share: float) -> float:
        within = [ms <= time.quantile_ms(share) for ms, time in zip(served_ms, times, strict=True)]
        return round(float(np.concatenate(within).mean()), 4)

    return {
        "kept": len(all_ms),
        "disturbed": sum(served[subnet][1] for _, served in rounds),
        "covered": {share: covered(share) for share in _SHARES},
        "mean_ms": round(float(all_ms.mean()), 4),
        "profiled_mean_ms": round(float(np.mean([time.mean_ms for time in times])), 4),
    }


def _show(figures: Mapping[str, Any]) -> None:
    table = figures_table("share of served sentences within a profiled quantile", *(f"{q:.0%}" for q in _SHARES))
    for head in ("mean, ms", "profiled", "kept", "disturbed"):
        table.add_column(head, justify="right")
    for subnet, row in figures["rungs"].items():
        covered = [f"{share:.1%}" for share in row["covered"].values()]
        means = [f"{row[key]:.3g}" for key in ("mean_ms", "profiled_mean_ms")]
        table.add_row(subnet, *covered, *means, str(row["kept"]), str(row["disturbed"]))
    print_table(table)
    print(f"load average {figures['load'][0]:.1f}")


if __name__ == "__main__":
    sys.exit(main())
