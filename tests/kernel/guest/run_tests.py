"""Runs pytest inside a guest and writes a line of JSON per test, which the host collects."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TextIO

import pytest

from kernel.guest import chips
from kernel.guest.levers import BOARD

REPO = Path("/repo")
OUT = Path("/out")
# A test that takes longer has its stack printed on the console, for the case that the guest is then killed. It must
# be a test that hangs: Python 3.11 may crash when it prints the stack of a thread that runs, and a slow test took 60 s.
STACK_AFTER_S = 240


class Reporter:
    """A plugin of pytest: tells tests which bed they are on, and the host how they ended."""

    def __init__(self, lines: TextIO) -> None:
        """Write to an open file."""
        self._lines = lines

    def pytest_addoption(self, parser: pytest.Parser) -> None:
        parser.addoption("--bed", choices=("fake", "real"), default="fake", help="what is behind the device layer")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._write(test=report.nodeid, outcome="failed", seconds=0.0, text=report.longreprtext)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._write(started=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            text = report.longreprtext
            if report.failed:
                text = "\n".join([text, *(f"{title}:\n{printed}" for title, printed in report.sections)])
            elif report.skipped and isinstance(report.longrepr, tuple):
                text = report.longrepr[2]
            self._write(test=report.nodeid, outcome=report.outcome, seconds=round(report.duration, 2), text=text)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write(ended=int(exitstatus))

    def _write(self, **line: object) -> None:
        print(json.dumps(line), file=self._lines, flush=True)


def main() -> int:
    """Put the chips on their bus, and run the tests that the host named."""
    if BOARD.name == "amd64":
        chips.plug_in()
    tests = (OUT / "tests").read_text().splitlines()
    # The conftest of all tests is left out: it is about Ray. Those of other folders are taken.
    apart = REPO / "tests" / "kernel" / "guest"
    options = [f"--config-file={REPO / 'pyproject.toml'}", f"--confcutdir={apart}", "--bed=real"]
    options += ["--color=no", "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={STACK_AFTER_S}"]
    with (OUT / "results.jsonl").open("w") as lines:
        return pytest.main([*options, *(str(REPO / test) for test in tests)], plugins=[Reporter(lines)])


if __name__ == "__main__":
    sys.exit(main())
