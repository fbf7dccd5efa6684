"""Makes the packaged profiles: `python -m workloads.make_profiles [--measure SUPERNET]`.

Profiles of published ladders are made from published figures and from the packaged `ofa-plates`, so anyone gets the
same files. With `--measure`, a supernet that comes with weights is measured instead, on this machine, which should be a
quiet one; after `ofa-plates`, profiles of published ladders have to be made anew. Nothing imports this module at run
time.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import actors
from actors.profiling import profile_ladder
from actors.stored_profiles import Mark, packaged_profile, write_packaged_profile
from actors.wall_power import LADDERS, SYSTEMS, System, activity
from scheduler.profile import Profile, RungProfile, ServiceTime
from supernets import published
from supernets.ofa.spaces import SPACES
from supernets.published import PublishedLadder
from supernets.seq2seq.space import TRANSLATOR
from workloads.ladder.ladders import ladder_of
from workloads.ladder.profiles import examples_for

PROFILES = Path(actors.__file__).parent / "profiles"
XAVIER = "jetson-xavier-nx"
"""The `speed_of` of published profiles and of the boards that they fit."""

_MEASURED = "ofa-plates"
_EAGER = "eager PyTorch of 2020 (published)"
_ASSUMED_ENGINE = "none (assumed)"
_SPREAD = f"the spread about the published latency, which is that of the largest {_MEASURED} network on one core"
_ONE_CORE = "one core, since the number is not published and 0.5 to 0.9 GMAC/s is what one would do (inferred)"
_EAGER_ACTIVITY = 0.7
_WAITING = f"activity {_EAGER_ACTIVITY} on the GPU, which in eager PyTorch waits for its host in between"
_CLOCKS = "clocks of 1420.8 MHz (CPU) and 1109.25 MHz (GPU), those of the 15 W mode (inferred)"
_COMPARISON = "UoS-EEC/DynamicOFA, Compare_with_SOTA.png, on Jetson Xavier NX; latency ±10 ms (CPU), ±0.4 ms (GPU)"
_COMPARED = {"dynamic-ofa": "Dynamic-OFA", "autoslim-mnasnet": "AutoSlim-MnasNet", "slimmable-mbv1": "Slimmable-MBv1"}
"""By name in gearshift, the system's name in the comparison."""

_AT_THE_WALL = "MLPerf Inference v2.0, open division, Krai; mlcommons/inference_results_v2.0, commit 425a0d3, open/Krai"
_SAMPLES = 10
"""Samples of a network of which only the mean and the 90 % quantile are published."""

Point = tuple[str, float, float]
"""Sub-network, published latency in ms, accuracy as a fraction."""


def main() -> None:
    """Write the profiles of published ladders, or the measured one, into the package."""
    parser = argparse.ArgumentParser(description="Make the packaged profiles, from published figures.")
    parser.add_argument("--measure", choices=(_MEASURED, TRANSLATOR.name), help="Measure it on this machine instead.")
    if measured := parser.parse_args().measure:
        measure_own(measured, PROFILES)
    else:
        write_published(PROFILES)


def measure_own(name: str, folder: Path) -> None:
    """Measure a supernet that comes with weights on one and on two cores of this machine; this takes a minute."""
    here = sorted(os.sched_getaffinity(0))
    cpus_by_cores = {cores: tuple(here[:cores]) for cores in (1, 2)}
    ladder = ladder_of(name, None, lambda what, done, total: None)
    profile = profile_ladder(name, ladder, cpus_by_cores, fresh=True, examples=examples_for(name, ladder))
    source = f"gearshift on {profile.machine}, {len(here)} CPUs; undisturbed inferences, thinned to quantiles"
    write_packaged_profile(profile, folder / f"{name}.json", source=source)


def write_published(folder: Path) -> None:
    """Write the profiles of published ladders; their times spread as those of the packaged `ofa-plates` do."""
    gpu6 = published.ladders()["gpu6"]
    demo = [(f"gpu6-{level}", rung.latency_ms, rung.top1) for level, rung in enumerate(gpu6.rungs)]
    _write(
        folder,
        "dynamic-ofa-gpu",
        demo,
        kind="gpu",
        mark="published",
        source=gpu6.source.partition(";")[0] + ", latency as stored with the set, on Jetson Xavier NX",
        assumed=(_SPREAD, _CLOCKS, _WAITING),
    )
    _write(
        folder,
        "dynamic-ofa-gpu-by-macs",
        _by_macs(gpu6),
        kind="gpu",
        mark="assumed",
        source="latency in proportion to MACs, from the published one of the largest Dynamic-OFA network down, as with "
        "an engine that does not wait for its host; published accuracies",
        assumed=(_SPREAD, _CLOCKS),
    )
    for name, system in _COMPARED.items():
        for kind in ("cpu", "gpu"):
            points = [p for p in published.xavier_points() if (p.system, p.device) == (system, kind)]
            label = f"{name}-{kind}-plotted" if (name, kind) == ("dynamic-ofa", "gpu") else f"{name}-{kind}"
            _write(
                folder,
                label,
                [(f"{kind}-{level}", point.latency_ms, point.top1) for level, point in enumerate(points)],
                kind=kind,
                mark="digitised",
                source=_COMPARISON,
                assumed=(_SPREAD, _CLOCKS, _ONE_CORE if kind == "cpu" else _WAITING),
            )
    _write(
        folder,
        "hat-translation",
        _hat_points(),
        kind="cpu",
        mark="published",
        source="HAT (arXiv 2005.14187), WMT'14 En-De on Raspberry Pi's Cortex-A72; accuracy is BLEU / 100",
        assumed=(
            _SPREAD,
            "one core, since the number is not published",
            "a core of Jetson Xavier NX in its 15 W mode is as fast as the Cortex-A72",
        ),
        machine="Raspberry Pi, Cortex-A72",
    )
    for name, system in LADDERS.items():
        _write_at_the_wall(folder, name, SYSTEMS[system])


def _write_at_the_wall(folder: Path, name: str, system: System) -> None:
    """Write the profile of a ladder whose power was measured too: all networks, the quickest first."""
    assert system.cores is not None
    rungs = tuple(
        RungProfile(
            subnet=run.network,
            accuracy=run.top1,
            accuracy_source="published",
            times=(
                ServiceTime(
                    kind="cpu",
                    cores=system.cores,
                    samples_ms=samples_with(run.mean_ms, run.p90_ms),
                    engine=system.engine,
                    activity=round(activity(system, run), 4),
                    activity_source="published",
                ),
            ),
        )
        for run in sorted(system.runs, key=lambda run: run.mean_ms)
    )
    write_packaged_profile(
        Profile(supernet=name, machine=system.board, rungs=rungs, speed_of=system.board),
        folder / f"{name}.json",
        source=f"{_AT_THE_WALL}, {system.engine}, one picture at a time; mean and 90 % quantile of the latency, power "
        "at the wall",
        mark="published",
        assumed=(
            f"{system.cores} threads, one a core, as the engine's source has it (inferred)",
            "all else about the spread of times than their mean and 90 % quantile",
        ),
        executable=False,
    )


def samples_with(mean_ms: float, p90_ms: float) -> tuple[float, ...]:
    """Return ten rising times of that mean and 90 % quantile, and of no more than two values.

    A mean of 10 ms and a quantile of 12 ms are eight times of 9.5 ms and two of 12 ms, and nothing is known of slower
    ones. A quantile of 9 ms is nine times of 9 ms and one of 19 ms.

    Raises:
        ValueError: if there are no such times above 0.
    """
    slow = 2 if p90_ms >= mean_ms else 1
    quick = _SAMPLES - slow
    low_ms = (_SAMPLES * mean_ms - slow * p90_ms) / quick if slow == 2 else p90_ms
    high_ms = p90_ms if slow == 2 else _SAMPLES * mean_ms - quick * p90_ms
    if low_ms <= 0:
        raise ValueError(f"a mean of {mean_ms:g} ms is too low for a 90 % quantile of {p90_ms:g} ms.")
    return (round(low_ms, 4),) * quick + (round(high_ms, 4),) * slow


def _by_macs(ladder: PublishedLadder) -> list[Point]:
    """Return points whose latency is in proportion to MACs, as with an engine that does not wait for its host.

    In eager PyTorch the same ladder spans 1.5x in latency over 3.1x in MACs.
    """
    space, largest = SPACES[ladder.supernet], ladder.rungs[-1]
    macs = [space.macs(rung.knobs, rung.resolution) for rung in ladder.rungs]
    return [
        (f"gpu6-{level}", largest.latency_ms * count / macs[-1], rung.top1)
        for level, (rung, count) in enumerate(zip(ladder.rungs, macs, strict=True))
    ]


def _hat_points() -> list[Point]:
    """Read the points of HAT's translation networks; accuracy is BLEU / 100."""
    lines = [line for line in (PROFILES / "hat_translation.csv").read_text().splitlines() if line[0] != "#"]
    return [
        (f"hat-{row['latency_ms'].removesuffix('.0')}ms", float(row["latency_ms"]), round(float(row["bleu"]) / 100, 4))
        for row in csv.DictReader(lines)
    ]


def _write(
    folder: Path,
    name: str,
    points: Sequence[Point],
    *,
    kind: str,
    mark: Mark,
    source: str,
    assumed: tuple[str, ...],
    machine: str = "Jetson Xavier NX",
) -> None:
    """Write a profile of points on one core or GPU, each with the spread of times about its latency."""
    spread = _spread()
    engine = _ASSUMED_ENGINE if mark == "assumed" else _EAGER
    rungs = tuple(
        RungProfile(
            subnet=subnet,
            accuracy=accuracy,
            accuracy_source="published",
            times=(
                ServiceTime(
                    kind=kind,
                    cores=1,
                    samples_ms=spread(latency_ms),
                    engine=engine,
                    activity=_EAGER_ACTIVITY if (kind, engine) == ("gpu", _EAGER) else 1.0,
                ),
            ),
        )
        for subnet, latency_ms, accuracy in points
    )
    profile = Profile(supernet=name, machine=machine, rungs=rungs, speed_of=XAVIER)
    write_packaged_profile(
        profile, folder / f"{name}.json", source=source, mark=mark, assumed=assumed, executable=False
    )


def _spread() -> Callable[[float], tuple[float, ...]]:
    """Return the function that makes samples about a published latency, which is their mean."""
    measured = packaged_profile(_MEASURED)
    assert measured is not None
    time = measured.rungs[-1].times[0]
    return lambda latency_ms: tuple(round(latency_ms * sample / time.mean_ms, 4) for sample in time.samples_ms)


if __name__ == "__main__":
    main()
