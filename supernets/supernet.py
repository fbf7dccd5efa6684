"""A supernet as a user handles it: its ladder, and modules with one sub-network's weights.

`supernets.catalog` lists the supernets and opens them by name. Torch is imported only where a module is asked for, so
that reading a ladder stays cheap.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernets import weights_file
from supernets.artifact import PRECISIONS
from supernets.errors import BROKEN, SupernetError, known_options
from supernets.subnet import SubNet

if TYPE_CHECKING:
    import onnx
    from torch import nn


class Supernet(ABC):
    """A set of sub-networks that share one set of weights.

    Args:
        name: its name in the catalog.
        task: what its sub-networks do, one of `supernets.inputs.INPUTS`.
        weights: file of the state dict; None for random weights.
        source: where that file comes from, `shipped` or `given`.
        ladder_file: file of sub-networks and their batch-norm statistics, made with those weights; None for what the
            weights bring themselves.

    Attributes:
        weights_source: `shipped`, `given` or `random`.
        precisions: number formats that its sub-networks can be exported for, some of `supernets.artifact.PRECISIONS`.

    Raises:
        SupernetError: if a file is missing, can't be read, or the ladder was made with other weights.
    """

    precisions: tuple[str, ...] = PRECISIONS

    def __init__(
        self, name: str, task: str, weights: Path | None, source: str, ladder_file: Path | None = None
    ) -> None:
        self.name = name
        self.task = task
        self.weights = weights
        self.weights_source = source if weights is not None else "random"
        self._ladder_file = ladder_file or weights
        self._about = weights_file.read_metadata(self._ladder_file) if self._ladder_file else {}
        if weights is not None and weights != self._ladder_file:
            weights_file.read_metadata(weights)
        if ladder_file is not None:
            self._check_ladder_file(ladder_file)

    def _check_ladder_file(self, file: Path) -> None:
        made_for = self._about.get("supernet")
        if not self._brings_ladder or made_for is None:
            raise SupernetError(f"{file} is no ladder file; `gearshift ladder` writes one")
        if made_for != self.weights_name:
            raise SupernetError(f"{file} is a ladder of {made_for!r}, not of {self.weights_name!r}")
        if self._about.get("weights_hash") != self.base_hash:
            raise SupernetError(
                f"{file} was made with other weights of {self.name} ({self._about.get('weights_hash', '')[:12]}) than "
                f"these ({self.base_hash[:12]}): its statistics would not fit; give its weights, or make it again"
            )

    @property
    def weights_name(self) -> str:
        """The name that ladder files made with these weights bear."""
        return self.name

    @cached_property
    def base_hash(self) -> str:
        """SHA-256 of the weights file; for random weights, of what they are drawn for."""
        return weights_file.file_hash([self.weights]) if self.weights else self._random_hash()

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of all that decides what a sub-network computes: the weights and the ladder's statistics."""
        if self._ladder_file == self.weights:
            return self.base_hash
        assert self._ladder_file is not None
        return hashlib.sha256(f"{self.base_hash}{weights_file.file_hash([self._ladder_file])}".encode()).hexdigest()

    @property
    def notice(self) -> str | None:
        """A warning that a user must read before believing an output; None where there is none."""
        if self.weights_source != "random":
            return None
        return (
            f"{self.name} has random weights: its latencies are real, its outputs mean nothing, and published "
            f"accuracies hold for the official weights only (--weights {self.name}=FILE)"
        )

    @abstractmethod
    def ladder(self) -> tuple[SubNet, ...]:
        """Return the sub-networks to choose from, smallest first.

        Raises:
            SupernetError: if a file brings a ladder of another space.
        """

    def rung(self, subnet: str) -> SubNet:
        """Return the sub-network of the ladder with an identifier.

        Raises:
            SupernetError: if the ladder has none with it.
        """
        rungs = {rung.id: rung for rung in self.ladder()}
        if subnet not in rungs:
            raise SupernetError(
                f"sub-network {subnet!r} is not on the ladder of {self.name}. {known_options(subnet, rungs)}"
            )
        return rungs[subnet]

    @abstractmethod
    def module(self, subnet: SubNet) -> nn.Module:
        """Return a sub-network as a module of standard layers, in eval mode.

        Its batch-norm statistics are its own where a file brings them, else the supernet's.

        Raises:
            SupernetError: if the weights don't fit.
        """

    def onnx_model(self, subnet: SubNet) -> onnx.ModelProto | None:
        """Return a sub-network as an ONNX model that was made without torch; None where only torch can export it.

        Raises:
            SupernetError: if the weights don't fit.
        """
        return None

    def calibrated(self, subnet: SubNet) -> bool:
        """Return True if a sub-network has batch-norm statistics of its own; else it takes the supernet's, sliced."""
        return bool(self._statistics(subnet))

    @abstractmethod
    def input_shape(self, subnet: SubNet) -> tuple[int, ...]:
        """Return the shape of one input, (1, channels, height, width) or (1, most sub-words)."""

    @abstractmethod
    def _random_hash(self) -> str:
        """Return a hash of what the random weights depend on."""

    @property
    def _brings_ladder(self) -> bool:
        return "ladder" in self._about

    def _brought(self) -> tuple[SubNet, ...] | None:
        """Return the ladder that a file brings; None where no file brings one.

        Raises:
            SupernetError: if that ladder is of another space.
        """
        if not self._brings_ladder:
            return None
        try:
            return tuple(self._parsed(rung) for rung in json.loads(self._about["ladder"]))
        except BROKEN as error:
            raise SupernetError(f"{self._ladder_file} brings a ladder that is none of {self.name}: {error}") from None

    @abstractmethod
    def _parsed(self, rung: dict[str, Any]) -> SubNet:
        """Return the sub-network that `weights_file.save` wrote as this mapping.

        Raises:
            ValueError, KeyError, TypeError: if the mapping is no sub-network of this supernet.
        """

    def _statistics(self, subnet: SubNet) -> weights_file.Arrays:
        """Return the batch-norm statistics that a file brings for a sub-network; empty where none does."""
        return weights_file.read_statistics(self._ladder_file, subnet) if self._ladder_file is not None else {}

    def _with_statistics(self, module: nn.Module, subnet: SubNet) -> nn.Module:
        import torch

        own = {name: torch.tensor(array) for name, array in self._statistics(subnet).items()}
        module.load_state_dict(own, strict=False)
        return module
