"""The training of a translator supernet: the largest network first, then all networks by the sandwich rule.

- First the largest network trains alone, since nothing can learn from it before it has learned.
- Then comes the sandwich rule with in-place distillation (US-Nets, arXiv 1903.05134): each update trains the largest
  network on the translations, and smaller ones, its *students*, on its answers. US-Nets takes the smallest and random
  ones. Here most are rungs of the ladder, since a random network is hardly ever like one of them.

Several processes of one thread each share an update: each has a batch of its own, and all take the average of their
gradients. Two threads of one process would wait for each other at every product, which on a busy machine makes a step
many times slower. An update depends only on the seed, its number and the number of processes, so a run that was stopped
goes on from its checkpoint as if it had never stopped.

How long a training lasts need not be known at its start. The learning rate falls with the inverse root of the updates,
and a *cool-down*, a run of updates in which it falls to nothing, ends the training whenever there is no more time.
The weights that are used are a running average over the last updates.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from supernets.errors import SupernetError
from supernets.seq2seq.batches import Batch
from supernets.seq2seq.elastic import Dropout, ElasticSeq2Seq
from supernets.seq2seq.rungs import ladder
from supernets.seq2seq.space import Space, Transformer
from supernets.seq2seq.vocabulary import PAD


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The speed of a training, and the update from which small networks learn.

    The shipped weights were made with the defaults, but for the students: until update 8,868 an update had one, the
    smallest network or a random one in turns. And they cooled down twice: docs/translator.md.

    Attributes:
        seed: seed of everything random.
        batch_words: most target sub-words of a process's batch, padding included.
        warm_updates: updates of the largest network alone.
        peak_lr: highest learning rate.
        rising_updates: updates in which the learning rate rises to it.
        flat_updates: updates until it begins to fall with the inverse root.
        weight_decay: weight decay of AdamW.
        smoothing: label smoothing.
        dropout: share of channels dropped in the largest network; a student drops half as many.
        averaging: weight of the past in the running average of the weights.
        students: students of each process in an update.
        on_ladder: share of the students that are rungs of the ladder; the others are random networks of the space.
    """

    seed: int = 0
    batch_words: int = 1200
    warm_updates: int = 6000
    peak_lr: float = 1.5e-3
    rising_updates: int = 400
    flat_updates: int = 2000
    weight_decay: float = 0.01
    smoothing: float = 0.1
    dropout: float = 0.2
    averaging: float = 0.999
    students: int = 2
    on_ladder: float = 0.75

    def lr(self, update: int, cooling: Cooling | None, begun: int = 0) -> float:
        """Return the learning rate of an update; it rises from update `begun` on."""
        rate = self.peak_lr * min(1.0, (update + 1 - begun) / self.rising_updates)
        rate *= min(1.0, math.sqrt(self.flat_updates / (update + 1)))
        return rate * cooling.share(update) if cooling else rate


@dataclass(frozen=True, slots=True)
class Cooling:
    """The end of a training.

    Attributes:
        first: its first update.
        updates: its number of updates.
    """

    first: int
    updates: int

    def share(self, update: int) -> float:
        """Return the factor of the learning rate, which falls from 1 to 0."""
        return max(0.0, 1.0 - (update + 1 - self.first) / self.updates)


@dataclass(kw_only=True, slots=True)
class Progress:
    """Where a training stands.

    Attributes:
        update: updates made.
        epoch: passes over the corpus that are complete.
        batch: batches taken of the pass under way.
        words: target sub-words learned from.
        cpu_s: CPU seconds of all processes.
        cooling: the end of the training; None before it.
        begun: update at which it began with weights alone and without the optimizer's moments: 0, or where it went on
            from a weights file.
    """

    update: int = 0
    epoch: int = 0
    batch: int = 0
    words: int = 0
    cpu_s: float = 0.0
    cooling: Cooling | None = None
    begun: int = 0

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Progress:
        """Return the progress that `dataclasses.asdict` made a mapping of."""
        cooling = stored["cooling"]
        return cls(**{**stored, "cooling": Cooling(**cooling) if cooling else None})

    @property
    def cooled(self) -> bool:
        """True if the training has come to its end."""
        return self.cooling is not None and self.update >= self.cooling.first + self.cooling.updates


@dataclass(slots=True)
class Trainer:
    """A network under training, in one of several processes.

    Args:
        space: the space of the supernet.
        recipe: how fast it learns.
        rank: number of this process.
        processes: number of processes.

    Attributes:
        net: the network that learns.
        average: the running average of its weights.
        progress: how far it is.
    """

    space: Space
    recipe: Recipe
    rank: int = 0
    processes: int = 1
    net: ElasticSeq2Seq = field(init=False)
    average: ElasticSeq2Seq = field(init=False)
    optimizer: torch.optim.AdamW = field(init=False)
    progress: Progress = field(default_factory=Progress, init=False)
    _shared: Tensor = field(init=False)
    _drops: tuple[Dropout, ...] = field(init=False)
    _rungs: tuple[Transformer, ...] = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.recipe.seed)
        self.net = ElasticSeq2Seq(self.space)
        self.average = copy.deepcopy(self.net).eval().requires_grad_(False)
        parameters = list(self.net.parameters())
        decay = self.recipe.weight_decay
        self.optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.98), weight_decay=decay, fused=True)
        entries = 4 * self.recipe.batch_words * self.space.ffns[-1]
        self._drops = tuple(Dropout(self.recipe.dropout / part, self.rank, entries) for part in (1, 2))
        self._rungs = tuple(ladder(self.space).values())[:-1]  # the largest teaches
        # All gradients lie in one tensor, so that one reduction averages them; its last four entries are figures.
        self._shared = torch.zeros(sum(p.numel() for p in parameters) + 4)
        start = 0
        for parameter in parameters:
            parameter.grad = self._shared[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def update(self, batch: Batch, cpu_s: float, stop: bool) -> tuple[float, float, bool]:
        """Make one update, together with the other processes.

        Args:
            batch: this process's batch.
            cpu_s: CPU seconds that this process has taken since the last update.
            stop: True if this process is asked to stop.

        Returns:
            The largest network's loss, the students' mean (0 while there are none), and True if any process is asked to
            stop.
        """
        recipe, done = self.recipe, self.progress
        # Seeded in each update, so that dropout does not depend on where a run was stopped.
        for drop in self._drops:
            drop.begin((recipe.seed * 1_000_003 + done.update) * 1009 + self.rank)
        self.net.train()
        self._shared.zero_()
        loss, student = self._backward(batch)
        self._shared[-4:] = torch.tensor([loss, student, float(stop), cpu_s])
        words = torch.tensor([batch.words])
        if self.processes > 1:
            dist.all_reduce(self._shared)
            dist.all_reduce(words)
        loss, student, stops, spent = self._shared[-4:].tolist()
        # The mean of the processes' gradients, cut to a norm of 1.
        gradients = self._shared[:-4]
        gradients /= max(float(self.processes), float(gradients.norm()))
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr(done.update, done.cooling, done.begun)
        self.optimizer.step()
        done.update += 1
        done.words += int(words)
        done.cpu_s += spent
        past = min(recipe.averaging, (1 + done.update) / (10 + done.update))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.net.parameters()), 1 - past)
        return loss / self.processes, student / self.processes, stops > 0

    def _backward(self, batch: Batch) -> tuple[float, float]:
        """Add a batch's gradients to the network's, and return the two losses."""
        net, recipe, update = self.net, self.recipe, self.progress.update
        logits = net(batch.source, batch.target, self.space.largest, self._drops[0])
        loss = F.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=PAD, label_smoothing=recipe.smoothing
        )
        torch.autograd.backward(loss)
        if update < recipe.warm_updates:
            return float(loss.detach()), 0.0
        words = batch.labels.flatten() != PAD
        answers = logits.detach().flatten(0, 1)[words].softmax(dim=1)
        rng = np.random.default_rng([recipe.seed, update, self.rank])
        losses = []
        for _ in range(recipe.students):
            on_ladder = rng.random() < recipe.on_ladder
            architecture = self._rungs[rng.integers(len(self._rungs))] if on_ladder else self.space.random(rng)
            logits = net(batch.source, batch.target, architecture, self._drops[1]).flatten(0, 1)[words]
            student = F.cross_entropy(logits, answers)
            torch.autograd.backward(student)
            losses.append(float(student.detach()))
        return float(loss.detach()), sum(losses) / len(losses)

    def save(self, path: Path) -> None:
        """Write a new file and rename it, so that a kill leaves the old file whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        state = {
            "space": self.space.name,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }
        torch.save(state, fresh)
        fresh.replace(path)

    def begin_with(self, state: Mapping[str, Tensor], progress: Progress) -> None:
        """Go on from weights alone, those of a training that had come so far; the learning rate rises once more.

        Args:
            state: the weights.
            progress: how far their training was.
        """
        self.net.load_state_dict(state)
        self.average.load_state_dict(state)
        self.progress = replace(progress, cooling=None, begun=progress.update)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            SupernetError: if it is a checkpoint of another space.
        """
        saved: dict[str, Any] = torch.load(path, weights_only=True)
        if saved["space"] != self.space.name:
            raise SupernetError(f"{path} is a checkpoint of {saved['space']!r}, not of {self.space.name!r}")
        self.net.load_state_dict(saved["net"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.progress = Progress.read(saved["progress"])
