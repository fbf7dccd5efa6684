"""The accuracy of a prepared sub-network on labelled data. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from supernets.engines.common import Run
from supernets.pictures import plates
from supernets.pictures.sources import PlateTask, Task, Tensor

PLATES = 10_560
"""Plates of a whole evaluation; a multiple of the alphabet's size, so that every character is equally frequent."""

_BATCH = 64


class LabelledData(Protocol):
    """Pictures with known labels, for networks of any resolution."""

    @property
    def task(self) -> Task:
        """The task that the labels belong to."""
        ...

    def __len__(self) -> int:
        """Return the number of pictures."""
        ...

    def batches(
        self, input_shape: tuple[int, ...], size: int, limit: int | None = None, seed: int = 0
    ) -> Iterator[tuple[Tensor, Sequence[object]]]:
        """Yield the pictures as a network takes them, with their labels, in batches; they are never all in memory.

        Args:
            input_shape: shape of one input, (1, channels, height, width).
            size: pictures of a batch; the last batch may be smaller.
            limit: at most that many pictures, with all classes in equal parts; None takes all.
            seed: seed of that choice.

        Yields:
            Inputs (n, channels, height, width), and n labels.

        Raises:
            SupernetError: for a picture that can't be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlateData:
    """Plates that are drawn by seed, as many as one asks for.

    Attributes:
        held_out: True for typefaces that training never saw; False for pictures to calibrate with.
    """

    held_out: bool = True

    @property
    def task(self) -> PlateTask:
        """The plate task: all characters must match exactly."""
        return PlateTask()

    def __str__(self) -> str:
        return "held-out plates" if self.held_out else "training plates"

    def __len__(self) -> int:
        """Return the number of plates that an evaluation without a limit draws."""
        return PLATES

    def batches(
        self, input_shape: tuple[int, ...], size: int, limit: int | None = None, seed: int = 0
    ) -> Iterator[tuple[Tensor, Sequence[object]]]:
        """Yield batches of plates and their texts; the same seed and limit give the same plates."""
        drawn = _drawn(PLATES if limit is None else limit, seed, self.held_out)
        for start in range(0, len(drawn.texts), size):
            pictures = drawn.pictures[start : start + size]
            yield self.task.adapt(pictures, input_shape), drawn.texts[start : start + size]


@lru_cache(maxsize=2)
def _drawn(count: int, seed: int, held_out: bool) -> plates.Plates:
    """Draw plates, and keep them: every sub-network of a ladder is measured on the same ones (7 kB each)."""
    return plates.draw(count, seed=seed, held_out=held_out, stratified=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class AccuracyScore:
    """The result of an evaluation.

    Attributes:
        right: number of right answers.
        n: number of answers.
        top5: number of answers with the right class among the five likeliest; None where labels are no classes.
    """

    right: int
    n: int
    top5: int | None

    @property
    def accuracy(self) -> float:
        """The share of right answers (0 to 1)."""
        return self.right / self.n


def accuracy(
    run: Run,
    data: LabelledData,
    input_shape: tuple[int, ...],
    limit: int | None = None,
    seed: int = 0,
    on_picture: Callable[[int], None] = lambda done: None,
) -> AccuracyScore:
    """Run a prepared sub-network over labelled data, one picture at a time as in serving, and count right answers.

    Args:
        run: the prepared sub-network.
        data: the labelled pictures.
        input_shape: shape of one input, (1, channels, height, width).
        limit: at most that many pictures, with all classes in equal parts; None takes all.
        seed: seed of that choice.
        on_picture: called with the number of pictures that are done.

    Raises:
        SupernetError: for a picture that can't be read.
    """
    right = n = top5 = 0
    classes = False
    for x, labels in data.batches(input_shape, _BATCH, limit, seed):
        for index, label in enumerate(labels):
            output = run(x[index : index + 1])
            assert isinstance(output, np.ndarray)  # networks of supernets have one output
            right += data.task.right(output, label)
            classes = isinstance(label, int)
            top5 += classes and label in np.argsort(-output.reshape(-1), kind="stable")[:5]
            n += 1
            on_picture(n)
    return AccuracyScore(right=right, n=n, top5=top5 if classes else None)
