"""Starts and ends runs again and again, in all ways, and looks for what they leave: `python -m soak.starts`.

Three in four starts are the command, which runs to its end or gets SIGINT, SIGTERM or SIGKILL at any moment from its
first on. The others are `deploy()` in a loop in one process, whose descriptors and threads may not grow. After each end
no process and no directory of it may be left; after SIGKILL none once another run has started.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from actors.reaping import TAG, reap_dead_runs
from actors.run_places import PREFIX, bases
from helpers.command_line import COMMAND
from helpers.run_processes import tagged
from helpers.tiny_networks import network

ROOT = Path(__file__).parents[2]

_WAYS: tuple[signal.Signals | None, ...] = (None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
_ALLOWED = {None: {0}, signal.SIGINT: {0, 130, -2}, signal.SIGTERM: {0, 143, -15}, signal.SIGKILL: {0, -9}}
"""Exit codes: 0 also where a run had come to its end before the signal, -2 and -15 while Python itself started."""
_TOO_SLOW = "never ran: no gear was ever in force"
"""What a run says with exit code 1 on a machine on which a worker needs longer than the run of a second."""
_LATEST_S = 20.0
"""Latest time of a signal after the start of the command, on a machine that does nothing else."""
_HANGS_S = 300.0
_DEPLOYS = 5
"""Deployments of one process."""

_MIX = """
from gearshift import App, Family, Mix, Periodic


def mix():
    gate = App("gate", supernet=Family({models}), arrivals=Periodic(hz=10), latency_ms=300)
    return Mix("short", duration_s=1, apps=[gate])
"""
_DEPLOY = """
import json, os, sys, threading
import numpy as np
from gearshift import App, External, Family, Mix, deploy
models, deploys = json.loads(sys.argv[1]), int(sys.argv[2])
mix = Mix("short", duration_s=5, apps=[
    App("gate", supernet=Family([tuple(one) for one in models]), arrivals=External(), latency_ms=1000)])
for _ in range(deploys):
    with deploy(mix, share=True) as deployment:
        deployment.infer("gate", np.zeros((1, 4, 4), dtype=np.float32))
    counts = len(os.listdir("/proc/self/fd")), threading.active_count(), len(os.listdir("/proc/self/task"))
    print(json.dumps(counts), flush=True)
"""


class Starts:
    """The starts of one lane, one after another.

    Args:
        seed: seed of the moments at which signals are sent.
        out: directory for what they need and write.
        models: networks of the mix, with their accuracies.
    """

    def __init__(self, seed: int, out: Path, models: Sequence[tuple[str, float]]) -> None:
        self.ended: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._random = random.Random(seed)
        self._out = out
        self._models = models
        self._temporary = out / "tmp"
        self._temporary.mkdir(parents=True)
        self._killed: list[int] = []
        (out / "mix.py").write_text(_MIX.format(models=list(models)))

    def command(self, way: signal.Signals | None) -> None:
        """Start the command, and end it in one of the ways."""
        shutil.rmtree(self._out / "run", ignore_errors=True)
        run = self._start(COMMAND, "run", self._out / "mix.py", "--out", self._out / "run", "--share", "--json")
        after_s = self._random.uniform(0.0, _LATEST_S)
        if way is not None:
            with suppress(subprocess.TimeoutExpired):
                run.wait(after_s)
            run.send_signal(way)
        code = self._wait(run)
        self.ended[f"{way.name if way else 'to its end'}: {code}"] += 1
        said = (self._out / "said").read_text()
        if code not in _ALLOWED[way] and not (code == 1 and _TOO_SLOW in said):
            self._is_wrong(f"{way} after {after_s:.2f} s: exit code {code}: {said[-600:]}")
        self._look(run.pid, code)

    def deployments(self, count: int) -> None:
        """Deploy a mix again and again in one process."""
        run = self._start(sys.executable, "-P", "-c", _DEPLOY, json.dumps(self._models[:1]), count)
        code = self._wait(run)
        seen = [json.loads(line) for line in (self._out / "stdout").read_text().splitlines()]
        self.ended["deploy"] += len(seen)
        if code or len(seen) != count:
            self._is_wrong(f"deploy: exit code {code}: {(self._out / 'said').read_text()[-600:]}")
        if seen and seen[-1] != seen[min(1, len(seen) - 1)]:
            self._is_wrong(f"deploy: descriptors, Python's threads, threads after each: {seen}")
        print("deploy: descriptors, Python's threads, threads after each:", seen, flush=True)
        self._look(run.pid, code)

    def close(self) -> None:
        """Start what any run starts with, and look whether those killed have left anything."""
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"] = str(self._temporary)
        reap_dead_runs()
        os.environ.pop("TMPDIR") if before is None else os.environ.update(TMPDIR=before)
        self._look_after_killed()
        if left := [str(path) for path in self._temporary.iterdir()]:
            self._is_wrong(f"left in TMPDIR: {left}")

    def _start(self, *command: object) -> subprocess.Popen[bytes]:
        with (self._out / "stdout").open("wb") as stdout, (self._out / "said").open("wb") as said:
            return subprocess.Popen(
                [str(word) for word in command],
                cwd=ROOT,
                env=os.environ | {"TMPDIR": str(self._temporary), "PYTHONPATH": str(ROOT)},
                stdout=stdout,
                stderr=said,
                start_new_session=True,
            )

    def _wait(self, run: subprocess.Popen[bytes]) -> int | None:
        try:
            return run.wait(_HANGS_S)
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
            return None

    def _is_wrong(self, what: str) -> None:
        self.wrong.append(what)
        print(what, flush=True)

    def _look(self, pid: int, code: int | None) -> None:
        if code == -signal.SIGKILL:
            self._killed.append(pid)
            return
        self._look_for(pid, f"exit code {code}")
        if code == 0:  # it has come so far as to remove what the killed have left
            self._look_after_killed()

    def _look_after_killed(self) -> None:
        for pid in self._killed:
            self._look_for(pid, "SIGKILL and another run")
        self._killed.clear()

    def _look_for(self, pid: int, after: str) -> None:
        end_s = time.monotonic() + 20.0  # a process that was killed needs a moment
        while (left := [*tagged(pid), *directories(pid, self._temporary)]) and time.monotonic() < end_s:
            time.sleep(0.5)
        if left:
            self._is_wrong(f"left after {after}: {left}")


def directories(pid: int, temporary: Path) -> Iterator[str]:
    """Yield the directories of a driver's runs."""
    for base in {*bases(), temporary}:
        yield from map(str, base.glob(f"{PREFIX}{pid}-*"))


def main(words: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        words: command line without the program's name; None takes the process's own.

    Returns:
        0 if nothing was left and every exit code was right, else 1.
    """
    parser = argparse.ArgumentParser(prog="soak.starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=200, help="how many; the default is 200")
    parser.add_argument("--lanes", type=int, default=1, help="how many at once; the default is 1")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of signals")
    parser.add_argument("--out", type=Path, default=Path("build/starts"), help="where files go")
    chosen = parser.parse_args(words)
    assert TAG not in os.environ, "a run can't start runs"
    shutil.rmtree(chosen.out, ignore_errors=True)
    models_dir = chosen.out.absolute() / "models"
    models_dir.mkdir(parents=True)
    models = [(str(network(models_dir, "small").path), 0.6), (str(network(models_dir, "large").path), 0.9)]
    lanes = [Starts(chosen.seed + lane, chosen.out.absolute() / f"lane-{lane}", models) for lane in range(chosen.lanes)]
    deploys = chosen.starts // 4 // _DEPLOYS
    work = [*["deploy"] * deploys, *[_WAYS[n % len(_WAYS)] for n in range(chosen.starts - deploys * _DEPLOYS)]]
    random.Random(chosen.seed).shuffle(work)
    begun_s = time.monotonic()

    def go_on(lane: Starts) -> None:
        while work:
            with suppress(IndexError):
                one = work.pop()
                lane.deployments(_DEPLOYS) if one == "deploy" else lane.command(one)
                print(
                    f"{time.monotonic() - begun_s:.0f} s: {len(work)} to go, {sum(len(x.wrong) for x in lanes)} wrong",
                    flush=True,
                )
        lane.close()

    threads = [threading.Thread(target=go_on, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ended = sum((lane.ended for lane in lanes), Counter())
    wrong = [line for lane in lanes for line in lane.wrong]
    print(f"{ended.total()} starts in {time.monotonic() - begun_s:.0f} s: {dict(sorted(ended.items()))}")
    print("\n".join(wrong) or "nothing was left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
