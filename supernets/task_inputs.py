"""The form in which a task says where its inputs come from. Knows no task in particular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from supernets.evaluation import LabelledData
from supernets.task import Source, Task

DRAWN = "drawn"
"""Word that stands for a folder where labelled data are drawn by seed, as for `ofa-plates`."""


class OpenLabelled(Protocol):
    """A function that opens labelled data."""

    def __call__(self, given: str | None, option: str, *, held_out: bool) -> LabelledData:
        """Open the labelled data that an option asks for.

        Args:
            given: value of the option: a folder, or `DRAWN`; None where it was left out.
            option: name of the option, for messages.
            held_out: True for data to measure on, False for training data.

        Raises:
            SupernetError: if there are no such data for that task.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskInputs:
    """The inputs that an application of a task has or takes.

    Attributes:
        task: the task.
        stream: returns the inputs of an application that names none, by the seed of their choice. Where requests differ
            in size they are the same for each seed, so that a profile is of all.
        stored: returns the inputs in a folder or a file, whose path is as the user wrote it, by the seed of their
            choice. Raises `SupernetError` for a path that holds nothing of this task.
    """

    task: Task
    stream: Callable[[int], Source]
    stored: Callable[[str, int], Source]


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledInputs(TaskInputs):
    """The inputs of a task whose networks can be measured.

    Attributes:
        labelled: opens labelled data.
        has_own: True if there are labelled data where the user gives none, drawn or packaged.
    """

    labelled: OpenLabelled
    has_own: bool
