"""The command `gearshift` in this process, under faults: its exit code and what it printed."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from faults.points import Points
from faults.system import under_faults
from helpers.command_line import Ended
from workloads.cli import _run


def gearshift_under_faults(points: Points, directory: Path, *arguments: object) -> Ended:
    """Run the command from its front door, with faults on the files below a directory.

    Raises:
        Killed: if the process is killed.
    """
    out, err = io.StringIO(), io.StringIO()
    signals: Any = SimpleNamespace(interrupt=lambda: None)
    with (
        patch.object(sys, "argv", ["gearshift", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        under_faults(points, directory),
    ):
        code = cast("int | None", _run(signals))
    return Ended(code or 0, out.getvalue(), err.getvalue())


def check_said(ended: Ended, directory: Path) -> None:
    """Check that a command that failed says why in one sentence that names the file, and how it ends."""
    assert ended.code in (0, 1, 2), ended
    assert "Traceback" not in ended.err
    if ended.code:
        complaints = [line for line in ended.err.splitlines() if line.startswith("gearshift: ")]
        assert complaints, f"exit code {ended.code} without a word: {ended.err!r}"
        assert any(str(directory) in line for line in complaints), f"no file is named: {complaints}"
