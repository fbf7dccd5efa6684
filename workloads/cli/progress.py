"""Progress of a command on stderr: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from workloads.cli.output import stdout_kept

_PLAIN_STEP = 0.25
"""Share of a task after which another line is printed where there is no terminal."""


class ProgressLines:
    """Bars and lines of one command, as a context manager; within it, standard output is kept for results.

    A line that can't be shown, since the terminal has gone, does not end what it is about.

    Args:
        quiet: True shows nothing at all.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(file=sys.stderr, quiet=quiet, highlight=False)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}
        self._held = contextlib.ExitStack()

    def __enter__(self) -> ProgressLines:
        self._held.enter_context(stdout_kept())
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            self._bars.stop()

    def lines(self, texts: Iterable[str]) -> None:
        """Print lines above the bars."""
        for text in texts:
            self.line(text)

    def line(self, text: str) -> None:
        """Print a line above the bars."""
        with contextlib.suppress(OSError):
            self._bars.console.print(text, markup=False, soft_wrap=True)

    def update(self, what: str, done: float, total: float) -> None:
        """Show how much of a task is done; the first call makes its bar, and the last removes it.

        Args:
            what: name of the task.
            done: amount done.
            total: amount of the whole task, in the same unit.
        """
        if self._console.is_terminal:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done, visible=done < total)
            return
        step = int(done / total / _PLAIN_STEP) if total else 0
        if step > self._printed.get(what, 0):
            self._printed[what] = step
            self.line(f"{what}: {done / total:.0%}")
