"""A task that is about no pictures, for tests of all that must not know what a task is about: words in, words out.

The tiny networks of `helpers.tiny_networks` make a number of a number: `small` keeps it, `large` doubles it. Here the
number is the length of a word, so that `small` answers "tree" with "aaaa" and `large` with "aaaaaaaa".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from supernets.artifact import Artifact
from supernets.errors import SupernetError
from supernets.task import TEXT, Form

CAP = 8
"""Most letters of an answer."""


class WordTask:
    """Words of letters; an answer that has half the letters of its label gets a credit of one half."""

    metric = "mean share of letters"

    def sample(self, payload: object, artifact: Artifact) -> np.ndarray:
        if not isinstance(payload, str) or not payload:
            raise SupernetError(f"an input must be a word, not {payload!r}")
        return np.full(artifact.input_shape, len(payload), dtype=np.float32)

    def takes(self, artifact: Artifact) -> Form:
        return Form(name="x", dtype=TEXT, shape=(1,))

    def gives(self, artifact: Artifact) -> tuple[Form, ...]:
        return (Form(name="y", dtype=TEXT, shape=(1,)),)

    def size(self, sample: np.ndarray) -> float:
        return float(sample.flat[0])

    def work(self, output: np.ndarray) -> float:
        return float(min(output[0], CAP))

    def capped(self, output: np.ndarray) -> bool:
        return bool(output[0] > CAP)

    def payload(self, output: np.ndarray) -> str:
        return "a" * int(self.work(output))

    def credit(self, output: np.ndarray, label: object) -> float:
        said, wanted = len(self.payload(output)), len(str(label))
        return min(said, wanted) / max(said, wanted)


@dataclass(frozen=True)
class Words:
    """Words that are used in turn, each with an answer of as many letters as its label."""

    words: Sequence[object] = ("tree", "oak")
    labels: Sequence[str] | None = ("aaaa", "aaa")
    notice: str = ""
    period: ClassVar[None] = None

    @property
    def task(self) -> WordTask:
        return WordTask()

    def inputs(self, artifact: Artifact) -> Callable[[int], np.ndarray]:
        return lambda index: self.adapt(self.words[index % len(self.words)], artifact)

    def score(self, index: int, output: np.ndarray) -> float | None:
        return None if self.labels is None else self.task.credit(output, self.labels[index % len(self.labels)])

    def adapt(self, payload: object, artifact: Artifact) -> np.ndarray:
        return self.task.sample(payload, artifact)
