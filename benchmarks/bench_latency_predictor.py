"""Measure the error of the latency predictor of `gearshift ladder` on sub-networks that it was not fitted to.

It measures sub-networks of Once-for-all MobileNetV3 w1.2 on one core, fits the predictor to growing numbers of them,
and compares it with the rest. A predictor by MACs alone is fitted to the same networks. The measurements are those of
the command and are kept in the same way: `--work DIR` continues an interrupted benchmark.

`python -m benchmarks.bench_latency_predictor [--networks N] [--held-out N] [--work DIR] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import supernets
from actors.profiling import machine_name
from benchmarks.rig import cores, print_table, start_clock, watched
from supernets import engines
from supernets.ofa.elastic import ElasticSupernet
from supernets.search.evolution import Encoding, Genes
from supernets.search.find import LatencyBench, SearchPlan, measured_sample
from supernets.search.latency import FloatArray, LatencyPredictor, PredictorError, fitted_rates
from supernets.search.work_file import WorkFile

_SUPERNET = "ofa-mbv3-w1.2"
_FIRST_FIT = 10


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=40, help="measured to fit")
    parser.add_argument("--held-out", type=int, default=40, help="measured to compare with")
    parser.add_argument("--engine", default="onnxruntime")
    parser.add_argument("--work", type=Path, help="keeps the measurements; else they are not kept")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    net = supernets.load(_SUPERNET)
    assert isinstance(net, ElasticSupernet)
    bench = LatencyBench(engine=options.engine, threads=1, cpus=tuple(cores()[:1]))
    plan = SearchPlan(training_networks=options.networks, held_out_networks=options.held_out)
    depends_on = {"machine": machine_name(), "engine": engines.engine_version(bench.engine)}
    with tempfile.TemporaryDirectory() as directory, watched(start_clock()) as sentinel:
        work = WorkFile((options.work or Path(directory)) / "work.json", depends_on)
        genes, latency_ms = measured_sample(net, bench.timed_network, plan, work, _say)
    sizes = [size for size in (_FIRST_FIT, 20, 30, 40) if size < options.networks] + [options.networks]
    figures = {
        **depends_on,
        "latency_ms": {"least": float(latency_ms.min()), "most": float(latency_ms.max())},
        "fits": [_compared(Encoding(net.space), genes, latency_ms, size, options.networks) for size in sizes],
        "host": asdict(sentinel.result()),
    }
    _show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _say(what: str, done: int, total: int) -> None:
    if done % 10 == 0:
        print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def _compared(encoding: Encoding, genes: Genes, latency_ms: FloatArray, size: int, training: int) -> dict[str, Any]:
    """Return the error on the held-out sub-networks of a predictor fitted to some of the others."""
    predictor = LatencyPredictor(encoding, fitted_rates(encoding, genes[:size], latency_ms[:size]))
    macs = np.array([encoding.space.macs(*encoding.decoded(row)) for row in genes])
    slope, start = np.polyfit(macs[:size], latency_ms[:size], 1, w=1 / latency_ms[:size])
    held_out_ms = latency_ms[training:]
    return {
        "networks": size,
        "ours": asdict(PredictorError.of(predictor(genes[training:]), held_out_ms)),
        "by MACs": asdict(PredictorError.of(start + slope * macs[training:], held_out_ms)),
    }


def _show(figures: dict[str, Any]) -> None:
    spread = figures["latency_ms"]
    held_out = figures["fits"][0]["ours"]["n"]
    table = Table(
        title=f"error on {held_out} held-out sub-networks of {_SUPERNET}, {spread['least']:.3g} to "
        f"{spread['most']:.3g} ms, {figures['engine']}, one core of {figures['machine']}",
        title_justify="left",
    )
    for header in ("fitted to", "p50", "p90", "within 5 %", "by MACs alone: p50", "p90", "within 5 %"):
        table.add_column(header, justify="right")
    for fit in figures["fits"]:
        table.add_row(str(fit["networks"]), *_errors(fit["ours"]), *_errors(fit["by MACs"]))
    print_table(table)
    print(f"host: {figures['host']}")


def _errors(error: dict[str, float]) -> Sequence[str]:
    return f"{error['p50']:.1%}", f"{error['p90']:.1%}", f"{error['within_5_percent']:.0%}"


if __name__ == "__main__":
    sys.exit(main())
