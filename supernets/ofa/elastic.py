"""Supernets of elastic MobileNetV3s: any point of a `Space` is cut out of one set of weights. Imports torch late."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from supernets import published, weights_file
from supernets.built_in import BuiltIn
from supernets.errors import SupernetError, extra
from supernets.ofa import official_names
from supernets.ofa.cut import cut, shapes
from supernets.ofa.space import Architecture, Space
from supernets.ofa.spaces import SPACES
from supernets.subnet import SubNet
from supernets.supernet import Supernet

if TYPE_CHECKING:
    import onnx

    from supernets.ofa.mobilenet import ElasticMobileNetV3, StaticMobileNetV3


def published_rungs(space: Space, published_set: str) -> tuple[SubNet, ...]:
    """Return the sub-networks of a published set, smallest first.

    Args:
        space: the space that they are points of.
        published_set: name of the set, such as `gpu6`.
    """
    return tuple(
        space.subnet(rung.knobs, rung.resolution, rung.top1, "published")
        for rung in published.ladders()[published_set].rungs
    )


class ElasticSupernet(Supernet):
    """A supernet whose sub-networks are the points of a space.

    Args:
        space: the space.
        weights: file of the state dict, by gearshift's names or the official Once-for-all ones; None for random
            weights.
        source: where that file comes from, `shipped` or `given`.
        ladder_file: file of sub-networks made with those weights; None for the ladder that the weights bring.
        published_set: name of the published ladder to take, whatever a file brings; None for the file's, else the
            supernet's default set, else the space's two ends.
        name: name in the catalog; None for the space's name.
    """

    def __init__(
        self,
        space: Space,
        weights: Path | None,
        source: str,
        ladder_file: Path | None = None,
        published_set: str | None = None,
        name: str | None = None,
    ) -> None:
        self.space = space
        super().__init__(name or space.name, space.task, weights, source, ladder_file)
        self._published_set = published_set

    def ladder(self) -> tuple[SubNet, ...]:
        """Return the sub-networks to choose from, smallest first.

        They come with the weights or in a ladder file; else they are a published set, or the space's two ends, of
        unknown accuracy.

        Raises:
            SupernetError: if a file brings a ladder of another space.
        """
        brought = self._brought() if self._published_set is None else None
        if brought is not None:
            return brought
        chosen = self._published_set or published.DEFAULT_LADDERS.get(self.space.name)
        if chosen is not None:
            return published_rungs(self.space, chosen)
        return (
            self.space.subnet(self.space.smallest, self.space.resolutions[0]),
            self.space.subnet(self.space.largest, self.space.resolutions[-1]),
        )

    def _parsed(self, rung: dict[str, Any]) -> SubNet:
        knobs = Architecture(kernel=tuple(rung["kernel"]), expand=tuple(rung["expand"]), depth=tuple(rung["depth"]))
        return self.space.subnet(
            knobs,
            rung["resolution"],
            rung["accuracy"],
            rung["accuracy_source"],
            rung.get("precision", "float32"),
        )

    def subnet(self, kernel: Sequence[int], expand: Sequence[int], depth: Sequence[int], resolution: int) -> SubNet:
        """Return any point of the space. It is calibrated only if it is on the ladder.

        Args:
            kernel: kernel size of every block, stage after stage, each at its greatest depth.
            expand: expansion ratio of every block, in that order.
            depth: number of blocks of every stage.
            resolution: input height in pixels.

        Raises:
            SupernetError: for a point outside the space.
        """
        architecture = Architecture(kernel=tuple(kernel), expand=tuple(expand), depth=tuple(depth))
        try:
            subnet = self.space.subnet(architecture, resolution)
        except ValueError as error:
            raise SupernetError(str(error)) from None
        point = (subnet.knobs, subnet.resolution)
        return next((rung for rung in self.ladder() if (rung.knobs, rung.resolution) == point), subnet)

    def input_shape(self, subnet: SubNet) -> tuple[int, int, int, int]:
        """Return the shape of one input, (1, channels, resolution, aspect · resolution)."""
        assert subnet.resolution is not None  # those of this family take pictures
        return self.space.input_shape(subnet.resolution)

    def module(self, subnet: SubNet) -> StaticMobileNetV3:
        """Return a sub-network as a module of standard layers, in eval mode.

        Its batch-norm statistics are its own where a file brings them, else the supernet's.
        """
        assert isinstance(subnet.knobs, Architecture)
        module = self.network.extract(subnet.knobs)
        self._with_statistics(module, subnet)
        return module

    def onnx_model(self, subnet: SubNet) -> onnx.ModelProto:
        """Return a sub-network as an ONNX model, with the statistics of `module`.

        Raises:
            SupernetError: if the weights don't fit.
            MissingExtraError: if the weights are random or no safetensors, and torch is not installed.
        """
        from supernets.ofa import graphs

        assert isinstance(subnet.knobs, Architecture)
        assert subnet.resolution is not None  # those of this family take pictures
        own = cut(self.space, subnet.knobs, self.arrays) | self._statistics(subnet)
        return graphs.model(self.space, subnet.knobs, subnet.resolution, own)

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """The weights of the whole supernet, float32, by the names of `ElasticMobileNetV3`.

        Raises:
            SupernetError: if the weights don't fit it.
            MissingExtraError: if the weights are random or no safetensors, and torch is not installed.
        """
        if self.weights is None:
            return {name: tensor.float().numpy() for name, tensor in self.network.state_dict().items()}
        state = weights_file.read_arrays(self.weights)
        return weights_file.fitted(state, shapes(self.space), self.weights, self.name, official_names.our_name)

    @cached_property
    def network(self) -> ElasticMobileNetV3:
        """The whole supernet, in eval mode.

        Raises:
            SupernetError: if the weights don't fit it.
            MissingExtraError: if torch is not installed.
        """
        with extra("train", f"{self.name} with {self.weights_source} weights as a torch module"):
            import torch

            from supernets.ofa.mobilenet import ElasticMobileNetV3

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = ElasticMobileNetV3(self.space)
        if self.weights is not None:
            network.load_state_dict({name: torch.tensor(array) for name, array in self.arrays.items()})
        return network.eval()

    def _random_hash(self) -> str:
        return hashlib.sha256(repr(self.space).encode()).hexdigest()


def built_in(space: Space) -> BuiltIn:
    """Return the catalog's entry for the supernet of a space; its named ladders are the published sets."""
    return BuiltIn(
        name=space.name,
        task=space.task,
        open=partial(ElasticSupernet, space),
        named_ladders=partial(published.sets_of, space.name),
    )


BUILT_IN = tuple(built_in(space) for space in SPACES.values())
"""The Once-for-all supernets, for the catalog."""
