"""Batch-norm calibration of a sub-network.

A supernet's running statistics are a mixture over all sub-networks that it was trained as, and fit none of them. So
every sub-network that is used gets its own statistics, averaged over training pictures (Slimmable networks, arXiv
1812.08928; US-Nets, arXiv 1903.05134; Once-for-all, too, resets them on 2,000 pictures).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def calibrate(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the module's batch-norm statistics by their average over all inputs, and leave it in eval mode.

    Args:
        module: any network with batch norms.
        batches: inputs as the module takes them, (n, channels, height, width). A batch counts in proportion to n. Each
            norm needs more than one value per channel and batch.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    # Only the norms train, so that dropout stays off while their statistics are gathered.
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    seen = 0
    with torch.no_grad():
        for x in batches:
            # A momentum of n / seen turns the running average into the plain mean over all inputs so far.
            seen += len(x)
            for norm in norms:
                norm.momentum = len(x) / seen
            module(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def statistics(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of the module's batch-norm means and variances, by name."""
    return {n: t.clone() for n, t in module.state_dict().items() if n.endswith(("running_mean", "running_var"))}
