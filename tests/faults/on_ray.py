"""Whole runs on Ray under faults: many in each, from outside and from the user's code inside, and a check at its end.

A fault that can end a run comes last in it: a signal to the command, the death of Ray's own processes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from actors.reaping import reap_dead_runs
from actors.requests.records import Status
from faults import ray_mix
from helpers.command_line import COMMAND, gearshift
from helpers.run_processes import tagged, tagged_processes
from helpers.tiny_networks import network

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 600.0
_GONE_S = 20.0
"""Time within which the processes of a run are to be gone after its end."""
_MOST_LOSSES = 2
"""Most workers that are killed of one application in a run: after five within a minute it is given up."""
_MOST_MANAGERS = 2
_STOPS = ("WorkerActor", "ManagerActor", "AgentActor", "raylet", "gcs_server", "the command")
_LAST = ("", "", "SIGINT", "SIGTERM", "SIGHUP", "SIGINT twice", "kill gcs_server", "kill raylet", "SIGKILL")
"""Faults at the end of a run, one in each; none in most."""


@dataclass
class _Run:
    """One run of the command and what was done to it.

    Attributes:
        process: the command.
        out: directory of its results.
        faults: kinds of the faults that struck, one entry for each.
        last: the fault that was to end it; empty for none.
        err: what it printed to stderr.
    """

    process: subprocess.Popen[str]
    out: Path
    faults: list[str] = field(default_factory=list)
    last: str = ""
    err: str = ""
    stdout: str = ""


def runs_under_faults(
    faults: int, seed: int, duration_s: float, say: Callable[[str], None]
) -> Iterator[tuple[str, str | None]]:
    """Run the command under faults until that many have struck.

    Args:
        faults: how many.
        seed: seed of the first run.
        duration_s: length of each run.
        say: told of each run in one line.

    Yields:
        The kind of each fault, and what did not hold in its run; None if all did.
    """
    struck = 0
    while struck < faults:
        directory = Path("/tmp") / f"gearshift-on-ray-{os.getpid()}-{seed}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        run = _one_run(directory, seed, duration_s)
        broken = None
        try:
            _check(run)
        except AssertionError as error:
            broken = str(error)
            (directory / "stderr").write_text(run.err)
        ended = f"{run.last or 'to its end'}, exit code {run.process.returncode}"
        say(f"seed {seed}: {len(run.faults)} faults, {ended}: {broken or 'held'}")
        yield from ((kind, broken) for kind in run.faults)
        struck += len(run.faults)
        if not run.faults:
            say(f"no fault has struck: {run.err[-500:]}")
            return
        seed += 1
        if broken is None:
            shutil.rmtree(directory)


def _one_run(directory: Path, seed: int, duration_s: float) -> _Run:
    rng = random.Random(seed)
    notes, out = directory / "notes", directory / "out"
    network(directory, "small")
    shutil.copy(directory / "small.onnx", directory / "large.onnx")  # a source serves networks of one shape
    told = {"seed": seed, "duration_s": duration_s, "notes": str(notes), "models": str(directory), "rate": 1.0}
    process = subprocess.Popen(
        [COMMAND, "run", ray_mix.__file__, "--json", "--share", "--out", out, "--seed", str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        cwd=_ROOT,
        env=os.environ | {"GEARSHIFT_FAULTS": json.dumps(told), "PYTHONPATH": str(_ROOT)},
    )
    run = _Run(process, out, last=_LAST[seed % len(_LAST)])
    printed: dict[str, str] = {}
    readers = [
        threading.Thread(target=lambda name=name, stream=stream: printed.update({name: stream.read()}), daemon=True)
        for name, stream in (("out", process.stdout), ("err", process.stderr))
    ]
    for reader in readers:
        reader.start()
    begun_s = _begun(process, notes)
    if begun_s is not None:
        _hurt(run, rng, begun_s + duration_s)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE_S)
    if process.poll() is None:
        run.last = f"{run.last} HANGS"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for reader in readers:
        reader.join(5)
    run.err, run.stdout = printed.get("err", ""), printed.get("out", "")
    if notes.exists():
        run.faults += [json.loads(line)["kind"] for line in notes.read_text().splitlines()]
    return run


def _begun(process: subprocess.Popen[str], notes: Path) -> float | None:
    """Wait until the first request of a run is served; return when that was, None if it ended before."""
    until_s = time.monotonic() + _PATIENCE_S
    while process.poll() is None and time.monotonic() < until_s:
        clocks = [*Path("/dev/shm").glob(f"gearshift-{process.pid}-*/run-*/clock.json")]
        for clock in clocks:
            with suppress(OSError, ValueError):
                zero_s = float(json.loads(clock.read_text())[0])
                time.sleep(max(0.0, zero_s + 0.5 - time.monotonic()))
                return zero_s
        time.sleep(0.05)
    return None


def _hurt(run: _Run, rng: random.Random, end_s: float) -> None:
    """Do something to the run about each second, and what may end it at last."""
    losses: Counter[str] = Counter()
    while time.monotonic() < end_s - 3.0 and run.process.poll() is None:
        time.sleep(rng.uniform(0.2, 1.2))
        what = rng.choice(("stop", "stop", "stop", "kill", "kill manager", "kill agent", "kill helper", "remove out"))
        match what:
            case "stop":
                _stop_for_a_while(run, rng)
            case "kill":
                victims = [process for process in _found(run, "WorkerActor") if losses[_name(process)] < _MOST_LOSSES]
                if victims:
                    victim = rng.choice(victims)
                    losses[_name(victim)] += 1
                    _send([victim], signal.SIGKILL, run, "kill a worker")
            case "kill manager" if losses["manager"] < _MOST_MANAGERS and end_s - time.monotonic() > 8:
                losses["manager"] += 1
                _send(_found(run, "ManagerActor")[:1], signal.SIGKILL, run, "kill the manager")
            case "kill agent" if not losses["agent"] and end_s - time.monotonic() > 8:
                losses["agent"] += 1
                _send(_found(run, "AgentActor")[:1], signal.SIGKILL, run, "kill the board agent")
            case "kill helper" if not losses["helper"]:
                losses["helper"] += 1
                _send(_helpers(run)[:1], signal.SIGKILL, run, "kill the stall watch")
            case "remove out" if not losses["out"] and rng.random() < 0.3:
                losses["out"] += 1
                shutil.rmtree(run.out, ignore_errors=True)
                run.faults.append("remove the results' directory")
    _last(run)


def _last(run: _Run) -> None:
    word, _, name = run.last.partition(" ")
    if not word or run.process.poll() is not None:
        return
    if word == "kill":
        _send(_found(run, name)[:1], signal.SIGKILL, run, run.last)
        return
    for _ in range(2 if name == "twice" else 1):
        _send([psutil.Process(run.process.pid)], signal.Signals[word], run, f"{run.last} to the command")
        time.sleep(0.1)


def _stop_for_a_while(run: _Run, rng: random.Random) -> None:
    whom = rng.choice(_STOPS)
    found = [psutil.Process(run.process.pid)] if whom == "the command" else _found(run, whom)
    if not found:
        return
    victim, long = rng.choice(found), rng.random() < 0.3
    with suppress(psutil.Error):
        victim.suspend()
        time.sleep(rng.uniform(0.8, 2.0) if long else rng.uniform(0.01, 0.3))
        victim.resume()
        run.faults.append(f"stop {whom}")


def _found(run: _Run, name: str) -> list[psutil.Process]:
    found = []
    for process in tagged_processes(run.process.pid):
        with suppress(psutil.Error):
            if name in process.name() or name in " ".join(process.cmdline()[:1]):
                found.append(process)
    return found


def _helpers(run: _Run) -> list[psutil.Process]:
    with suppress(psutil.Error):
        children = psutil.Process(run.process.pid).children()
        return [child for child in children if "host_watch" in " ".join(child.cmdline())]
    return []


def _name(process: psutil.Process) -> str:
    """Return what stays the same when a worker is started again; the kernel's name is cut to 15 letters."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())[:40]
    return ""


def _send(processes: Sequence[psutil.Process], number: int, run: _Run, kind: str) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)
            run.faults.append(kind)


# ---------------------------------------------------------------- what must hold


def _check(run: _Run) -> None:
    code = run.process.returncode
    assert "HANGS" not in run.last, f"it hangs: {run.err[-300:]}"
    _check_gone(run)
    signalled = {"SIGINT": {130}, "SIGTERM": {143}, "SIGHUP": {129}, "SIGKILL": {-9}}.get(run.last.partition(" ")[0])
    assert code in (signalled or {0, 1}), f"exit code {code} after {run.last!r}: {run.err[-300:]}"
    assert "Traceback" not in run.err, run.err[run.err.index("Traceback") :][:600]
    if code == 1:
        reasons = [line for line in run.err.splitlines() if line.startswith("gearshift: ")]
        never_ran = [line for line in run.err.splitlines() if "never ran" in line]
        assert reasons or never_ran, f"exit code 1 without a reason: {run.err[-300:]}"
    if not run.out.is_dir():
        assert "remove the results' directory" in run.faults
        assert code in (-9, *(signalled or ())), "the directory was not written again"
        return
    if code != -9:
        printed: dict[str, Any] = json.loads(run.stdout)
        _check_counts(printed)
        assert all(app["completed"] for app in printed["apps"].values()), f"an app served nothing: {run.err[-600:]}"
        assert printed == json.loads((run.out / "summary.json").read_text()), (
            "the summary is not the one that was printed"
        )
    _check_report(run)


def _check_gone(run: _Run) -> None:
    until_s = time.monotonic() + _GONE_S
    while time.monotonic() < until_s and tagged(run.process.pid):
        time.sleep(0.2)
        if run.process.returncode == -9:
            reap_dead_runs()  # as every start does
    assert not tagged(run.process.pid), f"left over: {tagged(run.process.pid)}"
    left = [str(path) for base in ("/dev/shm", "/tmp") for path in Path(base).glob(f"gearshift-{run.process.pid}-*")]
    assert not left, f"left over: {left}"


def _check_counts(summary: dict[str, Any]) -> None:
    for name, app in summary["apps"].items():
        ended = app["completed"] + app["dropped"] + app["failed"]
        assert app["submitted"] == ended + app["in_flight"], f"{name}: {app}"
        assert sum(app["subnets"].values()) == app["completed"], f"{name}: {app}"


def _check_report(run: _Run) -> None:
    reported = gearshift("report", run.out, "--json")
    if "remove the results' directory" in run.faults and run.process.returncode == -9:
        return  # what was written after its removal went with it
    assert reported.code == 0, reported.err
    summary = json.loads(reported.out)
    _check_counts(summary)
    with np.load(run.out / "requests.npz") as arrays:
        for name, app in summary["apps"].items():
            records = arrays[f"records:{name}"]
            ends = records[records["status"] != Status.ARRIVED]
            first = ends[np.unique(ends["index"], return_index=True)[1]]
            assert app["submitted"] - app["in_flight"] == first.size, f"{name}: not one end for each request"
            in_time = (first["end_s"] - first["arrival_s"]) * 1000 <= first["target_ms"] + 1e-6
            right = int(np.count_nonzero((first["status"] == Status.COMPLETED) & in_time))
            counted = sum(segment["n"] for segment in app["segments"])
            claimed = round((app["on_time"] or 0.0) * counted)
            assert run.process.returncode == -9 or claimed <= right, (
                f"{name}: {claimed} on time, {right} by the records"
            )
