"""Slimmable networks as supernets. Imports torch only for modules and weights."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernets import weights_file
from supernets.built_in import BuiltIn
from supernets.errors import SupernetError, extra
from supernets.slimmable.space import RESOLUTION, SPACES, SlimmableSpace, Width, published_points
from supernets.subnet import Fixed, SubNet, at_precision
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import Tensor

    from supernets.slimmable.networks import StaticMobileNet


class SlimmableSupernet(Supernet):
    """A supernet whose sub-networks are the networks of a slimmable space.

    It reads official files as they are: a state dict, bare or under `model`, with names that may begin with `module.`.

    Args:
        space: the space.
        weights: file of the state dict; None for random weights.
        source: where that file comes from, `shipped` or `given`.
        ladder_file: file of sub-networks made with those weights; None for the ladder that the weights bring.
    """

    def __init__(self, space: SlimmableSpace, weights: Path | None, source: str, ladder_file: Path | None) -> None:
        self.space = space
        super().__init__(space.name, "imagenet", weights, source, ladder_file)

    def ladder(self) -> tuple[SubNet, ...]:
        """Return the networks that a file brings, else the published ones (US: some of them), smallest first."""
        brought = self._brought()
        return tuple(self._subnet(knobs) for knobs in self.space.ladder) if brought is None else brought

    def subnet(self, width: float) -> SubNet:
        """Return the network of a width, with its published accuracy if there is one.

        Args:
            width: width multiplier; for US networks any between the ends, for slimmable ones a published one.

        Raises:
            SupernetError: for a width outside the space.
        """
        try:
            subnet = self._subnet(Width(float(width)))
        except ValueError as error:
            raise SupernetError(str(error)) from None
        return next((rung for rung in self.ladder() if rung.id == subnet.id), subnet)

    def _subnet(self, knobs: Width | Fixed) -> SubNet:
        """Return the network with some knobs, with its published accuracy if there is one."""
        macs_m = self.space.macs(self.space.channels(knobs)) / 1e6
        own = [switch for switch, _ in self.space.switches]
        known = knobs in own
        name = f"w{knobs.multiplier}-{macs_m:.0f}m" if isinstance(knobs, Width) else knobs.network
        return SubNet(
            id=name,
            knobs=knobs,
            resolution=RESOLUTION,
            macs_m=macs_m,
            accuracy=published_points(self.space.family)[own.index(knobs)].top1 if known else None,
            accuracy_source="published" if known else "unknown",
        )

    def _parsed(self, rung: dict[str, Any]) -> SubNet:
        knobs = Width(float(rung["multiplier"])) if "multiplier" in rung else Fixed(str(rung["network"]))
        subnet = at_precision(self._subnet(knobs), rung.get("precision", "float32"))
        return replace(subnet, accuracy=rung["accuracy"], accuracy_source=rung["accuracy_source"])

    def calibrated(self, subnet: SubNet) -> bool:
        """Return True if a network has batch norms of its own, or a ladder file brings its statistics."""
        return subnet.knobs in dict(self.space.switches) or super().calibrated(subnet)

    def input_shape(self, subnet: SubNet) -> tuple[int, int, int, int]:
        """Return (1, 3, 224, 224)."""
        return 1, 3, RESOLUTION, RESOLUTION

    def module(self, subnet: SubNet) -> StaticMobileNet:
        """Return a network in eval mode; its weights are views of the supernet's.

        A US network between two that have statistics takes the wider one's, unless a ladder file brings its own.
        """
        with extra("train", f"exporting {self.name}"):
            from supernets.slimmable import networks

        assert isinstance(subnet.knobs, Width | Fixed)
        module = networks.cut(self.space, subnet.knobs, self.state)
        self._with_statistics(module, subnet)
        return module

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The weights of all networks, by their official names.

        Raises:
            SupernetError: if the weights don't fit.
        """
        from supernets.slimmable import networks

        if self.weights is None:
            return networks.random_state(self.space)
        return weights_file.fitted(
            weights_file.read_state(self.weights),
            weights_file.shapes_of(networks.expected_state(self.space)),
            self.weights,
            self.name,
            lambda key: key.removeprefix("module."),
        )

    def _random_hash(self) -> str:
        return hashlib.sha256(repr(self.space).encode()).hexdigest()


def _built_in(space: SlimmableSpace) -> BuiltIn:
    def opened(weights: Path | None, source: str, ladder_file: Path | None, named_ladder: str | None) -> Supernet:
        return SlimmableSupernet(space, weights, source, ladder_file)  # no ladder of a slimmable network has a name

    return BuiltIn(name=space.name, task="imagenet", open=opened)


BUILT_IN = tuple(_built_in(space) for space in SPACES.values())
"""The slimmable networks, for the catalog."""
