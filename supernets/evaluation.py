"""The accuracy of a prepared sub-network on labelled data: a mean of credits. Knows no torch and no task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from supernets.artifact import Artifact
from supernets.engines.common import Run
from supernets.errors import SupernetError
from supernets.outputs import Output
from supernets.task import CorpusFigure, CorpusTask, Sample, Task

EVALUATED_AT_ONCE = 64
"""Inputs that are made ready together, though each then runs alone: several threads can read them."""


class LabelledData(Protocol):
    """Inputs with known labels, for all networks of a task."""

    @property
    def task(self) -> Task:
        """The task that the labels belong to."""
        ...

    @property
    def directory(self) -> Path | None:
        """The folder that they are read from; None where they are drawn by seed or come with the network."""
        ...

    @property
    def notice(self) -> str:
        """A sentence on what is left out of them; empty for nothing."""
        ...

    def __len__(self) -> int:
        """Return the number of inputs."""
        ...

    def samples(self, artifact: Artifact, limit: int | None = None, seed: int = 0) -> Iterator[tuple[Sample, object]]:
        """Yield the inputs as a network takes them, with their labels; they are never all in memory.

        Args:
            artifact: the network.
            limit: at most that many inputs, with all classes in equal parts where there are classes; None takes all.
            seed: seed of that choice.

        Yields:
            A sample and its label.

        Raises:
            SupernetError: for an input that can't be read.
        """
        ...


@runtime_checkable
class BatchedData(LabelledData, Protocol):
    """Labelled data of networks that can be calibrated on batches: those with batch norm."""

    def batches(
        self, input_shape: tuple[int, ...], size: int, limit: int | None = None, seed: int = 0
    ) -> Iterator[tuple[NDArray[np.float32], Sequence[object]]]:
        """Yield the inputs as a network takes them, with their labels, in batches; they are never all in memory.

        Args:
            input_shape: shape of one input, (1, ...).
            size: inputs of a batch; the last batch may be smaller.
            limit: at most that many inputs, with all classes in equal parts; None takes all.
            seed: seed of that choice.

        Yields:
            Inputs (n, ...), and n labels.

        Raises:
            SupernetError: for an input that can't be read.
        """
        ...


def batched(data: LabelledData, option: str) -> BatchedData:
    """Return training data to calibrate networks on.

    Args:
        data: the data.
        option: name of the option that they were given for, for the message.

    Raises:
        SupernetError: if they come in no batches, since networks of their task have no batch norm.
    """
    if not isinstance(data, BatchedData):
        raise SupernetError(
            f"{option} has no use with {data}: these networks have no batch-norm statistics; leave it out"
        )
    return data


def one_by_one(
    batches: Iterator[tuple[NDArray[np.float32], Sequence[object]]],
) -> Iterator[tuple[NDArray[np.float32], object]]:
    """Yield each input (1, ...) of some batches (n, ...) with its label."""
    for x, labels in batches:
        for index, label in enumerate(labels):
            yield x[index : index + 1], label


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyScore:
    """The result of an evaluation.

    Attributes:
        credits: the credit of each answer, 0 to 1.
        top5: number of answers with the right class among the five likeliest; None where labels are no classes.
        capped: number of answers that were cut at their cap.
        figures: figures over all answers together, where the task has some.
    """

    credits: tuple[float, ...]
    top5: int | None = None
    capped: int = 0
    figures: tuple[CorpusFigure, ...] = ()

    @property
    def n(self) -> int:
        """Number of answers."""
        return len(self.credits)

    @property
    def right(self) -> int:
        """Number of answers with the whole credit."""
        return sum(credit == 1 for credit in self.credits)

    @property
    def accuracy(self) -> float:
        """The mean credit (0 to 1): where answers are right or wrong, the share of right ones."""
        return float(np.mean(self.credits))


def accuracy(
    run: Run,
    data: LabelledData,
    artifact: Artifact,
    limit: int | None = None,
    seed: int = 0,
    on_answer: Callable[[int], None] = lambda done: None,
) -> AccuracyScore:
    """Run a prepared sub-network over labelled data, one input at a time as in serving, and credit its answers.

    Args:
        run: the prepared sub-network.
        data: the labelled inputs.
        artifact: the files from which it was prepared.
        limit: at most that many inputs, with all classes in equal parts where there are classes; None takes all.
        seed: seed of that choice.
        on_answer: called with the number of inputs that are done.

    Raises:
        SupernetError: for an input that can't be read.
    """
    earned, top5, capped = list[float](), 0, 0
    are_classes = False
    over_all = data.task.over_all if isinstance(data.task, CorpusTask) else None
    answers: list[tuple[Output, object]] = []
    for sample, label in data.samples(artifact, limit, seed):
        output = run(sample)
        earned.append(data.task.credit(output, label))
        capped += data.task.capped(output)
        are_classes = isinstance(label, int)
        top5 += are_classes and _is_among_five(output, label)
        if over_all is not None:
            answers.append((output, label))
        on_answer(len(earned))
    return AccuracyScore(
        credits=tuple(earned),
        top5=top5 if are_classes else None,
        capped=capped,
        figures=over_all(answers) if over_all is not None else (),
    )


def _is_among_five(output: Output, label: object) -> bool:
    """Return True if a class is among the five of the largest outputs."""
    assert isinstance(output, np.ndarray)  # networks of supernets have one output
    return label in np.argsort(-output.reshape(-1), kind="stable")[:5]
