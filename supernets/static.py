"""Static networks as supernets of one or two rungs, for comparison with dynamic networks. Knows no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supernets import published, weights_file
from supernets.built_in import BuiltIn
from supernets.errors import SupernetError
from supernets.ofa.elastic import ElasticSupernet, published_rungs
from supernets.ofa.space import Space
from supernets.ofa.spaces import OFA_MBV3_W12
from supernets.subnet import Fixed, SubNet, at_precision
from supernets.supernet import Supernet

if TYPE_CHECKING:
    from torch import Tensor, nn

TORCHVISION = "torchvision-mbv3"
ONCE_FOR_ALL = "ofa-mbv3-static"
_RESOLUTION = 224


def torchvision_networks() -> tuple[str, ...]:
    """Return the names of torchvision's MobileNetV3s, smallest first."""
    return tuple(point.network for point in published.torchvision_points())


class TorchvisionMobileNetV3(Supernet):
    """MobileNetV3 Small and Large of torchvision, two networks that share no weights.

    Args:
        weights: file of the state dict of the one network that is asked for, as torchvision publishes it; or of both,
            with names that begin with `small.` and `large.`. None for random weights.
        source: where that file comes from, `shipped` or `given`.
        ladder_file: file with measured accuracies; None for the published ones.
        network: the network that is asked for, `small` or `large`; None for both.
    """

    def __init__(self, weights: Path | None, source: str, ladder_file: Path | None, network: str | None) -> None:
        super().__init__(TORCHVISION, "imagenet", weights, source, ladder_file)
        self._network = network

    def ladder(self) -> tuple[SubNet, ...]:
        """Return the networks asked for, with a file's accuracies, else those of torchvision's default weights."""
        rungs = self._brought() or tuple(self._subnet(network) for network in torchvision_networks())
        return tuple(rung for rung in rungs if self._network is None or rung.knobs == Fixed(self._network))

    def _subnet(self, network: str) -> SubNet:
        points = {point.network: point for point in published.torchvision_points()}
        return SubNet(
            id=network,
            knobs=Fixed(network),
            resolution=_RESOLUTION,
            macs_m=points[network].macs_m,
            accuracy=points[network].top1,
            accuracy_source="published",
        )

    def _parsed(self, rung: dict[str, Any]) -> SubNet:
        subnet = at_precision(self._subnet(rung["network"]), rung.get("precision", "float32"))
        return replace(subnet, accuracy=rung["accuracy"], accuracy_source=rung["accuracy_source"])

    def calibrated(self, subnet: SubNet) -> bool:
        """Return True, since a static network's batch norms are its own."""
        return True

    def input_shape(self, subnet: SubNet) -> tuple[int, int, int, int]:
        """Return (1, 3, 224, 224)."""
        return 1, 3, _RESOLUTION, _RESOLUTION

    def module(self, subnet: SubNet) -> nn.Module:
        """Return a network in eval mode.

        Raises:
            SupernetError: if torchvision is missing, or the weights don't fit.
        """
        try:
            import torch
            from torchvision import models
        except (ImportError, RuntimeError) as error:  # a torchvision made for another torch raises a RuntimeError
            raise SupernetError(
                f"{TORCHVISION} needs torchvision, which can't be imported ({error}); "
                "install it with `pip install 'gearshift[images]'`"
            ) from None
        assert isinstance(subnet.knobs, Fixed)
        network = subnet.knobs.network
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            module: nn.Module = getattr(models, f"mobilenet_v3_{network}")(weights=None)
        if self.weights is not None:
            module.load_state_dict(self._state(network, module.state_dict(), self.weights))
        self._with_statistics(module, subnet)
        return module.eval()

    def _state(self, network: str, expected: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
        one_only = "" if self._network else f" (for a file of one network ask for {TORCHVISION}:small or :large)"
        return weights_file.fitted(
            weights_file.read_state(file),
            weights_file.shapes_of(expected),
            file,
            f"MobileNetV3 {network}{one_only}",
            lambda key: key.removeprefix(f"{network}."),
        )

    def _random_hash(self) -> str:
        return hashlib.sha256(TORCHVISION.encode()).hexdigest()


def once_for_all_rungs(space: Space) -> dict[str, SubNet]:
    """Return the published sub-networks of a Once-for-all space by identifier; each can be used alone."""
    # The sets share sub-networks and differ in their accuracies: the first's, the supernet's own ladder, counts.
    return {rung.id: rung for name in reversed(published.sets_of(space.name)) for rung in published_rungs(space, name)}


class StaticOnceForAll(ElasticSupernet):
    """One sub-network of Once-for-all, chosen before it is deployed and never changed.

    It is cut out of the supernet's own weights. Its ladder has one rung, so a manager can only choose cores and clocks
    for it.

    Args:
        space: the space of its supernet.
        weights: file of that supernet's state dict; None for random weights.
        source: where that file comes from, `shipped` or `given`.
        ladder_file: ladder file of that supernet; None for the ladder that the weights bring.
        rung: identifier of a published sub-network; None for the most accurate on the supernet's ladder.
    """

    def __init__(
        self, space: Space, weights: Path | None, source: str, ladder_file: Path | None, rung: str | None
    ) -> None:
        super().__init__(space, weights, source, ladder_file, name=ONCE_FOR_ALL)
        self._rung = once_for_all_rungs(space)[rung] if rung is not None else None

    @property
    def weights_name(self) -> str:
        """The name of the supernet that it is cut out of."""
        return self.space.name

    def ladder(self) -> tuple[SubNet, ...]:
        """Return the one sub-network."""
        return super().ladder()[-1:] if self._rung is None else (self._rung,)


BUILT_IN = (
    BuiltIn(
        name=TORCHVISION,
        task="imagenet",
        open=TorchvisionMobileNetV3,
        named_ladders=torchvision_networks,
    ),
    BuiltIn(
        name=ONCE_FOR_ALL,
        task=OFA_MBV3_W12.task,
        open=partial(StaticOnceForAll, OFA_MBV3_W12),
        named_ladders=lambda: tuple(once_for_all_rungs(OFA_MBV3_W12)),
    ),
)
"""The static networks, for the catalog."""
