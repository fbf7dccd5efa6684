"""Labelled plates, drawn by seed, to measure networks on or to calibrate them with. Knows no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from supernets.artifact import Artifact
from supernets.evaluation import EVALUATED_AT_ONCE, one_by_one
from supernets.pictures import plates
from supernets.pictures.tasks import PlateTask, Tensor

PLATES = 10_560
"""Plates of a whole evaluation; a multiple of the alphabet's size, so that every character is equally frequent."""


@dataclass(frozen=True, slots=True)
class PlateData:
    """Plates that are drawn by seed, as many as one asks for.

    Attributes:
        held_out: True for typefaces that training never saw; False for pictures to calibrate with.
    """

    held_out: bool = True

    @property
    def notice(self) -> str:
        """Nothing: all that is drawn is used."""
        return ""

    @property
    def directory(self) -> None:
        """None: plates are drawn."""
        return None

    @property
    def task(self) -> PlateTask:
        """The plate task: all characters must match exactly."""
        return PlateTask()

    def __str__(self) -> str:
        return "held-out plates" if self.held_out else "training plates"

    def __len__(self) -> int:
        """Return the number of plates that an evaluation without a limit draws."""
        return PLATES

    def samples(self, artifact: Artifact, limit: int | None = None, seed: int = 0) -> Iterator[tuple[Tensor, object]]:
        """Yield the plates as the network takes them, one by one, with their texts."""
        return one_by_one(self.batches(artifact.input_shape, EVALUATED_AT_ONCE, limit, seed))

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
