"""A slimmable network with one set of weights, as a supernet."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernets import weights_file
from supernets.built_in import BuiltIn
from supernets.errors import SupernetError
from supernets.slimmable.space import RESOLUTION, SPACES, SlimmableSpace, Width, published_points
from supernets.subnet import Fixed, SubNet, at_precision
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import Tensor

    from supernets.slimmable.networks import StaticMobileNet


class SlimmableSupernet(Supernet):
    """One slimmable network with one set of weights.

    Official files are read as they are: a state dict, bare or under `model`, with names that may begin with `module.`.

    Args:
        space: which networks there are.
        weights: as for `Supernet`.
        source: as for `Supernet`.
        ladder_file: as for `Supernet`.
    """

    def __init__(self, space: SlimmableSpace, weights: Path | None, source: str, ladder_file: Path | None) -> None:
        self.space = space
        super().__init__(space.name, "imagenet", weights, source, ladder_file)

    def ladder(self) -> tuple[SubNet, ...]:
        """The networks that a file brings, else those published (US: some of them), smallest first."""
        brought = self._brought()
        return tuple(self._subnet(knobs) for knobs in self.space.ladder) if brought is None else brought

    def subnet(self, width: float) -> SubNet:
        """The network of a width; for US any between the ends, with a published accuracy or none.

        Raises:
            SupernetError: for a width outside the space.
        """
        try:
            subnet = self._subnet(Width(float(width)))
        except ValueError as error:
            raise SupernetError(str(error)) from None
        return next((rung for rung in self.ladder() if rung.id == subnet.id), subnet)

    def _subnet(self, knobs: Width | Fixed) -> SubNet:
        """With its published accuracy where there is one."""
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
        """Whether it is one of those with batch norms of their own, or a ladder file brings statistics."""
        return subnet.knobs in dict(self.space.switches) or super().calibrated(subnet)

    def input_shape(self, subnet: SubNet) -> tuple[int, int, int, int]:
        """Always (1, 3, 224, 224)."""
        return 1, 3, subnet.resolution, subnet.resolution

    def module(self, subnet: SubNet) -> StaticMobileNet:
        """That network; its weights are views of the supernet's. See `Supernet.module`.

        A US network between two that have statistics takes the wider's, until a ladder file brings its own.
        """
        from supernets.slimmable import networks

        assert isinstance(subnet.knobs, Width | Fixed)
        module = networks.cut(self.space, subnet.knobs, self.state)
        self._with_statistics(module, subnet)
        return module

    @cached_property
    def state(self) -> dict[str, Tensor]:
        """The weights of all networks, by the official names.

        Raises:
            SupernetError: if the weights don't fit.
        """
        from supernets.slimmable import networks

        if self.weights is None:
            return networks.random_state(self.space)
        return weights_file.fitted(
            weights_file.read_state(self.weights),
            networks.expected_state(self.space),
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
