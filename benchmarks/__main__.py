"""Run every benchmark, one after the other: `python -m benchmarks [--out DIR]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from importlib.util import find_spec
from pathlib import Path

NAMES = (
    "bench_solve",
    "bench_optimality",
    "bench_inference",
    "bench_switch",
    "bench_prepare",
    "bench_control",
    "bench_managing",
    "bench_simulator",
    "bench_stability",
    "bench_learning",
    "bench_car_park",
    "bench_contention",
    "bench_tables",
    "bench_executor",
    "bench_serve",
    "bench_sensors",
    "bench_latency_predictor",
    "bench_profile",
    "bench_translation",
)
PEERS = {"bench_translation": ("ctranslate2", "transformers")}
"""Packages that are not in the lock file, of the extra `peers`. A benchmark is left out where one is missing."""


def main() -> int:
    """Run them all, and return 1 if one failed, after the others have run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="figures, one JSON file each")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in NAMES:
        print(f"\n{name}", flush=True)
        if missing := [peer for peer in PEERS.get(name, ()) if find_spec(peer) is None]:
            print(f"left out: {', '.join(missing)} missing; install with: pip install -e '.[peers]'")
            continue
        if importlib.import_module(f"benchmarks.{name}").main(["--json", str(options.out / f"{name}.json")]) != 0:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
