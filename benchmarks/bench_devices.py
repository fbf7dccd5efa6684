"""Measure what the device layer adds to the kernel's own work, on a Xavier NX's files in memory.

- *Setting*: all clocks of the board (three clusters and the GPU) are set to other ones and read back; beside it, in
  turns, the bare writes of the same values to files that are open. The difference is gearshift's.
- *Looking*: the condition of the board, as the agent asks for it once an epoch, on real and on emulated units.
- *Following*: a request in this process asks for a clock in the ledger, and the agent, in a process of its own, sets it
  on the first cluster; from asking until the file shows it. Beside it the CPU time of each change: of the agent's
  process, and of asking here, beyond what it takes on a unit with one clock.

Files in memory are read and written by the same calls as a kernel's, but nothing is behind them: what a kernel does at
a write comes on top, for both. `python -m benchmarks.bench_devices [--rounds N] [--json FILE]`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from actors.agent.agent import BoardAgent
from actors.agent.devices import REAL_CLOCKS
from actors.agent.devices.real import RealClock
from actors.agent.devices.sysfs import Tree
from actors.agent.hold import Hold
from actors.agent.machine import Machine
from actors.clock import BoardClock
from actors.ledger.ledger import BoardLedger
from benchmarks.rig import figures_table, print_stalls, print_table, start_clock, watched
from scheduler.board import Board, BoardUnit
from scheduler.messages import Hints
from scheduler.request_clock import Pace, Timing

_CPU = "sys/devices/system/cpu"
_GPU = "sys/class/devfreq/17000000.gv11b"
_CLUSTERS = ((0, 1), (2, 3), (4, 5))
# Unlike a file of the kernel's, one in memory keeps what is behind the end of a shorter text: so all have one length.
_MHZ = (1190.4, 1497.6, 1907.2)
_GPU_MHZ = (204.0, 510.0, 803.25)
_EPOCHS_A_SECOND = 10
_BETWEEN_S = 0.005
"""Time between two changes, in which the agent's thread goes to sleep again."""


def main(argv: list[str] | None = None) -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    clock = start_clock()
    shared_memory = Path("/dev/shm")
    with (
        watched(clock) as sentinel,
        tempfile.TemporaryDirectory(dir=shared_memory if shared_memory.is_dir() else None) as directory,
    ):
        root = Path(directory) / "root"
        _write_board(root)
        machine = Machine(tree=Tree(root), state=Path(directory) / "state")
        figures: dict[str, Any] = {"setting": _set_clocks(machine, options.rounds)}
        figures["looking"] = _look(machine, Path(directory) / "ledger", options.rounds)
        figures["following"] = _follow(Path(directory), clock, options.rounds)
    host = sentinel.result()
    figures["host"] = {"stalled_share": host.stalled_share, "stall_ms_max": host.stall_ms_max}
    table = figures_table("Xavier NX, files in memory", "p50, µs", "p99, µs")
    for name, key in (("bare writes of all clocks", "bare"), ("all clocks set and read back", "set")):
        table.add_row(name, *(f"{figures['setting'][key][share]:.0f}" for share in ("p50_us", "p99_us")))
    table.add_row("condition of the board, CPU time of one epoch", f"{figures['looking']['cpu_us']:.0f}", "")
    following = figures["following"]
    shares = (f"{following[share]:.0f}" for share in ("p50_us", "p99_us"))
    table.add_row("from a request's asking until its clock is set", *shares)
    table.add_row("CPU time of that in the agent", f"{following['agent_cpu_us']:.0f}", "")
    table.add_row("CPU time of that in the worker, beyond one clock for all", f"{following['worker_cpu_us']:.0f}", "")
    print_table(table)
    beyond_us = figures["setting"]["set"]["p50_us"] - figures["setting"]["bare"]["p50_us"]
    share = figures["looking"]["core_share"]
    print(f"beyond the writes: {beyond_us / 1000:.3f} ms at p50")
    print(f"the condition takes {share:.2%} of a core at {_EPOCHS_A_SECOND} epochs a second")
    print_stalls(figures["host"])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


def _set_clocks(machine: Machine, rounds: int) -> dict[str, dict[str, float]]:
    hold = Hold(machine)
    clocks: list[tuple[RealClock, tuple[float, ...]]] = [
        (REAL_CLOCKS[unit.dvfs](unit, hold.journal), unit.mhz) for unit in _board().units
    ]
    for clock, mhz in clocks:
        clock.set_clock(mhz[-1])  # taken from their governors, which is done once
    bare = _bare_files(machine.tree.root)
    took_us: dict[str, list[float]] = {"bare": [], "set": []}
    for step in itertools.islice(itertools.cycle(range(len(_MHZ))), rounds):
        started_s = time.perf_counter()
        for file, values in bare:
            os.pwrite(file, values[step], 0)
        took_us["bare"].append(1e6 * (time.perf_counter() - started_s))
        started_s = time.perf_counter()
        for clock, mhz in clocks:
            clock.set_clock(mhz[step])
        took_us["set"].append(1e6 * (time.perf_counter() - started_s))
    for file, _ in bare:
        os.close(file)
    hold.give_back()
    return {
        name: {"p50_us": float(np.percentile(us, 50)), "p99_us": float(np.percentile(us, 99))}
        for name, us in took_us.items()
    }


def _bare_files(root: Path) -> list[tuple[int, list[bytes]]]:
    """Return the open files that the same clocks are written to, with the bytes of each clock."""
    speeds = [f"{_CPU}/cpufreq/policy{cpus[0]}/scaling_setspeed" for cpus in _CLUSTERS]
    khz = [str(round(mhz * 1000)).encode() for mhz in _MHZ]
    hz = [str(round(mhz * 1e6)).encode() for mhz in _GPU_MHZ]
    paths = [(path, khz) for path in speeds] + [(f"{_GPU}/{end}_freq", hz) for end in ("min", "max")]
    # Files of their own, so that the two sides do not write over each other's.
    files = []
    for path, values in paths:
        file = root / f"{path}.bare"
        file.write_bytes(values[0])
        files.append((os.open(file, os.O_WRONLY), values))
    return files


def _look(machine: Machine, ledger: Path, rounds: int) -> dict[str, float]:
    board = _board()
    with BoardAgent(board, apps=["a"], path=ledger, clock=start_clock(), machine=machine) as agent:
        for unit in board.units:
            agent.set_clock(unit.name, unit.mhz[0])
        agent.telemetry()
        before_s = time.process_time()
        for _ in range(rounds):
            agent.telemetry()
        cpu_s = (time.process_time() - before_s) / rounds
    return {"cpu_us": 1e6 * cpu_s, "core_share": cpu_s * _EPOCHS_A_SECOND}


def _follow(directory: Path, clock: BoardClock, rounds: int) -> dict[str, float]:
    """Return how long changes of clock for requests take, and their CPU time beyond that of a unit with one clock."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    agent = spawn.Process(target=_run_agent, args=(directory, clock, theirs))
    agent.start()
    ours.recv()
    ledger = BoardLedger.attach(directory / "paced", _board(), clock)
    steady = _serve(ledger, clock, rounds, shown=None)
    ours.send("pace")
    ours.recv()
    shown = os.open(directory / "root" / _CPU / "cpufreq/policy0/scaling_setspeed", os.O_RDONLY)
    paced = _serve(ledger, clock, rounds, shown)
    ours.send("end")
    agent_cpu_s = ours.recv()
    agent.join()
    ledger.close()
    os.close(shown)
    return {
        "p50_us": float(np.percentile(paced.took_us, 50)),
        "p99_us": float(np.percentile(paced.took_us, 99)),
        "agent_cpu_us": 1e6 * agent_cpu_s / len(paced.took_us),
        "worker_cpu_us": 1e6 * (paced.cpu_s - steady.cpu_s) / len(paced.took_us),
    }


class _Served(NamedTuple):
    """What came of requests: for each change of clock the time that it took, and the CPU time of all of them here."""

    took_us: list[float]
    cpu_s: float


def _serve(ledger: BoardLedger, clock: BoardClock, rounds: int, shown: int | None) -> _Served:
    """Have requests begin and end, each of which changes the clock, and wait until the file `shown` has it."""
    unit = ledger.board.units[0]
    lowest, highest = (str(round(mhz * 1000)).encode() for mhz in (unit.mhz[0], unit.mhz[-1]))
    took_us: list[float] = []
    cpu_s = 0.0
    for _ in range(rounds // 2):
        lease = ledger.take(0, unit.name, unit.cpus, math.inf)
        assert lease is not None
        timing = Timing(samples_ms=(10.0,), arrival_s=clock.now_s(), deadline_s=clock.now_s())
        for change, wanted in ((partial(ledger.ask, lease, timing), highest), (partial(ledger.release, lease), lowest)):
            started_s, started_cpu_s = time.perf_counter(), time.thread_time()
            change()
            cpu_s += time.thread_time() - started_cpu_s
            while shown is not None and os.pread(shown, len(wanted), 0) != wanted:
                pass
            took_us.append(1e6 * (time.perf_counter() - started_s))
            time.sleep(_BETWEEN_S)
    return _Served(took_us, cpu_s)


def _run_agent(directory: Path, clock: BoardClock, pipe: Connection) -> None:
    """Be the agent of a board, pace one of its units when told to, and say at the end what CPU time that took."""
    machine = Machine(tree=Tree(directory / "root"), state=directory / "state")
    board = _board()
    with BoardAgent(board, apps=["a"], path=directory / "paced", clock=clock, machine=machine) as agent:
        agent.start()
        unit = board.units[0]
        agent.set_clock(unit.name, unit.mhz[1])
        pipe.send("ready")
        pipe.recv()
        agent.set_clock(
            unit.name, unit.mhz[1], Hints(paces={"a": Pace(rest_mhz=unit.mhz[0], least_mhz=unit.mhz[0], share=1.0)})
        )
        before_s = time.process_time()
        pipe.send("paced")
        pipe.recv()
        pipe.send(time.process_time() - before_s)


def _board() -> Board:
    def unit(name: str, kind: str, cpus: tuple[int, ...], dvfs: str, mhz: tuple[float, ...]) -> BoardUnit:
        return BoardUnit(name=name, kind=kind, cpus=cpus, dvfs=dvfs, mhz=mhz, static_w=None, dynamic_w=None)

    clusters = [unit(f"cpu{cpus[0]}", "cpu", cpus, "cpufreq", _MHZ) for cpus in _CLUSTERS]
    gpu = unit("gpu", "gpu", (), "devfreq", _GPU_MHZ)
    return Board(name="bench", units=(*clusters, gpu), base_w=None, sensor="none", power_source="unknown")


def _write_board(root: Path) -> None:
    khz = " ".join(str(round(mhz * 1000)) for mhz in _MHZ)
    hz = " ".join(str(round(mhz * 1e6)) for mhz in _GPU_MHZ)
    files = {f"{_CPU}/{name}": "0-5" for name in ("online", "present", "possible")}
    for cpus in _CLUSTERS:
        policy = f"{_CPU}/cpufreq/policy{cpus[0]}"
        files |= {
            f"{policy}/related_cpus": " ".join(map(str, cpus)),
            f"{policy}/scaling_available_frequencies": khz,
            f"{policy}/scaling_available_governors": "schedutil userspace performance",
            f"{policy}/scaling_governor": "schedutil",
            f"{policy}/scaling_setspeed": "1907200",
            f"{policy}/scaling_cur_freq": "1907200",
            f"{policy}/scaling_min_freq": "1190400",
            f"{policy}/scaling_max_freq": "1907200",
            f"{policy}/cpuinfo_min_freq": "1190400",
            f"{policy}/cpuinfo_max_freq": "1907200",
        }
    files |= {
        f"{_GPU}/device/of_node/name": "gv11b",
        f"{_GPU}/available_frequencies": hz,
        f"{_GPU}/available_governors": "nvhost_podgov performance",
        f"{_GPU}/governor": "nvhost_podgov",
        f"{_GPU}/min_freq": "204000000",
        f"{_GPU}/max_freq": "803250000",
        f"{_GPU}/polling_interval": "0",
    }
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{content}\n")
    # The GPU follows its lowest clock at once, as under a kernel that looks when a limit changes.
    (root / _GPU / "cur_freq").symlink_to("min_freq")


if __name__ == "__main__":
    sys.exit(main())
