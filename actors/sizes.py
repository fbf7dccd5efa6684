"""The size and the work of a request, as the task of its source tells them; 1 where a source has no task."""

from __future__ import annotations

import math

from supernets.outputs import Output
from supernets.pictures.sources import Source


def size_of(source: Source, sample: object) -> float:
    """Return the size of an input: the work that is expected for it.

    Raises:
        ValueError: for a size that is no finite number above 0.
    """
    task = getattr(source, "task", None)
    return 1.0 if task is None else _above_0(task.size(sample), "size")


def work_of(source: Source, output: Output) -> float:
    """Return the work that was done for an output.

    Raises:
        ValueError: for work that is no finite number above 0.
    """
    task = getattr(source, "task", None)
    return 1.0 if task is None else _above_0(task.work(output), "work")


def _above_0(value: float, what: str) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"the {what} is {value!r}; it must be a finite number above 0")
    return float(value)
