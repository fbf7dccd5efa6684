"""Measure how near predicted response times of applications that share CPUs are to the simulator's.

Random sets (`benchmarks.contention_sets`) run at constant gears in the simulator, and models predict the slo quantile
of each application's response time, with the share on top that plans allow for the runtime (`MARGIN`). A prediction is
near if it is at most 5 % below what was simulated, and at most 25 % above.

With `--shares` nothing is simulated: it measures how far the linear form (`wait_shares`) holds beside the clocks and
networks that its shares were taken at.

`python -m benchmarks.bench_contention [--sets N] [--part "held out"|tuning] [--jobs N] [--json FILE] [--shares]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.contention_sets import draw_set, most_loaded, placed, play
from benchmarks.rig import print_table
from scheduler.app_knowledge import MARGIN
from scheduler.contention import Sharer, response_quantiles_ms, wait_shares, warm
from scheduler.problem import FULL_LOAD

_BELOW, _ABOVE = 0.05, 0.25

_RARE = 0.025
"""Share of requests that may wait longer than the likely case of the old models says."""

_NEAR_BY = {f"clock {step:+d}": 1400 / (1400 + 100 * step) for step in (-2, -1, 1, 2)} | {
    "a network 1.5 times as long": 1.5,
    "a network 1.5 times as short": 1 / 1.5,
}
"""By change, the factor on the services of all, or of one: clocks are those beside 1,400 MHz on the Odroid's `big`."""

Row = dict[str, Any]


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=500)
    parser.add_argument("--part", choices=("held out", "tuning"), default="held out")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--shares", action="store_true", help="measure the linear form instead")
    options = parser.parse_args(argv)
    tasks = [(options.part, number) for number in range(options.sets)]
    measure = _share_rows if options.shares else _rows
    with Pool(options.jobs, initializer=warm) as pool:
        rows = [row for found in pool.imap_unordered(measure, tasks) for row in found]
    rows.sort(key=lambda row: (row["set"], row["app"]))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    (_show_shares if options.shares else _show)(rows, options.part)
    return 0


def _rows(task: tuple[str, int]) -> list[Row]:
    """Return a row for each application of a set."""
    drawn = draw_set(*task)
    played = play(drawn)
    simulated_ms, halves = played.quantiles_ms(), (played.quantiles_ms(0, 0.5), played.quantiles_ms(0.5, 1))
    known_ms, took_ms = _timed(played.sharers)
    _, next_took_ms = _timed(_slower(played.sharers, 1.01))
    predicted_ms = {
        "model": known_ms,
        "phases unknown": response_quantiles_ms([replace(one, phase_ms=None) for one in played.sharers]),
        "pair by pair": _by_pairs(played.sharers),
        "old, likely": _summed(played.sharers, lambda load: 1 - _RARE / load if load > _RARE else 0.0),
        "old, worst": _summed(played.sharers, lambda _: 1.0),
    }
    return [
        {
            "set": drawn.seed,
            "app": place,
            "kind": "jittered" if sharer.arrivals.jitter_ms else sharer.arrivals.kind,
            "cpus": drawn.cpus,
            "load": drawn.load,
            "rounded": drawn.rounded,
            "slo": sharer.slo,
            "requests": len(played.latencies_ms[place]),
            "took_ms": took_ms,
            "next_took_ms": next_took_ms,
            "simulated_ms": simulated_ms[place],
            "halves_ms": [half[place] for half in halves],
            "predicted_ms": {name: float(found[place]) for name, found in predicted_ms.items()},
        }
        for place, sharer in enumerate(played.sharers)
    ]


def _timed(sharers: Sequence[Sharer]) -> tuple[tuple[float, ...], float]:
    """Return what the model says, and the CPU time that it took in ms."""
    before_s = time.process_time()
    found_ms = response_quantiles_ms(sharers)
    return found_ms, 1000 * (time.process_time() - before_s)


def _slower(sharers: Sequence[Sharer], factor: float, only: int | None = None) -> list[Sharer]:
    """Return the applications with services so many times as long; those of one alone, if told."""
    return [
        replace(one, stretch=one.stretch * (factor if only in (None, place) else 1.0))
        for place, one in enumerate(sharers)
    ]


def _alone_ms(sharers: Sequence[Sharer]) -> list[float]:
    return [response_quantiles_ms([sharer])[0] for sharer in sharers]


def _by_pairs(sharers: Sequence[Sharer]) -> list[float]:
    """Predict what each would wait if it shared with one of the others alone, and add it up."""
    alone_ms = _alone_ms(sharers)
    found_ms = list(alone_ms)
    for one in range(len(sharers)):
        for other in range(one):
            if sharers[one].mask & sharers[other].mask:
                both_ms = response_quantiles_ms([sharers[one], sharers[other]])
                found_ms[one] += both_ms[0] - alone_ms[one]
                found_ms[other] += both_ms[1] - alone_ms[other]
    return found_ms


def _summed(sharers: Sequence[Sharer], part: Callable[[float], float]) -> list[float]:
    """Predict as plans once did: each waits for a part of the mean service of each other on its CPUs.

    The likely case is a request that meets a service at random: all but a share `_RARE` of the requests wait for the
    part 1 - `_RARE` / load of it at most. The worst case is all of it.
    """
    found_ms = _alone_ms(sharers)
    for one, sharer in enumerate(sharers):
        for place, other in enumerate(sharers):
            if place != one and sharer.mask & other.mask:
                service_ms = other.time.mean_ms * other.stretch
                found_ms[one] += service_ms * part(other.rate_hz * service_ms / 1000)
    return found_ms


def _errors(rows: Iterable[Row], model: str, margin: float = MARGIN) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([(1 + margin) * row["predicted_ms"][model] / row["simulated_ms"] - 1 for row in rows])


def _near(errors: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    near: np.ndarray[Any, np.dtype[np.bool_]] = (errors >= -_BELOW) & (errors <= _ABOVE)
    return near


def _groups(rows: Sequence[Row]) -> Mapping[str, list[Row]]:
    groups = {"all": list(rows)}
    for kind in ("periodic", "jittered", "poisson", "saturate"):
        groups[kind] = [row for row in rows if row["kind"] == kind]
    for low, high in ((0.1, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9)):
        groups[f"load {low} to {high}"] = [row for row in rows if low <= row["load"] < high]
    for cpus in (1, 2, 4):
        groups[f"CPUs {cpus}"] = [row for row in rows if row["cpus"] == cpus]
    groups["round rates"] = [row for row in rows if row["rounded"]]
    groups["any rates"] = [row for row in rows if not row["rounded"]]
    return {name: some for name, some in groups.items() if some}


def _show(rows: Sequence[Row], part: str) -> None:
    models = list(rows[0]["predicted_ms"])
    table = Table(
        title=f"{part}: {len({row['set'] for row in rows})} sets, {len(rows)} applications; share predicted within "
        f"-{_BELOW:.0%} and +{_ABOVE:.0%} (below | above)",
        title_justify="left",
    )
    for head in ("", "n", *models):
        table.add_column(head, justify="left" if not head else "right")
    for name, some in _groups(rows).items():
        found = [_errors(some, model) for model in models]
        cells = [f"{_near(e).mean():.1%} ({(e < -_BELOW).mean():.0%} | {(e > _ABOVE).mean():.0%})" for e in found]
        table.add_row(name, str(len(some)), *cells)
    bare = [f"{_near(_errors(rows, model, 0.0)).mean():.1%}" for model in models]
    table.add_row("without the margin", str(len(rows)), *bare)
    whole = [f"{_whole(rows, model):.1%}" for model in models]
    table.add_row("whole sets", str(len({row["set"] for row in rows})), *whole)
    print_table(table)
    halves = np.array([row["halves_ms"][0] / row["halves_ms"][1] - 1 for row in rows])
    took_ms = [row["took_ms"] for row in rows if not row["app"]]
    print(f"one half of the simulated requests foretells the other as near in {_near(halves).mean():.1%}")
    next_ms = [row["next_took_ms"] for row in rows if not row["app"]]
    print(f"the model takes {np.median(took_ms):.1f} ms of CPU time a set (median), {max(took_ms):.0f} at most")
    print(f"at another clock {np.median(next_ms):.1f} ms, {max(next_ms):.0f} at most")


def _whole(rows: Sequence[Row], model: str) -> float:
    """Return the share of sets in which every application's prediction is near."""
    near = _near(_errors(rows, model))
    sets: dict[int, bool] = {}
    for row, one in zip(rows, near.tolist(), strict=True):
        sets[row["set"]] = sets.get(row["set"], True) and one
    return float(np.mean(list(sets.values())))


def _share_rows(task: tuple[str, int]) -> list[Row]:
    """Return a row for each application of a set that waits for others, and each change beside it."""
    drawn = draw_set(*task)
    sharers = placed(drawn.sharers, drawn.cpus)
    shares = wait_shares(sharers)
    rows = []
    for change, factor in _NEAR_BY.items():
        one = task[1] % len(sharers) if "network" in change else None
        changed = _slower(sharers, factor, one)
        if most_loaded(changed, drawn.cpus) > FULL_LOAD:
            continue
        for place, (alone_ms, found_ms) in enumerate(
            zip(_alone_ms(changed), response_quantiles_ms(changed), strict=True)
        ):
            others_ms = sum(
                other.time.mean_ms * other.stretch
                for at, other in enumerate(changed)
                if at != place and other.mask & changed[place].mask
            )
            if others_ms:
                error = (alone_ms + shares[place] * others_ms) / found_ms - 1
                rows.append({"set": drawn.seed, "app": place, "change": change, "load": drawn.load, "error": error})
    return rows


def _show_shares(rows: Sequence[Row], part: str) -> None:
    table = Table(title=f"{part}: error of the linear form beside its point", title_justify="left")
    for head in ("", "n", "5th", "25th", "median", "75th", "95th", "within 5 %", "more than 5 % below"):
        table.add_column(head, justify="left" if not head else "right")
    for change in _NEAR_BY:
        errors = np.array([row["error"] for row in rows if row["change"] == change])
        cells = [f"{100 * value:+.1f}" for value in np.percentile(errors, [5, 25, 50, 75, 95])]
        near, below = (abs(errors) <= 0.05).mean(), (errors < -0.05).mean()
        table.add_row(change, str(len(errors)), *cells, f"{100 * near:.1f}", f"{100 * below:.1f}")
    print_table(table)


if __name__ == "__main__":
    sys.exit(main())
