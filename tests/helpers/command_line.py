"""The command `gearshift`, run in this process, and a check of how it refuses bad input."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from workloads.cli.command import app

COMMAND = Path(sys.executable).with_name("gearshift")


@dataclass
class Ended:
    """A command that has ended: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


def gearshift(*arguments: object) -> Ended:
    """Run the command with these arguments in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def assert_refused(ended: Ended, *says: str) -> None:
    """Check that there is one message on one line, with all of that in it, and nothing else."""
    assert ended.code == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err
    (line,) = ended.err.splitlines()
    assert line.startswith("gearshift: ")
    for part in says:
        assert part in line
