"""What `gearshift run` prints of its runs: of all that came to their end, and of one that did not as far as it goes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import typer

from workloads.cli.options import print_result
from workloads.cli.output import complain, print_json
from workloads.report.table import summary_table
from workloads.results.concessions import Concession
from workloads.results.run_dir import EnergyNote, RunDirError, read_energy_note, read_given, read_troubles
from workloads.results.summary import Summary
from workloads.results.troubles import AppTroubles
from workloads.runs.failure import Failure, RunError


class RunResults:
    """The runs of one command, as a context manager that prints what there is when one of them fails.

    Args:
        as_json: print the summary as JSON and nothing else.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._runs: list[tuple[Summary, Path]] = []
        self._metrics: Mapping[str, str] = {}
        self._failure: Failure | None = None
        self._emulated = False

    def __enter__(self) -> RunResults:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._failure is not None:
            if self._runs:
                self.show(self._emulated)
                self._print_troubles()
            elif not isinstance(error, RunError):
                complain("nothing had been served yet, so there is no summary")

    def begin(self, metrics: Mapping[str, str]) -> None:
        """Take the words for the accuracy of each app, of those where they are known."""
        self._metrics = metrics

    def add(self, summary: Summary, directory: Path) -> None:
        """Take a run that has come to its end."""
        self._runs.append((summary, directory))

    def failed(self, failure: Failure, directory: Path, emulated: bool) -> None:
        """Take what there is of a run that failed or was interrupted."""
        self._failure, self._emulated = failure, emulated
        if failure.summary is not None:
            self.add(failure.summary, directory)

    def show(self, emulated: bool) -> None:
        """Print the summaries.

        Args:
            emulated: True if the board's clocks are emulated.
        """
        if self._as_json:
            print_json(self._runs[0][0].to_json())
            return
        failure = self._failure
        cut = [failure is not None and not failure.is_whole and one is failure.summary for one, _ in self._runs]
        notes = [_note(directory) for _, directory in self._runs]
        try:
            print_result(
                summary_table(
                    [summary for summary, _ in self._runs],
                    emulated=emulated,
                    notes=notes,
                    cut_short=cut,
                    metrics=self._metrics,
                    given=[_given(summary, directory) for summary, directory in self._runs],
                )
            )
        finally:  # also where standard output is full
            print(f"gearshift report {self._runs[0][1]}  draws this run", file=sys.stderr)

    def check_all_ran(self) -> None:
        """Print what went wrong with the apps, and end the command with exit code 1 if one of them never ran."""
        if any(one.never_ran for one in self._print_troubles()):
            raise typer.Exit(1)

    def _print_troubles(self) -> list[AppTroubles]:
        troubles = []
        for _, directory in self._runs:
            with suppress(RunDirError):  # the directory was lost on the way; the command says so at its end
                troubles += read_troubles(directory)
        for line in (line for one in troubles for line in one.lines()):
            print(line, file=sys.stderr)
        return troubles


def _given(summary: Summary, directory: Path) -> tuple[Concession, ...]:
    try:
        return read_given(directory, summary)
    except RunDirError:  # as in `_note`
        return ()


def _note(directory: Path) -> EnergyNote | None:
    try:
        return read_energy_note(directory)
    except RunDirError:  # the directory was lost on the way; the command says so at its end
        return None
