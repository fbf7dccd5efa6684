"""Batch-norm calibration of a sub-network, on plates.

A supernet's running statistics are a mixture over all sub-networks it was trained as, and fit none; every sub-network
used gets its own, averaged over training pictures (Slimmable networks, arXiv 1812.08928; US-Nets, arXiv 1903.05134).
"""

from __future__ import annotations

import torch
from torch import nn

from supernets import plates
from supernets.mobilenet import StaticMobileNetV3

_BATCH = 64


def calibrate(network: StaticMobileNetV3, pictures: plates.Plates, resolution: int) -> None:
    """Replaces the network's batch-norm statistics by averages over the pictures (uint8, at native size)."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over all batches
        norm.train()
    with torch.no_grad():
        for start in range(0, len(pictures.pictures), _BATCH):
            network(torch.from_numpy(plates.resize(pictures.pictures[start : start + _BATCH], resolution)))
    for norm in norms:
        norm.momentum = 0.1
    network.eval()


def statistics(network: StaticMobileNetV3) -> dict[str, torch.Tensor]:
    """The network's batch-norm statistics by name."""
    return {n: t.clone() for n, t in network.state_dict().items() if n.endswith(("running_mean", "running_var"))}
