"""The training of a plate supernet: the largest network first, then all networks by the sandwich rule.

- First the largest network trains alone, on pictures that grow harder. A sandwich from the start would spend most of
  its time on networks that can't learn before the largest has learned.
- Then comes the sandwich rule with in-place distillation (US-Nets, arXiv 1903.05134). Each step trains the largest
  network on the labels, and the smallest and one random network on the largest's answers, at random resolutions.

The sandwich needs one phase and one schedule, where progressive shrinking (Once-for-all) needs one for each elastic
dimension. With a factor of 4 in latency between the ends both train equally well, and one phase fits the two hours
that training may take on two cores.

Every step depends only on the seed and its number, so a run that was stopped goes on from its checkpoint as if it had
never stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from supernets.ofa.mobilenet import ElasticMobileNetV3
from supernets.ofa.space import Architecture, Space
from supernets.pictures import plates

_PREFETCH = 3
"""Steps whose pictures are drawn ahead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The length and the speed of a training; the defaults made the shipped weights.

    Attributes:
        seed: seed of everything random.
        batch: pictures of a step.
        warm_steps: steps of the largest network alone.
        warm_resolution: input height in pixels in those steps.
        sandwich_steps: steps of the sandwich rule.
        peak_lr: highest learning rate.
        weight_decay: weight decay of AdamW.
        hard_after: share of the steps (0 to 1) after which pictures are at hardness 1.
    """

    seed: int = 0
    batch: int = 32
    warm_steps: int = 2500
    warm_resolution: int = 32
    sandwich_steps: int = 7500
    peak_lr: float = 2e-3
    weight_decay: float = 0.02
    hard_after: float = 0.2

    @property
    def steps(self) -> int:
        """The number of steps of the run."""
        return self.warm_steps + self.sandwich_steps

    def hardness(self, step: int) -> float:
        """Return the hardness of a step's pictures, which rises linearly from 0.2 to 1."""
        return min(1.0, 0.2 + 0.8 * step / (self.hard_after * self.steps))

    def lr(self, step: int) -> float:
        """Return the learning rate of a step: it rises over 200 steps, and falls by a half cosine to a hundredth."""
        rise = min(1.0, (step + 1) / 200)
        fall = 0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * step / self.steps))
        return float(self.peak_lr * rise * fall)


def train(
    space: Space,
    recipe: Recipe,
    checkpoint: Path,
    on_step: Callable[[int, float], None],
    stop_after: int | None = None,
    device: str = "cpu",
) -> ElasticMobileNetV3:
    """Train a supernet, or go on with one, and return it on the CPU.

    Args:
        space: the space of the supernet.
        recipe: length and speed of the training.
        checkpoint: file that is written every 250 steps, and read at the start where it exists.
        on_step: called with the step's number and the largest network's loss.
        stop_after: number of steps after which this call stops, for tests; None for all.
        device: torch's name of the device to train on.
    """
    torch.manual_seed(recipe.seed)
    net = ElasticMobileNetV3(space).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=recipe.weight_decay)
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=device)
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        first = saved["step"]
    last = recipe.steps if stop_after is None else stop_after
    net.train()
    for step, pictures in _batches(recipe, first, last):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr(step)
        # Seeded in each step, so that dropout does not depend on where a run was stopped.
        torch.manual_seed(recipe.seed * 1_000_003 + step)
        loss = _sandwich_step(net, pictures, recipe, step)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        on_step(step, loss)
        if (step + 1) % 250 == 0 or step + 1 == last:
            _save(checkpoint, net, optimizer, step + 1)
    return net.to("cpu")


def _save(checkpoint: Path, net: ElasticMobileNetV3, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write a new file and rename it, so that a kill leaves the old file whole."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    fresh = checkpoint.with_suffix(".new")
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, fresh)
    fresh.replace(checkpoint)


def _batches(recipe: Recipe, first: int, last: int) -> Iterator[tuple[int, plates.Plates]]:
    """Yield each step's number and its pictures, which another process draws ahead."""
    waiting: deque[Future[plates.Plates]] = deque()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        asked = first
        for step in range(first, last):
            while asked < min(last, step + _PREFETCH):
                seed, hardness = recipe.seed * 1_000_003 + asked, recipe.hardness(asked)
                waiting.append(pool.submit(plates.draw, recipe.batch, seed=seed, held_out=False, hardness=hardness))
                asked += 1
            yield step, waiting.popleft().result()


def _sandwich_step(net: ElasticMobileNetV3, pictures: plates.Plates, recipe: Recipe, step: int) -> float:
    """Add one step's gradients to the network and return the largest network's loss."""
    space = net.space
    rng = np.random.default_rng([recipe.seed, step])
    labels = torch.from_numpy(pictures.labels()).to(net.classifier.weight.device)
    warm = step < recipe.warm_steps
    # The largest network learns from the labels, at one of the higher resolutions, the highest twice as often.
    high = space.resolutions[len(space.resolutions) // 2 :]
    resolution = recipe.warm_resolution if warm else int(rng.choice([*high, high[-1]]))
    teacher = _logits(net, pictures, space.largest, resolution)
    loss = F.cross_entropy(teacher.transpose(1, 2), labels, label_smoothing=0.05)
    torch.autograd.backward(loss)
    if warm:
        return float(loss.detach())
    # In-place distillation: the other two learn from the largest's answers, the smallest at a lower resolution.
    answers = teacher.detach().softmax(dim=2)
    low = int(rng.choice(space.resolutions[: len(space.resolutions) // 2]))
    for architecture, size in (
        (space.smallest, low),
        (space.random(rng), int(rng.choice(space.resolutions))),
    ):
        student = _logits(net, pictures, architecture, size)
        torch.autograd.backward(F.cross_entropy(student.transpose(1, 2), answers.transpose(1, 2)))
    return float(loss.detach())


def _logits(net: ElasticMobileNetV3, pictures: plates.Plates, architecture: Architecture, resolution: int) -> Tensor:
    """Return the logits by position, shape (batch, plates.LENGTH, len(plates.ALPHABET))."""
    x = torch.from_numpy(plates.resize(pictures.pictures, resolution))
    x = x.to(net.classifier.weight.device, memory_format=torch.channels_last)
    logits: Tensor = net(x, architecture)
    return logits.view(len(x), plates.LENGTH, -1)
