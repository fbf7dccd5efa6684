"""Accuracy of a prepared sub-network on labelled data. Knows no torch."""

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
"""Plates of a whole evaluation; a multiple of the alphabet, so that every character stands equally often."""

_BATCH = 64


class LabelledData(Protocol):
    """Pictures whose labels are known, ready for any resolution."""

    @property
    def task(self) -> Task:
        """What the labels are of."""
        ...

    def __len__(self) -> int:
        """How many pictures there are."""
        ...

    def batches(
        self, input_shape: tuple[int, ...], size: int, limit: int | None = None, seed: int = 0
    ) -> Iterator[tuple[Tensor, Sequence[object]]]:
        """The pictures as a network takes them, with their labels, in batches; never all in memory.

        Args:
            input_shape: of one inference, (1, channels, height, width).
            size: of a batch; the last may be smaller.
            limit: at most that many pictures, chosen so that all classes are in equal parts; None takes all.
            seed: of that choice.

        Raises:
            SupernetError: for a picture that can't be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class PlateData:
    """Plates drawn by seed, of which there are as many as one asks for.

    Attributes:
        held_out: in the typefaces that training never saw; False are pictures to calibrate with.
    """

    held_out: bool = True

    @property
    def task(self) -> PlateTask:
        """Exact match of all characters."""
        return PlateTask()

    def __str__(self) -> str:
        return "held-out plates" if self.held_out else "training plates"

    def __len__(self) -> int:
        """What an evaluation without a limit draws."""
        return PLATES

    def batches(
        self, input_shape: tuple[int, ...], size: int, limit: int | None = None, seed: int = 0
    ) -> Iterator[tuple[Tensor, Sequence[object]]]:
        """As `LabelledData.batches`; the same seed and limit are the same plates."""
        drawn = _drawn(PLATES if limit is None else limit, seed, self.held_out)
        for start in range(0, len(drawn.texts), size):
            pictures = drawn.pictures[start : start + size]
            yield self.task.adapt(pictures, input_shape), drawn.texts[start : start + size]


@lru_cache(maxsize=2)
def _drawn(count: int, seed: int, held_out: bool) -> plates.Plates:
    """Kept, since every sub-network of a ladder is measured on the same ones (7 kB each)."""
    return plates.draw(count, seed=seed, held_out=held_out, stratified=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many answers were right.

    Attributes:
        right: answers that are.
        n: answers.
        top5: answers with the right class among the five likeliest; None where labels are no classes.
    """

    right: int
    n: int
    top5: int | None

    @property
    def accuracy(self) -> float:
        """Share of right answers."""
        return self.right / self.n


def accuracy(
    run: Run,
    data: LabelledData,
    input_shape: tuple[int, ...],
    limit: int | None = None,
    seed: int = 0,
    on_picture: Callable[[int], None] = lambda done: None,
) -> Score:
    """Runs a prepared sub-network over labelled data, picture by picture, as it is served.

    Args:
        run: the sub-network.
        data: what to run it on.
        input_shape: of the sub-network.
        limit: as for `LabelledData.batches`.
        seed: as for `LabelledData.batches`.
        on_picture: called with how many pictures are done.

    Raises:
        SupernetError: for a picture that can't be read.
    """
    right = n = top5 = 0
    classes = False
    for x, labels in data.batches(input_shape, _BATCH, limit, seed):
        for index, label in enumerate(labels):
            output = run(x[index : index + 1])
            right += data.task.right(output, label)
            classes = isinstance(label, int)
            top5 += classes and label in np.argsort(-output.reshape(-1), kind="stable")[:5]
            n += 1
            on_picture(n)
    return Score(right=right, n=n, top5=top5 if classes else None)
