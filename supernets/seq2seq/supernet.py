"""The translator as a supernet. Imports torch only for modules and weights."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from supernets import weights_file
from supernets.artifact import Artifact
from supernets.built_in import BuiltIn
from supernets.errors import SupernetError, extra
from supernets.seq2seq import exporting, vocabulary
from supernets.seq2seq.cut import cut, shapes
from supernets.seq2seq.rungs import ladder
from supernets.seq2seq.space import TRANSLATOR, Space, Transformer
from supernets.subnet import SubNet
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import Tensor

    from supernets.seq2seq.static import StaticSeq2Seq

TASK = "translation"
_SENTENCE = 20
"""Sub-words of the sentence, and of its translation, that `SubNet.macs_m` is of: the median of the corpus is 19."""


class Translator(Supernet):
    """A supernet whose sub-networks are encoder-decoder transformers of one space.

    Args:
        space: the space.
        weights: file of the shared weights and the vocabulary, as `supernets.seq2seq.packing` writes it; None for
            random weights, which have no vocabulary.
        source: where that file comes from, `shipped` or `given`.
        ladder_file: ladder file made with those weights; None for the ladder that the weights bring.
    """

    precisions = ("float32",)

    def __init__(self, space: Space, weights: Path | None, source: str, ladder_file: Path | None) -> None:
        self.space = space
        super().__init__(space.name, TASK, weights, source, ladder_file)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of all that decides what an exported sub-network computes, and of the form of its files."""
        return hashlib.sha256(f"{super().weights_hash}{exporting.FORM}".encode()).hexdigest()

    def ladder(self) -> tuple[SubNet, ...]:
        """Return the networks that a file brings, else some with layers all alike, smallest first."""
        brought = self._brought()
        if brought is not None:
            return brought
        return tuple(map(self.subnet, ladder(self.space).values()))

    def subnet(self, architecture: Transformer) -> SubNet:
        """Return a sub-network of the space, whose accuracy is not known.

        Raises:
            SupernetError: for a point outside the space.
        """
        try:
            name = self.space.id(architecture)
        except ValueError as error:
            raise SupernetError(str(error)) from None
        architecture = self.space.canonical(architecture)
        return SubNet(
            id=name,
            knobs=architecture,
            resolution=None,
            macs_m=self.space.macs(architecture, _SENTENCE, _SENTENCE) / 1e6,
            accuracy=None,
            accuracy_source="unknown",
        )

    def _parsed(self, rung: dict[str, Any]) -> SubNet:
        stored = {name: rung[name] for name in Transformer.__dataclass_fields__}
        knobs: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in stored.items()}
        subnet = self.subnet(Transformer(**knobs))
        return replace(subnet, accuracy=rung["accuracy"], accuracy_source=rung["accuracy_source"])

    def calibrated(self, subnet: SubNet) -> bool:
        """Return True, since layer norms have no statistics."""
        return True

    def input_shape(self, subnet: SubNet) -> tuple[int, ...]:
        """Return (1, most sub-words of a sentence)."""
        return 1, self.space.longest

    def module(self, subnet: SubNet) -> StaticSeq2Seq:
        """Return a sub-network in eval mode, with copies of its weights.

        Raises:
            SupernetError: if the weights don't fit.
        """
        with extra("train", f"{self.name} as a torch module"):
            from supernets.seq2seq.static import StaticSeq2Seq

        assert isinstance(subnet.knobs, Transformer)
        return StaticSeq2Seq(self.space, subnet.knobs, self.state)

    def exported(self, subnet: SubNet, path: Path) -> Artifact:
        """Return a sub-network as files, which are made if they are missing.

        Args:
            subnet: the sub-network.
            path: of its encoder.

        Raises:
            SupernetError: if the weights don't fit, or have no vocabulary.
        """
        words = None if self.weights is None else path.with_name(f"{self.name}-{self.base_hash[:12]}.vocabulary")
        if self.weights is not None and words is not None and not words.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = words.with_suffix(f".{os.getpid()}")  # another run may write the same file now
            fresh.write_bytes(vocabulary.of_weights(self.weights))
            fresh.replace(words)
        if not (path.exists() and exporting.step_of(path).exists()):
            assert isinstance(subnet.knobs, Transformer)
            exporting.export_weights(cut(self.space, subnet.knobs, self.arrays), subnet.id, path)
        return exporting.artifact(subnet.id, path, self.space.longest, self.weights_hash, words)

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """The shared weights, float32, by their names in training.

        Raises:
            SupernetError: if they don't fit.
            MissingExtraError: if they are random or no safetensors, and torch is not installed.
        """
        if self.weights is None:
            return {name: tensor.numpy() for name, tensor in self._random_state().items()}
        return weights_file.fitted(weights_file.read_arrays(self.weights), shapes(self.space), self.weights, self.name)

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The same as tensors.

        Raises:
            SupernetError: if they don't fit.
            MissingExtraError: if torch is not installed.
        """
        with extra("train", f"{self.name} as a torch module"):
            import torch

        return {name: torch.tensor(array) for name, array in self.arrays.items()}

    def _random_state(self) -> dict[str, Tensor]:
        with extra("train", f"{self.name} with random weights"):
            import torch

            from supernets.seq2seq.elastic import ElasticSeq2Seq

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return ElasticSeq2Seq(self.space).state_dict()

    def _random_hash(self) -> str:
        return hashlib.sha256(repr(self.space).encode()).hexdigest()


def _opened(weights: Path | None, source: str, ladder_file: Path | None, named_ladder: str | None) -> Supernet:
    return Translator(TRANSLATOR, weights, source, ladder_file)  # none of its ladders has a name


BUILT_IN = (BuiltIn(name=TRANSLATOR.name, task=TASK, open=_opened),)
"""The translator, for the catalog."""
