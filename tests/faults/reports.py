"""`gearshift report` under faults of reads, and of the page that it writes.

It prints the figures that the directory holds or says what is missing, and a page that is there is whole.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from faults.command import check_said, gearshift_under_faults
from faults.points import Killed, Points, Subject
from faults.results import MADE
from faults.system import FILE_KINDS, left_open
from helpers.synthetic_run import Made

_PAGE = "report.html"
_OLD_PAGE = "<p>the page before</p></html>"


def _written(made: Made, directory: Path, rng: random.Random) -> Path:
    if rng.random() < 0.5:
        return made.write(directory / "run")
    return made.write_killed(directory / "run", 2.5)


def _run(points: Points, directory: Path, rng: random.Random) -> None:
    run_dir = _written(MADE, directory, rng)
    as_json = rng.random() < 0.8  # pages take ten times as long
    if rng.random() < 0.5:
        (run_dir / _PAGE).write_text(_OLD_PAGE)
    calm = gearshift_under_faults(Points(points.kind), directory, "report", run_dir, "--json")
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    options = ["--json"] if as_json else []
    try:
        ended = gearshift_under_faults(points, directory, "report", run_dir, *options)
    except Killed:
        ended = None
    if ended is not None:
        check_said(ended, directory)
        assert left_open(directory) == []
        if ended.code:
            assert ended.out == ""
        elif as_json:
            assert json.loads(ended.out) == json.loads(calm.out)
        else:
            assert ended.out.strip() == str(run_dir / _PAGE)
            assert (run_dir / _PAGE).read_text() != _OLD_PAGE
    after = {path.name: path.read_bytes() for path in run_dir.iterdir() if not path.name.startswith(".")}
    page = after.pop(_PAGE, None)
    before.pop(_PAGE, None)
    assert after == before, "a file of the run has changed"
    assert page is None or page.rstrip().endswith(b"</html>"), "half a page"


SUBJECT = Subject(name="reports", kinds=FILE_KINDS, run=_run)
