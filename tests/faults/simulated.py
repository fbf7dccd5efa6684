"""`gearshift run --backend sim` from end to end under faults: its mix, its board and the directory that it writes.

It ends with exit code 0 and a whole directory, or it says what failed, and what it has written is no less than true.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from faults.command import check_said, gearshift_under_faults
from faults.points import Killed, Points, Subject
from faults.results import read_if_enough
from faults.system import FILE_KINDS, left_open
from helpers.live_runs import assert_counts_add_up
from workloads.results.run_dir import read_run
from workloads.results.trace import TRACE_FILE, read_trace

_BOARD = Path(__file__).parents[2] / "actors" / "boards" / "two-core-host.yaml"
_MIX = """
from workloads import App, Mix, Periodic, Poisson, Trace, at

def mix():
    return Mix("faults", duration_s=1.0, apps=[
        App("a", supernet="ofa-plates", arrivals=Trace("arrivals.csv"), latency_ms=150),
        App("b", supernet="ofa-plates", arrivals=Poisson(hz={hz}), latency_ms=100),
    ], events=[at(0.3, "a", latency_ms=80), at(0.5, unit="big", max_mhz=1200.0), at(0.7, remove="b")])
"""


def _run(points: Points, directory: Path, rng: random.Random) -> None:
    mix, board, out = directory / "mix.py", directory / "board.yaml", directory / "out"
    mix.write_text(_MIX.format(hz=rng.choice((5, 10, 20))).replace("arrivals.csv", str(directory / "arrivals.csv")))
    (directory / "arrivals.csv").write_text("\n".join(f"{0.05 * number:.2f}" for number in range(20)) + "\n")
    board.write_bytes(_BOARD.read_bytes())
    arguments = ["run", mix, "--backend", "sim", "--board", board, "--out", out, "--json"]
    arguments += ["--policy", rng.choice(("joint", "schedutil", "floor+schedutil"))]
    try:
        ended = gearshift_under_faults(points, directory, *arguments)
    except Killed:
        ended = None
    if ended is not None:
        check_said(ended, directory)
        assert left_open(directory) == []
    if ended is not None and ended.code == 0:
        run = read_run(out)
        assert run.missing == (), "the command said nothing of it"
        assert json.loads(ended.out) == run.summary.to_dict()
        read_trace(out / TRACE_FILE)
    elif ended is not None and ended.out:
        json.loads(ended.out)
    if ended is not None and ended.code == 2:
        left = {path.name for path in out.iterdir()} if out.exists() else set()
        assert left <= {".writable"}, f"input was refused, but there is {left}"
    if out.is_dir():
        _check_directory(out)


def _check_directory(out: Path) -> None:
    run = read_if_enough(out)
    for app in run.summary.apps.values() if run is not None else ():
        assert_counts_add_up(app)
    if (out / TRACE_FILE).exists():
        read_trace(out / TRACE_FILE)  # raises where there is half of it


SUBJECT = Subject(name="simulated", kinds=FILE_KINDS, run=_run)
