"""The size and the work of a request, as its task tells them, checked."""

from __future__ import annotations

import math

from supernets.outputs import Output
from supernets.task import Sample, Task


def size_of(task: Task, sample: Sample) -> float:
    """Return the size of an input: the work that is expected for it.

    Raises:
        ValueError: for a size that is no finite number above 0.
    """
    return _above_0(task.size(sample), "size")


def work_of(task: Task, output: Output) -> float:
    """Return the work that was done for an output.

    Raises:
        ValueError: for work that is no finite number above 0.
    """
    return _above_0(task.work(output), "work")


def _above_0(value: float, what: str) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"the {what} is {value!r}; it must be a finite number above 0")
    return float(value)
