"""Measure what the reading of sensors takes: three rails of an INA3221 at its rate, against files in memory.

A file in memory is read as a kernel's file is, by the same calls, but without the chip's bus. So the share of a core is
that of gearshift and of the system call. Beside it stands a thread that only sleeps, at the same rate: what a timer
takes on this machine, whatever is done at its ticks. `python -m benchmarks.bench_sensors [--seconds N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from actors.agent.devices.sysfs import Tree
from actors.agent.sensors import Sampler
from benchmarks.rig import figures_table, print_stalls, print_table, start_clock, watched
from scheduler.board import Board, BoardUnit
from scheduler.sensor import Sensor

RAILS = ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")

INTERVALS_MS = {"as found on a Jetson's driver": 7, "the fastest that is read": 2}
"""`update_interval` of the chip. At 2 ms the bound of 350 readings a second holds, or that of 1 % of a core."""


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    with watched(clock) as sentinel:
        figures: dict[str, Any] = {
            name: _measure(interval_ms, options.seconds) for name, interval_ms in INTERVALS_MS.items()
        }
    host = sentinel.result()
    figures["host"] = {"stalled_share": host.stalled_share, "stall_ms_max": host.stall_ms_max}
    table = figures_table("three rails of an INA3221", "a second", "of a core", "µs each", "sleep alone, µs", "gap, ms")
    for name in INTERVALS_MS:
        row = figures[name]
        table.add_row(
            f"{row['interval_ms']} ms: {name}",
            f"{row['rate_hz']:.0f}",
            f"{row['core_share']:.2%}",
            f"{1e6 * row['core_share'] / row['rate_hz']:.0f}",
            f"{row['sleep_us']:.0f}",
            f"{1000 * row['longest_gap_s']:.1f}",
        )
    print_table(table)
    print_stalls(figures["host"])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _measure(interval_ms: int, seconds: float) -> dict[str, Any]:
    """Read for some seconds; return the rate, the share of a core and the longest time without a reading."""
    shared_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as root:
        _write_chip(Path(root), interval_ms)
        sampler = Sampler(_board(), Tree(Path(root)), start_clock(), dict)
        sampler.start()
        time.sleep(1.5)  # its pace is found by then
        sampler.mark()
        before_s, start_s = time.process_time(), time.monotonic()
        time.sleep(seconds)
        core_s, lasted_s = time.process_time() - before_s, time.monotonic() - start_s
        rails = sampler.totals()
        sampler.close()
    rate_hz = rails[0].samples / lasted_s
    return {
        "interval_ms": interval_ms,
        "rate_hz": rate_hz,
        "sleep_us": _sleep_us(1 / rate_hz, seconds / 2),
        "core_share": core_s / lasted_s,
        "longest_gap_s": max(rail.longest_gap_s or lasted_s for rail in rails),
        "why_unknown": rails[0].why_unknown,
    }


def _sleep_us(period_s: float, seconds: float) -> float:
    """Sleep at a rate for some seconds; return the time on a core that each sleep took, in µs."""
    clock = start_clock()
    before_s, ticks = time.process_time(), round(seconds / period_s)
    for tick in range(1, ticks + 1):
        clock.sleep_until(tick * period_s)
    return 1e6 * (time.process_time() - before_s) / ticks


def _write_chip(root: Path, interval_ms: int) -> None:
    folder = root / "sys/bus/i2c/devices/7-0040/hwmon/hwmon4"
    folder.mkdir(parents=True)
    files: dict[str, object] = {"name": "ina3221", "update_interval": interval_ms, "samples": 1}
    for channel, label in enumerate(RAILS, start=1):
        files |= {f"in{channel}_label": label, f"in{channel}_input": 5080, f"curr{channel}_input": 1000}
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def _board() -> Board:
    unit = BoardUnit(name="cpu", kind="cpu", cpus=(0,), dvfs="fixed", mhz=(1.0,), static_w=None, dynamic_w=None)
    sensors = tuple(Sensor(rail=rail, driver="ina3221", covers="board") for rail in RAILS)
    return Board(name="bench", units=(unit,), base_w=None, sensor="none", power_source="unknown", sensors=sensors)


if __name__ == "__main__":
    sys.exit(main())
